/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The contract's part for fuzzers, of kernels with CONFIG_LKL_FUZZ.
 *
 * Their compiler counts how often each edge of Linux's control flow was taken since the host last set the counter to
 * zero, in a byte that overflows. The host may read and write the counters at any time.
 *
 * Such a kernel may have KASAN. The host of one maps the shadow, KASAN_SHADOW_OFFSET and an eighth of all addresses, as
 * zeros before it calls any function of Linux's.
 */
#ifndef _ASM_LKL_HOST_FUZZ_H
#define _ASM_LKL_HOST_FUZZ_H

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct lkl_edge - an edge
 * @pc: the address of the code that is reached by it
 * @flags: 1: it is the entry of a function
 */
struct lkl_edge {
	const void *pc;
	unsigned long flags;
};

/**
 * struct lkl_coverage - all edges, and how often each was taken
 * @counters: one for each edge
 * @edges: in the same order
 * @count: how many there are
 */
struct lkl_coverage {
	unsigned char *counters;
	const struct lkl_edge *edges;
	unsigned long count;
};

/**
 * struct lkl_call - a system call of a strand
 * @number: as for linux_syscall()
 * @args: as there
 * @from: for each argument, 0, or 1 and the index of an earlier call of the strand whose result it is
 * @result: what came of it
 */
struct lkl_call {
	long number;
	long args[6];
	unsigned char from[6];
	long result;
};

/**
 * struct lkl_strand - what one task does beside others
 * @calls: one after the other
 * @count: how many
 */
struct lkl_strand {
	struct lkl_call *calls;
	unsigned long count;
};

/**
 * struct lkl_switch - a task was interrupted
 * @point: at which point of the run
 * @from: the task's number
 * @to: that of the task that runs instead
 * @place: where, from the beginning of Linux's code on
 */
struct lkl_switch {
	unsigned long point;
	unsigned int from;
	unsigned int to;
	unsigned long place;
};

/**
 * struct lkl_schedule - strands side by side, as a seed has them
 * @seed: decides where tasks are interrupted, and who runs then
 * @one_in: a task is interrupted at one point in so many
 * @strands: what is to be done
 * @strand_count: how many there are
 * @trace: where tasks were interrupted: the first ones
 * @room: for how many
 * @points: how many points there were
 * @switches: how many interruptions there were
 * @digest: of all interruptions: equal digests are equal traces
 */
struct lkl_schedule {
	unsigned long seed;
	unsigned long one_in;
	struct lkl_strand *strands;
	unsigned long strand_count;
	struct lkl_switch *trace;
	unsigned long room;
	unsigned long points;
	unsigned long switches;
	unsigned long digest;
};

struct lkl_task;

/*
 * Runs strands, each as a task of its own that shares files and folders with the caller's, until all have ended. Needs
 * CONFIG_LKL_SCHEDULES, and a host in virtual time if the same seed is to be the same run. PASSIVE_LEVEL; blocks.
 */
long linux_schedule(struct lkl_task *task, struct lkl_schedule *schedule);

/* Says where they are. Any context, also before Linux is booted. */
void linux_coverage(struct lkl_coverage *coverage);

#ifdef __cplusplus
}
#endif

#endif
