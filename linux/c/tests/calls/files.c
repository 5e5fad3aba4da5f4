// SPDX-License-Identifier: GPL-2.0
/* Files: how they are opened, read, written, sized, synchronised and copied within Linux. */
#include "check.h"
#include <lkl/linux/fadvise.h>
#include <lkl/linux/falloc.h>
#include <lkl/linux/mman.h>
#include <lkl/linux/openat2.h>

static void opening(void)
{
	struct lkl_open_how how = { .flags = LKL_O_RDWR | LKL_O_CREAT, .mode = 0640 };
	char text[8] = "";
	int fd;

	IS(lkl_sys_open("none", LKL_O_RDONLY, 0), -LKL_ENOENT);
	fd = lkl_sys_creat("file", 0600);
	SAYS(fd, value >= 0);
	IS(lkl_sys_write(fd, TEXT("hello")), 5);
	IS(lkl_sys_read(fd, text, 5), -LKL_EBADF);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_close(fd), -LKL_EBADF);
	IS(lkl_sys_open("file", LKL_O_CREAT | LKL_O_EXCL, 0600), -LKL_EEXIST);
	fd = lkl_sys_open("file", LKL_O_RDONLY, 0);
	IS(lkl_sys_read(fd, text, sizeof(text)), 5);
	IS(memcmp(text, "hello", 5), 0);
	IS(lkl_sys_read(fd, text, sizeof(text)), 0);
	IS(lkl_sys_close(fd), 0);
	fd = lkl_sys_openat(LKL_AT_FDCWD, "file", LKL_O_WRONLY | LKL_O_APPEND, 0);
	IS(lkl_sys_write(fd, TEXT("!")), 1);
	IS(lkl_sys_lseek(fd, 0, LKL_SEEK_CUR), 6);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_openat(LKL_AT_FDCWD, "file/below", LKL_O_RDONLY, 0), -LKL_ENOTDIR);
	fd = lkl_sys_openat2(LKL_AT_FDCWD, "other", &how, sizeof(how));
	SAYS(fd, value >= 0);
	IS(lkl_sys_close(fd), 0);
	how.resolve = LKL_RESOLVE_BENEATH;
	IS(lkl_sys_openat2(LKL_AT_FDCWD, "../other", &how, sizeof(how)), -LKL_EXDEV);
	IS(lkl_sys_openat2(LKL_AT_FDCWD, "other", &how, 8), -LKL_EINVAL);
	/* The caller's memory is no memory of Linux's. */
	fd = lkl_sys_open("file", LKL_O_RDONLY | LKL_O_DIRECT, 0);
	SAYS(fd, HERE(value == -LKL_EINVAL, value >= 0));
	if (fd >= 0)
		lkl_sys_close(fd);
	IS(lkl_sys_unlink("file"), 0);
	IS(lkl_sys_unlink("other"), 0);
}

static void reading_and_writing(void)
{
	char a[4] = "", b[8] = "";
	struct lkl_iovec in[2] = { { a, 3 }, { b, 4 } };
	struct lkl_iovec out[2] = { { "one", 3 }, { "two!", 4 } };
	int fd = lkl_sys_open("file", LKL_O_RDWR | LKL_O_CREAT, 0600);

	IS(lkl_sys_writev(fd, out, 2), 7);
	IS(lkl_sys_lseek(fd, 0, LKL_SEEK_SET), 0);
	IS(lkl_sys_readv(fd, in, 2), 7);
	IS(strcmp(a, "one") || strcmp(b, "two!"), 0);
	IS(lkl_sys_readv(fd, in, -1), -LKL_EINVAL);
	IS(lkl_sys_pwrite64(fd, TEXT("ZZ"), 1), 2);
	IS(lkl_sys_pread64(fd, b, 3, 0), 3);
	IS(memcmp(b, "oZZ", 3), 0);
	IS(lkl_sys_pread64(fd, b, 3, -1), -LKL_EINVAL);
	IS(lkl_sys_pwritev(fd, out, 2, 100, 0), 7);
	IS(lkl_sys_preadv(fd, in, 2, 100, 0), 7);
	IS(strcmp(a, "one"), 0);
	IS(lkl_sys_pwritev2(fd, out, 1, 200, 0, LKL_RWF_DSYNC), 3);
	IS(lkl_sys_preadv2(fd, in, 1, 200, 0, 0), 3);
	IS(lkl_sys_preadv2(fd, in, 1, 200, 0, 0x40000000), -LKL_EOPNOTSUPP);
	IS(lkl_sys_lseek(fd, 0, LKL_SEEK_CUR), 7);
	IS(lkl_sys_lseek(fd, -3, LKL_SEEK_END), 200);
	IS(lkl_sys_lseek(fd, -1, LKL_SEEK_SET), -LKL_EINVAL);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_unlink("file"), 0);
}

static void sizes(void)
{
	struct lkl_stat stat;
	int fd = file_with("file", "0123456789");

	IS(lkl_sys_truncate("file", 4), 0);
	IS(lkl_sys_fstat(fd, &stat), 0);
	IS(stat.st_size, 4);
	IS(lkl_sys_truncate("file", -1), -LKL_EINVAL);
	IS(lkl_sys_ftruncate(fd, 1 << 20), 0);
	IS(lkl_sys_pwrite64(fd, TEXT("x"), 1 << 19), 1);
	IS(lkl_sys_lseek(fd, 4096, LKL_SEEK_DATA), 1 << 19);
	IS(lkl_sys_lseek(fd, 1 << 19, LKL_SEEK_HOLE), (1 << 19) + 4096);
	IS(lkl_sys_fallocate(fd, 0, 0, 2 << 20), 0);
	IS(lkl_sys_fstat(fd, &stat), 0);
	IS(stat.st_size, 2 << 20);
	IS(stat.st_blocks, 4096);
	IS(lkl_sys_fallocate(fd, LKL_FALLOC_FL_PUNCH_HOLE | LKL_FALLOC_FL_KEEP_SIZE, 0, 1 << 20), 0);
	IS(lkl_sys_fstat(fd, &stat), 0);
	IS(stat.st_blocks, 2048);
	IS(lkl_sys_fallocate(fd, LKL_FALLOC_FL_PUNCH_HOLE, 0, 4096), -LKL_EOPNOTSUPP);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_unlink("file"), 0);
}

static void synchronising(void)
{
	struct lkl_cachestat_range range = { 0, 0 };
	struct lkl_cachestat cached = { 0 };
	int fd = file_with("file", "data");

	IS(lkl_sys_cachestat(fd, &range, &cached, 0), 0);
	IS(cached.nr_cache, 1);
	IS(cached.nr_dirty, 1);
	IS(lkl_sys_cachestat(fd, &range, &cached, 1), -LKL_EINVAL);
	IS(lkl_sys_cachestat(-1, &range, &cached, 0), -LKL_EBADF);
	IS(lkl_sys_sync_file_range(fd, 0, 0, LKL_SYNC_FILE_RANGE_WAIT_BEFORE | LKL_SYNC_FILE_RANGE_WRITE |
				   LKL_SYNC_FILE_RANGE_WAIT_AFTER), 0);
	IS(lkl_sys_sync_file_range(fd, 0, 0, 64), -LKL_EINVAL);
	IS(lkl_sys_fdatasync(fd), 0);
	IS(lkl_sys_fsync(fd), 0);
	IS(lkl_sys_fsync(-1), -LKL_EBADF);
	IS(lkl_sys_fdatasync(-1), -LKL_EBADF);
	IS(lkl_sys_syncfs(fd), 0);
	IS(lkl_sys_syncfs(-1), -LKL_EBADF);
	IS(lkl_sys_sync(), 0);
	IS(lkl_sys_fadvise64(fd, 0, 0, LKL_POSIX_FADV_DONTNEED), 0);
	IS(lkl_sys_cachestat(fd, &range, &cached, 0), 0);
	IS(cached.nr_cache, 0);
	IS(lkl_sys_fadvise64(fd, 0, 0, 99), -LKL_EINVAL);
	IS(lkl_sys_fadvise64(-1, 0, 0, LKL_POSIX_FADV_NORMAL), -LKL_EBADF);
	IS(lkl_sys_readahead(fd, 0, 4096), 0);
	IS(lkl_sys_readahead(-1, 0, 4096), -LKL_EBADF);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_unlink("file"), 0);
}

static void copying(void)
{
	char text[32] = "";
	lkl_loff_t from = 2, to = 1;
	int in = file_with("in", "0123456789");
	int out = lkl_sys_open("out", LKL_O_RDWR | LKL_O_CREAT, 0600);

	IS(lkl_sys_copy_file_range(in, &from, out, &to, 5, 0), 5);
	IS(from, 7);
	IS(to, 6);
	IS(lkl_sys_copy_file_range(in, &from, out, &to, 5, 1), -LKL_EINVAL);
	from = 8;
	IS(lkl_sys_lseek(out, 6, LKL_SEEK_SET), 6);
	IS(lkl_sys_sendfile(out, in, &from, 100), 2);
	IS(from, 10);
	IS(lkl_sys_lseek(in, 0, LKL_SEEK_SET), 0);
	IS(lkl_sys_sendfile64(out, in, NULL, 3), 3);
	IS(lkl_sys_lseek(in, 0, LKL_SEEK_CUR), 3);
	IS(lkl_sys_sendfile(in, -1, NULL, 3), -LKL_EBADF);
	IS(lkl_sys_pread64(out, text, sizeof(text), 0), 11);
	IS(memcmp(text, "\0" "2345689012", 11), 0);
	IS(lkl_sys_close(in), 0);
	IS(lkl_sys_close(out), 0);
	IS(lkl_sys_unlink("in"), 0);
	IS(lkl_sys_unlink("out"), 0);
}

void files(void)
{
	opening();
	reading_and_writing();
	sizes();
	synchronising();
	copying();
}
