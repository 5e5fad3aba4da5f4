// SPDX-License-Identifier: GPL-2.0
/* The machine: its names, its memory, its log, chance, and its end. */
#include "check.h"
#include <lkl/linux/personality.h>
#include <lkl/linux/random.h>
#include <lkl/linux/reboot.h>
#include <lkl/linux/sysinfo.h>
#include <lkl/linux/utsname.h>

void machine(void)
{
	struct lkl_new_utsname names, again;
	unsigned char chance[64] = { 0 }, zeros[64] = { 0 };
	struct lkl_sysinfo info;
	static char log[1 << 16];

	IS(lkl_sys_uname(&names), 0);
	IS(strcmp(names.sysname, "Linux"), 0);
	SAYS(names.release[0], value == '6');
	IS(lkl_sys_sethostname("name", 4), 0);
	IS(lkl_sys_setdomainname("domain", 6), 0);
	IS(lkl_sys_newuname(&again), 0);
	IS(strcmp(again.nodename, "name") || strcmp(again.domainname, "domain"), 0);
	IS(lkl_sys_sethostname("name", 65), -LKL_EINVAL);
	IS(lkl_sys_setdomainname("name", -1), -LKL_EINVAL);
	IS(lkl_sys_sethostname(names.nodename, strlen(names.nodename)), 0);
	IS(lkl_sys_setdomainname(names.domainname, strlen(names.domainname)), 0);

	IS(lkl_sys_sysinfo(&info), 0);
	SAYS(info.totalram * info.mem_unit, HERE(value > 32 << 20 && value <= 128 << 20, value > 0));
	SAYS(info.freeram, value > 0);
	IS(lkl_sys_personality(0xffffffff), LKL_PER_LINUX);
	IS(lkl_sys_personality(LKL_ADDR_NO_RANDOMIZE), LKL_PER_LINUX);
	IS(lkl_sys_personality(LKL_PER_LINUX), LKL_ADDR_NO_RANDOMIZE);

	IS(lkl_sys_getrandom((char *)chance, sizeof(chance), 0), sizeof(chance));
	SAYS(memcmp(chance, zeros, sizeof(chance)), value != 0);
	IS(lkl_sys_getrandom((char *)chance, sizeof(chance), 0x80), -LKL_EINVAL);

	/* SYSLOG_ACTION_SIZE_BUFFER, and _READ_ALL. */
	SAYS(lkl_sys_syslog(10, NULL, 0), value >= 4096);
	SAYS(lkl_sys_syslog(3, log, sizeof(log) - 1), value > 0);
#ifndef NATIVE
	IS(strstr(log, "Linux version") != NULL, 1);
#endif
	IS(lkl_sys_syslog(99, NULL, 0), -LKL_EINVAL);

	IS(lkl_sys_reboot(0, 0, 0, NULL), -LKL_EINVAL);
	/* Nothing presses Ctrl-Alt-Del. */
	IS(lkl_sys_reboot((int)LKL_LINUX_REBOOT_MAGIC1, LKL_LINUX_REBOOT_MAGIC2, LKL_LINUX_REBOOT_CMD_CAD_OFF, NULL),
	   HERE(0, -LKL_EINVAL));
}
