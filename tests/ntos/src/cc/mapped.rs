//! Mapped and pinned data: `CcMapData`, `CcPinRead`, `CcUnpinData`.
//!
//! A BCB here is a block of its own for each mapping; the data is the segment's page itself. Nothing can be
//! made dirty.

use super::cache::{Shared, shared_of};
use crate::io::kernel;
use crate::ke;
use crate::mm::pool;
use crate::nt::*;
use crate::verifier::fail;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

const TAG: u32 = u32::from_le_bytes(*b"CcBc");
/// Flag of `CcMapData` and `CcPinRead`: the caller can wait.
const WAIT: u32 = 1;

struct Bcb {
    shared: Arc<Shared>,
    references: u32,
}

static BCBS: LazyLock<Mutex<HashMap<usize, Bcb>>> = LazyLock::new(Mutex::default);

fn bcbs() -> std::sync::MutexGuard<'static, HashMap<usize, Bcb>> {
    BCBS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `CcMapData`.
pub unsafe extern "win64" fn CcMapData(
    file_object: PFILE_OBJECT,
    offset: PLARGE_INTEGER,
    len: ULONG,
    flags: ULONG,
    bcb: *mut PVOID,
    buffer: *mut PVOID,
) -> BOOLEAN {
    // SAFETY: the file system's contract is ours.
    match unsafe { map(file_object, *offset, len, flags & WAIT != 0, bcb, buffer) } {
        Ok(mapped) => mapped.into(),
        Err(status) => ke::raise(status),
    }
}

/// Maps; false when it would have to wait. An error is to be raised by a caller without destructors.
///
/// # Safety
/// As [`CcMapData`].
unsafe fn map(
    file_object: PFILE_OBJECT,
    offset: LARGE_INTEGER,
    len: u32,
    wait: bool,
    bcb: *mut PVOID,
    buffer: *mut PVOID,
) -> Result<bool, NTSTATUS> {
    // SAFETY: by contract.
    unsafe {
        let shared = shared_of(file_object, "CcMapData");
        let start = u64::try_from(offset.QuadPart).unwrap_or(u64::MAX);
        let end = start.checked_add(u64::from(len));
        if end.is_none_or(|end| end > shared.segment.size()) || len == 0 {
            fail!(
                Cache,
                "CcMapData of {len} bytes at {start}: the file has {}",
                shared.segment.size()
            );
        }
        let held = match shared.segment.hold_if_here(start, u64::from(len)) {
            Some(held) => held,
            None if wait => shared.segment.hold(start, u64::from(len))?,
            None => return Ok(false),
        };
        shared.segment.pins.fetch_add(1, Ordering::AcqRel);
        drop(held);
        let block = kernel::take(size_of::<PUBLIC_BCB>(), TAG);
        let public: *mut PUBLIC_BCB = block.cast();
        public.write_bytes(0, 1);
        (*public).NodeTypeCode = 0x2fd;
        (*public).NodeByteSize = size_of::<PUBLIC_BCB>() as i16;
        (*public).MappedLength = len;
        (*public).MappedFileOffset = offset;
        *buffer = shared.segment.address(start).cast();
        *bcb = block.cast();
        bcbs().insert(
            block as usize,
            Bcb {
                shared,
                references: 1,
            },
        );
    }
    Ok(true)
}

/// `CcPinRead`: as mapping, since nothing here can be written.
pub unsafe extern "win64" fn CcPinRead(
    file_object: PFILE_OBJECT,
    offset: PLARGE_INTEGER,
    len: ULONG,
    flags: ULONG,
    bcb: *mut PVOID,
    buffer: *mut PVOID,
) -> BOOLEAN {
    // SAFETY: the file system's contract is ours.
    unsafe { CcMapData(file_object, offset, len, flags, bcb, buffer) }
}

/// `CcUnpinData`.
pub unsafe extern "win64" fn CcUnpinData(bcb: PVOID) {
    let mut all = bcbs();
    let Some(entry) = all.get_mut(&(bcb as usize)) else {
        fail!(Cache, "CcUnpinData of {bcb:p}, which is no BCB");
    };
    entry.references -= 1;
    if entry.references == 0 {
        entry.shared.segment.pins.fetch_sub(1, Ordering::AcqRel);
        all.remove(&(bcb as usize));
        pool::free(bcb.cast(), TAG);
    }
}

/// `CcRepinBcb`.
pub unsafe extern "win64" fn CcRepinBcb(bcb: PVOID) {
    match bcbs().get_mut(&(bcb as usize)) {
        Some(entry) => entry.references += 1,
        None => fail!(Cache, "CcRepinBcb of {bcb:p}, which is no BCB"),
    }
}

crate::table! {
    /// Mapped data.
    pub static IMPORTS = {
        CcMapData <= APC;
        CcPinRead <= APC;
        CcUnpinData <= DISPATCH;
        CcRepinBcb <= DISPATCH;
    }
}
