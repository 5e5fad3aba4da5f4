// SPDX-License-Identifier: GPL-2.0
/*
 * The calls offered to the host: Linux's own functions under their x86-64 numbers. What needs a user-mode program, its
 * memory map or its signals is not among them; what the configuration leaves out answers -ENOSYS by itself.
 */
#include <linux/fcntl.h>
#include <linux/nospec.h>
#include <linux/openat2.h>
#include <linux/syscalls.h>
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
	CALL(ioctl),
	CALL(pread64),
	CALL(pwrite64),
	CALL(readv),
	CALL(access),
	CALL(pipe),
	CALL(select),
	CALL(sched_yield),
	CALL(dup),
	CALL(dup2),
	CALL(nanosleep),
	CALL(getpid),
	CALL_AS(sendfile, sys_sendfile64),
	CALL(socket),
	CALL(connect),
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
	CALL(setsockopt),
	CALL(getsockopt),
	CALL(kill),
	CALL_AS(uname, sys_newuname),
	CALL_AS(fcntl, fcntl_cached),
	CALL(fsync),
	CALL(fdatasync),
	CALL(truncate),
	CALL(ftruncate),
	CALL(getcwd),
	CALL(chdir),
	CALL(fchdir),
	CALL(rename),
	CALL(mkdir),
	CALL(rmdir),
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
	CALL(sysinfo),
	CALL(times),
	CALL(getuid),
	CALL(syslog),
	CALL(getgid),
	CALL(setuid),
	CALL(setgid),
	CALL(geteuid),
	CALL(getegid),
	CALL(getppid),
	CALL(setfsuid),
	CALL(setfsgid),
	CALL(capget),
	CALL(capset),
	CALL(mknod),
	CALL(personality),
	CALL(statfs),
	CALL(fstatfs),
	CALL(setrlimit),
	CALL(chroot),
	CALL(sync),
	CALL_AS(mount, mount_with_short_options),
	CALL_AS(umount2, sys_umount),
	CALL(reboot),
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
	CALL(futex),
	CALL(getdents64),
	CALL(fadvise64),
	CALL(clock_settime),
	CALL(clock_gettime),
	CALL(clock_getres),
	CALL(clock_nanosleep),
	CALL(epoll_wait),
	CALL(epoll_ctl),
	CALL_AS(openat, openat_cached),
	CALL(mkdirat),
	CALL(mknodat),
	CALL(fchownat),
	CALL(newfstatat),
	CALL(unlinkat),
	CALL(linkat),
	CALL(symlinkat),
	CALL(readlinkat),
	CALL(fchmodat),
	CALL(faccessat),
	CALL(pselect6),
	CALL(ppoll),
	CALL(splice),
	CALL(tee),
	CALL(sync_file_range),
	CALL(utimensat),
	CALL(epoll_pwait),
	CALL(timerfd_create),
	CALL(fallocate),
	CALL(timerfd_settime),
	CALL(timerfd_gettime),
	CALL(accept4),
	CALL(eventfd2),
	CALL(epoll_create1),
	CALL(dup3),
	CALL(pipe2),
	CALL(preadv),
	CALL(prlimit64),
	CALL(name_to_handle_at),
	CALL(open_by_handle_at),
	CALL(syncfs),
	CALL(renameat2),
	CALL(getrandom),
	CALL(copy_file_range),
	CALL(preadv2),
	CALL(statx),
	CALL(open_tree),
	CALL(move_mount),
	CALL(fsopen),
	CALL(fsconfig),
	CALL(fsmount),
	CALL(fspick),
	CALL(close_range),
	CALL_AS(openat2, openat2_cached),
	CALL(faccessat2),
	CALL(mount_setattr),
};

long lkl_syscall_dispatch(long number, const long args[6])
{
	if (number < 0 || number >= ARRAY_SIZE(calls) || !calls[number])
		return -ENOSYS;
	return calls[number](args[0], args[1], args[2], args[3], args[4], args[5]);
}
