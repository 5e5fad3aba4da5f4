// SPDX-License-Identifier: GPL-2.0
/* The pool goes to the page allocator. */
#include <linux/init.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <asm/lkl.h>

void *empty_zero_page;

void __init mem_init(void)
{
	memblock_free_all();
}

/* Code and data of the kernel are the host's image, not the pool's: there is nothing to give back. */
void free_initmem(void)
{
}
