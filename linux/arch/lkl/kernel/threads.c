// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks on host threads.
 *
 * Each kernel thread of Linux has a host thread of its own, which waits on a semaphore until the CPU is handed to it.
 * An entry task (kernel/task.c) has none: it runs on the threads of those who call. The boot thread runs the idle
 * task.
 */
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/tick.h>
#include <asm/lkl.h>
#include <asm/switch_to.h>

struct lkl_thread *lkl_threads;
/* Records whose task has ended, with their semaphores. The list belongs to the holder of the CPU. */
static LIST_HEAD(spare_records);
struct task_struct *lkl_current = &init_task;
struct lkl_thread lkl_boot_thread = {
	.task = &init_task,
	.waiters = LIST_HEAD_INIT(lkl_boot_thread.waiters),
};

/*
 * Entry tasks that wait in __switch_to(), the last one first. The list belongs to whoever holds the CPU; anybody may
 * look at its head, and call a thread that has just left it: records stay until the end.
 */
static LIST_HEAD(waiters);
static struct lkl_thread *first_waiter;

static void waiters_changed(void)
{
	__atomic_store_n(&first_waiter, list_first_entry_or_null(&waiters, struct lkl_thread, waiters),
			 __ATOMIC_RELEASE);
}

/*
 * Whether a caller waits in Linux, and is not to be disturbed: for the disk, for a lock. Any context: what is read may be a
 * moment old.
 */
bool lkl_waits_uninterruptibly(const struct lkl_thread *thread)
{
	const struct task_struct *task = READ_ONCE(thread->task);
	unsigned int state;

	if (!READ_ONCE(thread->entry) || !task || list_empty(&thread->waiters))
		return false;
	state = READ_ONCE(task->__state);
	return (state & TASK_UNINTERRUPTIBLE) && !(state & TASK_NOLOAD);
}

/* Has somebody who waits look for interrupts. Any context. */
void lkl_call_server(void)
{
	struct lkl_thread *to = __atomic_load_n(&first_waiter, __ATOMIC_ACQUIRE);

	if (!to)
		to = &lkl_servant;
	if (!__atomic_exchange_n(&to->called, true, __ATOMIC_SEQ_CST))
		host(sem_up, to->sem);
}

/*
 * Waits until it is the calling thread's turn to run, and serves interrupts when it is called to. It does not return when
 * Linux is dead: death is looked for before each wait, and wakes who waits.
 */
void lkl_wait_for_cpu(struct lkl_thread *me)
{
	for (;;) {
		if (unlikely(linux_is_dead()))
			lkl_go_home(me);
		if (__atomic_load_n(&me->handed, __ATOMIC_ACQUIRE)) {
			me->handed = false;
			return;
		}
		if (__atomic_exchange_n(&me->called, false, __ATOMIC_SEQ_CST)) {
			lkl_cpu_serve(me);
			continue;
		}
		/* The semaphore may have been upped for another reason, even for a task that had this record before. */
		host(sem_down, me->sem);
	}
}

static void hand_cpu_to(struct lkl_thread *to)
{
	void *sem = to->sem;

	__atomic_store_n(&lkl_running, to, __ATOMIC_SEQ_CST);
	__atomic_store_n(&to->handed, true, __ATOMIC_RELEASE);
	host(sem_up, sem);
	/*
	 * If it had gone home before, nobody has the CPU now. If it goes now, it sees that the CPU is its own and puts it:
	 * it says first that it goes, and looks then, and here it is the other way round.
	 */
	if (unlikely(linux_is_dead()) && __atomic_load_n(&to->gone, __ATOMIC_SEQ_CST))
		lkl_cpu_put();
}

/* The idle task's second half of a switch, done by the thread of the task that ran before. */
static void go_idle(struct task_struct *prev)
{
	schedule_tail(prev);
	preempt_disable();
	tick_nohz_idle_enter();
}

/**
 * __switch_to - lets the next task run
 * @prev: the current task, for which the calling host thread speaks; it need not be the thread's own
 * @next: the task to run
 *
 * Return: in the thread that runs the task from now on, the task that ran before it.
 */
struct task_struct *__switch_to(struct task_struct *prev, struct task_struct *next)
{
	struct lkl_thread *me = lkl_running;
	struct lkl_thread *to = next->thread.host;
	bool dies = READ_ONCE(prev->__state) == TASK_DEAD;

	if (unlikely(linux_is_dead()))
		lkl_go_home(me);
	lkl_current = next;
	if (!list_empty(&to->waiters)) {
		list_del_init(&to->waiters);
		waiters_changed();
	}
	if (me->leaving) {
		me->leaving = false;
		if (is_idle_task(next) && lkl_idle_sleeps) {
			go_idle(prev);
			lkl_jump_to(me->way_out, LKL_STILL_HELD);
		}
		to->last = prev;
		if (to == me)
			me->handed = true;
		else
			hand_cpu_to(to);
		lkl_jump_to(me->way_out, LKL_HANDED_ON);
	}
	if (to == me)
		return prev;
	if (dies) {
		/* From here on the task and its record may vanish; the host's table and the caller's stack remain. */
		struct lkl_jump *after_death = me->after_death;

		to->last = prev;
		hand_cpu_to(to);
		if (after_death)
			lkl_jump_to(after_death, 1);
		host(thread_exit);
	}
	if (me->entry) {
		list_add(&me->waiters, &waiters);
		waiters_changed();
	}
	if (is_idle_task(next) && lkl_idle_sleeps) {
		go_idle(prev);
		lkl_cpu_retire(me);
	} else {
		to->last = prev;
		hand_cpu_to(to);
	}
	lkl_wait_for_cpu(me);
	return me->last;
}

static void thread_main(void *arg)
{
	struct lkl_thread *me = arg;

	me->host_thread = host(thread_self);
	lkl_wait_for_cpu(me);
	if (me->dying)
		host(thread_exit);
	schedule_tail(me->last);
	me->fn(me->arg);
	/*
	 * A kernel thread never comes back but for the first, which "executed" /init (see kernel/boot.c). It becomes
	 * the first entry task, and its thread has nothing more to do.
	 */
	me->entry = true;
	/* If Linux dies in there, this is where the thread goes, as an entry task's. */
	if (!lkl_jump_save(&me->home))
		lkl_boot_finished(me->task);
	host(thread_exit);
}

/* The function by which copy_thread() knows an entry task; nobody calls it. */
int lkl_entry_task(void *unused)
{
	BUG();
}

int arch_dup_task_struct(struct task_struct *dst, struct task_struct *src)
{
	*dst = *src;
	dst->thread.host = NULL;
	return 0;
}

/*
 * A record for a new task, with a semaphore. It is in the list before its thread can wait, so that death finds it. NULL for
 * lack of memory.
 */
static struct lkl_thread *new_record(struct task_struct *task)
{
	struct lkl_thread *thread;

	if (!list_empty(&spare_records)) {
		thread = list_first_entry(&spare_records, struct lkl_thread, waiters);
		list_del_init(&thread->waiters);
		thread->handed = false;
		thread->dying = false;
		thread->leaving = false;
		thread->after_death = NULL;
		thread->disk = NULL;
		thread->task = task;
		return thread;
	}
	thread = kzalloc(sizeof(*thread), GFP_KERNEL);
	if (!thread)
		return NULL;
	thread->sem = host(sem_alloc, 0);
	if (!thread->sem) {
		kfree(thread);
		return NULL;
	}
	INIT_LIST_HEAD(&thread->waiters);
	thread->task = task;
	thread->next = lkl_threads;
	__atomic_store_n(&lkl_threads, thread, __ATOMIC_SEQ_CST);
	return thread;
}

static void spare_record(struct lkl_thread *thread)
{
	thread->task = NULL;
	list_add(&thread->waiters, &spare_records);
}

int copy_thread(struct task_struct *task, const struct kernel_clone_args *args)
{
	struct lkl_thread *thread;

	/* There is no user mode that a task could be forked into. */
	if (!args->fn)
		return -EINVAL;

	thread = new_record(task);
	if (!thread)
		return -ENOMEM;
	thread->fn = args->fn;
	thread->arg = args->fn_arg;
	thread->entry = args->fn == lkl_entry_task;
	thread->fresh = thread->entry;
	if (!thread->entry) {
		thread->handle = host(thread_create, thread_main, thread);
		if (!thread->handle) {
			spare_record(thread);
			return -ENOMEM;
		}
	}
	task->thread.host = thread;
	return 0;
}

void arch_release_task_struct(struct task_struct *task)
{
	struct lkl_thread *thread = task->thread.host;

	if (!thread)
		return;
	task->thread.host = NULL;
	if (thread->handle) {
		/* It has ended or is about to; or it has never run, because copy_process() failed, and ends now. */
		thread->dying = true;
		__atomic_store_n(&thread->handed, true, __ATOMIC_RELEASE);
		host(sem_up, thread->sem);
		host(thread_join, thread->handle);
		thread->handle = NULL;
	}
	spare_record(thread);
}
