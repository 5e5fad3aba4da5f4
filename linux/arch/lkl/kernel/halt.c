// SPDX-License-Identifier: GPL-2.0
/*
 * The end of Linux: by a panic, by a fault that the host saw, or because the host wants it.
 *
 * Nobody who runs Linux code returns to it. Every thread that waits in Linux is woken, sees that Linux is dead and
 * goes home: a thread that Linux made ends, a thread that came in with a call returns from that call with -ENODEV.
 * Memory and semaphores stay until linux_halt(), which the host calls when all of its threads are out.
 *
 * No loop of the port may wait for a state that only a living Linux brings about. Whoever waits looks at lkl_dead after
 * it has said that it waits and before it sleeps; death is written first, and then wakes everybody:
 *
 *   lkl_cpu_get(), lkl_cpu_try_get()	the CPU free: not given to anybody any more (kernel/cpu.c)
 *   lkl_cpu_retire()			no interrupt pending: ends by lkl_cpu_try_get()
 *   lkl_wait_for_cpu()			a turn: goes home
 *   lkl_irqs_run(), arch_cpu_idle()	no interrupt pending: goes home
 *   cpu_relax(), __ndelay()		whatever Linux spins for: goes home
 *   __switch_to()			another task's turn: goes home
 *   linux_boot()				the first task: lkl_boot_finished(NULL)
 *   linux_halt()				the ends of threads: all of the above
 *
 * Linux may also be declared dead from outside, by the watchdog (kernel/watch.c), while a thread runs it. All others go
 * home; that thread does where it next looks at lkl_dead, which the list above says.
 */
#include <linux/init.h>
#include <linux/notifier.h>
#include <linux/panic_notifier.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <asm/lkl.h>

/* 1: died, 2: halted */
int lkl_dead;
/* It died by lkl_condemn(). */
static bool condemned;

void *lkl_disk_answered;

/* Whoever holds the CPU sends a request to a disk. */
void lkl_disk_asked(void *disk)
{
	if (!lkl_irqs_served)
		WRITE_ONCE(lkl_running->disk, disk);
}

/*
 * It died at the work of a thread: the one that holds the CPU, unless another one waited for ever. That is looked at from wherever
 * death is noticed: records stay until the end.
 */
static void tell_host(const char *why, const struct lkl_thread *waits)
{
	const struct lkl_thread *me = waits ?: READ_ONCE(lkl_running);
	struct lkl_death death = {
		.why = why,
		.why_len = strlen(why),
		.disk = READ_ONCE(lkl_disk_answered),
	};

	if (me && (waits || !READ_ONCE(lkl_irqs_served))) {
		if (me->entry)
			death.task = (const struct lkl_task *)me->task;
		if (READ_ONCE(me->disk))
			death.disk = READ_ONCE(me->disk);
	}
	host(panicked, &death);
}

int linux_is_dead(void)
{
	return __atomic_load_n(&lkl_dead, __ATOMIC_ACQUIRE) != 0;
}

/* Out of Linux, from wherever the calling thread is in it. */
void lkl_go_home(struct lkl_thread *me)
{
	/* Nobody takes the CPU any more. That it is free says that nobody runs Linux code. */
	__atomic_store_n(&me->gone, true, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&lkl_running, __ATOMIC_SEQ_CST) == me)
		lkl_cpu_put();
	if (me->entry)
		lkl_jump_to(&me->home, 1);
	host(thread_exit);
}

/* Has everybody who waits in Linux, for Linux or for its boot see that it is dead. Any context; done once. */
static void wake_everybody(void)
{
	static bool done;
	struct lkl_thread *thread;

	if (__atomic_exchange_n(&done, true, __ATOMIC_SEQ_CST))
		return;
	lkl_for_each_thread(thread)
		host(sem_up, thread->sem);
	host(sem_up, lkl_boot_thread.sem);
	host(sem_up, lkl_servant.sem);
	lkl_watch_call_off();
	lkl_cpu_call_off();
	lkl_boot_finished(NULL);
}

/* A panic while it dies, as in a host's panicked(), goes on with what is left to do. */
static void die(const char *why)
{
	struct lkl_thread *me = lkl_running;

	if (!__atomic_exchange_n(&lkl_dead, 1, __ATOMIC_SEQ_CST))
		tell_host(why, NULL);
	wake_everybody();
	lkl_cpu_put();
	lkl_go_home(me);
}

/**
 * lkl_condemn - declares Linux dead from outside
 * @why: for the host
 * @waits: an entry task that waits for ever; NULL when a thread runs Linux, and does not leave it
 *
 * Any context. Return: false when it was dead already.
 */
bool lkl_condemn(const char *why, struct lkl_thread *waits)
{
	int alive = 0;

	if (!__atomic_compare_exchange_n(&lkl_dead, &alive, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return false;
	WRITE_ONCE(condemned, true);
	/* So that the thread looks. */
	__atomic_fetch_or(&lkl_irqs_pending, 1UL << LKL_IRQ_TIMER, __ATOMIC_SEQ_CST);
	tell_host(why, waits);
	wake_everybody();
	return true;
}

/* Linux is dead, and a thread runs it all the same. */
bool lkl_is_stuck(void)
{
	return READ_ONCE(condemned) && READ_ONCE(lkl_running);
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

void __init lkl_panic_init(void)
{
	atomic_notifier_chain_register(&panic_notifier_list, &panic_block);
}

void linux_fault(const char *why)
{
	if (lkl_running)
		panic("fault in Linux: %s", why);
}

/* What is left of a death when nobody runs Linux code. */
static void die_outside(const char *why)
{
	if (!__atomic_exchange_n(&lkl_dead, 1, __ATOMIC_SEQ_CST))
		tell_host(why, NULL);
	wake_everybody();
}

void linux_fault_caught(const char *why, unsigned long at)
{
	static unsigned int faults;
	struct lkl_thread *me = lkl_running;

	if (!me) {
		die_outside(why);
		return;
	}
	/* Home is here from now on: the frame that lkl_enter_and() noted is gone with all the others. */
	if (lkl_jump_save(&me->home))
		return;
	if (!faults++)
		panic("fault in Linux: %s at .text+%#lx", why, at);
	die(why);
}

long linux_halt(void)
{
	struct lkl_thread *thread;

	/* Nothing is to be written back: what Linux wrote is in the overlays, which go with it. */
	if (lkl_cpu_get()) {
		__atomic_store_n(&lkl_dead, 2, __ATOMIC_SEQ_CST);
		wake_everybody();
		lkl_cpu_put();
	}
	lkl_watch_join();
	if (lkl_is_stuck())
		return -EDEADLK;
	lkl_for_each_thread(thread)
		if (thread->handle)
			host(thread_join, thread->handle);
	host(thread_join, lkl_servant.handle);
	host(thread_join, lkl_boot_thread.handle);
	lkl_time_free();
	lkl_watch_free();
	lkl_for_each_thread(thread)
		host(sem_free, thread->sem);
	host(sem_free, lkl_servant.sem);
	host(sem_free, lkl_boot_thread.sem);
	lkl_cpu_free();
	host(pool_free, (void *)lkl_pool_base, lkl_pool_size);
	return 0;
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
