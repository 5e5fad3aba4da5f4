//! Requests that may pend for as long as their handle is open: notifications of a directory, and byte-range locks that
//! wait for another's. FsRtl keeps them; this file knows for which file objects it does, so that all of them end when the
//! volume is dismounted or its device goes.
//!
//! A file object is listed before its first such request, and taken off the list by its CLEANUP or by
//! [`MountedVolume::end_pended`]. A request that comes while the volume is being given up looks again once it is pended
//! ([`Held::settle`]): it was listed in time, or it sees the refusal.
//
// UNSAFETY: references file objects, and calls FsRtl on what stands behind them.

use crate::irp::Irp;
use crate::object::open::Open;
use crate::object::volume::MountedVolume;
use alloc::vec::Vec;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering;
use lklfs_fsd::{FcbKind, Outcome};
use lklfs_kernel::nt::{
    self, FsRtlFastUnlockAll, FsRtlNotifyCleanup, IoGetRequestorProcess, NTSTATUS, ObfDereferenceObject,
    ObfReferenceObject, PEPROCESS, PFILE_OBJECT, PIRP, PVOID,
};
use lklfs_kernel::sync::SpinLock;
use lklfs_nt::NtStatus;

/// Values of [`Open::pended`], which changes under the list's lock.
pub const NOT_LISTED: u8 = 0;
const LISTED: u8 = 1;
const CLEANED_UP: u8 = 2;

/// A file object with requests that may be pended, and the process that sent the first of them.
#[derive(Clone, Copy)]
struct Entry {
    file: PFILE_OBJECT,
    process: PEPROCESS,
}

// SAFETY: plain addresses; the file object is referenced before it is used.
unsafe impl Send for Entry {}

/// The list.
pub struct Pended {
    list: SpinLock<Vec<Entry>>,
}

impl Pended {
    /// An empty one.
    pub const fn new() -> Self {
        Pended {
            list: SpinLock::new(Vec::new()),
        }
    }

    /// Takes a file object off, for good. In CLEANUP.
    pub fn forget(&self, open: &Open, file: PFILE_OBJECT) {
        let mut list = self.list.lock();
        let before = open.pended.swap(CLEANED_UP, Ordering::AcqRel);
        if before == LISTED
            && let Some(at) = list.iter().position(|entry| entry.file == file)
        {
            let _ = list.swap_remove(at);
        }
    }
}

impl Default for Pended {
    fn default() -> Self {
        Pended::new()
    }
}

/// A file object of a request that is about to be pended, referenced: the request may end, and its handle be closed,
/// before the thread that sent it has looked again.
pub struct Held<'a> {
    open: &'a Open,
    entry: Entry,
}

impl<'a> Held<'a> {
    /// Lists the file object of `irp`.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES; FILE_CLOSED after the CLEANUP.
    pub fn new(irp: &Irp, open: &'a Open) -> Result<Self, NtStatus> {
        let file = irp.file_object();
        // SAFETY: the IRP is ours.
        let process = unsafe { IoGetRequestorProcess(irp.as_ptr()) };
        let entry = Entry { file, process };
        let mut list = open.volume.pended.list.lock();
        match open.pended.load(Ordering::Acquire) {
            LISTED => {}
            CLEANED_UP => return Err(NtStatus::FILE_CLOSED),
            _ => {
                list.try_reserve(1)
                    .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
                list.push(entry);
                open.pended.store(LISTED, Ordering::Release);
            }
        }
        drop(list);
        // SAFETY: the IRP holds its file object.
        unsafe { ObfReferenceObject(file.cast()) };
        Ok(Held { open, entry })
    }

    /// The request is pended, or done already. If the volume was given up meanwhile it is ended here.
    pub fn settle(self) {
        if self.open.volume.refusal().is_some() {
            // SAFETY: the file object is referenced by this value.
            unsafe { end(self.entry, self.open) };
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // SAFETY: referenced by new(); `open` is not used any more.
        unsafe { ObfDereferenceObject(self.entry.file.cast()) };
    }
}

impl MountedVolume {
    /// Ends all that is pended: what workers do or will do with the volume's refusal, notifications with NOTIFY_CLEANUP, as
    /// when their handle is closed, locks that wait with the volume's refusal. The volume refuses new requests already.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn end_pended(&self) {
        if let Some(refusal) = self.refusal() {
            self.posts.close(refusal);
            if refusal != NtStatus::VOLUME_DISMOUNTED {
                self.sector_posts.close(refusal);
            }
        }
        loop {
            let entry = {
                let mut list = self.pended.list.lock();
                let Some(entry) = list.pop() else { return };
                // SAFETY: a listed file object was not cleaned up yet, so it has a reference that is not given back
                // before the list is free.
                unsafe { ObfReferenceObject(entry.file.cast()) };
                // SAFETY: as above.
                if let Some(open) = unsafe { Open::of(entry.file) } {
                    open.pended.store(NOT_LISTED, Ordering::Release);
                }
                entry
            };
            // SAFETY: referenced above.
            if let Some(open) = unsafe { Open::of(entry.file) } {
                // SAFETY: as above.
                unsafe { end(entry, open) };
            }
            // SAFETY: referenced above.
            unsafe { ObfDereferenceObject(entry.file.cast()) };
        }
    }
}

/// Ends what FsRtl has of one file object. Without its locks those that wait for them are granted, which
/// [`complete_lock`] turns into the refusal.
///
/// # Safety
/// The file object is referenced, and `open` stands behind it.
unsafe fn end(entry: Entry, open: &Open) {
    match open.fcb.fcb.kind() {
        FcbKind::Directory => {
            let (sync, list) = open.volume.notifications();
            let context = (&raw const *open).cast_mut().cast();
            // SAFETY: both belong to the volume; the context is what dirctrl pended with.
            unsafe { FsRtlNotifyCleanup(sync, list, context) };
        }
        FcbKind::File => {
            // SAFETY: the lock belongs to the FCB, the file object is referenced, of the process only the address is
            // compared.
            let _ = unsafe { FsRtlFastUnlockAll(open.fcb.locks(), entry.file, entry.process, null_mut()) };
        }
        FcbKind::Volume | FcbKind::Reparse => {}
    }
}

/// FsRtl is done with a lock request, now or after a wait. What is granted by a volume that is gone is no lock: FsRtl
/// takes it back when it hears of a failure.
///
/// # Safety
/// Called by FsRtl with the context of `FsRtlProcessFileLock`, the open behind the IRP's file object.
pub unsafe extern "C" fn complete_lock(context: PVOID, irp: PIRP) -> NTSTATUS {
    let Some(raw) = NonNull::new(irp) else {
        return nt::raw_status(NtStatus::INVALID_PARAMETER);
    };
    // SAFETY: the IRP holds its file object, and with it the open.
    let refusal = unsafe { context.cast::<Open>().as_ref() }.and_then(|open| open.volume.refusal());
    // SAFETY: FsRtl gives the IRP back.
    let irp = unsafe { Irp::adopt(raw) };
    let status = irp.status();
    let status = match refusal {
        Some(refusal) if nt::succeeded(status) => refusal,
        _ => status,
    };
    irp.complete(Outcome::failed(status))
}
