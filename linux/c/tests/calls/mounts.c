// SPDX-License-Identifier: GPL-2.0
/* Mounts, by the old call and by the new ones, and name spaces. What is mounted is a tmpfs. */
#include "check.h"
#include <lkl/linux/magic.h>
#include <lkl/linux/sched.h>

/* Without an MMU Linux's tmpfs is ramfs, which ignores what it has no word for, a size among it. */
#define TMPFS HERE(LKL_RAMFS_MAGIC, LKL_TMPFS_MAGIC)

static long kind(const char *path)
{
	struct lkl_statfs stat;
	long ret = lkl_sys_statfs(path, &stat);

	return ret < 0 ? ret : (long)stat.f_type;
}

static void old_calls(void)
{
	IS(lkl_sys_mount("none", "at", "nosuchfs", 0, NULL), -LKL_ENODEV);
	IS(lkl_sys_mount("none", "none", "tmpfs", 0, NULL), -LKL_ENOENT);
	IS(lkl_sys_mount("none", "at", "tmpfs", 0, "mode=nosuch"), -LKL_EINVAL);
	IS(lkl_sys_mount("none", "at", "tmpfs", LKL_MS_NOSUID, "size=1m"), 0);
	IS(kind("at"), TMPFS);
	IS(lkl_sys_mount("none", "at", NULL, LKL_MS_REMOUNT | LKL_MS_RDONLY, NULL), 0);
	IS(lkl_sys_mkdir("at/below", 0755), -LKL_EROFS);
	IS(lkl_sys_umount2("at", 0), 0);
	IS(lkl_sys_umount2("at", 0), -LKL_EINVAL);
	IS(lkl_sys_umount2("none", 0), -LKL_ENOENT);
	IS(kind("at"), LKL_EXT4_SUPER_MAGIC);
}

static void new_calls(void)
{
	struct lkl_mount_attr read_only = { .attr_set = LKL_MOUNT_ATTR_RDONLY };
	int fs = lkl_sys_fsopen("tmpfs", LKL_FSOPEN_CLOEXEC), mount, copy, again;

	SAYS(fs, value >= 0);
	IS(lkl_sys_fsopen("nosuchfs", 0), -LKL_ENODEV);
	IS(lkl_sys_fsconfig(fs, LKL_FSCONFIG_SET_STRING, "size", "1m", 0), 0);
	IS(lkl_sys_fsconfig(fs, LKL_FSCONFIG_SET_STRING, "mode", "nosuch", 0), -LKL_EINVAL);
	IS(lkl_sys_fsmount(fs, 0, 0), -LKL_EINVAL);
	IS(lkl_sys_fsconfig(fs, LKL_FSCONFIG_CMD_CREATE, NULL, NULL, 0), 0);
	mount = lkl_sys_fsmount(fs, LKL_FSMOUNT_CLOEXEC, 0);
	SAYS(mount, value >= 0);
	IS(lkl_sys_close(fs), 0);
	IS(lkl_sys_move_mount(mount, "", LKL_AT_FDCWD, "none", LKL_MOVE_MOUNT_F_EMPTY_PATH), -LKL_ENOENT);
	IS(lkl_sys_move_mount(mount, "", LKL_AT_FDCWD, "at", LKL_MOVE_MOUNT_F_EMPTY_PATH), 0);
	IS(lkl_sys_close(mount), 0);
	IS(kind("at"), TMPFS);
	IS(lkl_sys_mkdir("at/below", 0755), 0);

	/* The same tree at a second place. */
	copy = lkl_sys_open_tree(LKL_AT_FDCWD, "at", LKL_OPEN_TREE_CLONE);
	SAYS(copy, value >= 0);
	IS(lkl_sys_open_tree(LKL_AT_FDCWD, "none", LKL_OPEN_TREE_CLONE), -LKL_ENOENT);
	IS(lkl_sys_move_mount(copy, "", LKL_AT_FDCWD, "other", LKL_MOVE_MOUNT_F_EMPTY_PATH), 0);
	IS(lkl_sys_close(copy), 0);
	IS(lkl_sys_mount_setattr(LKL_AT_FDCWD, "other", 0, &read_only, sizeof(read_only)), 0);
	IS(lkl_sys_mount_setattr(LKL_AT_FDCWD, "other", 0, &read_only, 3), -LKL_EINVAL);
	IS(lkl_sys_rmdir("other/below"), -LKL_EROFS);
	IS(lkl_sys_rmdir("at/below"), 0);

	again = lkl_sys_fspick(LKL_AT_FDCWD, "at", 0);
	SAYS(again, value >= 0);
	IS(lkl_sys_fspick(LKL_AT_FDCWD, "none", 0), -LKL_ENOENT);
	IS(lkl_sys_fsconfig(again, LKL_FSCONFIG_SET_STRING, "size", "2m", 0), 0);
	IS(lkl_sys_fsconfig(again, LKL_FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0), 0);
	IS(lkl_sys_close(again), 0);
	{
		struct lkl_statfs stat;

		IS(lkl_sys_statfs("at", &stat), 0);
		IS(stat.f_blocks, HERE(0, 512));
	}
	IS(lkl_sys_umount2("other", 0), 0);
	IS(lkl_sys_umount2("at", LKL_MNT_DETACH), 0);
}

static void listing(void)
{
	struct lkl_mnt_id_req of = { .size = LKL_MNT_ID_REQ_SIZE_VER0, .mnt_id = LKL_LSMT_ROOT };
	__lkl__u64 found[256] = { 0 };
	char buffer[1024] __attribute__((aligned(8)));
	struct lkl_statmount *stat = (void *)buffer;
	struct lkl_statx file;
	long n, i, here = 0;

	IS(lkl_sys_mount("none", "at", "tmpfs", 0, NULL), 0);
	IS(lkl_sys_statx(LKL_AT_FDCWD, "at", 0, LKL_STATX_MNT_ID_UNIQUE, &file), 0);
	n = lkl_sys_listmount(&of, found, 256, 0);
	SAYS(n, value > 1);
	for (i = 0; i < n; i++)
		here += found[i] == file.stx_mnt_id;
	IS(here, 1);
	IS(lkl_sys_listmount(&of, found, 256, 0x80), -LKL_EINVAL);
	of.mnt_id = file.stx_mnt_id;
	of.param = LKL_STATMOUNT_SB_BASIC | LKL_STATMOUNT_FS_TYPE;
	IS(lkl_sys_statmount(&of, stat, sizeof(buffer), 0), 0);
	IS(stat->sb_magic, TMPFS);
	IS(strcmp(stat->str + stat->fs_type, "tmpfs"), 0);
	of.mnt_id = ~0ull >> 1;
	IS(lkl_sys_statmount(&of, stat, sizeof(buffer), 0), -LKL_ENOENT);
	IS(lkl_sys_umount2("at", 0), 0);
}

/* In a thread of its own, whose name spaces go with it. */
static void other_spaces(void *arg)
{
	struct lkl_new_utsname names;
	int before = lkl_sys_open("/proc/thread-self/ns/uts", LKL_O_RDONLY, 0);

	SAYS(before, value >= 0);
	IS(lkl_sys_uname(&names), 0);
	strcpy(arg, names.nodename);
	IS(lkl_sys_unshare(LKL_CLONE_NEWUTS), 0);
	IS(lkl_sys_sethostname("elsewhere", 9), 0);
	IS(lkl_sys_newuname(&names), 0);
	IS(strcmp(names.nodename, "elsewhere"), 0);
	IS(lkl_sys_setns(before, LKL_CLONE_NEWUTS), 0);
	IS(lkl_sys_uname(&names), 0);
	IS(strcmp(names.nodename, arg), 0);
	IS(lkl_sys_setns(before, LKL_CLONE_NEWNS), -LKL_EINVAL);
	IS(lkl_sys_close(before), 0);
	IS(lkl_sys_unshare(0x1), -LKL_EINVAL);

	/* Mounts of its own, where the root can be exchanged for another. */
	IS(lkl_sys_unshare(LKL_CLONE_NEWNS | LKL_CLONE_FS), 0);
	IS(lkl_sys_mount("none", "at", "tmpfs", 0, NULL), 0);
	IS(lkl_sys_mkdir("at/old", 0755), 0);
	IS(lkl_sys_pivot_root("at", "other"), -LKL_EINVAL);
#ifndef NATIVE
	/* The root that Linux boots with lies at the very bottom and has no place to go. */
	IS(lkl_sys_pivot_root("at", "at/old"), -LKL_EINVAL);
#endif
	IS(lkl_sys_chroot(".."), 0);
	IS(lkl_sys_pivot_root("at", "at/old"), 0);
	IS(lkl_sys_access("/old/mounts/at", LKL_F_OK), 0);
}

void mounts(void)
{
	char name[65];
	struct beside beside;

	IS(lkl_sys_mkdir("at", 0755), 0);
	IS(lkl_sys_mkdir("other", 0755), 0);
	old_calls();
	new_calls();
	listing();
	begin(&beside, other_spaces, name);
	end(&beside);
	IS(kind("at"), LKL_EXT4_SUPER_MAGIC);
	IS(lkl_sys_rmdir("at"), 0);
	IS(lkl_sys_rmdir("other"), 0);
}
