//! The C table in front of a [`WritableDisk`], and the call that announces such a disk.

#![allow(unsafe_code)]

use crate::device::WritableDevice;
use crate::disk::WritableDisk;
use crate::request::{Kind, WriteRequest};
use crate::sys::{self, AddWritable, lkl_disk_write, lkl_disk_write_ops};
use lkl::extend::{Announce, RequestGate};
use lkl::sys::{Long, lkl_disk_info, lkl_disk_params, lkl_task};
use lkl::{Disk, DiskOptions, Errno, Kernel, ReadRequest};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

/// What the table's `disk` word points to. It is the disk that crate `lkl` keeps for as long as Linux may use it.
struct Door {
    disk: Arc<dyn WritableDisk>,
    gate: OnceLock<RequestGate>,
}

impl Disk for Door {
    fn size_bytes(&self) -> u64 {
        self.disk.size_bytes()
    }

    fn block_size(&self) -> u32 {
        self.disk.block_size()
    }

    fn read(&self, request: ReadRequest) {
        self.disk.read(request);
    }
}

struct Call {
    door: Arc<Door>,
    add: AddWritable,
}

impl Announce for Call {
    unsafe fn announce(
        &self,
        task: *mut lkl_task,
        params: *const lkl_disk_params,
        info: *mut lkl_disk_info,
        gate: RequestGate,
    ) -> Long {
        if self.door.gate.set(gate).is_err() {
            // A disk of this kind is never announced again: it has no overlay that could be emptied by that.
            return Errno::EBUSY.negated();
        }
        let ops = table(&self.door);
        // SAFETY: the caller's promise; the table is copied, and the door is the disk that stays.
        unsafe { (self.add)(task, params, &ops, info) }
    }
}

fn table(door: &Arc<Door>) -> lkl_disk_write_ops {
    let can = door.disk.abilities();
    lkl_disk_write_ops {
        size: u32::try_from(size_of::<lkl_disk_write_ops>()).unwrap_or(0),
        version: sys::LKL_HOST_WRITE_VERSION,
        disk: Arc::as_ptr(door).cast_mut().cast(),
        features: if can.fua { sys::LKL_DISK_HAS_FUA } else { 0 },
        discard_granularity: can.discard_granularity,
        max_discard: 0,
        max_write_zeroes: 0,
        write,
        flush: can.flush.then_some(flush),
        discard: can.discard.then_some(discard),
        write_zeroes: can.write_zeroes.then_some(write_zeroes),
    }
}

/// Adds a disk by `add`, which is Linux's `linux_disk_add_writable`. Programs call `add_writable_disk` of crate `linux-full`.
///
/// Of the options only the queue's depth counts.
///
/// # Safety
/// `add` is that function of the Linux that `kernel` runs.
pub unsafe fn add_writable_disk(
    kernel: &Kernel,
    disk: Arc<dyn WritableDisk>,
    queue_depth: u32,
    add: AddWritable,
) -> Result<WritableDevice, Errno> {
    let door = Arc::new(Door {
        disk,
        gate: OnceLock::new(),
    });
    let options = DiskOptions {
        queue_depth,
        overlay_limit: Some(0),
        padding: 0,
    };
    let call = Call {
        door: Arc::clone(&door),
        add,
    };
    kernel
        .add_disk_by(door, options, Arc::new(call))
        .map(WritableDevice::new)
}

/// Gives a request to its disk.
///
/// # Safety
/// Linux keeps the contract of host_write.h: `door` is the word of a [`table`] whose disk it still has, and `request` asks
/// for `kind` and is the host's now.
unsafe fn start(door: *mut c_void, request: *mut lkl_disk_write, kind: Kind) {
    let Some(request) = NonNull::new(request) else {
        return;
    };
    let door = door.cast::<Door>().cast_const();
    // SAFETY: the caller's promise: the word is the address of an Arc's content, which is still there.
    unsafe { Arc::increment_strong_count(door) };
    // SAFETY: the count was just taken.
    let door = unsafe { Arc::from_raw(door) };
    let Some(ticket) = door.gate.get().and_then(RequestGate::enter) else {
        // SAFETY: the caller's promise.
        let done = unsafe { request.as_ref() }.done;
        // SAFETY: host_write.h: answering from inside an operation is allowed.
        unsafe { done(request.as_ptr(), Errno::EIO.negated()) };
        return;
    };
    // SAFETY: the caller's promise.
    let request = unsafe { WriteRequest::adopt(request, kind, ticket) };
    door.disk.change(request);
}

unsafe extern "sysv64" fn write(door: *mut c_void, request: *mut lkl_disk_write) {
    // SAFETY: host_write.h.
    unsafe { start(door, request, Kind::Write) }
}

unsafe extern "sysv64" fn flush(door: *mut c_void, request: *mut lkl_disk_write) {
    // SAFETY: host_write.h.
    unsafe { start(door, request, Kind::Flush) }
}

unsafe extern "sysv64" fn discard(door: *mut c_void, request: *mut lkl_disk_write) {
    // SAFETY: host_write.h.
    unsafe { start(door, request, Kind::Discard) }
}

unsafe extern "sysv64" fn write_zeroes(door: *mut c_void, request: *mut lkl_disk_write) {
    // SAFETY: host_write.h.
    unsafe { start(door, request, Kind::WriteZeroes) }
}
