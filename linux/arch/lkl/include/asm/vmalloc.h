/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mapping scattered pages side by side.
 *
 * mm/nommu.c has BUG() for these functions: without an MMU there is no such thing. Here there is, since the host has
 * one (pages_map in asm/host_ops.h). Every caller is led to mm/vmap.c by these macros; only nommu.c itself must see
 * the plain names, because it defines them, and it is told apart by the name that kbuild gives each object.
 */
#ifndef _ASM_LKL_VMALLOC_H
#define _ASM_LKL_VMALLOC_H

#include <linux/kconfig.h>

/* __is_defined() is 1 for the name that has a placeholder. */
#define __ARG_PLACEHOLDER_kmod_nommu 0,
#if !__is_defined(__KBUILD_MODNAME)
#define vmap		lkl_vmap
#define vunmap		lkl_vunmap
#define vm_map_ram	lkl_vm_map_ram
#define vm_unmap_ram	lkl_vm_unmap_ram
#endif
#undef __ARG_PLACEHOLDER_kmod_nommu

#endif
