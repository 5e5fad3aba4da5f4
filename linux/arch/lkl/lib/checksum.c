// SPDX-License-Identifier: GPL-2.0
/* The Internet's checksum: where the host leaves it to Linux, each byte of each packet goes through here. */
#include <linux/types.h>
#include <linux/string.h>
#include <asm/checksum.h>
#include "word.h"

/*
 * The sum of 16-bit words in ones' complement, the last byte of an odd number as a low one. Halves of 64-bit words are added up
 * apart, so that no carry is lost; in which halves they are changes nothing in the sum.
 */
unsigned int do_csum(const unsigned char *buff, int len)
{
	u64 low = 0, high = 0, word;

	for (; len >= 8; len -= 8, buff += 8) {
		word = LOAD(u64, buff);
		low += (u32)word;
		high += word >> 32;
	}
	if (len >= 4) {
		low += LOAD(u32, buff);
		len -= 4;
		buff += 4;
	}
	if (len >= 2) {
		low += LOAD(u16, buff);
		len -= 2;
		buff += 2;
	}
	if (len > 0)
		low += *buff;
	/* Each sum of less than 2^31 / 8 words of 32 bits is below 2^60. */
	low += high;
	low = (low & 0xffffffff) + (low >> 32);
	low = (low & 0xffff) + (low >> 16);
	low = (low & 0xffff) + (low >> 16);
	low = (low & 0xffff) + (low >> 16);
	return low;
}
