// SPDX-License-Identifier: GPL-2.0
/* Between threads: futexes, semaphores, messages, shared memory. */
#include "check.h"
#include <lkl/linux/futex.h>
#include <lkl/linux/mqueue.h>
#include <lkl/linux/msg.h>
#include <lkl/linux/sem.h>
#include <lkl/linux/shm.h>

/* What the new calls call a word of 32 bits. */
#define WORD (LKL_FUTEX2_SIZE_U32 | LKL_FUTEX2_PRIVATE)
#define ANY_BIT 0xffffffffu

static volatile __lkl__u32 word, second;
static struct __lkl__kernel_timespec SOON = { 0, 2000000 };

/* The word does not change: each of these sleeps until it is woken. */
static void sleeper(void *arg)
{
	struct lkl_futex_waitv of = { .uaddr = (unsigned long)&word, .flags = WORD };

	(void)arg;
	IS(lkl_sys_futex((void *)&word, LKL_FUTEX_WAIT | LKL_FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0), 0);
	IS(lkl_sys_futex_waitv(&of, 1, 0, NULL, 0), 0);
	IS(lkl_sys_futex_wait((void *)&word, 0, ANY_BIT, WORD, NULL, 0), 0);
}

/* Until the other thread has gone to sleep, and so was woken or moved. */
#define UNTIL_ONE(call)						\
	do {							\
		long moved = (call);				\
								\
		if (moved) {					\
			IS(moved, 1);				\
			break;					\
		}						\
		lkl_sys_nanosleep(&SOON, NULL);			\
	} while (1)

static void futexes(void)
{
	struct lkl_futex_waitv two[2] = { { .uaddr = (unsigned long)&word, .flags = WORD },
					  { .uaddr = (unsigned long)&second, .flags = WORD } };
	struct __lkl__kernel_timespec past = { 0, 1 };
	struct beside beside;

	begin(&beside, sleeper, NULL);
	UNTIL_ONE(lkl_sys_futex((void *)&word, LKL_FUTEX_WAKE | LKL_FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0));
	UNTIL_ONE(lkl_sys_futex_wake((void *)&word, ANY_BIT, 1, WORD));
	/* To another word, and woken there. */
	UNTIL_ONE(lkl_sys_futex_requeue(two, 0, 0, 1));
	IS(lkl_sys_futex_wake((void *)&word, ANY_BIT, 1, WORD), 0);
	IS(lkl_sys_futex_wake((void *)&second, ANY_BIT, 1, WORD), 1);
	end(&beside);
	word = 2;
	IS(lkl_sys_futex((void *)&word, LKL_FUTEX_WAIT, 99, NULL, NULL, 0), -LKL_EAGAIN);
	IS(lkl_sys_futex((void *)&word, LKL_FUTEX_WAIT, 2, &SOON, NULL, 0), -LKL_ETIMEDOUT);
	IS(lkl_sys_futex_wait((void *)&word, 2, ANY_BIT, WORD, &past, LKL_CLOCK_MONOTONIC), -LKL_ETIMEDOUT);
	IS(lkl_sys_futex_wait((void *)&word, 99, ANY_BIT, WORD, NULL, 0), -LKL_EAGAIN);
	IS(lkl_sys_futex_wake((void *)&word, ANY_BIT, 1, 0x80), -LKL_EINVAL);
	IS(lkl_sys_futex_requeue(two, 1, 0, 1), -LKL_EINVAL);
	two[0].val = 99;
	IS(lkl_sys_futex_waitv(two, 2, 0, NULL, 0), -LKL_EAGAIN);
	IS(lkl_sys_futex_waitv(two, 0, 0, NULL, 0), -LKL_EINVAL);
}

static void semaphores(void)
{
	struct lkl_sembuf up = { .sem_num = 0, .sem_op = 2 }, down = { .sem_num = 0, .sem_op = -1 };
	int id = lkl_sys_semget(LKL_IPC_PRIVATE, 2, LKL_IPC_CREAT | 0600);

	SAYS(id, value >= 0);
	IS(lkl_sys_semget(12345, 1, 0), -LKL_ENOENT);
	IS(lkl_sys_semop(id, &up, 1), 0);
	IS(lkl_sys_semop(id, &down, 1), 0);
	IS(lkl_sys_semctl(id, 0, LKL_GETVAL, 0), 1);
	IS(lkl_sys_semtimedop(id, &down, 1, &SOON), 0);
	IS(lkl_sys_semtimedop(id, &down, 1, &SOON), -LKL_EAGAIN);
	down.sem_flg = LKL_IPC_NOWAIT;
	IS(lkl_sys_semop(id, &down, 1), -LKL_EAGAIN);
	IS(lkl_sys_semctl(id, 1, LKL_SETVAL, 5), 0);
	IS(lkl_sys_semctl(id, 1, LKL_GETVAL, 0), 5);
	IS(lkl_sys_semctl(id, 0, LKL_IPC_RMID, 0), 0);
	IS(lkl_sys_semctl(id, 0, LKL_GETVAL, 0), -LKL_EINVAL);
}

static void messages(void)
{
	struct {
		long type;
		char text[16];
	} message = { 3, "message" }, got = { 0 };
	struct lkl_msqid64_ds stat;
	int id = lkl_sys_msgget(LKL_IPC_PRIVATE, LKL_IPC_CREAT | 0600);

	SAYS(id, value >= 0);
	IS(lkl_sys_msgget(12345, 0), -LKL_ENOENT);
	IS(lkl_sys_msgsnd(id, (void *)&message, 8, 0), 0);
	IS(lkl_sys_msgctl(id, LKL_IPC_STAT, (void *)&stat), 0);
	IS(stat.msg_qnum, 1);
	message.type = -1;
	IS(lkl_sys_msgsnd(id, (void *)&message, 8, 0), -LKL_EINVAL);
	IS(lkl_sys_msgrcv(id, (void *)&got, sizeof(got.text), 4, LKL_IPC_NOWAIT), -LKL_ENOMSG);
	IS(lkl_sys_msgrcv(id, (void *)&got, sizeof(got.text), 3, 0), 8);
	IS(strcmp(got.text, "message"), 0);
	IS(lkl_sys_msgctl(id, LKL_IPC_RMID, NULL), 0);
	IS(lkl_sys_msgctl(id, LKL_IPC_RMID, NULL), -LKL_EINVAL);
}

static void named_queues(void)
{
	struct lkl_mq_attr wanted = { .mq_maxmsg = 2, .mq_msgsize = 16 }, got;
	struct __lkl__kernel_timespec past = { 0, 1 };
	lkl_sigevent_t nothing = { .sigev_notify = LKL_SIGEV_NONE };
	unsigned int priority = 0;
	char text[16] = "";
	int fd = lkl_sys_mq_open("queue", LKL_O_RDWR | LKL_O_CREAT, 0600, &wanted);

	SAYS(fd, value >= 0);
	IS(lkl_sys_mq_open("none", LKL_O_RDWR, 0, NULL), -LKL_ENOENT);
	IS(lkl_sys_mq_timedsend(fd, "low", 4, 1, NULL), 0);
	IS(lkl_sys_mq_timedsend(fd, "high", 5, 9, NULL), 0);
	IS(lkl_sys_mq_timedsend(fd, "late", 5, 9, &past), -LKL_ETIMEDOUT);
	IS(lkl_sys_mq_getsetattr(fd, NULL, &got), 0);
	IS(got.mq_curmsgs, 2);
	IS(lkl_sys_mq_getsetattr(-1, NULL, &got), -LKL_EBADF);
	IS(lkl_sys_mq_timedreceive(fd, text, sizeof(text), &priority, NULL), 5);
	IS(strcmp(text, "high"), 0);
	IS(priority, 9);
	IS(lkl_sys_mq_timedreceive(fd, text, 4, &priority, NULL), -LKL_EMSGSIZE);
	IS(lkl_sys_mq_timedreceive(fd, text, sizeof(text), &priority, NULL), 4);
	IS(lkl_sys_mq_notify(fd, &nothing), 0);
	IS(lkl_sys_mq_notify(fd, &nothing), -LKL_EBUSY);
	IS(lkl_sys_mq_unlink("queue"), 0);
	IS(lkl_sys_mq_unlink("queue"), -LKL_ENOENT);
	IS(lkl_sys_close(fd), 0);
}

static void shared_memory(void)
{
	struct lkl_shmid64_ds stat;
	int id = lkl_sys_shmget(LKL_IPC_PRIVATE, 8192, LKL_IPC_CREAT | 0600);

	/* It can be made, but a program has no way to see it. */
	SAYS(id, value >= 0);
	IS(lkl_sys_shmget(12345, 1, 0), -LKL_ENOENT);
	IS(lkl_sys_shmctl(id, LKL_IPC_STAT, (void *)&stat), 0);
	IS(stat.shm_segsz, 8192);
	IS(lkl_sys_shmctl(id, LKL_IPC_RMID, NULL), 0);
	IS(lkl_sys_shmctl(id, LKL_IPC_STAT, (void *)&stat), -LKL_EINVAL);
}

void queues(void)
{
	futexes();
	semaphores();
	messages();
	named_queues();
	shared_memory();
}
