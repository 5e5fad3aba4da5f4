/* SPDX-License-Identifier: GPL-2.0 */
/* What linux/kasan.h and mm/kasan/init.c ask of page tables besides: sizes of tables that there are none of (asm/pgalloc.h). */
#ifndef _ASM_LKL_FUZZ_PGTABLE_H
#define _ASM_LKL_FUZZ_PGTABLE_H

#include <asm/page.h>

#ifdef CONFIG_KASAN
#define PMD_SHIFT	21
#define PMD_SIZE	(1UL << PMD_SHIFT)
#define PMD_MASK	(~(PMD_SIZE - 1))
#define PGDIR_SHIFT	30
#define PGDIR_SIZE	(1UL << PGDIR_SHIFT)
#define PGDIR_MASK	(~(PGDIR_SIZE - 1))
#define PTRS_PER_PTE	1
#define PTRS_PER_PMD	1
#define PTRS_PER_PGD	1
#endif

#include_next <asm/pgtable.h>

#endif
