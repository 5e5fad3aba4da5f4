//! The C table in front of a [`Backend`], and Linux's functions behind it.

#![allow(unsafe_code)]

use crate::backend::Backend;
use crate::packet::{Buffers, Loan, Packets};
use crate::sys::{
    self, Add, Carrier, Receive, Remove, Transmitted, lkl_net, lkl_net_ops, lkl_net_receive, lkl_net_transmit,
};
use lkl::extend::{Attachment, RequestGate};
use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The functions of host_net.h of the Linux that a program has.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // each is documented in host_net.h
pub struct Calls {
    pub add: Add,
    pub remove: Remove,
    pub carrier: Carrier,
    pub transmitted: Transmitted,
    pub received: Receive,
}

/// What the table's `net` word points to. The kernel keeps it for as long as Linux may use it.
pub(crate) struct Door {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) calls: Calls,
    gate: RequestGate,
    ended: AtomicBool,
    /// Buffers that came after the end: they are Linux's again if the interface goes down before Linux does.
    late: Mutex<Late>,
}

#[derive(Default)]
struct Late(Vec<NonNull<lkl_net_receive>>);

// SAFETY: buffers that belong to the host; any thread may give them back.
unsafe impl Send for Late {}

impl Door {
    pub(crate) fn new(backend: Arc<dyn Backend>, calls: Calls, gate: RequestGate) -> Arc<Door> {
        Arc::new(Door {
            backend,
            calls,
            gate,
            ended: AtomicBool::new(false),
            late: Mutex::default(),
        })
    }

    pub(crate) fn table(door: &Arc<Door>) -> lkl_net_ops {
        lkl_net_ops {
            size: u32::try_from(size_of::<lkl_net_ops>()).unwrap_or(0),
            version: sys::LKL_HOST_NET_VERSION,
            net: Arc::as_ptr(door).cast_mut().cast(),
            transmit,
            receive,
            stop,
        }
    }

    /// Gives a packet back. It is the host's, and no other's in the list.
    pub(crate) fn transmitted(&self, packet: NonNull<lkl_net_transmit>) {
        // SAFETY: Linux is there: the packet's loan, by which it is given back, sees to that.
        unsafe { (self.calls.transmitted)(packet.as_ptr()) }
    }

    /// Gives a list of buffers back. They are the host's.
    pub(crate) fn received(&self, first: NonNull<lkl_net_receive>) {
        // SAFETY: as above.
        unsafe { (self.calls.received)(first.as_ptr()) }
    }

    pub(crate) fn carrier(&self, interface: NonNull<lkl_net>, present: bool) {
        // SAFETY: the interface is there until it is removed, which its owner sees to, and Linux is not halted meanwhile.
        unsafe { (self.calls.carrier)(interface.as_ptr(), i32::from(present)) }
    }

    /// What is lent by a call of Linux's that comes now. `None` when Linux is being halted.
    fn loan(self: Arc<Door>) -> Result<Loan, Arc<Door>> {
        if self.ended.load(Ordering::SeqCst) {
            return Err(self);
        }
        match self.gate.enter() {
            Some(ticket) => Ok(Loan { door: self, ticket }),
            None => Err(self),
        }
    }

    fn late(&self) -> std::sync::MutexGuard<'_, Late> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attachment for Door {
    fn ending(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.backend.stop();
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

/// The door that a word of the table's is.
///
/// # Safety
/// `net` is the word of a [`Door::table`] of a door that Linux still has.
unsafe fn door(net: *mut c_void) -> Arc<Door> {
    let door = net.cast::<Door>().cast_const();
    // SAFETY: the caller's promise: the word is the address of an Arc's content, which is still there.
    unsafe { Arc::increment_strong_count(door) };
    // SAFETY: the count was just taken.
    unsafe { Arc::from_raw(door) }
}

unsafe extern "sysv64" fn transmit(net: *mut c_void, packets: *mut lkl_net_transmit) {
    // SAFETY: host_net.h.
    let door = unsafe { door(net) };
    match door.loan() {
        Ok(loan) => {
            let backend = Arc::clone(&loan.door.backend);
            // SAFETY: host_net.h: the list is the host's from this call on.
            backend.transmit(unsafe { Packets::adopt(packets, loan) });
        }
        // SAFETY: Linux is in this call, so it is there; the list is the host's, and it gives it back as it is.
        Err(door) => unsafe { (door.calls.transmitted)(packets) },
    }
}

unsafe extern "sysv64" fn receive(net: *mut c_void, buffers: *mut lkl_net_receive) {
    // SAFETY: host_net.h.
    let door = unsafe { door(net) };
    match door.loan() {
        Ok(loan) => {
            let backend = Arc::clone(&loan.door.backend);
            // SAFETY: host_net.h: the list is the host's from this call on.
            backend.receive(unsafe { Buffers::adopt(buffers, loan) });
        }
        // Given back at once they would come again at once, for ever.
        Err(door) => door.late().0.extend(NonNull::new(buffers)),
    }
}

unsafe extern "sysv64" fn stop(net: *mut c_void) {
    // SAFETY: host_net.h.
    let door = unsafe { door(net) };
    door.backend.stop();
    let late = std::mem::take(&mut *door.late());
    for list in late.0 {
        // SAFETY: Linux is in this call, so it is there; the lists are the host's, with no packet in them.
        unsafe { (door.calls.received)(list.as_ptr()) };
    }
}
