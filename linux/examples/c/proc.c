// SPDX-License-Identifier: GPL-2.0
/* Writes every file of /proc to the standard output, each after its name, but for those of processes. */
#include <stdio.h>
#include <string.h>
#include <lkl.h>
#include <lkl_host.h>

static void print_file(const char *path)
{
	static char buffer[65536];
	long fd, len, all = 0;

	printf("==> %s\n", path);
	fd = lkl_sys_open(path, LKL_O_RDONLY | LKL_O_NONBLOCK, 0);
	if (fd < 0) {
		printf("(%s)\n", lkl_strerror((int)fd));
		return;
	}
	/* Some never end. */
	while (all < 1 << 20 && (len = lkl_sys_read(fd, buffer, sizeof(buffer))) > 0) {
		fwrite(buffer, 1, len, stdout);
		all += len;
	}
	lkl_sys_close(fd);
}

static void print_folder(const char *path)
{
	struct lkl_linux_dirent64 *entry;
	struct lkl_dir *dir;
	char below[512];
	int err = 0;

	dir = lkl_opendir(path, &err);
	if (!dir) {
		printf("==> %s\n(%s)\n", path, lkl_strerror(err));
		return;
	}
	while ((entry = lkl_readdir(dir))) {
		/* "." and "..", and the processes with their numbers. */
		if (entry->d_name[0] == '.' || (entry->d_name[0] >= '0' && entry->d_name[0] <= '9'))
			continue;
		if (snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) >= (int)sizeof(below))
			continue;
		if (entry->d_type == LKL_DT_DIR)
			print_folder(below);
		else if (entry->d_type == LKL_DT_REG && strcmp(below, "/proc/kmsg"))
			print_file(below);
	}
	if (lkl_errdir(dir))
		printf("(%s: %s)\n", path, lkl_strerror(lkl_errdir(dir)));
	lkl_closedir(dir);
}

int main(void)
{
	int err;

	lkl_host_ops.print = NULL;
	lkl_init(&lkl_host_ops);
	err = lkl_start_kernel("mem=64M");
	if (!err)
		err = lkl_mount_fs("proc");
	if (err < 0) {
		fprintf(stderr, "cannot boot: %s\n", lkl_strerror(err));
		return 1;
	}
	print_folder("/proc");
	lkl_sys_halt();
	lkl_cleanup();
	return 0;
}
