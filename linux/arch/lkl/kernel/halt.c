// SPDX-License-Identifier: GPL-2.0
/*
 * The end of Linux: by a panic, by a fault that the host saw, or because the host wants it.
 *
 * Nobody who runs Linux code returns to it. Every thread that waits in Linux is woken, sees that Linux is dead and
 * goes home: a thread that Linux made ends, a thread that came in with a call returns from that call with -ENODEV.
 * Memory and semaphores stay until lkl_halt(), which the host calls when all of its threads are out.
 */
#include <linux/init.h>
#include <linux/notifier.h>
#include <linux/panic_notifier.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <linux/syscalls.h>
#include <linux/workqueue.h>
#include <asm/lkl.h>

/* 1: died, 2: halted */
int lkl_dead;
static struct lkl_thread *victim;

int lkl_is_dead(void)
{
	return __atomic_load_n(&lkl_dead, __ATOMIC_ACQUIRE) != 0;
}

/* Out of Linux, from wherever the calling thread is in it. */
void lkl_go_home(struct lkl_thread *me)
{
	if (me->entry)
		lkl_jump_to(&me->home, 1);
	host(thread_exit);
}

static void wake_everybody(void)
{
	struct lkl_thread *thread;

	list_for_each_entry(thread, &lkl_threads, list)
		host(sem_up, thread->sem);
	host(sem_up, lkl_boot_thread.sem);
	host(sem_up, lkl_servant.sem);
}

static void die(const char *why)
{
	struct lkl_thread *me = lkl_running;

	if (__atomic_exchange_n(&lkl_dead, 1, __ATOMIC_SEQ_CST)) {
		/* It panics while it dies; what could be woken has been, or never will be. */
		lkl_go_home(me);
	}
	victim = me;
	host(panicked, why, strlen(why));
	wake_everybody();
	lkl_boot_finished(NULL);
	lkl_cpu_put();
	lkl_go_home(me);
}

static int on_panic(struct notifier_block *block, unsigned long event, void *why)
{
	die(why);
	return NOTIFY_DONE;
}

static struct notifier_block panic_block = {
	.notifier_call = on_panic,
	.priority = INT_MIN,
};

static int __init register_panic(void)
{
	return atomic_notifier_chain_register(&panic_notifier_list, &panic_block);
}
early_initcall(register_panic);

void lkl_fault(const char *why)
{
	if (lkl_running)
		panic("fault in Linux: %s", why);
}

static long do_sync(void *unused)
{
	ksys_sync();
	return 0;
}

void lkl_halt(void)
{
	struct lkl_thread *thread;

	if (!lkl_is_dead()) {
		lkl_enter_and((struct lkl_task *)lkl_first_task, do_sync, NULL);
		lkl_cpu_get();
		__atomic_store_n(&lkl_dead, 2, __ATOMIC_SEQ_CST);
		wake_everybody();
		lkl_cpu_put();
	}
	list_for_each_entry(thread, &lkl_threads, list)
		if (thread->handle)
			host(thread_join, thread->handle);
	host(thread_join, lkl_servant.handle);
	host(thread_join, lkl_boot_thread.handle);
	lkl_time_free();
	list_for_each_entry(thread, &lkl_threads, list)
		host(sem_free, thread->sem);
	host(sem_free, lkl_servant.sem);
	host(sem_free, lkl_boot_thread.sem);
	lkl_cpu_free();
	host(pool_free, (void *)lkl_pool_base, lkl_pool_size);
}

/* The generic kernel's own ways to end. */
void (*pm_power_off)(void);

void machine_halt(void)
{
	die("halted");
}

void machine_power_off(void)
{
	die("powered off");
}

void machine_restart(char *command)
{
	die("restarted");
}
