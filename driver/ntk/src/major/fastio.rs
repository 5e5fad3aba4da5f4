//! Fast I/O: answers without an IRP, for what the cache or the FCB already knows. Each says "no" when it may not be
//! the whole answer, and an IRP follows.
//
// UNSAFETY: callbacks of the I/O manager with raw file objects and buffers.

use crate::object::open::Open;
use core::cell::UnsafeCell;
use lklfs_fsd::FcbKind;
use lklfs_fsd::fileinfo::{self, FileObjectState};
use lklfs_kernel::nt::{
    self, _FS_FILTER_SECTION_SYNC_TYPE, BOOLEAN, FAST_IO_DISPATCH, FILE_BASIC_INFORMATION,
    FILE_NETWORK_OPEN_INFORMATION, FILE_STANDARD_INFORMATION, FS_FILTER_CALLBACK_DATA, FS_FILTER_CALLBACKS,
    FsRtlCopyRead, FsRtlFastCheckLockForRead, FsRtlMdlReadCompleteDev, FsRtlMdlReadDev,
    FsRtlRegisterFileSystemFilterCallbacks, IO_STATUS_BLOCK, KeEnterCriticalRegion, KeLeaveCriticalRegion,
    NTSTATUS, PAGE_EXECUTE_READWRITE, PAGE_READWRITE, PDEVICE_OBJECT, PDRIVER_OBJECT, PFILE_OBJECT,
    PLARGE_INTEGER, PVOID, ULONG, raw_status,
};
use lklfs_nt::{FileInformationClass, NtStatus};

struct Table(UnsafeCell<FAST_IO_DISPATCH>);

// SAFETY: written by table() before the driver has a device, read by the kernel afterwards.
unsafe impl Sync for Table {}

static TABLE: Table = Table(UnsafeCell::new(FAST_IO_DISPATCH {
    SizeOfFastIoDispatch: size_of::<FAST_IO_DISPATCH>() as u32,
    FastIoCheckIfPossible: Some(check_if_possible),
    FastIoRead: Some(copy_read),
    FastIoWrite: None,
    FastIoQueryBasicInfo: Some(query_basic),
    FastIoQueryStandardInfo: Some(query_standard),
    FastIoLock: None,
    FastIoUnlockSingle: None,
    FastIoUnlockAll: None,
    FastIoUnlockAllByKey: None,
    FastIoDeviceControl: None,
    AcquireFileForNtCreateSection: None,
    ReleaseFileForNtCreateSection: Some(release_for_section),
    FastIoDetachDevice: None,
    FastIoQueryNetworkOpenInfo: Some(query_network_open),
    AcquireForModWrite: None,
    MdlRead: Some(FsRtlMdlReadDev),
    MdlReadComplete: Some(FsRtlMdlReadCompleteDev),
    PrepareMdlWrite: None,
    MdlWriteComplete: None,
    FastIoReadCompressed: None,
    FastIoWriteCompressed: None,
    MdlReadCompleteCompressed: None,
    MdlWriteCompleteCompressed: None,
    FastIoQueryOpen: None,
    ReleaseForModWrite: None,
    AcquireForCcFlush: None,
    ReleaseForCcFlush: None,
}));

/// The driver's table. Sections are synchronised by the FCB's main resource, as FsRtl's default has it.
pub fn table() -> *mut FAST_IO_DISPATCH {
    TABLE.0.get()
}

struct Callbacks(UnsafeCell<FS_FILTER_CALLBACKS>);

// SAFETY: nobody writes to it.
unsafe impl Sync for Callbacks {}

/// What the memory manager asks before it makes a section. The fast I/O table has a routine for that, too, which cannot
/// say no.
static CALLBACKS: Callbacks = Callbacks(UnsafeCell::new(FS_FILTER_CALLBACKS {
    SizeOfFsFilterCallbacks: size_of::<FS_FILTER_CALLBACKS>() as u32,
    Reserved: 0,
    PreAcquireForSectionSynchronization: Some(acquire_for_section),
    PostAcquireForSectionSynchronization: None,
    PreReleaseForSectionSynchronization: None,
    PostReleaseForSectionSynchronization: None,
    PreAcquireForCcFlush: None,
    PostAcquireForCcFlush: None,
    PreReleaseForCcFlush: None,
    PostReleaseForCcFlush: None,
    PreAcquireForModifiedPageWriter: None,
    PostAcquireForModifiedPageWriter: None,
    PreReleaseForModifiedPageWriter: None,
    PostReleaseForModifiedPageWriter: None,
}));

/// Registers what is asked before a section is made. A kernel that has no such callbacks (Wine's) takes FsRtl's default:
/// handles have no right that a writable section needs in any case.
///
/// IRQL: PASSIVE_LEVEL; from DriverEntry.
///
/// # Safety
/// `driver` is this driver's object.
pub unsafe fn register_callbacks(driver: PDRIVER_OBJECT) {
    // SAFETY: promised by the caller; the callbacks live as long as the driver.
    let _ = unsafe { FsRtlRegisterFileSystemFilterCallbacks(driver, CALLBACKS.0.get()) };
}

/// Acquires the file before a section of it is made; FsRtl has entered a critical region. A section whose pages can be written is refused, whoever wants it:
/// its pages are those that all others read and run.
unsafe extern "C" fn acquire_for_section(
    data: *mut FS_FILTER_CALLBACK_DATA,
    _context: *mut PVOID,
) -> NTSTATUS {
    // SAFETY: FsRtl's own argument.
    let data = unsafe { &*data };
    // SAFETY: for this operation the union holds these parameters.
    let parameters = unsafe { data.Parameters.AcquireForSectionSynchronization };
    let creates = parameters.SyncType == _FS_FILTER_SECTION_SYNC_TYPE::SyncTypeCreateSection;
    if creates && parameters.PageProtection & (PAGE_READWRITE | PAGE_EXECUTE_READWRITE) != 0 {
        return raw_status(NtStatus::ACCESS_DENIED);
    }
    // SAFETY: FsRtl holds the file object, which is on a device of ours.
    let Some(open) = (unsafe { Open::of(data.FileObject) }) else {
        return raw_status(NtStatus::SUCCESS);
    };
    open.fcb.main().acquire_inside_region();
    raw_status(if creates {
        NtStatus::FILE_LOCKED_WITH_ONLY_READERS
    } else {
        NtStatus::FSFILTER_OP_COMPLETED_SUCCESSFULLY
    })
}

/// Releases what was acquired for a section: by [`acquire_for_section`], or by FsRtl, which takes the same resource.
unsafe extern "C" fn release_for_section(file: PFILE_OBJECT) {
    // SAFETY: the memory manager holds the file object, which is on a device of ours.
    if let Some(open) = unsafe { Open::of(file) } {
        open.fcb.main().release_inside_region();
    }
}

/// Without leave to wait: whoever waits for a disk without an IRP cannot be cancelled.
unsafe extern "C" fn copy_read(
    file: PFILE_OBJECT,
    offset: PLARGE_INTEGER,
    length: ULONG,
    _wait: BOOLEAN,
    key: ULONG,
    buffer: PVOID,
    status: *mut IO_STATUS_BLOCK,
    device: PDEVICE_OBJECT,
) -> BOOLEAN {
    // SAFETY: the I/O manager's own arguments.
    unsafe { FsRtlCopyRead(file, offset, length, nt::NO, key, buffer, status, device) }
}

unsafe extern "C" fn check_if_possible(
    file: PFILE_OBJECT,
    offset: PLARGE_INTEGER,
    length: ULONG,
    _wait: BOOLEAN,
    key: ULONG,
    read: BOOLEAN,
    _status: *mut IO_STATUS_BLOCK,
    _device: PDEVICE_OBJECT,
) -> BOOLEAN {
    // SAFETY: the I/O manager holds the file object, which is on a device of ours.
    let Some(open) = (unsafe { Open::of(file) }) else {
        return nt::NO;
    };
    if read == 0 || open.fcb.fcb.kind() != FcbKind::File || open.volume.is_doubtful() {
        return nt::NO;
    }
    let mut bytes = nt::large(i64::from(length));
    // SAFETY: may be called anywhere.
    let process = unsafe { nt::IoGetCurrentProcess() };
    // SAFETY: the I/O manager passes a valid offset; the lock belongs to the FCB.
    unsafe { FsRtlFastCheckLockForRead(open.fcb.locks(), offset, &mut bytes, key, file, process.cast()) }
}

/// Answers one of the classes that never ask Linux, into `buffer`.
///
/// # Safety
/// The arguments are the I/O manager's: a file object of ours, a buffer of `length` bytes, a status block.
unsafe fn query(
    file: PFILE_OBJECT,
    class: FileInformationClass,
    buffer: PVOID,
    length: usize,
    status: *mut IO_STATUS_BLOCK,
) -> BOOLEAN {
    // SAFETY: promised by the caller.
    let Some(open) = (unsafe { Open::of(file) }) else {
        return nt::NO;
    };
    if open.volume.is_doubtful() {
        return nt::NO;
    }
    // SAFETY: promised by the caller.
    let out = unsafe { core::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    out.fill(0);
    // SAFETY: balanced below.
    unsafe { KeEnterCriticalRegion() };
    let state = FileObjectState::default();
    let outcome = fileinfo::query(&open.volume.vcb, &open.fcb.fcb, &open.ccb, state, class, out);
    // SAFETY: entered above.
    unsafe { KeLeaveCriticalRegion() };
    if !nt::succeeded(outcome.status) {
        return nt::NO;
    }
    // SAFETY: promised by the caller.
    let status = unsafe { &mut *status };
    status.__bindgen_anon_1.Status = nt::raw_status(outcome.status);
    status.Information = outcome.information as _;
    nt::YES
}

unsafe extern "C" fn query_basic(
    file: PFILE_OBJECT,
    _wait: BOOLEAN,
    buffer: *mut FILE_BASIC_INFORMATION,
    status: *mut IO_STATUS_BLOCK,
    _device: PDEVICE_OBJECT,
) -> BOOLEAN {
    let length = size_of::<FILE_BASIC_INFORMATION>();
    // SAFETY: the I/O manager's own arguments.
    unsafe {
        query(
            file,
            FileInformationClass::FileBasicInformation,
            buffer.cast(),
            length,
            status,
        )
    }
}

unsafe extern "C" fn query_standard(
    file: PFILE_OBJECT,
    _wait: BOOLEAN,
    buffer: *mut FILE_STANDARD_INFORMATION,
    status: *mut IO_STATUS_BLOCK,
    _device: PDEVICE_OBJECT,
) -> BOOLEAN {
    let length = size_of::<FILE_STANDARD_INFORMATION>();
    // SAFETY: the I/O manager's own arguments.
    unsafe {
        query(
            file,
            FileInformationClass::FileStandardInformation,
            buffer.cast(),
            length,
            status,
        )
    }
}

unsafe extern "C" fn query_network_open(
    file: PFILE_OBJECT,
    _wait: BOOLEAN,
    buffer: *mut FILE_NETWORK_OPEN_INFORMATION,
    status: *mut IO_STATUS_BLOCK,
    _device: PDEVICE_OBJECT,
) -> BOOLEAN {
    let length = size_of::<FILE_NETWORK_OPEN_INFORMATION>();
    // SAFETY: the I/O manager's own arguments.
    unsafe {
        query(
            file,
            FileInformationClass::FileNetworkOpenInformation,
            buffer.cast(),
            length,
            status,
        )
    }
}
