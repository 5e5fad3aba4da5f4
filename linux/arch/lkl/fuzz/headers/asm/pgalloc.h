/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page tables, for mm/kasan/init.c alone: it has functions that populate a shadow, which is compiled whether or not it is
 * called. The port's shadow is mapped by the host, nothing calls them, and these names let them compile: each table is
 * empty, and stays so.
 */
#ifndef _ASM_LKL_FUZZ_PGALLOC_H
#define _ASM_LKL_FUZZ_PGALLOC_H

#include <asm-generic/pgalloc.h>

#ifdef CONFIG_KASAN

#define ARCH_PAGE_TABLE_SYNC_MASK		0
#define arch_sync_kernel_mappings(start, end)	((void)(start), (void)(end))
#define pgd_offset_k(address)			((pgd_t *)NULL)
#define pgd_addr_end(address, end)		((void)(address), (end))
#define p4d_alloc(mm, pgd, address)		((p4d_t *)NULL)
#define p4d_addr_end(address, end)		((void)(address), (end))
#define pud_addr_end(address, end)		((void)(address), (end))
#define pmd_addr_end(address, end)		((void)(address), (end))
#define pud_alloc(mm, p4d, address)		((pud_t *)NULL)
#define pud_none(pud)				((void)(pud), 1)
#define pud_present(pud)			((void)(pud), 0)
#define pud_clear(pud)				((void)(pud))
#define pud_free(mm, pud)			((void)(pud))
#define pud_populate(mm, pud, pmd)		((void)(pud))
#define pmd_alloc(mm, pud, address)		((pmd_t *)NULL)
#define pmd_none(pmd)				((void)(pmd), 1)
#define pmd_present(pmd)			((void)(pmd), 0)
#define pmd_page(pmd)				((void)(pmd), (struct page *)NULL)
#define pmd_clear(pmd)				((void)(pmd))
#define pmd_populate_kernel(mm, pmd, pte)	((void)(pmd), (void)(pte))
#define pmd_free(mm, pmd)			((void)(pmd))
#define pte_none(pte)				((void)(pte), 1)
#define pte_present(pte)			((void)(pte), 0)
#define pte_page(pte)				((void)(pte), (struct page *)NULL)
#define pte_clear(mm, address, pte)		((void)(pte))
#define pte_wrprotect(pte)			(pte)
#define pte_offset_kernel(pmd, address)		((void)(pmd), (pte_t *)NULL)
#define pte_alloc_one_kernel(mm)		((pte_t *)NULL)
#define pte_free_kernel(mm, pte)		((void)(pte))
#define pfn_pte(pfn, protection)		__pte(((pfn) << PAGE_SHIFT) | pgprot_val(protection))
#define set_pte_at(mm, address, place, pte)	((void)(place), (void)(pte))
#define ptep_get(pte)				(*(pte))

#endif

#endif
