/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Linux as a library.
 *
 *	lkl_init(&lkl_host_ops);
 *	lkl_start_kernel("mem=64M loglevel=4");
 *	fd = lkl_sys_open("/proc/version", LKL_O_RDONLY, 0);
 *	...
 *	lkl_sys_halt();
 *	lkl_cleanup();
 *
 * Any thread may call. Each that does is a thread of Linux's process 1, with files, current directory and mounts shared.
 * Results are Linux's: at least 0, or a negative error. Linux boots once in the life of a process.
 */
#ifndef LKL_H
#define LKL_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <lkl/libc.h>
#include <lkl/syscalls.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lkl_host_operations;

/* The longest command line, with its NUL. */
#define LKL_COMMAND_LINE_SIZE 2048

/*
 * Takes the host's operations, which lkl_host.h has for this host. -LKL_EINVAL for NULL.
 */
int lkl_init(struct lkl_host_operations *ops);

/*
 * Boots Linux with this command line. "mem=SIZE" (with k, M or G) is how much memory it manages, 64M unless said. 0;
 * -LKL_EINVAL before lkl_init() or for a bad size, -LKL_EBUSY when Linux was booted before, -LKL_ENOMEM.
 */
int lkl_start_kernel_line(const char *command_line);

/* The same, with a format as printf() has it. -LKL_EINVAL when what comes of it is too long. */
static inline int lkl_start_kernel(const char *format, ...)
{
	char line[LKL_COMMAND_LINE_SIZE];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(line))
		return -LKL_EINVAL;
	return lkl_start_kernel_line(line);
}

#if defined(__GNUC__) && !defined(__cplusplus)
/* Programs of long ago gave the operations here. */
extern int lkl_start_kernel_takes_no_operations(void)
	__attribute__((error("lkl_start_kernel() takes the command line only: give the host's operations to lkl_init() before")));
#define lkl_start_kernel(first, ...)							\
	(__builtin_types_compatible_p(__typeof__(first), struct lkl_host_operations *)	\
		 ? lkl_start_kernel_takes_no_operations()				\
		 : lkl_start_kernel((const char *)(first), ##__VA_ARGS__))
#endif

/* Whether Linux runs: it was booted, and neither halted nor did it die. */
int lkl_is_running(void);

/*
 * Stops Linux: waits for the calls of other threads, and unmounts nothing, so what was not synchronised is lost. 0;
 * -LKL_EDEADLK when a thread is in a loop inside Linux, which keeps its memory then.
 */
__lkl__long lkl_sys_halt(void);

/* After the halt: gives back what lkl_init() took. */
void lkl_cleanup(void);

/* Nothing is needed before a thread's calls, and nothing after them; 0. */
int lkl_create_syscall_thread(void);
int lkl_stop_syscall_thread(void);

/* Writes by the host's print operation. How many bytes. */
int lkl_print_text(const char *text, int len);

static inline int lkl_printf(const char *format, ...)
{
	char text[1024];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (len < 0)
		return len;
	return lkl_print_text(text, (size_t)len < sizeof(text) ? len : (int)sizeof(text) - 1);
}

/* Writes, and calls the host's panic operation, which ends the process unless the program has put another in its place. */
void lkl_bug_text(const char *text, int len);

static inline void lkl_bug(const char *format, ...)
{
	char text[1024];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (len < 0)
		len = 0;
	lkl_bug_text(text, (size_t)len < sizeof(text) ? len : (int)sizeof(text) - 1);
}

/* What an error means, in English. `err` is as a system call returns it, or positive. The text stays. */
const char *lkl_strerror(int err);
/* Writes "msg: what the error means" by the host's print operation. */
void lkl_perror(char *msg, int err);

/* ---- disks ---- */

#ifdef _WIN32
struct iovec {
	void *iov_base;
	size_t iov_len;
};
#else
#include <sys/uio.h>
#endif

#define LKL_DEV_BLK_TYPE_READ		0
#define LKL_DEV_BLK_TYPE_WRITE		1
#define LKL_DEV_BLK_TYPE_FLUSH		4
#define LKL_DEV_BLK_TYPE_FLUSH_OUT	5

#define LKL_DEV_BLK_STATUS_OK		0
#define LKL_DEV_BLK_STATUS_IOERR	1
#define LKL_DEV_BLK_STATUS_UNSUP	2

/* A request to a disk of the program's own. */
struct lkl_blk_req {
	unsigned int type;		/* LKL_DEV_BLK_TYPE_* */
	unsigned int prio;
	unsigned long long sector;	/* of 512 bytes */
	struct iovec *buf;
	int count;			/* of pieces in buf */
};

/*
 * A disk: a file or device of the host's that the program has open, or, with ops, functions of its own. Those are called by
 * one thread of the library's for each disk, and may wait.
 *
 * Linux may write to a file that is open for reading and writing. It is locked (flock), and another program that wants to
 * write to it is refused, as this one is when another has it: -LKL_EBUSY. To a file that is open for reading Linux never
 * writes: a journal is replayed in memory. A disk with ops is asked to write and to flush; one that answers
 * LKL_DEV_BLK_STATUS_UNSUP to that is one to mount with LKL_MS_RDONLY and without recovery.
 */
struct lkl_disk {
	void *dev;			/* the library's */
	union {
		int fd;
		void *handle;
	};
	struct lkl_dev_blk_ops *ops;	/* NULL: the host's own file operations */
};

struct lkl_dev_blk_ops {
	int (*get_capacity)(struct lkl_disk disk, unsigned long long *bytes);
	int (*request)(struct lkl_disk disk, struct lkl_blk_req *req);	/* LKL_DEV_BLK_STATUS_* */
};

/* Gives a disk to Linux, before or after the boot. Its number, at least 0, or a negative error. */
int lkl_disk_add(struct lkl_disk *disk);
/* Takes it away, mounted or not. */
int lkl_disk_remove(struct lkl_disk disk);

/*
 * Mounts a disk, or partition `part` of it if that is not 0, at a folder of its own, whose path goes to mnt_str: at least 14 bytes, else
 * -LKL_EINVAL. fs_type is Linux's name, flags are LKL_MS_*, opts may be NULL.
 */
__lkl__long lkl_mount_dev(unsigned int disk_id, unsigned int part, const char *fs_type, int flags, const char *opts,
			  char *mnt_str, unsigned int mnt_str_len);
/* Unmounts it and removes the folder. While that is busy it is tried again, for `timeout_ms` at most. */
__lkl__long lkl_umount_dev(unsigned int disk_id, unsigned int part, int flags, __lkl__long timeout_ms);

/* The device number of a disk or partition, as mknod() takes it. */
int lkl_get_virtio_blkdev(int disk_id, unsigned int part, uint32_t *dev);

/* ---- file systems ---- */

/*
 * Mounts a file system that needs no device (proc, sysfs, ...) at "/NAME". 0; 1 when it is there already.
 */
int lkl_mount_fs(char *fstype);

/* Unmounts. While that is busy it is tried again, for `timeout_ms` at most: -LKL_EBUSY then. */
__lkl__long lkl_umount_timeout(char *path, int flags, __lkl__long timeout_ms);

/* The device number in a file of sysfs' named dev, "MAJOR:MINOR", as mknod() takes it. */
int lkl_encode_dev_from_sysfs(const char *sysfs_path, uint32_t *dev);

/* A folder that is read entry by entry. */
struct lkl_dir;

/* NULL, and the error in *err, when it cannot be opened. */
struct lkl_dir *lkl_opendir(const char *path, int *err);
/* From a descriptor, which belongs to the folder then. */
struct lkl_dir *lkl_fdopendir(int fd, int *err);
/* From the start again. */
void lkl_rewinddir(struct lkl_dir *dir);
/* The next entry, valid until the next call; NULL at the end and after an error, which lkl_errdir() tells. */
struct lkl_linux_dirent64 *lkl_readdir(struct lkl_dir *dir);
/* The error of the last lkl_readdir(), or 0. */
int lkl_errdir(struct lkl_dir *dir);
int lkl_dirfd(struct lkl_dir *dir);
int lkl_closedir(struct lkl_dir *dir);

/* ---- what a C library adds to Linux's headers for these calls ---- */

/* What lkl_sys_access() asks. */
#ifndef LKL_F_OK
#define LKL_F_OK	0
#define LKL_X_OK	1
#define LKL_W_OK	2
#define LKL_R_OK	4
#endif

/* Flags of lkl_sys_umount2(), lkl_umount_dev() and lkl_umount_timeout(). */
#ifndef LKL_MNT_FORCE
#define LKL_MNT_FORCE		1
#define LKL_MNT_DETACH		2
#define LKL_MNT_EXPIRE		4
#define LKL_UMOUNT_NOFOLLOW	8
#endif

/* What lkl_sys_name_to_handle_at() fills; the caller says in handle_bytes how much room follows. */
#ifndef LKL_MAX_HANDLE_SZ
#define LKL_MAX_HANDLE_SZ 128
struct lkl_file_handle {
	__lkl__u32 handle_bytes;
	__lkl__s32 handle_type;
	unsigned char f_handle[];
};
#endif

/* ---- settings ---- */

/* Sets a value of /proc/sys: "net.ipv4.ip_forward" or "net/ipv4/ip_forward". 0 or a negative error. */
int lkl_sysctl(const char *path, const char *value);
/* Several: "key=value;key=value". What fails is written by the host's print operation; the rest is set. */
void lkl_sysctl_parse_write(const char *sysctls);
/* How many files may be open. */
int lkl_set_fd_limit(unsigned int fd_limit);

#ifdef __cplusplus
}
#endif

#endif
