/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory is set apart for what can be moved or given back in blocks of 4 MiB.
 *
 * Linux without huge pages has blocks of the largest piece that it gives, and that is far more here (ARCH_FORCE_MAX_ORDER):
 * a pool would be one or two blocks, and long-lived pieces would stand everywhere in it.
 */
#ifndef _LKL_PAGEBLOCK_FLAGS_H
#define _LKL_PAGEBLOCK_FLAGS_H

#include_next <linux/pageblock-flags.h>

#undef pageblock_order
#define pageblock_order 10

#endif
