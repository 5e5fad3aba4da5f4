//! How the memory manager and the cache manager acquire a file: for a new section, exclusively, for a flush.
//!
//! Each way asks the file system's filter callback first (FsRtlRegisterFileSystemFilterCallbacks), then its fast I/O routine, and
//! else takes the resources that the file's common header names; all of it inside a critical region.

use super::fast::table_of;
use crate::io::{file, kernel};
use crate::nt::*;
use crate::verifier::fail;

/// `FS_FILTER_ACQUIRE_FOR_SECTION_SYNCHRONIZATION`, `FS_FILTER_ACQUIRE_FOR_CC_FLUSH`, and their releases.
const ACQUIRE_FOR_SECTION: u8 = 0xff;
const RELEASE_FOR_SECTION: u8 = 0xfe;
const ACQUIRE_FOR_FLUSH: u8 = 0xfb;
const RELEASE_FOR_FLUSH: u8 = 0xfa;

/// The callback data of an operation; a section has a page protection if it is for one that is made.
///
/// # Safety
/// `file_object` is live.
unsafe fn callback_data(
    file_object: PFILE_OBJECT,
    operation: u8,
    protection: Option<u32>,
) -> FS_FILTER_CALLBACK_DATA {
    // SAFETY: zeroes are valid for the struct; the file object is live.
    unsafe {
        let mut data: FS_FILTER_CALLBACK_DATA = std::mem::zeroed();
        data.SizeOfFsFilterCallbackData = size_of::<FS_FILTER_CALLBACK_DATA>() as u32;
        data.Operation = operation;
        data.DeviceObject = file::related_device(file_object);
        data.FileObject = file_object;
        if operation == ACQUIRE_FOR_SECTION {
            data.Parameters.AcquireForSectionSynchronization.SyncType = match protection {
                Some(_) => _FS_FILTER_SECTION_SYNC_TYPE_SyncTypeCreateSection,
                None => _FS_FILTER_SECTION_SYNC_TYPE_SyncTypeOther,
            };
            data.Parameters.AcquireForSectionSynchronization.PageProtection = protection.unwrap_or(0);
        }
        data
    }
}

/// What a file system without callbacks of its own gets: its fast I/O routine, or the header's main resource.
///
/// # Safety
/// `file_object` is live.
unsafe fn acquire_by_default(file_object: PFILE_OBJECT) {
    // SAFETY: by contract.
    unsafe {
        if let Some((_, table)) = table_of(file_object)
            && let Some(routine) = (*table).AcquireFileForNtCreateSection
        {
            kernel::call(routine as *const (), [file_object as usize]);
            return;
        }
        let header: *mut FSRTL_COMMON_FCB_HEADER = (*file_object).FsContext.cast();
        if !header.is_null() && !(*header).Resource.is_null() {
            kernel::resource_exclusive((*header).Resource);
        }
    }
}

/// Acquires the file for a new section of that page protection, inside a critical region that [`release_for_section`]
/// ends.
///
/// A file system's callback that has acquired the file says so with one of three statuses; after plain success FsRtl goes
/// on as if there were no callback; an error is the section's.
///
/// # Safety
/// `file_object` is live.
pub unsafe fn acquire_for_section(file_object: PFILE_OBJECT, protection: u32) -> Result<(), NTSTATUS> {
    // SAFETY: by contract.
    unsafe { acquire(file_object, Some(protection)) }
}

/// Acquires the file exclusively, for no new section (FsRtlAcquireFileExclusive).
///
/// # Safety
/// `file_object` is live.
pub unsafe fn acquire_exclusive(file_object: PFILE_OBJECT) -> Result<(), NTSTATUS> {
    // SAFETY: by contract.
    unsafe { acquire(file_object, None) }
}

/// # Safety
/// `file_object` is live.
unsafe fn acquire(file_object: PFILE_OBJECT, protection: Option<u32>) -> Result<(), NTSTATUS> {
    // SAFETY: by contract.
    unsafe {
        kernel::enter_critical_region();
        let driver = (*file::related_device(file_object)).DriverObject;
        let routine = super::misc::callbacks_of(driver)
            .and_then(|callbacks| callbacks.PreAcquireForSectionSynchronization);
        let Some(routine) = routine else {
            acquire_by_default(file_object);
            return Ok(());
        };
        let mut data = callback_data(file_object, ACQUIRE_FOR_SECTION, protection);
        let mut context: PVOID = std::ptr::null_mut();
        let arguments = [(&raw mut data) as usize, (&raw mut context) as usize];
        match kernel::call(routine as *const (), arguments) as NTSTATUS {
            STATUS_FSFILTER_OP_COMPLETED_SUCCESSFULLY
            | STATUS_FILE_LOCKED_WITH_ONLY_READERS
            | STATUS_FILE_LOCKED_WITH_WRITERS => Ok(()),
            STATUS_SUCCESS => {
                acquire_by_default(file_object);
                Ok(())
            }
            status if nt_success(status) => fail!(
                BadArgument,
                "PreAcquireForSectionSynchronization returned {status:#x}, which says nothing of the file's lock"
            ),
            status => {
                kernel::leave_critical_region();
                Err(status)
            }
        }
    }
}

/// The other half of [`acquire_for_section`]: the callback, else the fast I/O routine, else the header's resource.
///
/// # Safety
/// The file was acquired by this thread.
pub unsafe fn release_for_section(file_object: PFILE_OBJECT) {
    // SAFETY: by contract.
    unsafe {
        let driver = (*file::related_device(file_object)).DriverObject;
        let released = super::misc::callbacks_of(driver)
            .and_then(|callbacks| callbacks.PreReleaseForSectionSynchronization)
            .is_some_and(|routine| {
                let mut data = callback_data(file_object, RELEASE_FOR_SECTION, None);
                let mut context: PVOID = std::ptr::null_mut();
                let arguments = [(&raw mut data) as usize, (&raw mut context) as usize];
                kernel::call(routine as *const (), arguments) as NTSTATUS
                    == STATUS_FSFILTER_OP_COMPLETED_SUCCESSFULLY
            });
        if !released {
            if let Some((_, table)) = table_of(file_object)
                && let Some(routine) = (*table).ReleaseFileForNtCreateSection
            {
                kernel::call(routine as *const (), [file_object as usize]);
            } else {
                let header: *mut FSRTL_COMMON_FCB_HEADER = (*file_object).FsContext.cast();
                if !header.is_null() && !(*header).Resource.is_null() {
                    kernel::resource_release((*header).Resource);
                }
            }
        }
        kernel::leave_critical_region();
    }
}

/// Acquires the file before a mapped file or the cache is flushed, inside a critical region that [`release_for_flush`] ends: by
/// the file system's callback, else its fast I/O routine, else the header's resources.
///
/// # Safety
/// `file_object` is live.
pub unsafe fn acquire_for_flush(file_object: PFILE_OBJECT) -> Result<(), NTSTATUS> {
    // SAFETY: by contract.
    unsafe {
        kernel::enter_critical_region();
        let device = file::related_device(file_object);
        let callback = super::misc::callbacks_of((*device).DriverObject)
            .and_then(|callbacks| callbacks.PreAcquireForCcFlush);
        if let Some(routine) = callback {
            let mut data = callback_data(file_object, ACQUIRE_FOR_FLUSH, None);
            let mut context: PVOID = std::ptr::null_mut();
            let arguments = [(&raw mut data) as usize, (&raw mut context) as usize];
            match kernel::call(routine as *const (), arguments) as NTSTATUS {
                STATUS_FSFILTER_OP_COMPLETED_SUCCESSFULLY => return Ok(()),
                STATUS_SUCCESS => {}
                status => {
                    kernel::leave_critical_region();
                    return Err(status);
                }
            }
        }
        if let Some((device, table)) = table_of(file_object)
            && let Some(routine) = (*table).AcquireForCcFlush
        {
            let arguments = [file_object as usize, device as usize];
            match kernel::call(routine as *const (), arguments) as NTSTATUS {
                STATUS_SUCCESS => return Ok(()),
                STATUS_INVALID_DEVICE_REQUEST => {}
                status => {
                    kernel::leave_critical_region();
                    return Err(status);
                }
            }
        }
        let header: *mut FSRTL_COMMON_FCB_HEADER = (*file_object).FsContext.cast();
        if !header.is_null() {
            if !(*header).Resource.is_null() {
                kernel::resource_exclusive((*header).Resource);
            }
            if !(*header).PagingIoResource.is_null() {
                kernel::resource_shared((*header).PagingIoResource, true);
            }
        }
    }
    Ok(())
}

/// The other half of [`acquire_for_flush`].
///
/// # Safety
/// The file was acquired by this thread.
pub unsafe fn release_for_flush(file_object: PFILE_OBJECT) {
    // SAFETY: by contract.
    unsafe {
        let device = file::related_device(file_object);
        let released = super::misc::callbacks_of((*device).DriverObject)
            .and_then(|callbacks| callbacks.PreReleaseForCcFlush)
            .is_some_and(|routine| {
                let mut data = callback_data(file_object, RELEASE_FOR_FLUSH, None);
                let mut context: PVOID = std::ptr::null_mut();
                let arguments = [(&raw mut data) as usize, (&raw mut context) as usize];
                kernel::call(routine as *const (), arguments) as NTSTATUS
                    == STATUS_FSFILTER_OP_COMPLETED_SUCCESSFULLY
            });
        let by_table = || {
            let (device, table) = table_of(file_object)?;
            let routine = (*table).ReleaseForCcFlush?;
            let arguments = [file_object as usize, device as usize];
            (kernel::call(routine as *const (), arguments) as NTSTATUS == STATUS_SUCCESS).then_some(())
        };
        if !released && by_table().is_none() {
            let header: *mut FSRTL_COMMON_FCB_HEADER = (*file_object).FsContext.cast();
            if !header.is_null() {
                for resource in [(*header).PagingIoResource, (*header).Resource] {
                    if !resource.is_null() {
                        kernel::resource_release(resource);
                    }
                }
            }
        }
        kernel::leave_critical_region();
    }
}
