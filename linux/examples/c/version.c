// SPDX-License-Identifier: GPL-2.0
/* Boots Linux, prints its version, and halts it: the least that a program does. */
#include <stdio.h>
#include <string.h>
#include <lkl.h>
#include <lkl_host.h>

int main(void)
{
	char text[256];
	long fd, len;
	int ret;

	/* What Linux prints while it boots goes nowhere. */
	lkl_host_ops.print = NULL;
	ret = lkl_init(&lkl_host_ops);
	if (!ret)
		ret = lkl_start_kernel("mem=%dM loglevel=%d", 32, 4);
	if (ret) {
		fprintf(stderr, "cannot boot: %s\n", lkl_strerror(ret));
		return 1;
	}
	ret = lkl_mount_fs("proc");
	fd = lkl_sys_open("/proc/version", LKL_O_RDONLY, 0);
	len = fd < 0 ? fd : lkl_sys_read(fd, text, sizeof(text) - 1);
	if (ret < 0 || len < 0) {
		fprintf(stderr, "cannot read /proc/version: %s\n", lkl_strerror(ret < 0 ? ret : (int)len));
		return 1;
	}
	text[len] = 0;
	fputs(text, stdout);
	lkl_sys_close(fd);
	lkl_sys_halt();
	lkl_cleanup();
	return 0;
}
