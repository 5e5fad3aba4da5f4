/*
 * A driver with one seeded bug for each number that DriverEntry is called with. tests/verifier.rs has the list of what
 * must be found.
 */
#include "nt.h"

static volatile int sink;
static const volatile int constant = 1;
static volatile LONG flag;
static void (*volatile nowhere)(void);
static KEVENT never, started;

static void sleep_ms(int ms)
{
	LONGLONG interval = -10000LL * ms;

	KeDelayExecutionThread(KernelMode, FALSE, &interval);
}

static HANDLE start(PKSTART_ROUTINE routine, PVOID context)
{
	HANDLE thread = NULL;

	PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, routine, context);
	return thread;
}

static void wait_thread(HANDLE thread)
{
	PVOID object;

	ObReferenceObjectByHandle(thread, THREAD_ALL_ACCESS, PsThreadType, KernelMode, &object, NULL);
	KeWaitForSingleObject(object, 0, KernelMode, FALSE, NULL);
	ObfDereferenceObject(object);
	ZwClose(thread);
}

static void wait_for_ever(PVOID event)
{
	KeSetEvent(&started, 0, FALSE);
	KeWaitForSingleObject(event, 0, KernelMode, FALSE, NULL);
}

/* A way back over frames, with and without what a shadow stack needs. */
struct jump {
	ULONGLONG rbx, rbp, rsi, rdi, r12, r13, r14, r15, rsp, rip, ssp;
};

int save_jump(struct jump *jump) __attribute__((returns_twice));
void jump_to(struct jump *jump) __attribute__((noreturn));
void jump_and_forget(struct jump *jump) __attribute__((noreturn));

__asm__(".text\n"
	"save_jump:\n"
	"	movq %rbx, 0(%rcx)\n	movq %rbp, 8(%rcx)\n	movq %rsi, 16(%rcx)\n	movq %rdi, 24(%rcx)\n"
	"	movq %r12, 32(%rcx)\n	movq %r13, 40(%rcx)\n	movq %r14, 48(%rcx)\n	movq %r15, 56(%rcx)\n"
	"	leaq 8(%rsp), %rax\n	movq %rax, 64(%rcx)\n	movq (%rsp), %rax\n	movq %rax, 72(%rcx)\n"
	"	xorl %eax, %eax\n	rdsspq %rax\n	movq %rax, 80(%rcx)\n"
	"	xorl %eax, %eax\n	ret\n"
	"jump_to:\n"
	"	xorl %eax, %eax\n	rdsspq %rax\n	testq %rax, %rax\n	jz jump_and_forget\n"
	"	movq 80(%rcx), %rdx\n	addq $8, %rdx\n	subq %rax, %rdx\n	shrq $3, %rdx\n	incsspq %rdx\n"
	"jump_and_forget:\n"
	"	movq 0(%rcx), %rbx\n	movq 8(%rcx), %rbp\n	movq 16(%rcx), %rsi\n	movq 24(%rcx), %rdi\n"
	"	movq 32(%rcx), %r12\n	movq 40(%rcx), %r13\n	movq 48(%rcx), %r14\n	movq 56(%rcx), %r15\n"
	"	movq 64(%rcx), %rsp\n	movl $1, %eax\n	jmp *72(%rcx)\n");

static __attribute__((noinline)) void jump_from(int depth, void (*how)(struct jump *), struct jump *jump)
{
	if (depth) {
		jump_from(depth - 1, how, jump);
		sink++;
	}
	KeClearEvent(&never);
	how(jump);
}

static __attribute__((noinline)) void go_and_come_back(void (*how)(struct jump *))
{
	struct jump jump;

	if (!save_jump(&jump))
		jump_from(5, how, &jump);
	KeClearEvent(&never);
}

static void end_with_resource(PVOID resource)
{
	KeEnterCriticalRegion();
	ExAcquireResourceExclusiveLite(resource, TRUE);
	PsTerminateSystemThread(0);
}

static void terminate(PVOID unused)
{
	(void)unused;
	PsTerminateSystemThread(0);
}

/* Calls function(a, b) with the stack pointer at `top`. */
static void call_on(char *top, PVOID function, PVOID a, PVOID b)
{
	register PVOID first __asm__("rcx") = a, second __asm__("rdx") = b;

	__asm__ volatile("movq %%rsp, %%rbx\n\tmovq %[top], %%rsp\n\tcall *%[function]\n\tmovq %%rbx, %%rsp"
			 : "+r"(first), "+r"(second)
			 : [top] "r"(top), [function] "r"(function)
			 : "rbx", "rax", "r8", "r9", "r10", "r11", "memory", "cc");
}

__attribute__((noinline)) static void touch(volatile int *at)
{
	sink = *at;
}

static void divide(PVOID unused)
{
	(void)unused;
	sink = constant / (int)flag;
}

static void expand_and_terminate(PVOID unused)
{
	(void)unused;
	KeExpandKernelStackAndCallout(terminate, NULL, 0x4000);
}

static void spin_dpc(KDPC *dpc, PVOID context, PVOID a, PVOID b)
{
	(void)dpc, (void)context, (void)a, (void)b;
	while (!flag)
		;
}

static void empty_dpc(KDPC *dpc, PVOID context, PVOID a, PVOID b)
{
	(void)dpc, (void)context, (void)a, (void)b;
}

static void raised_dpc(KDPC *dpc, PVOID context, PVOID a, PVOID b)
{
	(void)dpc, (void)context, (void)a, (void)b;
	KeLowerIrql(0);
}

#pragma clang optimize off
static int deeper(int depth)
{
	volatile char room[512];

	room[0] = (char)depth;
	return depth == 0 ? 0 : deeper(depth - 1) + room[0];
}
#pragma clang optimize on

NTSTATUS DriverEntry(int which, char *user, char *read_only, PVOID driver)
{
	static FAST_MUTEX first, second;
	static ERESOURCE resource;
	static KSPIN_LOCK lock;
	static KMUTEX mutex;
	static KSEMAPHORE semaphore;
	static KTIMER timer;
	static LOOKASIDE list;
	char *block;
	MDL *mdl;
	PVOID object;
	KIRQL old;

	(void)read_only;
	KeInitializeEvent(&never, 0, FALSE);
	KeInitializeEvent(&started, 0, FALSE);
	switch (which) {
	case 1: /* double free */
		block = allocate(100);
		release(block);
		release(block);
		break;
	case 2: /* read after free */
		block = allocate(100);
		release(block);
		sink = *(volatile char *)block;
		break;
	case 3: /* write after free */
		block = allocate(100);
		release(block);
		*(volatile char *)(block + 50) = 1;
		break;
	case 4: /* overrun by one, caught at once */
		block = allocate(64);
		*(volatile char *)(block + 64) = 1;
		break;
	case 5: /* overrun by one into the rounding, caught at the free */
		block = allocate(61);
		*(volatile char *)(block + 61) = 1;
		release(block);
		break;
	case 6: /* underrun by one, caught at the free */
		block = allocate(64);
		*(volatile char *)(block - 1) = 1;
		release(block);
		break;
	case 7: /* free with another tag */
		block = allocate(64);
		ExFreePoolWithTag(block, TAG('O', 't', 'h', 'r'));
		break;
	case 8: /* free of something that is no block */
		ExFreePoolWithTag(&timer, TEST_TAG);
		break;
	case 9: /* paged pool at DISPATCH_LEVEL */
		KeRaiseIrqlToDpcLevel();
		ExAllocatePoolWithTag(PagedPool, 16, TEST_TAG);
		break;
	case 10: /* executable pool */
		ExAllocatePoolWithTag(NonPagedPool, 16, TEST_TAG);
		break;
	case 11: /* no bytes */
		allocate(0);
		break;
	case 12: /* a block is left behind */
		allocate(77);
		break;
	case 13: /* an import above its level */
		KeRaiseIrqlToDpcLevel();
		ZwClose((HANDLE)4);
		break;
	case 14: /* a wait at DISPATCH_LEVEL */
		KeRaiseIrqlToDpcLevel();
		KeWaitForSingleObject(&never, 0, KernelMode, FALSE, NULL);
		break;
	case 15: /* return at another level */
		KeRaiseIrqlToDpcLevel();
		break;
	case 16: /* the level goes down under a spin lock */
		old = KeAcquireSpinLockRaiseToDpc(&lock);
		KeLowerIrql(old);
		break;
	case 17: /* two mutexes in two orders */
		ExInitializeFastMutex(&first);
		ExInitializeFastMutex(&second);
		ExAcquireFastMutex(&first);
		ExAcquireFastMutex(&second);
		ExReleaseFastMutex(&second);
		ExReleaseFastMutex(&first);
		ExAcquireFastMutex(&second);
		ExAcquireFastMutex(&first);
		break;
	case 18: /* a resource and a mutex in two orders */
		KeInitializeMutex(&mutex, 0);
		ExInitializeResourceLite(&resource);
		KeEnterCriticalRegion();
		ExAcquireResourceSharedLite(&resource, TRUE);
		KeWaitForSingleObject(&mutex, 0, KernelMode, FALSE, NULL);
		KeReleaseMutex(&mutex, FALSE);
		ExReleaseResourceLite(&resource);
		KeWaitForSingleObject(&mutex, 0, KernelMode, FALSE, NULL);
		ExAcquireResourceExclusiveLite(&resource, TRUE);
		break;
	case 19: /* a resource with APCs enabled */
		ExInitializeResourceLite(&resource);
		ExAcquireResourceExclusiveLite(&resource, TRUE);
		break;
	case 20: /* a region that was not entered */
		KeLeaveCriticalRegion();
		break;
	case 21: /* a region that is not left */
		KeEnterCriticalRegion();
		break;
	case 22: /* a spin lock twice */
		KeAcquireSpinLockRaiseToDpc(&lock);
		KeAcquireSpinLockAtDpcLevel(&lock);
		break;
	case 23: /* a mutex that is not owned */
		KeInitializeMutex(&mutex, 0);
		KeReleaseMutex(&mutex, FALSE);
		break;
	case 24: /* a semaphore above its limit */
		KeInitializeSemaphore(&semaphore, 1, 1);
		KeReleaseSemaphore(&semaphore, 0, 1, FALSE);
		break;
	case 25: /* a set timer is freed */
		block = allocate(sizeof(KTIMER));
		KeInitializeTimer((KTIMER *)block);
		KeSetTimer((KTIMER *)block, -10000000LL, NULL);
		release(block);
		break;
	case 26: /* a live resource is freed */
		block = allocate(sizeof(ERESOURCE));
		ExInitializeResourceLite((ERESOURCE *)block);
		release(block);
		break;
	case 27: /* an event that is none */
		block = allocate(sizeof(KEVENT));
		KeSetEvent((KEVENT *)block, 0, FALSE);
		break;
	case 28: /* NULL */
		sink = *(volatile int *)NULL;
		break;
	case 29: /* the stack runs over */
		sink = deeper(1000);
		break;
	case 30: /* an import that nobody has */
		NotAnExportOfAnyKernel();
		break;
	case 31: /* a bug check of its own */
		KeBugCheckEx(0xDEAD, 1, 2, 3, 4);
		break;
	case 32: /* a handle is left open */
		KeSetEvent(&never, 0, FALSE);
		start(wait_for_ever, &never);
		sleep_ms(200);
		break;
	case 33: /* a thread is left running */
		ZwClose(start(wait_for_ever, &never));
		break;
	case 34: /* dereferenced too often */
		object = PsGetCurrentThread();
		ObfDereferenceObject(object);
		ObfDereferenceObject(object);
		ObfDereferenceObject(object);
		break;
	case 35: /* an object used after its last reference */
		KeSetEvent(&never, 0, FALSE);
		object = start(wait_for_ever, &never);
		ObReferenceObjectByHandle(object, THREAD_ALL_ACCESS, PsThreadType, KernelMode, (PVOID *)&block, NULL);
		wait_thread(object);
		ObfDereferenceObject(block);
		sleep_ms(100);
		KeWaitForSingleObject(block, 0, KernelMode, FALSE, NULL);
		break;
	case 36: /* an MDL freed with its pages locked */
		block = allocate(8192);
		mdl = IoAllocateMdl(block, 8192, FALSE, FALSE, NULL);
		MmProbeAndLockPages(mdl, KernelMode, 0);
		IoFreeMdl(mdl);
		break;
	case 37: /* unlocked twice */
		block = allocate(8192);
		mdl = IoAllocateMdl(block, 8192, FALSE, FALSE, NULL);
		MmProbeAndLockPages(mdl, KernelMode, 0);
		MmUnlockPages(mdl);
		MmUnlockPages(mdl);
		break;
	case 38: /* mapped while not locked */
		block = allocate(8192);
		mdl = IoAllocateMdl(block, 8192, FALSE, FALSE, NULL);
		MmMapLockedPagesSpecifyCache(mdl, KernelMode, 1, NULL, FALSE, 16);
		break;
	case 39: /* an MDL's mapping outlives it */
		mdl = MmAllocatePagesForMdlEx(0, -1, 0, 16384, 1, 0);
		MmMapLockedPagesSpecifyCache(mdl, KernelMode, 1, NULL, FALSE, 16);
		MmFreePagesFromMdl(mdl);
		break;
	case 40: /* an MDL is left behind */
		IoAllocateMdl((PVOID)0x1000, 4096, FALSE, FALSE, NULL);
		break;
	case 41: /* a user's bad pointer with no handler */
		sink = *(volatile char *)(user + 4096);
		break;
	case 42: /* its own constant */
		*(volatile int *)&constant = 2;
		break;
	case 43: /* a fast mutex twice */
		ExInitializeFastMutex(&first);
		ExAcquireFastMutex(&first);
		ExAcquireFastMutex(&first);
		break;
	case 44: /* a thread ends with a resource */
		ExInitializeResourceLite(&resource);
		wait_thread(start(end_with_resource, &resource));
		break;
	case 45: /* a thread ends on an expanded stack */
		wait_thread(start(expand_and_terminate, NULL));
		break;
	case 46: /* a lookaside list is left */
		ExInitializePagedLookasideList(&list, NULL, NULL, 0, 64, TEST_TAG, 0);
		break;
	case 47: { /* a queued DPC is freed */
		static KDPC busy;

		block = allocate(sizeof(KDPC));
		KeInitializeDpc(&busy, spin_dpc, NULL);
		KeInitializeDpc((KDPC *)block, empty_dpc, NULL);
		KeInsertQueueDpc(&busy, NULL, NULL);
		KeInsertQueueDpc((KDPC *)block, NULL, NULL);
		release(block);
		break;
	}
	case 48: /* a division by zero */
		sink = constant / (int)flag;
		break;
	case 49: /* shared, then exclusive */
		ExInitializeResourceLite(&resource);
		KeEnterCriticalRegion();
		ExAcquireResourceSharedLite(&resource, TRUE);
		ExAcquireResourceExclusiveLite(&resource, TRUE);
		break;
	case 50: /* a call of NULL */
		nowhere();
		break;
	case 51: /* an awaited event is freed */
		block = allocate(sizeof(KEVENT));
		KeInitializeEvent((KEVENT *)block, 0, FALSE);
		start(wait_for_ever, block);
		KeWaitForSingleObject(&started, 0, KernelMode, FALSE, NULL);
		sleep_ms(200);
		release(block);
		break;
	case 52: /* a set timer is initialised again */
		KeInitializeTimer(&timer);
		KeSetTimer(&timer, -100000000LL, NULL);
		KeInitializeTimer(&timer);
		break;
	case 53: { /* a DPC returns at another level */
		static KDPC dpc;

		KeInitializeDpc(&dpc, raised_dpc, NULL);
		KeInsertQueueDpc(&dpc, NULL, NULL);
		KeFlushQueuedDpcs();
		break;
	}
	case 54: /* a resource released by somebody else */
		ExInitializeResourceLite(&resource);
		KeEnterCriticalRegion();
		ExReleaseResourceLite(&resource);
		break;
	case 55: /* the frames of a locked MDL change */
		block = allocate(8192);
		mdl = IoAllocateMdl(block, 8192, FALSE, FALSE, NULL);
		MmProbeAndLockPages(mdl, KernelMode, 0);
		((ULONGLONG *)(mdl + 1))[1] ^= 1;
		MmUnlockPages(mdl);
		break;
	case 56: /* a timer is left set */
		KeInitializeTimer(&timer);
		KeSetTimer(&timer, -600000000LL, NULL);
		break;
	case 57: /* a freed event is set: the fault is in the import */
		block = allocate(sizeof(KEVENT));
		KeInitializeEvent((KEVENT *)block, 0, FALSE);
		release(block);
		KeSetEvent((KEVENT *)block, 0, FALSE);
		break;
	case 58: /* two spin locks in two orders */
	{
		static KSPIN_LOCK other;

		old = KeAcquireSpinLockRaiseToDpc(&lock);
		KeReleaseSpinLock(&other, (KeAcquireSpinLockAtDpcLevel(&other), DISPATCH_LEVEL));
		KeReleaseSpinLock(&lock, old);
		old = KeAcquireSpinLockRaiseToDpc(&other);
		KeAcquireSpinLockAtDpcLevel(&lock);
		break;
	}
	case 59: /* a work item without a routine */
	{
		static WORK_ITEM item;

		ExQueueWorkItem(&item, DelayedWorkQueue);
		break;
	}
	case 60: /* a semaphore that begins above its limit */
		KeInitializeSemaphore(&semaphore, 2, 1);
		break;
	case 61: /* a DPC that is queued is initialised again */
	{
		static KDPC busy, queued;

		KeInitializeDpc(&busy, spin_dpc, NULL);
		KeInitializeDpc(&queued, empty_dpc, NULL);
		KeInsertQueueDpc(&busy, NULL, NULL);
		KeInsertQueueDpc(&queued, NULL, NULL);
		KeInitializeDpc(&queued, empty_dpc, NULL);
		break;
	}
	case 63: /* a packet for the event log is neither written nor freed */
		IoAllocateErrorLogEntry(driver, sizeof(IO_ERROR_LOG_PACKET));
		break;
	case 64: /* a packet that the I/O manager never gives */
		IoAllocateErrorLogEntry(driver, sizeof(IO_ERROR_LOG_PACKET) + 200);
		break;
	case 65: /* a string for the event log that has no end in the packet */
	{
		IO_ERROR_LOG_PACKET *packet = IoAllocateErrorLogEntry(driver, sizeof(*packet) + 4);

		packet->NumberOfStrings = 1;
		packet->StringOffset = sizeof(*packet);
		((WCHAR *)(packet + 1))[0] = 'a';
		((WCHAR *)(packet + 1))[1] = 'b';
		IoWriteErrorLogEntry(packet);
		break;
	}
	case 66: /* an event without a text */
	{
		IO_ERROR_LOG_PACKET *packet = IoAllocateErrorLogEntry(driver, sizeof(*packet));

		packet->ErrorCode = 0xe0040001;
		IoWriteErrorLogEntry(packet);
		break;
	}
	case 62: /* waits for what never happens */
		wait_for_ever(&never);
		break;
	case 70: /* a file system's stack limits are asked for on a stack from pool */
	{
		ULONG_PTR low, high;
		char *own = allocate(0x4000);

		call_on(own + 0x3000, IoGetStackLimits, &low, &high);
		release(own);
		break;
	}
	case 71: /* a lock made of an event, with normal kernel APCs on */
	{
		static LONG ready;
		static KEVENT free;

		if (!__atomic_exchange_n(&ready, 1, __ATOMIC_SEQ_CST))
			KeInitializeEvent(&free, 1, TRUE);
		KeWaitForSingleObject(&free, 0, KernelMode, FALSE, NULL);
		sleep_ms(1);
		KeSetEvent(&free, 0, FALSE);
		break;
	}
	case 72: /* an exception leaves the callout of an expanded stack, and a handler is outside of it */
		__try {
			KeExpandKernelStackAndCallout(divide, NULL, 0x4000);
		} __except (1) {
			break;
		}
		break;
	case 73: /* an address where nothing ever was, in the kernel's half, inside __try */
		__try {
			touch((volatile int *)0xffff800012345678);
		} __except (1) {
			break;
		}
		break;
	case 74: /* freed pool, inside __try */
		block = allocate(64);
		release(block);
		__try {
			touch((volatile int *)block);
		} __except (1) {
			break;
		}
		break;
	case 75: /* a jump leaves return addresses on the shadow stack */
		KeInitializeEvent(&never, 0, FALSE);
		go_and_come_back(jump_and_forget);
		break;
	case 76: /* no bug: a jump that does not */
		KeInitializeEvent(&never, 0, FALSE);
		go_and_come_back(jump_to);
		break;
	case 77: /* a user's address at DISPATCH_LEVEL, inside __try */
		old = KeAcquireSpinLockRaiseToDpc(&lock);
		__try {
			touch((volatile int *)0x12345000);
		} __except (1) {
		}
		KeReleaseSpinLock(&lock, old);
		break;
	case 80: /* a device is to be verified for an IRP that has no thread */
		block = IoAllocateIrp(1, FALSE);
		IoSetHardErrorOrVerifyDevice(block, &never);
		IoFreeIrp(block);
		break;
	case 81: /* a device is to be verified for a thread that has ended */
	{
		PVOID ended;
		HANDLE thread = start(terminate, NULL);

		ObReferenceObjectByHandle(thread, THREAD_ALL_ACCESS, PsThreadType, KernelMode, &ended, NULL);
		KeWaitForSingleObject(ended, 0, KernelMode, FALSE, NULL);
		ObfDereferenceObject(ended);
		ZwClose(thread);
		sleep_ms(50);
		IoSetDeviceToVerify(ended, NULL);
		break;
	}
	default:
		return 1;
	}
	return 0;
}
