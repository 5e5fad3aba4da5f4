/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory is one block that the host gave, the pool. A physical address is an offset into it: page frame 0 is the pool's
 * first page, wherever the host put it.
 */
#ifndef _ASM_LKL_PAGE_H
#define _ASM_LKL_PAGE_H

#include <linux/const.h>

#define PAGE_SHIFT		12
#define PAGE_SIZE		(_AC(1, UL) << PAGE_SHIFT)
#define PAGE_MASK		(~(PAGE_SIZE - 1))

#ifndef __ASSEMBLY__

#include <linux/pfn.h>

extern unsigned long lkl_pool_base;
extern unsigned long lkl_pool_size;

/* In parentheses: where they are checked (CONFIG_FORTIFY_SOURCE), both are macros as well. */
void *(memset)(void *s, int c, __kernel_size_t n);
void *(memcpy)(void *to, const void *from, __kernel_size_t n);

#define clear_page(page)			memset((page), 0, PAGE_SIZE)
#define copy_page(to, from)			memcpy((to), (from), PAGE_SIZE)
#define clear_user_page(page, vaddr, pg)	clear_page(page)
#define copy_user_page(to, from, vaddr, pg)	copy_page(to, from)

typedef struct {
	unsigned long pte;
} pte_t;
typedef struct {
	unsigned long pmd[16];
} pmd_t;
typedef struct {
	unsigned long pgd;
} pgd_t;
typedef struct {
	unsigned long pgprot;
} pgprot_t;
typedef struct page *pgtable_t;

#define pte_val(x)	((x).pte)
#define pmd_val(x)	((&x)->pmd[0])
#define pgd_val(x)	((x).pgd)
#define pgprot_val(x)	((x).pgprot)
#define __pte(x)	((pte_t) { (x) })
#define __pmd(x)	((pmd_t) { { (x) } })
#define __pgd(x)	((pgd_t) { (x) })
#define __pgprot(x)	((pgprot_t) { (x) })

#define PAGE_OFFSET		(lkl_pool_base)
#define ARCH_PFN_OFFSET		0UL

#define __pa(vaddr)		((unsigned long)(vaddr) - lkl_pool_base)
#define __va(paddr)		((void *)((unsigned long)(paddr) + lkl_pool_base))

static inline unsigned long virt_to_pfn(const void *kaddr)
{
	return __pa(kaddr) >> PAGE_SHIFT;
}
#define virt_to_pfn(kaddr)	virt_to_pfn((const void *)(kaddr))

static inline void *pfn_to_virt(unsigned long pfn)
{
	return __va(pfn << PAGE_SHIFT);
}
#define pfn_to_virt		pfn_to_virt

#define virt_to_page(addr)	pfn_to_page(virt_to_pfn(addr))
#define page_to_virt(page)	pfn_to_virt(page_to_pfn(page))
#define page_to_phys(page)	(page_to_pfn(page) << PAGE_SHIFT)
#define pfn_valid(pfn)		((pfn) < (lkl_pool_size >> PAGE_SHIFT))
#define virt_addr_valid(kaddr)	(__pa(kaddr) < lkl_pool_size)

#define VM_DATA_DEFAULT_FLAGS	VM_DATA_FLAGS_EXEC

#endif /* !__ASSEMBLY__ */

#include <asm-generic/memory_model.h>
#include <asm-generic/getorder.h>

#endif
