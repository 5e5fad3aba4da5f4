// SPDX-License-Identifier: GPL-2.0
/*
 * Mounts an image, makes it the root of the process, and writes a file of it to the standard output:
 *
 *	readfs IMAGE TYPE /PATH [PARTITION]
 *
 * Linux runs no program of the image's, /init least of all: the program is this one.
 */
#include <stdio.h>
#include <stdlib.h>
#ifdef _WIN32
#include <windows.h>
#else
#include <fcntl.h>
#include <unistd.h>
#endif
#include <lkl.h>
#include <lkl_host.h>

/* Opens the image as the host does, for reading. */
static int open_image(struct lkl_disk *disk, const char *path)
{
#ifdef _WIN32
	disk->handle = CreateFileA(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
	return disk->handle != INVALID_HANDLE_VALUE;
#else
	disk->fd = open(path, O_RDONLY);
	return disk->fd >= 0;
#endif
}

static void close_image(struct lkl_disk *disk)
{
#ifdef _WIN32
	CloseHandle(disk->handle);
#else
	close(disk->fd);
#endif
}

static int failed(const char *what, long err)
{
	fprintf(stderr, "%s: %s\n", what, lkl_strerror((int)err));
	return 1;
}

static int print_file(const char *path)
{
	static char buffer[65536];
	long fd, len;

	fd = lkl_sys_open(path, LKL_O_RDONLY, 0);
	if (fd < 0)
		return failed(path, fd);
	while ((len = lkl_sys_read(fd, buffer, sizeof(buffer))) > 0)
		if (fwrite(buffer, 1, len, stdout) != (size_t)len)
			break;
	lkl_sys_close(fd);
	return len < 0 ? failed(path, len) : 0;
}

int main(int argc, char **argv)
{
	struct lkl_disk disk = { 0 };
	char place[32];
	long err;
	int id, ret;

	if (argc < 4 || argc > 5) {
		fprintf(stderr, "usage: %s IMAGE TYPE /PATH [PARTITION]\n", argv[0]);
		return 2;
	}
	if (!open_image(&disk, argv[1])) {
		fprintf(stderr, "%s: cannot be opened\n", argv[1]);
		return 1;
	}
	lkl_host_ops.print = NULL;
	lkl_init(&lkl_host_ops);
	/* Before the boot; it may come later as well. */
	id = lkl_disk_add(&disk);
	if (id < 0)
		return failed(argv[1], id);
	err = lkl_start_kernel("mem=64M");
	if (err)
		return failed("cannot boot", err);
	err = lkl_mount_dev(id, argc == 5 ? atoi(argv[4]) : 0, argv[2], LKL_MS_RDONLY, NULL, place, sizeof(place));
	if (err)
		return failed(argv[1], err);
	err = lkl_sys_chroot(place);
	if (!err)
		err = lkl_sys_chdir("/");
	ret = err ? failed(place, err) : print_file(argv[3]);
	lkl_sys_halt();
	lkl_cleanup();
	close_image(&disk);
	return ret;
}
