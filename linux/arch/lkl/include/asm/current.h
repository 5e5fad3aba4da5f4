/* SPDX-License-Identifier: GPL-2.0 */
/* Exactly one thread runs Linux at any time, so the current task is one global. */
#ifndef _ASM_LKL_CURRENT_H
#define _ASM_LKL_CURRENT_H

struct task_struct;

extern struct task_struct *lkl_current;

#define current lkl_current
#define get_current() lkl_current

#endif
