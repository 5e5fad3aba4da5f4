// SPDX-License-Identifier: GPL-2.0
/* Signals and processes: sent, blocked, fetched, and waited for. The library has no handlers; a signal breaks off a call that waits. */
#include "check.h"
#include <lkl/linux/wait.h>
#include <lkl/linux/pidfd.h>
#ifdef NATIVE
#include <signal.h>
static void nothing(int number)
{
	(void)number;
}
#endif

static const lkl_sigset_t ONE = { { 1ul << (LKL_SIGUSR1 - 1) } }, BOTH = { { 1ul << (LKL_SIGUSR1 - 1) | 1ul << (LKL_SIGUSR2 - 1) } };

/* In a thread of its own. */
static void fetching(void *arg)
{
	struct __lkl__kernel_timespec soon = { 0, 2000000 };
	long tid = lkl_sys_gettid(), pid = lkl_sys_getpid();
	lkl_sigset_t pending = { { 0 } }, before;
	lkl_siginfo_t info;

	(void)arg;
	IS(lkl_sys_rt_sigprocmask(LKL_SIG_BLOCK, (lkl_sigset_t *)&BOTH, &before, sizeof(before)), 0);
	IS(lkl_sys_rt_sigprocmask(99, (lkl_sigset_t *)&BOTH, NULL, sizeof(before)), -LKL_EINVAL);
	IS(lkl_sys_rt_sigtimedwait(&BOTH, &info, &soon, sizeof(BOTH)), -LKL_EAGAIN);
	IS(lkl_sys_tgkill(pid, tid, LKL_SIGUSR1), 0);
	IS(lkl_sys_rt_sigpending(&pending, sizeof(pending)), 0);
	IS(pending.sig[0], ONE.sig[0]);
	IS(lkl_sys_rt_sigtimedwait(&BOTH, &info, &soon, sizeof(BOTH)), LKL_SIGUSR1);
	IS(info.si_code, LKL_SI_TKILL);
	IS(lkl_sys_tkill(tid, LKL_SIGUSR2), 0);
	IS(lkl_sys_rt_sigtimedwait(&BOTH, &info, NULL, sizeof(BOTH)), LKL_SIGUSR2);
	memset(&info, 0, sizeof(info));
	info.si_code = LKL_SI_QUEUE;
	info.si_signo = LKL_SIGUSR1;
	info.lkl_si_value.sival_int = 77;
	IS(lkl_sys_rt_tgsigqueueinfo(pid, tid, LKL_SIGUSR1, &info), 0);
	memset(&info, 0, sizeof(info));
	IS(lkl_sys_rt_sigtimedwait(&ONE, &info, &soon, sizeof(ONE)), LKL_SIGUSR1);
	IS(info.lkl_si_value.sival_int, 77);
	/*
	 * To the whole process. Its first thread is Linux's own, and here the main thread; that does not block it, so it is gone, as
	 * signals without a handler to process 1 are.
	 */
	info.lkl_si_value.sival_int = 78;
	info.si_code = LKL_SI_QUEUE;
	IS(lkl_sys_rt_sigqueueinfo(pid, LKL_SIGUSR1, &info), 0);
	IS(lkl_sys_kill(pid, LKL_SIGUSR2), 0);
	IS(lkl_sys_rt_sigtimedwait(&BOTH, &info, &soon, sizeof(BOTH)), -LKL_EAGAIN);
	IS(lkl_sys_kill(pid, 0), 0);
	IS(lkl_sys_kill(99999, 0), -LKL_ESRCH);
	IS(lkl_sys_kill(pid, 99), -LKL_EINVAL);
	IS(lkl_sys_tkill(99999, LKL_SIGUSR1), -LKL_ESRCH);
	IS(lkl_sys_tgkill(pid, 99999, LKL_SIGUSR1), -LKL_ESRCH);
	info.si_code = LKL_SI_QUEUE;
	IS(lkl_sys_rt_sigqueueinfo(99999, LKL_SIGUSR1, &info), -LKL_ESRCH);
	IS(lkl_sys_rt_tgsigqueueinfo(pid, 99999, LKL_SIGUSR1, &info), -LKL_ESRCH);
	IS(lkl_sys_rt_sigpending(&pending, 99), -LKL_EINVAL);
	IS(lkl_sys_rt_sigprocmask(LKL_SIG_SETMASK, &before, NULL, sizeof(before)), 0);
}

/* In a thread of its own. */
static void by_descriptor(void *arg)
{
	struct __lkl__kernel_timespec soon = { 0, 2000000 };
	int fd = lkl_sys_pidfd_open(lkl_sys_getpid(), 0), file = file_with("file", "data"), same;
	lkl_sigset_t before;

	(void)arg;
	SAYS(fd, value >= 0);
	IS(lkl_sys_pidfd_open(99999, 0), -LKL_ESRCH);
	IS(lkl_sys_pidfd_open(-1, 0), -LKL_EINVAL);
	IS(lkl_sys_rt_sigprocmask(LKL_SIG_BLOCK, (lkl_sigset_t *)&ONE, &before, sizeof(before)), 0);
	IS(lkl_sys_pidfd_send_signal(fd, LKL_SIGUSR1, NULL, 0), 0);
	IS(lkl_sys_rt_sigtimedwait(&ONE, NULL, &soon, sizeof(ONE)), -LKL_EAGAIN);
	IS(lkl_sys_pidfd_send_signal(file, LKL_SIGUSR1, NULL, 0), -LKL_EBADF);
	IS(lkl_sys_rt_sigprocmask(LKL_SIG_SETMASK, &before, NULL, sizeof(before)), 0);
	same = lkl_sys_pidfd_getfd(fd, file, 0);
	SAYS(same, value >= 0 && value != file);
	IS(lkl_sys_lseek(file, 3, LKL_SEEK_SET), 3);
	IS(lkl_sys_lseek(same, 0, LKL_SEEK_CUR), 3);
	IS(lkl_sys_pidfd_getfd(fd, 99999, 0), -LKL_EBADF);
	IS(lkl_sys_close(same), 0);
	IS(lkl_sys_close(file), 0);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_unlink("file"), 0);
}

/*
 * Until something happens. A machine's programs have handlers, after which a call that waits says so; the library's have none, and
 * wait until Linux dies. Halting it would wait for them.
 */
void waits_for_ever(void *arg)
{
	(void)arg;
	IS(lkl_sys_pause(), HERE(-LKL_ENODEV, -LKL_EINTR));
}

#ifdef NATIVE

static volatile long waiting, ended;

static void waits(void *arg)
{
	struct sigaction action = { .sa_handler = nothing };

	sigaction(SIGUSR1, &action, NULL);
	waiting = lkl_sys_gettid();
	waits_for_ever(arg);
	ended = 1;
}

static void breaking_off(void)
{
	struct __lkl__kernel_timespec soon = { 0, 5000000 };
	struct beside beside;

	begin(&beside, waits, NULL);
	while (!ended) {
		if (waiting)
			lkl_sys_tgkill(lkl_sys_getpid(), waiting, LKL_SIGUSR1);
		lkl_sys_nanosleep(&soon, NULL);
	}
	end(&beside);
}

#else

/* A signal that is not blocked is gone; the call that waits goes on. */
static void one_byte(void *arg)
{
	char byte = 0;

	IS(lkl_sys_read(*(int *)arg, &byte, 1), 1);
	IS(byte, 'x');
}

static void breaking_off(void)
{
	struct __lkl__kernel_timespec soon = { 0, 5000000 };
	struct beside beside;
	int pipe[2];

	IS(lkl_sys_pipe(pipe), 0);
	begin(&beside, one_byte, pipe);
	lkl_sys_nanosleep(&soon, NULL);
	IS(lkl_sys_kill(lkl_sys_getpid(), LKL_SIGUSR1), 0);
	lkl_sys_nanosleep(&soon, NULL);
	IS(lkl_sys_write(pipe[1], "x", 1), 1);
	end(&beside);
	IS(lkl_sys_close(pipe[0]), 0);
	IS(lkl_sys_close(pipe[1]), 0);
}

#endif

static void children(void)
{
	lkl_siginfo_t info;
	struct lkl_rusage used;
	int status;

	/* There are none, and none can be made. */
	IS(lkl_sys_wait4(-1, &status, LKL_WNOHANG, &used), -LKL_ECHILD);
	IS(lkl_sys_wait4(-1, &status, 0x40, &used), -LKL_EINVAL);
	IS(lkl_sys_waitid(LKL_P_ALL, 0, (void *)&info, LKL_WEXITED | LKL_WNOHANG, &used), -LKL_ECHILD);
	IS(lkl_sys_waitid(LKL_P_ALL, 0, (void *)&info, 0, &used), -LKL_EINVAL);
}

void signals(void)
{
	struct beside beside;

	begin(&beside, fetching, NULL);
	end(&beside);
	begin(&beside, by_descriptor, NULL);
	end(&beside);
	breaking_off();
	children();
}
