/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the host's disks share. One paragraph a file:
 *
 *   hostblk.c          disks, and their reads
 *   hostblk_overlay.c  writes that stay in RAM
 */
#ifndef _LKL_HOSTBLK_H
#define _LKL_HOSTBLK_H

#include <linux/blk-mq.h>
#include <linux/list.h>
#include <asm/lkl.h>

#define MAX_SEGMENTS		128
#define MAX_REQUEST_BYTES	(1U << 20)

struct overlay_page;

struct hostblk {
	struct list_head list;
	struct gendisk *gendisk;
	struct blk_mq_tag_set tags;
	void *host_disk;
	u64 host_size;			/* bytes; behind them is padding */
	bool gone;
	struct overlay_page **overlay;	/* by the hash of their numbers; NULL before the first write */
	unsigned int overlay_bits;	/* of that hash */
	unsigned long overlay_limit;	/* bytes */
	void *overlay_chunk;		/* memory of the host's for the overlay's next pages */
	unsigned long overlay_left;	/* bytes of it that are not used yet */
	struct lkl_disk_stats stats;
};

struct hostblk_request {
	struct lkl_disk_read read;
	struct lkl_irq_event event;
	long error;
	struct lkl_segment segments[MAX_SEGMENTS];
};

/* Puts a write into the overlay; BLK_STS_NOSPC beyond its limit. */
blk_status_t hostblk_overlay_write(struct hostblk *disk, struct request *rq);
/* Lays the overlay over a read that the host has ended. */
void hostblk_overlay_read(struct hostblk *disk, struct request *rq);

#endif /* _LKL_HOSTBLK_H */
