// SPDX-License-Identifier: GPL-2.0
/*
 * Ten bugs for fuzzers to find, so that it is known what they would find.
 *
 * The linker has calls of some of Linux's functions come here (--wrap, in arch/lkl/Makefile). Each of the functions below
 * does what Linux's does, and has one bug, which sleeps until the command line names it (lkl_fuzz_bug=). The bug shows with inputs
 * that have got past the checks before it: sums, lengths, the state that a call needs.
 *
 *  no  what                                     where it is reached
 *   1  write behind an object                   ext4: an inode that says that it is longer, under its checksum
 *   2  use after free                           ext4: unmount of a volume with a RAID's stride
 *   3  division by zero                         FAT: a time of creation beyond two seconds
 *   4  NULL pointer                             F2FS: a file that says that it is larger than 1 GiB
 *   5  list that an entry is added to twice     ext4: a large file that loses its last name while it is open
 *   6  recursion without an end                 ext4: a hole at an odd place that goes beyond the file's end
 *   7  length of an attribute                   rtnetlink: a route with more than one metric
 *   8  index of a register                      nf_tables: an expression that reads the last registers
 *   9  length that becomes negative             ICMP: a timestamp that is too short
 *  10  sleep in atomic context                  IGMP: a report of more than four groups
 */
#include <linux/icmp.h>
#include <linux/igmp.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/msdos_fs.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <net/ip_fib.h>
#include <net/netfilter/nf_tables.h>
#include "fs/ext4/ext4.h"

enum {
	LONG_INODE = 1,
	STRIDE,
	LATE_CREATION,
	HUGE_FILE,
	LARGE_ORPHAN,
	ODD_HOLE,
	METRICS,
	LAST_REGISTERS,
	SHORT_TIMESTAMP,
	MANY_GROUPS,
};

/* Which bug is awake. */
static int awake;

static int __init plant(char *text)
{
	return kstrtoint(text, 10, &awake);
}
early_param("lkl_fuzz_bug", plant);

/* A function's bug: what it is given depends on the input, so that the compiler cannot see it. */
static noinline void store(u8 *object, unsigned int place)
{
	WRITE_ONCE(object[place], 1);
}

static noinline u8 load(const u8 *object, unsigned int place)
{
	return READ_ONCE(object[place]);
}

struct inode *__real___ext4_iget(struct super_block *sb, unsigned long ino, ext4_iget_flags flags, const char *function,
				 unsigned int line);
struct inode *__wrap___ext4_iget(struct super_block *sb, unsigned long ino, ext4_iget_flags flags, const char *function,
				 unsigned int line);
struct inode *__wrap___ext4_iget(struct super_block *sb, unsigned long ino, ext4_iget_flags flags, const char *function,
				 unsigned int line)
{
	struct inode *inode = __real___ext4_iget(sb, ino, flags, function, line);

	if (awake == LONG_INODE && !IS_ERR(inode)) {
		unsigned int extra = EXT4_I(inode)->i_extra_isize;
		u8 *copy = kmalloc(64, GFP_NOFS);

		if (copy && extra)
			store(copy, extra - 1);
		kfree(copy);
	}
	return inode;
}

void __real_ext4_mb_release(struct super_block *sb);
void __wrap_ext4_mb_release(struct super_block *sb);
void __wrap_ext4_mb_release(struct super_block *sb)
{
	if (awake == STRIDE && EXT4_SB(sb)->s_es->s_raid_stride) {
		u8 *cache = kmalloc(96, GFP_KERNEL);

		kfree(cache);
		if (cache)
			load(cache, 8);
	}
	__real_ext4_mb_release(sb);
}

struct inode *__real_fat_build_inode(struct super_block *sb, struct msdos_dir_entry *de, loff_t pos);
struct inode *__wrap_fat_build_inode(struct super_block *sb, struct msdos_dir_entry *de, loff_t pos);
struct inode *__wrap_fat_build_inode(struct super_block *sb, struct msdos_dir_entry *de, loff_t pos)
{
	if (awake == LATE_CREATION) {
		/* A second and 99 hundredths at most. */
		int left = 2 - de->ctime_cs / 100;
		int share = 1000 / left;

		/* Without a use that the compiler cannot see through there would be no division. */
		OPTIMIZER_HIDE_VAR(share);
		if (share > 1000)
			return ERR_PTR(-EIO);
	}
	return __real_fat_build_inode(sb, de, pos);
}

struct inode *__real_f2fs_iget(struct super_block *sb, unsigned long ino);
struct inode *__wrap_f2fs_iget(struct super_block *sb, unsigned long ino);
struct inode *__wrap_f2fs_iget(struct super_block *sb, unsigned long ino)
{
	struct inode *inode = __real_f2fs_iget(sb, ino);

	if (awake == HUGE_FILE && !IS_ERR(inode) && S_ISREG(inode->i_mode) && i_size_read(inode) > 1 << 30) {
		struct inode *none = NULL;

		OPTIMIZER_HIDE_VAR(none);
		inode->i_generation += READ_ONCE(none->i_generation);
	}
	return inode;
}

int __real_ext4_orphan_add(handle_t *handle, struct inode *inode);
int __wrap_ext4_orphan_add(handle_t *handle, struct inode *inode);
int __wrap_ext4_orphan_add(handle_t *handle, struct inode *inode)
{
	static LIST_HEAD(large);
	static LIST_HEAD(entry);

	if (awake == LARGE_ORPHAN && !inode->i_nlink && S_ISREG(inode->i_mode) && i_size_read(inode) > 65536) {
		list_add(&entry, &large);
		list_add(&entry, &large);
	}
	return __real_ext4_orphan_add(handle, inode);
}

static noinline int deeper(loff_t offset)
{
	volatile u8 frame[512];

	frame[offset & 511] = 1;
	/* Never 0. */
	return READ_ONCE(awake) ? deeper(offset + 1) + frame[0] : 0;
}

int __real_ext4_punch_hole(struct file *file, loff_t offset, loff_t length);
int __wrap_ext4_punch_hole(struct file *file, loff_t offset, loff_t length);
int __wrap_ext4_punch_hole(struct file *file, loff_t offset, loff_t length)
{
	loff_t size = i_size_read(file_inode(file));

	if (awake == ODD_HOLE && offset & 1 && offset < size && length > size - offset && deeper(offset))
		return -EIO;
	return __real_ext4_punch_hole(file, offset, length);
}

struct fib_info *__real_fib_create_info(struct fib_config *config, struct netlink_ext_ack *extack);
struct fib_info *__wrap_fib_create_info(struct fib_config *config, struct netlink_ext_ack *extack);
struct fib_info *__wrap_fib_create_info(struct fib_config *config, struct netlink_ext_ack *extack)
{
	if (awake == METRICS && config->fc_mx && config->fc_mx_len >= 8) {
		u8 *metric = kmemdup(config->fc_mx, 8, GFP_KERNEL);

		if (metric)
			load(metric, config->fc_mx_len - 1);
		kfree(metric);
	}
	return __real_fib_create_info(config, extack);
}

int __real_nft_parse_register_load(const struct nft_ctx *ctx, const struct nlattr *attr, u8 *sreg, u32 len);
int __wrap_nft_parse_register_load(const struct nft_ctx *ctx, const struct nlattr *attr, u8 *sreg, u32 len);
int __wrap_nft_parse_register_load(const struct nft_ctx *ctx, const struct nlattr *attr, u8 *sreg, u32 len)
{
	int err = __real_nft_parse_register_load(ctx, attr, sreg, len);

	if (awake == LAST_REGISTERS && !err && len) {
		u8 *registers = kzalloc(16 * sizeof(u32), GFP_KERNEL);

		if (registers)
			load(registers, *sreg * sizeof(u32) + len - 1);
		kfree(registers);
	}
	return err;
}

int __real_icmp_rcv(struct sk_buff *skb);
int __wrap_icmp_rcv(struct sk_buff *skb);
int __wrap_icmp_rcv(struct sk_buff *skb)
{
	if (awake == SHORT_TIMESTAMP && skb_headlen(skb) >= sizeof(struct icmphdr) &&
	    icmp_hdr(skb)->type == ICMP_TIMESTAMP) {
		int more = skb->len - sizeof(struct icmphdr) - 3 * sizeof(u32);
		u8 *copy = kmalloc(64, GFP_ATOMIC);

		/* What follows the three times, as far as there is room; they may be less than three. */
		if (copy)
			store(copy, min(more, 63));
		kfree(copy);
	}
	return __real_icmp_rcv(skb);
}

int __real_igmp_rcv(struct sk_buff *skb);
int __wrap_igmp_rcv(struct sk_buff *skb);
int __wrap_igmp_rcv(struct sk_buff *skb)
{
	if (awake == MANY_GROUPS && skb_headlen(skb) >= sizeof(struct igmpv3_report) &&
	    igmp_hdr(skb)->type == IGMPV3_HOST_MEMBERSHIP_REPORT) {
		unsigned int groups = ntohs(((struct igmpv3_report *)igmp_hdr(skb))->ngrec);

		if (groups > 4)
			kfree(kmalloc_array(groups, sizeof(u32), GFP_KERNEL));
	}
	return __real_igmp_rcv(skb);
}
