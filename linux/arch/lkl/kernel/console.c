// SPDX-License-Identifier: GPL-2.0
/* The console: what Linux says, handed to the host. */
#include <linux/console.h>
#include <linux/init.h>
#include <asm/lkl.h>

static void host_console_write(struct console *console, const char *text, unsigned int len)
{
	host(print, text, len);
}

static struct console host_console = {
	.name	= "host",
	.write	= host_console_write,
	.flags	= CON_PRINTBUFFER | CON_ENABLED | CON_ANYTIME,
	.index	= -1,
};

static int __init register_host_console(void)
{
	register_console(&host_console);
	return 0;
}
core_initcall(register_host_console);
