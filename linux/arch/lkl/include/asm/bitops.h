/* SPDX-License-Identifier: GPL-2.0 */
/* Bit operations, in plain C for the reason that asm/atomic.h gives, and the compiler's own for searching. */
#ifndef _ASM_LKL_BITOPS_H
#define _ASM_LKL_BITOPS_H

#ifndef _LINUX_BITOPS_H
#error only <linux/bitops.h> can be included directly
#endif

#include <linux/compiler.h>
#include <asm/barrier.h>
#include <asm/point.h>

#include <asm-generic/bitops/builtin-__ffs.h>
#include <asm-generic/bitops/builtin-ffs.h>
#include <asm-generic/bitops/builtin-__fls.h>
#include <asm-generic/bitops/builtin-fls.h>
#include <asm-generic/bitops/ffz.h>
#include <asm-generic/bitops/fls64.h>
#include <asm-generic/bitops/sched.h>
#include <asm-generic/bitops/hweight.h>

#define LKL_BIT_WORD(nr, addr) (((volatile unsigned long *)(addr))[(nr) / BITS_PER_LONG])

static __always_inline void arch_set_bit(unsigned long nr, volatile unsigned long *addr)
{
	lkl_point();
	LKL_BIT_WORD(nr, addr) |= BIT_MASK(nr);
}

static __always_inline void arch_clear_bit(unsigned long nr, volatile unsigned long *addr)
{
	lkl_point();
	LKL_BIT_WORD(nr, addr) &= ~BIT_MASK(nr);
}

static __always_inline void arch_change_bit(unsigned long nr, volatile unsigned long *addr)
{
	lkl_point();
	LKL_BIT_WORD(nr, addr) ^= BIT_MASK(nr);
}

static __always_inline int arch_test_and_set_bit(unsigned long nr, volatile unsigned long *addr)
{
	unsigned long was;

	lkl_point();
	was = LKL_BIT_WORD(nr, addr);
	LKL_BIT_WORD(nr, addr) = was | BIT_MASK(nr);
	barrier();
	return (was & BIT_MASK(nr)) != 0;
}

static __always_inline int arch_test_and_clear_bit(unsigned long nr, volatile unsigned long *addr)
{
	unsigned long was;

	lkl_point();
	was = LKL_BIT_WORD(nr, addr);
	LKL_BIT_WORD(nr, addr) = was & ~BIT_MASK(nr);
	barrier();
	return (was & BIT_MASK(nr)) != 0;
}

static __always_inline int arch_test_and_change_bit(unsigned long nr, volatile unsigned long *addr)
{
	unsigned long was;

	lkl_point();
	was = LKL_BIT_WORD(nr, addr);
	LKL_BIT_WORD(nr, addr) = was ^ BIT_MASK(nr);
	barrier();
	return (was & BIT_MASK(nr)) != 0;
}

#include <asm-generic/bitops/instrumented-atomic.h>
#include <asm-generic/bitops/non-atomic.h>

static __always_inline int arch_test_and_set_bit_lock(unsigned long nr, volatile unsigned long *addr)
{
	return arch_test_and_set_bit(nr, addr);
}

static __always_inline void arch_clear_bit_unlock(unsigned long nr, volatile unsigned long *addr)
{
	barrier();
	arch_clear_bit(nr, addr);
}

static __always_inline void arch___clear_bit_unlock(unsigned long nr, volatile unsigned long *addr)
{
	arch_clear_bit_unlock(nr, addr);
}

static __always_inline bool arch_xor_unlock_is_negative_byte(unsigned long mask, volatile unsigned long *p)
{
	unsigned long was = *p;

	*p = was ^ mask;
	barrier();
	return (was & BIT(7)) != 0;
}
#define arch_xor_unlock_is_negative_byte arch_xor_unlock_is_negative_byte

static __always_inline bool arch_clear_bit_unlock_is_negative_byte(unsigned long nr, volatile unsigned long *p)
{
	unsigned long was = *p;

	*p = was & ~BIT_MASK(nr);
	barrier();
	return (was & BIT(7)) != 0;
}
#define arch_clear_bit_unlock_is_negative_byte arch_clear_bit_unlock_is_negative_byte

#include <asm-generic/bitops/instrumented-lock.h>
#include <asm-generic/bitops/le.h>
#include <asm-generic/bitops/ext2-atomic-setbit.h>

#endif
