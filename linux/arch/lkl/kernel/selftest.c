// SPDX-License-Identifier: GPL-2.0
/*
 * Self-tests of the port, run inside a booted kernel by linux_selftest(): the virtual processor, interrupts, threads,
 * timers and mappings of scattered pages. Each prints a line of TAP.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>
#include <asm/lkl.h>

#define EXPECT(condition)						\
do {									\
	if (!(condition)) {						\
		pr_err("# %s:%d: %s\n", __func__, __LINE__, #condition);\
		return false;						\
	}								\
} while (0)

/* ---- cpu ---- */

struct ping_pong {
	struct completion ping, pong;
	unsigned int rounds, seen;
	struct task_struct *wrong;
};

static int pong_thread(void *arg)
{
	struct ping_pong *game = arg;
	struct task_struct *self = current;

	while (game->seen < game->rounds) {
		wait_for_completion(&game->ping);
		if (current != self)
			game->wrong = current;
		game->seen++;
		complete(&game->pong);
	}
	return 0;
}

static bool cpu_passes_between_two_threads_in_turn(void)
{
	struct ping_pong game = { .rounds = 1000 };
	struct task_struct *self = current;
	unsigned int i;

	init_completion(&game.ping);
	init_completion(&game.pong);
	EXPECT(!IS_ERR(kthread_run(pong_thread, &game, "pong")));
	for (i = 0; i < game.rounds; i++) {
		complete(&game.ping);
		wait_for_completion(&game.pong);
		EXPECT(current == self);
		EXPECT(game.seen == i + 1);
	}
	EXPECT(!game.wrong);
	return true;
}

static int busy_thread(void *arg)
{
	unsigned long *count = arg;

	while (!kthread_should_stop()) {
		++*count;
		cond_resched();
	}
	return 0;
}

static bool cpu_is_shared_fairly_by_busy_threads(void)
{
	unsigned long counts[3] = { 0 };
	struct task_struct *threads[3];
	unsigned int i;

	for (i = 0; i < 3; i++) {
		threads[i] = kthread_run(busy_thread, &counts[i], "busy/%u", i);
		EXPECT(!IS_ERR(threads[i]));
	}
	msleep(200);
	for (i = 0; i < 3; i++)
		kthread_stop(threads[i]);
	for (i = 0; i < 3; i++)
		EXPECT(counts[i] > 0);
	return true;
}

/* ---- irq ---- */

static unsigned int irqs_taken;

static irqreturn_t count_irq(int irq, void *unused)
{
	irqs_taken++;
	return IRQ_HANDLED;
}

static bool irq_waits_until_interrupts_are_enabled(void)
{
	unsigned long flags;

	irqs_taken = 0;
	EXPECT(!request_irq(LKL_IRQ_SELFTEST, count_irq, 0, "selftest", &irqs_taken));
	local_irq_save(flags);
	lkl_irq_raise(LKL_IRQ_SELFTEST);
	lkl_irq_raise(LKL_IRQ_SELFTEST);
	EXPECT(irqs_taken == 0);
	local_irq_restore(flags);
	EXPECT(irqs_taken == 1);
	lkl_irq_raise(LKL_IRQ_SELFTEST);
	cpu_relax();
	EXPECT(irqs_taken == 2);
	free_irq(LKL_IRQ_SELFTEST, &irqs_taken);
	return true;
}

struct numbered_event {
	struct lkl_irq_event event;
	unsigned int number;
};

static unsigned int next_number;
static bool in_order;

static void take_numbered(struct lkl_irq_event *event)
{
	struct numbered_event *numbered = container_of(event, struct numbered_event, event);

	if (numbered->number != next_number++ || !in_hardirq())
		in_order = false;
}

static bool irqs_with_data_are_taken_once_each_in_order(void)
{
	enum { EVENTS = 300 };
	struct numbered_event *numbered = kcalloc(EVENTS, sizeof(*numbered), GFP_KERNEL);
	unsigned long flags;
	unsigned int i;

	EXPECT(numbered);
	next_number = 0;
	in_order = true;
	local_irq_save(flags);
	for (i = 0; i < EVENTS; i++) {
		numbered[i].number = i;
		numbered[i].event.handler = take_numbered;
		lkl_irq_post(&numbered[i].event);
	}
	EXPECT(next_number == 0);
	local_irq_restore(flags);
	EXPECT(next_number == EVENTS);
	EXPECT(in_order);
	kfree(numbered);
	return true;
}

static bool irqs_are_taken_by_a_thread_that_only_spins(void)
{
	unsigned long end = jiffies + 3;
	unsigned long start = host(monotonic_ns);

	while (time_before(jiffies, end)) {
		EXPECT(host(monotonic_ns) - start < 2 * NSEC_PER_SEC);
		cpu_relax();
	}
	return true;
}

/* ---- threads ---- */

static int short_thread(void *arg)
{
	complete(arg);
	return 0;
}

static unsigned int count_threads(void)
{
	struct lkl_thread *thread;
	unsigned int n = 0;

	lkl_for_each_thread(thread)
		n += thread->task != NULL;
	return n;
}

static bool threads_that_end_leave_nothing_behind(void)
{
	unsigned int before, i, tries;

	rcu_barrier();
	before = count_threads();
	for (i = 0; i < 500; i++) {
		DECLARE_COMPLETION_ONSTACK(done);

		EXPECT(!IS_ERR(kthread_run(short_thread, &done, "short")));
		wait_for_completion(&done);
	}
	/* Workers of Linux' own may have come meanwhile, but not hundreds. */
	for (tries = 0; tries < 100 && count_threads() > before + 8; tries++) {
		msleep(10);
		rcu_barrier();
	}
	EXPECT(count_threads() <= before + 8);
	return true;
}

static int stoppable_thread(void *unused)
{
	while (!kthread_should_stop()) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (!kthread_should_stop())
			schedule();
		__set_current_state(TASK_RUNNING);
	}
	return 42;
}

static bool thread_that_never_ran_can_be_stopped(void)
{
	struct task_struct *never = kthread_create(stoppable_thread, NULL, "never");
	struct task_struct *ran = kthread_run(stoppable_thread, NULL, "ran");

	EXPECT(!IS_ERR(never) && !IS_ERR(ran));
	EXPECT(kthread_stop(never) == -EINTR);
	msleep(1);
	EXPECT(kthread_stop(ran) == 42);
	return true;
}

static void count_work(struct work_struct *work);
static DECLARE_COMPLETION(work_done);
static DECLARE_WORK(some_work, count_work);

static void count_work(struct work_struct *work)
{
	complete(&work_done);
}

static bool work_runs_while_its_owner_waits(void)
{
	unsigned int i;

	for (i = 0; i < 100; i++) {
		reinit_completion(&work_done);
		schedule_work(&some_work);
		EXPECT(wait_for_completion_timeout(&work_done, HZ));
	}
	return true;
}

/* ---- timers ---- */

struct measured_timer {
	struct hrtimer timer;
	ktime_t due, fired;
	struct completion done;
};

static enum hrtimer_restart measured(struct hrtimer *timer)
{
	struct measured_timer *m = container_of(timer, struct measured_timer, timer);

	m->fired = ktime_get();
	complete(&m->done);
	return HRTIMER_NORESTART;
}

static bool timers_are_never_early_and_not_rounded_to_ticks(void)
{
	static const unsigned int delays_us[] = { 50, 200, 700, 1500, 3000, 20000 };
	struct measured_timer m;
	unsigned int i, exact = 0;

	for (i = 0; i < ARRAY_SIZE(delays_us); i++) {
		init_completion(&m.done);
		hrtimer_init_on_stack(&m.timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
		m.timer.function = measured;
		m.due = ktime_add_us(ktime_get(), delays_us[i]);
		hrtimer_start(&m.timer, ns_to_ktime(delays_us[i] * NSEC_PER_USEC), HRTIMER_MODE_REL);
		EXPECT(wait_for_completion_timeout(&m.done, 5 * HZ));
		EXPECT(ktime_compare(m.fired, m.due) >= 0);
		if (ktime_us_delta(m.fired, m.due) < 5000)
			exact++;
		destroy_hrtimer_on_stack(&m.timer);
	}
	/* A busy machine may delay one or another; a tick is 10 ms, so rounding would delay nearly all. */
	EXPECT(exact >= ARRAY_SIZE(delays_us) / 2);
	return true;
}

static bool sleep_lasts_and_the_tick_goes_on_after_it(void)
{
	unsigned long before = jiffies;
	ktime_t start = ktime_get();

	msleep(120);
	EXPECT(ktime_ms_delta(ktime_get(), start) >= 120);
	EXPECT(jiffies - before >= 11);
	return true;
}

static bool timeout_of_a_wait_expires(void)
{
	DECLARE_COMPLETION_ONSTACK(never);

	EXPECT(wait_for_completion_timeout(&never, 3) == 0);
	return true;
}

/* ---- vmap ---- */

static bool scattered_pages_appear_side_by_side(void)
{
	enum { PAGES = 8 };
	struct page *pages[PAGES], *spacers[PAGES];
	unsigned char *area;
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		pages[PAGES - 1 - i] = alloc_page(GFP_KERNEL);
		spacers[i] = alloc_page(GFP_KERNEL);
		EXPECT(pages[PAGES - 1 - i] && spacers[i]);
	}
	for (i = 0; i < PAGES; i++)
		memset(page_address(pages[i]), 'a' + i, PAGE_SIZE);
	area = vm_map_ram(pages, PAGES, NUMA_NO_NODE);
	EXPECT(area);
	for (i = 0; i < PAGES; i++) {
		EXPECT(area[i * PAGE_SIZE] == 'a' + i);
		EXPECT(area[(i + 1) * PAGE_SIZE - 1] == 'a' + i);
		area[i * PAGE_SIZE + 1] = 'A' + i;
		EXPECT(((char *)page_address(pages[i]))[1] == 'A' + i);
	}
	vm_unmap_ram(area, PAGES);
	area = vmap(pages, PAGES, VM_MAP, PAGE_KERNEL);
	EXPECT(area && area[3 * PAGE_SIZE + 1] == 'D');
	vunmap(area);
	for (i = 0; i < PAGES; i++) {
		__free_page(pages[i]);
		__free_page(spacers[i]);
	}
	return true;
}

static const struct {
	const char *name;
	bool (*run)(void);
} tests[] = {
#define TEST(name) { #name, name }
	TEST(cpu_passes_between_two_threads_in_turn),
	TEST(cpu_is_shared_fairly_by_busy_threads),
	TEST(irq_waits_until_interrupts_are_enabled),
	TEST(irqs_with_data_are_taken_once_each_in_order),
	TEST(irqs_are_taken_by_a_thread_that_only_spins),
	TEST(threads_that_end_leave_nothing_behind),
	TEST(thread_that_never_ran_can_be_stopped),
	TEST(work_runs_while_its_owner_waits),
	TEST(timers_are_never_early_and_not_rounded_to_ticks),
	TEST(sleep_lasts_and_the_tick_goes_on_after_it),
	TEST(timeout_of_a_wait_expires),
	TEST(scattered_pages_appear_side_by_side),
	{ "copies_fillings_and_sums_are_those_of_single_bytes", lkl_selftest_bytes },
};

/* ---- loops, for the watchdog ---- */

/* Beyond what is asked for, an unsigned long of nanoseconds would not do. */
#define FOR_EVER	(1UL << 40)

static void loop_deaf(unsigned long milliseconds)
{
	unsigned long end = 0;

	raw_local_irq_disable();
	while (milliseconds >= FOR_EVER || !end || (long)(host(monotonic_ns) - end) < 0)
		if (!end && linux_is_dead())
			end = host(monotonic_ns) + milliseconds * NSEC_PER_MSEC + 1;
	raw_local_irq_enable();
}

static int deaf_thread(void *milliseconds)
{
	loop_deaf((unsigned long)milliseconds);
	return 0;
}

static int restless_thread(void *unused)
{
	while (true)
		cond_resched();
	return 0;
}

static void stay_busy(unsigned long milliseconds)
{
	unsigned long end = host(monotonic_ns) + milliseconds * NSEC_PER_MSEC;

	while ((long)(host(monotonic_ns) - end) < 0) {
		unsigned long pause = host(monotonic_ns) + 50 * NSEC_PER_MSEC;

		while ((long)(host(monotonic_ns) - pause) < 0)
			;
		usleep_range(100, 200);
	}
}

static int faulty_thread(void *unused)
{
	unsigned long *nowhere = NULL;

	OPTIMIZER_HIDE_VAR(nowhere);
	return READ_ONCE(nowhere[1]);
}

/* lkl_selftest_fault on the command line: a fault before Linux has any thread. */
static int __init fault_early(char *unused)
{
	return faulty_thread(NULL);
}
early_param("lkl_selftest_fault", fault_early);

/* ---- what does not come back ---- */

struct volume_choice {
	unsigned long number;
	unsigned int locked;
};

static void lock_directories(struct super_block *sb, void *arg)
{
	struct volume_choice *choice = arg;
	struct inode *inode;

	if (!sb->s_bdev || choice->number--)
		return;
	spin_lock(&sb->s_inode_list_lock);
	list_for_each_entry(inode, &sb->s_inodes, i_sb_list)
		if (S_ISDIR(inode->i_mode) && inode_trylock(inode) && igrab(inode))
			choice->locked++;
	spin_unlock(&sb->s_inode_list_lock);
}

static long lock_volume(unsigned long number)
{
	struct volume_choice choice = { .number = number };

	iterate_supers(lock_directories, &choice);
	return choice.locked ? 0 : -ENOENT;
}

struct hoard {
	unsigned long milliseconds;
	struct completion has_all;
};

static int hoarder(void *arg)
{
	struct hoard *hoard = arg;
	unsigned long milliseconds = hoard->milliseconds;
	struct page *page, *next;
	LIST_HEAD(pages);

	for (;;) {
		page = alloc_page(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN);
		if (!page)
			break;
		list_add(&page->lru, &pages);
	}
	/* The hoard is gone from here on. */
	complete(&hoard->has_all);
	do
		msleep(min_t(unsigned long, milliseconds, MSEC_PER_SEC * 1000));
	while (milliseconds >= FOR_EVER);
	list_for_each_entry_safe(page, next, &pages, lru)
		__free_page(page);
	return 0;
}

static long use_up_memory(unsigned long milliseconds)
{
	struct hoard hoard = { .milliseconds = milliseconds };

	if (!milliseconds) {
		while (alloc_page(GFP_KERNEL))
			;
		return -ENOMEM;
	}
	init_completion(&hoard.has_all);
	if (IS_ERR(kthread_run(hoarder, &hoard, "hoarder")))
		return -ENOMEM;
	wait_for_completion(&hoard.has_all);
	return 0;
}

static noinline unsigned long overflow(unsigned long depth)
{
	volatile char frame[256];

	frame[depth % sizeof(frame)] = 1;
	return overflow(depth + 1) + frame[depth % sizeof(frame)];
}

/* What an overrun does that leaves Linux's memory. A host that has guards there lives on, or ends Linux. */
static long write_beyond(unsigned long bytes)
{
	struct page *pages[2] = { alloc_page(GFP_KERNEL), alloc_page(GFP_KERNEL) };
	unsigned char *view;

	if (!pages[0] || !pages[1])
		return -ENOMEM;
	/* Never in this order, so that the host has to map them. */
	if (page_to_pfn(pages[0]) < page_to_pfn(pages[1]))
		swap(pages[0], pages[1]);
	view = vm_map_ram(pages, 2, NUMA_NO_NODE);
	if (view) {
		memset(view - bytes, 0x5a, bytes);
		memset(view + 2 * PAGE_SIZE, 0x5a, bytes);
		vm_unmap_ram(view, 2);
	}
	__free_page(pages[0]);
	__free_page(pages[1]);
	memset((unsigned char *)lkl_pool_base - bytes, 0x5a, bytes);
	memset((unsigned char *)lkl_pool_base + lkl_pool_size, 0x5a, bytes);
	return 0;
}

static long try_death(unsigned long what, unsigned long milliseconds)
{
	switch (what) {
	case LKL_SELFTEST_DEAF:
		loop_deaf(milliseconds);
		return 0;
	case LKL_SELFTEST_RESTLESS:
		/* Two of them pass the CPU to each other and never leave it free. */
		if (IS_ERR(kthread_run(restless_thread, NULL, "restless")))
			return -ENOMEM;
		return restless_thread(NULL);
	case LKL_SELFTEST_THREAD:
		return PTR_ERR_OR_ZERO(kthread_run(deaf_thread, (void *)milliseconds, "deaf"));
	case LKL_SELFTEST_BUSY:
		stay_busy(milliseconds);
		return 0;
	case LKL_SELFTEST_PANIC:
		panic("a self-test");
	case LKL_SELFTEST_LIMIT:
		lkl_watch_set(milliseconds * NSEC_PER_MSEC);
		return 0;
	case LKL_SELFTEST_FAULT:
		return PTR_ERR_OR_ZERO(kthread_run(faulty_thread, NULL, "faulty"));
	case LKL_SELFTEST_WAIT:
		lkl_watch_set_wait(milliseconds * NSEC_PER_MSEC);
		return 0;
	case LKL_SELFTEST_LOCK:
		return lock_volume(milliseconds);
	case LKL_SELFTEST_MEMORY:
		return use_up_memory(milliseconds);
	case LKL_SELFTEST_OVERFLOW:
		return overflow(0);
	case LKL_SELFTEST_BEYOND:
		return write_beyond(milliseconds);
	default:
		return -EINVAL;
	}
}

long lkl_run_selftest(unsigned long what)
{
	long failed = 0;
	unsigned int i;

	if (what != LKL_SELFTEST_ALL)
		return try_death(what & 0xff, what >> 8);
	pr_info("1..%zu\n", ARRAY_SIZE(tests));
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		bool ok = tests[i].run();

		pr_info("%s %u - %s\n", ok ? "ok" : "not ok", i + 1, tests[i].name);
		failed += !ok;
	}
	return failed;
}
