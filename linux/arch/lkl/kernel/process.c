// SPDX-License-Identifier: GPL-2.0
/* What the generic kernel asks of a task's state; here it lies on the stacks of host threads, out of sight. */
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/sched/debug.h>
#include <asm/ptrace.h>

void show_regs(struct pt_regs *regs)
{
	show_regs_print_info(KERN_DEFAULT);
}

void show_stack(struct task_struct *task, unsigned long *sp, const char *level)
{
	printk("%sThe stack is the host's; a debugger of the host can walk it.\n", level);
}
