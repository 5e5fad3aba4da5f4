// SPDX-License-Identifier: GPL-2.0
/*
 * hostblk's overlay: what Linux writes to a disk that the host only reads.
 *
 * It lies in RAM over the disk, page by page, up to a limit, and is read back from there. The RAM is the host's, not the
 * pool's, which a journal may be larger than. So a volume that was not cleanly unmounted shows its true state, and the
 * disk stays as it is.
 */
#include <linux/bitops.h>
#include <linux/blk-mq.h>
#include <linux/hash.h>
#include <linux/log2.h>
#include <asm/lkl.h>
#include "hostblk.h"

#define OVERLAY_CHUNK	(16 * PAGE_SIZE)

/* A page of the overlay, and which of its sectors were written. */
struct overlay_page {
	struct overlay_page *next;	/* of those with the same hash */
	u64 number;			/* of the page on the disk */
	unsigned long written;
	u8 data[PAGE_SIZE];
};

/* The part of [pos, pos + len) that lies in one page of the overlay. */
static unsigned int in_page(u64 pos, unsigned int len)
{
	return min_t(unsigned int, len, PAGE_SIZE - offset_in_page(pos));
}

static unsigned long sector_mask(u64 pos, unsigned int len)
{
	unsigned int first = offset_in_page(pos) >> SECTOR_SHIFT;

	return GENMASK(first + (len >> SECTOR_SHIFT) - 1, first);
}

/*
 * All of the overlay is memory of the host's, which takes it back with the disk: writes come when Linux needs memory, and must
 * not need any of its own.
 */
static bool overlay_init(struct hostblk *disk)
{
	unsigned long pages = disk->overlay_limit >> PAGE_SHIFT;

	if (disk->overlay)
		return true;
	disk->overlay_bits = clamp(ilog2(pages | 1), 8, 16);
	disk->overlay = host(overlay_alloc, disk->host_disk, sizeof(*disk->overlay) << disk->overlay_bits);
	return disk->overlay;
}

static struct overlay_page *overlay_find(struct hostblk *disk, u64 pos)
{
	u64 number = pos >> PAGE_SHIFT;
	struct overlay_page *page;

	if (!disk->overlay)
		return NULL;
	page = disk->overlay[hash_64(number, disk->overlay_bits)];
	while (page && page->number != number)
		page = page->next;
	return page;
}

static struct overlay_page *overlay_add(struct hostblk *disk, u64 pos)
{
	struct overlay_page *page, **bucket;

	if (disk->stats.overlay_bytes + PAGE_SIZE > disk->overlay_limit || !overlay_init(disk))
		return NULL;
	if (disk->overlay_left < sizeof(*page)) {
		disk->overlay_chunk = host(overlay_alloc, disk->host_disk, OVERLAY_CHUNK);
		disk->overlay_left = disk->overlay_chunk ? OVERLAY_CHUNK : 0;
		if (!disk->overlay_chunk)
			return NULL;
	}
	disk->overlay_left -= sizeof(*page);
	page = disk->overlay_chunk + disk->overlay_left;
	page->number = pos >> PAGE_SHIFT;
	page->written = 0;
	bucket = &disk->overlay[hash_64(page->number, disk->overlay_bits)];
	page->next = *bucket;
	*bucket = page;
	disk->stats.overlay_bytes += PAGE_SIZE;
	return page;
}

static bool overlay_write(struct hostblk *disk, u64 pos, const void *from, unsigned int len)
{
	while (len) {
		unsigned int part = in_page(pos, len);
		struct overlay_page *page = overlay_find(disk, pos) ?: overlay_add(disk, pos);

		if (!page)
			return false;
		memcpy(page->data + offset_in_page(pos), from, part);
		page->written |= sector_mask(pos, part);
		pos += part;
		from += part;
		len -= part;
	}
	return true;
}

/* Lays over what came from the disk whatever was written to it since. */
static void overlay_read(struct hostblk *disk, u64 pos, void *to, unsigned int len)
{
	while (len) {
		unsigned int part = in_page(pos, len);
		struct overlay_page *page = overlay_find(disk, pos);
		unsigned int done = 0;

		while (page && done < part) {
			unsigned int sector = offset_in_page(pos + done) >> SECTOR_SHIFT;

			if (page->written & BIT(sector))
				memcpy(to + done, page->data + (sector << SECTOR_SHIFT), SECTOR_SIZE);
			done += SECTOR_SIZE;
		}
		pos += part;
		to += part;
		len -= part;
	}
}

blk_status_t hostblk_overlay_write(struct hostblk *disk, struct request *rq)
{
	u64 pos = (u64)blk_rq_pos(rq) << SECTOR_SHIFT;
	struct req_iterator iter;
	struct bio_vec bvec;

	rq_for_each_segment(bvec, rq, iter) {
		if (!overlay_write(disk, pos, page_address(bvec.bv_page) + bvec.bv_offset, bvec.bv_len)) {
			disk->stats.writes_refused++;
			return BLK_STS_NOSPC;
		}
		pos += bvec.bv_len;
	}
	return BLK_STS_OK;
}

void hostblk_overlay_read(struct hostblk *disk, struct request *rq)
{
	u64 pos = (u64)blk_rq_pos(rq) << SECTOR_SHIFT;
	struct req_iterator iter;
	struct bio_vec bvec;

	if (!disk->overlay)
		return;
	rq_for_each_bvec(bvec, rq, iter) {
		overlay_read(disk, pos, page_address(bvec.bv_page) + bvec.bv_offset, bvec.bv_len);
		pos += bvec.bv_len;
	}
}
