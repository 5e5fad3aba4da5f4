/* SPDX-License-Identifier: GPL-2.0-only */
/* For tests under Wine: crashes, in a function of a known name and at a known address. */
static volatile int *volatile nowhere = (int *)0xbad;

static __attribute__((noinline)) void falls(void)
{
	*nowhere = 1;
}

int main(void)
{
	falls();
	return 0;
}
