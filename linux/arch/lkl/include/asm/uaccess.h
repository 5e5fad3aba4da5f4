/* SPDX-License-Identifier: GPL-2.0 */
/* "User" memory is the caller's memory in the same address space: access is a copy. */
#ifndef _ASM_LKL_UACCESS_H
#define _ASM_LKL_UACCESS_H

#include <asm/page.h>

/*
 * A null pointer, or a little beyond one, is a caller's mistake of the common kind, and is told as on a machine. Where else
 * there is no memory only the host knows.
 */
static inline int __access_ok(const void __user *pointer, unsigned long size)
{
	return (unsigned long)pointer >= PAGE_SIZE || !size;
}
#define __access_ok __access_ok

#include <asm-generic/uaccess.h>

#endif
