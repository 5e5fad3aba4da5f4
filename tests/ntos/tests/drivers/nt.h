/*
 * The few declarations of NT that the test drivers need, for clang and x86_64-pc-windows-msvc with no WDK at hand.
 * Layouts are those of x64 NT.
 */
#ifndef NT_H
#define NT_H

typedef unsigned char UCHAR, BOOLEAN, KIRQL;
typedef unsigned short USHORT, WCHAR;
typedef short SHORT;
typedef unsigned int ULONG;
typedef int LONG, NTSTATUS;
typedef long long LONGLONG;
typedef unsigned long long ULONGLONG, SIZE_T, ULONG_PTR;
typedef void *PVOID, *HANDLE;
typedef char CCHAR;

#define IMPORT __declspec(dllimport)
#define TRUE 1
#define FALSE 0
#define NULL ((void *)0)
#define TAG(a, b, c, d) ((a) | (b) << 8 | (c) << 16 | (d) << 24)
#define TEST_TAG TAG('T', 'e', 's', 't')
#define STATUS_SUCCESS 0
#define STATUS_TIMEOUT 0x102
#define STATUS_ACCESS_VIOLATION ((NTSTATUS)0xC0000005)
#define STATUS_INSUFFICIENT_RESOURCES ((NTSTATUS)0xC000009A)
#define STATUS_SEMAPHORE_LIMIT_EXCEEDED ((NTSTATUS)0xC0000047)
#define STATUS_DATATYPE_MISALIGNMENT ((NTSTATUS)0x80000002)
#define EXCEPTION_EXECUTE_HANDLER 1
#define EXCEPTION_CONTINUE_SEARCH 0
#define NonPagedPool 0
#define PagedPool 1
#define NonPagedPoolNx 512
#define KernelMode 0
#define UserMode 1
#define DISPATCH_LEVEL 2
#define DelayedWorkQueue 1
#define THREAD_ALL_ACCESS 0x1FFFFF

typedef struct _LIST_ENTRY {
	struct _LIST_ENTRY *Flink, *Blink;
} LIST_ENTRY;

typedef struct { UCHAR Type, A, Size, B; LONG SignalState; LIST_ENTRY WaitListHead; } DISPATCHER_HEADER;
typedef struct { DISPATCHER_HEADER Header; } KEVENT;
typedef struct { DISPATCHER_HEADER Header; LONG Limit; } KSEMAPHORE;
typedef struct { DISPATCHER_HEADER Header; LIST_ENTRY Entry; PVOID Owner; UCHAR Abandoned, ApcDisable; } KMUTEX;
typedef struct { DISPATCHER_HEADER Header; ULONGLONG Due; LIST_ENTRY Entry; PVOID Dpc; ULONG Processor, Period; } KTIMER;
typedef struct _KDPC {
	UCHAR Type, Importance; USHORT Number; LIST_ENTRY Entry;
	PVOID Routine, Context, Argument1, Argument2, Data;
} KDPC;
typedef struct { LONG Count; PVOID Owner; ULONG Contention; KEVENT Event; ULONG OldIrql; } FAST_MUTEX;
typedef struct { ULONGLONG Opaque[13]; } ERESOURCE;
typedef ULONG_PTR KSPIN_LOCK;
typedef struct { ULONGLONG Opaque[16]; } __declspec(align(16)) LOOKASIDE;
typedef struct _MDL {
	struct _MDL *Next; SHORT Size, MdlFlags; PVOID Process, MappedSystemVa, StartVa; ULONG ByteCount, ByteOffset;
} MDL;
typedef struct { USHORT Length, MaximumLength; WCHAR *Buffer; } UNICODE_STRING;
typedef struct {
	UCHAR MajorFunctionCode, RetryCount; USHORT DumpDataSize, NumberOfStrings, StringOffset, EventCategory;
	NTSTATUS ErrorCode; ULONG UniqueErrorValue; NTSTATUS FinalStatus; ULONG SequenceNumber, IoControlCode;
	LONGLONG DeviceOffset; ULONG DumpData[1];
} IO_ERROR_LOG_PACKET;
typedef void (*PKSTART_ROUTINE)(PVOID);
typedef struct { LIST_ENTRY List; void (*Routine)(PVOID); PVOID Parameter; } WORK_ITEM;

IMPORT PVOID ExAllocatePoolWithTag(int type, SIZE_T size, ULONG tag);
IMPORT PVOID ExAllocatePool2(ULONGLONG flags, SIZE_T size, ULONG tag);
IMPORT void ExFreePoolWithTag(PVOID block, ULONG tag);
IMPORT void ExFreePool(PVOID block);
IMPORT PVOID IoAllocateErrorLogEntry(PVOID object, UCHAR bytes);
IMPORT void IoWriteErrorLogEntry(PVOID packet);
IMPORT KIRQL KeRaiseIrqlToDpcLevel(void);
IMPORT void KeLowerIrql(KIRQL old);
IMPORT void KeInitializeEvent(KEVENT *event, int type, BOOLEAN state);
IMPORT LONG KeSetEvent(KEVENT *event, LONG increment, BOOLEAN wait);
IMPORT void KeClearEvent(KEVENT *event);
IMPORT LONG KeReadStateEvent(KEVENT *event);
IMPORT NTSTATUS KeWaitForSingleObject(PVOID object, int reason, int mode, BOOLEAN alertable, LONGLONG *timeout);
IMPORT NTSTATUS KeWaitForMultipleObjects(ULONG count, PVOID *objects, int type, int reason, int mode, BOOLEAN alertable,
					 LONGLONG *timeout, PVOID blocks);
IMPORT NTSTATUS KeDelayExecutionThread(int mode, BOOLEAN alertable, LONGLONG *interval);
IMPORT void KeInitializeSemaphore(KSEMAPHORE *semaphore, LONG count, LONG limit);
IMPORT LONG KeReleaseSemaphore(KSEMAPHORE *semaphore, LONG increment, LONG adjustment, BOOLEAN wait);
IMPORT void KeInitializeMutex(KMUTEX *mutex, ULONG level);
IMPORT LONG KeReleaseMutex(KMUTEX *mutex, BOOLEAN wait);
IMPORT void KeInitializeTimer(KTIMER *timer);
IMPORT BOOLEAN KeSetTimer(KTIMER *timer, LONGLONG due, KDPC *dpc);
IMPORT BOOLEAN KeSetTimerEx(KTIMER *timer, LONGLONG due, LONG period, KDPC *dpc);
IMPORT BOOLEAN KeCancelTimer(KTIMER *timer);
IMPORT void KeInitializeDpc(KDPC *dpc, PVOID routine, PVOID context);
IMPORT BOOLEAN KeInsertQueueDpc(KDPC *dpc, PVOID first, PVOID second);
IMPORT void KeFlushQueuedDpcs(void);
IMPORT KIRQL KeAcquireSpinLockRaiseToDpc(KSPIN_LOCK *lock);
IMPORT void KeReleaseSpinLock(KSPIN_LOCK *lock, KIRQL old);
IMPORT void KeAcquireSpinLockAtDpcLevel(KSPIN_LOCK *lock);
IMPORT void KeEnterCriticalRegion(void);
IMPORT void KeLeaveCriticalRegion(void);
IMPORT LONGLONG KeQueryPerformanceCounter(LONGLONG *frequency);
IMPORT NTSTATUS KeExpandKernelStackAndCallout(PVOID callout, PVOID parameter, SIZE_T size);
IMPORT void IoGetStackLimits(ULONG_PTR *low, ULONG_PTR *high);
IMPORT void KeBugCheckEx(ULONG code, ULONGLONG a, ULONGLONG b, ULONGLONG c, ULONGLONG d);
IMPORT void ExAcquireFastMutex(FAST_MUTEX *mutex);
IMPORT void ExReleaseFastMutex(FAST_MUTEX *mutex);
IMPORT NTSTATUS ExInitializeResourceLite(ERESOURCE *resource);
IMPORT NTSTATUS ExDeleteResourceLite(ERESOURCE *resource);
IMPORT BOOLEAN ExAcquireResourceExclusiveLite(ERESOURCE *resource, BOOLEAN wait);
IMPORT BOOLEAN ExAcquireResourceSharedLite(ERESOURCE *resource, BOOLEAN wait);
IMPORT void ExReleaseResourceLite(ERESOURCE *resource);
IMPORT void ExConvertExclusiveToSharedLite(ERESOURCE *resource);
IMPORT BOOLEAN ExIsResourceAcquiredExclusiveLite(ERESOURCE *resource);
IMPORT ULONG ExIsResourceAcquiredSharedLite(ERESOURCE *resource);
IMPORT void ExInitializePagedLookasideList(LOOKASIDE *list, PVOID allocate, PVOID free, ULONG flags, SIZE_T size,
					   ULONG tag, USHORT depth);
IMPORT void ExDeletePagedLookasideList(LOOKASIDE *list);
IMPORT PVOID ExAllocateFromPagedLookasideList(LOOKASIDE *list);
IMPORT void ExFreeToPagedLookasideList(LOOKASIDE *list, PVOID entry);
IMPORT void ExQueueWorkItem(WORK_ITEM *item, int queue);
IMPORT void ExRaiseStatus(NTSTATUS status);
IMPORT NTSTATUS PsCreateSystemThread(HANDLE *handle, ULONG access, PVOID attributes, HANDLE process, PVOID client,
				     PKSTART_ROUTINE routine, PVOID context);
IMPORT NTSTATUS PsTerminateSystemThread(NTSTATUS status);
IMPORT PVOID PsGetCurrentThread(void);
IMPORT NTSTATUS ObReferenceObjectByHandle(HANDLE handle, ULONG access, PVOID type, int mode, PVOID *object, PVOID info);
IMPORT LONGLONG ObfReferenceObject(PVOID object);
IMPORT LONGLONG ObfDereferenceObject(PVOID object);
IMPORT NTSTATUS ZwClose(HANDLE handle);
IMPORT MDL *IoAllocateMdl(PVOID address, ULONG length, BOOLEAN secondary, BOOLEAN quota, PVOID irp);
IMPORT void IoFreeMdl(MDL *mdl);
IMPORT PVOID IoAllocateIrp(CCHAR stack_size, BOOLEAN charge_quota);
IMPORT void IoFreeIrp(PVOID irp);
IMPORT void IoSetHardErrorOrVerifyDevice(PVOID irp, PVOID device);
IMPORT void IoSetDeviceToVerify(PVOID thread, PVOID device);
IMPORT void IoBuildPartialMdl(MDL *source, MDL *target, PVOID address, ULONG length);
IMPORT void MmProbeAndLockPages(MDL *mdl, int mode, int operation);
IMPORT void MmUnlockPages(MDL *mdl);
IMPORT PVOID MmMapLockedPagesSpecifyCache(MDL *mdl, int mode, int cache, PVOID base, ULONG bugcheck, ULONG priority);
IMPORT void MmUnmapLockedPages(PVOID base, MDL *mdl);
IMPORT void MmBuildMdlForNonPagedPool(MDL *mdl);
IMPORT MDL *MmAllocatePagesForMdlEx(LONGLONG low, LONGLONG high, LONGLONG skip, SIZE_T total, int cache, ULONG flags);
IMPORT void MmFreePagesFromMdl(MDL *mdl);
IMPORT LONGLONG MmGetPhysicalAddress(PVOID address);
IMPORT PVOID MmGetSystemRoutineAddress(UNICODE_STRING *name);
IMPORT void ProbeForRead(PVOID address, SIZE_T length, ULONG alignment);
IMPORT void ProbeForWrite(PVOID address, SIZE_T length, ULONG alignment);
IMPORT void RtlInitUnicodeString(UNICODE_STRING *string, const WCHAR *text);
IMPORT LONG RtlCompareUnicodeString(UNICODE_STRING *a, UNICODE_STRING *b, BOOLEAN ignore_case);
IMPORT ULONG DbgPrint(const char *format, ...);
IMPORT void *memcpy(void *to, const void *from, SIZE_T length);
IMPORT void *memset(void *to, int byte, SIZE_T length);
IMPORT void NotAnExportOfAnyKernel(void);
IMPORT extern PVOID PsThreadType;
IMPORT extern PVOID PsProcessType;

unsigned long _exception_code(void);
int _abnormal_termination(void);

static inline void ExInitializeFastMutex(FAST_MUTEX *mutex)
{
	mutex->Count = 1;
	mutex->Owner = NULL;
	mutex->Contention = 0;
	KeInitializeEvent(&mutex->Event, 1, FALSE);
}

static inline PVOID allocate(SIZE_T size)
{
	return ExAllocatePoolWithTag(NonPagedPoolNx, size, TEST_TAG);
}

static inline void release(PVOID block)
{
	ExFreePoolWithTag(block, TEST_TAG);
}

#endif
