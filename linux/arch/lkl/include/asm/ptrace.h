/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_LKL_PTRACE_H
#define _ASM_LKL_PTRACE_H

#include <uapi/asm/ptrace.h>

/* Linux runs as functions of its host: nobody saves registers at its door. */
struct pt_regs {
	struct user_regs_struct regs;
};

#define instruction_pointer(r)		((r)->regs.ip)
#define user_stack_pointer(r)		((r)->regs.sp)
#define kernel_stack_pointer(r)		((r)->regs.sp)
#define profile_pc(r)			instruction_pointer(r)

/* All time is Linux' own. */
static inline int user_mode(struct pt_regs *r)
{
	return 0;
}

static inline void instruction_pointer_set(struct pt_regs *r, unsigned long ip)
{
	r->regs.ip = ip;
}

#endif
