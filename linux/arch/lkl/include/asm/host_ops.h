/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The whole contract between Linux and its host.
 *
 * Linux calls the host through one table of functions, struct lkl_host_ops. The host calls Linux through the linux_*
 * functions at the end of this file; they are the only symbols that the linked kernel exports. Every call in either
 * direction uses the System V x86-64 calling convention, on every host (`extern "sysv64"` in Rust), and integers as
 * LP64 has them.
 *
 * This header needs nothing else: it is read by the kernel's C, by plain C programs, and mirrored by hand in
 * linux/lkl/src/sys.rs, where tests compare each size and offset with what a C compiler says.
 *
 * Vocabulary:
 *   the CPU     Linux has one virtual processor. Whoever holds it runs Linux code; everybody else waits.
 *   entry task  a Linux task that has no thread of its own. A host thread borrows it for one system call at a
 *               time, and the call runs on that host thread's stack.
 *   pool        the one block of memory that Linux manages. A Linux physical address is an offset into it.
 */
#ifndef _ASM_LKL_HOST_OPS_H
#define _ASM_LKL_HOST_OPS_H

#define LKL_HOST_OPS_VERSION	4
#define LKL_PAGE_SIZE		4096UL

#ifdef __cplusplus
extern "C" {
#endif

/* A piece of memory that a disk read fills. */
struct lkl_segment {
	void *addr;
	unsigned long len;	/* bytes, a multiple of 512 */
};

/*
 * One read request to a disk. There is no request of another kind: writes cannot be expressed.
 *
 * The request, with its segments, belongs to the host from the call of disk_read() until the host calls
 * linux_disk_read_done(). The host may keep its own state in host_private meanwhile.
 */
struct lkl_disk_read {
	unsigned long offset;		/* bytes from the start of the disk, a multiple of the block size */
	unsigned long len;		/* bytes, the sum of the segments' lengths */
	unsigned long segment_count;
	const struct lkl_segment *segments;
	void *host_private[4];		/* the host's own, zero at first */
	void *linux_private[2];		/* Linux's own: not for the host */
};

struct lkl_task;			/* an entry task */

/*
 * Of what Linux has died, and at whose work. `task` is the entry task in whose call it was, or which waited longest. When a thread of Linux's own or an
 * interrupt died, it is NULL, and `disk` is the best guess: the disk that the thread sent its last request to, or else the one
 * that was answered last. Both are there to be compared with what the host has: they may be gone.
 */
struct lkl_death {
	const char *why;
	unsigned long why_len;
	const struct lkl_task *task;
	const void *disk;		/* first argument but one of disk_read; NULL if there was none */
};

/*
 * What the host does for Linux. The first argument of each is the member `host`, unchanged.
 *
 * "Any context" means that the host's own interrupt-like contexts (an NT DPC, a timer thread) call into Linux from
 * there and Linux may call this operation from such a call; it must then neither block nor allocate.
 */
struct lkl_host_ops {
	unsigned int size;		/* sizeof(struct lkl_host_ops) */
	unsigned int version;		/* LKL_HOST_OPS_VERSION */
	void *host;

	/* Console output: len bytes, no terminator, may hold several lines or a part of one. Any context. */
	void (*print)(void *host, const char *text, unsigned long len);

	/*
	 * Linux has died: it panicked, hit a bug, or the watchdog found it in a loop, or a caller that waits in it for
	 * what does not come. Called once, before Linux sends its threads away. It returns, and must not call into Linux. Every system call in progress or to come returns -ENODEV
	 * (-19) afterwards, but for the one that is in the loop. Any context.
	 */
	void (*panicked)(void *host, const struct lkl_death *death);

	/*
	 * After panicked(): the thread that was in the loop still is, 2 s later, and cannot be stopped. If it is one of
	 * the host's, its call may never return. linux_halt() then says -EDEADLK, and what it has was not freed. Called once
	 * at most, by a thread of Linux's; must not call into Linux.
	 */
	void (*stuck)(void *host);

	/* Counting semaphores with no upper limit. sem_alloc returns NULL for lack of memory. sem_up: any context. */
	void *(*sem_alloc)(void *host, unsigned int count);
	void (*sem_free)(void *host, void *sem);
	void (*sem_up)(void *host, void *sem);
	void (*sem_down)(void *host, void *sem);

	/*
	 * Threads. thread_create returns NULL when there is none to be had. The entry function does not return: it
	 * ends with thread_exit. Each thread is joined exactly once; join waits for its end and frees the handle.
	 * A thread needs a stack of 64 KiB, or what the host's documentation measures.
	 */
	void *(*thread_create)(void *host, void (*entry)(void *arg), void *arg);
	void (*thread_exit)(void *host) __attribute__((noreturn));
	void (*thread_join)(void *host, void *thread);

	/*
	 * For the watchdog. thread_self names the calling thread, by a number that is not 0; it is called at each entry
	 * into Linux. thread_ran_ns says how long the thread of that name has run on a processor, in nanoseconds, whatever
	 * it ran; neither sleep, nor a debugger's stop, nor waiting for a processor counts. It may be as coarse as a clock
	 * tick; ~0 when it cannot be told. It is called by threads that thread_create made. thread_urgent has the calling
	 * thread run before threads that are in a loop.
	 */
	unsigned long (*thread_self)(void *host);
	unsigned long (*thread_ran_ns)(void *host, unsigned long thread);
	void (*thread_urgent)(void *host);

	/* The pool: page-aligned, zero-filled. NULL for lack of memory. Called once, and once at the end. */
	void *(*pool_alloc)(void *host, unsigned long size);
	void (*pool_free)(void *host, void *pool, unsigned long size);

	/*
	 * Maps `count` pages of the pool, given by their page numbers in it, side by side, readable and writable, in
	 * addition to where they are already. NULL when it cannot be done.
	 */
	void *(*pages_map)(void *host, const unsigned long *page_numbers, unsigned long count);
	void (*pages_unmap)(void *host, void *addr, unsigned long count);

	/* Nanoseconds: of a clock that never goes back and does not stop; and since 1970 in UTC. Any context. */
	unsigned long (*monotonic_ns)(void *host);
	unsigned long (*realtime_ns)(void *host);

	/*
	 * One-shot timers. fire(arg) is called once, `delta_ns` after timer_arm, in any context; it is short. Arming
	 * an armed timer moves it. timer_free returns after the last fire has returned.
	 */
	void *(*timer_alloc)(void *host, void (*fire)(void *arg), void *arg);
	void (*timer_arm)(void *host, void *timer, unsigned long delta_ns);
	void (*timer_free)(void *host, void *timer);

	/*
	 * Starts a read on a disk that the host announced with linux_disk_add. It does not wait for the device: it may
	 * finish the request before it returns (linux_disk_read_done from inside is allowed) or at any later time from
	 * any thread or context, in any order. Many requests are under way at once.
	 */
	void (*disk_read)(void *host, void *disk, struct lkl_disk_read *request);

	/*
	 * Memory besides the pool for what recovery writes to a disk: `size` bytes, zeroed, aligned to 8, which stay until linux_disk_remove() or
	 * linux_halt() has returned. Linux copies to and from it, and gives it to no device. NULL when the host gives no more.
	 * Does not wait.
	 */
	void *(*overlay_alloc)(void *host, void *disk, unsigned long size);

	/* A hint that Linux is spinning: lets other host threads run. */
	void (*yield)(void *host);
};

/*
 * What Linux writes of the image that it is a part of. Linux has changed it once it has booted, or tried to. A host that copied
 * the data before, and puts them back and fills the rest with zeros after linux_halt() has returned 0, may boot Linux again.
 */
struct lkl_image {
	void *data;			/* page-aligned, as the next */
	unsigned long data_size;	/* bytes */
	void *zeros;			/* all zero before the boot */
	unsigned long zeros_size;	/* bytes */
};

struct lkl_boot_params {
	unsigned long pool_size;	/* bytes; rounded down to whole pages */
	const char *command_line;	/* Linux's own, NUL-terminated; may be NULL */
};

struct lkl_disk_params {
	void *disk;			/* first argument but one of disk_read */
	unsigned long size;		/* bytes */
	unsigned int block_size;	/* logical block size in bytes: 512..4096, a power of two */
	unsigned int queue_depth;	/* how many reads may be under way at once; 0 for the default */
	unsigned long overlay_limit;	/* bytes of RAM that recovery may write; 0: none, ~0: the default of 64 MiB */
	unsigned long padding;		/* bytes of zeros behind the last whole block; the sum is cut to whole blocks */
};

/* A disk as Linux knows it. */
struct lkl_disk_info {
	unsigned int major;
	unsigned int minor;
	char name[32];			/* as in /sys/block and /dev, NUL-terminated */
};

struct lkl_disk_stats {
	unsigned long reads;		/* requests sent to the host */
	unsigned long read_bytes;
	unsigned long overlay_bytes;	/* RAM held by blocks that Linux wrote */
	unsigned long writes_refused;	/* write requests that failed because the overlay was full or absent */
};

/*
 * What Linux does for its host. Errors are Linux's own, negative. Unless it says otherwise, a function may block and
 * may be called by any thread of the host that is not inside Linux already.
 */

/* What is to be copied before the boot. Any context, before linux_boot() and after linux_halt() too. */
void linux_image(struct lkl_image *image);

/*
 * Boots Linux. On success *first is an entry task. Once, and again each time that the image was made new (struct lkl_image):
 * -EBUSY (-16) otherwise.
 */
long linux_boot(const struct lkl_host_ops *ops, const struct lkl_boot_params *params, struct lkl_task **first);

/*
 * Stops Linux: all of its threads end and are joined, the pool is freed. No thread of the host may be inside Linux or
 * enter it any more, and all entry tasks are void afterwards. Works after a panic too.
 *
 * Returns 0; or -EDEADLK (-35) when a thread is in a loop inside Linux and cannot be stopped. Then nothing was freed: that
 * thread uses the pool, the table and the image, for ever perhaps. The host keeps them. It may call again, to see whether
 * the thread has left. A thread of the host's that is in the loop is the one that may be inside Linux meanwhile.
 */
long linux_halt(void);

/* One more entry task, cloned from `parent` (which is used for the call); files, directory and mounts are shared. */
long linux_task_new(struct lkl_task *parent, struct lkl_task **child);
/* Ends an entry task. `parent` is another one, used for the call. */
void linux_task_free(struct lkl_task *parent, struct lkl_task *task);

/* A system call, with Linux's own x86-64 number and arguments. One thread at a time uses a task. */
long linux_syscall(struct lkl_task *task, long number, const long args[6]);

/* Announces a disk; it becomes a block device with the name and numbers that *info receives, and a node in /dev. */
long linux_disk_add(struct lkl_task *task, const struct lkl_disk_params *params, struct lkl_disk_info *info);
/*
 * Takes a disk away, mounted or not: its requests fail from now on. Returns when Linux has let go of the requests
 * under way, so the host must finish them.
 */
long linux_disk_remove(struct lkl_task *task, unsigned int major, unsigned int minor);
/* Fails all requests of a disk from now on (surprise removal); does not wait. Any context. */
void linux_disk_gone(unsigned int major, unsigned int minor);
long linux_disk_stats(struct lkl_task *task, unsigned int major, unsigned int minor, struct lkl_disk_stats *stats);

/* Ends a request given to disk_read. error is 0 or a negative Linux error. Any context. */
void linux_disk_read_done(struct lkl_disk_read *request, long error);

/*
 * The host's fault handler found a fault (a bad access, an illegal instruction) in a thread that was running Linux
 * code: Linux panics as if it had noticed by itself. Does not return if the thread was inside Linux.
 */
void linux_fault(const char *why);

/*
 * As linux_fault(), for a host that has unwound the frames of Linux's first and calls this from below them: on the stack of
 * whoever called Linux. `at` is where the fault was, counted from the start of Linux's code. Returns to a thread that had
 * come in with a call, which goes on as after -ENODEV; a thread of Linux's ends. May fault in its turn, and may then be
 * called once more.
 */
void linux_fault_caught(const char *why, unsigned long at);

/* 1 once Linux has died (or was halted). Any context. */
int linux_is_dead(void);

/*
 * Runs a self-test of the port; the image must be built with CONFIG_LKL_SELFTEST, else -ENOSYS (-38).
 *
 * LKL_SELFTEST_ALL: cpu, irq, threads, timer; returns the number of failed tests, and each prints a TAP line. The others
 * try death and the watchdog: what loops does so until Linux is dead, and for so many milliseconds beyond that (~0: for ever), as
 * LKL_SELFTEST_FOR(what, milliseconds) says; LKL_SELFTEST_LOCK takes the number of a volume instead.
 */
#define LKL_SELFTEST_ALL	0UL
#define LKL_SELFTEST_DEAF	1UL	/* a loop with interrupts off */
#define LKL_SELFTEST_RESTLESS	2UL	/* a loop that takes interrupts and lets other tasks run */
#define LKL_SELFTEST_THREAD	3UL	/* a thread of Linux's is in the first loop; the call returns */
#define LKL_SELFTEST_BUSY	4UL	/* much work that leaves the CPU now and then: for so many milliseconds, not to be killed */
#define LKL_SELFTEST_PANIC	5UL	/* dies at once */
#define LKL_SELFTEST_LIMIT	6UL	/* sets the watchdog's limit, in milliseconds */
#define LKL_SELFTEST_FAULT	7UL	/* a thread of Linux's reads by a null pointer; the call returns */
#define LKL_SELFTEST_OVERFLOW	8UL	/* calls itself until the stack is used up */
#define LKL_SELFTEST_WAIT	9UL	/* sets the limit of waits for what does not come, in milliseconds */
#define LKL_SELFTEST_LOCK	10UL	/* locks all directories in memory of a volume for ever: of the first one mounted (0), the next */
#define LKL_SELFTEST_MEMORY	11UL	/* 0: uses up all memory, and dies; else a thread has all of it for so long, the call returns */
#define LKL_SELFTEST_BEYOND	12UL	/* writes so many bytes before and after the pool, and pages mapped side by side */
#define LKL_SELFTEST_FOR(what, milliseconds)	((what) | (unsigned long)(milliseconds) << 8)
long linux_selftest(struct lkl_task *task, unsigned long what);

#ifdef __cplusplus
}
#endif

#endif /* _ASM_LKL_HOST_OPS_H */
