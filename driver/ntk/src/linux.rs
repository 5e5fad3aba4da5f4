//! The one Linux of this driver: booted with the first mount, halted by the unload.
//!
//! Linux is linked into the image and its data cannot be made new, so it boots once in the life of the image. If that
//! fails, or if Linux dies, mounts fail until the driver is loaded afresh.

use crate::entry;
use crate::log;
use crate::sync::Guarded;
use alloc::sync::Arc;
use lkl::{BootConfig, BootError, Halt, Kernel};
use lkl_host_ntk::sync::Event;
use lkl_host_ntk::{NtkHost, clock, pool};
use lklfs_nt::NtStatus;

/// Bytes that Linux manages: its page cache, its slabs, and the overlays of volumes that need a replay (64 MiB each
/// at most, but rarely more than a few).
const POOL_BYTES: usize = 128 << 20;
/// Messages up to and including warnings.
const COMMAND_LINE: &str = "loglevel=5";

/// A boot, in nanoseconds of the clock that never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Boot {
    /// How long it took.
    pub took: u64,
    /// When it ended.
    pub end: u64,
}

enum State {
    Never,
    Running {
        kernel: Kernel,
        host: Arc<NtkHost>,
        boot: Boot,
    },
    Over(NtStatus),
}

/// Linux, or what became of it.
pub struct Linux {
    state: Guarded<State>,
}

impl Linux {
    /// Not booted yet. `None` for lack of memory.
    pub fn new() -> Option<Self> {
        Some(Linux {
            state: Guarded::new(State::Never)?,
        })
    }

    /// The running kernel, booted if need be.
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
    pub fn get_or_boot(&self) -> Result<(Kernel, Arc<NtkHost>), NtStatus> {
        let mut state = self.state.lock();
        if let State::Never = &*state {
            *state = match boot() {
                Ok((kernel, host, boot)) => State::Running { kernel, host, boot },
                // Another mount may find the memory that this one lacks. If Linux has begun to boot, it says UNSUCCESSFUL.
                Err(status @ NtStatus::INSUFFICIENT_RESOURCES) => return Err(status),
                Err(status) => State::Over(status),
            };
        }
        match &*state {
            State::Running { kernel, host, .. } if !kernel.is_dead() => {
                Ok((kernel.clone(), Arc::clone(host)))
            }
            State::Running { .. } => Err(NtStatus::NO_SUCH_DEVICE),
            State::Over(status) => Err(*status),
            State::Never => Err(NtStatus::INTERNAL_ERROR),
        }
    }

    /// The kernel if it was ever booted, dead or alive.
    pub fn booted(&self) -> Option<Kernel> {
        match &*self.state.lock() {
            State::Running { kernel, .. } => Some(kernel.clone()),
            State::Never | State::Over(_) => None,
        }
    }

    /// When it was booted, if ever.
    pub fn boot(&self) -> Option<Boot> {
        match &*self.state.lock() {
            State::Running { boot, .. } => Some(*boot),
            State::Never | State::Over(_) => None,
        }
    }

    /// Stops Linux for good. All of its threads are joined and its memory is given back when this returns. If one is in a
    /// loop that does not end, this does not return either: the image that the thread runs in must not go. (The driver has
    /// no unload routine any more then, so that only an unload that has begun comes here.)
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
    pub fn halt(&self) {
        let before = core::mem::replace(&mut *self.state.lock(), State::Over(NtStatus::NO_SUCH_DEVICE));
        if let State::Running { kernel, host, .. } = before {
            let never = Event::uninit();
            never.init();
            while kernel.clone().halt() == Halt::Stuck {
                never.wait_for(1000);
            }
            drop((kernel, host));
        }
    }

    /// Bytes that Linux manages while it runs.
    pub fn pool_bytes(&self) -> usize {
        POOL_BYTES
    }
}

fn boot() -> Result<(Kernel, Arc<NtkHost>, Boot), NtStatus> {
    let start = clock::monotonic_ns();
    let host = NtkHost::new().on_stuck(entry::stay);
    let host = pool::try_arc(host).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    host.init();
    let config = BootConfig {
        pool_size: POOL_BYTES,
        command_line: COMMAND_LINE,
    };
    match Kernel::boot(Arc::clone(&host), &config) {
        Ok(kernel) => {
            let end = clock::monotonic_ns();
            let boot = Boot {
                took: end.saturating_sub(start),
                end,
            };
            Ok((kernel, host, boot))
        }
        Err(BootError::NoMemory) => Err(NtStatus::INSUFFICIENT_RESOURCES),
        Err(error) => {
            log::line(format_args!("{error}"));
            Err(NtStatus::UNSUCCESSFUL)
        }
    }
}
