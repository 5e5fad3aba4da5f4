//! Cancelling: the cancel spin lock, `IoCancelIrp`, and the list of requests that a file object has under
//! way.
//!
//! A request of the user API stays listed until its end. Whoever cancels takes a claim first, so that an IRP
//! that ends in the meantime is freed by the canceller and not under it.

use super::{irp, kernel};
use crate::ke;
use crate::nt::*;
use crate::verifier::fail;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread::ThreadId;

/// A listed request.
struct Listed {
    file_object: usize,
    thread: ThreadId,
    claims: u32,
    ended: bool,
}

static LISTED: LazyLock<Mutex<HashMap<usize, Listed>>> = LazyLock::new(Mutex::default);

/// The system cancel spin lock.
static CANCEL_LOCK: AtomicUsize = AtomicUsize::new(0);

fn listed<T>(act: impl FnOnce(&mut HashMap<usize, Listed>) -> T) -> T {
    act(&mut LISTED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// `packet` is under way for `file_object`.
pub fn list(packet: PIRP, file_object: PFILE_OBJECT) {
    let entry = Listed {
        file_object: file_object as usize,
        thread: std::thread::current().id(),
        claims: 0,
        ended: false,
    };
    listed(|requests| requests.insert(packet as usize, entry));
}

/// `packet` has ended. True when the caller frees it; false when a canceller will.
pub fn retire(packet: PIRP) -> bool {
    listed(|requests| match requests.get_mut(&(packet as usize)) {
        Some(entry) if entry.claims > 0 => {
            entry.ended = true;
            false
        }
        _ => {
            requests.remove(&(packet as usize));
            true
        }
    })
}

/// Cancels one listed request, or every one of `file_object`; returns how many were found.
pub fn cancel(file_object: PFILE_OBJECT, only: Option<PIRP>) -> usize {
    cancel_those(|packet, entry| {
        entry.file_object == file_object as usize && only.is_none_or(|only| only as usize == packet)
    })
}

/// Cancels what a thread has sent and waits for, opens included (CancelSynchronousIo, and the end of a thread); returns how
/// many requests were found.
pub fn cancel_synchronous(thread: ThreadId) -> usize {
    cancel_those(|_, entry| entry.thread == thread)
}

fn cancel_those(wanted: impl Fn(usize, &Listed) -> bool) -> usize {
    let found: Vec<usize> = listed(|requests| {
        let mut found = Vec::new();
        for (packet, entry) in requests.iter_mut() {
            if wanted(*packet, entry) && !entry.ended {
                entry.claims += 1;
                found.push(*packet);
            }
        }
        found
    });
    for packet in &found {
        let packet = *packet as PIRP;
        // SAFETY: the claim keeps the IRP's memory.
        unsafe { IoCancelIrp(packet) };
        let free = listed(|requests| {
            let entry = requests.get_mut(&(packet as usize))?;
            entry.claims -= 1;
            (entry.claims == 0 && entry.ended).then(|| requests.remove(&(packet as usize)))
        });
        if free.is_some() {
            // SAFETY: the request ended and left its memory to the last claim.
            unsafe { irp::free(packet) };
        }
    }
    found.len()
}

/// `IoAcquireCancelSpinLock`.
pub unsafe extern "win64" fn IoAcquireCancelSpinLock(old: PKIRQL) {
    let before = kernel::lock_acquire(CANCEL_LOCK.as_ptr());
    // SAFETY: the driver gives a place for the old level.
    unsafe { *old = before };
}

/// `IoReleaseCancelSpinLock`.
pub unsafe extern "win64" fn IoReleaseCancelSpinLock(old: KIRQL) {
    kernel::lock_release(CANCEL_LOCK.as_ptr(), old);
}

/// `IoCancelIrp`.
pub unsafe extern "win64" fn IoCancelIrp(packet: PIRP) -> BOOLEAN {
    let before = kernel::lock_acquire(CANCEL_LOCK.as_ptr());
    // SAFETY: whoever cancels keeps the IRP alive until the routine has run.
    unsafe {
        AtomicU8::from_ptr(&raw mut (*packet).Cancel).store(1, Ordering::SeqCst);
        let routine =
            AtomicUsize::from_ptr((&raw mut (*packet).CancelRoutine).cast()).swap(0, Ordering::SeqCst);
        if routine == 0 {
            kernel::lock_release(CANCEL_LOCK.as_ptr(), before);
            return 0;
        }
        if (*packet).CurrentLocation > (*packet).StackCount {
            fail!(
                Irp,
                "IRP {packet:p} is cancelled after its completion, with a cancel routine set"
            );
        }
        (*packet).CancelIrql = before;
        let device = (*irp::current(packet)).DeviceObject;
        kernel::call_cancel(routine as *const (), device, packet);
        if ke::irql() != before {
            fail!(
                Irp,
                "a cancel routine returned at IRQL {} instead of {before}: CancelIrql is to be restored",
                ke::irql()
            );
        }
    }
    1
}

crate::table! {
    /// Cancelling.
    pub static IMPORTS = {
        IoAcquireCancelSpinLock <= DISPATCH;
        IoReleaseCancelSpinLock <= DISPATCH;
        IoCancelIrp <= DISPATCH;
    }
}
