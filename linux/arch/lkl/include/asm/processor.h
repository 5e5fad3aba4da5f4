/* SPDX-License-Identifier: GPL-2.0 */
/* What a task keeps for the architecture: the host thread that it runs on. kernel/threads.c tells the story. */
#ifndef _ASM_LKL_PROCESSOR_H
#define _ASM_LKL_PROCESSOR_H

#include <asm/irqflags.h>
#include <asm/page.h>
#include <asm/ptrace.h>

struct task_struct;
struct lkl_thread;

struct thread_struct {
	struct lkl_thread *host;
};

#define INIT_THREAD	{ .host = &lkl_boot_thread }
extern struct lkl_thread lkl_boot_thread;

#define TASK_SIZE		(~0UL)
#define TASK_SIZE_MAX		TASK_SIZE
#define TASK_UNMAPPED_BASE	0UL
#define STACK_TOP		TASK_SIZE
#define STACK_TOP_MAX		STACK_TOP

/* The generic code asks for saved user registers of a task; there are none, and this is where they would be. */
#define task_pt_regs(tsk)	((struct pt_regs *)((tsk)->stack))
#define current_pt_regs()	task_pt_regs(current)
#define KSTK_EIP(tsk)		(0UL)
#define KSTK_ESP(tsk)		(0UL)

static inline void start_thread(struct pt_regs *regs, unsigned long ip, unsigned long sp)
{
}

static inline unsigned long __get_wchan(struct task_struct *p)
{
	return 0;
}

static inline void flush_thread(void)
{
}

static inline void prefetch(const void *x)
{
	__builtin_prefetch(x);
}
#define ARCH_HAS_PREFETCH

/* Gives way: interrupts are taken, and the host may run somebody else. */
void cpu_relax(void);

static __always_inline void *current_text_addr(void)
{
	return __builtin_return_address(0);
}

#endif
