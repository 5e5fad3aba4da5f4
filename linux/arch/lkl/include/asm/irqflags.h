/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Interrupts of the virtual processor.
 *
 * An interrupt never strikes in the middle of something: it is taken where Linux enables interrupts, where it relaxes
 * the CPU and where it leaves the CPU. So the flag is a plain variable, and enabling is a store and a test.
 */
#ifndef _ASM_LKL_IRQFLAGS_H
#define _ASM_LKL_IRQFLAGS_H

#include <linux/compiler.h>

#define ARCH_IRQ_ENABLED	0UL
#define ARCH_IRQ_DISABLED	1UL

extern unsigned long lkl_irqs_off;
extern unsigned long lkl_irqs_pending;
void lkl_irqs_run(void);

static inline unsigned long arch_local_save_flags(void)
{
	return lkl_irqs_off;
}

static inline void arch_local_irq_restore(unsigned long flags)
{
	barrier();
	lkl_irqs_off = flags;
	barrier();
	if (flags == ARCH_IRQ_ENABLED && unlikely(READ_ONCE(lkl_irqs_pending)))
		lkl_irqs_run();
}

#define arch_local_save_flags arch_local_save_flags
#define arch_local_irq_restore arch_local_irq_restore

static inline unsigned long arch_local_irq_save(void)
{
	unsigned long flags = lkl_irqs_off;

	lkl_irqs_off = ARCH_IRQ_DISABLED;
	barrier();
	return flags;
}
#define arch_local_irq_save arch_local_irq_save

static inline void arch_local_irq_disable(void)
{
	lkl_irqs_off = ARCH_IRQ_DISABLED;
	barrier();
}
#define arch_local_irq_disable arch_local_irq_disable

#include <asm-generic/irqflags.h>

#endif
