// SPDX-License-Identifier: GPL-2.0
/*
 * Calls each function of the library and says what is not as lkl.h has it. The last line is "N checks, M failed".
 *
 *	everything IMAGE COPY
 *
 * Both are an ext4 with a file "hello" that holds "hello\n"; files are written to the second, "by_the_host" and "by_functions".
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <lkl.h>
#include <lkl_host.h>

static int checks, failures;

static void check(int right, const char *what, long value)
{
	checks++;
	if (right)
		return;
	failures++;
	printf("%s: %ld\n", what, value);
}

#define SAYS(call, condition)					\
	do {							\
		long value = (long)(call);			\
								\
		check(condition, #call " " #condition, value);	\
	} while (0)
#define IS(call, expected) SAYS(call, value == (expected))

static char printed[1 << 16];
static int printed_len;

static void print(const char *text, int len)
{
	if (printed_len + len < (int)sizeof(printed))
		memcpy(printed + printed_len, text, len);
	printed_len += len;
}

static int was_printed(const char *text)
{
	return strstr(printed, text) != NULL;
}

/* ---- a disk of our own: it reads the image by the host's calls, and counts ---- */

static int image_fd, requests;

static int capacity(struct lkl_disk disk, unsigned long long *bytes)
{
	(void)disk;
	*bytes = (unsigned long long)lseek(image_fd, 0, SEEK_END);
	return 0;
}

static int request(struct lkl_disk disk, struct lkl_blk_req *req)
{
	unsigned long long at = req->sector * 512;
	int i;

	(void)disk;
	requests++;
	if (req->type != LKL_DEV_BLK_TYPE_READ)
		return LKL_DEV_BLK_STATUS_UNSUP;
	for (i = 0; i < req->count; i++) {
		ssize_t len = pread(image_fd, req->buf[i].iov_base, req->buf[i].iov_len, (off_t)at);

		if (len != (ssize_t)req->buf[i].iov_len)
			return LKL_DEV_BLK_STATUS_IOERR;
		at += (unsigned long long)len;
	}
	return LKL_DEV_BLK_STATUS_OK;
}

static struct lkl_dev_blk_ops own = { capacity, request };

/* ---- writing, to a copy of the image ---- */

static int written, flushed;

static int writing(struct lkl_disk disk, struct lkl_blk_req *req)
{
	unsigned long long at = req->sector * 512;
	int i;

	switch (req->type) {
	case LKL_DEV_BLK_TYPE_READ:
		return request(disk, req);
	case LKL_DEV_BLK_TYPE_FLUSH:
	case LKL_DEV_BLK_TYPE_FLUSH_OUT:
		flushed++;
		return fdatasync(image_fd) ? LKL_DEV_BLK_STATUS_IOERR : LKL_DEV_BLK_STATUS_OK;
	case LKL_DEV_BLK_TYPE_WRITE:
		break;
	default:
		return LKL_DEV_BLK_STATUS_UNSUP;
	}
	written++;
	for (i = 0; i < req->count; i++) {
		ssize_t len = pwrite(image_fd, req->buf[i].iov_base, req->buf[i].iov_len, (off_t)at);

		if (len != (ssize_t)req->buf[i].iov_len)
			return LKL_DEV_BLK_STATUS_IOERR;
		at += (unsigned long long)len;
	}
	return LKL_DEV_BLK_STATUS_OK;
}

static struct lkl_dev_blk_ops own_writing = { capacity, writing };

static void write_file(unsigned int id, const char *name)
{
	char place[32], path[64], text[16] = "";
	struct lkl_iovec vec[2] = { { "wri", 3 }, { "tten\n", 5 } };
	long fd;

	IS(lkl_mount_dev(id, 0, "ext4", 0, NULL, place, sizeof(place)), 0);
	snprintf(path, sizeof(path), "%s/%s", place, name);
	fd = lkl_sys_creat(path, 0644);
	SAYS(fd, value >= 0);
	IS(lkl_sys_writev(fd, vec, 2), 8);
	IS(lkl_sys_fsync(fd), 0);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_umount_dev(id, 0, 0, 1000), 0);
	/* From the disk again. */
	IS(lkl_mount_dev(id, 0, "ext4", LKL_MS_RDONLY, NULL, place, sizeof(place)), 0);
	fd = lkl_sys_open(path, LKL_O_RDONLY, 0);
	IS(lkl_sys_read(fd, text, sizeof(text)), 8);
	IS(strcmp(text, "written\n"), 0);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_umount_dev(id, 0, 0, 1000), 0);
}

static void write_both_ways(const char *copy)
{
	struct lkl_disk file = { 0 }, ours = { 0 }, second = { 0 };
	int reading = image_fd, id;

	file.fd = open(copy, O_RDWR);
	id = lkl_disk_add(&file);
	SAYS(id, value > 0);
	/* Who writes is alone. */
	second.fd = open(copy, O_RDWR);
	IS(lkl_disk_add(&second), -LKL_EBUSY);
	write_file(id, "by_the_host");
	IS(lkl_disk_remove(file), 0);
	close(file.fd);

	image_fd = second.fd;
	ours.ops = &own_writing;
	id = lkl_disk_add(&ours);
	write_file(id, "by_functions");
	SAYS(written, value > 0);
	SAYS(flushed, value > 0);
	IS(lkl_disk_remove(ours), 0);
	close(second.fd);
	image_fd = reading;
}

/* ---- threads of the host's ---- */

static struct lkl_sem *sem;
static struct lkl_mutex *mutex;
static long pid, tid;
static lkl_thread_t self;

static void thread(void *arg)
{
	lkl_host_ops.mutex_lock(mutex);
	self = lkl_host_ops.thread_self();
	pid = lkl_sys_getpid();
	tid = lkl_sys_gettid();
	/* What this changes is this thread's alone. */
	lkl_sys_setfsuid(*(unsigned int *)arg);
	lkl_host_ops.mutex_unlock(mutex);
	lkl_host_ops.sem_up(sem);
}

static void threads(void)
{
	unsigned int uid = 1000;
	lkl_thread_t made;
	unsigned long long before = lkl_host_ops.time();

	sem = lkl_host_ops.sem_alloc(0);
	mutex = lkl_host_ops.mutex_alloc(1);
	lkl_host_ops.mutex_lock(mutex);
	lkl_host_ops.mutex_lock(mutex);
	lkl_host_ops.mutex_unlock(mutex);
	lkl_host_ops.mutex_unlock(mutex);
	made = lkl_host_ops.thread_create(thread, &uid);
	SAYS(made, value != 0);
	lkl_host_ops.sem_down(sem);
	IS(lkl_host_ops.thread_join(made), 0);
	SAYS(lkl_host_ops.thread_join(made), value != 0);
	IS(self == made, 1);
	IS(pid, 1);
	IS(lkl_sys_getpid(), 1);
	SAYS(tid != lkl_sys_gettid(), value == 1);
	IS(lkl_sys_setfsuid(-1), 0);
	SAYS(lkl_host_ops.gettid(), value > 0);
	SAYS(lkl_host_ops.time() > before, value == 1);
	lkl_host_ops.mutex_free(mutex);
	lkl_host_ops.sem_free(sem);
}

static void files(const char *folder)
{
	char path[64], text[16] = "";
	struct lkl_stat stat;
	struct lkl_statfs statfs;
	long params[6] = { 0 };
	long fd;

	snprintf(path, sizeof(path), "%s/hello", folder);
	fd = lkl_sys_open(path, LKL_O_RDONLY, 0);
	SAYS(fd, value >= 0);
	IS(lkl_sys_read(fd, text, sizeof(text)), 6);
	IS(strcmp(text, "hello\n"), 0);
	IS(lkl_sys_fstat(fd, &stat), 0);
	IS(stat.st_size, 6);
	IS(LKL_S_ISREG(stat.st_mode), 1);
	IS(lkl_sys_lseek(fd, 0, LKL_SEEK_SET), 0);
	params[0] = fd;
	params[1] = (long)text;
	params[2] = 2;
	IS(lkl_syscall(__lkl__NR_read, params), 2);
	IS(lkl_sys_write(fd, text, 1), -LKL_EBADF);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_stat(path, &stat), 0);
	IS(lkl_sys_statfs(folder, &statfs), 0);
	IS(statfs.f_type, 0xef53);
	snprintf(path, sizeof(path), "%s/none", folder);
	IS(lkl_sys_open(path, LKL_O_RDONLY, 0), -LKL_ENOENT);
	IS(lkl_syscall(100000, params), -LKL_ENOSYS);
	IS(lkl_sys_open(NULL, LKL_O_RDONLY, 0), -LKL_EFAULT);
	IS(lkl_sys_mkdir((char *)16, 0755), -LKL_EFAULT);
}

static void folders(void)
{
	struct lkl_linux_dirent64 *entry;
	struct lkl_dir *dir;
	int err = 0, seen = 0, again = 0;

	IS(lkl_opendir("/none", &err) == NULL, 1);
	IS(err, -LKL_ENOENT);
	dir = lkl_opendir("/proc", &err);
	while ((entry = lkl_readdir(dir)))
		seen += !strcmp(entry->d_name, "version");
	IS(lkl_errdir(dir), 0);
	lkl_rewinddir(dir);
	while ((entry = lkl_readdir(dir)))
		again += !strcmp(entry->d_name, "version");
	IS(seen, 1);
	IS(again, 1);
	SAYS(lkl_dirfd(dir), value >= 0);
	IS(lkl_closedir(dir), 0);
	dir = lkl_fdopendir(lkl_sys_open("/proc", LKL_O_RDONLY | LKL_O_DIRECTORY, 0), &err);
	SAYS(dir != NULL && lkl_readdir(dir) != NULL, value == 1);
	IS(lkl_closedir(dir), 0);
	IS(lkl_fdopendir(-1, &err) == NULL, 1);
	IS(err, -LKL_EBADF);
}

static void settings(void)
{
	char text[16] = "";
	long fd;

	IS(lkl_sysctl("fs.pipe-max-size", "65536"), 0);
	lkl_sysctl_parse_write("kernel.panic=7; fs.no_such=1");
	IS(was_printed("fs.no_such"), 1);
	fd = lkl_sys_open("/proc/sys/kernel/panic", LKL_O_RDONLY, 0);
	IS(lkl_sys_read(fd, text, sizeof(text)), 2);
	IS(strcmp(text, "7\n"), 0);
	lkl_sys_close(fd);
	IS(lkl_sysctl("no.such", "1"), -LKL_ENOENT);
	IS(lkl_set_fd_limit(100), 0);
}

/* ---- one Linux after another, and a thread that calls each of them ---- */

static struct lkl_sem *its_turn, *its_end;
static long its_answer;

static void caller(void *rounds)
{
	long round;

	for (round = 0; round < (long)rounds; round++) {
		lkl_host_ops.sem_down(its_turn);
		its_answer = lkl_sys_getppid();
		lkl_host_ops.sem_up(its_end);
	}
}

static void lives(const char *image)
{
	enum { ROUNDS = 6 };
	struct lkl_disk disk = { 0 };
	lkl_thread_t thread;
	char place[32], text[16];
	int round, id;
	long fd;

	its_turn = lkl_host_ops.sem_alloc(0);
	its_end = lkl_host_ops.sem_alloc(0);
	thread = lkl_host_ops.thread_create(caller, (void *)(long)(2 * ROUNDS));
	for (round = 0; round < ROUNDS; round++) {
		disk.fd = open(image, O_RDONLY);
		id = lkl_disk_add(&disk);
		SAYS(id, value >= 0);
		IS(lkl_start_kernel("mem=64M"), 0);
		IS(lkl_start_kernel("mem=64M"), -LKL_EBUSY);
		IS(lkl_is_running(), 1);
		IS(lkl_mount_dev(id, 0, "ext4", LKL_MS_RDONLY, NULL, place, sizeof(place)), 0);
		IS(lkl_sys_chdir(place), 0);
		fd = lkl_sys_open("hello", LKL_O_RDONLY, 0);
		/* The first one after the three that process 1 has not: nothing of the last Linux's is open. */
		SAYS(fd, value >= 0 && value < 8);
		IS(lkl_sys_read(fd, text, sizeof(text)), 6);
		lkl_host_ops.sem_up(its_turn);
		lkl_host_ops.sem_down(its_end);
		IS(its_answer, 0);
		IS(lkl_sys_halt(), 0);
		lkl_host_ops.sem_up(its_turn);
		lkl_host_ops.sem_down(its_end);
		IS(its_answer, -LKL_ENODEV);
		IS(lkl_sys_getpid(), -LKL_ENODEV);
		if (round % 2) {
			lkl_cleanup();
			IS(lkl_init(&lkl_host_ops), 0);
		}
		close(disk.fd);
	}
	IS(lkl_host_ops.thread_join(thread), 0);
	lkl_host_ops.sem_free(its_turn);
	lkl_host_ops.sem_free(its_end);
}

int main(int argc, char **argv)
{
	struct lkl_disk early = { 0 }, late = { 0 }, broken = { 0 };
	uint32_t dev = 0, again = 0;
	char place[32], other[32];
	int first, second;

	if (argc != 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	image_fd = open(argv[1], O_RDONLY);

	IS(lkl_start_kernel("mem=64M"), -LKL_EINVAL);
	IS(lkl_init(NULL), -LKL_EINVAL);
	lkl_host_ops.print = print;
	IS(lkl_init(&lkl_host_ops), 0);
	IS(lkl_is_running(), 0);
	IS(lkl_sys_getpid(), -LKL_ENODEV);
	early.fd = image_fd;
	first = lkl_disk_add(&early);
	IS(first, 0);
	IS(lkl_start_kernel("mem=12X"), -LKL_EINVAL);
	IS(lkl_start_kernel("mem=%s loglevel=7", "64M"), 0);
	IS(lkl_start_kernel("mem=64M"), -LKL_EBUSY);
	IS(lkl_is_running(), 1);
	IS(was_printed("Linux version"), 1);
	IS(lkl_create_syscall_thread(), 0);
	IS(lkl_stop_syscall_thread(), 0);

	broken.fd = -1;
	IS(lkl_disk_add(&broken), -LKL_EBADF);
	IS(lkl_disk_add(NULL), -LKL_EINVAL);
	late.ops = &own;
	second = lkl_disk_add(&late);
	IS(second, 1);

	/* The boot has mounted it. */
	IS(lkl_mount_fs("proc"), 1);
	IS(lkl_mount_fs("sysfs"), 0);
	IS(lkl_mount_fs("sysfs"), 1);
	IS(lkl_mount_fs("nosuchfs"), -LKL_ENODEV);

	IS(lkl_mount_dev(first, 0, "ext4", LKL_MS_RDONLY, NULL, place, 4), -LKL_EINVAL);
	IS(lkl_mount_dev(first, 0, "xfs", LKL_MS_RDONLY, NULL, place, sizeof(place)), -LKL_EINVAL);
	IS(lkl_mount_dev(9, 0, "ext4", LKL_MS_RDONLY, NULL, place, sizeof(place)), -LKL_ENODEV);
	IS(lkl_mount_dev(first, 0, "ext4", LKL_MS_RDONLY, NULL, place, sizeof(place)), 0);
	IS(lkl_mount_dev(second, 0, "ext4", LKL_MS_RDONLY, "noload", other, sizeof(other)), 0);
	files(place);
	files(other);
	SAYS(requests, value > 0);
	IS(lkl_get_virtio_blkdev(first, 0, &dev), 0);
	SAYS(dev, value != 0);
	IS(lkl_get_virtio_blkdev(second, 0, &again), 0);
	SAYS(again != dev, value == 1);
	IS(lkl_get_virtio_blkdev(first, 9, &again), -LKL_ENOENT);
	IS(lkl_encode_dev_from_sysfs("/none", &again), -LKL_ENOENT);

	write_both_ways(argv[2]);
	threads();
	folders();
	settings();

	/* In use: a file is open below. */
	{
		char path[64];
		long fd;

		snprintf(path, sizeof(path), "%s/hello", other);
		fd = lkl_sys_open(path, LKL_O_RDONLY, 0);
		IS(lkl_umount_dev(second, 0, 0, 30), -LKL_EBUSY);
		lkl_sys_close(fd);
	}
	IS(lkl_umount_dev(second, 0, 0, 1000), 0);
	IS(lkl_umount_timeout(place, 0, 1000), 0);
	IS(lkl_umount_timeout(place, 0, 0), -LKL_EINVAL);
	IS(lkl_disk_remove(late), 0);
	IS(lkl_disk_remove(late), -LKL_ENODEV);
	IS(lkl_disk_remove(broken), -LKL_EINVAL);

	IS(strcmp(lkl_strerror(-LKL_ENOENT), "no such file or directory"), 0);
	IS(lkl_strerror(LKL_ENOENT) == lkl_strerror(-LKL_ENOENT), 1);
	IS(strcmp(lkl_strerror(0), "success"), 0);
	IS(strcmp(lkl_strerror(99999), "unknown error"), 0);
	lkl_perror("what was asked", -LKL_ENOENT);
	IS(was_printed("what was asked: no such file or directory\n"), 1);
	SAYS(lkl_printf("%d and %s\n", 17, "text"), value == 12);
	IS(was_printed("17 and text\n"), 1);

	IS(lkl_sys_halt(), 0);
	IS(lkl_is_running(), 0);
	IS(lkl_sys_getpid(), -LKL_ENODEV);
	lives(argv[1]);
	lkl_cleanup();
	lkl_host_ops.panic = NULL;
	lkl_init(&lkl_host_ops);
	lkl_bug("the end of %s\n", argv[0]);
	IS(was_printed("the end of "), 1);
	printf("%d checks, %d failed\n", checks, failures);
	return failures != 0;
}
