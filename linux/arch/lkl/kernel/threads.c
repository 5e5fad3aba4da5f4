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
#include <asm/lkl.h>
#include <asm/switch_to.h>

LIST_HEAD(lkl_threads);
struct task_struct *lkl_current = &init_task;
struct lkl_thread lkl_boot_thread = { .task = &init_task };

/* Waits until the CPU is handed to the calling thread. A semaphore may have been upped for another reason. */
void lkl_wait_for_cpu(struct lkl_thread *me)
{
	while (!__atomic_load_n(&me->handed, __ATOMIC_ACQUIRE)) {
		host(sem_down, me->sem);
		if (__atomic_load_n(&lkl_dead, __ATOMIC_ACQUIRE))
			lkl_go_home(me);
	}
	me->handed = false;
}

static void hand_cpu_to(struct lkl_thread *to)
{
	void *sem = to->sem;

	lkl_running = to;
	__atomic_store_n(&to->handed, true, __ATOMIC_RELEASE);
	host(sem_up, sem);
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

	lkl_current = next;
	if (to == me)
		return prev;

	to->last = prev;
	if (me->leaving) {
		me->leaving = false;
		hand_cpu_to(to);
		lkl_jump_to(me->way_out, 1);
	}
	if (READ_ONCE(prev->__state) == TASK_DEAD) {
		/* From here on the task and its record may vanish; the host's table and the caller's stack remain. */
		struct lkl_jump *way_out = me->entry ? me->way_out : NULL;

		hand_cpu_to(to);
		if (way_out)
			lkl_jump_to(way_out, 1);
		host(thread_exit);
	}
	hand_cpu_to(to);
	lkl_wait_for_cpu(me);
	return me->last;
}

static void thread_main(void *arg)
{
	struct lkl_thread *me = arg;

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

int copy_thread(struct task_struct *task, const struct kernel_clone_args *args)
{
	struct lkl_thread *thread;

	/* There is no user mode that a task could be forked into. */
	if (!args->fn)
		return -EINVAL;

	thread = kzalloc(sizeof(*thread), GFP_KERNEL);
	if (!thread)
		return -ENOMEM;
	thread->task = task;
	thread->fn = args->fn;
	thread->arg = args->fn_arg;
	thread->sem = host(sem_alloc, 0);
	if (!thread->sem)
		goto fail;
	if (args->fn == lkl_entry_task) {
		thread->entry = true;
		thread->fresh = true;
	} else {
		thread->handle = host(thread_create, thread_main, thread);
		if (!thread->handle)
			goto fail_sem;
	}
	list_add(&thread->list, &lkl_threads);
	task->thread.host = thread;
	return 0;

fail_sem:
	host(sem_free, thread->sem);
fail:
	kfree(thread);
	return -EAGAIN;
}

void arch_release_task_struct(struct task_struct *task)
{
	struct lkl_thread *thread = task->thread.host;

	if (!thread)
		return;
	if (thread->handle) {
		/* It has ended or is about to; or it has never run, because copy_process() failed, and ends now. */
		thread->dying = true;
		__atomic_store_n(&thread->handed, true, __ATOMIC_RELEASE);
		host(sem_up, thread->sem);
		host(thread_join, thread->handle);
	}
	list_del(&thread->list);
	host(sem_free, thread->sem);
	kfree(thread);
	task->thread.host = NULL;
}
