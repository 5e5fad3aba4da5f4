// SPDX-License-Identifier: GPL-2.0
/*
 * The virtual processor: who holds it, and how it changes hands.
 *
 * Exactly one host thread runs Linux code, the one that holds the CPU. Linux's own threads hand it to each other in
 * __switch_to(); the lock here is for those who come from outside: a host thread with a system call, and the servant
 * of interrupts.
 *
 * The CPU can only be free while the current task is *detached*: while no host thread is in the middle of running it.
 * That is an entry task whose caller has left (for Linux, it is busy in user mode), or the idle task asleep. Whoever
 * takes the free CPU may then speak for the current task, like an interrupt does, and make another one current with
 * an ordinary schedule(): the part of schedule() after the switch belongs to the next task, and if that is the
 * caller's own task, it goes on right there, with no thread switched at all. The frames of schedule() are
 * interchangeable, since all that it keeps over the switch is handed over by __switch_to().
 *
 * A thread that waits for its turn may speak for the current task too: an interrupt that is raised while the CPU is
 * free is served on the stack of a caller that is blocked in Linux. Most often it is the end of that caller's own disk
 * read; the schedule() that follows then chooses the caller, which goes on where it was with a single wake-up.
 *
 * These words are shared with host threads that run at the same time, so they use the processor's real atomics.
 */
#include <linux/sched.h>
#include <linux/sched/debug.h>
#include <linux/sched/stat.h>
#include <linux/sched/task.h>
#include <linux/tick.h>
#include <asm/lkl.h>

enum { CPU_FREE, CPU_HELD, CPU_WANTED };

/* How often to look again before going to sleep: about a microsecond, most system calls are over by then. */
#define SPINS 200

static unsigned int cpu_state = CPU_HELD;
unsigned long lkl_cpu_turns = 1;
struct lkl_thread *lkl_running = &lkl_boot_thread;
static void *cpu_sem;

bool lkl_cpu_init(void)
{
	cpu_sem = host(sem_alloc, 0);
	return cpu_sem;
}

void lkl_cpu_free(void)
{
	host(sem_free, cpu_sem);
}

/* A turn begins. Only who holds the CPU writes the count. */
static void begin_turn(void)
{
	WRITE_ONCE(lkl_cpu_turns, lkl_cpu_turns + 1);
	if (unlikely(__atomic_load_n(&lkl_watch_sleeps, __ATOMIC_SEQ_CST)))
		lkl_watch_wake();
}

/* Takes the CPU if it is free. Nobody gets it once Linux is dead, so a loop around this has an end. */
bool lkl_cpu_try_get(void)
{
	unsigned int expected = CPU_FREE;

	if (!__atomic_compare_exchange_n(&cpu_state, &expected, CPU_HELD, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_RELAXED))
		return false;
	if (likely(!linux_is_dead())) {
		begin_turn();
		return true;
	}
	lkl_cpu_put();
	return false;
}

bool lkl_cpu_is_free(void)
{
	return __atomic_load_n(&cpu_state, __ATOMIC_SEQ_CST) == CPU_FREE;
}

/**
 * lkl_cpu_get - takes the CPU, waiting for it if need be
 *
 * Return: false, and the CPU is not taken, when Linux is dead. A thread that holds the CPU then need not give it back
 * for this to return: lkl_cpu_call_off() wakes one of those who wait, and each wakes the next.
 */
bool lkl_cpu_get(void)
{
	int i;

	for (i = 0; i < SPINS; i++) {
		if (__atomic_load_n(&cpu_state, __ATOMIC_RELAXED) == CPU_FREE && lkl_cpu_try_get())
			return true;
		__builtin_ia32_pause();
	}
	while (__atomic_exchange_n(&cpu_state, CPU_WANTED, __ATOMIC_SEQ_CST) != CPU_FREE) {
		if (unlikely(linux_is_dead())) {
			lkl_cpu_call_off();
			return false;
		}
		host(sem_down, cpu_sem);
	}
	if (likely(!linux_is_dead())) {
		begin_turn();
		return true;
	}
	lkl_cpu_put();
	return false;
}

/* Linux is dead: has those who wait for the CPU find out. Any context. */
void lkl_cpu_call_off(void)
{
	host(sem_up, cpu_sem);
}

void lkl_cpu_put(void)
{
	lkl_running = NULL;
	if (__atomic_exchange_n(&cpu_state, CPU_FREE, __ATOMIC_SEQ_CST) == CPU_WANTED)
		host(sem_up, cpu_sem);
}

/* The current task is detached, and somebody else must have its place: it is no longer to be chosen. */
static void detach_current(void)
{
	if (is_idle_task(current)) {
		tick_nohz_idle_exit();
		/* The idle task runs with preemption disabled, by its count; schedule() is to be called by one that has not. */
		preempt_enable_no_resched();
	} else {
		/* Not by set_special_state(), which a task calls of itself: nobody runs this one, nor can wake it meanwhile. */
		WRITE_ONCE(current->__state, TASK_PARKED);
	}
}

/**
 * lkl_become - makes the caller's task the current one
 * @me: the calling host thread, which has just taken the CPU; an entry task's
 *
 * Returns with the task running, at once or when its turn has come.
 */
void lkl_become(struct lkl_thread *me)
{
	lkl_running = me;
	if (current == me->task)
		return;
	detach_current();
	if (me->fresh) {
		me->fresh = false;
		wake_up_new_task(me->task);
	} else {
		wake_up_state(me->task, TASK_PARKED);
	}
	schedule();
}

/**
 * lkl_cpu_give_up - hands the CPU to whatever task the scheduler chooses instead of the current, detached one
 * @me: the calling host thread, which holds the CPU
 *
 * Return: true when the CPU belongs to another task (the caller's own among them, if it waits in __switch_to()), false
 * when nobody wanted it, the idle task is current and detached, and the caller holds the CPU still.
 */
bool lkl_cpu_give_up(struct lkl_thread *me)
{
	struct lkl_jump way_out;

	detach_current();
	switch (lkl_jump_save(&way_out)) {
	case 0:
		me->way_out = &way_out;
		me->leaving = true;
		schedule();
		if (!is_idle_task(current))
			panic("a detached task was scheduled");
		/* A request to reschedule was pending, but nobody wants to run: the idle task was chosen again. */
		me->leaving = false;
		preempt_disable();
		tick_nohz_idle_enter();
		return false;
	case LKL_STILL_HELD:
		return false;
	default:
		return true;
	}
}

/* Does anybody want to run besides the current task, which is detached? */
static bool others_want_to_run(void)
{
	if (is_idle_task(current))
		return need_resched() || nr_running() > 0;
	return !single_task_running();
}

/**
 * lkl_cpu_retire - leaves the CPU while the current task is detached
 * @me: the calling host thread, which holds the CPU
 *
 * Serves interrupts that came meanwhile, and hands the CPU on if some task wants to run. An interrupt that is raised
 * after the last look finds the CPU free and wakes the servant; one that is raised before is seen by the look: both
 * sides write first and read then. When Linux is dead, an interrupt stays pending for ever and the CPU is no one's:
 * lkl_cpu_try_get() ends the loop.
 */
void lkl_cpu_retire(struct lkl_thread *me)
{
	do {
		lkl_running = me;
		if (READ_ONCE(lkl_irqs_pending))
			lkl_irqs_run();
		if (others_want_to_run() && lkl_cpu_give_up(me))
			return;
		lkl_cpu_put();
	} while (__atomic_load_n(&lkl_irqs_pending, __ATOMIC_SEQ_CST) && lkl_cpu_try_get());
}

/*
 * An entry task that stays current looks busy, so the tick goes on. When nobody has come in as that task between two
 * interrupts, the task makes room for the idle one.
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

/**
 * lkl_cpu_serve - serves the interrupts that came while the CPU was free
 * @me: the calling host thread, which has no turn now
 *
 * If somebody else holds the CPU, that thread looks for interrupts when it leaves.
 *
 * The tick goes on for a moment when Linux falls idle, since most often it is not for long; the first interrupt that
 * finds it idle still stops the tick.
 */
void lkl_cpu_serve(struct lkl_thread *me)
{
	if (!READ_ONCE(lkl_irqs_pending) || !lkl_cpu_try_get())
		return;
	lkl_running = me;
	lkl_irqs_run();
	if (is_idle_task(current)) {
		if (!need_resched()) {
			raw_local_irq_disable();
			tick_nohz_idle_stop_tick();
			raw_local_irq_enable();
		}
	} else if (current_is_stale() && lkl_cpu_give_up(me)) {
		return;
	}
	lkl_cpu_retire(me);
}

void cpu_relax(void)
{
	/* What is waited for here does not come any more. */
	if (unlikely(linux_is_dead()))
		lkl_go_home(lkl_running);
	if (!lkl_irqs_off && READ_ONCE(lkl_irqs_pending))
		lkl_irqs_run();
	else
		host(yield);
}
