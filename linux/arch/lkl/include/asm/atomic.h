/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Atomic operations on one processor whose interrupts come at known points only: plain C is atomic there. What host
 * threads share with Linux does not use these; see kernel/cpu.c and kernel/irq.c.
 */
#ifndef _ASM_LKL_ATOMIC_H
#define _ASM_LKL_ATOMIC_H

#include <linux/compiler.h>
#include <linux/types.h>
#include <asm/barrier.h>
#include <asm/cmpxchg.h>
#include <asm/point.h>

#define arch_atomic_read(v)		READ_ONCE((v)->counter)
#define arch_atomic_set(v, i)		WRITE_ONCE((v)->counter, (i))
#define arch_atomic64_read(v)		READ_ONCE((v)->counter)
#define arch_atomic64_set(v, i)		WRITE_ONCE((v)->counter, (i))

#define LKL_ATOMIC_OP(prefix, type, value, op, c_op)				\
static __always_inline void arch_##prefix##_##op(value i, type *v)		\
{										\
	lkl_point();								\
	v->counter = v->counter c_op i;						\
}

#define LKL_ATOMIC_OP_RETURN(prefix, type, value, op, c_op)			\
static __always_inline value arch_##prefix##_##op##_return(value i, type *v)	\
{										\
	value now;								\
										\
	lkl_point();								\
	barrier();								\
	now = v->counter c_op i;						\
	v->counter = now;							\
	barrier();								\
	return now;								\
}

#define LKL_ATOMIC_FETCH_OP(prefix, type, value, op, c_op)			\
static __always_inline value arch_##prefix##_fetch_##op(value i, type *v)	\
{										\
	value was;								\
										\
	lkl_point();								\
	barrier();								\
	was = v->counter;							\
	v->counter = was c_op i;						\
	barrier();								\
	return was;								\
}

#define LKL_ATOMIC_ARITHMETIC(op, c_op)						\
	LKL_ATOMIC_OP(atomic, atomic_t, int, op, c_op)				\
	LKL_ATOMIC_OP_RETURN(atomic, atomic_t, int, op, c_op)			\
	LKL_ATOMIC_FETCH_OP(atomic, atomic_t, int, op, c_op)			\
	LKL_ATOMIC_OP(atomic64, atomic64_t, s64, op, c_op)			\
	LKL_ATOMIC_OP_RETURN(atomic64, atomic64_t, s64, op, c_op)		\
	LKL_ATOMIC_FETCH_OP(atomic64, atomic64_t, s64, op, c_op)

#define LKL_ATOMIC_LOGIC(op, c_op)						\
	LKL_ATOMIC_OP(atomic, atomic_t, int, op, c_op)				\
	LKL_ATOMIC_FETCH_OP(atomic, atomic_t, int, op, c_op)			\
	LKL_ATOMIC_OP(atomic64, atomic64_t, s64, op, c_op)			\
	LKL_ATOMIC_FETCH_OP(atomic64, atomic64_t, s64, op, c_op)

LKL_ATOMIC_ARITHMETIC(add, +)
LKL_ATOMIC_ARITHMETIC(sub, -)
LKL_ATOMIC_LOGIC(and, &)
LKL_ATOMIC_LOGIC(andnot, & ~)
LKL_ATOMIC_LOGIC(or, |)
LKL_ATOMIC_LOGIC(xor, ^)

/* The fallbacks of linux/atomic.h ask for each operation by a macro of its name. */
#define arch_atomic_add_return		arch_atomic_add_return
#define arch_atomic_sub_return		arch_atomic_sub_return
#define arch_atomic_fetch_add		arch_atomic_fetch_add
#define arch_atomic_fetch_sub		arch_atomic_fetch_sub
#define arch_atomic_fetch_and		arch_atomic_fetch_and
#define arch_atomic_fetch_andnot	arch_atomic_fetch_andnot
#define arch_atomic_fetch_or		arch_atomic_fetch_or
#define arch_atomic_fetch_xor		arch_atomic_fetch_xor
#define arch_atomic_andnot		arch_atomic_andnot
#define arch_atomic64_add_return	arch_atomic64_add_return
#define arch_atomic64_sub_return	arch_atomic64_sub_return
#define arch_atomic64_fetch_add		arch_atomic64_fetch_add
#define arch_atomic64_fetch_sub		arch_atomic64_fetch_sub
#define arch_atomic64_fetch_and		arch_atomic64_fetch_and
#define arch_atomic64_fetch_andnot	arch_atomic64_fetch_andnot
#define arch_atomic64_fetch_or		arch_atomic64_fetch_or
#define arch_atomic64_fetch_xor		arch_atomic64_fetch_xor
#define arch_atomic64_andnot		arch_atomic64_andnot

#define arch_atomic_xchg(v, new)	arch_xchg(&(v)->counter, new)
#define arch_atomic_cmpxchg(v, o, n)	arch_cmpxchg(&(v)->counter, o, n)
#define arch_atomic64_xchg(v, new)	arch_xchg(&(v)->counter, new)
#define arch_atomic64_cmpxchg(v, o, n)	arch_cmpxchg(&(v)->counter, o, n)

#define ATOMIC64_INIT(i)		{ (i) }

#endif
