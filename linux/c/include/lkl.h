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
 * Boots Linux with this command line. "mem=SIZE" (with k, M or G) is how much memory it manages, 64M unless said. "ip=dhcp" gives the
 * first interface at which a server answers an address, "ip=ADDRESS::GATEWAY:NETMASK::DEVICE:off" that one; when that fails it is written by
 * the print operation, and Linux runs. 0; -LKL_EINVAL before lkl_init() or for a bad size or address, -LKL_EBUSY when Linux was booted before,
 * -LKL_ENOMEM.
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

/* ---- network ---- */

/* Offloads, as virtio-net numbers its features: bits of what lkl_netdev_*_create() and struct lkl_netdev_args have. */
#ifndef LKL_NETDEV_OFFLOAD_TCP
/* Checksums and segmentation of TCP, both ways. */
#define LKL_NETDEV_OFFLOAD_TCP	0x3b83
#endif

/* What poll() of struct lkl_dev_net_ops answers. */
#define LKL_DEV_NET_POLL_RX	1
#define LKL_DEV_NET_POLL_TX	2
#define LKL_DEV_NET_POLL_HUP	4

struct lkl_netdev;

/*
 * A program's own kind of interface. Two threads of the library's call these functions for each interface: one tx, the other
 * poll and rx, so that none of them keeps Linux waiting. All five but free are needed.
 *
 * A packet is an Ethernet frame in pieces, with struct lkl_virtio_net_hdr_v1 (12 bytes) before it if has_vnet_hdr is set.
 */
struct lkl_dev_net_ops {
	/* Sends a packet; at least 0. Negative: there is no room, and poll will tell of room. The packet comes again then. */
	int (*tx)(struct lkl_netdev *nd, struct iovec *iov, int cnt);
	/* Receives a packet into the pieces: how many bytes, header included. Negative: there is none. */
	int (*rx)(struct lkl_netdev *nd, struct iovec *iov, int cnt);
	/* Waits for news: LKL_DEV_NET_POLL_* bits. RX: rx is called until it has none. Negative or HUP: the last call. */
	int (*poll)(struct lkl_netdev *nd);
	/* Has poll answer HUP from now on. The interface ends when that has returned. */
	void (*poll_hup)(struct lkl_netdev *nd);
	/* By lkl_netdev_free(). May be NULL. */
	void (*free)(struct lkl_netdev *nd);
};

/* The host's end of an interface. */
struct lkl_netdev {
	struct lkl_dev_net_ops *ops;	/* those of the library's kinds are not to be called */
	int id;				/* lkl_netdev_add()'s */
	uint8_t has_vnet_hdr: 1;
	uint8_t mac[6];
};

/*
 * Kinds that the library has. NULL when one cannot be opened, is not built in (vde, dpdk), or does not exist on this host (on
 * Windows: all of them); the host's print operation writes why. `offload`: those that are wanted, of which the host's end has
 * what it can; 0: each packet is complete.
 *
 * A TAP device that exists ("ip tuntap add NAME mode tap"); a macvtap by its device's path, whose address Linux's interface has
 * unless it is given one; an interface of the machine's, which
 * goes on using it; "READ|WRITE", two FIFOs, in which a packet is behind its length in four bytes, the highest first.
 */
struct lkl_netdev *lkl_netdev_tap_create(const char *ifname, int offload);
struct lkl_netdev *lkl_netdev_macvtap_create(const char *path, int offload);
struct lkl_netdev *lkl_netdev_raw_create(const char *ifname);
struct lkl_netdev *lkl_netdev_pipe_create(const char *ifname, int offload);
struct lkl_netdev *lkl_netdev_vde_create(const char *switch_path);
struct lkl_netdev *lkl_netdev_dpdk_create(const char *ifname, int offload, unsigned char *mac);

struct lkl_netdev_args {
	void *mac;		/* six bytes; NULL: Linux makes an address up */
	unsigned int offload;	/* of an interface with ops of the program's and has_vnet_hdr */
};

/*
 * Gives an interface to Linux, before or after the boot. It is down, unless "ip=" of the command line has given it an address. Its
 * number, at least 0, or a negative error: -LKL_EINVAL for ops that are not all there, -LKL_EBUSY when Linux has it.
 * `args` may be NULL.
 */
int lkl_netdev_add(struct lkl_netdev *nd, struct lkl_netdev_args *args);
/* Takes it away: none of its functions is called afterwards. -LKL_ENODEV when there is none of that number. */
int lkl_netdev_remove(int id);
/* Frees the host's end; takes the interface away before, if need be. */
void lkl_netdev_free(struct lkl_netdev *nd);
/* Linux's number of the interface; -LKL_EAGAIN before the boot. */
int lkl_netdev_get_ifindex(int id);

/*
 * What follows returns 0 or a negative error, as -LKL_ENODEV when there is no such interface, and is about the network that the calling
 * thread is in. Loopback is interface 1. An `unsigned int` address is one of IPv4 in network order; an address by pointer is
 * one of `af` (LKL_AF_INET, LKL_AF_INET6), or of IPv6.
 */
int lkl_if_up(int ifindex);
int lkl_if_down(int ifindex);
int lkl_if_set_mtu(int ifindex, int mtu);
/* Adds an address, or leaves it as it is when the interface has it. */
int lkl_if_set_ipv4(int ifindex, unsigned int addr, unsigned int netmask_len);
int lkl_if_set_ipv6(int ifindex, void *addr, unsigned int netprefix_len);
/* Adds one: -LKL_EEXIST when it is there. Takes one away: -LKL_EADDRNOTAVAIL when it is not. */
int lkl_if_add_ip(int ifindex, int af, void *addr, unsigned int netprefix_len);
int lkl_if_del_ip(int ifindex, int af, void *addr, unsigned int netprefix_len);

/* The way out of all networks; a later one takes the place of an earlier. */
int lkl_set_ipv4_gateway(unsigned int addr);
int lkl_set_ipv6_gateway(void *addr);
int lkl_add_gateway(int af, void *gwaddr);

/*
 * An interface's routing table of its own, for packets that have its address as their source: a way out in it; an address's
 * network in it; that packets from an address look into it. The last two functions do all three.
 */
int lkl_if_add_gateway(int ifindex, int af, void *gwaddr);
int lkl_if_add_linklocal(int ifindex, int af, void *addr, int netprefix_len);
int lkl_if_add_rule_from_saddr(int ifindex, int af, void *saddr);
int lkl_if_set_ipv4_gateway(int ifindex, unsigned int addr, unsigned int netmask_len, unsigned int gwaddr);
int lkl_if_set_ipv6_gateway(int ifindex, void *addr, unsigned int netmask_len, void *gwaddr);

/*
 * Waits until the interface's addresses of IPv6 are known to be no other host's, for 30 s at most: -LKL_ETIMEDOUT.
 * -LKL_EADDRINUSE: another has one.
 */
int lkl_if_wait_ipv6_dad(int ifindex);
/* The host with that address has this Ethernet address, for good. */
int lkl_add_neighbor(int ifindex, int af, void *addr, void *mac);
/* The number of an interface, or a negative error. */
int lkl_ifname_to_ifindex(const char *name);

/* Puts a queue, as "fq", at "root", the only place that is known: -LKL_EINVAL for others, -LKL_ENOENT for a kind that Linux lacks. */
int lkl_qdisc_add(int ifindex, const char *root, const char *type);
/* Several: "root|fq;...". What fails is written by the host's print operation. */
void lkl_qdisc_parse_add(int ifindex, const char *entries);

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
