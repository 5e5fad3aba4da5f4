// SPDX-License-Identifier: GPL-2.0
/*
 * This machine's own Linux in the library's place: the library's numbers are those of x86-64. One structure is another one here,
 * struct stat.
 */
#include "native.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <lkl.h>

void native_begin(const char *folder)
{
	if (chdir(folder)) {
		perror(folder);
		exit(2);
	}
}

static void convert(const struct stat *from, struct lkl_stat *to)
{
	memset(to, 0, sizeof(*to));
	to->st_dev = from->st_dev;
	to->st_ino = from->st_ino;
	to->st_mode = from->st_mode;
	to->st_nlink = from->st_nlink;
	to->st_uid = from->st_uid;
	to->st_gid = from->st_gid;
	to->st_rdev = from->st_rdev;
	to->st_size = from->st_size;
	to->st_blksize = from->st_blksize;
	to->st_blocks = from->st_blocks;
	to->lkl_st_atime = from->st_atim.tv_sec;
	to->st_atime_nsec = from->st_atim.tv_nsec;
	to->lkl_st_mtime = from->st_mtim.tv_sec;
	to->st_mtime_nsec = from->st_mtim.tv_nsec;
	to->lkl_st_ctime = from->st_ctim.tv_sec;
	to->st_ctime_nsec = from->st_ctim.tv_nsec;
}

/* Which parameter is a struct stat, or -1. */
static int stat_parameter(long number)
{
	switch (number) {
	case SYS_stat:
	case SYS_fstat:
	case SYS_lstat:
		return 1;
	case SYS_newfstatat:
		return 2;
	}
	return -1;
}

long lkl_syscall(long number, long *p)
{
	long words[6] = { p[0] }, ret;
	int parameter = stat_parameter(number), i;
	struct stat stat;

	(void)words;
	for (i = 0; i < 6; i++)
		words[i] = p[i];
	if (parameter >= 0)
		words[parameter] = (long)&stat;
	ret = syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]);
	if (ret == -1)
		return -errno;
	if (parameter >= 0)
		convert(&stat, (struct lkl_stat *)p[parameter]);
	return ret;
}
