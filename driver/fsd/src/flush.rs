//! `IRP_MJ_FLUSH_BUFFERS`: nothing is ever dirty.

use crate::Outcome;

/// What a FLUSH_BUFFERS ends with. It is not passed down: a flush is a write to the disk below.
///
/// # IRQL
///
/// Any; never blocks.
pub const fn flush() -> Outcome {
    Outcome::success(0)
}
