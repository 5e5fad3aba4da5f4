// SPDX-License-Identifier: GPL-2.0
/* Boots Linux and ends without a halt: Windows ends Linux's threads first, and nothing may wait for them then. */
#include <stdio.h>
#include <lkl.h>
#include <lkl_host.h>

int main(void)
{
	lkl_host_ops.print = NULL;
	lkl_init(&lkl_host_ops);
	if (lkl_start_kernel("mem=32M") || lkl_sys_getpid() != 1)
		return 1;
	return 7;
}
