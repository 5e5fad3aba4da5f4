// SPDX-License-Identifier: GPL-2.0
/* Copying and filling: the processor's own string instructions, which are fast on everything that runs 64-bit NT. */
#include <linux/export.h>
#include <linux/string.h>

void *memcpy(void *to, const void *from, size_t n)
{
	void *d = to;

	asm volatile("rep movsb" : "+D" (d), "+S" (from), "+c" (n) : : "memory");
	return to;
}
EXPORT_SYMBOL(memcpy);

void *memset(void *s, int c, size_t n)
{
	void *d = s;

	asm volatile("rep stosb" : "+D" (d), "+c" (n) : "a" (c) : "memory");
	return s;
}
EXPORT_SYMBOL(memset);

void *memmove(void *to, const void *from, size_t n)
{
	unsigned char *d = to;
	const unsigned char *s = from;

	if (d == s || !n)
		return to;
	if (d < s || d >= s + n)
		return memcpy(to, from, n);
	while (n >= 8) {
		unsigned long word;

		n -= 8;
		__builtin_memcpy(&word, s + n, 8);
		__builtin_memcpy(d + n, &word, 8);
	}
	while (n) {
		n--;
		d[n] = s[n];
	}
	return to;
}
EXPORT_SYMBOL(memmove);
