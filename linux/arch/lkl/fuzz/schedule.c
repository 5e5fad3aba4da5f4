// SPDX-License-Identifier: GPL-2.0
/*
 * Schedules: a seed decides where a task is interrupted, and which one runs instead (asm/host_fuzz.h).
 *
 * Linux has one processor here and is not preempted, so that tasks meet only where one of them waits. Elsewhere they
 * meet anywhere. While a schedule is on, each of these is a point at which the running task may lose the processor to another
 * one that is ready: an atomic operation, what disables or enables preemption (spin locks, RCU, the bodies of mutexes, rwsems
 * and completions), and in code that is compiled for it each branch. It is not at a point where Linux would not let it be
 * preempted: preemption or interrupts are off, or it is about to sleep.
 *
 * All tasks are of the real-time class then, with one priority; the chosen one is raised above the others until it comes to a
 * point of its own. With a host in virtual time nothing else decides who runs: the same seed is the same run.
 */
#include <linux/completion.h>
#include <linux/interrupt.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/sched/rt.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include <asm/host_fuzz.h>
#include <asm/lkl.h>
#include <asm/sections.h>
#include <uapi/linux/sched/types.h>

enum { READY = 1, CHOSEN = 2 };

struct lkl_schedule *lkl_schedule_on;
static u64 random;
/* Whoever is at a point: what is done there has points of its own, which do not count. */
static struct task_struct *at_point;
static pid_t chosen;

static u64 next_random(void)
{
	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	return random;
}

static void set_priority(struct task_struct *task, int priority)
{
	const struct sched_param param = { .sched_priority = priority };

	sched_setscheduler_nocheck(task, priority ? SCHED_FIFO : SCHED_NORMAL, &param);
}

static bool is_ready(struct task_struct *task)
{
	return task != current && task->on_rq && READ_ONCE(task->__state) == TASK_RUNNING;
}

static unsigned int count_ready(void)
{
	struct task_struct *group, *task;
	unsigned int count = 0;

	for_each_process_thread(group, task)
		count += is_ready(task);
	return count;
}

/* The n-th of those that are ready, referenced. */
static struct task_struct *ready_task(unsigned int n)
{
	struct task_struct *group, *task;

	for_each_process_thread(group, task)
		if (is_ready(task) && !n--)
			return get_task_struct(task);
	return NULL;
}

static void note(struct lkl_schedule *on, struct task_struct *next, unsigned long place)
{
	struct lkl_switch this = {
		.point = on->points,
		.from = current->pid,
		.to = next->pid,
		.place = place - (unsigned long)_stext,
	};
	const unsigned long words[] = { this.point, (unsigned long)this.from << 32 | this.to, this.place };
	unsigned int i;

	if (on->switches < on->room)
		on->trace[on->switches] = this;
	on->switches++;
	for (i = 0; i < ARRAY_SIZE(words); i++)
		on->digest = (on->digest ^ words[i]) * 0x9e3779b97f4a7c15ul;
}

static void switch_to_another(struct lkl_schedule *on, unsigned long place)
{
	struct task_struct *next;
	unsigned int ready;

	rcu_read_lock();
	ready = count_ready();
	next = ready ? ready_task(next_random() % ready) : NULL;
	rcu_read_unlock();
	if (!next)
		return;
	note(on, next, place);
	chosen = next->pid;
	set_priority(next, CHOSEN);
	put_task_struct(next);
	schedule();
}

static void point(unsigned long place)
{
	struct lkl_schedule *on = READ_ONCE(lkl_schedule_on);

	if (likely(!on) || at_point == current || preempt_count() || lkl_irqs_off || READ_ONCE(current->__state) != TASK_RUNNING ||
	    is_idle_task(current) || !lkl_running || lkl_running->task != current || linux_is_dead())
		return;
	at_point = current;
	on->points++;
	if (current->pid == chosen || !rt_task(current)) {
		if (current->pid == chosen)
			chosen = 0;
		set_priority(current, READY);
	}
	if (next_random() % on->one_in == 0)
		switch_to_another(on, place);
	at_point = NULL;
}

/* Where a task may be interrupted. Any context. */
void lkl_schedule_point(void)
{
	point(_RET_IP_);
}

/* What the compiler calls at each branch of code that is compiled for it (arch/lkl/Makefile). */
void __wrap___sanitizer_cov_trace_pc(void);
void __wrap___sanitizer_cov_trace_pc(void)
{
	point(_RET_IP_);
}

struct strand {
	struct lkl_strand *calls;
	struct completion *done;
	atomic_t *left;
};

static void make_calls(struct lkl_strand *strand)
{
	unsigned long i;
	unsigned int k;

	for (i = 0; i < strand->count; i++) {
		struct lkl_call *call = &strand->calls[i];

		for (k = 0; k < ARRAY_SIZE(call->args); k++)
			if (call->from[k] && call->from[k] <= i)
				call->args[k] = strand->calls[call->from[k] - 1].result;
		call->result = lkl_syscall_dispatch(call->number, call->args);
		lkl_exit_work();
	}
}

static int strand_main(void *arg)
{
	struct strand *strand = arg;

	make_calls(strand->calls);
	if (atomic_dec_and_test(strand->left))
		complete(strand->done);
	do_exit(0);
}

static void set_all(int priority)
{
	struct task_struct *group, *task;

	rcu_read_lock();
	for_each_process_thread(group, task)
		if (!is_idle_task(task))
			set_priority(task, priority);
	rcu_read_unlock();
}

static long run(void *arg)
{
	struct lkl_schedule *on = arg;
	DECLARE_COMPLETION_ONSTACK(done);
	struct strand *strands;
	struct task_struct *task;
	unsigned int i;
	atomic_t left;
	long err = 0;

	if (!on->strand_count || !on->one_in)
		return -EINVAL;
	strands = kcalloc(on->strand_count, sizeof(*strands), GFP_KERNEL);
	if (!strands)
		return -ENOMEM;
	/* One more, for this task. */
	atomic_set(&left, on->strand_count + 1);
	random = on->seed * 2 + 1;
	for (i = 0; i < 8; i++)
		next_random();
	chosen = 0;
	set_all(READY);
	for (i = 0; i < on->strand_count; i++) {
		strands[i] = (struct strand) { &on->strands[i], &done, &left };
		task = create_io_thread(strand_main, &strands[i], NUMA_NO_NODE);
		if (IS_ERR(task)) {
			err = PTR_ERR(task);
			atomic_dec(&left);
			continue;
		}
		task->flags &= ~PF_IO_WORKER;
		wake_up_new_task(task);
	}
	WRITE_ONCE(lkl_schedule_on, on);
	if (!atomic_dec_and_test(&left))
		wait_for_completion(&done);
	WRITE_ONCE(lkl_schedule_on, NULL);
	set_all(0);
	kfree(strands);
	return err;
}

long linux_schedule(struct lkl_task *task, struct lkl_schedule *schedule)
{
	return lkl_enter_and(task, run, schedule);
}
