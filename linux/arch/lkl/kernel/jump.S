/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A way back over any number of stack frames: out of schedule(), or out of Linux when it has died.
 *
 * Where the processor keeps a shadow stack, it has the return addresses of the frames that are left, and they are taken off
 * it: a later return would not find its own. rdsspq does nothing where there is no shadow stack, so that the zero stays; a
 * shadow stack is there for as long as a thread lives, or never.
 */
#include <linux/linkage.h>

/* int lkl_jump_save(struct lkl_jump *jump): 0, and then what lkl_jump_to() gives */
SYM_FUNC_START(lkl_jump_save)
	movq	%rbx, 0(%rdi)
	movq	%rbp, 8(%rdi)
	movq	%r12, 16(%rdi)
	movq	%r13, 24(%rdi)
	movq	%r14, 32(%rdi)
	movq	%r15, 40(%rdi)
	leaq	8(%rsp), %rax
	movq	%rax, 48(%rdi)
	movq	(%rsp), %rax
	movq	%rax, 56(%rdi)
	xorl	%eax, %eax
	rdsspq	%rax
	movq	%rax, 64(%rdi)
	xorl	%eax, %eax
	ret
SYM_FUNC_END(lkl_jump_save)

/* void lkl_jump_to(struct lkl_jump *jump, int value) */
SYM_FUNC_START(lkl_jump_to)
	xorl	%eax, %eax
	rdsspq	%rax
	testq	%rax, %rax
	jz	2f
	/* As it will be after the return from lkl_jump_save(); incsspq takes 255 at once. */
	movq	64(%rdi), %rcx
	addq	$8, %rcx
	subq	%rax, %rcx
	shrq	$3, %rcx
1:
	testq	%rcx, %rcx
	jz	2f
	movl	$255, %eax
	cmpq	%rax, %rcx
	cmovbq	%rcx, %rax
	incsspq	%rax
	subq	%rax, %rcx
	jmp	1b
2:
	movl	%esi, %eax
	movq	0(%rdi), %rbx
	movq	8(%rdi), %rbp
	movq	16(%rdi), %r12
	movq	24(%rdi), %r13
	movq	32(%rdi), %r14
	movq	40(%rdi), %r15
	movq	48(%rdi), %rsp
	jmp	*56(%rdi)
SYM_FUNC_END(lkl_jump_to)

	.section .note.GNU-stack, "", @progbits
