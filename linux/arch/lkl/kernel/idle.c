// SPDX-License-Identifier: GPL-2.0
/*
 * Nothing to do.
 *
 * The idle task leaves the CPU free and sleeps, detached (kernel/cpu.c). Its own thread then has nothing to do until
 * a task dies: whoever switches to the idle task does the second half of that switch for it, in __switch_to(), leaves
 * the CPU free again, and nobody need be woken. A task that dies cannot, so the idle task's thread does it here.
 */
#include <linux/cpu.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/tick.h>
#include <asm/lkl.h>

/* The idle task's thread waits below, and others may speak for it. */
bool lkl_idle_sleeps;

void arch_cpu_idle(void)
{
	struct lkl_thread *me = current->thread.host;

	if (READ_ONCE(lkl_irqs_pending)) {
		raw_local_irq_enable();
		raw_local_irq_disable();
		return;
	}
	lkl_irqs_off = ARCH_IRQ_ENABLED;
	lkl_idle_sleeps = true;
	lkl_cpu_put();
	/* One that is raised from here on finds the CPU free; one before is seen here. */
	if (__atomic_load_n(&lkl_irqs_pending, __ATOMIC_SEQ_CST))
		lkl_call_server();
	lkl_wait_for_cpu(me);
	lkl_idle_sleeps = false;
	schedule_tail(me->last);
	preempt_disable();
	tick_nohz_idle_enter();
	raw_local_irq_disable();
}
