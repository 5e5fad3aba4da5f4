// SPDX-License-Identifier: GPL-2.0
/*
 * The calls offered to the host: Linux's own functions under their x86-64 numbers. What needs a user-mode program, its
 * memory map or handlers of its signals is not among them; what the configuration leaves out answers -ENOSYS by itself.
 */
#include <linux/fcntl.h>
#include <linux/nospec.h>
#include <linux/openat2.h>
#include <linux/socket.h>
#include <linux/syscalls.h>
#include <linux/version.h>
#include <linux/uaccess.h>
#include <asm/lkl.h>
#include <asm/unistd.h>

typedef long (*syscall_fn)(long a, long b, long c, long d, long e, long f);

/*
 * mount() copies a whole page of options whatever their length, and the caller's memory may end before that: the
 * string is copied to where it does not.
 */
static long mount_with_short_options(char __user *source, char __user *target, char __user *type,
				     unsigned long flags, void __user *options)
{
	char *page;
	long ret;

	if (!options)
		return sys_mount(source, target, type, flags, NULL);
	page = (char *)get_zeroed_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	ret = strncpy_from_user(page, options, PAGE_SIZE);
	if (ret == PAGE_SIZE)
		ret = -EINVAL;
	if (ret >= 0)
		ret = sys_mount(source, target, type, flags, (void __user *)page);
	free_page((unsigned long)page);
	return ret;
}

/*
 * A transfer past the page cache takes the pages of the caller's memory, and that has none in Linux: it is the host's. Linux
 * would look for them in a memory map that an entry task does not have. So O_DIRECT is refused, as by a file system that
 * cannot do it.
 */
static long open_cached(const char __user *name, int flags, umode_t mode)
{
	return flags & O_DIRECT ? -EINVAL : sys_open(name, flags, mode);
}

static long openat_cached(int dir, const char __user *name, int flags, umode_t mode)
{
	return flags & O_DIRECT ? -EINVAL : sys_openat(dir, name, flags, mode);
}

static long openat2_cached(int dir, const char __user *name, struct open_how __user *how, size_t size)
{
	u64 flags;

	if (size >= sizeof(flags) && !copy_from_user(&flags, &how->flags, sizeof(flags)) && flags & O_DIRECT)
		return -EINVAL;
	return sys_openat2(dir, name, how, size);
}

static long fcntl_cached(unsigned int fd, unsigned int command, unsigned long arg)
{
	return command == F_SETFL && arg & O_DIRECT ? -EINVAL : sys_fcntl(fd, command, arg);
}

/*
 * Sending without a copy takes the pages of the caller's memory, too. A socket that cannot do it says so, and programs that
 * asked send with a copy.
 */
static long setsockopt_copying(int fd, int level, int name, char __user *value, int len)
{
	return level == SOL_SOCKET && name == SO_ZEROCOPY ? -EOPNOTSUPP : sys_setsockopt(fd, level, name, value, len);
}

#define CALL(name)		[__NR_##name] = (syscall_fn)sys_##name
#define CALL_AS(name, function)	[__NR_##name] = (syscall_fn)function

/* Functions take as many of the six arguments as they declare; the calling convention leaves the rest alone. */
#pragma GCC diagnostic ignored "-Wcast-function-type"

static const syscall_fn calls[] = {
	CALL(read),
	CALL(write),
	CALL_AS(open, open_cached),
	CALL(close),
	CALL_AS(stat, sys_newstat),
	CALL_AS(fstat, sys_newfstat),
	CALL_AS(lstat, sys_newlstat),
	CALL(poll),
	CALL(lseek),
	CALL(rt_sigprocmask),
	CALL(ioctl),
	CALL(pread64),
	CALL(pwrite64),
	CALL(readv),
	CALL(writev),
	CALL(access),
	CALL(pipe),
	CALL(select),
	CALL(sched_yield),
	CALL(shmget),
	CALL(shmctl),
	CALL(dup),
	CALL(dup2),
	CALL(pause),
	CALL(nanosleep),
	CALL(getitimer),
	CALL(alarm),
	CALL(setitimer),
	CALL(getpid),
	CALL_AS(sendfile, sys_sendfile64),
	CALL(socket),
	CALL(connect),
	CALL(accept),
	CALL(sendto),
	CALL(recvfrom),
	CALL(sendmsg),
	CALL(recvmsg),
	CALL(shutdown),
	CALL(bind),
	CALL(listen),
	CALL(getsockname),
	CALL(getpeername),
	CALL(socketpair),
	CALL_AS(setsockopt, setsockopt_copying),
	CALL(getsockopt),
	CALL(wait4),
	CALL(kill),
	CALL_AS(uname, sys_newuname),
	CALL(semget),
	CALL(semop),
	CALL(semctl),
	CALL(msgget),
	CALL(msgsnd),
	CALL(msgrcv),
	CALL(msgctl),
	CALL_AS(fcntl, fcntl_cached),
	CALL(flock),
	CALL(fsync),
	CALL(fdatasync),
	CALL(truncate),
	CALL(ftruncate),
	CALL(getdents),
	CALL(getcwd),
	CALL(chdir),
	CALL(fchdir),
	CALL(rename),
	CALL(mkdir),
	CALL(rmdir),
	CALL(creat),
	CALL(link),
	CALL(unlink),
	CALL(symlink),
	CALL(readlink),
	CALL(chmod),
	CALL(fchmod),
	CALL(chown),
	CALL(fchown),
	CALL(lchown),
	CALL(umask),
	CALL(gettimeofday),
	CALL(getrlimit),
	CALL(getrusage),
	CALL(sysinfo),
	CALL(times),
	CALL(getuid),
	CALL(syslog),
	CALL(getgid),
	CALL(setuid),
	CALL(setgid),
	CALL(geteuid),
	CALL(getegid),
	CALL(setpgid),
	CALL(getppid),
	CALL(getpgrp),
	CALL(setsid),
	CALL(setreuid),
	CALL(setregid),
	CALL(getgroups),
	CALL(setgroups),
	CALL(setresuid),
	CALL(getresuid),
	CALL(setresgid),
	CALL(getresgid),
	CALL(getpgid),
	CALL(setfsuid),
	CALL(setfsgid),
	CALL(getsid),
	CALL(capget),
	CALL(capset),
	CALL(rt_sigpending),
	CALL(rt_sigtimedwait),
	CALL(rt_sigqueueinfo),
	CALL(utime),
	CALL(mknod),
	CALL(personality),
	CALL(statfs),
	CALL(fstatfs),
	CALL(getpriority),
	CALL(setpriority),
	CALL(sched_setparam),
	CALL(sched_getparam),
	CALL(sched_setscheduler),
	CALL(sched_getscheduler),
	CALL(sched_get_priority_max),
	CALL(sched_get_priority_min),
	CALL(sched_rr_get_interval),
	CALL(pivot_root),
	CALL(adjtimex),
	CALL(setrlimit),
	CALL(chroot),
	CALL(sync),
	CALL(settimeofday),
	CALL_AS(mount, mount_with_short_options),
	CALL_AS(umount2, sys_umount),
	CALL(reboot),
	CALL(sethostname),
	CALL(setdomainname),
	CALL(quotactl),
	CALL(gettid),
	CALL(readahead),
	CALL(setxattr),
	CALL(lsetxattr),
	CALL(fsetxattr),
	CALL(getxattr),
	CALL(lgetxattr),
	CALL(fgetxattr),
	CALL(listxattr),
	CALL(llistxattr),
	CALL(flistxattr),
	CALL(removexattr),
	CALL(lremovexattr),
	CALL(fremovexattr),
	CALL(tkill),
	CALL(time),
	CALL(futex),
	CALL(sched_setaffinity),
	CALL(sched_getaffinity),
	CALL(epoll_create),
	CALL(getdents64),
	CALL(semtimedop),
	CALL(fadvise64),
	CALL(timer_create),
	CALL(timer_settime),
	CALL(timer_gettime),
	CALL(timer_getoverrun),
	CALL(timer_delete),
	CALL(clock_settime),
	CALL(clock_gettime),
	CALL(clock_getres),
	CALL(clock_nanosleep),
	CALL(epoll_wait),
	CALL(epoll_ctl),
	CALL(tgkill),
	CALL(utimes),
	CALL(mq_open),
	CALL(mq_unlink),
	CALL(mq_timedsend),
	CALL(mq_timedreceive),
	CALL(mq_notify),
	CALL(mq_getsetattr),
	CALL(waitid),
	CALL(add_key),
	CALL(request_key),
	CALL(keyctl),
	CALL(ioprio_set),
	CALL(ioprio_get),
	CALL(inotify_init),
	CALL(inotify_add_watch),
	CALL(inotify_rm_watch),
	CALL_AS(openat, openat_cached),
	CALL(mkdirat),
	CALL(mknodat),
	CALL(fchownat),
	CALL(futimesat),
	CALL(newfstatat),
	CALL(unlinkat),
	CALL(renameat),
	CALL(linkat),
	CALL(symlinkat),
	CALL(readlinkat),
	CALL(fchmodat),
	CALL(faccessat),
	CALL(pselect6),
	CALL(ppoll),
	CALL(unshare),
	CALL(splice),
	CALL(tee),
	CALL(sync_file_range),
	CALL(utimensat),
	CALL(epoll_pwait),
	CALL(signalfd),
	CALL(timerfd_create),
	CALL(eventfd),
	CALL(fallocate),
	CALL(timerfd_settime),
	CALL(timerfd_gettime),
	CALL(accept4),
	CALL(signalfd4),
	CALL(eventfd2),
	CALL(epoll_create1),
	CALL(dup3),
	CALL(pipe2),
	CALL(inotify_init1),
	CALL(preadv),
	CALL(pwritev),
	CALL(rt_tgsigqueueinfo),
	CALL(recvmmsg),
	CALL(fanotify_init),
	CALL(fanotify_mark),
	CALL(prlimit64),
	CALL(name_to_handle_at),
	CALL(open_by_handle_at),
	CALL(clock_adjtime),
	CALL(syncfs),
	CALL(sendmmsg),
	CALL(setns),
	CALL(getcpu),
	CALL(sched_setattr),
	CALL(sched_getattr),
	CALL(renameat2),
	CALL(getrandom),
	CALL(memfd_create),
	CALL(copy_file_range),
	CALL(preadv2),
	CALL(pwritev2),
	CALL(statx),
	CALL(pidfd_send_signal),
	CALL(open_tree),
	CALL(move_mount),
	CALL(fsopen),
	CALL(fsconfig),
	CALL(fsmount),
	CALL(fspick),
	CALL(pidfd_open),
	CALL(close_range),
	CALL_AS(openat2, openat2_cached),
	CALL(pidfd_getfd),
	CALL(faccessat2),
	CALL(epoll_pwait2),
	CALL(mount_setattr),
	CALL(quotactl_fd),
	CALL(futex_waitv),
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
	CALL(cachestat),
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	CALL(fchmodat2),
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	CALL(futex_wake),
	CALL(futex_wait),
	CALL(futex_requeue),
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	CALL(statmount),
	CALL(listmount),
#endif
};

long lkl_syscall_dispatch(long number, const long args[6])
{
	if (number < 0 || number >= ARRAY_SIZE(calls) || !calls[number])
		return -ENOSYS;
	return calls[number](args[0], args[1], args[2], args[3], args[4], args[5]);
}
