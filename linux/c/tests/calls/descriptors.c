// SPDX-License-Identifier: GPL-2.0
/* Descriptors: copies, flags, locks, and files in memory. */
#include "check.h"
#include <lkl/linux/close_range.h>
#include <lkl/linux/memfd.h>
#include <lkl/asm/ioctls.h>

static void copies(void)
{
	int fd = file_with("file", "data"), other;

	other = lkl_sys_dup(fd);
	SAYS(other, value > fd);
	IS(lkl_sys_dup2(fd, 40), 40);
	IS(lkl_sys_dup2(fd, fd), fd);
	IS(lkl_sys_dup3(fd, 41, LKL_O_CLOEXEC), 41);
	IS(lkl_sys_dup3(fd, fd, 0), -LKL_EINVAL);
	IS(lkl_sys_dup(-1), -LKL_EBADF);
	IS(lkl_sys_fcntl(41, LKL_F_GETFD, 0), LKL_FD_CLOEXEC);
	IS(lkl_sys_fcntl(40, LKL_F_GETFD, 0), 0);
	IS(lkl_sys_fcntl(fd, LKL_F_DUPFD, 50), 50);
	/* One position for all. */
	IS(lkl_sys_lseek(other, 2, LKL_SEEK_SET), 2);
	IS(lkl_sys_lseek(50, 0, LKL_SEEK_CUR), 2);
	IS(lkl_sys_close_range(40, 50, 0), 0);
	IS(lkl_sys_close_range(50, 40, 0), -LKL_EINVAL);
	IS(lkl_sys_fcntl(41, LKL_F_GETFD, 0), -LKL_EBADF);
	IS(lkl_sys_close(other), 0);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_unlink("file"), 0);
}

static void flags_and_locks(void)
{
	struct lkl_flock lock = { .l_type = LKL_F_WRLCK, .l_whence = LKL_SEEK_SET };
	int fd = file_with("file", "data"), second, waiting = 0, pipe[2];
	unsigned int bits = 0;

	SAYS(lkl_sys_fcntl(fd, LKL_F_GETFL, 0), (value & LKL_O_ACCMODE) == LKL_O_RDWR);
	IS(lkl_sys_fcntl(fd, LKL_F_SETFL, LKL_O_APPEND), 0);
	SAYS(lkl_sys_fcntl(fd, LKL_F_GETFL, 0), value & LKL_O_APPEND);
	IS(lkl_sys_fcntl(fd, LKL_F_SETFL, LKL_O_DIRECT), HERE(-LKL_EINVAL, 0));
	IS(lkl_sys_fcntl(fd, 9999, 0), -LKL_EINVAL);
	second = lkl_sys_open("file", LKL_O_RDWR, 0);
	IS(lkl_sys_flock(fd, LKL_LOCK_EX), 0);
	IS(lkl_sys_flock(second, LKL_LOCK_EX | LKL_LOCK_NB), -LKL_EWOULDBLOCK);
	IS(lkl_sys_flock(fd, LKL_LOCK_UN), 0);
	IS(lkl_sys_flock(second, LKL_LOCK_EX | LKL_LOCK_NB), 0);
	IS(lkl_sys_fcntl(fd, LKL_F_OFD_SETLK, (long)&lock), 0);
	lock.l_pid = 0;
	IS(lkl_sys_fcntl(second, LKL_F_OFD_SETLK, (long)&lock), -LKL_EAGAIN);
	IS(lkl_sys_ioctl(fd, LKL_FS_IOC_GETFLAGS, (long)&bits), 0);
	SAYS(bits, value & LKL_FS_EXTENT_FL);
	IS(lkl_sys_ioctl(fd, LKL_TCGETS, (long)&bits), -LKL_ENOTTY);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_close(second), 0);
	IS(lkl_sys_unlink("file"), 0);
	IS(lkl_sys_pipe2(pipe, 0), 0);
	IS(lkl_sys_write(pipe[1], TEXT("abc")), 3);
	IS(lkl_sys_ioctl(pipe[0], LKL_FIONREAD, (long)&waiting), 0);
	IS(waiting, 3);
	IS(lkl_sys_close(pipe[0]), 0);
	IS(lkl_sys_close(pipe[1]), 0);
}

/* A file in memory wants Linux's shared memory, which wants an MMU. */
static void memory(void)
{
	char text[8] = "";
	int fd = lkl_sys_memfd_create("name", LKL_MFD_CLOEXEC | LKL_MFD_ALLOW_SEALING);

	SAYS(fd, HERE(value == -LKL_ENOSYS, value >= 0));
	if (fd < 0)
		return;
	IS(lkl_sys_write(fd, TEXT("memory")), 6);
	IS(lkl_sys_pread64(fd, text, 6, 0), 6);
	IS(strcmp(text, "memory"), 0);
	IS(lkl_sys_fcntl(fd, LKL_F_ADD_SEALS, LKL_F_SEAL_WRITE | LKL_F_SEAL_GROW | LKL_F_SEAL_SHRINK), 0);
	IS(lkl_sys_write(fd, TEXT("more")), -LKL_EPERM);
	IS(lkl_sys_ftruncate(fd, 0), -LKL_EPERM);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_memfd_create("name", 0x8000), -LKL_EINVAL);
}

void descriptors(void)
{
	copies();
	flags_and_locks();
	memory();
}
