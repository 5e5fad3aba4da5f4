// SPDX-License-Identifier: GPL-2.0
/*
 * The tables of edges that the compiler makes for fuzzers (asm/host_fuzz.h).
 *
 * CONFIG_KCOV decides what is instrumented, as on other architectures: Linux's Makefiles leave out what makes no sense
 * to a fuzzer, or runs too often. KCOV itself, which counts for user mode, has nothing to do here: lkl-build replaces the
 * compiler's flag for it.
 */
#include <linux/build_bug.h>
#include <asm/host_fuzz.h>

extern unsigned char lkl_counters_start[], lkl_counters_stop[];
extern const struct lkl_edge lkl_edges_start[];

void linux_coverage(struct lkl_coverage *coverage)
{
	coverage->counters = lkl_counters_start;
	coverage->edges = lkl_edges_start;
	coverage->count = lkl_counters_stop - lkl_counters_start;
}
