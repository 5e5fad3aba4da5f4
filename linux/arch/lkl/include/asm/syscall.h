/* SPDX-License-Identifier: GPL-2.0 */
/* The calls of kernel/syscalls.c as the tracing parts of the generic kernel would see them. */
#ifndef _ASM_LKL_SYSCALL_H
#define _ASM_LKL_SYSCALL_H

#include <linux/sched.h>
#include <uapi/linux/audit.h>

typedef long (*lkl_syscall_t)(long a, long b, long c, long d, long e, long f);

static inline int syscall_get_arch(struct task_struct *task)
{
	return AUDIT_ARCH_X86_64;
}

#endif
