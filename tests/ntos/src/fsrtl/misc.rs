//! Status codes that a file system may raise, filter callbacks, counters.

use crate::nt::*;
use std::sync::{Mutex, PoisonError};

/// The status may be raised as an exception by a file system: anything but a bug's own exceptions.
pub fn is_expected(status: NTSTATUS) -> bool {
    !matches!(
        status,
        STATUS_DATATYPE_MISALIGNMENT
            | STATUS_ACCESS_VIOLATION
            | STATUS_ILLEGAL_INSTRUCTION
            | STATUS_INSTRUCTION_MISALIGNMENT
    )
}

/// `FsRtlIsNtstatusExpected`.
pub unsafe extern "win64" fn FsRtlIsNtstatusExpected(status: NTSTATUS) -> BOOLEAN {
    is_expected(status).into()
}

/// `FsRtlNormalizeNtstatus`.
pub unsafe extern "win64" fn FsRtlNormalizeNtstatus(status: NTSTATUS, generic: NTSTATUS) -> NTSTATUS {
    if is_expected(status) { status } else { generic }
}

/// `FsRtlIsTotalDeviceFailure`.
pub unsafe extern "win64" fn FsRtlIsTotalDeviceFailure(status: NTSTATUS) -> BOOLEAN {
    let partial = nt_success(status)
        || matches!(
            status,
            STATUS_CRC_ERROR | STATUS_DEVICE_DATA_ERROR | STATUS_UNRECOGNIZED_VOLUME | STATUS_WRONG_VOLUME
        );
    (!partial).into()
}

/// Filter callbacks by driver object.
static CALLBACKS: Mutex<Vec<(usize, FS_FILTER_CALLBACKS)>> = Mutex::new(Vec::new());

/// `FsRtlRegisterFileSystemFilterCallbacks`.
pub unsafe extern "win64" fn FsRtlRegisterFileSystemFilterCallbacks(
    driver: PDRIVER_OBJECT,
    callbacks: PFS_FILTER_CALLBACKS,
) -> NTSTATUS {
    if driver.is_null() || callbacks.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    let mut all = CALLBACKS.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the file system gives its callbacks, which are copied.
    all.push((driver as usize, unsafe { *callbacks }));
    STATUS_SUCCESS
}

/// The filter callbacks of `driver`.
pub fn callbacks_of(driver: PDRIVER_OBJECT) -> Option<FS_FILTER_CALLBACKS> {
    let all = CALLBACKS.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter()
        .rev()
        .find(|(known, _)| *known == driver as usize)
        .map(|(_, callbacks)| *callbacks)
}

/// The driver is gone.
pub fn forget_driver(driver: PDRIVER_OBJECT) {
    CALLBACKS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .retain(|(known, _)| *known != driver as usize);
}

/// `FsRtlIsPagingFile`: no page file lies on a modelled volume.
pub unsafe extern "win64" fn FsRtlIsPagingFile(_file_object: PFILE_OBJECT) -> ULONG {
    0
}

/// The four `FsRtlIncrementCc...` counters.
pub unsafe extern "win64" fn FsRtlIncrement() {}

crate::table! {
    /// The rest.
    pub static IMPORTS = {
        FsRtlIsNtstatusExpected <= HIGH;
        FsRtlNormalizeNtstatus <= HIGH;
        FsRtlIsTotalDeviceFailure <= HIGH;
        FsRtlRegisterFileSystemFilterCallbacks <= APC;
        FsRtlIsPagingFile <= APC;
        FsRtlIncrementCcFastReadNotPossible = FsRtlIncrement, <= HIGH;
        FsRtlIncrementCcFastReadWait = FsRtlIncrement, <= HIGH;
        FsRtlIncrementCcFastReadNoWait = FsRtlIncrement, <= HIGH;
        FsRtlIncrementCcFastReadResourceMiss = FsRtlIncrement, <= HIGH;
        FsRtlIncrementCcFastMdlReadWait = FsRtlIncrement, <= HIGH;
    }
}
