/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the host's disks share. One paragraph a file:
 *
 *   hostblk.c          disks, and their reads
 *   hostblk_overlay.c  writes that stay in RAM
 *   hostblk_write.c    writes that the host makes; only with CONFIG_LKL_HOSTBLK_WRITE
 */
#ifndef _LKL_HOSTBLK_H
#define _LKL_HOSTBLK_H

#include <linux/blk-mq.h>
#include <linux/list.h>
#include <asm/lkl.h>
#ifdef CONFIG_LKL_HOSTBLK_WRITE
#include <asm/host_write.h>
#else
struct lkl_disk_write_ops;
#endif

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
#ifdef CONFIG_LKL_HOSTBLK_WRITE
	struct lkl_disk_write_ops write;	/* all zero unless the host may be asked to write */
#endif
};

struct hostblk_request {
	union {
		struct lkl_disk_read read;
#ifdef CONFIG_LKL_HOSTBLK_WRITE
		struct lkl_disk_write write;
#endif
	};
	struct lkl_irq_event event;
	long error;
	struct lkl_segment segments[MAX_SEGMENTS];
};

/*
 * Makes a disk. `write` is NULL, but in calls from hostblk_write.c.
 */
long hostblk_add(const struct lkl_disk_params *params, const struct lkl_disk_write_ops *write,
		 struct lkl_disk_info *info);
/* Fills in a request's pieces of memory; how many there are. */
unsigned long hostblk_segments(struct request *rq, struct lkl_segment *segments);

/* Puts a write into the overlay; BLK_STS_NOSPC beyond its limit. */
blk_status_t hostblk_overlay_write(struct hostblk *disk, struct request *rq);
/* Lays the overlay over a read that the host has ended. */
void hostblk_overlay_read(struct hostblk *disk, struct request *rq);

#ifdef CONFIG_LKL_HOSTBLK_WRITE
/* Whether the host is asked to write what Linux writes. */
static inline bool hostblk_write_wanted(const struct hostblk *disk)
{
	return disk->write.write;
}

/* Takes the host's operations; -EINVAL if they make no sense. */
int hostblk_write_init(struct hostblk *disk, const struct lkl_disk_params *params,
		       const struct lkl_disk_write_ops *write);
/* Tells Linux, before there is a queue and when there is one, what may be asked of the disk. */
void hostblk_write_limits(const struct hostblk *disk, struct queue_limits *limits);
void hostblk_write_queue(const struct hostblk *disk, struct request_queue *queue);
/* Starts any request but a read. */
blk_status_t hostblk_write_start(struct hostblk *disk, struct request *rq);
#else
static inline bool hostblk_write_wanted(const struct hostblk *disk)
{
	return false;
}

static inline int hostblk_write_init(struct hostblk *disk, const struct lkl_disk_params *params,
				     const struct lkl_disk_write_ops *write)
{
	return 0;
}

static inline void hostblk_write_limits(const struct hostblk *disk, struct queue_limits *limits)
{
}

static inline void hostblk_write_queue(const struct hostblk *disk, struct request_queue *queue)
{
}

static inline blk_status_t hostblk_write_start(struct hostblk *disk, struct request *rq)
{
	return BLK_STS_NOTSUPP;
}
#endif

#endif /* _LKL_HOSTBLK_H */
