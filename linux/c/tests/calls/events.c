// SPDX-License-Identifier: GPL-2.0
/* Waiting: pipes, counters, timers and signals as descriptors, and the calls that wait for any of them. */
#include "check.h"
#include <lkl/linux/eventfd.h>
#include <lkl/linux/eventpoll.h>
#include <lkl/linux/signalfd.h>
#include <lkl/linux/timerfd.h>

static struct __lkl__kernel_timespec soon = { 0, 2000000 };

static void set(lkl_fd_set *set, int fd)
{
	memset(set, 0, sizeof(*set));
	set->fds_bits[fd / 64] |= 1ul << (fd % 64);
}

static void many(void)
{
	struct __lkl__kernel_old_timeval coarse = { 0, 2000 };
	struct lkl_pollfd polled[2];
	lkl_fd_set reading;
	int pipe[2];

	IS(lkl_sys_pipe(pipe), 0);
	polled[0] = (struct lkl_pollfd){ pipe[0], LKL_POLLIN, 0 };
	polled[1] = (struct lkl_pollfd){ pipe[1], LKL_POLLOUT, 0 };
	IS(lkl_sys_poll(polled, 1, 2), 0);
	IS(lkl_sys_poll(polled, 2, -1), 1);
	IS(polled[1].revents, LKL_POLLOUT);
	IS(lkl_sys_ppoll(polled, 1, &soon, NULL, 0), 0);
	soon = (struct __lkl__kernel_timespec){ 0, 2000000 };
	set(&reading, pipe[0]);
	IS(lkl_sys_select(pipe[0] + 1, &reading, NULL, NULL, &coarse), 0);
	set(&reading, pipe[0]);
	IS(lkl_sys_pselect6(pipe[0] + 1, &reading, NULL, NULL, &soon, NULL), 0);
	IS(lkl_sys_write(pipe[1], "x", 1), 1);
	IS(lkl_sys_poll(polled, 2, -1), 2);
	IS(polled[0].revents, LKL_POLLIN);
	IS(lkl_sys_ppoll(polled, 1, NULL, NULL, 0), 1);
	set(&reading, pipe[0]);
	IS(lkl_sys_select(pipe[0] + 1, &reading, NULL, NULL, NULL), 1);
	IS(lkl_sys_pselect6(pipe[0] + 1, &reading, NULL, NULL, NULL, NULL), 1);
	IS(lkl_sys_select(-1, NULL, NULL, NULL, NULL), -LKL_EINVAL);
	IS(lkl_sys_close(pipe[1]), 0);
	IS(lkl_sys_read(pipe[0], (char *)&reading, 2), 1);
	IS(lkl_sys_poll(polled, 1, -1), 1);
	IS(polled[0].revents, LKL_POLLHUP);
	IS(lkl_sys_close(pipe[0]), 0);
	set(&reading, pipe[0]);
	IS(lkl_sys_select(pipe[0] + 1, &reading, NULL, NULL, NULL), -LKL_EBADF);
	IS(lkl_sys_pselect6(pipe[0] + 1, &reading, NULL, NULL, NULL, NULL), -LKL_EBADF);
}

static void counters(void)
{
	__lkl__u64 count = 5;
	int plain = lkl_sys_eventfd(3), semaphore = lkl_sys_eventfd2(2, LKL_EFD_SEMAPHORE | LKL_EFD_NONBLOCK);

	IS(lkl_sys_write(plain, (char *)&count, 8), 8);
	IS(lkl_sys_read(plain, (char *)&count, 8), 8);
	IS(count, 8);
	IS(lkl_sys_read(plain, (char *)&count, 7), -LKL_EINVAL);
	IS(lkl_sys_read(semaphore, (char *)&count, 8), 8);
	IS(count, 1);
	IS(lkl_sys_read(semaphore, (char *)&count, 8), 8);
	IS(lkl_sys_read(semaphore, (char *)&count, 8), -LKL_EAGAIN);
	IS(lkl_sys_eventfd2(0, 0x40000000), -LKL_EINVAL);
	IS(lkl_sys_close(plain), 0);
	IS(lkl_sys_close(semaphore), 0);
}

static void epoll(void)
{
	struct lkl_epoll_event event = { .events = LKL_EPOLLIN, .data = (__lkl__u64)17 }, got[4];
	int old = lkl_sys_epoll_create(1), poll = lkl_sys_epoll_create1(LKL_EPOLL_CLOEXEC), pipe[2];

	SAYS(old, value >= 0);
	SAYS(poll, value >= 0);
	IS(lkl_sys_epoll_create(0), -LKL_EINVAL);
	IS(lkl_sys_epoll_create1(1), -LKL_EINVAL);
	IS(lkl_sys_pipe2(pipe, LKL_O_NONBLOCK), 0);
	IS(lkl_sys_read(pipe[0], (char *)got, 1), -LKL_EAGAIN);
	IS(lkl_sys_epoll_ctl(poll, LKL_EPOLL_CTL_ADD, pipe[0], &event), 0);
	IS(lkl_sys_epoll_ctl(poll, LKL_EPOLL_CTL_ADD, pipe[0], &event), -LKL_EEXIST);
	IS(lkl_sys_epoll_wait(poll, got, 4, 1), 0);
	IS(lkl_sys_write(pipe[1], "x", 1), 1);
	IS(lkl_sys_epoll_wait(poll, got, 4, -1), 1);
	IS(got[0].data == 17 && got[0].events == LKL_EPOLLIN, 1);
	IS(lkl_sys_epoll_pwait(poll, got, 4, -1, NULL, 0), 1);
	IS(lkl_sys_epoll_pwait2(poll, got, 4, &soon, NULL, 0), 1);
	IS(lkl_sys_epoll_wait(poll, got, 0, 0), -LKL_EINVAL);
	IS(lkl_sys_epoll_pwait(old, got, 0, 0, NULL, 0), -LKL_EINVAL);
	IS(lkl_sys_epoll_pwait2(old, got, 4, &soon, NULL, 0), 0);
	IS(lkl_sys_epoll_ctl(poll, LKL_EPOLL_CTL_DEL, pipe[0], NULL), 0);
	IS(lkl_sys_epoll_wait(poll, got, 4, 0), 0);
	IS(lkl_sys_close(pipe[0]), 0);
	IS(lkl_sys_close(pipe[1]), 0);
	IS(lkl_sys_close(poll), 0);
	IS(lkl_sys_close(old), 0);
}

static void timers(void)
{
	struct __lkl__kernel_itimerspec in_2_ms = { .it_value = { 0, 2000000 } }, left = { 0 }, none = { 0 };
	__lkl__u64 times = 0;
	int fd = lkl_sys_timerfd_create(LKL_CLOCK_MONOTONIC, LKL_TFD_CLOEXEC);

	SAYS(fd, value >= 0);
	IS(lkl_sys_timerfd_create(99, 0), -LKL_EINVAL);
	IS(lkl_sys_timerfd_settime(fd, 0, &in_2_ms, &left), 0);
	IS(left.it_value.tv_nsec, 0);
	IS(lkl_sys_read(fd, (char *)&times, 8), 8);
	IS(times, 1);
	in_2_ms.it_value.tv_sec = 1000;
	IS(lkl_sys_timerfd_settime(fd, 0, &in_2_ms, NULL), 0);
	IS(lkl_sys_timerfd_gettime(fd, &left), 0);
	SAYS(left.it_value.tv_sec, value > 0 && value <= 1000);
	IS(lkl_sys_timerfd_settime(fd, 0, &none, NULL), 0);
	IS(lkl_sys_timerfd_gettime(-1, &left), -LKL_EBADF);
	IS(lkl_sys_timerfd_settime(-1, 0, &none, NULL), -LKL_EBADF);
	IS(lkl_sys_close(fd), 0);
}

static void signals_as_files(void)
{
	lkl_sigset_t set = { { 1ul << (LKL_SIGUSR1 - 1) } };
	struct lkl_signalfd_siginfo info = { 0 };
	int old, fd;

	IS(lkl_sys_rt_sigprocmask(LKL_SIG_BLOCK, &set, NULL, sizeof(set)), 0);
	fd = lkl_sys_signalfd4(-1, &set, sizeof(set), LKL_SFD_NONBLOCK | LKL_SFD_CLOEXEC);
	old = lkl_sys_signalfd(-1, &set, sizeof(set));
	SAYS(fd, value >= 0);
	SAYS(old, value >= 0);
	IS(lkl_sys_signalfd4(-1, &set, 3, 0), -LKL_EINVAL);
	IS(lkl_sys_signalfd(-1, &set, 3), -LKL_EINVAL);
	IS(lkl_sys_read(fd, (char *)&info, sizeof(info)), -LKL_EAGAIN);
	IS(lkl_sys_tkill(lkl_sys_gettid(), LKL_SIGUSR1), 0);
	IS(lkl_sys_read(fd, (char *)&info, sizeof(info)), sizeof(info));
	IS(info.ssi_signo, LKL_SIGUSR1);
	IS(lkl_sys_tkill(lkl_sys_gettid(), LKL_SIGUSR1), 0);
	IS(lkl_sys_read(old, (char *)&info, sizeof(info)), sizeof(info));
	IS(lkl_sys_rt_sigprocmask(LKL_SIG_UNBLOCK, &set, NULL, sizeof(set)), 0);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_close(old), 0);
}

static void moving(void)
{
	char text[16] = "";
	lkl_loff_t at = 1;
	int from[2], to[2], fd = file_with("file", "0123456789");

	IS(lkl_sys_pipe2(from, LKL_O_CLOEXEC), 0);
	IS(lkl_sys_pipe2(to, LKL_O_CLOEXEC), 0);
	IS(lkl_sys_pipe2(to, 1), -LKL_EINVAL);
	IS(lkl_sys_splice(fd, &at, from[1], NULL, 4, 0), 4);
	IS(at, 5);
	IS(lkl_sys_tee(from[0], to[1], 4, 0), 4);
	IS(lkl_sys_read(to[0], text, sizeof(text)), 4);
	IS(strcmp(text, "1234"), 0);
	at = 8;
	IS(lkl_sys_splice(from[0], NULL, fd, &at, 4, 0), 4);
	IS(lkl_sys_pread64(fd, text, sizeof(text), 0), 12);
	IS(memcmp(text, "012345671234", 12), 0);
	IS(lkl_sys_splice(fd, NULL, fd, NULL, 4, 0), -LKL_EINVAL);
	IS(lkl_sys_tee(fd, to[1], 4, 0), -LKL_EINVAL);
	IS(lkl_sys_close(from[0]), 0);
	IS(lkl_sys_close(from[1]), 0);
	IS(lkl_sys_close(to[0]), 0);
	IS(lkl_sys_close(to[1]), 0);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_unlink("file"), 0);
}

void events(void)
{
	many();
	counters();
	epoll();
	timers();
	signals_as_files();
	moving();
}
