// SPDX-License-Identifier: GPL-2.0
/* There is no user mode to be traced: every request is refused. */
#include <linux/ptrace.h>
#include <linux/regset.h>

long arch_ptrace(struct task_struct *child, long request, unsigned long addr, unsigned long data)
{
	return -EIO;
}

void ptrace_disable(struct task_struct *child)
{
}

const struct user_regset_view *task_user_regset_view(struct task_struct *task)
{
	static const struct user_regset_view none = { .name = "none" };

	return &none;
}
