/*
 * A driver that uses each family of imports as it should. DriverEntry returns 0, or the line of the first check that
 * failed. `user` points to 64 bytes of user memory at the end of their page; what follows is not mapped. `read_only` is
 * user memory that cannot be written.
 */
#include "nt.h"

#define CHECK(condition) do { if (!(condition)) return __LINE__; } while (0)

static volatile LONG count;
static KEVENT go, done;
static KSEMAPHORE semaphore;
static ERESOURCE resource;

static LONGLONG *after_ms(LONGLONG *timeout, int ms)
{
	*timeout = -10000LL * ms;
	return timeout;
}

static void waiter(PVOID context)
{
	KeWaitForSingleObject(context, 0, KernelMode, FALSE, NULL);
	if (__atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST) == 4)
		KeSetEvent(&done, 0, FALSE);
	PsTerminateSystemThread(0);
}

static void sharer(PVOID unused)
{
	(void)unused;
	KeEnterCriticalRegion();
	ExAcquireResourceSharedLite(&resource, TRUE);
	__atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
	ExReleaseResourceLite(&resource);
	KeLeaveCriticalRegion();
}

static int spawn(PKSTART_ROUTINE routine, PVOID context, PVOID *object)
{
	HANDLE handle;

	if (PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, routine, context) != 0)
		return 0;
	if (ObReferenceObjectByHandle(handle, THREAD_ALL_ACCESS, PsThreadType, KernelMode, object, NULL) != 0)
		return 0;
	return ZwClose(handle) == 0;
}

static int join(PVOID *objects, int n)
{
	for (int i = 0; i < n; i++) {
		if (KeWaitForSingleObject(objects[i], 0, KernelMode, FALSE, NULL) != 0)
			return 0;
		ObfDereferenceObject(objects[i]);
	}
	return 1;
}

static int dispatcher(void)
{
	PVOID threads[4], both[2];
	LONGLONG timeout = 0;
	KEVENT once;

	KeInitializeEvent(&go, 0, FALSE);
	KeInitializeEvent(&done, 0, FALSE);
	KeInitializeEvent(&once, 1, TRUE);
	CHECK(KeWaitForSingleObject(&once, 0, KernelMode, FALSE, &timeout) == 0);
	CHECK(KeWaitForSingleObject(&once, 0, KernelMode, FALSE, &timeout) == STATUS_TIMEOUT);
	CHECK(KeWaitForSingleObject(&go, 0, KernelMode, FALSE, after_ms(&timeout, 20)) == STATUS_TIMEOUT);
	/* One event lets all go. */
	count = 0;
	for (int i = 0; i < 4; i++)
		CHECK(spawn(waiter, &go, &threads[i]));
	CHECK(KeSetEvent(&go, 0, FALSE) == 0);
	CHECK(KeSetEvent(&go, 0, FALSE) == 1);
	CHECK(KeWaitForSingleObject(&done, 0, KernelMode, FALSE, NULL) == 0);
	CHECK(join(threads, 4));
	CHECK(count == 4);
	/* A semaphore lets as many go as were released. */
	count = 0;
	KeClearEvent(&done);
	KeInitializeSemaphore(&semaphore, 0, 10);
	for (int i = 0; i < 4; i++)
		CHECK(spawn(waiter, &semaphore, &threads[i]));
	CHECK(KeReleaseSemaphore(&semaphore, 0, 3, FALSE) == 0);
	CHECK(KeWaitForSingleObject(&done, 0, KernelMode, FALSE, after_ms(&timeout, 100)) == STATUS_TIMEOUT);
	CHECK(count == 3);
	KeReleaseSemaphore(&semaphore, 0, 1, FALSE);
	CHECK(join(threads, 4));
	/* Any of two, and both. */
	KeClearEvent(&go);
	KeSetEvent(&done, 0, FALSE);
	both[0] = &go;
	both[1] = &done;
	CHECK(KeWaitForMultipleObjects(2, both, 1, 0, KernelMode, FALSE, NULL, NULL) == 1);
	CHECK(KeWaitForMultipleObjects(2, both, 0, 0, KernelMode, FALSE, after_ms(&timeout, 10), NULL) == STATUS_TIMEOUT);
	KeSetEvent(&go, 0, FALSE);
	CHECK(KeWaitForMultipleObjects(2, both, 0, 0, KernelMode, FALSE, NULL, NULL) == 0);
	return 0;
}

static void tick(KDPC *dpc, PVOID context, PVOID a, PVOID b)
{
	(void)dpc, (void)a, (void)b;
	__atomic_add_fetch((LONG *)context, 1, __ATOMIC_SEQ_CST);
	KeSetEvent(&done, 0, FALSE);
}

static int timers(void)
{
	static KTIMER timer;
	static KDPC dpc;
	static LONG ticks;
	LONGLONG timeout, frequency, start;

	KeInitializeEvent(&done, 1, FALSE);
	KeInitializeTimer(&timer);
	KeInitializeDpc(&dpc, tick, &ticks);
	start = KeQueryPerformanceCounter(&frequency);
	CHECK(KeSetTimer(&timer, *after_ms(&timeout, 30), &dpc) == FALSE);
	CHECK(KeWaitForSingleObject(&timer, 0, KernelMode, FALSE, NULL) == 0);
	CHECK(KeWaitForSingleObject(&done, 0, KernelMode, FALSE, NULL) == 0);
	CHECK(KeQueryPerformanceCounter(NULL) - start >= frequency * 29 / 1000);
	KeFlushQueuedDpcs();
	CHECK(ticks == 1);
	CHECK(KeSetTimer(&timer, *after_ms(&timeout, 10000), &dpc) == FALSE);
	CHECK(KeSetTimer(&timer, *after_ms(&timeout, 10000), &dpc) == TRUE);
	CHECK(KeCancelTimer(&timer) == TRUE);
	CHECK(KeCancelTimer(&timer) == FALSE);
	/* A periodic one until it is cancelled. */
	KeSetTimerEx(&timer, *after_ms(&timeout, 1), 5, &dpc);
	for (int i = 0; i < 4; i++)
		CHECK(KeWaitForSingleObject(&done, 0, KernelMode, FALSE, NULL) == 0);
	CHECK(KeCancelTimer(&timer) == TRUE);
	KeFlushQueuedDpcs();
	CHECK(ticks >= 5);
	return 0;
}

static int resources(void)
{
	PVOID threads[4];
	LONGLONG delay;

	count = 0;
	CHECK(ExInitializeResourceLite(&resource) == 0);
	KeEnterCriticalRegion();
	CHECK(ExAcquireResourceExclusiveLite(&resource, TRUE));
	CHECK(ExAcquireResourceExclusiveLite(&resource, FALSE));
	CHECK(ExAcquireResourceSharedLite(&resource, FALSE));
	CHECK(ExIsResourceAcquiredExclusiveLite(&resource) && ExIsResourceAcquiredSharedLite(&resource) == 3);
	for (int i = 0; i < 4; i++)
		CHECK(spawn(sharer, NULL, &threads[i]));
	KeDelayExecutionThread(KernelMode, FALSE, after_ms(&delay, 50));
	CHECK(count == 0);
	ExReleaseResourceLite(&resource);
	ExReleaseResourceLite(&resource);
	ExConvertExclusiveToSharedLite(&resource);
	CHECK(join(threads, 4));
	CHECK(count == 4);
	CHECK(!ExIsResourceAcquiredExclusiveLite(&resource) && ExIsResourceAcquiredSharedLite(&resource) == 1);
	ExReleaseResourceLite(&resource);
	KeLeaveCriticalRegion();
	CHECK(ExDeleteResourceLite(&resource) == 0);
	return 0;
}

static int unwound;

static __declspec(noinline) void raise_deep(int depth, NTSTATUS status)
{
	__try {
		if (depth == 0)
			ExRaiseStatus(status);
		raise_deep(depth - 1, status);
	} __finally {
		if (_abnormal_termination())
			unwound++;
	}
}

static __declspec(noinline) int touch(volatile char *at)
{
	return *at;
}

static int only(unsigned long code, unsigned long wanted)
{
	return code == wanted ? EXCEPTION_EXECUTE_HANDLER : EXCEPTION_CONTINUE_SEARCH;
}

static int exceptions(char *user, char *read_only)
{
	volatile int step = 0;
	volatile NTSTATUS seen = 0;
	MDL *mdl;

	/* A fault in the block itself. */
	__try {
		step = 1;
		step = *(volatile char *)(user + 64);
		step = 2;
	} __except (EXCEPTION_EXECUTE_HANDLER) {
		seen = (NTSTATUS)_exception_code();
	}
	CHECK(step == 1 && seen == STATUS_ACCESS_VIOLATION);
	/* A fault in a function that is called there. */
	seen = 0;
	__try {
		touch(user + 64);
	} __except (EXCEPTION_EXECUTE_HANDLER) {
		seen = (NTSTATUS)_exception_code();
	}
	CHECK(seen == STATUS_ACCESS_VIOLATION);
	/* Raised by an import, through frames with termination handlers, past a handler that does not want it. */
	seen = 0;
	unwound = 0;
	__try {
		__try {
			raise_deep(5, STATUS_INSUFFICIENT_RESOURCES);
		} __except (only(_exception_code(), 0xC0000005)) {
			step = 77;
		}
	} __except (only(_exception_code(), 0xC000009A)) {
		seen = (NTSTATUS)_exception_code();
	}
	CHECK(seen == STATUS_INSUFFICIENT_RESOURCES && unwound == 6 && step == 1);
	/* The probes. */
	seen = 0;
	__try {
		ProbeForRead(user, 64, 4);
		ProbeForRead(user + 1, 16, 4);
	} __except (EXCEPTION_EXECUTE_HANDLER) {
		seen = (NTSTATUS)_exception_code();
	}
	CHECK(seen == STATUS_DATATYPE_MISALIGNMENT);
	seen = 0;
	__try {
		ProbeForWrite(read_only, 16, 1);
	} __except (EXCEPTION_EXECUTE_HANDLER) {
		seen = (NTSTATUS)_exception_code();
	}
	CHECK(seen == STATUS_ACCESS_VIOLATION);
	seen = 0;
	__try {
		ProbeForRead((PVOID)&resource, 16, 1);
	} __except (EXCEPTION_EXECUTE_HANDLER) {
		seen = (NTSTATUS)_exception_code();
	}
	CHECK(seen == STATUS_ACCESS_VIOLATION);
	/* memcpy from a user. */
	seen = 0;
	__try {
		static char copy[128];

		memcpy(copy, user, 64);
		CHECK(copy[3] == user[3]);
		memcpy(copy, user, 65);
	} __except (EXCEPTION_EXECUTE_HANDLER) {
		seen = (NTSTATUS)_exception_code();
	}
	CHECK(seen == STATUS_ACCESS_VIOLATION);
	/* Locking a user's pages. */
	mdl = IoAllocateMdl(read_only, 64, FALSE, FALSE, NULL);
	seen = 0;
	__try {
		MmProbeAndLockPages(mdl, UserMode, 1);
	} __except (EXCEPTION_EXECUTE_HANDLER) {
		seen = (NTSTATUS)_exception_code();
	}
	CHECK(seen == STATUS_ACCESS_VIOLATION);
	MmProbeAndLockPages(mdl, UserMode, 0);
	MmUnlockPages(mdl);
	IoFreeMdl(mdl);
	/* A semaphore above its limit. */
	seen = 0;
	KeInitializeSemaphore(&semaphore, 1, 1);
	__try {
		KeReleaseSemaphore(&semaphore, 0, 1, FALSE);
	} __except (EXCEPTION_EXECUTE_HANDLER) {
		seen = (NTSTATUS)_exception_code();
	}
	CHECK(seen == STATUS_SEMAPHORE_LIMIT_EXCEEDED);
	return 0;
}

static int memory(char *user)
{
	char *block, *mapped, *page;
	MDL *mdl, *part, *own;
	ULONGLONG *frames;

	block = allocate(3 * 4096);
	CHECK(((ULONGLONG)block & 4095) == 0);
	for (int i = 0; i < 3; i++)
		block[i * 4096 + 5] = (char)(i + 1);
	mdl = IoAllocateMdl(block, 3 * 4096, FALSE, FALSE, NULL);
	MmBuildMdlForNonPagedPool(mdl);
	frames = (ULONGLONG *)(mdl + 1);
	CHECK((ULONGLONG)MmGetPhysicalAddress(block + 4096 + 5) == frames[1] * 4096 + 5);
	/* An MDL of the driver's own making maps frames in any order. */
	own = IoAllocateMdl(NULL, 3 * 4096, FALSE, FALSE, NULL);
	((ULONGLONG *)(own + 1))[0] = frames[2];
	((ULONGLONG *)(own + 1))[1] = frames[0];
	((ULONGLONG *)(own + 1))[2] = frames[1];
	own->MdlFlags |= 2;
	mapped = MmMapLockedPagesSpecifyCache(own, KernelMode, 1, NULL, FALSE, 16);
	CHECK(mapped && mapped[5] == 3 && mapped[4096 + 5] == 1 && mapped[8192 + 5] == 2);
	mapped[7] = 42;
	CHECK(block[8192 + 7] == 42);
	MmUnmapLockedPages(mapped, own);
	IoFreeMdl(own);
	/* A part of it. */
	part = IoAllocateMdl(block + 4100, 4096, FALSE, FALSE, NULL);
	IoBuildPartialMdl(mdl, part, block + 4100, 4096);
	CHECK(part->MappedSystemVa == block + 4100 && ((ULONGLONG *)(part + 1))[0] == frames[1]);
	IoFreeMdl(part);
	IoFreeMdl(mdl);
	release(block);
	/* Pages without an address. */
	mdl = MmAllocatePagesForMdlEx(0, -1, 0, 1 << 20, 1, 0);
	CHECK(mdl && mdl->ByteCount == 1 << 20);
	mapped = MmMapLockedPagesSpecifyCache(mdl, KernelMode, 1, NULL, FALSE, 16);
	CHECK(mapped && mapped[0] == 0 && mapped[(1 << 20) - 1] == 0);
	mapped[4096 * 200] = 9;
	own = IoAllocateMdl(mapped + 4096 * 200, 4096, FALSE, FALSE, NULL);
	MmBuildMdlForNonPagedPool(own);
	CHECK(((ULONGLONG *)(own + 1))[0] == ((ULONGLONG *)(mdl + 1))[200]);
	IoFreeMdl(own);
	MmUnmapLockedPages(mapped, mdl);
	MmFreePagesFromMdl(mdl);
	ExFreePool(mdl);
	/* A user's buffer, through a kernel mapping. */
	mdl = IoAllocateMdl(user, 64, FALSE, FALSE, NULL);
	MmProbeAndLockPages(mdl, UserMode, 1);
	mapped = MmMapLockedPagesSpecifyCache(mdl, KernelMode, 1, NULL, FALSE, 16);
	mapped[10] = 'x';
	CHECK(user[10] == 'x');
	MmUnlockPages(mdl);
	IoFreeMdl(mdl);
	page = ExAllocatePool2(0x40, 100, TEST_TAG);
	for (int i = 0; i < 100; i++)
		CHECK(page[i] == 0);
	ExFreePool(page);
	return 0;
}

static int depth;

static void on_large_stack(PVOID parameter)
{
	volatile char room[48 * 1024];

	for (int i = 0; i < (int)sizeof(room); i += 4096)
		room[i] = 1;
	depth = *(int *)parameter + room[4096];
	/* And in again. */
	if (*(int *)parameter == 1) {
		int two = 2;

		KeExpandKernelStackAndCallout(on_large_stack, &two, 0x10000);
	}
}

static int library(void)
{
	static FAST_MUTEX mutex;
	static LOOKASIDE list;
	UNICODE_STRING a, b;
	PVOID entry, again;
	int one = 1;

	CHECK(KeExpandKernelStackAndCallout(on_large_stack, &one, 0x10000) == 0);
	CHECK(depth == 3);
	ExInitializeFastMutex(&mutex);
	ExAcquireFastMutex(&mutex);
	ExReleaseFastMutex(&mutex);
	RtlInitUnicodeString(&a, L"Stra\u00DFe \u00E9t\u00E9");
	RtlInitUnicodeString(&b, L"STRA\u00DFE \u00C9T\u00C9");
	CHECK(a.Length == 20 && RtlCompareUnicodeString(&a, &b, TRUE) == 0);
	CHECK(RtlCompareUnicodeString(&a, &b, FALSE) != 0);
	RtlInitUnicodeString(&a, L"KeSetEvent");
	CHECK(MmGetSystemRoutineAddress(&a) == (PVOID)KeSetEvent);
	RtlInitUnicodeString(&a, L"NoSuchRoutine");
	CHECK(MmGetSystemRoutineAddress(&a) == NULL);
	ExInitializePagedLookasideList(&list, NULL, NULL, 0, 64, TEST_TAG, 0);
	entry = ExAllocateFromPagedLookasideList(&list);
	again = ExAllocateFromPagedLookasideList(&list);
	CHECK(entry && again && entry != again);
	memset(entry, 0, 64);
	ExFreeToPagedLookasideList(&list, entry);
	ExFreeToPagedLookasideList(&list, again);
	ExDeletePagedLookasideList(&list);
	DbgPrint("%d|%5u|%-4x|%04X|%s|%ws|%wZ|%I64d|%p|%c|%%|%.*s|%lld\n", -3, 42, 0xab, 0xcd, "text", L"wide", &b,
		 -5000000000LL, (PVOID)0x1234, 'z', 3, "abcdef", -6000000000LL);
	return 0;
}

/* Takes what may fail; returns how much of it failed. */
static int may_fail(void)
{
	HANDLE thread = NULL;
	int failed = 0;
	PVOID object;
	char *block;
	MDL *mdl;

	for (int i = 0; i < 2; i++) {
		block = allocate(100);
		if (block)
			release(block);
		else
			failed++;
	}
	mdl = IoAllocateMdl((PVOID)0x1000, 4096, FALSE, FALSE, NULL);
	if (mdl)
		IoFreeMdl(mdl);
	else
		failed++;
	KeInitializeEvent(&done, 0, FALSE);
	KeInitializeEvent(&go, 0, TRUE);
	if (PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, waiter, &go) != 0)
		return failed + 1;
	ObReferenceObjectByHandle(thread, THREAD_ALL_ACCESS, PsThreadType, KernelMode, &object, NULL);
	ZwClose(thread);
	join(&object, 1);
	return failed;
}

/* Which of three names the kernel has. */
static int lookups(void)
{
	static const WCHAR *const names[] = { L"KeSetEvent", L"KeGetCurrentIrql", L"ExAllocatePool2" };
	UNICODE_STRING name;
	int found = 0;

	for (int i = 0; i < 3; i++) {
		RtlInitUnicodeString(&name, names[i]);
		if (MmGetSystemRoutineAddress(&name))
			found |= 1 << i;
	}
	return found;
}

NTSTATUS DriverEntry(int which, char *user, char *read_only)
{
	switch (which) {
	case 1:
		return dispatcher();
	case 2:
		return timers();
	case 3:
		return resources();
	case 4:
		return exceptions(user, read_only);
	case 5:
		return memory(user);
	case 6:
		return library();
	case 7:
		return may_fail();
	case 8:
		return lookups();
	}
	return -1;
}
