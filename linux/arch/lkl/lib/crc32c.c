// SPDX-License-Identifier: GPL-2.0
/*
 * CRC32C, which btrfs, XFS, ext4 and others have everywhere, by the processor's own instruction. That needs no vector register. It
 * takes the place of Linux's weak function, which stays for processors that have no such instruction.
 */
#include <linux/crc32.h>
#include <linux/string.h>
#include <linux/types.h>

u32 __pure __crc32c_le_base(u32 crc, unsigned char const *p, size_t len);

/* The bit of SSE4.2 in what leaf 1 of CPUID says. */
#define SSE4_2	(1U << 20)

static bool has_instruction(void)
{
	static int known;

	if (!known) {
		unsigned int a = 1, b, c = 0, d;

		asm volatile("cpuid" : "+a" (a), "=b" (b), "+c" (c), "=d" (d));
		known = c & SSE4_2 ? 1 : -1;
	}
	return known > 0;
}

u32 __pure __crc32c_le(u32 crc, unsigned char const *p, size_t len)
{
	u64 sum = crc;

	if (!has_instruction())
		return __crc32c_le_base(crc, p, len);
	for (; len >= 8; len -= 8, p += 8) {
		u64 word;

		__builtin_memcpy(&word, p, sizeof(word));
		asm("crc32q %1, %0" : "+r" (sum) : "rm" (word));
	}
	for (; len; len--, p++) {
		u32 less = sum;

		asm("crc32b %1, %0" : "+r" (less) : "rm" (*p));
		sum = less;
	}
	return sum;
}
