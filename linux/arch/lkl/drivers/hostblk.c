// SPDX-License-Identifier: GPL-2.0
/*
 * hostblk: disks that the host reads for us.
 *
 * A request goes to the host as it is, with all of its segments, and many are under way at once; the host ends them
 * in any order, from any thread, and an interrupt with data brings each back.
 *
 * The host is not asked to write, and without CONFIG_LKL_HOSTBLK_WRITE cannot be (hostblk_write.c). File systems do write,
 * even when they are mounted read-only: they replay their journals. What they write goes into an overlay in RAM
 * (hostblk_overlay.c).
 *
 * Behind the last block of the host's a disk may have padding, which reads as zeros and is never asked of the host: some
 * file systems read whole blocks of their own that begin before the end of the disk and end behind it.
 */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/init.h>
#include <linux/idr.h>
#include <linux/interrupt.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <asm/lkl.h>
#include "hostblk.h"

#define DEFAULT_QUEUE_DEPTH	64
#define DEFAULT_OVERLAY_LIMIT	(64UL << 20)

static LIST_HEAD(disks);
static int hostblk_major;
static DEFINE_IDA(hostblk_minors);

/* ---- requests ---- */

/* In interrupt context: the host has ended a read. */
static void read_done(struct lkl_irq_event *event)
{
	struct hostblk_request *request = container_of(event, struct hostblk_request, event);
	struct request *rq = blk_mq_rq_from_pdu(request);
	struct hostblk *disk = rq->q->queuedata;

	lkl_disk_answered = disk->host_disk;
	lkl_disks_answered++;
	if (!request->error)
		hostblk_overlay_read(disk, rq);
	blk_mq_end_request(rq, errno_to_blk_status(request->error));
}

void linux_disk_read_done(struct lkl_disk_read *read, long error)
{
	struct hostblk_request *request = container_of(read, struct hostblk_request, read);

	request->error = error;
	request->event.handler = read_done;
	lkl_irq_post(&request->event);
}

/* Leaves to the host what it has of a read, and zeroes the rest. */
static void cut_padding(struct hostblk *disk, struct lkl_disk_read *read, struct lkl_segment *segments)
{
	u64 inside = disk->host_size > read->offset ? disk->host_size - read->offset : 0;

	while (read->len > inside) {
		struct lkl_segment *last = &segments[read->segment_count - 1];
		unsigned long outside = min_t(u64, last->len, read->len - inside);

		last->len -= outside;
		memset(last->addr + last->len, 0, outside);
		read->len -= outside;
		if (!last->len)
			read->segment_count--;
	}
}

unsigned long hostblk_segments(struct request *rq, struct lkl_segment *segments)
{
	struct req_iterator iter;
	struct bio_vec bvec;
	unsigned long n = 0;

	rq_for_each_bvec(bvec, rq, iter) {
		void *addr = page_address(bvec.bv_page) + bvec.bv_offset;

		if (n && segments[n - 1].addr + segments[n - 1].len == addr) {
			segments[n - 1].len += bvec.bv_len;
			continue;
		}
		segments[n].addr = addr;
		segments[n].len = bvec.bv_len;
		n++;
	}
	return n;
}

static void start_read(struct hostblk *disk, struct request *rq)
{
	struct hostblk_request *request = blk_mq_rq_to_pdu(rq);
	struct lkl_disk_read *read = &request->read;

	memset(read, 0, sizeof(*read));
	read->offset = (u64)blk_rq_pos(rq) << SECTOR_SHIFT;
	read->len = blk_rq_bytes(rq);
	read->segment_count = hostblk_segments(rq, request->segments);
	read->segments = request->segments;
	cut_padding(disk, read, request->segments);
	lkl_disks_asked++;
	if (!read->len) {
		linux_disk_read_done(read, 0);
		return;
	}
	disk->stats.reads++;
	disk->stats.read_bytes += read->len;
	host(disk_read, disk->host_disk, read);
}

static blk_status_t hostblk_queue_rq(struct blk_mq_hw_ctx *hctx, const struct blk_mq_queue_data *bd)
{
	struct request *rq = bd->rq;
	struct hostblk *disk = rq->q->queuedata;
	blk_status_t status;

	blk_mq_start_request(rq);
	if (READ_ONCE(disk->gone))
		return BLK_STS_OFFLINE;
	lkl_disk_asked(disk->host_disk);
	if (req_op(rq) != REQ_OP_READ && hostblk_write_wanted(disk))
		return hostblk_write_start(disk, rq);
	switch (req_op(rq)) {
	case REQ_OP_READ:
		start_read(disk, rq);
		return BLK_STS_OK;
	case REQ_OP_WRITE:
		status = hostblk_overlay_write(disk, rq);
		blk_mq_end_request(rq, status);
		return BLK_STS_OK;
	case REQ_OP_FLUSH:
		/* The overlay is as durable as it will ever be. */
		blk_mq_end_request(rq, BLK_STS_OK);
		return BLK_STS_OK;
	default:
		return BLK_STS_NOTSUPP;
	}
}

static const struct blk_mq_ops hostblk_mq_ops = {
	.queue_rq = hostblk_queue_rq,
};

static const struct block_device_operations hostblk_fops = {
	.owner = THIS_MODULE,
};

/* ---- disks ---- */

static struct hostblk *find_disk(unsigned int major, unsigned int minor)
{
	struct hostblk *disk;

	list_for_each_entry(disk, &disks, list)
		if (disk->gendisk->major == major && disk->gendisk->first_minor == minor)
			return disk;
	return NULL;
}

static struct gendisk *alloc_gendisk(struct hostblk *disk, unsigned int block_size)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
	struct queue_limits limits = {
		.logical_block_size	= block_size,
		.max_hw_sectors		= MAX_REQUEST_BYTES >> SECTOR_SHIFT,
		.max_segments		= MAX_SEGMENTS,
		.max_segment_size	= MAX_REQUEST_BYTES,
	};
	struct gendisk *gendisk;

	hostblk_write_limits(disk, &limits);
	gendisk = blk_mq_alloc_disk(&disk->tags, &limits, disk);
#else
	struct gendisk *gendisk = blk_mq_alloc_disk(&disk->tags, disk);

	if (!IS_ERR(gendisk)) {
		blk_queue_logical_block_size(gendisk->queue, block_size);
		blk_queue_max_hw_sectors(gendisk->queue, MAX_REQUEST_BYTES >> SECTOR_SHIFT);
		blk_queue_max_segments(gendisk->queue, MAX_SEGMENTS);
		blk_queue_max_segment_size(gendisk->queue, MAX_REQUEST_BYTES);
		blk_queue_flag_set(QUEUE_FLAG_NONROT, gendisk->queue);
		hostblk_write_limits(disk, &gendisk->queue->limits);
	}
#endif
	if (!IS_ERR(gendisk))
		hostblk_write_queue(disk, gendisk->queue);
	return gendisk;
}

long hostblk_add(const struct lkl_disk_params *params, const struct lkl_disk_write_ops *write,
		 struct lkl_disk_info *info)
{
	struct hostblk *disk;
	u64 blocks;
	int minor, ret;

	if (params->block_size < SECTOR_SIZE || params->block_size > PAGE_SIZE || !is_power_of_2(params->block_size) ||
	    params->size < params->block_size)
		return -EINVAL;

	disk = kzalloc(sizeof(*disk), GFP_KERNEL);
	if (!disk)
		return -ENOMEM;
	disk->host_disk = params->disk;
	disk->host_size = params->size / params->block_size * params->block_size;
	disk->overlay_limit = params->overlay_limit == ~0UL ? DEFAULT_OVERLAY_LIMIT : params->overlay_limit;
	ret = hostblk_write_init(disk, params, write);
	if (ret)
		goto free_disk;

	minor = ida_alloc_max(&hostblk_minors, MINORMASK, GFP_KERNEL);
	if (minor < 0) {
		ret = minor;
		goto free_disk;
	}

	disk->tags.ops = &hostblk_mq_ops;
	disk->tags.nr_hw_queues = 1;
	disk->tags.queue_depth = params->queue_depth ?: DEFAULT_QUEUE_DEPTH;
	disk->tags.numa_node = NUMA_NO_NODE;
	disk->tags.cmd_size = sizeof(struct hostblk_request);
	disk->tags.driver_data = disk;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 14, 0)
	disk->tags.flags = BLK_MQ_F_SHOULD_MERGE;
#endif
	ret = blk_mq_alloc_tag_set(&disk->tags);
	if (ret)
		goto free_minor;

	disk->gendisk = alloc_gendisk(disk, params->block_size);
	if (IS_ERR(disk->gendisk)) {
		ret = PTR_ERR(disk->gendisk);
		goto free_tags;
	}
	disk->gendisk->major = hostblk_major;
	disk->gendisk->first_minor = minor;
	disk->gendisk->minors = 1;
	if (!IS_ENABLED(CONFIG_LKL_HOSTBLK_PARTITIONS))
		disk->gendisk->flags |= GENHD_FL_NO_PART;
	disk->gendisk->fops = &hostblk_fops;
	disk->gendisk->private_data = disk;
	snprintf(disk->gendisk->disk_name, sizeof(disk->gendisk->disk_name), "hostblk%d", minor);
	blocks = (disk->host_size + params->padding) / params->block_size;
	set_capacity(disk->gendisk, blocks * (params->block_size >> SECTOR_SHIFT));
	if (!disk->overlay_limit && !hostblk_write_wanted(disk))
		set_disk_ro(disk->gendisk, true);
	ret = add_disk(disk->gendisk);
	if (ret)
		goto put_gendisk;

	list_add(&disk->list, &disks);
	info->major = hostblk_major;
	info->minor = minor;
	strscpy(info->name, disk->gendisk->disk_name, sizeof(info->name));
	return 0;

put_gendisk:
	put_disk(disk->gendisk);
free_tags:
	blk_mq_free_tag_set(&disk->tags);
free_minor:
	ida_free(&hostblk_minors, minor);
free_disk:
	kfree(disk);
	return ret;
}

static int remove_disk(unsigned int major, unsigned int minor)
{
	struct hostblk *disk = find_disk(major, minor);

	if (!disk)
		return -ENODEV;
	list_del(&disk->list);
	WRITE_ONCE(disk->gone, true);
	blk_mark_disk_dead(disk->gendisk);
	del_gendisk(disk->gendisk);
	put_disk(disk->gendisk);
	blk_mq_free_tag_set(&disk->tags);
	ida_free(&hostblk_minors, minor);
	kfree(disk);
	return 0;
}

/* ---- calls of the host ---- */

struct disk_call {
	const struct lkl_disk_params *params;
	struct lkl_disk_info *info;
	struct lkl_disk_stats *stats;
	unsigned int major, minor;
};

static long do_disk_add(void *arg)
{
	struct disk_call *call = arg;

	return hostblk_add(call->params, NULL, call->info);
}

long linux_disk_add(struct lkl_task *task, const struct lkl_disk_params *params, struct lkl_disk_info *info)
{
	struct disk_call call = { .params = params, .info = info };

	return lkl_enter_and(task, do_disk_add, &call);
}

static long do_disk_remove(void *arg)
{
	struct disk_call *call = arg;

	return remove_disk(call->major, call->minor);
}

long linux_disk_remove(struct lkl_task *task, unsigned int major, unsigned int minor)
{
	struct disk_call call = { .major = major, .minor = minor };

	return lkl_enter_and(task, do_disk_remove, &call);
}

static long do_disk_stats(void *arg)
{
	struct disk_call *call = arg;
	struct hostblk *disk = find_disk(call->major, call->minor);

	if (!disk)
		return -ENODEV;
	*call->stats = disk->stats;
	return 0;
}

long linux_disk_stats(struct lkl_task *task, unsigned int major, unsigned int minor, struct lkl_disk_stats *stats)
{
	struct disk_call call = { .stats = stats, .major = major, .minor = minor };

	return lkl_enter_and(task, do_disk_stats, &call);
}

/*
 * Surprise removal may be told from any context. Which disk it is can only be found with the CPU held, so an
 * interrupt does that.
 */
static unsigned long gone_minors[DIV_ROUND_UP(4096, BITS_PER_LONG)];

static irqreturn_t disk_interrupt(int irq, void *unused)
{
	struct hostblk *disk;

	list_for_each_entry(disk, &disks, list) {
		unsigned int minor = disk->gendisk->first_minor;
		unsigned long bit = BIT_MASK(minor);

		if (minor < 4096 && (__atomic_fetch_and(&gone_minors[BIT_WORD(minor)], ~bit, __ATOMIC_SEQ_CST) & bit))
			WRITE_ONCE(disk->gone, true);
	}
	return IRQ_HANDLED;
}

void linux_disk_gone(unsigned int major, unsigned int minor)
{
	if (major != hostblk_major || minor >= 4096)
		return;
	__atomic_fetch_or(&gone_minors[BIT_WORD(minor)], BIT_MASK(minor), __ATOMIC_SEQ_CST);
	lkl_irq_raise(LKL_IRQ_DISK);
}

static int __init hostblk_init(void)
{
	int ret;

	hostblk_major = register_blkdev(0, "hostblk");
	if (hostblk_major < 0)
		return hostblk_major;
	ret = request_irq(LKL_IRQ_DISK, disk_interrupt, 0, "hostblk", NULL);
	if (ret)
		unregister_blkdev(hostblk_major, "hostblk");
	return ret;
}
device_initcall(hostblk_init);
