// SPDX-License-Identifier: GPL-2.0
/*
 * hostblk's writes: disks that the host writes for us, by asm/host_write.h.
 *
 * A request goes to the host as reads do: as a whole, many at a time, ended in any order. Linux is told that the disk has a
 * volatile cache, so that it says with flushes and FUA what must be durable before what; nothing here orders anything.
 *
 * This file is compiled with CONFIG_LKL_HOSTBLK_WRITE alone, and the driver's kernel is refused by its build if a function
 * of it is in there (linux/build, check).
 */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/log2.h>
#include <linux/version.h>
#include <asm/host_write.h>
#include <asm/lkl.h>
#include "hostblk.h"

/* Sectors of the longest request of a kind that has no segments: a length is an unsigned int. */
#define MAX_SECTORS	(round_down(UINT_MAX, PAGE_SIZE) >> SECTOR_SHIFT)

static unsigned int most_sectors(unsigned long bytes)
{
	return bytes ? min_t(unsigned long, bytes >> SECTOR_SHIFT, MAX_SECTORS) : MAX_SECTORS;
}

int hostblk_write_init(struct hostblk *disk, const struct lkl_disk_params *params,
		       const struct lkl_disk_write_ops *write)
{
	if (!write)
		return 0;
	if (write->size != sizeof(*write) || write->version != LKL_HOST_WRITE_VERSION || !write->write || params->padding)
		return -EINVAL;
	if (write->discard_granularity &&
	    (!is_power_of_2(write->discard_granularity) || write->discard_granularity < params->block_size))
		return -EINVAL;
	/* One request of such a length at least, or Linux is to think that the disk cannot do it. */
	if ((write->max_discard && write->max_discard < max(write->discard_granularity, params->block_size)) ||
	    (write->max_write_zeroes && write->max_write_zeroes < params->block_size))
		return -EINVAL;
	disk->write = *write;
	if (!disk->write.discard_granularity)
		disk->write.discard_granularity = params->block_size;
	return 0;
}

void hostblk_write_limits(const struct hostblk *disk, struct queue_limits *limits)
{
	const struct lkl_disk_write_ops *write = &disk->write;

	if (!hostblk_write_wanted(disk))
		return;
	if (write->discard) {
		limits->discard_granularity = write->discard_granularity;
		limits->max_hw_discard_sectors = most_sectors(write->max_discard);
		limits->max_discard_segments = 1;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
		limits->max_discard_sectors = limits->max_hw_discard_sectors;
#endif
	}
	if (write->write_zeroes)
		limits->max_write_zeroes_sectors = most_sectors(write->max_write_zeroes);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
	if (write->flush)
		limits->features |= BLK_FEAT_WRITE_CACHE;
	if (write->flush && write->features & LKL_DISK_HAS_FUA)
		limits->features |= BLK_FEAT_FUA;
#endif
}

void hostblk_write_queue(const struct hostblk *disk, struct request_queue *queue)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
	const struct lkl_disk_write_ops *write = &disk->write;

	if (hostblk_write_wanted(disk))
		blk_queue_write_cache(queue, write->flush, write->flush && write->features & LKL_DISK_HAS_FUA);
#endif
}

/* In interrupt context: the host has ended a request. */
static void hostblk_write_ended(struct lkl_irq_event *event)
{
	struct hostblk_request *request = container_of(event, struct hostblk_request, event);
	struct request *rq = blk_mq_rq_from_pdu(request);
	const struct hostblk *disk = rq->q->queuedata;

	lkl_disk_answered = disk->host_disk;
	lkl_disks_answered++;
	blk_mq_end_request(rq, errno_to_blk_status(request->error));
}

static void hostblk_write_done(struct lkl_disk_write *write, long error)
{
	struct hostblk_request *request = container_of(write, struct hostblk_request, write);

	request->error = error;
	request->event.handler = hostblk_write_ended;
	lkl_irq_post(&request->event);
}

blk_status_t hostblk_write_start(struct hostblk *disk, struct request *rq)
{
	struct hostblk_request *request = blk_mq_rq_to_pdu(rq);
	const struct lkl_disk_write_ops *ops = &disk->write;
	struct lkl_disk_write *write = &request->write;
	void (*start)(void *disk, struct lkl_disk_write *write);

	memset(write, 0, sizeof(*write));
	write->done = hostblk_write_done;
	if (req_op(rq) != REQ_OP_FLUSH) {
		write->offset = (u64)blk_rq_pos(rq) << SECTOR_SHIFT;
		write->len = blk_rq_bytes(rq);
	}
	switch (req_op(rq)) {
	case REQ_OP_WRITE:
		start = ops->write;
		write->segment_count = hostblk_segments(rq, request->segments);
		write->segments = request->segments;
		if (rq->cmd_flags & REQ_FUA)
			write->flags |= LKL_DISK_FUA;
		break;
	case REQ_OP_FLUSH:
		start = ops->flush;
		break;
	case REQ_OP_DISCARD:
		start = ops->discard;
		break;
	case REQ_OP_WRITE_ZEROES:
		start = ops->write_zeroes;
		if (rq->cmd_flags & REQ_NOUNMAP)
			write->flags |= LKL_DISK_NOUNMAP;
		break;
	default:
		return BLK_STS_NOTSUPP;
	}
	if (!start)
		return BLK_STS_NOTSUPP;
	lkl_disks_asked++;
	start(ops->disk, write);
	return BLK_STS_OK;
}

/* ---- calls of the host ---- */

struct hostblk_write_call {
	const struct lkl_disk_params *params;
	const struct lkl_disk_write_ops *ops;
	struct lkl_disk_info *info;
};

static long hostblk_write_add(void *arg)
{
	struct hostblk_write_call *call = arg;

	return call->ops ? hostblk_add(call->params, call->ops, call->info) : -EINVAL;
}

long linux_disk_add_writable(struct lkl_task *task, const struct lkl_disk_params *params,
			     const struct lkl_disk_write_ops *ops, struct lkl_disk_info *info)
{
	struct hostblk_write_call call = { .params = params, .ops = ops, .info = info };

	return lkl_enter_and(task, hostblk_write_add, &call);
}
