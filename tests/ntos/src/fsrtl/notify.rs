//! Directory change notification.
//!
//! Requests are kept by the file system's notify record and the directory's context until something is
//! reported, the imports them is told so by name.

use crate::io::{complete, irp, kernel};
use crate::mm::pool;
use crate::nt::*;
use crate::verifier::{fail, ledger as holdings};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

const TAG: u32 = u32::from_le_bytes(*b"FsNt");

struct Waiting {
    packet: usize,
    context: usize,
    /// The directory's name, a STRING, which the package keeps.
    name: usize,
}

impl Waiting {
    /// Looks at the name, as a report of a change would: it must be there still.
    fn look_at_name(&self) {
        // SAFETY: the file system keeps it until the cleanup; a pointer that is no good faults and is reported.
        let name = unsafe { (self.name as *const STRING).read_volatile() };
        if name.Length > 0 {
            // SAFETY: as above.
            let _ = unsafe { name.Buffer.read_volatile() };
        }
    }
}

#[derive(Default)]
struct Record {
    waiting: Vec<Waiting>,
}

static RECORDS: LazyLock<Mutex<HashMap<usize, Record>>> = LazyLock::new(Mutex::default);

fn records() -> std::sync::MutexGuard<'static, HashMap<usize, Record>> {
    RECORDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `FsRtlNotifyInitializeSync`.
pub unsafe extern "win64" fn FsRtlNotifyInitializeSync(sync: *mut PNOTIFY_SYNC) {
    let block = kernel::take(64, TAG);
    holdings::add(holdings::Kind::Other, block as usize, "notify record");
    records().insert(block as usize, Record::default());
    // SAFETY: the file system gives a place for the record.
    unsafe { *sync = block.cast() };
}

/// `FsRtlNotifyUninitializeSync`.
pub unsafe extern "win64" fn FsRtlNotifyUninitializeSync(sync: *mut PNOTIFY_SYNC) {
    // SAFETY: the file system gives the place of its record.
    let block = std::mem::take(unsafe { &mut *sync });
    if block.is_null() {
        return;
    }
    match records().remove(&(block as usize)) {
        Some(record) if record.waiting.is_empty() => {}
        Some(_) => fail!(FsRtl, "FsRtlNotifyUninitializeSync with requests still waiting"),
        None => fail!(
            FsRtl,
            "FsRtlNotifyUninitializeSync of {block:p}, which is no notify record"
        ),
    }
    holdings::remove(holdings::Kind::Other, block as usize);
    pool::free(block.cast(), TAG);
}

/// # Safety
/// The IRP is FsRtl's.
unsafe fn end(packet: usize, status: NTSTATUS) {
    let packet = packet as PIRP;
    // SAFETY: by contract.
    unsafe {
        AtomicUsize::from_ptr((&raw mut (*packet).CancelRoutine).cast()).store(0, Ordering::SeqCst);
        irp::set_status(packet, status, 0);
        complete::complete(packet);
    }
}

unsafe extern "win64" fn cancelled(_device: PDEVICE_OBJECT, packet: PIRP) {
    // SAFETY: called by IoCancelIrp with the cancel spin lock held.
    unsafe { crate::io::cancel::IoReleaseCancelSpinLock((*packet).CancelIrql) };
    if forget(packet) {
        // SAFETY: it was taken off its list.
        unsafe { end(packet as usize, STATUS_CANCELLED) };
    }
}

/// Takes a waiting request off its list.
fn forget(packet: PIRP) -> bool {
    records().values_mut().any(|record| {
        let before = record.waiting.len();
        record.waiting.retain(|waiting| waiting.packet != packet as usize);
        record.waiting.len() != before
    })
}

/// `FsRtlNotifyFullChangeDirectory`.
#[allow(clippy::too_many_arguments, reason = "NT's own signature")]
pub unsafe extern "win64" fn FsRtlNotifyFullChangeDirectory(
    sync: PNOTIFY_SYNC,
    _list: PLIST_ENTRY,
    context: PVOID,
    directory: PVOID,
    _watch_tree: BOOLEAN,
    _ignore_buffer: BOOLEAN,
    _filter: ULONG,
    packet: PIRP,
    _traverse: PVOID,
    _subject: PVOID,
) {
    if packet.is_null() {
        // Without an IRP the directory was deleted, which ends its requests.
        // SAFETY: as for the cleanup.
        unsafe { clean(sync, context, STATUS_DELETE_PENDING) };
        return;
    }
    if directory.is_null() || crate::ps::current().is_on_kernel_stack(directory as usize) {
        fail!(
            FsRtl,
            "FsRtlNotifyFullChangeDirectory with the directory's name at {directory:p}, on the caller's stack: the package \
             keeps the pointer until the cleanup"
        );
    }
    {
        let mut records = records();
        let Some(record) = records.get_mut(&(sync as usize)) else {
            fail!(
                FsRtl,
                "FsRtlNotifyFullChangeDirectory on {sync:p}, which is no notify record"
            );
        };
        // SAFETY: the file system gives the IRP away; on our list it lives until it is taken off.
        unsafe {
            (*irp::current(packet)).Control |= SL_PENDING_RETURNED as u8;
            record.waiting.push(Waiting {
                packet: packet as usize,
                context: context as usize,
                name: directory as usize,
            });
            let slot = AtomicUsize::from_ptr((&raw mut (*packet).CancelRoutine).cast());
            slot.store(cancelled as *const () as usize, Ordering::SeqCst);
            // Cancelled before the routine was there: whoever swaps it out ends the request.
            let was_cancelled = (*packet).Cancel != 0 && slot.swap(0, Ordering::SeqCst) != 0;
            if !was_cancelled {
                return;
            }
            record.waiting.retain(|waiting| waiting.packet != packet as usize);
        }
    }
    // SAFETY: it was taken off the list.
    unsafe { end(packet as usize, STATUS_CANCELLED) };
}

/// `FsRtlNotifyFilterChangeDirectory`: the same, with a filter callback that nothing is reported to.
#[allow(clippy::too_many_arguments, reason = "NT's own signature")]
pub unsafe extern "win64" fn FsRtlNotifyFilterChangeDirectory(
    sync: PNOTIFY_SYNC,
    list: PLIST_ENTRY,
    context: PVOID,
    directory: PVOID,
    watch_tree: BOOLEAN,
    ignore_buffer: BOOLEAN,
    filter: ULONG,
    packet: PIRP,
    traverse: PVOID,
    subject: PVOID,
    _filter_callback: PVOID,
) {
    // SAFETY: the file system's contract is ours.
    unsafe {
        FsRtlNotifyFullChangeDirectory(
            sync,
            list,
            context,
            directory,
            watch_tree,
            ignore_buffer,
            filter,
            packet,
            traverse,
            subject,
        );
    }
}

/// Ends the requests of `context`.
///
/// # Safety
/// `sync` is a notify record.
unsafe fn clean(sync: PNOTIFY_SYNC, context: PVOID, status: NTSTATUS) {
    let ended: Vec<usize> = {
        let mut records = records();
        let Some(record) = records.get_mut(&(sync as usize)) else {
            fail!(FsRtl, "{sync:p} is no notify record");
        };
        record
            .waiting
            .extract_if(.., |waiting| waiting.context == context as usize)
            .inspect(Waiting::look_at_name)
            .map(|w| w.packet)
            .collect()
    };
    for packet in ended {
        // SAFETY: taken off the list.
        unsafe { end(packet, status) };
    }
}

/// `FsRtlNotifyCleanup`.
pub unsafe extern "win64" fn FsRtlNotifyCleanup(sync: PNOTIFY_SYNC, _list: PLIST_ENTRY, context: PVOID) {
    // SAFETY: the file system's contract is ours.
    unsafe { clean(sync, context, STATUS_NOTIFY_CLEANUP) };
}

/// `FsRtlNotifyCleanupAll`.
pub unsafe extern "win64" fn FsRtlNotifyCleanupAll(sync: PNOTIFY_SYNC, _list: PLIST_ENTRY) {
    let ended: Vec<usize> = match records().get_mut(&(sync as usize)) {
        Some(record) => record.waiting.drain(..).map(|waiting| waiting.packet).collect(),
        None => fail!(FsRtl, "{sync:p} is no notify record"),
    };
    for packet in ended {
        // SAFETY: taken off the list.
        unsafe { end(packet, STATUS_NOTIFY_CLEANUP) };
    }
}

/// A listener to events of volumes: gets the device below the volume, and FSRTL_VOLUME_*.
pub type VolumeListener = std::sync::Arc<dyn Fn(usize, u32) + Send + Sync>;

static VOLUME_LISTENERS: Mutex<Vec<VolumeListener>> = Mutex::new(Vec::new());

/// Listens to events of volumes, until [`forget_volume_listeners`].
pub fn listen_to_volumes(listener: VolumeListener) {
    VOLUME_LISTENERS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(listener);
}

/// Ends all listening.
pub fn forget_volume_listeners() {
    VOLUME_LISTENERS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clear();
}

/// `FsRtlNotifyVolumeEvent`: the PnP manager calls each listener in a thread of its own and waits for it. A listener closes
/// its handles there, so no lock may be held here that a close could need.
pub unsafe extern "win64" fn FsRtlNotifyVolumeEvent(file_object: PFILE_OBJECT, event: ULONG) -> NTSTATUS {
    // SAFETY: the file system gives a live file object.
    let real = unsafe { (*file_object).DeviceObject } as usize;
    if real == 0 || !(1..=6).contains(&event) {
        fail!(
            FsRtl,
            "FsRtlNotifyVolumeEvent({file_object:p}, {event}): no open file object, or an event that is not modelled"
        );
    }
    if let Some(held) = crate::ps::current().held().first() {
        fail!(
            FsRtl,
            "FsRtlNotifyVolumeEvent with {held:?} held, for which a listener's close may wait"
        );
    }
    let listeners = VOLUME_LISTENERS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    for listener in listeners {
        // The thread stands for the listener's own.
        let _ = std::thread::spawn(move || listener(real, event)).join();
    }
    STATUS_SUCCESS
}

crate::table! {
    /// Notification.
    pub static IMPORTS = {
        FsRtlNotifyInitializeSync <= APC;
        FsRtlNotifyUninitializeSync <= APC;
        FsRtlNotifyFullChangeDirectory <= APC;
        FsRtlNotifyFilterChangeDirectory <= APC;
        FsRtlNotifyCleanup <= APC;
        FsRtlNotifyCleanupAll <= APC since Nt60;
        FsRtlNotifyVolumeEvent <= PASSIVE;
    }
}
