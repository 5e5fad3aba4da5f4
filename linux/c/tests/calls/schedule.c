// SPDX-License-Identifier: GPL-2.0
/* Who runs when: policies, priorities, processors; and limits. */
#include "check.h"
#include <lkl/linux/ioprio.h>
#include <lkl/linux/resource.h>
#include <lkl/linux/sched.h>
#include <lkl/linux/sched/types.h>

struct lkl_sched_param {
	int sched_priority;
};

/* In a thread of its own. */
static void policies(void *arg)
{
	struct lkl_sched_attr attributes = { .size = sizeof(attributes), .sched_policy = LKL_SCHED_BATCH, .sched_nice = 3 }, got;
	struct __lkl__kernel_timespec slice;
	struct lkl_sched_param param = { 1 };

	(void)arg;
	IS(lkl_sys_sched_getscheduler(0), LKL_SCHED_NORMAL);
	IS(lkl_sys_sched_getscheduler(-1), -LKL_EINVAL);
	IS(lkl_sys_sched_setattr(0, &attributes, 0), 0);
	IS(lkl_sys_sched_getattr(0, &got, sizeof(got), 0), 0);
	IS(got.sched_policy, LKL_SCHED_BATCH);
	IS(got.sched_nice, 3);
	IS(lkl_sys_sched_getattr(0, &got, 3, 0), -LKL_EINVAL);
	attributes.sched_policy = 99;
	IS(lkl_sys_sched_setattr(0, &attributes, 0), -LKL_EINVAL);
	IS(lkl_sys_sched_setscheduler(0, LKL_SCHED_NORMAL, &param), -LKL_EINVAL);
	IS(lkl_sys_sched_setscheduler(0, LKL_SCHED_RR, &param), 0);
	IS(lkl_sys_sched_getscheduler(0), LKL_SCHED_RR);
	param.sched_priority = 2;
	IS(lkl_sys_sched_setparam(0, &param), 0);
	param.sched_priority = 0;
	IS(lkl_sys_sched_getparam(0, &param), 0);
	IS(param.sched_priority, 2);
	IS(lkl_sys_sched_getparam(99999, &param), -LKL_ESRCH);
	param.sched_priority = 100;
	IS(lkl_sys_sched_setparam(0, &param), -LKL_EINVAL);
	IS(lkl_sys_sched_rr_get_interval(0, &slice), 0);
	SAYS(slice.tv_nsec, value > 0);
	IS(lkl_sys_sched_rr_get_interval(99999, &slice), -LKL_ESRCH);
	IS(lkl_sys_sched_get_priority_max(LKL_SCHED_RR), 99);
	IS(lkl_sys_sched_get_priority_min(LKL_SCHED_RR), 1);
	IS(lkl_sys_sched_get_priority_max(99), -LKL_EINVAL);
	IS(lkl_sys_sched_get_priority_min(99), -LKL_EINVAL);
	IS(lkl_sys_sched_yield(), 0);
}

/* In a thread of its own. */
static void priorities(void *arg)
{
	unsigned long processors[16] = { 0 }, none[16] = { 0 };
	unsigned int processor = 99, node = 99;
	long len;

	(void)arg;
	IS(lkl_sys_getpriority(LKL_PRIO_PROCESS, 0), 20);
	IS(lkl_sys_setpriority(LKL_PRIO_PROCESS, 0, 5), 0);
	IS(lkl_sys_getpriority(LKL_PRIO_PROCESS, 0), 15);
	IS(lkl_sys_setpriority(99, 0, 5), -LKL_EINVAL);
	IS(lkl_sys_getpriority(LKL_PRIO_PROCESS, 99999), -LKL_ESRCH);
	IS(lkl_sys_ioprio_set(LKL_IOPRIO_WHO_PROCESS, 0, LKL_IOPRIO_PRIO_VALUE(LKL_IOPRIO_CLASS_BE, 2)), 0);
	IS(lkl_sys_ioprio_get(LKL_IOPRIO_WHO_PROCESS, 0), LKL_IOPRIO_PRIO_VALUE(LKL_IOPRIO_CLASS_BE, 2));
	IS(lkl_sys_ioprio_set(99, 0, 0), -LKL_EINVAL);
	IS(lkl_sys_ioprio_get(99, 0), -LKL_EINVAL);
	len = lkl_sys_sched_getaffinity(0, sizeof(processors), processors);
	SAYS(len, value >= 8);
	SAYS(processors[0] & 1, HERE(value == 1, 1));
	IS(lkl_sys_sched_getaffinity(0, 3, processors), -LKL_EINVAL);
	IS(lkl_sys_sched_setaffinity(0, sizeof(none), none), -LKL_EINVAL);
	IS(lkl_sys_sched_setaffinity(0, sizeof(processors), processors), 0);
	IS(lkl_sys_getcpu(&processor, &node, NULL), 0);
	SAYS(processor, HERE(value == 0, value < 99));
	SAYS(node, HERE(value == 0, value < 99));
}

static void limits(void)
{
	struct lkl_rlimit limit, lower;
	struct lkl_rlimit64 more;
	struct lkl_rusage used;

	IS(lkl_sys_getrlimit(LKL_RLIMIT_NOFILE, &limit), 0);
	SAYS(limit.rlim_cur, value > 100);
	lower = limit;
	lower.rlim_cur = 100;
	IS(lkl_sys_setrlimit(LKL_RLIMIT_NOFILE, &lower), 0);
	IS(lkl_sys_prlimit64(0, LKL_RLIMIT_NOFILE, NULL, &more), 0);
	IS(more.rlim_cur, 100);
	IS(lkl_sys_fcntl(-1, LKL_F_DUPFD, 99), -LKL_EBADF);
	{
		int fd = lkl_sys_open(".", LKL_O_RDONLY, 0);

		IS(lkl_sys_fcntl(fd, LKL_F_DUPFD, 100), -LKL_EINVAL);
		IS(lkl_sys_dup2(fd, 100), -LKL_EBADF);
		IS(lkl_sys_close(fd), 0);
	}
	IS(lkl_sys_setrlimit(LKL_RLIMIT_NOFILE, &limit), 0);
	IS(lkl_sys_getrlimit(99, &limit), -LKL_EINVAL);
	IS(lkl_sys_setrlimit(99, &limit), -LKL_EINVAL);
	IS(lkl_sys_prlimit64(99999, LKL_RLIMIT_NOFILE, NULL, &more), -LKL_ESRCH);
	IS(lkl_sys_getrusage(LKL_RUSAGE_SELF, &used), 0);
	IS(lkl_sys_getrusage(99, &used), -LKL_EINVAL);
}

void schedule(void)
{
	struct beside beside;

	begin(&beside, policies, NULL);
	end(&beside);
	begin(&beside, priorities, NULL);
	end(&beside);
	limits();
}
