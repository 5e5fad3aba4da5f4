/* SPDX-License-Identifier: GPL-2.0 */
/* Where tasks may be interrupted by a schedule (fuzz/schedule.c). */
#ifndef _ASM_LKL_FUZZ_POINT_H
#define _ASM_LKL_FUZZ_POINT_H

#ifdef CONFIG_LKL_SCHEDULES

#include <linux/compiler.h>

struct lkl_schedule;

extern struct lkl_schedule *lkl_schedule_on;
void lkl_schedule_point(void);

static __always_inline void lkl_point(void)
{
	if (unlikely(READ_ONCE(lkl_schedule_on)))
		lkl_schedule_point();
}

#else
#include_next <asm/point.h>
#endif

#endif
