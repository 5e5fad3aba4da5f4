/* SPDX-License-Identifier: GPL-2.0 */
/* Linux loads no programs here; linux/elf.h wants the types. */
#ifndef _ASM_LKL_ELF_H
#define _ASM_LKL_ELF_H

#include <asm/ptrace.h>

#define ELF_CLASS		ELFCLASS64
#define ELF_DATA		ELFDATA2LSB
#define ELF_ARCH		EM_X86_64
#define ELF_NGREG		(sizeof(struct user_regs_struct) / sizeof(unsigned long))
#define ELF_EXEC_PAGESIZE	PAGE_SIZE
#define ELF_ET_DYN_BASE		0UL
#define ELF_HWCAP		0UL
#define ELF_PLATFORM		NULL
#define elf_check_arch(x)	0

typedef unsigned long elf_greg_t;
typedef elf_greg_t elf_gregset_t[ELF_NGREG];
typedef struct { } elf_fpregset_t;

#endif
