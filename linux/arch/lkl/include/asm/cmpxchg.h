/* SPDX-License-Identifier: GPL-2.0 */
/* Exchange and compare-and-exchange, in plain C for the reason that asm/atomic.h gives. */
#ifndef _ASM_LKL_CMPXCHG_H
#define _ASM_LKL_CMPXCHG_H

#include <linux/compiler.h>
#include <asm/point.h>

#define arch_xchg(ptr, new)						\
({									\
	typeof(ptr) __xp = (ptr);					\
	typeof(*(ptr)) __xn = (new);					\
	typeof(*(ptr)) __xo;						\
									\
	lkl_point();							\
	barrier();							\
	__xo = *(volatile typeof(*(ptr)) *)__xp;			\
	*(volatile typeof(*(ptr)) *)__xp = __xn;			\
	barrier();							\
	__xo;								\
})

#define arch_cmpxchg(ptr, old, new)					\
({									\
	typeof(ptr) __cp = (ptr);					\
	typeof(*(ptr)) __co = (typeof(*(ptr)))(old);			\
	typeof(*(ptr)) __cn = (typeof(*(ptr)))(new);			\
	typeof(*(ptr)) __cv;						\
									\
	lkl_point();							\
	barrier();							\
	__cv = *(volatile typeof(*(ptr)) *)__cp;			\
	if (__cv == __co)						\
		*(volatile typeof(*(ptr)) *)__cp = __cn;		\
	barrier();							\
	__cv;								\
})

#define arch_cmpxchg_local	arch_cmpxchg
#define arch_cmpxchg64		arch_cmpxchg
#define arch_cmpxchg64_local	arch_cmpxchg

#endif
