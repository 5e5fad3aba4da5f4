/* SPDX-License-Identifier: GPL-2.0 */
/* Before preemption is disabled, and where it is enabled again, a schedule may interrupt the task. */
#ifndef _ASM_LKL_FUZZ_PREEMPT_H
#define _ASM_LKL_FUZZ_PREEMPT_H

#define __preempt_count_add lkl_plain_preempt_count_add
#define __preempt_count_sub lkl_plain_preempt_count_sub
#include_next <asm/preempt.h>
#undef __preempt_count_add
#undef __preempt_count_sub

#include <asm/point.h>

static __always_inline void __preempt_count_add(int val)
{
	lkl_point();
	lkl_plain_preempt_count_add(val);
}

static __always_inline void __preempt_count_sub(int val)
{
	lkl_plain_preempt_count_sub(val);
	lkl_point();
}

#endif
