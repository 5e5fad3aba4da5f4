// SPDX-License-Identifier: GPL-2.0
/*
 * KASAN: the host has mapped the shadow of all addresses, zeros, before Linux began (asm/host_fuzz.h). So there is
 * no early shadow and nothing to populate, and memory of the host's is accessible: stacks of threads, what callers pass.
 */
#include <linux/init.h>
#include <linux/kasan.h>
#include <linux/sched/task.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <asm/lkl.h>

void __init kasan_init(void)
{
	/* Reports are on from now on. */
	init_task.kasan_depth = 0;
	pr_info("KernelAddressSanitizer initialized (generic)\n");
}

/* Asked for modules, of which there are none: what nommu allocates has no areas. */
struct vm_struct *find_vm_area(const void *addr)
{
	return NULL;
}

/* What KASAN calls when it has checked a range. */
void *__memcpy(void *to, const void *from, size_t n)
{
	return memcpy(to, from, n);
}

void *__memmove(void *to, const void *from, size_t n)
{
	return memmove(to, from, n);
}

void *__memset(void *to, int c, size_t n)
{
	return memset(to, c, n);
}
