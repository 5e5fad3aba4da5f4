// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupts.
 *
 * Any thread or interrupt-like context of the host may raise one, with data or without: a bit in a word, or an event
 * in a lock-free list. Whoever holds the CPU takes it at the next point where interrupts are enabled. If nobody holds
 * the CPU, a caller that waits in Linux is woken and serves the interrupt, which may well be the one that it waits for
 * (lkl_cpu_serve()). If nobody waits, the servant does it: a host thread that has no task and nothing else to do.
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
bool lkl_irqs_served;

struct lkl_thread lkl_servant;

#define EVENTS_BIT	1UL

static void announce(unsigned long bit)
{
	__atomic_fetch_or(&lkl_irqs_pending, bit, __ATOMIC_SEQ_CST);
	if (lkl_cpu_is_free())
		lkl_call_server();
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

/*
 * Takes the interrupts that are pending. The caller holds the CPU and has just enabled them. When Linux is dead they are
 * not taken, and the caller is a thread that has not noticed yet: it goes home.
 */
void lkl_irqs_run(void)
{
	static struct pt_regs regs;
	struct pt_regs *old_regs;

	do {
		unsigned long bits;
		unsigned int irq;

		if (unlikely(linux_is_dead()))
			lkl_go_home(lkl_running);
		lkl_irqs_off = ARCH_IRQ_DISABLED;
		bits = __atomic_exchange_n(&lkl_irqs_pending, 0, __ATOMIC_SEQ_CST);
		old_regs = set_irq_regs(&regs);
		WRITE_ONCE(lkl_irqs_served, true);
		irq_enter();
		if (bits & EVENTS_BIT)
			take_events();
		for (irq = 1; irq < LKL_IRQ_COUNT; irq++)
			if (bits & (1UL << irq))
				generic_handle_irq(irq);
		irq_exit();
		WRITE_ONCE(lkl_irqs_served, false);
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

/* The thread that serves interrupts while nobody is inside. Waiting is all that it does, and those who wait serve. */
void lkl_servant_main(void *unused)
{
	lkl_servant.host_thread = host(thread_self);
	lkl_wait_for_cpu(&lkl_servant);
}
