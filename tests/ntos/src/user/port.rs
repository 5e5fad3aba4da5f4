//! Overlapped requests of a program with a completion port: any of its threads takes a completion from the port, and may close
//! the handle at once, while the thread that sent the request is still in the driver's dispatch routine.
//!
//! The I/O manager's reference goes with the completion and the handle's with the close, so file object and everything that
//! the driver keeps behind it are gone then: unmapped memory, as all freed pool of the double's.

use super::handle::Handle;
use super::request::Outcome;
use crate::io::file::{self, Waiter};
use crate::io::{call, cancel, irp, request};
use crate::mm::user::UserRegion;
use crate::nt::*;
use crate::verifier::moments;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long the sender stands still at its step. What is not complete then, will not be while the sender stands there.
const STANDSTILL: Duration = Duration::from_millis(20);
/// The same when something is done meanwhile, which takes its time.
const LONG_STANDSTILL: Duration = Duration::from_secs(2);

/// What became of a request.
#[derive(Debug)]
pub struct Sent {
    /// How it ended.
    pub outcome: Outcome,
    /// Steps of the sender in the driver ([`moments::pause_here`]).
    pub steps: u64,
    /// The handle was closed before the dispatch routine returned.
    pub closed_inside: bool,
}

/// What the thread at the port does besides, while the sender stands still.
pub struct Meanwhile<'a> {
    /// Before the completion is waited for.
    pub first: &'a (dyn Fn() + Sync),
    /// When the handle is closed.
    pub last: &'a (dyn Fn() + Sync),
}

/// What sender and port share.
struct Port {
    waiter: Waiter,
    /// The sender stands at its step.
    reached: AtomicBool,
    /// The dispatch routine returned without pending the request.
    ended: AtomicBool,
    closed: AtomicBool,
}

// SAFETY: the waiter's event and block are for any thread; the rest is atomic.
unsafe impl Send for Port {}
// SAFETY: as above.
unsafe impl Sync for Port {}

/// Sends a request on an asynchronous handle, which the thread at the completion port closes. The sender stands still at its
/// step `pause` until that has happened; with 0 it does not.
pub fn send(
    handle: Handle,
    (major, minor): (u32, u32),
    buffer: &UserRegion,
    pause: u64,
    meanwhile: Option<Meanwhile<'_>>,
    fill: impl FnOnce(PIRP, PIO_STACK_LOCATION, *mut u8) -> bool,
) -> Result<Sent, NTSTATUS> {
    let port = Arc::new(Port {
        waiter: Waiter::new(),
        reached: AtomicBool::new(false),
        ended: AtomicBool::new(false),
        closed: AtomicBool::new(false),
    });
    // SAFETY: the handle references the file object; the IRP is built here and sent once.
    let (packet, device) = unsafe {
        let (packet, device) = file::build(handle.file_object(), major, minor, 1, &port.waiter);
        if packet.is_null() {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        if !fill(packet, irp::next(packet), buffer.ptr()) {
            request::discard(packet);
            return Err(STATUS_ACCESS_VIOLATION);
        }
        cancel::list(packet, handle.file_object());
        // The request's own, which its completion gives back.
        file::reference(handle.file_object());
        (packet, device)
    };
    let limit = match meanwhile {
        Some(_) => LONG_STANDSTILL,
        None => STANDSTILL,
    };
    std::thread::scope(|scope| {
        let taker = Arc::clone(&port);
        scope.spawn(move || {
            let wait_for = |what: &dyn Fn() -> bool| {
                while !what() && !taker.ended.load(Ordering::Acquire) {
                    std::thread::sleep(Duration::from_micros(20));
                }
            };
            if let Some(meanwhile) = &meanwhile {
                wait_for(&|| taker.reached.load(Ordering::Acquire));
                (meanwhile.first)();
            }
            wait_for(&|| taker.waiter.is_done());
            let file_object = handle.file_object();
            drop(handle);
            // SAFETY: the reference that was taken for the request.
            unsafe { file::dereference(file_object) };
            if let Some(meanwhile) = &meanwhile {
                (meanwhile.last)();
            }
            taker.closed.store(true, Ordering::Release);
        });
        let shared = Arc::clone(&port);
        let steps = moments::pause_here(pause, limit, move || {
            shared.reached.store(true, Ordering::Release);
            shared.closed.load(Ordering::Acquire)
        });
        // SAFETY: built above.
        let status = unsafe { call::call_driver(device, packet) };
        let closed_inside = port.closed.load(Ordering::Acquire);
        let count = steps.count();
        drop(steps);
        port.reached.store(true, Ordering::Release);
        port.ended.store(status != STATUS_PENDING, Ordering::Release);
        let (status, information) = port.waiter.outcome(status);
        let error = (status as u32) >> 30 == 3;
        let mut bytes = if error { Vec::new() } else { buffer.read() };
        bytes.truncate(information);
        Ok(Sent {
            outcome: Outcome {
                status,
                information,
                bytes,
            },
            steps: count,
            closed_inside,
        })
    })
}
