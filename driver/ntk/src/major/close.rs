//! `IRP_MJ_CLOSE`: the last reference to a file object is gone.
//!
//! Work that was given to a worker may still use the open, and then the last such use ends it ([`OpenRef`]). A CLOSE also comes
//! in a thread that is inside a file system already: one of the cache manager's or the memory manager's, or one of ours that
//! has the FCB's main resource while it purges. Nothing that comes before that in the lock order (lock rule 1) is taken there,
//! and Linux is not asked: a thread of ours ends the open.
//
// UNSAFETY: takes the open off the file object.

use crate::irp::Irp;
use crate::object::open::{Open, OpenRef};
use crate::workque::request::Blocking;
use lklfs_fsd::{Outcome, close};
use lklfs_kernel::nt::NTSTATUS;
use lklfs_kernel::stack;

/// Always succeeds.
///
/// IRQL: PASSIVE_LEVEL; blocks, unless the thread is inside a file system already.
pub fn close(irp: Irp, blocking: Blocking) -> NTSTATUS {
    // SAFETY: the file object is this CLOSE's.
    let open = unsafe { Open::detach(irp.file_object()) };
    match blocking {
        Blocking::Posted => drop(open),
        Blocking::Here => {
            let _ = open.map(OpenRef::let_go_later);
        }
    }
    irp.complete(Outcome::success(0))
}

/// Lets go of what an open holds, and counts its file object down.
///
/// IRQL: PASSIVE_LEVEL; blocks. No lock is held.
pub fn finish(open: Open) {
    stack::insist(move || {
        let Open {
            fcb,
            volume,
            ccb,
            cursors,
            closing,
            ..
        } = open;
        drop(ccb);
        drop(cursors);
        drop(closing);
        volume.leave(fcb);
        let last = close::close(&mut volume.state.lock());
        if last {
            volume.tear_down();
        }
        drop(volume);
    });
}
