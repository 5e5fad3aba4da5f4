// SPDX-License-Identifier: GPL-2.0
/*
 * Entry tasks: how a thread of the host comes into Linux, and leaves it.
 *
 * A system call runs on the caller's own thread and stack. The caller names the task that it wants to be; it takes
 * the CPU, makes that task the current one (kernel/cpu.c), runs the call, does what Linux does on its way back to
 * user mode, and retires from the CPU. The task stays current then, as if it were busy in user mode: the next call
 * with the same task finds it so and switches nothing.
 */
#include <linux/blk-cgroup.h>
#include <linux/err.h>
#include <linux/resume_user_mode.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/task_work.h>
#include <asm/lkl.h>

static struct task_struct *task_of(struct lkl_task *entry)
{
	return (struct task_struct *)entry;
}

/* What is to be done before a return to user mode. */
void lkl_exit_work(void)
{
	clear_thread_flag(TIF_NOTIFY_RESUME);
	clear_notify_signal();
	if (task_work_pending(current))
		task_work_run();
	/* There is nobody to deliver a signal to. The call that it broke off has said so to its caller. */
	if (unlikely(signal_pending(current)))
		flush_signals(current);
}

/* Runs a function as an entry task, on the calling thread. */
long lkl_enter_and(struct lkl_task *entry, long (*fn)(void *arg), void *arg)
{
	struct lkl_thread *me = task_of(entry)->thread.host;
	long ret;

	if (unlikely(linux_is_dead()))
		return -ENODEV;
	if (lkl_jump_save(&me->home))
		return -ENODEV;
	me->host_thread = host(thread_self);
	if (!lkl_cpu_get())
		return -ENODEV;
	lkl_become(me);
	me->entries++;
	if (READ_ONCE(lkl_irqs_pending))
		lkl_irqs_run();

	ret = fn(arg);

	lkl_exit_work();
	lkl_cpu_retire(me);
	return ret;
}

struct syscall_call {
	long number;
	const long *args;
};

static long do_syscall(void *arg)
{
	struct syscall_call *call = arg;

	return lkl_syscall_dispatch(call->number, call->args);
}

long linux_syscall(struct lkl_task *task, long number, const long args[6])
{
	struct syscall_call call = { number, args };

	return lkl_enter_and(task, do_syscall, &call);
}

static long do_task_new(void *arg)
{
	struct task_struct **child = arg;
	/* The one way to a task that shares everything with us and is not woken: it is not to run before it is entered. */
	struct task_struct *task = create_io_thread(lkl_entry_task, NULL, NUMA_NO_NODE);

	if (IS_ERR(task))
		return PTR_ERR(task);
	/* It is not a worker of io_uring's pools, which this flag would say to the scheduler. */
	task->flags &= ~PF_IO_WORKER;
	*child = task;
	return 0;
}

long linux_task_new(struct lkl_task *parent, struct lkl_task **child)
{
	return lkl_enter_and(parent, do_task_new, child);
}

/* The task's own last call: __switch_to() sees that it died and jumps back out. */
static long do_task_free(void *arg)
{
	struct lkl_thread *me = current->thread.host;

	me->after_death = arg;
	do_exit(0);
}

void linux_task_free(struct lkl_task *parent, struct lkl_task *task)
{
	struct lkl_jump way_out;

	if (!lkl_jump_save(&way_out))
		lkl_enter_and(task, do_task_free, &way_out);
}

static long do_selftest(void *what)
{
	return IS_ENABLED(CONFIG_LKL_SELFTEST) ? lkl_run_selftest((unsigned long)what) : -ENOSYS;
}

long linux_selftest(struct lkl_task *task, unsigned long what)
{
	return lkl_enter_and(task, do_selftest, (void *)what);
}
