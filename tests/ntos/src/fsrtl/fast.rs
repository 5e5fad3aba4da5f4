//! Fast I/O through the cache manager, and the size of a file.
//!
//! `FsRtlCopyRead` and its kin read through the cache without an IRP when the stream is cached and its header
//! allows it; they answer FALSE when the caller has to send an IRP. Unlike a file system's own call of the
//! cache manager they catch its errors.

use crate::cc::copy;
use crate::io::file::{self, Waiter};
use crate::io::ledger::Owner;
use crate::io::{call, irp, kernel, request};
use crate::nt::*;
use crate::ps;

/// `FastIoIsNotPossible`, `FastIoIsPossible`, `FastIoIsQuestionable`.
const NOT_POSSIBLE: u8 = 0;
const QUESTIONABLE: u8 = 2;
/// `FSRTL_FAST_IO_TOP_LEVEL_IRP`.
const FAST_IO_TOP_LEVEL: usize = 4;

/// The fast I/O table of the driver that serves `file_object`.
///
/// # Safety
/// `file_object` is live.
pub unsafe fn table_of(file_object: PFILE_OBJECT) -> Option<(PDEVICE_OBJECT, *mut FAST_IO_DISPATCH)> {
    // SAFETY: by contract.
    unsafe {
        let device = file::related_device(file_object);
        let table = (*(*device).DriverObject).FastIoDispatch;
        (!table.is_null()).then_some((device, table.cast()))
    }
}

/// What a fast read works on: the header is locked shared and the thread is inside the file system.
struct Entered {
    resource: PERESOURCE,
    top_level: usize,
}

impl Entered {
    /// Enters for a read of `len` bytes at `offset`; None when an IRP is needed. The length comes back cut to
    /// the file's end; 0 means that the read starts behind it.
    ///
    /// # Safety
    /// `file_object` is live.
    unsafe fn new(
        file_object: PFILE_OBJECT,
        offset: i64,
        len: u32,
        wait: bool,
        key: u32,
        device: PDEVICE_OBJECT,
    ) -> Option<(Entered, u32)> {
        // SAFETY: by contract; a cached file object's FsContext is a common header.
        unsafe {
            let header: *mut FSRTL_COMMON_FCB_HEADER = (*file_object).FsContext.cast();
            if header.is_null() || offset < 0 {
                return None;
            }
            kernel::enter_critical_region();
            let resource = (*header).Resource;
            if !resource.is_null() && !kernel::resource_shared(resource, wait) {
                kernel::leave_critical_region();
                return None;
            }
            let entered = Entered {
                resource,
                top_level: ps::current().top_level_irp.replace(FAST_IO_TOP_LEVEL),
            };
            let possible = (*header).IsFastIoPossible;
            let mut yes = !(*file_object).PrivateCacheMap.is_null() && possible != NOT_POSSIBLE;
            if yes && possible == QUESTIONABLE {
                yes = questionable(file_object, offset, len, wait, key, device);
            }
            if !yes {
                return None;
            }
            let left = (*header).FileSize.QuadPart.saturating_sub(offset).max(0);
            Some((entered, u32::try_from(left).unwrap_or(u32::MAX).min(len)))
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        ps::current().top_level_irp.set(self.top_level);
        if !self.resource.is_null() {
            // SAFETY: taken in `new`.
            unsafe { kernel::resource_release(self.resource) };
        }
        kernel::leave_critical_region();
    }
}

/// Asks the file system's FastIoCheckIfPossible.
///
/// # Safety
/// `file_object` is live.
unsafe fn questionable(
    file_object: PFILE_OBJECT,
    offset: i64,
    len: u32,
    wait: bool,
    key: u32,
    device: PDEVICE_OBJECT,
) -> bool {
    // SAFETY: by contract; the locals live until the call returns.
    unsafe {
        let Some((_, table)) = table_of(file_object) else {
            return false;
        };
        let Some(check) = (*table).FastIoCheckIfPossible else {
            return false;
        };
        let mut offset = LARGE_INTEGER { QuadPart: offset };
        let mut block = irp::status_block(0, 0);
        let arguments = [
            file_object as usize,
            (&raw mut offset) as usize,
            len as usize,
            usize::from(wait),
            key as usize,
            1,
            (&raw mut block) as usize,
            device as usize,
        ];
        kernel::call(check as *const (), arguments) as u8 != 0
    }
}

/// `FsRtlCopyRead`.
#[allow(clippy::too_many_arguments, reason = "NT's own signature")]
pub unsafe extern "win64" fn FsRtlCopyRead(
    file_object: PFILE_OBJECT,
    offset: PLARGE_INTEGER,
    len: ULONG,
    wait: BOOLEAN,
    key: ULONG,
    buffer: PVOID,
    block: PIO_STATUS_BLOCK,
    device: PDEVICE_OBJECT,
) -> BOOLEAN {
    // SAFETY: the caller gives a live file object, a buffer and places for the results.
    unsafe {
        let start = (*offset).QuadPart;
        if len == 0 {
            *block = irp::status_block(STATUS_SUCCESS, 0);
            return 1;
        }
        let Some((entered, left)) = Entered::new(file_object, start, len, wait != 0, key, device) else {
            return 0;
        };
        if left == 0 {
            *block = irp::status_block(STATUS_END_OF_FILE, 0);
            return 1;
        }
        let done = copy::read(
            file_object,
            start.unsigned_abs(),
            u64::from(left),
            wait != 0,
            buffer.cast(),
            "FsRtlCopyRead",
        );
        drop(entered);
        if done != Ok(true) {
            return 0;
        }
        *block = irp::status_block(STATUS_SUCCESS, left as usize);
        (*file_object).Flags |= FO_FILE_FAST_IO_READ;
        (*file_object).CurrentByteOffset.QuadPart = start + i64::from(left);
        1
    }
}

/// `FsRtlMdlReadDev`.
#[allow(clippy::too_many_arguments, reason = "NT's own signature")]
pub unsafe extern "win64" fn FsRtlMdlReadDev(
    file_object: PFILE_OBJECT,
    offset: PLARGE_INTEGER,
    len: ULONG,
    key: ULONG,
    chain: *mut PMDL,
    block: PIO_STATUS_BLOCK,
    device: PDEVICE_OBJECT,
) -> BOOLEAN {
    // SAFETY: as above.
    unsafe {
        if len == 0 {
            *block = irp::status_block(STATUS_SUCCESS, 0);
            return 1;
        }
        let start = (*offset).QuadPart;
        let Some((entered, left)) = Entered::new(file_object, start, len, true, key, device) else {
            return 0;
        };
        if left == 0 {
            *block = irp::status_block(STATUS_END_OF_FILE, 0);
            return 1;
        }
        let done = copy::mdl_read(file_object, *offset, left, chain, block);
        drop(entered);
        done.is_ok().into()
    }
}

/// `FsRtlMdlReadCompleteDev`.
pub unsafe extern "win64" fn FsRtlMdlReadCompleteDev(
    file_object: PFILE_OBJECT,
    chain: PMDL,
    _device: PDEVICE_OBJECT,
) -> BOOLEAN {
    // SAFETY: as above.
    unsafe { copy::CcMdlReadComplete(file_object, chain) };
    1
}

/// The file's size in bytes, by fast I/O or by an IRP with IRP_PAGING_IO and IRP_SYNCHRONOUS_PAGING_IO.
///
/// # Safety
/// `file_object` is live.
pub unsafe fn file_size(file_object: PFILE_OBJECT) -> Result<u64, NTSTATUS> {
    // SAFETY: by contract; the locals live until the request has ended.
    unsafe {
        let mut information: FILE_STANDARD_INFORMATION = std::mem::zeroed();
        let mut block = irp::status_block(0, 0);
        if let Some((device, table)) = table_of(file_object)
            && let Some(query) = (*table).FastIoQueryStandardInfo
        {
            let arguments = [
                file_object as usize,
                1,
                (&raw mut information) as usize,
                (&raw mut block) as usize,
                device as usize,
            ];
            if kernel::call(query as *const (), arguments) as u8 != 0 {
                return size_or_error(irp::status_of(&block), &information);
            }
        }
        let waiter = Waiter::new();
        let device = file::related_device(file_object);
        let packet = request::start(device, Owner::Manager, 0);
        if packet.is_null() {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        (*packet).Flags = IRP_PAGING_IO | IRP_SYNCHRONOUS_PAGING_IO;
        (*packet).UserIosb = waiter.block();
        (*packet).UserEvent = waiter.event();
        (*packet).AssociatedIrp.SystemBuffer = (&raw mut information).cast();
        let location = irp::next(packet);
        (*location).MajorFunction = IRP_MJ_QUERY_INFORMATION as u8;
        (*location).FileObject = file_object;
        (*location).Parameters.QueryFile.Length = size_of::<FILE_STANDARD_INFORMATION>() as u32;
        (*location).Parameters.QueryFile.FileInformationClass =
            _FILE_INFORMATION_CLASS_FileStandardInformation;
        let status = call::call_driver(device, packet);
        let (status, _) = waiter.outcome(status);
        size_or_error(status, &information)
    }
}

fn size_or_error(status: NTSTATUS, information: &FILE_STANDARD_INFORMATION) -> Result<u64, NTSTATUS> {
    if !nt_success(status) {
        return Err(status);
    }
    if information.Directory != 0 {
        return Err(STATUS_FILE_IS_A_DIRECTORY);
    }
    // SAFETY: any bits are a QuadPart.
    u64::try_from(unsafe { information.EndOfFile.QuadPart }).map_err(|_| STATUS_FILE_CORRUPT_ERROR)
}

/// `FsRtlGetFileSize`.
pub unsafe extern "win64" fn FsRtlGetFileSize(file_object: PFILE_OBJECT, size: PLARGE_INTEGER) -> NTSTATUS {
    // SAFETY: the caller gives a live file object and a place for the size.
    unsafe {
        match file_size(file_object) {
            Ok(bytes) => {
                (*size).QuadPart = bytes as i64;
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }
}

crate::table! {
    /// Fast I/O.
    pub static IMPORTS = {
        FsRtlCopyRead <= APC;
        FsRtlMdlReadDev <= APC;
        FsRtlMdlReadCompleteDev <= APC;
        FsRtlGetFileSize <= APC;
    }
}
