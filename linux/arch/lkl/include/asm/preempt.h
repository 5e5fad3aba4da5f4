/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Interrupts come at known points only (asm/irqflags.h). Where Linux offers to reschedule is one of them: without it a
 * loop that computes for long would never see the tick that asks it to make room.
 */
#ifndef _ASM_LKL_PREEMPT_H
#define _ASM_LKL_PREEMPT_H

#define should_resched generic_should_resched
#include <asm-generic/preempt.h>
#undef should_resched

extern unsigned long lkl_irqs_off;
extern unsigned long lkl_irqs_pending;
void lkl_irqs_run(void);

static __always_inline bool should_resched(int preempt_offset)
{
	if (!lkl_irqs_off && unlikely(READ_ONCE(lkl_irqs_pending)))
		lkl_irqs_run();
	return generic_should_resched(preempt_offset);
}

#endif
