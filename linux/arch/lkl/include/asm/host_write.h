/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Disks that Linux may write to: an addition to the contract of host_ops.h.
 *
 * A kernel has this part only if it was built with CONFIG_LKL_HOSTBLK_WRITE. The driver's was not: it does not export the
 * function below, and has no code that calls the operations.
 *
 * What the host promises. A write that it has ended without an error is read back from then on. It may be lost when the
 * host's machine stops, until a flush that began after the write's end has ended without an error, too; or until the write
 * itself has ended, if it was marked LKL_DISK_FUA. Once the host could not keep that promise for a single write it ends
 * every later flush with an error: a flush that succeeds covers all writes since the disk was added.
 *
 * What Linux does not rely on. Requests that are under way at once take effect in any order, on the same blocks too: what
 * must come after something else is asked for when that has ended.
 */
#ifndef _ASM_LKL_HOST_WRITE_H
#define _ASM_LKL_HOST_WRITE_H

#include "host_ops.h"

#define LKL_HOST_WRITE_VERSION	1

#ifdef __cplusplus
extern "C" {
#endif

/* Flags of a request. */
#define LKL_DISK_FUA		1U	/* write: it is durable when it has ended */
#define LKL_DISK_NOUNMAP	2U	/* write_zeroes: the blocks keep their room on the device */

/* Features of a disk. */
#define LKL_DISK_HAS_FUA	1U	/* LKL_DISK_FUA is understood; else Linux sends flushes in its place */

/*
 * One request that changes a disk, or has changes made durable.
 *
 * The request, with its segments, belongs to the host from the call of the operation until the host calls done(). The
 * host may keep its own state in host_private meanwhile.
 */
struct lkl_disk_write {
	unsigned long offset;		/* bytes from the start of the disk, a multiple of the block size; flush: 0 */
	unsigned long len;		/* bytes, a multiple of the block size; flush: 0 */
	unsigned long segment_count;	/* write: what to read the bytes from, whose lengths make up len; else none */
	const struct lkl_segment *segments;
	unsigned int flags;		/* LKL_DISK_* */
	/*
	 * Ends the request: the host calls it once, in any context. error is 0 or a negative Linux error. -ENOSPC (-28) and
	 * a few more reach a program as they are; all that Linux has no block status for, -EROFS (-30) among them, does as
	 * -EIO. The request is Linux's again afterwards.
	 */
	void (*done)(struct lkl_disk_write *request, long error);
	void *host_private[4];		/* the host's own, zero at first */
	void *linux_private[2];		/* Linux's own: not for the host */
};

/*
 * What a host does for a disk that Linux may write to. No operation waits for the device: it may end the request before it
 * returns, or at any later time from any thread or context, in any order. Many are under way at once. The first argument
 * is the member `disk`.
 */
struct lkl_disk_write_ops {
	unsigned int size;		/* sizeof(struct lkl_disk_write_ops) */
	unsigned int version;		/* LKL_HOST_WRITE_VERSION */
	void *disk;
	unsigned int features;		/* LKL_DISK_HAS_* */
	unsigned int discard_granularity;	/* bytes, a power of two, or 0: the block size */
	unsigned long max_discard;	/* bytes of one discard; 0: the most that Linux knows */
	unsigned long max_write_zeroes;	/* bytes of one write_zeroes; 0: the most that Linux knows */

	void (*write)(void *disk, struct lkl_disk_write *request);
	/* Makes durable all writes, discards and zeroes that have ended. NULL: each is when it ends. */
	void (*flush)(void *disk, struct lkl_disk_write *request);
	/* The bytes are not needed any more; what is read there afterwards is not defined. NULL: Linux never asks for that. */
	void (*discard)(void *disk, struct lkl_disk_write *request);
	/* The bytes are zero afterwards. NULL: Linux writes zeroes. */
	void (*write_zeroes)(void *disk, struct lkl_disk_write *request);
};

/*
 * As linux_disk_add(), for a disk that Linux may write to. Reads go to disk_read with params->disk as ever. There is no
 * overlay, and no padding (-EINVAL). Linux keeps a copy of *ops; what ops->disk points to stays until linux_disk_remove() or
 * linux_halt() has returned. Neither of the two writes what Linux still has in memory: unmount first.
 */
long linux_disk_add_writable(struct lkl_task *task, const struct lkl_disk_params *params,
			     const struct lkl_disk_write_ops *ops, struct lkl_disk_info *info);

#ifdef __cplusplus
}
#endif

#endif /* _ASM_LKL_HOST_WRITE_H */
