// SPDX-License-Identifier: GPL-2.0
/* Watching files: inotify and fanotify. */
#include "check.h"
#include <lkl/linux/fanotify.h>
#include <lkl/linux/inotify.h>

static void inotify(void)
{
	char buffer[512] __attribute__((aligned(8)));
	struct lkl_inotify_event *event = (void *)buffer;
	int old = lkl_sys_inotify_init(), fd = lkl_sys_inotify_init1(LKL_IN_NONBLOCK | LKL_IN_CLOEXEC), watch;

	SAYS(old, value >= 0);
	SAYS(fd, value >= 0);
	IS(lkl_sys_inotify_init1(1), -LKL_EINVAL);
	watch = lkl_sys_inotify_add_watch(fd, ".", LKL_IN_CREATE | LKL_IN_DELETE);
	IS(watch, 1);
	IS(lkl_sys_inotify_add_watch(fd, "none", LKL_IN_CREATE), -LKL_ENOENT);
	IS(lkl_sys_read(fd, buffer, sizeof(buffer)), -LKL_EAGAIN);
	lkl_sys_close(file_with("seen", ""));
	IS(lkl_sys_read(fd, buffer, sizeof(buffer)), 32);
	IS(event->mask, LKL_IN_CREATE);
	IS(strcmp(event->name, "seen"), 0);
	IS(lkl_sys_unlink("seen"), 0);
	IS(lkl_sys_read(fd, buffer, sizeof(buffer)), 32);
	IS(event->mask, LKL_IN_DELETE);
	IS(lkl_sys_inotify_rm_watch(fd, watch), 0);
	IS(lkl_sys_inotify_rm_watch(fd, watch), -LKL_EINVAL);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_close(old), 0);
}

static void fanotify(void)
{
	char buffer[512] __attribute__((aligned(8)));
	struct lkl_fanotify_event_metadata *event = (void *)buffer;
	int fd = lkl_sys_fanotify_init(LKL_FAN_CLASS_NOTIF | LKL_FAN_NONBLOCK, LKL_O_RDONLY), file;

	SAYS(fd, value >= 0);
	IS(lkl_sys_fanotify_init(0x40000000, 0), -LKL_EINVAL);
	file = file_with("file", "data");
	IS(lkl_sys_fanotify_mark(fd, LKL_FAN_MARK_ADD, LKL_FAN_MODIFY, LKL_AT_FDCWD, "file"), 0);
	IS(lkl_sys_fanotify_mark(fd, LKL_FAN_MARK_ADD, LKL_FAN_MODIFY, LKL_AT_FDCWD, "none"), -LKL_ENOENT);
	IS(lkl_sys_fanotify_mark(fd, LKL_FAN_MARK_ADD, 1ULL << 40, LKL_AT_FDCWD, "file"), -LKL_EINVAL);
	IS(lkl_sys_read(fd, buffer, sizeof(buffer)), -LKL_EAGAIN);
	IS(lkl_sys_write(file, TEXT("more")), 4);
	IS(lkl_sys_read(fd, buffer, sizeof(buffer)), sizeof(*event));
	IS(event->mask, LKL_FAN_MODIFY);
	SAYS(event->fd, value >= 0);
	IS(lkl_sys_close(event->fd), 0);
	IS(lkl_sys_close(file), 0);
	IS(lkl_sys_unlink("file"), 0);
	IS(lkl_sys_close(fd), 0);
}

void watches(void)
{
	inotify();
	fanotify();
}
