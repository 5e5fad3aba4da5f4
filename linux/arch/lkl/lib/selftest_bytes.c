// SPDX-License-Identifier: GPL-2.0
/* Self-tests of what the port does with bytes, each beside doing it byte by byte. */
#include <linux/crc32.h>
#include <linux/prandom.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/checksum.h>
#include <asm/lkl.h>

#define ROOM	2048
#define TRIALS	20000

u32 __pure __crc32c_le_base(u32 crc, unsigned char const *p, size_t len);

struct bytes {
	struct rnd_state random;
	u8 source[ROOM];
	u8 got[ROOM];
	u8 wanted[ROOM];
};

/* Short lengths are the most frequent ones. */
static size_t some_length(struct bytes *bytes)
{
	u32 random = prandom_u32_state(&bytes->random);

	return (random >> 8) % (random % 4 ? 48 : 900);
}

static size_t some_place(struct bytes *bytes)
{
	return prandom_u32_state(&bytes->random) % 900;
}

static bool copies_are_right(struct bytes *bytes)
{
	size_t n = some_length(bytes), from = some_place(bytes), to = some_place(bytes), i;

	if (memcpy(bytes->got + to, bytes->source + from, n) != bytes->got + to)
		return false;
	for (i = 0; i < n; i++)
		bytes->wanted[to + i] = bytes->source[from + i];
	return true;
}

static bool moves_are_right(struct bytes *bytes)
{
	size_t n = some_length(bytes), from = some_place(bytes), i;
	/* Mostly with an overlap. */
	size_t to = from + prandom_u32_state(&bytes->random) % 80;

	if (prandom_u32_state(&bytes->random) % 2)
		swap(from, to);
	if (memmove(bytes->got + to, bytes->got + from, n) != bytes->got + to)
		return false;
	if (to < from)
		for (i = 0; i < n; i++)
			bytes->wanted[to + i] = bytes->wanted[from + i];
	else
		for (i = n; i--;)
			bytes->wanted[to + i] = bytes->wanted[from + i];
	return true;
}

static bool fillings_are_right(struct bytes *bytes)
{
	size_t n = some_length(bytes), to = some_place(bytes), i;
	u8 value = prandom_u32_state(&bytes->random);

	if (memset(bytes->got + to, value, n) != bytes->got + to)
		return false;
	for (i = 0; i < n; i++)
		bytes->wanted[to + i] = value;
	return true;
}

static bool checksums_are_right(struct bytes *bytes)
{
	size_t n = some_length(bytes), from = some_place(bytes), i;
	u32 sum = 0;

	for (i = 0; i < n; i++)
		sum += bytes->got[from + i] << (i % 2 ? 8 : 0);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return csum_fold(csum_partial(bytes->got + from, n, 0)) == (__force __sum16)(u16)~sum;
}

static bool crcs_are_right(struct bytes *bytes)
{
	size_t n = some_length(bytes), from = some_place(bytes);
	u32 start = prandom_u32_state(&bytes->random);

	return __crc32c_le(start, bytes->got + from, n) == __crc32c_le_base(start, bytes->got + from, n);
}

bool lkl_selftest_bytes(void)
{
	struct bytes *bytes = kzalloc(sizeof(*bytes), GFP_KERNEL);
	bool right = bytes;
	unsigned int i;

	if (!right)
		return false;
	prandom_seed_state(&bytes->random, 1);
	prandom_bytes_state(&bytes->random, bytes->source, ROOM);
	for (i = 0; right && i < TRIALS; i++)
		right = copies_are_right(bytes) && moves_are_right(bytes) && fillings_are_right(bytes) &&
			checksums_are_right(bytes) && crcs_are_right(bytes) &&
			!memcmp(bytes->got, bytes->wanted, ROOM);
	if (!right)
		pr_err("# %s: trial %u\n", __func__, i);
	kfree(bytes);
	/* Of an odd address, "123456789" with its well-known value. */
	return right && (__crc32c_le(~0, (const u8 *)"0123456789" + 1, 9) ^ ~0) == 0xe3069283;
}
