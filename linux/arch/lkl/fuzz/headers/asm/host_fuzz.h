/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The contract's part for fuzzers, of kernels with CONFIG_LKL_FUZZ.
 *
 * Their compiler counts how often each edge of Linux's control flow was taken since the host last set the counter to
 * zero, in a byte that overflows. The host may read and write the counters at any time.
 *
 * Such a kernel may have KASAN. The host of one maps the shadow, KASAN_SHADOW_OFFSET and an eighth of all addresses, as
 * zeros before it calls any function of Linux's.
 */
#ifndef _ASM_LKL_HOST_FUZZ_H
#define _ASM_LKL_HOST_FUZZ_H

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct lkl_edge - an edge
 * @pc: the address of the code that is reached by it
 * @flags: 1: it is the entry of a function
 */
struct lkl_edge {
	const void *pc;
	unsigned long flags;
};

/**
 * struct lkl_coverage - all edges, and how often each was taken
 * @counters: one for each edge
 * @edges: in the same order
 * @count: how many there are
 */
struct lkl_coverage {
	unsigned char *counters;
	const struct lkl_edge *edges;
	unsigned long count;
};

/* Says where they are. Any context, also before Linux is booted. */
void linux_coverage(struct lkl_coverage *coverage);

#ifdef __cplusplus
}
#endif

#endif
