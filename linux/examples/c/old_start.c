// SPDX-License-Identifier: GPL-2.0
/* A program of long ago: it does not compile, and the compiler says why. */
#include <lkl.h>
#include <lkl_host.h>

int main(void)
{
	return lkl_start_kernel(&lkl_host_ops, "mem=%dM", 32);
}
