// SPDX-License-Identifier: GPL-2.0
/*
 * Copying and filling. Little is moved by words, since the processor's own string instructions take some time to begin; much is
 * moved by those, which are fast on everything that runs 64-bit NT.
 */
/* The functions below are what the checked ones of linux/fortify-string.h call. */
#define __NO_FORTIFY
#include <linux/export.h>
#include <linux/string.h>
#include <linux/types.h>
#include "word.h"

/* From here on the string instructions are faster. */
#define MUCH	256

/* Up to 16 bytes. All is read before anything is written. */
static __always_inline void move_16(u8 *to, const u8 *from, size_t n)
{
	if (n >= 8) {
		u64 first = LOAD(u64, from), last = LOAD(u64, from + n - 8);

		STORE(to, first);
		STORE(to + n - 8, last);
	} else if (n >= 4) {
		u32 first = LOAD(u32, from), last = LOAD(u32, from + n - 4);

		STORE(to, first);
		STORE(to + n - 4, last);
	} else if (n) {
		u8 first = from[0], middle = from[n / 2], last = from[n - 1];

		to[0] = first;
		to[n / 2] = middle;
		to[n - 1] = last;
	}
}

/* 16 bytes. All is read before anything is written. */
static __always_inline void move_both(u8 *to, const u8 *from)
{
	u64 first = LOAD(u64, from), last = LOAD(u64, from + 8);

	STORE(to, first);
	STORE(to + 8, last);
}

/* 17 to 32 bytes. All is read before anything is written. */
static __always_inline void move_32(u8 *to, const u8 *from, size_t n)
{
	u64 a = LOAD(u64, from), b = LOAD(u64, from + 8);
	u64 c = LOAD(u64, from + n - 16), d = LOAD(u64, from + n - 8);

	STORE(to, a);
	STORE(to + 8, b);
	STORE(to + n - 16, c);
	STORE(to + n - 8, d);
}

void *memcpy(void *to, const void *from, size_t n)
{
	u8 *d = to;
	const u8 *s = from;

	if (n <= 16) {
		move_16(d, s, n);
	} else if (n <= 32) {
		move_32(d, s, n);
	} else if (n < MUCH) {
		const u8 *end = s + n - 16;
		u8 *last = d + n - 16;

		for (; s < end; s += 16, d += 16)
			move_both(d, s);
		move_both(last, end);
	} else {
		asm volatile("rep movsb" : "+D" (d), "+S" (s), "+c" (n) : : "memory");
	}
	return to;
}
EXPORT_SYMBOL(memcpy);

void *memset(void *to, int c, size_t n)
{
	u8 *d = to;

	if (n < 8) {
		for (; n; n--)
			*d++ = c;
	} else if (n < MUCH) {
		u64 word = (u8)c * 0x0101010101010101ull;
		u8 *last = d + n - 8;

		for (; d < last; d += 8)
			STORE(d, word);
		STORE(last, word);
	} else {
		asm volatile("rep stosb" : "+D" (d), "+c" (n) : "a" (c) : "memory");
	}
	return to;
}
EXPORT_SYMBOL(memset);

void *memmove(void *to, const void *from, size_t n)
{
	u8 *d = to;
	const u8 *s = from;

	if (n <= 16) {
		move_16(d, s, n);
	} else if (n <= 32) {
		move_32(d, s, n);
	} else if (d >= s + n || s >= d + n) {
		memcpy(to, from, n);
	} else if (d < s) {
		/* What is written lies below what is still to be read. The last words are read first. */
		u64 a = LOAD(u64, s + n - 16), b = LOAD(u64, s + n - 8);
		u8 *last = d + n - 16;

		for (; d < last; s += 16, d += 16)
			move_both(d, s);
		STORE(last, a);
		STORE(last + 8, b);
	} else if (d > s) {
		u64 a = LOAD(u64, s), b = LOAD(u64, s + 8);

		for (; n > 16; n -= 16)
			move_both(d + n - 16, s + n - 16);
		STORE(d, a);
		STORE(d + 8, b);
	}
	return to;
}
EXPORT_SYMBOL(memmove);
