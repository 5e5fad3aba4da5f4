// SPDX-License-Identifier: GPL-2.0
/* Clocks, timers, and sleep. */
#include "check.h"
#include <time.h>
#include <lkl/linux/times.h>
#include <lkl/linux/timex.h>

static long long ns(const struct __lkl__kernel_timespec *time)
{
	return time->tv_sec * 1000000000ll + time->tv_nsec;
}

static void reading(void)
{
	struct __lkl__kernel_timespec now, later;
	struct __lkl__kernel_old_timeval coarse;
	struct lkl_timezone zone;
	struct lkl_tms used;
	__lkl__kernel_old_time_t seconds = 0;
	long said = lkl_sys_time(&seconds);

	/* The time of the host. */
	SAYS(said, value == seconds && labs(value - time(NULL)) <= 60);
	IS(lkl_sys_gettimeofday(&coarse, &zone), 0);
	SAYS(coarse.tv_sec - seconds, value >= 0 && value <= 60);
	IS(lkl_sys_clock_gettime(LKL_CLOCK_REALTIME, &now), 0);
	SAYS(now.tv_sec - seconds, value >= 0 && value <= 60);
	IS(lkl_sys_clock_gettime(LKL_CLOCK_MONOTONIC, &now), 0);
	IS(lkl_sys_clock_gettime(99, &now), -LKL_EINVAL);
	IS(lkl_sys_clock_getres(LKL_CLOCK_MONOTONIC, &later), 0);
	IS(ns(&later), 1);
	IS(lkl_sys_clock_getres(99, &later), -LKL_EINVAL);
	SAYS(lkl_sys_times(&used), value > 0);
	IS(lkl_sys_times(NULL) < 0, 0);
}

static void sleeping(void)
{
	struct __lkl__kernel_timespec length = { 0, 3000000 }, begun, ended, left;

	lkl_sys_clock_gettime(LKL_CLOCK_MONOTONIC, &begun);
	IS(lkl_sys_nanosleep(&length, &left), 0);
	IS(lkl_sys_clock_nanosleep(LKL_CLOCK_MONOTONIC, 0, &length, NULL), 0);
	lkl_sys_clock_gettime(LKL_CLOCK_MONOTONIC, &ended);
	SAYS(ns(&ended) - ns(&begun), value >= 6000000);
	/* A time that has passed. */
	IS(lkl_sys_clock_nanosleep(LKL_CLOCK_MONOTONIC, LKL_TIMER_ABSTIME, &begun, NULL), 0);
	length.tv_nsec = -1;
	IS(lkl_sys_nanosleep(&length, NULL), -LKL_EINVAL);
	IS(lkl_sys_clock_nanosleep(99, 0, &begun, NULL), -LKL_EINVAL);
}

static void setting(void)
{
	struct __lkl__kernel_timex tuned = { .modes = 0 };
	struct __lkl__kernel_timespec bad = { 0, -1 }, now;
	struct __lkl__kernel_old_timeval bad_too = { 0, -1 };

	SAYS(lkl_sys_adjtimex(&tuned), value >= 0);
	SAYS(tuned.tick, value >= 9000 && value <= 11000);
	SAYS(lkl_sys_clock_adjtime(LKL_CLOCK_REALTIME, &tuned), value >= 0);
	IS(lkl_sys_clock_adjtime(99, &tuned), -LKL_EINVAL);
	tuned.modes = LKL_ADJ_TICK;
	tuned.tick = 1;
	IS(lkl_sys_adjtimex(&tuned), -LKL_EINVAL);
	IS(lkl_sys_clock_settime(LKL_CLOCK_REALTIME, &bad), -LKL_EINVAL);
	IS(lkl_sys_clock_settime(LKL_CLOCK_MONOTONIC, &bad), -LKL_EINVAL);
	IS(lkl_sys_settimeofday(&bad_too, NULL), -LKL_EINVAL);
#ifndef NATIVE
	{
		/* Linux's clock is its own: the host's stays. */
		struct __lkl__kernel_timespec past = { 1000000, 0 };
		struct __lkl__kernel_old_timeval back = { 0, 0 };

		IS(lkl_sys_clock_settime(LKL_CLOCK_REALTIME, &past), 0);
		IS(lkl_sys_clock_gettime(LKL_CLOCK_REALTIME, &now), 0);
		SAYS(now.tv_sec, value >= 1000000 && value < 1001000);
		back.tv_sec = time(NULL);
		IS(lkl_sys_settimeofday(&back, NULL), 0);
		SAYS(lkl_sys_time(NULL) - time(NULL), labs(value) <= 60);
	}
#endif
	(void)now;
}

static void timers(void)
{
	struct __lkl__kernel_itimerspec often = { { 0, 1000000 }, { 0, 1000000 } }, left = { 0 }, old;
	struct __lkl__kernel_old_itimerval plain = { { 0, 0 }, { 1000, 0 } }, was;
	struct __lkl__kernel_timespec pause = { 0, 20000000 };
	lkl_sigevent_t nothing = { .sigev_notify = LKL_SIGEV_NONE };
	lkl_timer_t timer = -1;

	IS(lkl_sys_timer_create(LKL_CLOCK_MONOTONIC, &nothing, &timer), 0);
	IS(lkl_sys_timer_create(99, &nothing, &timer), -LKL_EINVAL);
	IS(lkl_sys_timer_settime(timer, 0, &often, &old), 0);
	IS(ns(&old.it_value), 0);
	IS(lkl_sys_nanosleep(&pause, NULL), 0);
	IS(lkl_sys_timer_gettime(timer, &left), 0);
	IS(left.it_interval.tv_nsec, 1000000);
	SAYS(ns(&left.it_value), value > 0 && value <= 1000000);
	SAYS(lkl_sys_timer_getoverrun(timer), value >= 0);
	IS(lkl_sys_timer_delete(timer), 0);
	IS(lkl_sys_timer_delete(timer), -LKL_EINVAL);
	IS(lkl_sys_timer_gettime(timer, &left), -LKL_EINVAL);
	IS(lkl_sys_timer_settime(timer, 0, &often, &old), -LKL_EINVAL);
	IS(lkl_sys_timer_getoverrun(timer), -LKL_EINVAL);

	IS(lkl_sys_setitimer(LKL_ITIMER_REAL, &plain, &was), 0);
	IS(lkl_sys_getitimer(LKL_ITIMER_REAL, &was), 0);
	SAYS(was.it_value.tv_sec, value > 900 && value <= 1000);
	IS(lkl_sys_alarm(500), 1000);
	SAYS(lkl_sys_alarm(0), value > 400 && value <= 500);
	IS(lkl_sys_getitimer(LKL_ITIMER_REAL, &was), 0);
	IS(was.it_value.tv_sec, 0);
	IS(lkl_sys_getitimer(99, &was), -LKL_EINVAL);
	IS(lkl_sys_setitimer(99, &plain, &was), -LKL_EINVAL);
}

void clocks(void)
{
	reading();
	sleeping();
	setting();
	timers();
}
