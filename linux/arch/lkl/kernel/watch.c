// SPDX-License-Identifier: GPL-2.0
/*
 * The watchdog: nothing takes the CPU from a thread that loops, so somebody has to notice.
 *
 * A turn is the time from when the CPU was taken until it is free again; hands that it passes through meanwhile make no
 * difference, since nobody can come in. A thread of the host's looks at the turn now and then, and adds up what those
 * who hold the CPU have run. When one turn has run for too long, Linux is declared dead (kernel/halt.c), and with it all
 * that wait for the CPU or in Linux.
 *
 * Running time is the host's measure of the thread, not of the clock: a machine that sleeps, a debugger that holds it and
 * others that have the processors cost a turn nothing, nor does a wait in the host. Whatever a loop does but to leave the
 * CPU free (interrupts that it takes, requests that it sends, tasks that it lets run) does not make its turn a new one. A
 * record that is seen twice in one turn was in Linux all the while, since nobody comes in during a turn; so its thread's
 * running time between the two looks is the turn's.
 *
 * A processor may be slow. The limit is 30 s, or 400 times what the boot has run, up to half an hour; the parameter
 * lkl_watch=SECONDS says otherwise, and 0 that there is none.
 *
 * Nobody looks after a caller that waits, either, and what it waits for may never come: a lock that is not released. A wait that
 * has gone on for 120 s (lkl_wait=SECONDS; 0: none has a limit) while no disk was asked for anything, or has an answer to
 * give, is found in the same way, and Linux is declared dead at that caller's work. Whoever holds what it waits for would
 * have asked a disk, were it at work; a lock that is held while another volume is busy is found when that pauses. It is
 * looked at eight times, so that a machine that sleeps costs a wait nothing. A kernel with a network knows other
 * things to wait for, and has no such limit unless it is given one.
 *
 * The thread that loops cannot be stopped. It goes home when it looks for interrupts, relaxes the CPU or switches. If it
 * does not for a while, the host is told that it is stuck, and linux_halt() frees nothing.
 *
 * A thread, and no timer alone, since NT tells a thread's running time at PASSIVE_LEVEL only. It sleeps for good while the
 * CPU is free and no caller waits.
 */
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/sched.h>
#include <linux/time64.h>
#include <asm/lkl.h>

#define DEFAULT_LIMIT	(30 * NSEC_PER_SEC)
#define MOST_LIMIT	(1800 * NSEC_PER_SEC)
#define BOOTS		400
/* How long a thread has to find out that Linux is dead. */
#define GRACE		(2 * NSEC_PER_SEC)
#define GRACE_LOOKS	40

/* How long a caller may wait when nothing is under way, and at how many looks in a row it does. */
#define DEFAULT_WAIT	(IS_ENABLED(CONFIG_NET) ? 0 : 120 * NSEC_PER_SEC)
#define WAIT_LOOKS	8

#define UNKNOWN		(~0UL)

bool lkl_watch_sleeps;
unsigned long lkl_disks_asked, lkl_disks_answered;
static unsigned long wait_limit = DEFAULT_WAIT;
static unsigned long limit = DEFAULT_LIMIT;
static bool limit_given;
static void *sem, *timer, *handle;

static int __init set_limit(char *text)
{
	unsigned int seconds;

	if (kstrtouint(text, 10, &seconds))
		return -EINVAL;
	limit = seconds * NSEC_PER_SEC;
	limit_given = true;
	return 0;
}
early_param("lkl_watch", set_limit);

static int __init set_wait(char *text)
{
	unsigned int seconds;

	if (kstrtouint(text, 10, &seconds))
		return -EINVAL;
	wait_limit = seconds * NSEC_PER_SEC;
	return 0;
}
early_param("lkl_wait", set_wait);

/* For tests. */
void lkl_watch_set(unsigned long ns)
{
	WRITE_ONCE(limit, ns);
}

void lkl_watch_set_wait(unsigned long ns)
{
	WRITE_ONCE(wait_limit, ns);
}

/* The first task calls this when it has booted: what that took says how fast the processor is. */
void lkl_watch_booted(struct lkl_thread *me)
{
	unsigned long idle = host(thread_ran_ns, lkl_boot_thread.host_thread);
	unsigned long first = host(thread_ran_ns, me->host_thread);

	if (limit_given || idle == UNKNOWN || first == UNKNOWN || idle + first > MOST_LIMIT / BOOTS)
		return;
	WRITE_ONCE(limit, max_t(unsigned long, DEFAULT_LIMIT, (idle + first) * BOOTS));
}

static void rest(unsigned long ns)
{
	host(timer_arm, timer, ns);
	host(sem_down, sem);
}

/* What the present turn has run since it was seen first, nearly; 0 when the CPU is free. */
static unsigned long look(void)
{
	static unsigned long turn_seen, spent;
	unsigned long turn = READ_ONCE(lkl_cpu_turns);
	struct lkl_thread *thread = READ_ONCE(lkl_running);
	unsigned long name, ran;

	if (turn != turn_seen) {
		turn_seen = turn;
		spent = 0;
	}
	if (!thread || lkl_cpu_is_free())
		return 0;
	name = READ_ONCE(thread->host_thread);
	ran = host(thread_ran_ns, name);
	if (turn != READ_ONCE(lkl_cpu_turns) || lkl_cpu_is_free() || ran == UNKNOWN)
		return 0;
	if (thread->seen.turn == turn && thread->seen.host_thread == name && ran > thread->seen.ran)
		spent += ran - thread->seen.ran;
	thread->seen.turn = turn;
	thread->seen.host_thread = name;
	thread->seen.ran = ran;
	return spent;
}

static char why[128];

static void declare_dead(struct lkl_thread *waits)
{
	unsigned int i;

	if (!lkl_condemn(why, waits))
		return;
	for (i = 0; i < GRACE_LOOKS && lkl_is_stuck(); i++)
		rest(GRACE / GRACE_LOOKS);
	if (lkl_is_stuck())
		host(stuck);
}

static bool callers_wait(void)
{
	struct lkl_thread *thread;

	lkl_for_each_thread(thread)
		if (lkl_waits_uninterruptibly(thread))
			return true;
	return false;
}

/* Whether no disk was asked for anything since the last look, nor has an answer to give. */
static bool disks_rest(void)
{
	static unsigned long seen;
	unsigned long asked = READ_ONCE(lkl_disks_asked);
	bool rest = asked == seen && READ_ONCE(lkl_disks_answered) == asked;

	seen = asked;
	return rest;
}

/* The caller that has waited longest of those that wait for what does not come, if there is one. */
static struct lkl_thread *look_at_waits(unsigned long most)
{
	static unsigned long last;
	unsigned long now = host(monotonic_ns);
	struct lkl_thread *thread, *longest = NULL;
	u64 began = 0;
	bool calm;

	if (!most || now - last < most / WAIT_LOOKS)
		return NULL;
	last = now;
	calm = disks_rest();
	lkl_for_each_thread(thread) {
		const struct task_struct *task = READ_ONCE(thread->task);
		unsigned long switches;

		if (!task || !lkl_waits_uninterruptibly(thread))
			continue;
		switches = READ_ONCE(task->nvcsw) + READ_ONCE(task->nivcsw);
		if (!calm || switches != thread->waits.switches) {
			thread->waits.switches = switches;
			thread->waits.looks = 0;
		} else if (++thread->waits.looks >= WAIT_LOOKS && (!longest || task->se.exec_start < began)) {
			longest = thread;
			began = task->se.exec_start;
		}
	}
	return longest;
}

static void watch_main(void *unused)
{
	host(thread_urgent);
	while (!linux_is_dead()) {
		unsigned long most = READ_ONCE(limit);
		unsigned long most_wait = most ? READ_ONCE(wait_limit) : 0;
		struct lkl_thread *waits = look_at_waits(most_wait);
		unsigned long spent;

		if (waits) {
			snprintf(why, sizeof(why), "a wait: a call has waited for %llu s, and no disk was asked for anything",
				 div_u64(most_wait, NSEC_PER_SEC));
			declare_dead(waits);
			continue;
		}
		if (lkl_cpu_is_free() || !most) {
			__atomic_store_n(&lkl_watch_sleeps, true, __ATOMIC_SEQ_CST);
			/* Who takes the CPU from here on wakes us; who has it already does not. */
			if (lkl_cpu_is_free() || !most) {
				if (most_wait && callers_wait())
					rest(most_wait / WAIT_LOOKS);
				else
					host(sem_down, sem);
				continue;
			}
			__atomic_store_n(&lkl_watch_sleeps, false, __ATOMIC_SEQ_CST);
		}
		spent = look();
		if (spent > most) {
			snprintf(why, sizeof(why), "a loop: task %.15s has not left the processor for %llu s of running time",
				 READ_ONCE(lkl_current)->comm, div_u64(spent, NSEC_PER_SEC));
			declare_dead(NULL);
		} else {
			rest(clamp_t(unsigned long, most / 16, 10 * NSEC_PER_MSEC, NSEC_PER_SEC));
		}
	}
	host(thread_exit);
}

static void fired(void *unused)
{
	host(sem_up, sem);
}

/* Somebody has taken the CPU while the watchdog slept. Any context. */
void lkl_watch_wake(void)
{
	if (READ_ONCE(limit) && __atomic_exchange_n(&lkl_watch_sleeps, false, __ATOMIC_SEQ_CST))
		host(sem_up, sem);
}

bool lkl_watch_start(void)
{
	sem = host(sem_alloc, 0);
	if (!sem)
		return false;
	timer = host(timer_alloc, fired, NULL);
	if (!timer)
		goto no_timer;
	handle = host(thread_create, watch_main, NULL);
	if (handle)
		return true;
	host(timer_free, timer);
no_timer:
	host(sem_free, sem);
	return false;
}

/* Linux is dead: has the watchdog see it. Any context. */
void lkl_watch_call_off(void)
{
	host(sem_up, sem);
}

/* Linux is dead: waits for the watchdog's end. */
void lkl_watch_join(void)
{
	if (handle)
		host(thread_join, handle);
	handle = NULL;
}

void lkl_watch_free(void)
{
	host(timer_free, timer);
	host(sem_free, sem);
}
