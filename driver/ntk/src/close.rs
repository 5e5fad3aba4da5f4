//! `IRP_MJ_CLOSE`: the last reference to a file object is gone. Dropping its open closes the inode in Linux if it was
//! the last, and lets Linux unmount if the volume was torn down and this was its last open.
//
// UNSAFETY: takes the open off the file object.

use crate::irp::Irp;
use crate::nt::NTSTATUS;
use crate::open::Open;
use lkl_host_ntk::stack;
use lklfs_fsd::{Outcome, close};

/// Always succeeds.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn close(irp: Irp) -> NTSTATUS {
    // SAFETY: the file object is this CLOSE's.
    let open = unsafe { Open::detach(irp.file_object()) };
    if let Some(open) = open {
        let mut open = Some(open);
        // Without a larger stack this cannot be done, and CLOSE cannot fail: so it tries until there is one.
        while open.is_some() {
            let _ = stack::on_large_stack(|| {
                if let Some(open) = open.take() {
                    let Open {
                        fcb,
                        volume,
                        ccb,
                        cursors,
                        ..
                    } = *open;
                    drop(ccb);
                    drop(cursors);
                    volume.leave(fcb);
                    let last = close::close(&mut volume.state.lock());
                    if last {
                        volume.tear_down();
                    }
                    drop(volume);
                }
            });
        }
    }
    irp.complete(Outcome::success(0))
}
