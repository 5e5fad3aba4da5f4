//! Per-stream contexts: what filters hang on a file system's stream, in a list of its advanced FCB header.
//!
//! The file system owns the header and must tear the list down before it frees it. The list is guarded by one
//! lock of the double's for all streams; a context's free routine is called without it.

use crate::io::kernel;
use crate::nt::*;
use std::sync::{Mutex, PoisonError};

static LISTS: Mutex<()> = Mutex::new(());

/// `FSRTL_PER_STREAM_CONTEXT`, which starts with its list entry.
type Context = FSRTL_PER_STREAM_CONTEXT;

/// The contexts in `list`.
///
/// # Safety
/// `list` is an initialised list head of contexts, under the lock.
unsafe fn contexts(list: PLIST_ENTRY) -> Vec<*mut Context> {
    let mut found = Vec::new();
    // SAFETY: by contract.
    unsafe {
        let mut entry = (*list).Flink;
        while entry != list && !entry.is_null() {
            found.push(entry.cast());
            entry = (*entry).Flink;
        }
    }
    found
}

/// # Safety
/// `entry` is in a list, under the lock.
unsafe fn unlink(entry: PLIST_ENTRY) {
    // SAFETY: by contract.
    unsafe {
        (*(*entry).Blink).Flink = (*entry).Flink;
        (*(*entry).Flink).Blink = (*entry).Blink;
    }
}

/// `FsRtlInsertPerStreamContext`.
pub unsafe extern "win64" fn FsRtlInsertPerStreamContext(
    header: PFSRTL_ADVANCED_FCB_HEADER,
    context: *mut Context,
) -> NTSTATUS {
    let _guard = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the caller gives a live header with an initialised list, and a context of its own.
    unsafe {
        if header.is_null() || u32::from((*header).Flags2) & FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS == 0 {
            return STATUS_INVALID_DEVICE_REQUEST;
        }
        let list = &raw mut (*header).FilterContexts;
        let entry = &raw mut (*context).Links;
        (*entry).Flink = (*list).Flink;
        (*entry).Blink = list;
        (*(*list).Flink).Blink = entry;
        (*list).Flink = entry;
    }
    STATUS_SUCCESS
}

/// `FsRtlLookupPerStreamContextInternal`.
pub unsafe extern "win64" fn FsRtlLookupPerStreamContextInternal(
    header: PFSRTL_ADVANCED_FCB_HEADER,
    owner: PVOID,
    instance: PVOID,
) -> *mut Context {
    let _guard = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the caller gives a live header with an initialised list.
    unsafe {
        let matches = |context: &*mut Context| {
            (owner.is_null() || (**context).OwnerId == owner)
                && (instance.is_null() || (**context).InstanceId == instance)
        };
        contexts(&raw mut (*header).FilterContexts)
            .into_iter()
            .find(matches)
            .unwrap_or(std::ptr::null_mut())
    }
}

/// `FsRtlRemovePerStreamContext`.
pub unsafe extern "win64" fn FsRtlRemovePerStreamContext(
    header: PFSRTL_ADVANCED_FCB_HEADER,
    owner: PVOID,
    instance: PVOID,
) -> *mut Context {
    // SAFETY: as above.
    unsafe {
        let context = FsRtlLookupPerStreamContextInternal(header, owner, instance);
        if !context.is_null() {
            let _guard = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
            unlink(&raw mut (*context).Links);
        }
        context
    }
}

/// `FsRtlTeardownPerStreamContexts`.
pub unsafe extern "win64" fn FsRtlTeardownPerStreamContexts(header: PFSRTL_ADVANCED_FCB_HEADER) {
    // SAFETY: the file system gives its header, which nobody else uses any more.
    unsafe {
        let found = {
            let _guard = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
            let found = contexts(&raw mut (*header).FilterContexts);
            found
                .iter()
                .for_each(|context| unlink(&raw mut (**context).Links));
            found
        };
        for context in found {
            if let Some(free) = (*context).FreeCallback {
                kernel::call(free as *const (), [context as usize]);
            }
        }
    }
}

crate::table! {
    /// Contexts.
    pub static IMPORTS = {
        FsRtlInsertPerStreamContext <= APC;
        FsRtlLookupPerStreamContextInternal <= APC;
        FsRtlRemovePerStreamContext <= APC;
        FsRtlTeardownPerStreamContexts <= APC;
    }
}
