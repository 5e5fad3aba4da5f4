/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of arch/lkl share with each other. One paragraph a file:
 *
 *   kernel/boot.c     linux_boot(): from the host's call to the first entry task
 *   kernel/cpu.c      who holds the virtual processor
 *   kernel/threads.c  tasks on host threads, the context switch
 *   kernel/task.c     entry tasks: a host thread comes in, and leaves
 *   kernel/irq.c      interrupts, and the thread that serves them while nobody is inside
 *   kernel/idle.c     nothing to do
 *   kernel/time.c     clock, tick and timers
 *   kernel/halt.c     the end: panic, fault, halt
 *   kernel/watch.c    a loop that does not leave the processor is the end, too, and a wait for what does not come
 *   kernel/syscalls.c the calls offered
 *   mm/vmap.c         scattered pages side by side
 *   drivers/hostblk.c disks
 *   drivers/hostnet.c network interfaces
 */
#ifndef _ASM_LKL_LKL_H
#define _ASM_LKL_LKL_H

#include <linux/list.h>
#include <linux/types.h>
#include <asm/host_ops.h>

/* Where lkl_jump_to() continues: the registers that the ABI says a call preserves, and the shadow stack's pointer. */
struct lkl_jump {
	unsigned long rbx, rbp, r12, r13, r14, r15, rsp, rip, ssp;
};

int lkl_jump_save(struct lkl_jump *jump) __attribute__((returns_twice));
void lkl_jump_to(struct lkl_jump *jump, int value) __noreturn;

/* How lkl_cpu_give_up() comes back out of schedule(). */
enum { LKL_HANDED_ON = 1, LKL_STILL_HELD = 2 };

/**
 * struct lkl_thread - a host thread, as Linux sees it
 * @next: the record that was made before; all records stay until the end
 * @task: whose thread this is; NULL for the one that serves interrupts, and while the record is spare
 * @sem: where it waits until the CPU is handed to it
 * @handle: the host's, for the end; NULL where Linux did not make the thread (entry tasks)
 * @last: who ran before it was handed the CPU
 * @handed: the CPU was handed to it
 * @called: it is to serve interrupts, if the CPU is free
 * @waiters: its place among the entry tasks that wait in Linux, who serve interrupts meanwhile; or among spare records
 * @entry: the task is an entry task
 * @fresh: an entry task that has never run
 * @gone: Linux is dead, and the thread has gone home
 * @dying: its task ended, or never began
 * @leaving: it does not want to wait for its next turn, but to jump to @way_out
 * @way_out: out of schedule(), to whoever called lkl_cpu_give_up()
 * @after_death: out of do_exit(), to whoever ended this entry task
 * @home: out of Linux, when Linux has died
 * @entries: how often a host thread came in as this task
 * @host_thread: the host's name for the thread, for the watchdog
 * @seen: what the watchdog saw here last: in which turn, of which thread, and what that had run
 * @waits: what the watchdog saw of its waits: how often the task had been switched, and at how many looks since
 * @disk: the host's, of the last request that this thread sent
 * @fn: what the task runs
 * @arg: its argument
 */
struct lkl_thread {
	struct lkl_thread *next;
	struct task_struct *task;
	void *sem;
	void *handle;
	struct task_struct *last;
	bool handed;
	bool called;
	struct list_head waiters;
	bool entry;
	bool fresh;
	bool gone;
	bool dying;
	bool leaving;
	struct lkl_jump *way_out;
	struct lkl_jump *after_death;
	struct lkl_jump home;
	unsigned long entries;
	unsigned long host_thread;
	struct {
		unsigned long turn, host_thread, ran;
	} seen;
	struct {
		unsigned long switches;
		unsigned int looks;
	} waits;
	void *disk;
	int (*fn)(void *arg);
	void *arg;
};

extern struct lkl_host_ops lkl_ops;
extern struct lkl_thread lkl_boot_thread;
extern struct lkl_thread lkl_servant;
/* The host thread that holds the CPU; NULL when nobody does. */
extern struct lkl_thread *lkl_running;

#define host(op, ...) (lkl_ops.op(lkl_ops.host, ##__VA_ARGS__))

/* kernel/cpu.c */
/* How often the CPU was taken. */
extern unsigned long lkl_cpu_turns;
bool lkl_cpu_init(void);
void lkl_cpu_free(void);
bool lkl_cpu_get(void);
void lkl_cpu_call_off(void);
bool lkl_cpu_try_get(void);
void lkl_cpu_put(void);
bool lkl_cpu_is_free(void);
void lkl_cpu_retire(struct lkl_thread *me);
bool lkl_cpu_give_up(struct lkl_thread *me);
void lkl_become(struct lkl_thread *me);
void lkl_cpu_serve(struct lkl_thread *me);

/* kernel/threads.c */
void lkl_wait_for_cpu(struct lkl_thread *me);
void lkl_call_server(void);
bool lkl_waits_uninterruptibly(const struct lkl_thread *thread);
extern bool lkl_idle_sleeps;
int lkl_entry_task(void *unused);
/* The newest record. Whoever holds the CPU adds to the list, anybody may walk it, in any context. */
extern struct lkl_thread *lkl_threads;
#define lkl_for_each_thread(thread)							\
	for ((thread) = __atomic_load_n(&lkl_threads, __ATOMIC_ACQUIRE); (thread); (thread) = (thread)->next)

/* kernel/irq.c */
enum {
	LKL_IRQ_TIMER = 1,
	LKL_IRQ_DISK = 2,
	LKL_IRQ_SELFTEST = 3,
	LKL_IRQ_COUNT = 8,
};

/* An interrupt with data. The poster keeps it until its handler is called with it. */
struct lkl_irq_event {
	struct lkl_irq_event *next;
	void (*handler)(struct lkl_irq_event *event);
};

/* Interrupts are being served; whose turn it is has nothing to do with it. */
extern bool lkl_irqs_served;
void lkl_irq_raise(unsigned int irq);
void lkl_irq_post(struct lkl_irq_event *event);
void lkl_servant_main(void *unused);

/* kernel/halt.c */
extern int lkl_dead;
/* The host's disk that was answered last. */
extern void *lkl_disk_answered;
void lkl_disk_asked(void *disk);
void lkl_panic_init(void);
void lkl_go_home(struct lkl_thread *me) __noreturn;
bool lkl_condemn(const char *why, struct lkl_thread *waits);
bool lkl_is_stuck(void);

/* kernel/watch.c */
extern bool lkl_watch_sleeps;
/* Requests that hosts were given, and that they have ended. Whoever holds the CPU counts. */
extern unsigned long lkl_disks_asked, lkl_disks_answered;
bool lkl_watch_start(void);
void lkl_watch_set(unsigned long ns);
void lkl_watch_set_wait(unsigned long ns);
void lkl_watch_booted(struct lkl_thread *me);
void lkl_watch_wake(void);
void lkl_watch_call_off(void);
void lkl_watch_join(void);
void lkl_watch_free(void);

/* kernel/boot.c */
extern struct task_struct *lkl_first_task;
void lkl_boot_finished(struct task_struct *first);

/* kernel/time.c */
void lkl_time_free(void);

/* kernel/syscalls.c */
long lkl_syscall_dispatch(long number, const long args[6]);

/* kernel/task.c */
long lkl_enter_and(struct lkl_task *entry, long (*fn)(void *arg), void *arg);
void lkl_exit_work(void);

/* kernel/selftest.c */
long lkl_run_selftest(unsigned long what);

/* fuzz/kasan.c */
void kasan_init(void);

/* lib/selftest_bytes.c */
bool lkl_selftest_bytes(void);

#endif
