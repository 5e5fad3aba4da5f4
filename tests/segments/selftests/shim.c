/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Linux's own selftests of the network, run on the carried Linux.
 *
 * A selftest is compiled as it is. Its calls of sockets and descriptors are then renamed (NAME to shim_NAME, those that the table at the end of this
 * file names; its main() is shim_program()), and come here. A descriptor of the carried Linux is shown to the program as its number and FIRST; any other is the
 * host's, and its calls are the host's own.
 *
 * Constants and structures are the same on both sides: the host is x86-64 Linux.
 *
 * fork(): there are no processes. The child's part runs at once, in the same process, until it exits; then the stack is as it was when fork() was
 * called, and fork() returns to the parent, which finds the child's status by waitpid(). That is right for parents that only wait, as those of
 * kselftest_harness.h; a child that waits for its parent waits for ever. What a child opens is closed at its end; what it changes beyond the stack stays.
 * For the carried Linux a child is a task of its own, with a number, users and a network name space of its own: a thread of the host's makes its calls.
 *
 * Signals: those of the carried Linux come to signalfd() only, and are blocked always; sigprocmask() and handlers are the host's.
 *
 * SHIM_SETTINGS in the environment has lines NAME=VALUE, with names as sysctl(8) has them; they are made before the program starts.
 */
#define _GNU_SOURCE
#include <lkl.h>
#include <lkl_host.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

/* Below FD_SETSIZE, for select(); the host gives no number as high to these programs. */
#define FIRST 512
#define MOST 400

int shim_program(int argc, char **argv, char **envp);

static int ours(long fd)
{
	return fd >= FIRST && fd < FIRST + MOST;
}

struct child {
	struct child *parent;
	jmp_buf back;
	char *low;
	char *copy;
	size_t len;
	int pid;
	/* The thread in whose name the child calls, and the call: none, and the thread ends. */
	pthread_t caller;
	sem_t asked;
	sem_t answered;
	long number;
	long *args;
	long value;
};

/* The child that runs; none: the program's first process. */
static struct child *current;
/* The only thread that runs children. */
static pthread_t first_thread;

static void down(sem_t *semaphore)
{
	while (sem_wait(semaphore))
		;
}

static long lkl(long number, long a, long b, long c, long d, long e, long f)
{
	long args[6] = { a, b, c, d, e, f };

	if (!current || !pthread_equal(pthread_self(), first_thread))
		return lkl_syscall(number, args);
	current->number = number;
	current->args = args;
	sem_post(&current->asked);
	down(&current->answered);
	return current->value;
}

#define LKL(name, a, b, c, d, e, f) \
	lkl(SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static long result(long value)
{
	if (value < 0 && value >= -4095) {
		errno = -value;
		return -1;
	}
	return value;
}

/* ---- Descriptors. */

/* Which are open, and in which generation of children they were opened. */
static unsigned char opened_by[MOST];
static unsigned char generation = 1;

static long opened(long fd)
{
	if (fd < 0)
		return result(fd);
	if (fd >= MOST) {
		LKL(close, fd, 0, 0, 0, 0, 0);
		errno = EMFILE;
		return -1;
	}
	opened_by[fd] = generation;
	return fd + FIRST;
}

/* A call whose first argument is a descriptor, of either side. */
#define EITHER(name, fd, b, c, d, e, f)                                                  \
	(ours(fd) ? result(LKL(name, (fd) - FIRST, b, c, d, e, f))                      \
		  : syscall(SYS_##name, (long)(fd), (long)(b), (long)(c), (long)(d),    \
			    (long)(e), (long)(f)))

int shim_socket(int family, int type, int protocol)
{
	return opened(LKL(socket, family, type, protocol, 0, 0, 0));
}

int shim_socketpair(int family, int type, int protocol, int *pair)
{
	long ret = LKL(socketpair, family, type, protocol, pair, 0, 0);

	if (ret < 0)
		return result(ret);
	pair[0] = opened(pair[0]);
	pair[1] = opened(pair[1]);
	return 0;
}

int shim_pipe2(int *pair, int flags)
{
	long ret = LKL(pipe2, pair, flags, 0, 0, 0, 0);

	if (ret < 0)
		return result(ret);
	pair[0] = opened(pair[0]);
	pair[1] = opened(pair[1]);
	return 0;
}

int shim_pipe(int *pair)
{
	return shim_pipe2(pair, 0);
}

int shim_eventfd(unsigned int value, int flags)
{
	return opened(LKL(eventfd2, value, flags, 0, 0, 0, 0));
}

int shim_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
	if (!ours(fd)) {
		errno = EBADF;
		return -1;
	}
	return opened(LKL(accept4, fd - FIRST, address, len, flags, 0, 0));
}

int shim_accept(int fd, struct sockaddr *address, socklen_t *len)
{
	return shim_accept4(fd, address, len, 0);
}

int shim_dup(int fd)
{
	return ours(fd) ? opened(LKL(dup, fd - FIRST, 0, 0, 0, 0, 0)) : dup(fd);
}

int shim_close(int fd)
{
	if (!ours(fd))
		return close(fd);
	opened_by[fd - FIRST] = 0;
	return result(LKL(close, fd - FIRST, 0, 0, 0, 0, 0));
}

int shim_bind(int fd, const struct sockaddr *address, socklen_t len)
{
	return EITHER(bind, fd, address, len, 0, 0, 0);
}

int shim_connect(int fd, const struct sockaddr *address, socklen_t len)
{
	return EITHER(connect, fd, address, len, 0, 0, 0);
}

int shim_listen(int fd, int backlog)
{
	return EITHER(listen, fd, backlog, 0, 0, 0, 0);
}

int shim_shutdown(int fd, int how)
{
	return EITHER(shutdown, fd, how, 0, 0, 0, 0);
}

int shim_getsockname(int fd, struct sockaddr *address, socklen_t *len)
{
	return EITHER(getsockname, fd, address, len, 0, 0, 0);
}

int shim_getpeername(int fd, struct sockaddr *address, socklen_t *len)
{
	return EITHER(getpeername, fd, address, len, 0, 0, 0);
}

int shim_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	return EITHER(setsockopt, fd, level, name, value, len, 0);
}

int shim_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	return EITHER(getsockopt, fd, level, name, value, len, 0);
}

ssize_t shim_read(int fd, void *buffer, size_t len)
{
	return EITHER(read, fd, buffer, len, 0, 0, 0);
}

ssize_t shim_write(int fd, const void *buffer, size_t len)
{
	return EITHER(write, fd, buffer, len, 0, 0, 0);
}

ssize_t shim_readv(int fd, const struct iovec *pieces, int count)
{
	return EITHER(readv, fd, pieces, count, 0, 0, 0);
}

ssize_t shim_writev(int fd, const struct iovec *pieces, int count)
{
	return EITHER(writev, fd, pieces, count, 0, 0, 0);
}

ssize_t shim_recvfrom(int fd, void *buffer, size_t len, int flags, struct sockaddr *address, socklen_t *size)
{
	return EITHER(recvfrom, fd, buffer, len, flags, address, size);
}

ssize_t shim_recv(int fd, void *buffer, size_t len, int flags)
{
	return EITHER(recvfrom, fd, buffer, len, flags, 0, 0);
}

ssize_t shim_sendto(int fd, const void *buffer, size_t len, int flags, const struct sockaddr *address, socklen_t size)
{
	return EITHER(sendto, fd, buffer, len, flags, address, size);
}

ssize_t shim_send(int fd, const void *buffer, size_t len, int flags)
{
	return EITHER(sendto, fd, buffer, len, flags, 0, 0);
}

/* Descriptors that a message carries. `by` is what is added to each. */
static void carried(struct msghdr *message, int by)
{
	struct cmsghdr *piece;

	for (piece = CMSG_FIRSTHDR(message); piece; piece = CMSG_NXTHDR(message, piece)) {
		int *fd = (int *)CMSG_DATA(piece);
		int *end = (int *)((char *)piece + piece->cmsg_len);

		if (piece->cmsg_level != SOL_SOCKET || piece->cmsg_type != SCM_RIGHTS)
			continue;
		for (; fd < end; fd++)
			*fd = by < 0 ? *fd - FIRST : (int)opened(*fd);
	}
}

ssize_t shim_sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct msghdr copy = *message;
	char control[4096];

	if (copy.msg_controllen && copy.msg_controllen <= sizeof(control)) {
		memcpy(control, copy.msg_control, copy.msg_controllen);
		copy.msg_control = control;
		carried(&copy, -1);
	}
	return EITHER(sendmsg, fd, &copy, flags, 0, 0, 0);
}

ssize_t shim_recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t ret = EITHER(recvmsg, fd, message, flags, 0, 0, 0);

	if (ret >= 0 && ours(fd))
		carried(message, 1);
	return ret;
}

int shim_sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
	return EITHER(sendmmsg, fd, messages, count, flags, 0, 0);
}

int shim_recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout)
{
	return EITHER(recvmmsg, fd, messages, count, flags, timeout, 0);
}

/* Has the signals of a descriptor sent to the caller's task: what the program means when it gives its process's number. */
static int own_by_caller(int fd)
{
	struct {
		int type;
		int pid;
	} owner = { 0 /* F_OWNER_TID */, LKL(gettid, 0, 0, 0, 0, 0, 0) };

	return result(LKL(fcntl, fd - FIRST, 15 /* F_SETOWN_EX */, &owner, 0, 0, 0));
}

pid_t shim_getpid(void)
{
	return current ? current->pid : getpid();
}

int shim_ioctl(int fd, unsigned long what, ...)
{
	va_list list;
	long argument;

	va_start(list, what);
	argument = va_arg(list, long);
	va_end(list);
	if (ours(fd) && (what == FIOSETOWN || what == SIOCSPGRP) && *(int *)argument == shim_getpid())
		return own_by_caller(fd);
	return EITHER(ioctl, fd, what, argument, 0, 0, 0);
}

int shim_fcntl(int fd, int what, ...)
{
	va_list list;
	long argument;

	va_start(list, what);
	argument = va_arg(list, long);
	va_end(list);
	if (ours(fd) && (what == F_DUPFD || what == F_DUPFD_CLOEXEC))
		return opened(LKL(fcntl, fd - FIRST, what, 0, 0, 0, 0));
	if (ours(fd) && what == F_SETOWN && (int)argument == shim_getpid())
		return own_by_caller(fd);
	return EITHER(fcntl, fd, what, argument, 0, 0, 0);
}

int shim_signalfd(int fd, const sigset_t *mask, int flags)
{
	long ret = LKL(signalfd4, fd < 0 ? -1 : fd - FIRST, mask, 8, flags, 0, 0);

	return fd < 0 ? opened(ret) : ret < 0 ? result(ret) : fd;
}

/* By statx(), whose structure is the same for every architecture. */
int shim_fstat(int fd, struct stat *to)
{
	struct statx from;
	long ret;

	if (!ours(fd))
		return fstat(fd, to);
	ret = LKL(statx, fd - FIRST, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &from, 0);
	if (ret < 0)
		return result(ret);
	*to = (struct stat){
		.st_dev = makedev(from.stx_dev_major, from.stx_dev_minor),
		.st_ino = from.stx_ino,
		.st_mode = from.stx_mode,
		.st_nlink = from.stx_nlink,
		.st_uid = from.stx_uid,
		.st_gid = from.stx_gid,
		.st_rdev = makedev(from.stx_rdev_major, from.stx_rdev_minor),
		.st_size = from.stx_size,
		.st_blksize = from.stx_blksize,
		.st_blocks = from.stx_blocks,
		.st_atim = { from.stx_atime.tv_sec, from.stx_atime.tv_nsec },
		.st_mtim = { from.stx_mtime.tv_sec, from.stx_mtime.tv_nsec },
		.st_ctim = { from.stx_ctime.tv_sec, from.stx_ctime.tv_nsec },
	};
	return 0;
}

ssize_t shim_splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t len, unsigned int flags)
{
	return result(LKL(splice, in - FIRST, in_at, out - FIRST, out_at, len, flags));
}

ssize_t shim_vmsplice(int fd, const struct iovec *pieces, size_t count, unsigned int flags)
{
	return EITHER(vmsplice, fd, pieces, count, flags, 0, 0);
}

/* sendfile() from a file of the host's: by a buffer, since the carried Linux has no such file. */
ssize_t shim_sendfile(int out, int in, off_t *offset, size_t count)
{
	char buffer[65536];
	size_t sent = 0;

	if (ours(in))
		return result(LKL(sendfile, out - FIRST, in - FIRST, offset, count, 0, 0));
	while (sent < count) {
		size_t len = count - sent < sizeof(buffer) ? count - sent : sizeof(buffer);
		ssize_t have = offset ? pread(in, buffer, len, *offset) : read(in, buffer, len);
		ssize_t put;

		if (have <= 0)
			break;
		put = shim_write(out, buffer, have);
		if (put < 0)
			return sent ? (ssize_t)sent : -1;
		if (offset)
			*offset += put;
		sent += put;
	}
	return sent;
}

int shim_poll(struct pollfd *list, nfds_t count, int timeout)
{
	struct pollfd copy[64];
	nfds_t each;
	long ret;

	if (count > 64 || (count && !ours(list[0].fd)))
		return poll(list, count, timeout);
	for (each = 0; each < count; each++) {
		copy[each] = list[each];
		copy[each].fd -= FIRST;
	}
	ret = LKL(poll, copy, count, timeout, 0, 0, 0);
	for (each = 0; each < count; each++)
		list[each].revents = copy[each].revents;
	return result(ret);
}

int shim_select(int most, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout)
{
	struct pollfd list[64];
	int fd, count = 0, found = 0, each, ret;

	for (fd = FIRST; fd < most; fd++) {
		short events = (in && FD_ISSET(fd, in) ? POLLIN : 0) | (out && FD_ISSET(fd, out) ? POLLOUT : 0) |
			       (except && FD_ISSET(fd, except) ? POLLPRI : 0);

		if (events && count < 64)
			list[count++] = (struct pollfd){ .fd = fd, .events = events };
	}
	ret = shim_poll(list, count, timeout ? timeout->tv_sec * 1000 + timeout->tv_usec / 1000 : -1);
	if (ret < 0)
		return ret;
	if (in)
		FD_ZERO(in);
	if (out)
		FD_ZERO(out);
	if (except)
		FD_ZERO(except);
	for (each = 0; each < count; each++) {
		if (in && list[each].revents & (POLLIN | POLLHUP | POLLERR) && list[each].events & POLLIN)
			FD_SET(list[each].fd, in), found++;
		if (out && list[each].revents & (POLLOUT | POLLERR) && list[each].events & POLLOUT)
			FD_SET(list[each].fd, out), found++;
		if (except && list[each].revents & POLLPRI)
			FD_SET(list[each].fd, except), found++;
	}
	return found;
}

int shim_epoll_create1(int flags)
{
	return opened(LKL(epoll_create1, flags, 0, 0, 0, 0, 0));
}

int shim_epoll_create(int size)
{
	(void)size;
	return shim_epoll_create1(0);
}

int shim_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
	return result(LKL(epoll_ctl, epoll - FIRST, what, fd - FIRST, event, 0, 0));
}

int shim_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout)
{
	return result(LKL(epoll_wait, epoll - FIRST, events, most, timeout, 0, 0));
}

/* ---- Name spaces, and files that are Linux's own. */

int shim_unshare(int flags)
{
	return result(LKL(unshare, flags, 0, 0, 0, 0, 0));
}

int shim_setns(int fd, int type)
{
	return result(LKL(setns, fd - FIRST, type, 0, 0, 0, 0));
}

/* What is the carried Linux's: its settings and its devices. */
static int is_its(const char *path)
{
	return !strncmp(path, "/proc/", 6) || !strncmp(path, "/sys/", 5) || !strncmp(path, "/dev/net/", 9);
}

int shim_open(const char *path, int flags, ...)
{
	va_list list;
	int mode;

	va_start(list, flags);
	mode = va_arg(list, int);
	va_end(list);
	if (!is_its(path))
		return open(path, flags, mode);
	return opened(LKL(open, path, flags, mode, 0, 0, 0));
}

/* A socket's name is the carried Linux's; a file of the host's has the name if that has none. */
int shim_unlink(const char *path)
{
	long ret = LKL(unlink, path, 0, 0, 0, 0, 0);

	return ret == -ENOENT ? unlink(path) : result(ret);
}

int shim_remove(const char *path)
{
	long ret = LKL(unlink, path, 0, 0, 0, 0, 0);

	return ret == -ENOENT ? remove(path) : result(ret);
}

static ssize_t cookie_read(void *cookie, char *buffer, size_t len)
{
	return shim_read((int)(long)cookie, buffer, len);
}

static ssize_t cookie_write(void *cookie, const char *buffer, size_t len)
{
	return shim_write((int)(long)cookie, buffer, len);
}

static int cookie_close(void *cookie)
{
	return shim_close((int)(long)cookie);
}

FILE *shim_fopen(const char *path, const char *mode)
{
	cookie_io_functions_t functions = { .read = cookie_read, .write = cookie_write, .close = cookie_close };
	int fd;

	if (!is_its(path))
		return fopen(path, mode);
	fd = shim_open(path, mode[0] == 'r' ? (mode[1] == '+' ? O_RDWR : O_RDONLY) : O_WRONLY, 0);
	return fd < 0 ? NULL : fopencookie((void *)(long)fd, mode, functions);
}

unsigned int shim_if_nametoindex(const char *name)
{
	struct {
		char name[16];
		int index;
		char rest[20];
	} request = { .index = 0 };
	long fd = LKL(socket, AF_INET, SOCK_DGRAM, 0, 0, 0, 0);
	long ret;

	snprintf(request.name, sizeof(request.name), "%s", name);
	ret = LKL(ioctl, fd, 0x8933 /* SIOCGIFINDEX */, &request, 0, 0, 0);
	LKL(close, fd, 0, 0, 0, 0, 0);
	return ret < 0 ? 0 : request.index;
}

/* ---- Users: the carried Linux's. The host's user stays. */

int shim_setresuid(uid_t real, uid_t effective, uid_t saved)
{
	return result(LKL(setresuid, real, effective, saved, 0, 0, 0));
}

int shim_setresgid(gid_t real, gid_t effective, gid_t saved)
{
	return result(LKL(setresgid, real, effective, saved, 0, 0, 0));
}

int shim_setreuid(uid_t real, uid_t effective)
{
	return result(LKL(setreuid, real, effective, 0, 0, 0, 0));
}

int shim_setregid(gid_t real, gid_t effective)
{
	return result(LKL(setregid, real, effective, 0, 0, 0, 0));
}

int shim_seteuid(uid_t user)
{
	return shim_setresuid(-1, user, -1);
}

int shim_setegid(gid_t group)
{
	return shim_setresgid(-1, group, -1);
}

int shim_setuid(uid_t user)
{
	return result(LKL(setuid, user, 0, 0, 0, 0, 0));
}

int shim_setgid(gid_t group)
{
	return result(LKL(setgid, group, 0, 0, 0, 0, 0));
}

uid_t shim_getuid(void)
{
	return LKL(getuid, 0, 0, 0, 0, 0, 0);
}

uid_t shim_geteuid(void)
{
	return LKL(geteuid, 0, 0, 0, 0, 0, 0);
}

gid_t shim_getgid(void)
{
	return LKL(getgid, 0, 0, 0, 0, 0, 0);
}

gid_t shim_getegid(void)
{
	return LKL(getegid, 0, 0, 0, 0, 0, 0);
}

/* ---- Children. */

static char *stack_top;
static int next_pid = 100000;
/* The children that nobody has waited for yet. */
static struct {
	int pid;
	int status;
} ended[64];

/* Makes the calls of a child, and ends with it. */
static void *calls_of(void *argument)
{
	struct child *child = argument;

	for (;;) {
		down(&child->asked);
		if (!child->args)
			return NULL;
		child->value = lkl_syscall(child->number, child->args);
		child->args = NULL;
		sem_post(&child->answered);
	}
}

/* Runs on a stack of its own: puts back the parent's, and goes there. */
static void go_back(void)
{
	struct child *child = current;

	current = child->parent;
	memcpy(child->low, child->copy, child->len);
	longjmp(child->back, 1);
}

static void child_ends(int status)
{
	static char stack[65536];
	static ucontext_t context;
	int each;

	for (each = 0; each < 64 && ended[each].pid; each++)
		;
	if (each < 64) {
		ended[each].pid = current->pid;
		ended[each].status = status;
	}
	for (each = 0; each < MOST; each++) {
		if (opened_by[each] == generation)
			shim_close(each + FIRST);
	}
	generation--;
	sem_post(&current->asked);
	pthread_join(current->caller, NULL);
	fflush(NULL);
	getcontext(&context);
	context.uc_stack.ss_sp = stack;
	context.uc_stack.ss_size = sizeof(stack);
	context.uc_link = NULL;
	makecontext(&context, go_back, 0);
	setcontext(&context);
}

pid_t __attribute__((noinline)) shim_fork(void)
{
	struct child *child = calloc(1, sizeof(*child));
	unsigned int users[3], groups[3];
	long network;
	char *sp;

	fflush(NULL);
	child->parent = current;
	child->pid = next_pid++;
	sem_init(&child->asked, 0, 0);
	sem_init(&child->answered, 0, 0);
	if (pthread_create(&child->caller, NULL, calls_of, child)) {
		free(child);
		errno = EAGAIN;
		return -1;
	}
	network = LKL(open, "/proc/thread-self/ns/net", O_RDONLY, 0, 0, 0, 0);
	LKL(getresuid, &users[0], &users[1], &users[2], 0, 0, 0);
	LKL(getresgid, &groups[0], &groups[1], &groups[2], 0, 0, 0);
	if (setjmp(child->back))
		return child->pid;
	asm volatile("mov %%rsp, %0" : "=r"(sp));
	/* The red zone, too. */
	child->low = sp - 128;
	child->len = stack_top - child->low;
	child->copy = malloc(child->len);
	memcpy(child->copy, child->low, child->len);
	current = child;
	generation++;
	if (LKL(setns, network, 0x40000000 /* CLONE_NEWNET */, 0, 0, 0, 0) < 0 ||
	    LKL(setresgid, groups[0], groups[1], groups[2], 0, 0, 0) < 0 ||
	    LKL(setresuid, users[0], users[1], users[2], 0, 0, 0) < 0) {
		fprintf(stderr, "shim: a child is not what its parent is\n");
		_exit(99);
	}
	LKL(close, network, 0, 0, 0, 0, 0);
	return 0;
}

pid_t shim_waitpid(pid_t pid, int *status, int options)
{
	int each;

	(void)options;
	for (each = 0; each < 64; each++) {
		if (ended[each].pid && (pid <= 0 || ended[each].pid == pid)) {
			pid = ended[each].pid;
			if (status)
				*status = ended[each].status;
			ended[each].pid = 0;
			return pid;
		}
	}
	errno = ECHILD;
	return -1;
}

pid_t shim_wait(int *status)
{
	return shim_waitpid(-1, status, 0);
}

void __attribute__((noreturn)) shim_exit(int status)
{
	if (current)
		child_ends((status & 255) << 8);
	fflush(NULL);
	_exit(status);
}

void shim__exit(int status) __attribute__((noreturn, alias("shim_exit")));
pid_t shim_vfork(void) __attribute__((alias("shim_fork")));

void __attribute__((noreturn)) shim_abort(void)
{
	if (current)
		child_ends(SIGABRT);
	abort();
}

/* To the caller itself: its end, as that of a process without handlers. There is nobody else. */
int shim_kill(pid_t pid, int sig)
{
	if (pid != shim_getpid()) {
		errno = ESRCH;
		return -1;
	}
	if (current && sig)
		child_ends(sig);
	return kill(pid, sig);
}

int shim_raise(int sig)
{
	return shim_kill(shim_getpid(), sig);
}

/* A child's group would be that of the host's process. */
int shim_setpgrp(void)
{
	return 0;
}

int shim_setpgid(pid_t pid, pid_t group)
{
	(void)pid;
	(void)group;
	return 0;
}

/* A program of the host's would change the host: none is run. */
int shim_system(const char *command)
{
	fprintf(stderr, "shim: not run: %s\n", command ? command : "");
	errno = ENOSYS;
	return -1;
}

FILE *shim_popen(const char *command, const char *mode)
{
	(void)mode;
	shim_system(command);
	return NULL;
}

int shim_execve(const char *path, char **argv, char **envp)
{
	(void)argv;
	(void)envp;
	return shim_system(path);
}

int shim_execv(const char *path, char **argv)
{
	return shim_execve(path, argv, NULL);
}

int shim_execvp(const char *path, char **argv)
{
	return shim_execve(path, argv, NULL);
}

int shim_execl(const char *path, ...)
{
	return shim_system(path);
}

int shim_execlp(const char *path, ...)
{
	return shim_system(path);
}

/* ---- The start. */

static void __attribute__((noreturn)) fail(const char *what, long error)
{
	fprintf(stderr, "shim: %s: %s\n", what, lkl_strerror(error));
	_exit(99);
}

/* Makes the settings: lines NAME=VALUE. */
static void set_all(const char *lines)
{
	char *copy = strdup(lines), *rest = copy, *line;

	while ((line = strsep(&rest, "\n"))) {
		char path[PATH_MAX], *value = strchr(line, '='), *dot;
		long fd, ret;

		if (!*line)
			continue;
		if (!value)
			fail(line, -EINVAL);
		*value++ = 0;
		for (dot = line; (dot = strchr(dot, '.'));)
			*dot = '/';
		snprintf(path, sizeof(path), "/proc/sys/%s", line);
		fd = LKL(open, path, O_WRONLY, 0, 0, 0, 0);
		if (fd < 0)
			fail(path, fd);
		ret = LKL(write, fd, value, strlen(value), 0, 0, 0);
		if (ret != (long)strlen(value))
			fail(path, ret < 0 ? ret : -EIO);
		LKL(close, fd, 0, 0, 0, 0, 0);
	}
	free(copy);
}

int main(int argc, char **argv, char **envp)
{
	const char *settings = getenv("SHIM_SETTINGS");
	char top;
	long ret;
	struct {
		char name[16];
		short flags;
		char rest[22];
	} loopback = { .name = "lo", .flags = 0x41 /* IFF_UP | IFF_RUNNING */ };

	stack_top = &top + 4096 < (char *)envp ? &top + 4096 : (char *)envp;
	first_thread = pthread_self();
	lkl_host_ops.print = NULL;
	ret = lkl_init(&lkl_host_ops);
	if (ret)
		fail("lkl_init", ret);
	ret = lkl_start_kernel("mem=192M loglevel=0");
	if (ret)
		fail("boot", ret);
	if (lkl_mount_fs("proc") < 0 || lkl_mount_fs("sysfs") < 0)
		fail("proc and sysfs", -EIO);
	ret = LKL(socket, AF_INET, SOCK_DGRAM, 0, 0, 0, 0);
	LKL(ioctl, ret, 0x8914 /* SIOCSIFFLAGS */, &loopback, 0, 0, 0);
	LKL(close, ret, 0, 0, 0, 0, 0);
	if (settings)
		set_all(settings);
	shim_exit(shim_program(argc, argv, envp));
}
