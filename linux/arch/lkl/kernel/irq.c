// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupts.
 *
 * Any thread or interrupt-like context of the host may raise one, with data or without: a bit in a word, or an event
 * in a lock-free list. Whoever holds the CPU takes it at the next point where interrupts are enabled. While nobody
 * holds the CPU, the servant does: a host thread that has no task and waits for nothing else.
 *
 * The word and the list are shared with threads that run at the same time: real atomics.
 */
#include <linux/hardirq.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/sched.h>
#include <asm/irq_regs.h>
#include <asm/lkl.h>

unsigned long lkl_irqs_off = ARCH_IRQ_DISABLED;
/* Bit n: interrupt n was raised; bit 0: the list of events is not empty. */
unsigned long lkl_irqs_pending;
static struct lkl_irq_event *events;

struct lkl_thread lkl_servant;
static unsigned int servant_nudged;

#define EVENTS_BIT	1UL

/* Has the servant look for interrupts, unless it is about to. */
void lkl_servant_nudge(void)
{
	if (!__atomic_exchange_n(&servant_nudged, 1, __ATOMIC_SEQ_CST))
		host(sem_up, lkl_servant.sem);
}

static void announce(unsigned long bit)
{
	__atomic_fetch_or(&lkl_irqs_pending, bit, __ATOMIC_SEQ_CST);
	if (lkl_cpu_is_free())
		lkl_servant_nudge();
}

/* Raises an interrupt without data; several before it is taken are one. */
void lkl_irq_raise(unsigned int irq)
{
	announce(1UL << irq);
}

/* Raises an interrupt with data; each is taken once, in the order of posting. */
void lkl_irq_post(struct lkl_irq_event *event)
{
	struct lkl_irq_event *first = __atomic_load_n(&events, __ATOMIC_RELAXED);

	do {
		event->next = first;
	} while (!__atomic_compare_exchange_n(&events, &first, event, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	announce(EVENTS_BIT);
}

static void take_events(void)
{
	struct lkl_irq_event *list = __atomic_exchange_n(&events, NULL, __ATOMIC_ACQUIRE);
	struct lkl_irq_event *in_order = NULL;

	while (list) {
		struct lkl_irq_event *next = list->next;

		list->next = in_order;
		in_order = list;
		list = next;
	}
	while (in_order) {
		struct lkl_irq_event *event = in_order;

		in_order = event->next;
		event->handler(event);
	}
}

/* Takes the interrupts that are pending. The caller holds the CPU and has just enabled them. */
void lkl_irqs_run(void)
{
	static struct pt_regs regs;
	struct pt_regs *old_regs;

	if (unlikely(READ_ONCE(lkl_dead)))
		return;
	do {
		unsigned long bits;
		unsigned int irq;

		lkl_irqs_off = ARCH_IRQ_DISABLED;
		bits = __atomic_exchange_n(&lkl_irqs_pending, 0, __ATOMIC_SEQ_CST);
		old_regs = set_irq_regs(&regs);
		irq_enter();
		if (bits & EVENTS_BIT)
			take_events();
		for (irq = 1; irq < LKL_IRQ_COUNT; irq++)
			if (bits & (1UL << irq))
				generic_handle_irq(irq);
		irq_exit();
		set_irq_regs(old_regs);
		lkl_irqs_off = ARCH_IRQ_ENABLED;
	} while (READ_ONCE(lkl_irqs_pending));
}

void __init init_IRQ(void)
{
	unsigned int irq;

	for (irq = 1; irq < LKL_IRQ_COUNT; irq++)
		irq_set_chip_and_handler(irq, &dummy_irq_chip, handle_simple_irq);
}

/*
 * An entry task that stays current looks busy, so the tick goes on. When nobody has come in as that task between two
 * calls of the servant, the task makes room for the idle one, which stops the tick.
 */
static bool current_is_stale(void)
{
	static struct task_struct *seen;
	static unsigned long entries_seen;
	struct lkl_thread *thread = current->thread.host;
	bool stale = seen == current && entries_seen == thread->entries;

	seen = current;
	entries_seen = thread->entries;
	return stale && !is_idle_task(current);
}

/* The thread that serves interrupts while nobody is inside. */
void lkl_servant_main(void *unused)
{
	struct lkl_thread *me = &lkl_servant;

	for (;;) {
		host(sem_down, me->sem);
		if (lkl_is_dead())
			host(thread_exit);
		__atomic_store_n(&servant_nudged, 0, __ATOMIC_SEQ_CST);
		/* Whoever holds the CPU looks for interrupts when it leaves. */
		if (!lkl_cpu_try_get())
			continue;
		if (lkl_is_dead()) {
			lkl_cpu_put();
			host(thread_exit);
		}
		lkl_running = me;
		lkl_irqs_run();
		if (!current_is_stale() || !lkl_cpu_give_up(me))
			lkl_cpu_retire(me);
	}
}
