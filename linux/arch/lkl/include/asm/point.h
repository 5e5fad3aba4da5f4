/* SPDX-License-Identifier: GPL-2.0 */
/* Where tasks may be interrupted by a schedule (CONFIG_LKL_SCHEDULES): nowhere in a kernel that has no schedules. */
#ifndef _ASM_LKL_POINT_H
#define _ASM_LKL_POINT_H

#include <linux/compiler_types.h>

static __always_inline void lkl_point(void)
{
}

#endif
