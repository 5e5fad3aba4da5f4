// SPDX-License-Identifier: GPL-2.0
/*
 * Nothing to do.
 *
 * The idle task leaves the CPU free and sleeps, detached (kernel/cpu.c). Interrupts do not wake it: the servant takes
 * them, and a caller may come in, both speaking for the idle task. When either of them, or any task later, is through
 * and nothing else wants to run, the scheduler switches to the idle task, and only that wakes it here. It then does
 * the second half of a context switch that somebody began without it.
 */
#include <linux/cpu.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/tick.h>
#include <asm/lkl.h>

void arch_cpu_idle(void)
{
	struct lkl_thread *me = current->thread.host;

	if (READ_ONCE(lkl_irqs_pending)) {
		raw_local_irq_enable();
		raw_local_irq_disable();
		return;
	}
	lkl_irqs_off = ARCH_IRQ_ENABLED;
	lkl_cpu_put();
	/* One that is raised from here on finds the CPU free and calls the servant; one before is seen here. */
	if (__atomic_load_n(&lkl_irqs_pending, __ATOMIC_SEQ_CST))
		lkl_servant_nudge();
	lkl_wait_for_cpu(me);
	schedule_tail(me->last);
	tick_nohz_idle_enter();
	raw_local_irq_disable();
}
