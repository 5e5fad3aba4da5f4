// SPDX-License-Identifier: GPL-2.0
/*
 * Calls each system call of the library, and says which.
 *
 *	calls IMAGE [NUMBER...]		with the library: IMAGE is an ext4 that is written to, NUMBERs those that Linux has and the
 *					library has not
 *	calls FOLDER			with this machine's own Linux: FOLDER is on an ext4
 *
 * It writes a line "called NUMBER succeeded" or "called NUMBER failed" for each number, a line for each check that failed, and last
 * "N checks, M failed".
 */
#include <unistd.h>
#include "check.h"
#ifdef NATIVE
#include "native.h"
#else
#include <fcntl.h>
#include <lkl_host.h>
#endif

#define MOST_FAILURES 100

static int checks, failures;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void check(int right, const char *what, long value, const char *file, int line)
{
	pthread_mutex_lock(&lock);
	checks++;
	if (!right) {
		failures++;
		printf("%s:%d: %s: %ld\n", file, line, what, value);
		fflush(stdout);
		/* In a loop that waits for what does not come. */
		if (failures == MOST_FAILURES)
			_exit(3);
	}
	pthread_mutex_unlock(&lock);
}

/* ---- what was called ---- */

#define NUMBERS 1024
static unsigned char called[NUMBERS], succeeded[NUMBERS];

/* The linker leads each call of lkl_syscall() here, and __real_lkl_syscall() to where it would have gone. */
long __real_lkl_syscall(long number, long *params);
long __wrap_lkl_syscall(long number, long *params);
long __wrap_lkl_syscall(long number, long *params)
{
	long ret = __real_lkl_syscall(number, params);

	if (number >= 0 && number < NUMBERS) {
		called[number] = 1;
		if (ret >= 0)
			succeeded[number] = 1;
	}
	return ret;
}

/* ---- for all groups ---- */

int file_with(const char *path, const char *text)
{
	int fd = lkl_sys_open(path, LKL_O_RDWR | LKL_O_CREAT | LKL_O_TRUNC, 0644);

	SAYS(fd, value >= 0);
	IS(lkl_sys_write(fd, text, strlen(text)), strlen(text));
	return fd;
}

static void *thread(void *arg)
{
	struct beside *beside = arg;

	beside->run(beside->arg);
	return NULL;
}

void begin(struct beside *beside, void (*run)(void *), void *arg)
{
	beside->run = run;
	beside->arg = arg;
	IS(pthread_create(&beside->thread, NULL, thread, beside), 0);
}

void end(struct beside *beside)
{
	pthread_join(beside->thread, NULL);
}

static const struct {
	const char *name;
	void (*run)(void);
} GROUPS[] = {
	{ "files", files },	    { "descriptors", descriptors }, { "folders", folders }, { "names", names },
	{ "attributes", attributes }, { "mounts", mounts },	    { "events", events },   { "watches", watches },
	{ "sockets", sockets },	    { "clocks", clocks },	    { "queues", queues },   { "schedule", schedule },
	{ "machine", machine },	    { "identity", identity },	    { "signals", signals },
};

static void run(void)
{
	struct lkl_stat stat;
	size_t i;

	for (i = 0; i < sizeof(GROUPS) / sizeof(GROUPS[0]); i++) {
		IS(lkl_sys_mkdir(GROUPS[i].name, 0755), 0);
		IS(lkl_sys_chdir(GROUPS[i].name), 0);
		GROUPS[i].run();
		IS(lkl_sys_chdir(".."), 0);
		/* Nothing is left in it, and no descriptor of it. */
		check(lkl_sys_rmdir(GROUPS[i].name) == 0, GROUPS[i].name, 0, "left over in", 0);
		fflush(stdout);
	}
	IS(lkl_sys_stat("lost+found", &stat), 0);
}

#ifdef NATIVE

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	native_begin(argv[1]);
	run();
	printf("%d checks, %d failed\n", checks, failures);
	return failures != 0;
}

#else

static volatile int deaths;

static void dies(void)
{
	deaths++;
}

/* A null pointer is an error; one to where nothing is ends Linux, and all calls. */
static void dying(void)
{
	struct __lkl__kernel_timespec soon = { 0, 5000000 };
	struct beside beside;
	int pipe[2];

	IS(lkl_sys_pipe(pipe), 0);
	begin(&beside, waits_for_ever, NULL);
	lkl_sys_nanosleep(&soon, NULL);
	IS(lkl_is_running(), 1);
	IS(lkl_sys_write(pipe[1], NULL, 3), -LKL_EFAULT);
	IS(lkl_is_running(), 1);
	IS(lkl_sys_write(pipe[1], (void *)0x8000, 3), -LKL_ENODEV);
	end(&beside);
	IS(deaths, 1);
	IS(lkl_is_running(), 0);
	IS(lkl_sys_getpid(), -LKL_ENODEV);
}

int main(int argc, char **argv)
{
	struct lkl_disk disk = { 0 };
	long params[6] = { 0 };
	char place[32];
	int i, id;

	if (argc < 2)
		return 2;
	lkl_host_ops.print = NULL;
	lkl_host_ops.panic = dies;
	IS(lkl_init(&lkl_host_ops), 0);
	IS(lkl_start_kernel("mem=64M loglevel=4"), 0);
	disk.fd = open(argv[1], O_RDWR);
	id = lkl_disk_add(&disk);
	SAYS(id, value >= 0);
	IS(lkl_mount_dev(id, 0, "ext4", 0, NULL, place, sizeof(place)), 0);
	IS(lkl_sys_chdir(place), 0);
	run();
	/* Without a process's memory there is no such call. */
	for (i = 2; i < argc; i++) {
		long value = lkl_syscall(atol(argv[i]), params);

		check(value == -LKL_ENOSYS, argv[i], value, "number", i);
	}
	IS(lkl_sys_chdir("/"), 0);
	IS(lkl_umount_dev(id, 0, 0, 1000), 0);
	dying();
	IS(lkl_sys_halt(), 0);
	lkl_cleanup();
	for (i = 0; i < NUMBERS; i++)
		if (called[i])
			printf("called %d %s\n", i, succeeded[i] ? "succeeded" : "failed");
	printf("%d checks, %d failed\n", checks, failures);
	return failures != 0;
}

#endif
