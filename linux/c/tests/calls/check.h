/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The checks of the system calls.
 *
 * The same files are compiled twice: with the library, and, with NATIVE defined, for this machine's own Linux (native.c), which so
 * judges what they expect. HERE(library, machine) is where the two differ, and why stands beside it and in the library's README.
 *
 * Each group is a function that is called in an empty folder of its own on an ext4 and leaves nothing behind in it.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <lkl.h>

void check(int right, const char *what, long value, const char *file, int line);

#define SAYS(call, condition)							\
	do {									\
		long value = (long)(call);					\
										\
		check(condition, #call " " #condition, value, __FILE__, __LINE__); \
	} while (0)
#define IS(call, expected)							\
	do {									\
		long value = (long)(call);					\
										\
		check(value == (long)(expected), #call " == " #expected, value, __FILE__, __LINE__); \
	} while (0)

#ifdef NATIVE
#define HERE(library, machine) (machine)
#else
#define HERE(library, machine) (library)
#endif

/* A string as a file's content. */
#define TEXT(text) (char *)(text), sizeof(text) - 1

/* A file with this content; what open() says of a new descriptor of it. */
int file_with(const char *path, const char *text);

/* Runs a function in a thread of its own, beside the caller. */
struct beside {
	pthread_t thread;
	void (*run)(void *);
	void *arg;
};
void begin(struct beside *beside, void (*run)(void *), void *arg);
void end(struct beside *beside);

/* In a thread beside the end of Linux. */
void waits_for_ever(void *arg);

void attributes(void);
void clocks(void);
void descriptors(void);
void events(void);
void files(void);
void folders(void);
void identity(void);
void machine(void);
void mounts(void);
void names(void);
void queues(void);
void schedule(void);
void signals(void);
void sockets(void);
void watches(void);

#endif
