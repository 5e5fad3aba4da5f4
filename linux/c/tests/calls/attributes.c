// SPDX-License-Identifier: GPL-2.0
/* What a file has beside its content: owner, mode, times, attributes; and what is known of its file system. */
#include "check.h"
#include <lkl/linux/dqblk_xfs.h>
#include <lkl/linux/magic.h>
#include <lkl/linux/xattr.h>

static void owners_and_modes(void)
{
	struct lkl_stat stat;
	int fd = file_with("file", "data");

	IS(lkl_sys_chmod("file", 0604), 0);
	IS(lkl_sys_newstat("file", &stat), 0);
	IS(stat.st_mode, LKL_S_IFREG | 0604);
	IS(lkl_sys_fchmod(fd, 0640), 0);
	IS(lkl_sys_newfstat(fd, &stat), 0);
	IS(stat.st_mode, LKL_S_IFREG | 0640);
	IS(lkl_sys_fchmodat(LKL_AT_FDCWD, "file", 0400), 0);
	IS(lkl_sys_fchmodat2(LKL_AT_FDCWD, "file", 0440, LKL_AT_SYMLINK_NOFOLLOW), 0);
	IS(lkl_sys_newlstat("file", &stat), 0);
	IS(stat.st_mode, LKL_S_IFREG | 0440);
	IS(lkl_sys_chmod("none", 0), -LKL_ENOENT);
	IS(lkl_sys_symlink("file", "link"), 0);
	IS(lkl_sys_chown("link", 1, 2), 0);
	IS(lkl_sys_lchown("link", 3, 4), 0);
	IS(lkl_sys_stat("link", &stat), 0);
	IS(stat.st_uid == 1 && stat.st_gid == 2, 1);
	IS(lkl_sys_lstat("link", &stat), 0);
	IS(stat.st_uid == 3 && stat.st_gid == 4, 1);
	IS(stat.st_size, 4);
	IS(lkl_sys_fchown(fd, 5, -1), 0);
	IS(lkl_sys_fchownat(LKL_AT_FDCWD, "file", -1, 6, 0), 0);
	IS(lkl_sys_newfstatat(LKL_AT_FDCWD, "file", &stat, 0), 0);
	IS(stat.st_uid == 5 && stat.st_gid == 6, 1);
	IS(lkl_sys_fchownat(-1, "file", -1, 6, 0), -LKL_EBADF);
	SAYS(lkl_sys_umask(077), value >= 0);
	IS(lkl_sys_umask(022), 077);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_unlink("link"), 0);
	IS(lkl_sys_unlink("file"), 0);
}

static void times(void)
{
	struct __lkl__kernel_timespec fine[2] = { { 11, 111 }, { 22, 222 } };
	struct __lkl__kernel_old_timeval coarse[2] = { { 33, 333 }, { 44, 444 } };
	struct lkl_utimbuf seconds = { 55, 66 };
	struct lkl_statx more;
	struct lkl_stat stat;

	lkl_sys_close(file_with("file", "data"));
	IS(lkl_sys_utimensat(LKL_AT_FDCWD, "file", fine, 0), 0);
	IS(lkl_sys_stat("file", &stat), 0);
	IS(stat.lkl_st_atime == 11 && stat.lkl_st_mtime == 22, 1);
	IS(stat.st_mtime_nsec, 222);
	IS(lkl_sys_utimes("file", coarse), 0);
	IS(lkl_sys_stat("file", &stat), 0);
	IS(stat.st_atime_nsec, 333000);
	IS(lkl_sys_futimesat(LKL_AT_FDCWD, "file", coarse), 0);
	IS(lkl_sys_utime("file", &seconds), 0);
	IS(lkl_sys_statx(LKL_AT_FDCWD, "file", 0, LKL_STATX_BASIC_STATS | LKL_STATX_BTIME, &more), 0);
	IS(more.stx_atime.tv_sec == 55 && more.stx_mtime.tv_sec == 66, 1);
	SAYS(more.stx_btime.tv_sec, value > 1000000000);
	IS(more.stx_size, 4);
	IS(lkl_sys_statx(LKL_AT_FDCWD, "file", 0x40000000, 0, &more), -LKL_EINVAL);
	fine[0].tv_nsec = 1000000000;
	IS(lkl_sys_utimensat(LKL_AT_FDCWD, "file", fine, 0), -LKL_EINVAL);
	coarse[0].tv_usec = 1000000;
	IS(lkl_sys_utimes("file", coarse), -LKL_EINVAL);
	IS(lkl_sys_futimesat(LKL_AT_FDCWD, "none", NULL), -LKL_ENOENT);
	IS(lkl_sys_utime("none", NULL), -LKL_ENOENT);
	IS(lkl_sys_unlink("file"), 0);
}

static void attributes_of(const char *path, int fd)
{
	char text[64] = "";

	IS(lkl_sys_setxattr(path, "user.a", "one", 3, 0), 0);
	IS(lkl_sys_setxattr(path, "user.a", "one", 3, LKL_XATTR_CREATE), -LKL_EEXIST);
	IS(lkl_sys_fsetxattr(fd, "user.b", "two", 3, 0), 0);
	IS(lkl_sys_fsetxattr(fd, "user.c", "two", 3, LKL_XATTR_REPLACE), -LKL_ENODATA);
	IS(lkl_sys_lsetxattr("link", "trusted.c", "three", 5, 0), 0);
	IS(lkl_sys_lsetxattr("link", "user.c", "three", 5, 0), -LKL_EPERM);
	IS(lkl_sys_getxattr(path, "user.b", text, sizeof(text)), 3);
	IS(strcmp(text, "two"), 0);
	IS(lkl_sys_getxattr(path, "user.b", text, 2), -LKL_ERANGE);
	IS(lkl_sys_fgetxattr(fd, "user.a", NULL, 0), 3);
	IS(lkl_sys_fgetxattr(fd, "user.z", NULL, 0), -LKL_ENODATA);
	IS(lkl_sys_lgetxattr("link", "trusted.c", text, sizeof(text)), 5);
	IS(lkl_sys_listxattr("link", text, sizeof(text)), 14);
	IS(memcmp(text, "user.a\0user.b", 14), 0);
	IS(lkl_sys_flistxattr(fd, NULL, 0), 14);
	IS(lkl_sys_llistxattr("link", text, sizeof(text)), 10);
	IS(lkl_sys_llistxattr("link", text, 3), -LKL_ERANGE);
	IS(strcmp(text, "trusted.c"), 0);
	IS(lkl_sys_removexattr(path, "user.a"), 0);
	IS(lkl_sys_removexattr(path, "user.a"), -LKL_ENODATA);
	IS(lkl_sys_fremovexattr(fd, "user.b"), 0);
	IS(lkl_sys_fremovexattr(-1, "user.b"), -LKL_EBADF);
	IS(lkl_sys_lremovexattr("link", "trusted.c"), 0);
	IS(lkl_sys_lremovexattr("link", "trusted.c"), -LKL_ENODATA);
}

static void file_system(int fd)
{
	struct lkl_statfs stat;

	IS(lkl_sys_statfs(".", &stat), 0);
	IS(stat.f_type, LKL_EXT4_SUPER_MAGIC);
	SAYS(stat.f_blocks, value > 1000);
	memset(&stat, 0, sizeof(stat));
	IS(lkl_sys_fstatfs(fd, &stat), 0);
	IS(stat.f_namelen, 255);
	IS(lkl_sys_statfs("none", &stat), -LKL_ENOENT);
	/* It has no quotas. */
	IS(lkl_sys_quotactl(LKL_QCMD(LKL_Q_SYNC, LKL_USRQUOTA), NULL, 0, NULL), 0);
	IS(lkl_sys_quotactl(LKL_QCMD(LKL_Q_GETFMT, LKL_USRQUOTA), "none", 0, &stat), -LKL_ENOENT);
	IS(lkl_sys_quotactl_fd(fd, LKL_QCMD(LKL_Q_GETFMT, LKL_USRQUOTA), 0, &stat), -LKL_ESRCH);
	IS(lkl_sys_quotactl_fd(fd, LKL_QCMD(LKL_Q_SYNC, LKL_USRQUOTA), 0, NULL), 0);
}

void attributes(void)
{
	int fd = file_with("named", "data");

	IS(lkl_sys_symlink("named", "link"), 0);
	attributes_of("named", fd);
	file_system(fd);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_unlink("link"), 0);
	IS(lkl_sys_unlink("named"), 0);
	owners_and_modes();
	times();
}
