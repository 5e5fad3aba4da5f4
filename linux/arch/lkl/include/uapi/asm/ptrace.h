/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* There is no user mode and no debugger of it: the registers that generic code asks for, and no more. */
#ifndef _UAPI_ASM_LKL_PTRACE_H
#define _UAPI_ASM_LKL_PTRACE_H

struct user_regs_struct {
	unsigned long ip;
	unsigned long sp;
};

#endif
