// SPDX-License-Identifier: GPL-2.0
/*
 * Time: the host's monotonic clock as a clock source in nanoseconds, and the host's one-shot timer as the source of
 * the tick and of high-resolution timers. Nothing polls.
 */
#include <linux/clockchips.h>
#include <linux/clocksource.h>
#include <linux/init.h>
#include <linux/interrupt.h>
#include <linux/sched/clock.h>
#include <linux/time.h>
#include <linux/timekeeping.h>
#include <asm/lkl.h>

static void *timer;

unsigned long long notrace sched_clock(void)
{
	return lkl_ops.monotonic_ns ? host(monotonic_ns) : 0;
}

void read_persistent_clock64(struct timespec64 *ts)
{
	*ts = ns_to_timespec64(host(realtime_ns));
}

static u64 clock_read(struct clocksource *cs)
{
	return host(monotonic_ns);
}

static struct clocksource host_clock = {
	.name	= "host",
	.rating	= 499,
	.read	= clock_read,
	.mask	= CLOCKSOURCE_MASK(64),
	.flags	= CLOCK_SOURCE_IS_CONTINUOUS,
};

static int timer_set_next(unsigned long delta_ns, struct clock_event_device *device)
{
	host(timer_arm, timer, delta_ns);
	return 0;
}

static struct clock_event_device host_timer = {
	.name		= "host",
	.features	= CLOCK_EVT_FEAT_ONESHOT,
	.rating		= 499,
	.set_next_event	= timer_set_next,
	.irq		= LKL_IRQ_TIMER,
};

static void timer_fired(void *unused)
{
	lkl_irq_raise(LKL_IRQ_TIMER);
}

static irqreturn_t timer_interrupt(int irq, void *unused)
{
	if (host_timer.event_handler)
		host_timer.event_handler(&host_timer);
	return IRQ_HANDLED;
}

void __init time_init(void)
{
	timer = host(timer_alloc, timer_fired, NULL);
	if (!timer)
		panic("the host has no timer for us");
	if (request_irq(LKL_IRQ_TIMER, timer_interrupt, IRQF_TIMER | IRQF_NOBALANCING, "timer", NULL))
		panic("no timer interrupt");
	clocksource_register_hz(&host_clock, NSEC_PER_SEC);
	host_timer.cpumask = cpumask_of(0);
	clockevents_config_and_register(&host_timer, NSEC_PER_SEC, 1000, LONG_MAX);
}

void lkl_time_free(void)
{
	if (timer)
		host(timer_free, timer);
}
