//! What every request carries besides its parameters, and what it ends with.

use lklfs_nt::NtStatus;

use crate::errno::{Context, Errno};

/// Who sent an IRP (`RequestorMode`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Requestor {
    /// A user-mode program.
    User,
    /// A kernel component.
    Kernel,
}

/// What each function may have to know of the IRP besides its parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IrpContext {
    /// Who asks.
    pub requestor: Requestor,
    /// Whether the thread may block; if not, what would have to ends with CANT_WAIT.
    pub may_wait: bool,
}

impl IrpContext {
    /// [`Self::may_wait`], for what asks the volume.
    pub const fn wait(self) -> Wait {
        if self.may_wait {
            Wait::Allowed
        } else {
            Wait::Refused
        }
    }
}

/// The leave to wait for the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// The thread may block.
    Allowed,
    /// What is not in memory ends with CANT_WAIT.
    Refused,
}

/// What an IRP is completed with: `IoStatus.Status` and `IoStatus.Information`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Outcome {
    /// The final status.
    pub status: NtStatus,
    /// Mostly a count of bytes; what it counts is the request's matter.
    pub information: usize,
}

impl Outcome {
    /// Success with `information`.
    pub const fn success(information: usize) -> Self {
        Self {
            status: NtStatus::SUCCESS,
            information,
        }
    }

    /// `status` with no information.
    pub const fn failed(status: NtStatus) -> Self {
        Self {
            status,
            information: 0,
        }
    }

    /// Any pair.
    pub const fn new(status: NtStatus, information: usize) -> Self {
        Self { status, information }
    }

    /// A Linux error met in `context`.
    pub fn errno(errno: Errno, context: Context) -> Self {
        Self::failed(errno.to_status(context))
    }
}

impl From<NtStatus> for Outcome {
    fn from(status: NtStatus) -> Self {
        Self::failed(status)
    }
}

impl From<Result<usize, NtStatus>> for Outcome {
    fn from(result: Result<usize, NtStatus>) -> Self {
        match result {
            Ok(information) => Self::success(information),
            Err(status) => Self::failed(status),
        }
    }
}
