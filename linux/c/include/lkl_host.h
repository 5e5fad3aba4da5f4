/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The host below Linux, as programs see it: what they may use themselves, and what they may replace.
 */
#ifndef LKL_HOST_H
#define LKL_HOST_H

#include <lkl.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lkl_sem;
struct lkl_mutex;

/* Names a thread of the host's. */
typedef uintptr_t lkl_thread_t;

/*
 * A program may replace print and panic before lkl_start_kernel(). The others are there to be called; Linux itself has a
 * shorter way to its host.
 */
struct lkl_host_operations {
	/* Receives what Linux prints: bytes, not always whole lines, from any thread. NULL: nothing is printed. */
	void (*print)(const char *text, int len);
	/* Linux has died, or lkl_bug() was called. NULL or a return from it: a call of Linux's answers -LKL_ENODEV from now on. */
	void (*panic)(void);

	/* Counting semaphores. */
	struct lkl_sem *(*sem_alloc)(int count);
	void (*sem_free)(struct lkl_sem *sem);
	void (*sem_up)(struct lkl_sem *sem);
	void (*sem_down)(struct lkl_sem *sem);

	/* Mutexes; one that is recursive may be locked again by the thread that has it. */
	struct lkl_mutex *(*mutex_alloc)(int recursive);
	void (*mutex_free)(struct lkl_mutex *mutex);
	void (*mutex_lock)(struct lkl_mutex *mutex);
	void (*mutex_unlock)(struct lkl_mutex *mutex);

	/* Threads of the host's. 0 when there is none to be had; join is called once for each and returns 0. */
	lkl_thread_t (*thread_create)(void (*f)(void *), void *arg);
	int (*thread_join)(lkl_thread_t thread);
	lkl_thread_t (*thread_self)(void);
	long (*gettid)(void);

	/* Nanoseconds of a clock that never goes back. */
	unsigned long long (*time)(void);
};

/* This host's. */
#ifdef _WIN32
__declspec(dllimport)
#endif
extern struct lkl_host_operations lkl_host_ops;

#ifdef __cplusplus
}
#endif

#endif
