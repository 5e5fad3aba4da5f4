/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Timers and their DPCs, all on one thread. Wine's KeCancelTimer waits for a DPC that runs, and so for ever when it is
 * called from one, or with a lock that the DPC wants; and its KeFlushQueuedDpcs does nothing.
 *
 * A timer that is armed is in the list by its TimerListEntry, which is all zero otherwise. Nothing waits on a timer here:
 * a wait on the object goes to Wine, which does not know it.
 */
#include "iomgr.h"

static struct lock lock;
/* The list, the running DPC or the end has changed. */
static struct condition changed;
/* Sorted by due time, in units of 100 ns of the performance counter. */
static LIST_ENTRY armed = { &armed, &armed };
static BOOLEAN running, over;
static PVOID thread;
static HANDLE thread_id;

static ULONGLONG now(void)
{
	LARGE_INTEGER frequency, ticks = KeQueryPerformanceCounter(&frequency);
	ULONGLONG seconds = ticks.QuadPart / frequency.QuadPart, rest = ticks.QuadPart % frequency.QuadPart;

	return seconds * 10000000 + rest * 10000000 / frequency.QuadPart;
}

static KTIMER *timer_of(LIST_ENTRY *at)
{
	return CONTAINING_RECORD(at, KTIMER, TimerListEntry);
}

/* Takes a timer out of the list; whether it was there. The lock is held. */
static BOOLEAN disarm(KTIMER *timer)
{
	if (!timer->TimerListEntry.Flink)
		return FALSE;
	RemoveEntryList(&timer->TimerListEntry);
	timer->TimerListEntry.Flink = timer->TimerListEntry.Blink = NULL;
	return TRUE;
}

void NTAPI time_initialize(KTIMER *timer)
{
	RtlZeroMemory(timer, sizeof *timer);
	timer->Header.Type = 8; /* TimerNotificationObject */
	timer->Header.Size = sizeof *timer / sizeof(ULONG);
	InitializeListHead(&timer->Header.WaitListHead);
}

BOOLEAN NTAPI time_set(KTIMER *timer, LARGE_INTEGER due, KDPC *dpc)
{
	LIST_ENTRY *at;
	LARGE_INTEGER time;
	BOOLEAN was;

	if (due.QuadPart < 0) {
		time.QuadPart = now() - due.QuadPart;
	} else {
		LARGE_INTEGER today;

		KeQuerySystemTime(&today);
		time.QuadPart = now() + (due.QuadPart > today.QuadPart ? due.QuadPart - today.QuadPart : 0);
	}
	acquire(&lock);
	was = disarm(timer);
	timer->Header.SignalState = 0;
	timer->DueTime.QuadPart = time.QuadPart;
	timer->Dpc = dpc;
	for (at = armed.Flink; at != &armed; at = at->Flink)
		if (timer_of(at)->DueTime.QuadPart > timer->DueTime.QuadPart)
			break;
	InsertTailList(at, &timer->TimerListEntry);
	RtlWakeAllConditionVariable(&changed);
	release(&lock);
	return was;
}

/* A DPC that runs now goes on. */
BOOLEAN NTAPI time_cancel(KTIMER *timer)
{
	BOOLEAN was;

	acquire(&lock);
	was = disarm(timer);
	release(&lock);
	return was;
}

/* Waits for the DPC that runs, if one does. A timer that is due and whose DPC does not run yet is still armed. */
void NTAPI time_flush(void)
{
	if (PsGetCurrentThreadId() == thread_id) {
		report("KeFlushQueuedDpcs in a DPC");
		return;
	}
	acquire(&lock);
	while (running)
		RtlSleepConditionVariableSRW(&changed, &lock, NULL, 0);
	release(&lock);
}

/* No thread's time is known here: who watches for loops finds none. */
ULONG NTAPI time_of_thread(PVOID thread, ULONG *user)
{
	(void)thread;
	*user = 0;
	return 0;
}

static void run(KDPC *dpc)
{
	running = TRUE;
	release(&lock);
	dpc->DeferredRoutine(dpc, dpc->DeferredContext, dpc->SystemArgument1, dpc->SystemArgument2);
	acquire(&lock);
	running = FALSE;
	RtlWakeAllConditionVariable(&changed);
}

static void NTAPI serve(PVOID context)
{
	(void)context;
	thread_id = PsGetCurrentThreadId();
	acquire(&lock);
	while (!over) {
		LARGE_INTEGER timeout;
		KTIMER *first;
		LONGLONG left;

		if (IsListEmpty(&armed)) {
			RtlSleepConditionVariableSRW(&changed, &lock, NULL, 0);
			continue;
		}
		first = timer_of(armed.Flink);
		left = first->DueTime.QuadPart - now();
		if (left > 0) {
			timeout.QuadPart = -left;
			RtlSleepConditionVariableSRW(&changed, &lock, &timeout, 0);
			continue;
		}
		disarm(first);
		first->Header.SignalState = 1;
		if (first->Dpc)
			run(first->Dpc);
	}
	release(&lock);
	PsTerminateSystemThread(STATUS_SUCCESS);
}

NTSTATUS time_start(void)
{
	return start_thread(serve, &thread);
}

void time_stop(void)
{
	acquire(&lock);
	over = TRUE;
	RtlWakeAllConditionVariable(&changed);
	release(&lock);
	join_thread(thread);
}

/* How many timers are armed. */
ULONG time_count(void)
{
	ULONG count = 0;
	LIST_ENTRY *at;

	acquire(&lock);
	for (at = armed.Flink; at != &armed; at = at->Flink)
		count++;
	release(&lock);
	return count;
}
