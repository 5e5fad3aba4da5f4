/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads on which the calls of test programs run. Wine serves a process' devices with one thread; a call that ran on it
 * would keep all others waiting, so it is pended and handed to one of these, and several files are worked on at a time.
 */
#include "iomgr.h"

#define THREADS 8

static struct lock lock;
static struct condition changed;
static LIST_ENTRY queue = { &queue, &queue };
static BOOLEAN over;
static PVOID threads[THREADS];
static ULONG count;

/* Takes an IRP, whose end control_perform() is. */
NTSTATUS work_queue(IRP *irp)
{
	IoMarkIrpPending(irp);
	acquire(&lock);
	InsertTailList(&queue, &irp->Tail.Overlay.ListEntry);
	RtlWakeAllConditionVariable(&changed);
	release(&lock);
	return STATUS_PENDING;
}

static void NTAPI serve(PVOID context)
{
	(void)context;
	acquire(&lock);
	while (!over || !IsListEmpty(&queue)) {
		LIST_ENTRY *first;

		if (IsListEmpty(&queue)) {
			RtlSleepConditionVariableSRW(&changed, &lock, NULL, 0);
			continue;
		}
		first = RemoveHeadList(&queue);
		release(&lock);
		control_perform(CONTAINING_RECORD(first, IRP, Tail.Overlay.ListEntry));
		acquire(&lock);
	}
	release(&lock);
	PsTerminateSystemThread(STATUS_SUCCESS);
}

NTSTATUS work_start(void)
{
	NTSTATUS status = STATUS_SUCCESS;

	for (count = 0; count < THREADS; count++) {
		status = start_thread(serve, &threads[count]);
		if (status < 0)
			break;
	}
	if (status < 0)
		work_stop();
	return status;
}

void work_stop(void)
{
	ULONG index;

	acquire(&lock);
	over = TRUE;
	RtlWakeAllConditionVariable(&changed);
	release(&lock);
	for (index = 0; index < count; index++)
		join_thread(threads[index]);
}
