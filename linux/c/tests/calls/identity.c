// SPDX-License-Identifier: GPL-2.0
/* Who calls: process, user, groups, capabilities, keys. What a thread changes is undone, or goes with the thread. */
#include "check.h"
#include <lkl/linux/capability.h>
#include <lkl/linux/keyctl.h>

static void processes(void)
{
	SAYS(lkl_sys_getpid(), value == 1);
	SAYS(lkl_sys_gettid(), value >= 1);
	IS(lkl_sys_getppid(), 0);
	SAYS(lkl_sys_getpgid(0), value == lkl_sys_getpgrp());
	IS(lkl_sys_getpgid(99999), -LKL_ESRCH);
	SAYS(lkl_sys_getsid(0), value >= 0);
	IS(lkl_sys_getsid(99999), -LKL_ESRCH);
	IS(lkl_sys_setpgid(0, -1), -LKL_EINVAL);
	IS(lkl_sys_setpgid(99999, 0), -LKL_ESRCH);
	SAYS(lkl_sys_setsid(), value == 1 || value == -LKL_EPERM);
	IS(lkl_sys_getsid(0), 1);
	IS(lkl_sys_getpgrp(), 1);
	IS(lkl_sys_setsid(), -LKL_EPERM);
}

/* In a thread of its own. */
static void users(void *arg)
{
	lkl_gid_t groups[3] = { 7, 8, 9 }, got[4] = { 0 };
	lkl_uid_t a, b, c;

	(void)arg;
	IS(lkl_sys_getuid() | lkl_sys_geteuid() | lkl_sys_getgid() | lkl_sys_getegid(), 0);
	IS(lkl_sys_setgroups(3, groups), 0);
	IS(lkl_sys_getgroups(4, got), 3);
	IS(got[2], 9);
	IS(lkl_sys_getgroups(1, got), -LKL_EINVAL);
	IS(lkl_sys_setgroups(-1, groups), -LKL_EINVAL);
	IS(lkl_sys_setfsuid(5), 0);
	IS(lkl_sys_setfsuid(-1), 5);
	IS(lkl_sys_setfsgid(6), 0);
	IS(lkl_sys_setfsgid(-1), 6);
	IS(lkl_sys_setresgid(11, 12, 13), 0);
	IS(lkl_sys_getresgid(&a, &b, &c), 0);
	IS(a == 11 && b == 12 && c == 13, 1);
	IS(lkl_sys_setregid(13, 11), 0);
	IS(lkl_sys_getgid(), 13);
	IS(lkl_sys_getegid(), 11);
	IS(lkl_sys_setgid(20), 0);
	IS(lkl_sys_getgid(), 20);
	IS(lkl_sys_setresuid(-1, -1, 0), 0);
	IS(lkl_sys_setreuid(0, 30), 0);
	IS(lkl_sys_geteuid(), 30);
	/* Not root any more, but who may become root. */
	IS(lkl_sys_chroot("/"), -LKL_EPERM);
	IS(lkl_sys_setgroups(3, groups), -LKL_EPERM);
	IS(lkl_sys_setuid(31), -LKL_EPERM);
	IS(lkl_sys_setuid(0), 0);
	IS(lkl_sys_setresuid(40, 40, 40), 0);
	IS(lkl_sys_getresuid(&a, &b, &c), 0);
	IS(a == 40 && b == 40 && c == 40, 1);
	IS(lkl_sys_setresuid(0, 0, 0), -LKL_EPERM);
	IS(lkl_sys_setreuid(0, 0), -LKL_EPERM);
	IS(lkl_sys_setresgid(0, 0, 0), -LKL_EPERM);
	IS(lkl_sys_setregid(0, 0), -LKL_EPERM);
	IS(lkl_sys_setgid(0), -LKL_EPERM);
	IS(lkl_sys_mkdir("forbidden", 0755), -LKL_EACCES);
}

/* In a thread of its own. */
static void capabilities(void *arg)
{
	struct __lkl__user_cap_header_struct header = { LKL__LINUX_CAPABILITY_VERSION_3, 0 };
	struct __lkl__user_cap_data_struct data[2] = { 0 };

	(void)arg;
	IS(lkl_sys_capget(&header, data), 0);
	SAYS(data[0].effective, value & 1 << LKL_CAP_SYS_CHROOT);
	data[0].effective &= ~(1u << LKL_CAP_SYS_CHROOT);
	IS(lkl_sys_capset(&header, data), 0);
	IS(lkl_sys_chroot("/"), -LKL_EPERM);
	data[0].permitted &= ~(1u << LKL_CAP_SYS_CHROOT);
	IS(lkl_sys_capset(&header, data), 0);
	data[0].permitted |= 1u << LKL_CAP_SYS_CHROOT;
	IS(lkl_sys_capset(&header, data), -LKL_EPERM);
	header.version = 1;
	IS(lkl_sys_capget(&header, data), -LKL_EINVAL);
	IS(header.version, LKL__LINUX_CAPABILITY_VERSION_3);
}

/* In a thread of its own. */
static void keys(void *arg)
{
	char text[16] = "";
	long key = lkl_sys_add_key("user", "a key", "secret", 6, LKL_KEY_SPEC_THREAD_KEYRING);

	(void)arg;
	SAYS(key, value > 0);
	IS(lkl_sys_keyctl(LKL_KEYCTL_READ, key, (long)text, sizeof(text), 0), 6);
	IS(strcmp(text, "secret"), 0);
	IS(lkl_sys_request_key("user", "a key", NULL, 0), key);
	IS(lkl_sys_request_key("user", "no key", NULL, 0), -LKL_ENOKEY);
	IS(lkl_sys_add_key("nosuch", "a key", "secret", 6, LKL_KEY_SPEC_THREAD_KEYRING), -LKL_ENODEV);
	IS(lkl_sys_keyctl(9999, 0, 0, 0, 0), -LKL_EOPNOTSUPP);
	IS(lkl_sys_keyctl(LKL_KEYCTL_UNLINK, key, LKL_KEY_SPEC_THREAD_KEYRING, 0, 0), 0);
	IS(lkl_sys_request_key("user", "a key", NULL, 0), -LKL_ENOKEY);
}

void identity(void)
{
	void (*const in_threads[])(void *) = { users, capabilities, keys };
	struct beside beside;
	size_t i;

	processes();
	for (i = 0; i < sizeof(in_threads) / sizeof(in_threads[0]); i++) {
		begin(&beside, in_threads[i], NULL);
		end(&beside);
	}
	IS(lkl_sys_geteuid(), 0);
}
