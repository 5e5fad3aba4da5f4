// SPDX-License-Identifier: GPL-2.0
/*
 * Scattered pages of the pool, mapped side by side.
 *
 * Linux has no page tables here, but its host has. asm/vmalloc.h leads every caller of vmap() and vm_map_ram() to this
 * file. Pages that lie side by side already are used where they are.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <asm/lkl.h>

static bool in_pool(const void *addr)
{
	return virt_addr_valid(addr);
}

static void *map(struct page **pages, unsigned int count)
{
	unsigned long *numbers;
	unsigned int i;
	void *addr;

	for (i = 1; i < count && page_to_pfn(pages[i]) == page_to_pfn(pages[0]) + i; i++)
		;
	if (i >= count)
		return page_address(pages[0]);

	numbers = kmalloc_array(count, sizeof(*numbers), GFP_NOWAIT | __GFP_NOWARN);
	if (!numbers)
		return NULL;
	for (i = 0; i < count; i++)
		numbers[i] = page_to_pfn(pages[i]);
	addr = host(pages_map, numbers, count);
	kfree(numbers);
	return addr;
}

static void unmap(const void *addr, unsigned int count)
{
	if (addr && !in_pool(addr))
		host(pages_unmap, (void *)addr, count);
}

/*
 * vunmap() is not told how many pages there are. They are counted here, by the address, in a list that is short: only
 * long-lived mappings are made by vmap().
 */
struct area {
	struct list_head list;
	const void *addr;
	unsigned int count;
	struct page **pages;
};

static LIST_HEAD(areas);

void *vmap(struct page **pages, unsigned int count, unsigned long flags, pgprot_t prot)
{
	struct area *area;
	void *addr;

	if (!count)
		return NULL;
	area = kmalloc(sizeof(*area), GFP_KERNEL);
	if (!area)
		return NULL;
	addr = map(pages, count);
	if (!addr) {
		kfree(area);
		return NULL;
	}
	area->addr = addr;
	area->count = count;
	area->pages = flags & VM_MAP_PUT_PAGES ? pages : NULL;
	list_add(&area->list, &areas);
	return addr;
}

void vunmap(const void *addr)
{
	struct area *area;
	unsigned int i;

	list_for_each_entry(area, &areas, list) {
		if (area->addr != addr)
			continue;
		list_del(&area->list);
		unmap(addr, area->count);
		if (area->pages) {
			for (i = 0; i < area->count; i++)
				__free_page(area->pages[i]);
			kvfree(area->pages);
		}
		kfree(area);
		return;
	}
	WARN_ON_ONCE(addr);
}

void *vm_map_ram(struct page **pages, unsigned int count, int node)
{
	return count ? map(pages, count) : NULL;
}

void vm_unmap_ram(const void *addr, unsigned int count)
{
	unmap(addr, count);
}
