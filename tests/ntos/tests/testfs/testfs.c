/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file system driver for testing the NT kernel double before and beside lklfs.sys.
 *
 * A volume is: sector 0 with "TESTFS01", a 32-bit count, and entries of 32 bytes (16 of name, 64-bit byte offset, 64-bit
 * size); the root directory holds the files, and there is no other directory. All that a read-only file system does with
 * the kernel is done once: mount, open, cached, uncached and paging reads, listing, queries, dismount, unload.
 *
 * -DBUG=n builds the driver with one known fault each (see tests/verifier.rs), to see that the double finds it.
 */
#include <ntifs.h>

#ifndef BUG
#define BUG 0
#endif
#define NO_BUG 0
#define COMPLETES_TWICE 1
#define PENDS_UNMARKED 2
#define MARKS_AND_RETURNS 3
#define RETURNS_OTHER_STATUS 4
#define LEAKS_POOL 5
#define LEAKS_CACHE_MAP 6
#define TOUCHES_COMPLETED_IRP 7
#define KEEPS_CRITICAL_REGION 8
#define FORGETS_TOP_LEVEL 9
#define LEAKS_IRP 10
#define OVERRUNS_POOL 11
#define WRITES_TO_DISK 12
#define KEEPS_SPIN_LOCK 13
#define USES_FREED_POOL 14
#define INFORMATION_TOO_LARGE 15
#define DELETES_DEVICE_TWICE 16
#define REGISTERS_TWICE 17
#define UNPINS_NOTHING 18
#define FORGETS_FILE_LOCK 19
#define FREES_SENT_IRP 20
#define COMPLETES_PENDING 21
#define REFERENCES_ANY_FILE_OBJECT 22
#define SKIPS_A_MARKED_LOCATION 23
#define FORWARDS_USER_POINTERS 24
#define KEEPS_A_NAME_ON_THE_STACK 25
#define WRITES_TO_AN_INPUT 26
#define TAKES_THE_SYSTEMS_WORKERS 27
#define WAITS_IN_A_NESTED_CLOSE 28
#define TELLS_WITH_A_LOCK_HELD 29

#define TAG 'sfsT'
#define MAX_FILES 14
#define SECTOR 512

typedef struct {
    char name[16];
    ULONGLONG offset;
    ULONGLONG size;
} ENTRY;

typedef struct {
    char magic[8];
    ULONG count;
    ULONG spare;
    ENTRY entry[MAX_FILES];
} LABEL;

typedef struct {
    FSRTL_ADVANCED_FCB_HEADER header;
    ERESOURCE main, paging;
    FAST_MUTEX mutex;
    SECTION_OBJECT_POINTERS sections;
    SHARE_ACCESS shares;
    FILE_LOCK locks;
    ULONG opens;
    ULONG index; /* of the entry; MAX_FILES is the root, MAX_FILES + 1 the volume */
} FCB;

typedef struct {
    ULONG cursor;
} CCB;

typedef struct {
    PDEVICE_OBJECT target;
    PVPB vpb;
    LABEL label;
    BOOLEAN locked, dismounted;
    FCB fcb[MAX_FILES + 2];
} VCB;

static PDEVICE_OBJECT file_system;
static FAST_IO_DISPATCH fast_io;

static NTSTATUS done(PIRP irp, NTSTATUS status, ULONG_PTR information)
{
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = information;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return status;
}

/* Reading the disk ----------------------------------------------------------------------------------------------- */

static NTSTATUS NTAPI read_done(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    UNREFERENCED_PARAMETER(device);
    *irp->UserIosb = irp->IoStatus;
    while (irp->MdlAddress) {
        PMDL next = irp->MdlAddress->Next;
        if (irp->MdlAddress->MdlFlags & MDL_PAGES_LOCKED)
            MmUnlockPages(irp->MdlAddress);
        IoFreeMdl(irp->MdlAddress);
        irp->MdlAddress = next;
    }
#if BUG != LEAKS_IRP
    IoFreeIrp(irp);
#endif
    KeSetEvent(context, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

static NTSTATUS read_disk(PDEVICE_OBJECT target, ULONGLONG offset, PVOID buffer, ULONG length)
{
    KEVENT event;
    IO_STATUS_BLOCK iosb;
    LARGE_INTEGER at = {.QuadPart = offset};
    ULONG major = BUG == WRITES_TO_DISK ? IRP_MJ_WRITE : IRP_MJ_READ;
    PIRP irp;

    KeInitializeEvent(&event, NotificationEvent, FALSE);
    irp = IoBuildAsynchronousFsdRequest(major, target, buffer, length, &at, &iosb);
    if (!irp)
        return STATUS_INSUFFICIENT_RESOURCES;
    IoSetCompletionRoutine(irp, read_done, &event, TRUE, TRUE, TRUE);
    IoCallDriver(target, irp);
#if BUG == FREES_SENT_IRP
    IoFreeIrp(irp);
#endif
    KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
    return BUG == WRITES_TO_DISK ? STATUS_SUCCESS : iosb.Status;
}

/* Mounting ------------------------------------------------------------------------------------------------------- */

static BOOLEAN NTAPI acquire(PVOID context, BOOLEAN wait)
{
    FCB *fcb = context;

    if (!ExAcquireResourceSharedLite(&fcb->main, wait))
        return FALSE;
    IoSetTopLevelIrp((PIRP)FSRTL_CACHE_TOP_LEVEL_IRP);
    return TRUE;
}

static VOID NTAPI release(PVOID context)
{
    FCB *fcb = context;

    IoSetTopLevelIrp(NULL);
    ExReleaseResourceLite(&fcb->main);
}

static CACHE_MANAGER_CALLBACKS callbacks = {acquire, release, acquire, release};

static NTSTATUS mount(PDEVICE_OBJECT device, PIRP irp, PIO_STACK_LOCATION loc)
{
    PDEVICE_OBJECT target = loc->Parameters.MountVolume.DeviceObject, volume;
    PVPB vpb = loc->Parameters.MountVolume.Vpb;
    LABEL *label = ExAllocatePoolWithTag(NonPagedPoolNx, SECTOR, TAG);
    NTSTATUS status;
    VCB *vcb;
    ULONG i;

    if (!label)
        return done(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    status = read_disk(target, 0, label, SECTOR);
    if (NT_SUCCESS(status) && RtlCompareMemory(label->magic, "TESTFS01", 8) != 8)
        status = STATUS_UNRECOGNIZED_VOLUME;
    if (NT_SUCCESS(status) && label->count > MAX_FILES)
        status = STATUS_DISK_CORRUPT_ERROR;
    if (NT_SUCCESS(status))
        status = IoCreateDevice(device->DriverObject, sizeof(VCB), NULL, FILE_DEVICE_DISK_FILE_SYSTEM, 0, FALSE, &volume);
    if (!NT_SUCCESS(status)) {
        ExFreePoolWithTag(label, TAG);
        return done(irp, status, 0);
    }
    vcb = volume->DeviceExtension;
    vcb->target = target;
    vcb->vpb = vpb;
    vcb->label = *label;
#if BUG == OVERRUNS_POOL
    ((volatile char *)label)[SECTOR] = 1;
#endif
    ExFreePoolWithTag(label, TAG);
#if BUG == USES_FREED_POOL
    vcb->label.spare = ((volatile LABEL *)label)->spare;
#endif
#if BUG == LEAKS_POOL
    ExAllocatePoolWithTag(PagedPool, 100, TAG);
#endif
    for (i = 0; i < MAX_FILES + 2; i++) {
        FCB *fcb = &vcb->fcb[i];
        ULONGLONG size = i < vcb->label.count ? vcb->label.entry[i].size : 0;

        ExInitializeResourceLite(&fcb->main);
        ExInitializeResourceLite(&fcb->paging);
        ExInitializeFastMutex(&fcb->mutex);
        FsRtlSetupAdvancedHeader(&fcb->header, &fcb->mutex);
#if BUG != FORGETS_FILE_LOCK
        FsRtlInitializeFileLock(&fcb->locks, NULL, NULL);
#endif
        fcb->header.Resource = &fcb->main;
        fcb->header.PagingIoResource = &fcb->paging;
        fcb->header.IsFastIoPossible = FastIoIsPossible;
        fcb->header.FileSize.QuadPart = fcb->header.ValidDataLength.QuadPart = size;
        fcb->header.AllocationSize.QuadPart = (size + SECTOR - 1) & ~(ULONGLONG)(SECTOR - 1);
        fcb->index = i;
    }
    volume->StackSize = target->StackSize + 1;
    volume->Flags &= ~DO_DEVICE_INITIALIZING;
    vpb->DeviceObject = volume;
    vpb->SerialNumber = 0x12345678;
    return done(irp, STATUS_SUCCESS, 0);
}

static void unmount(PDEVICE_OBJECT volume)
{
    VCB *vcb = volume->DeviceExtension;
    ULONG i;
    KIRQL irql;

    IoAcquireVpbSpinLock(&irql);
    vcb->vpb->Flags &= ~VPB_MOUNTED;
    vcb->vpb->DeviceObject = NULL;
    IoReleaseVpbSpinLock(irql);
    for (i = 0; i < MAX_FILES + 2; i++) {
        FsRtlTeardownPerStreamContexts(&vcb->fcb[i].header);
        FsRtlUninitializeFileLock(&vcb->fcb[i].locks);
        ExDeleteResourceLite(&vcb->fcb[i].main);
        ExDeleteResourceLite(&vcb->fcb[i].paging);
    }
    IoDeleteDevice(volume);
}

/* One routine for each major function ------------------------------------------------------------------------------ */

static FCB *find(VCB *vcb, PFILE_OBJECT file)
{
    UNICODE_STRING name = file->FileName;
    ULONG i, n;

    if (name.Length == 0)
        return file->RelatedFileObject ? file->RelatedFileObject->FsContext : &vcb->fcb[MAX_FILES + 1];
    if (name.Buffer[0] == '\\') {
        name.Buffer++;
        name.Length -= 2;
    }
    if (name.Length == 0)
        return &vcb->fcb[MAX_FILES];
    for (i = 0; i < vcb->label.count; i++) {
        const char *known = vcb->label.entry[i].name;

        for (n = 0; n < 16 && n < name.Length / 2 && name.Buffer[n] == (WCHAR)known[n]; n++)
            ;
        if (n == name.Length / 2 && (n == 16 || known[n] == 0))
            return &vcb->fcb[i];
    }
    return NULL;
}

static NTSTATUS create(VCB *vcb, PIRP irp, PIO_STACK_LOCATION loc)
{
    PFILE_OBJECT file = loc->FileObject;
    ULONG options = loc->Parameters.Create.Options, disposition = options >> 24;
    ACCESS_MASK access = loc->Parameters.Create.SecurityContext->DesiredAccess;
    NTSTATUS status = STATUS_SUCCESS;
    FCB *fcb = find(vcb, file);
    CCB *ccb;

    if (vcb->dismounted)
        return done(irp, STATUS_VOLUME_DISMOUNTED, 0);
    if (!fcb)
        return done(irp, STATUS_OBJECT_NAME_NOT_FOUND, 0);
    if (disposition != FILE_OPEN && disposition != FILE_OPEN_IF)
        return done(irp, STATUS_MEDIA_WRITE_PROTECTED, 0);
    if ((options & FILE_DIRECTORY_FILE) && fcb->index != MAX_FILES)
        return done(irp, STATUS_NOT_A_DIRECTORY, 0);
    if ((options & FILE_NON_DIRECTORY_FILE) && fcb->index == MAX_FILES)
        return done(irp, STATUS_FILE_IS_A_DIRECTORY, 0);
    if (access & (FILE_WRITE_DATA | FILE_APPEND_DATA | DELETE))
        return done(irp, STATUS_MEDIA_WRITE_PROTECTED, 0);
    ccb = ExAllocatePoolWithTag(PagedPool, sizeof(CCB), TAG);
    if (!ccb)
        return done(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    FsRtlEnterFileSystem();
    ExAcquireResourceExclusiveLite(&fcb->main, TRUE);
    if (fcb->opens)
        status = IoCheckShareAccess(access, loc->Parameters.Create.ShareAccess, file, &fcb->shares, TRUE);
    else
        IoSetShareAccess(access, loc->Parameters.Create.ShareAccess, file, &fcb->shares);
    if (NT_SUCCESS(status)) {
        fcb->opens++;
        ccb->cursor = 0;
        file->FsContext = fcb;
        file->FsContext2 = ccb;
        file->SectionObjectPointer = &fcb->sections;
        file->Vpb = vcb->vpb;
        file->Flags |= FO_CACHE_SUPPORTED;
    }
    ExReleaseResourceLite(&fcb->main);
    FsRtlExitFileSystem();
    if (!NT_SUCCESS(status))
        ExFreePoolWithTag(ccb, TAG);
    return done(irp, status, FILE_OPENED);
}

static NTSTATUS cleanup(PIRP irp, PFILE_OBJECT file)
{
    FCB *fcb = file->FsContext;

    FsRtlEnterFileSystem();
    ExAcquireResourceExclusiveLite(&fcb->main, TRUE);
    FsRtlFastUnlockAll(&fcb->locks, file, IoGetRequestorProcess(irp), NULL);
    IoRemoveShareAccess(file, &fcb->shares);
    fcb->opens--;
#if BUG != LEAKS_CACHE_MAP
    CcUninitializeCacheMap(file, NULL, NULL);
#endif
    ExReleaseResourceLite(&fcb->main);
#if BUG != KEEPS_CRITICAL_REGION
    FsRtlExitFileSystem();
#endif
    return done(irp, STATUS_SUCCESS, 0);
}

/* Reads whole sectors around the range into a buffer of its own and copies what is wanted. */
static NTSTATUS read_through(VCB *vcb, FCB *fcb, ULONGLONG offset, ULONG length, char *to)
{
    ULONGLONG start = vcb->label.entry[fcb->index].offset + offset;
    ULONG before = (ULONG)(start % SECTOR), span = (before + length + SECTOR - 1) / SECTOR * SECTOR;
    char *buffer = ExAllocatePoolWithTag(NonPagedPoolNx, span, TAG);
    NTSTATUS status;

    if (!buffer)
        return STATUS_INSUFFICIENT_RESOURCES;
    status = read_disk(vcb->target, start - before, buffer, span);
    if (NT_SUCCESS(status))
        RtlCopyMemory(to, buffer + before, length);
    ExFreePoolWithTag(buffer, TAG);
    return status;
}

static NTSTATUS read(VCB *vcb, PIRP irp, PIO_STACK_LOCATION loc)
{
    PFILE_OBJECT file = loc->FileObject;
    FCB *fcb = file->FsContext;
    ULONGLONG offset = loc->Parameters.Read.ByteOffset.QuadPart, size = fcb->header.FileSize.QuadPart;
    ULONG length = loc->Parameters.Read.Length, wanted = length;
    BOOLEAN paging = (irp->Flags & IRP_PAGING_IO) != 0;
    PERESOURCE lock = paging ? &fcb->paging : &fcb->main;
    NTSTATUS status = STATUS_SUCCESS;
    PVOID buffer;

    if (fcb->index >= MAX_FILES)
        return done(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (length == 0)
        return done(irp, STATUS_SUCCESS, 0);
    if (offset >= size)
        return done(irp, STATUS_END_OF_FILE, 0);
    if (wanted > size - offset)
        wanted = (ULONG)(size - offset);
    buffer = irp->MdlAddress ? MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority) : irp->UserBuffer;
    if (!buffer)
        return done(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    FsRtlEnterFileSystem();
    ExAcquireResourceSharedLite(lock, TRUE);
    if (!paging && !FsRtlCheckLockForReadAccess(&fcb->locks, irp)) {
        status = STATUS_FILE_LOCK_CONFLICT;
    } else if (irp->Flags & IRP_NOCACHE) {
        status = read_through(vcb, fcb, offset, wanted, buffer);
    } else {
        LARGE_INTEGER at = {.QuadPart = offset};

        if (!file->PrivateCacheMap)
            CcInitializeCacheMap(file, (PCC_FILE_SIZES)&fcb->header.AllocationSize, FALSE, &callbacks, fcb);
        CcCopyRead(file, &at, wanted, TRUE, buffer, &irp->IoStatus);
        status = irp->IoStatus.Status;
    }
    if (NT_SUCCESS(status) && !paging && (file->Flags & FO_SYNCHRONOUS_IO))
        file->CurrentByteOffset.QuadPart = offset + wanted;
    ExReleaseResourceLite(lock);
    FsRtlExitFileSystem();
#if BUG == UNPINS_NOTHING
    CcUnpinData(fcb);
#elif BUG == COMPLETES_PENDING
    return done(irp, STATUS_PENDING, 0);
#elif BUG == PENDS_UNMARKED
    done(irp, status, wanted);
    return STATUS_PENDING;
#elif BUG == MARKS_AND_RETURNS
    IoMarkIrpPending(irp);
#elif BUG == RETURNS_OTHER_STATUS
    done(irp, status, wanted);
    return STATUS_UNSUCCESSFUL;
#elif BUG == COMPLETES_TWICE
    done(irp, status, wanted);
#elif BUG == TOUCHES_COMPLETED_IRP
    done(irp, status, wanted);
    return irp->IoStatus.Status;
#elif BUG == FORGETS_TOP_LEVEL
    IoSetTopLevelIrp(irp);
#elif BUG == KEEPS_SPIN_LOCK
    {
        static KSPIN_LOCK kept;
        KeAcquireSpinLockRaiseToDpc(&kept);
    }
#endif
    return done(irp, status, NT_SUCCESS(status) ? wanted : 0);
}

static NTSTATUS query(PIRP irp, PIO_STACK_LOCATION loc)
{
    FCB *fcb = loc->FileObject->FsContext;
    ULONG length = loc->Parameters.QueryFile.Length;
    PVOID buffer = irp->AssociatedIrp.SystemBuffer;

#if BUG == REFERENCES_ANY_FILE_OBJECT
    ObReferenceObject(loc->FileObject);
    ObDereferenceObject(loc->FileObject);
#endif
    RtlZeroMemory(buffer, length);
    switch (loc->Parameters.QueryFile.FileInformationClass) {
    case FileBasicInformation: {
        PFILE_BASIC_INFORMATION basic = buffer;

        if (length < sizeof(*basic))
            return done(irp, STATUS_INFO_LENGTH_MISMATCH, 0);
        basic->LastWriteTime.QuadPart = 132000000000000000LL;
        basic->FileAttributes = fcb->index == MAX_FILES ? FILE_ATTRIBUTE_DIRECTORY : FILE_ATTRIBUTE_NORMAL;
        return done(irp, STATUS_SUCCESS, sizeof(*basic) + (BUG == INFORMATION_TOO_LARGE ? 100 : 0));
    }
    case FileStandardInformation: {
        PFILE_STANDARD_INFORMATION standard = buffer;

        if (length < sizeof(*standard))
            return done(irp, STATUS_INFO_LENGTH_MISMATCH, 0);
        standard->AllocationSize = fcb->header.AllocationSize;
        standard->EndOfFile = fcb->header.FileSize;
        standard->NumberOfLinks = 1;
        standard->Directory = fcb->index == MAX_FILES;
        return done(irp, STATUS_SUCCESS, sizeof(*standard));
    }
    default:
        return done(irp, STATUS_INVALID_PARAMETER, 0);
    }
}

static NTSTATUS list(VCB *vcb, PIRP irp, PIO_STACK_LOCATION loc)
{
    CCB *ccb = loc->FileObject->FsContext2;
    char *buffer = irp->UserBuffer, *last = NULL;
    ULONG used = 0, room = loc->Parameters.QueryDirectory.Length, n, at, first = ccb->cursor;

#if BUG == KEEPS_A_NAME_ON_THE_STACK
    if (loc->MinorFunction == IRP_MN_NOTIFY_CHANGE_DIRECTORY) {
        static PNOTIFY_SYNC sync;
        static LIST_ENTRY head = {&head, &head};
        STRING name = {0};

        FsRtlNotifyInitializeSync(&sync);
        FsRtlNotifyFullChangeDirectory(sync, &head, ccb, &name, FALSE, FALSE, FILE_NOTIFY_CHANGE_FILE_NAME, irp, NULL, NULL);
        return STATUS_PENDING;
    }
#endif
    if (loc->MinorFunction != IRP_MN_QUERY_DIRECTORY)
        return done(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (loc->Parameters.QueryDirectory.FileInformationClass != FileIdBothDirectoryInformation)
        return done(irp, STATUS_INVALID_INFO_CLASS, 0);
    if (loc->Flags & SL_RESTART_SCAN)
        ccb->cursor = 0;
    for (; ccb->cursor < vcb->label.count; ccb->cursor++) {
        ENTRY *entry = &vcb->label.entry[ccb->cursor];
        FILE_ID_BOTH_DIR_INFORMATION *info;

        for (n = 0; n < 16 && entry->name[n]; n++)
            ;
        at = (used + 7) & ~7u;
        if (at + FIELD_OFFSET(FILE_ID_BOTH_DIR_INFORMATION, FileName) + n * 2 > room)
            break;
        info = (PVOID)(buffer + at);
        RtlZeroMemory(info, FIELD_OFFSET(FILE_ID_BOTH_DIR_INFORMATION, FileName));
        if (last)
            *(ULONG *)last = (ULONG)(buffer + at - last);
        last = buffer + at;
        info->EndOfFile.QuadPart = entry->size;
        info->FileAttributes = FILE_ATTRIBUTE_NORMAL;
        info->FileNameLength = n * 2;
        info->FileId.QuadPart = ccb->cursor + 1;
        used = at + FIELD_OFFSET(FILE_ID_BOTH_DIR_INFORMATION, FileName) + n * 2;
        while (n--)
            info->FileName[n] = entry->name[n];
        if (loc->Flags & SL_RETURN_SINGLE_ENTRY) {
            ccb->cursor++;
            break;
        }
    }
    if (!used && ccb->cursor < vcb->label.count)
        return done(irp, STATUS_BUFFER_OVERFLOW, 0);
    if (!used)
        return done(irp, first ? STATUS_NO_MORE_FILES : STATUS_NO_SUCH_FILE, 0);
    return done(irp, STATUS_SUCCESS, used);
}

#if BUG == TAKES_THE_SYSTEMS_WORKERS
static KEVENT never;

static VOID NTAPI wait_for_ever(PDEVICE_OBJECT device, PVOID context)
{
    UNREFERENCED_PARAMETER(device);
    UNREFERENCED_PARAMETER(context);
    KeWaitForSingleObject(&never, Executive, KernelMode, FALSE, NULL);
}
#endif

#if BUG == FORWARDS_USER_POINTERS
static VOID NTAPI forward(PDEVICE_OBJECT device, PVOID context)
{
    VCB *vcb = device->DeviceExtension;

    IoCopyCurrentIrpStackLocationToNext((PIRP)context);
    IoCallDriver(vcb->target, context);
}
#endif

static NTSTATUS user_fsctl(PDEVICE_OBJECT device, PIRP irp, PIO_STACK_LOCATION loc)
{
    VCB *vcb = device->DeviceExtension;

#if BUG == TAKES_THE_SYSTEMS_WORKERS
    int i;

    KeInitializeEvent(&never, NotificationEvent, FALSE);
    for (i = 0; i < 8; i++)
        IoQueueWorkItem(IoAllocateWorkItem(device), wait_for_ever, DelayedWorkQueue, NULL);
#elif BUG == WRITES_TO_AN_INPUT
    *(volatile char *)MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority) = 1;
#elif BUG == WAITS_IN_A_NESTED_CLOSE
    FsRtlEnterFileSystem();
    ExAcquireResourceExclusiveLite(&vcb->fcb[0].main, TRUE);
    CcPurgeCacheSection(&vcb->fcb[0].sections, NULL, 0, FALSE);
    ExReleaseResourceLite(&vcb->fcb[0].main);
    FsRtlExitFileSystem();
#endif
    switch (loc->Parameters.FileSystemControl.FsControlCode) {
    case FSCTL_LOCK_VOLUME:
#if BUG == TELLS_WITH_A_LOCK_HELD
        FsRtlEnterFileSystem();
        ExAcquireResourceExclusiveLite(&vcb->fcb[0].main, TRUE);
        FsRtlNotifyVolumeEvent(loc->FileObject, FSRTL_VOLUME_LOCK);
        ExReleaseResourceLite(&vcb->fcb[0].main);
        FsRtlExitFileSystem();
#endif
        vcb->locked = TRUE;
        return done(irp, STATUS_SUCCESS, 0);
    case FSCTL_DISMOUNT_VOLUME:
        vcb->dismounted = TRUE;
        return done(irp, STATUS_SUCCESS, 0);
    default:
        return done(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static NTSTATUS NTAPI dispatch(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION loc = IoGetCurrentIrpStackLocation(irp);
    PFILE_OBJECT file = loc->FileObject;
    VCB *vcb = device->DeviceExtension;

    if (device == file_system) {
        if (loc->MajorFunction == IRP_MJ_FILE_SYSTEM_CONTROL && loc->MinorFunction == IRP_MN_MOUNT_VOLUME)
            return mount(device, irp, loc);
        if (loc->MajorFunction == IRP_MJ_CREATE || loc->MajorFunction == IRP_MJ_CLEANUP || loc->MajorFunction == IRP_MJ_CLOSE)
            return done(irp, STATUS_SUCCESS, FILE_OPENED);
        return done(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    switch (loc->MajorFunction) {
    case IRP_MJ_CREATE:
        return create(vcb, irp, loc);
    case IRP_MJ_CLEANUP:
        return cleanup(irp, file);
    case IRP_MJ_CLOSE: {
        BOOLEAN last = vcb->dismounted && ((FCB *)file->FsContext)->index == MAX_FILES + 1;

#if BUG == WAITS_IN_A_NESTED_CLOSE
        FsRtlEnterFileSystem();
        ExAcquireResourceExclusiveLite(&vcb->fcb[MAX_FILES].main, TRUE);
        ExReleaseResourceLite(&vcb->fcb[MAX_FILES].main);
        FsRtlExitFileSystem();
#endif
        ExFreePoolWithTag(file->FsContext2, TAG);
        done(irp, STATUS_SUCCESS, 0);
        if (last)
            unmount(device);
        return STATUS_SUCCESS;
    }
    case IRP_MJ_READ:
        return read(vcb, irp, loc);
    case IRP_MJ_QUERY_INFORMATION:
        return query(irp, loc);
    case IRP_MJ_DIRECTORY_CONTROL:
        return list(vcb, irp, loc);
    case IRP_MJ_LOCK_CONTROL: {
        FCB *fcb = file->FsContext;
        NTSTATUS status = FsRtlProcessFileLock(&fcb->locks, irp, NULL);

        fcb->header.IsFastIoPossible = fcb->locks.FastIoIsQuestionable ? FastIoIsQuestionable : FastIoIsPossible;
        return status;
    }
    case IRP_MJ_FILE_SYSTEM_CONTROL:
        if (loc->MinorFunction == IRP_MN_USER_FS_REQUEST)
            return user_fsctl(device, irp, loc);
        return done(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    case IRP_MJ_DEVICE_CONTROL:
#if BUG == SKIPS_A_MARKED_LOCATION
        IoMarkIrpPending(irp);
        IoSkipCurrentIrpStackLocation(irp);
        IoCallDriver(vcb->target, irp);
        return STATUS_PENDING;
#elif BUG == FORWARDS_USER_POINTERS
        IoMarkIrpPending(irp);
        IoQueueWorkItem(IoAllocateWorkItem(device), forward, DelayedWorkQueue, irp);
        return STATUS_PENDING;
#endif
        IoSkipCurrentIrpStackLocation(irp);
        return IoCallDriver(vcb->target, irp);
    default:
        return done(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static BOOLEAN NTAPI check_fast(PFILE_OBJECT file, PLARGE_INTEGER offset, ULONG length, BOOLEAN wait, ULONG key,
                                BOOLEAN reading, PIO_STATUS_BLOCK iosb, PDEVICE_OBJECT device)
{
    FCB *fcb = file->FsContext;
    LARGE_INTEGER count = {.QuadPart = length};

    UNREFERENCED_PARAMETER(wait);
    UNREFERENCED_PARAMETER(iosb);
    UNREFERENCED_PARAMETER(device);
    return reading && FsRtlFastCheckLockForRead(&fcb->locks, offset, &count, key, file, IoGetCurrentProcess());
}

static VOID NTAPI unload(PDRIVER_OBJECT driver)
{
    UNREFERENCED_PARAMETER(driver);
    IoUnregisterFileSystem(file_system);
    IoDeleteDevice(file_system);
#if BUG == DELETES_DEVICE_TWICE
    IoDeleteDevice(file_system);
#endif
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING registry)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\TestFs");
    NTSTATUS status;
    ULONG i;

    UNREFERENCED_PARAMETER(registry);
    status = IoCreateDevice(driver, 0, &name, FILE_DEVICE_DISK_FILE_SYSTEM, 0, FALSE, &file_system);
    if (!NT_SUCCESS(status))
        return status;
    for (i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
        driver->MajorFunction[i] = dispatch;
    fast_io.SizeOfFastIoDispatch = sizeof(fast_io);
    fast_io.FastIoCheckIfPossible = check_fast;
    fast_io.FastIoRead = FsRtlCopyRead;
    driver->FastIoDispatch = &fast_io;
    driver->DriverUnload = unload;
    IoRegisterFileSystem(file_system);
#if BUG == REGISTERS_TWICE
    IoRegisterFileSystem(file_system);
#endif
    return STATUS_SUCCESS;
}
