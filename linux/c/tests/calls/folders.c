// SPDX-License-Identifier: GPL-2.0
/* Folders: made, listed, entered, removed. Names: given, taken, followed. */
#include "check.h"

static int has(const char *entries, long len, int old, const char *wanted)
{
	long at = 0;

	while (at < len) {
		const struct lkl_linux_dirent64 *new_one = (const void *)(entries + at);
		/* The old entry: number, place, length, name. */
		unsigned short length;
		const char *name = old ? entries + at + 18 : new_one->d_name;

		memcpy(&length, entries + at + 16, sizeof(length));
		if (!strcmp(name, wanted))
			return 1;
		at += length;
	}
	return 0;
}

void folders(void)
{
	char place[256], entries[1024] __attribute__((aligned(8)));
	int fd, root, here;
	long len;

	IS(lkl_sys_mkdir("folder", 0755), 0);
	IS(lkl_sys_mkdir("folder", 0755), -LKL_EEXIST);
	IS(lkl_sys_mkdirat(LKL_AT_FDCWD, "folder/below", 0700), 0);
	IS(lkl_sys_mkdirat(LKL_AT_FDCWD, "none/below", 0700), -LKL_ENOENT);
	IS(lkl_sys_rmdir("folder"), -LKL_ENOTEMPTY);
	fd = lkl_sys_open("folder", LKL_O_RDONLY | LKL_O_DIRECTORY, 0);
	len = lkl_sys_getdents64(fd, (void *)entries, sizeof(entries));
	SAYS(len, value > 0);
	IS(has(entries, len, 0, "below"), 1);
	IS(has(entries, len, 0, "."), 1);
	IS(has(entries, len, 0, "none"), 0);
	IS(lkl_sys_getdents64(fd, (void *)entries, sizeof(entries)), 0);
	IS(lkl_sys_lseek(fd, 0, LKL_SEEK_SET), 0);
	IS(lkl_sys_getdents64(fd, (void *)entries, 8), -LKL_EINVAL);
	len = lkl_sys_getdents(fd, (void *)entries, sizeof(entries));
	SAYS(len, value > 0);
	IS(has(entries, len, 1, "below"), 1);
	IS(lkl_sys_getdents(-1, (void *)entries, sizeof(entries)), -LKL_EBADF);

	len = lkl_sys_getcwd(place, sizeof(place));
	IS(len, strlen(place) + 1);
	IS(lkl_sys_getcwd(place, 1), -LKL_ERANGE);
	here = lkl_sys_open(".", LKL_O_RDONLY | LKL_O_DIRECTORY, 0);
	IS(lkl_sys_chdir("folder"), 0);
	IS(lkl_sys_chdir("none"), -LKL_ENOENT);
	IS(lkl_sys_access("below", LKL_F_OK), 0);
	IS(lkl_sys_fchdir(here), 0);
	IS(lkl_sys_fchdir(-1), -LKL_EBADF);
	IS(lkl_sys_access("below", LKL_F_OK), -LKL_ENOENT);

	/* In it, and out again. */
	root = lkl_sys_open("/", LKL_O_RDONLY | LKL_O_DIRECTORY, 0);
	IS(lkl_sys_chroot("none"), -LKL_ENOENT);
	IS(lkl_sys_chroot("folder"), 0);
	IS(lkl_sys_access("/below", LKL_F_OK), 0);
	IS(lkl_sys_fchdir(root), 0);
	IS(lkl_sys_chroot("."), 0);
	IS(lkl_sys_access("/below", LKL_F_OK), -LKL_ENOENT);
	IS(lkl_sys_fchdir(here), 0);
	IS(lkl_sys_close(root), 0);
	IS(lkl_sys_close(here), 0);

	IS(lkl_sys_unlinkat(fd, "below", 0), -LKL_EISDIR);
	IS(lkl_sys_unlinkat(fd, "below", LKL_AT_REMOVEDIR), 0);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_rmdir("folder"), 0);
	IS(lkl_sys_rmdir("folder"), -LKL_ENOENT);
}

static void links(void)
{
	char target[32] = "";
	struct lkl_stat stat;

	lkl_sys_close(file_with("file", "data"));
	IS(lkl_sys_link("file", "second"), 0);
	IS(lkl_sys_linkat(LKL_AT_FDCWD, "file", LKL_AT_FDCWD, "third", 0), 0);
	IS(lkl_sys_linkat(LKL_AT_FDCWD, "file", LKL_AT_FDCWD, "third", 0), -LKL_EEXIST);
	IS(lkl_sys_stat("file", &stat), 0);
	IS(stat.st_nlink, 3);
	IS(lkl_sys_symlink("file", "link"), 0);
	IS(lkl_sys_symlinkat("link", LKL_AT_FDCWD, "chain"), 0);
	IS(lkl_sys_symlink("loop", "loop"), 0);
	IS(lkl_sys_readlink("link", target, sizeof(target)), 4);
	IS(strcmp(target, "file"), 0);
	IS(lkl_sys_readlinkat(LKL_AT_FDCWD, "chain", target, 2), 2);
	IS(lkl_sys_readlink("file", target, sizeof(target)), -LKL_EINVAL);
	IS(lkl_sys_access("chain", LKL_R_OK), 0);
	IS(lkl_sys_open("loop", LKL_O_RDONLY, 0), -LKL_ELOOP);
	IS(lkl_sys_open("link", LKL_O_RDONLY | LKL_O_NOFOLLOW, 0), -LKL_ELOOP);
	IS(lkl_sys_faccessat(LKL_AT_FDCWD, "chain", LKL_W_OK), 0);
	IS(lkl_sys_unlink("file"), 0);
	IS(lkl_sys_faccessat2(LKL_AT_FDCWD, "link", LKL_F_OK, 0), -LKL_ENOENT);
	IS(lkl_sys_faccessat2(LKL_AT_FDCWD, "link", LKL_F_OK, LKL_AT_SYMLINK_NOFOLLOW), 0);
	IS(lkl_sys_unlink("link"), 0);
	IS(lkl_sys_unlink("chain"), 0);
	IS(lkl_sys_unlink("loop"), 0);
	IS(lkl_sys_unlink("second"), 0);
	IS(lkl_sys_unlink("third"), 0);
}

static void renaming(void)
{
	lkl_sys_close(file_with("a", "a"));
	lkl_sys_close(file_with("b", "bb"));
	IS(lkl_sys_rename("a", "c"), 0);
	IS(lkl_sys_rename("a", "d"), -LKL_ENOENT);
	IS(lkl_sys_renameat(LKL_AT_FDCWD, "c", LKL_AT_FDCWD, "a"), 0);
	IS(lkl_sys_renameat2(LKL_AT_FDCWD, "a", LKL_AT_FDCWD, "b", LKL_RENAME_NOREPLACE), -LKL_EEXIST);
	IS(lkl_sys_renameat2(LKL_AT_FDCWD, "a", LKL_AT_FDCWD, "b", LKL_RENAME_EXCHANGE), 0);
	{
		struct lkl_stat stat;

		IS(lkl_sys_stat("a", &stat), 0);
		IS(stat.st_size, 2);
	}
	IS(lkl_sys_unlink("a"), 0);
	IS(lkl_sys_unlink("b"), 0);
}

static void nodes(void)
{
	struct lkl_stat stat;
	int fd;

	IS(lkl_sys_mknod("fifo", LKL_S_IFIFO | 0600, 0), 0);
	IS(lkl_sys_mknodat(LKL_AT_FDCWD, "null", LKL_S_IFCHR | 0600, 1 << 8 | 3), 0);
	IS(lkl_sys_mknod("fifo", LKL_S_IFIFO | 0600, 0), -LKL_EEXIST);
	IS(lkl_sys_mknod("folder", LKL_S_IFDIR | 0600, 0), -LKL_EPERM);
	IS(lkl_sys_stat("null", &stat), 0);
	IS(stat.st_rdev, 1 << 8 | 3);
	IS(stat.st_mode, LKL_S_IFCHR | 0600);
	fd = lkl_sys_open("null", LKL_O_RDWR, 0);
	SAYS(fd, value >= 0);
	IS(lkl_sys_write(fd, TEXT("lost")), 4);
	IS(lkl_sys_read(fd, (char *)&stat, 4), 0);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_open("fifo", LKL_O_WRONLY | LKL_O_NONBLOCK, 0), -LKL_ENXIO);
	fd = lkl_sys_open("fifo", LKL_O_RDWR, 0);
	IS(lkl_sys_write(fd, TEXT("through")), 7);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_unlink("fifo"), 0);
	IS(lkl_sys_unlink("null"), 0);
}

static void handles(void)
{
	/* Length and kind, then the handle. */
	char room[sizeof(struct lkl_file_handle) + LKL_MAX_HANDLE_SZ] __attribute__((aligned(8))) = "";
	struct lkl_file_handle *known = (void *)room;
	char text[8] = "";
	int mount = 0, here, fd;

	lkl_sys_close(file_with("file", "handle"));
	IS(lkl_sys_name_to_handle_at(LKL_AT_FDCWD, "file", known, &mount, 0), -LKL_EOVERFLOW);
	SAYS(known->handle_bytes, value > 0 && value <= LKL_MAX_HANDLE_SZ);
	IS(lkl_sys_name_to_handle_at(LKL_AT_FDCWD, "file", known, &mount, 0), 0);
	here = lkl_sys_open(".", LKL_O_RDONLY, 0);
	fd = lkl_sys_open_by_handle_at(here, known, LKL_O_RDONLY);
	SAYS(fd, value >= 0);
	IS(lkl_sys_read(fd, text, 6), 6);
	IS(strcmp(text, "handle"), 0);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_unlink("file"), 0);
	IS(lkl_sys_open_by_handle_at(here, known, LKL_O_RDONLY), -LKL_ESTALE);
	IS(lkl_sys_close(here), 0);
}

void names(void)
{
	links();
	renaming();
	nodes();
	handles();
}
