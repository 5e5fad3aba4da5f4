/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_LKL_FUZZ_STRING_H
#define _ASM_LKL_FUZZ_STRING_H

#include_next <asm/string.h>

#ifdef CONFIG_KASAN
/* Not checked: KASAN's own, which the compiler has instrumented code's calls go to, do that first. */
void *__memcpy(void *to, const void *from, __kernel_size_t n);
void *__memmove(void *to, const void *from, __kernel_size_t n);
void *__memset(void *s, int c, __kernel_size_t n);
#endif

#endif
