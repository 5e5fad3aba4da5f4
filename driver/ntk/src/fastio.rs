//! Fast I/O: answers without an IRP, for what the cache or the FCB already knows. Each says "no" when it may not be
//! the whole answer, and an IRP follows.
//
// UNSAFETY: callbacks of the I/O manager with raw file objects and buffers.

use crate::nt::{
    self, BOOLEAN, FAST_IO_DISPATCH, FILE_BASIC_INFORMATION, FILE_NETWORK_OPEN_INFORMATION,
    FILE_STANDARD_INFORMATION, FsRtlCopyRead, FsRtlFastCheckLockForRead, FsRtlMdlReadCompleteDev,
    FsRtlMdlReadDev, IO_STATUS_BLOCK, KeEnterCriticalRegion, KeLeaveCriticalRegion, PDEVICE_OBJECT,
    PFILE_OBJECT, PLARGE_INTEGER, PVOID, ULONG,
};
use crate::open::Open;
use core::cell::UnsafeCell;
use lklfs_fsd::FcbKind;
use lklfs_fsd::fileinfo::{self, FileObjectState};
use lklfs_nt::FileInformationClass;

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
    ReleaseFileForNtCreateSection: None,
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

/// The driver's table. Sections are synchronised by FsRtl's default, the FCB's main resource.
pub fn table() -> *mut FAST_IO_DISPATCH {
    TABLE.0.get()
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
