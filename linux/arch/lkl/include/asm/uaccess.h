/* SPDX-License-Identifier: GPL-2.0 */
/* "User" memory is the caller's memory in the same address space: access is a copy. */
#ifndef _ASM_LKL_UACCESS_H
#define _ASM_LKL_UACCESS_H

#include <asm-generic/uaccess.h>

#endif
