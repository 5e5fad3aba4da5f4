//! What becomes of volumes when Linux dies: the one that it died of goes offline, all others live on in the next Linux.
//!
//! A volume lives on by [`Revival`], which mounts it again as it was mounted first. The request that finds Linux dead does that
//! (`lkl_vfs::LklVolume`), so that a volume that nothing is asked of costs nothing.

use crate::eventlog;
use crate::letter::settings::How;
use crate::log::{self, Wide};
use crate::object::signature::{self, Found};
use crate::object::volume::MountedVolume;
use crate::state;
use crate::workque::deferred;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::num::NonZeroU64;
use core::sync::atomic::{AtomicBool, Ordering};
use lkl::{BlockDevice, DiskOptions, Errno, Kernel, MOST_DEATHS, Mount, MountError};
use lkl_host_ntk::DeviceDisk;
use lkl_vfs::Origin;
use lklfs_kernel::nt::PASSIVE;
use lklfs_kernel::resource::Guarded;
use lklfs_kernel::sync::Event;
use lklfs_kernel::{pool, routines};
use lklfs_nt::{LogEvent, NtStatus};

/// How a volume was mounted.
struct Mounting {
    disk: Arc<DeviceDisk>,
    how: How,
    /// What was on the disk then, if it was known by its signature.
    found: Option<Found>,
    account: NonZeroU64,
}

/// Mounts a volume again.
pub struct Revival {
    mounting: Arc<Mounting>,
    alone: Guarded<()>,
    /// It was said that the volume is over.
    over: AtomicBool,
}

impl Revival {
    /// For a volume that was mounted so. `None` for lack of memory.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn new(
        disk: Arc<DeviceDisk>,
        how: How,
        found: Option<Found>,
        account: NonZeroU64,
    ) -> Option<Box<Revival>> {
        let mounting = pool::try_arc(Mounting {
            disk,
            how,
            found,
            account,
        })?;
        fallible::try_box(Revival {
            mounting,
            alone: Guarded::new(())?,
            over: AtomicBool::new(false),
        })
    }
}

impl Origin for Revival {
    fn alone(&self, act: &mut dyn FnMut()) {
        let _alone = self.alone.lock();
        act();
    }

    /// IRQL: <= APC_LEVEL, on a large stack; blocks.
    fn mount_again(&self, _dead: &Kernel) -> Result<(Mount, BlockDevice), Errno> {
        if routines::irql() == PASSIVE {
            return self.mounting.mount();
        }
        // A paging read: threads are made at PASSIVE_LEVEL only.
        let outcome = pool::try_arc(Outcome::new().ok_or(Errno::ENOMEM)?).ok_or(Errno::ENOMEM)?;
        outcome.done.init();
        let (told, mounting) = (Arc::clone(&outcome), Arc::clone(&self.mounting));
        let queued = deferred::queue(move || {
            let result = mounting.mount();
            *told.result.lock() = Some(result);
            told.done.set();
        });
        if !queued {
            return Err(Errno::ENOMEM);
        }
        outcome.done.wait();
        outcome.result.lock().take().unwrap_or(Err(Errno::ENODEV))
    }

    /// IRQL: <= APC_LEVEL.
    fn is_over(&self) {
        if !self.over.swap(true, Ordering::AcqRel) {
            let queued = end(self.mounting.account, End::Untold);
            // Without memory for that, another request says it.
            self.over.store(queued, Ordering::Release);
        }
    }
}

/// What another thread comes to.
struct Outcome {
    done: Event,
    result: Guarded<Option<Result<(Mount, BlockDevice), Errno>>>,
}

impl Outcome {
    fn new() -> Option<Outcome> {
        Some(Outcome {
            done: Event::uninit(),
            result: Guarded::new(None)?,
        })
    }
}

impl Mounting {
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
    fn mount(&self) -> Result<(Mount, BlockDevice), Errno> {
        let driver = state::driver().ok_or(Errno::ENODEV)?;
        if self.disk.is_gone() {
            return Err(Errno::ENODEV);
        }
        if self.found.is_some() && signature::look(&self.disk).ok() != self.found {
            log::line(format_args!(
                "volume {} does not live on: what is on its disk has changed",
                self.account
            ));
            let _ = end(self.account, End::Changed);
            return Err(Errno::ENODEV);
        }
        // Each round is a death of Linux's, and after so many there is none to mount it in.
        for _ in 0..MOST_DEATHS {
            let kernel = driver.linux.after(self.account).map_err(|_| Errno::ENODEV)?;
            let error = match self.mount_in(&kernel) {
                Ok(mounted) => return Ok(mounted),
                Err(error) => error,
            };
            if kernel.is_dead() {
                // Of this volume, which is told by `after`, or of another one meanwhile.
                continue;
            }
            log::line(format_args!("volume {} does not live on: {error}", self.account));
            // What may be gone the next time is no end.
            if !matches!(error.errno, Errno::ENOMEM | Errno::EIO | Errno::ENODEV) {
                let _ = end(self.account, End::Changed);
            }
            return Err(error.errno);
        }
        Err(Errno::ENODEV)
    }

    fn mount_in(&self, kernel: &Kernel) -> Result<(Mount, BlockDevice), MountError> {
        let disk: Arc<dyn lkl::Disk> = Arc::clone(&self.disk) as Arc<dyn lkl::Disk>;
        let device = kernel
            .add_disk(disk, DiskOptions::default())
            .map_err(MountError::of)?;
        let (kind, options) = self.how.for_linux();
        let mount = kernel.mount(&device, kind, &options)?;
        Ok((mount, device))
    }
}

/// Why a volume ends while others live on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Linux died of it.
    Fatal,
    /// Its files cannot be told again in another Linux.
    Untold,
    /// It cannot be mounted in another Linux as it was.
    Changed,
}

/// Takes the volume of that number offline, of which Linux has died: its requests fail, and its next open mounts it afresh. Does not
/// wait.
///
/// IRQL: <= APC_LEVEL.
pub fn offline(account: NonZeroU64) {
    // Without memory for that it goes with its requests, which find no Linux to go on in.
    let _ = end(account, End::Fatal);
}

/// The same for any reason; false for lack of memory.
fn end(account: NonZeroU64, why: End) -> bool {
    deferred::queue(move || {
        let Some(driver) = state::driver() else { return };
        let volumes = driver.volumes.all().unwrap_or_default();
        if let Some(volume) = volumes.iter().find(|volume| volume.id == account.get()) {
            take_offline(volume, why);
        }
    })
}

fn take_offline(volume: &Arc<MountedVolume>, why: End) {
    if why == End::Fatal
        && let (Some(driver), Some(key)) = (state::driver(), &volume.key)
    {
        driver.linux.note_fatal(key);
    }
    let reason = match why {
        End::Fatal => "Linux has died of it; all others live on",
        End::Untold => "its Linux has died, and its files cannot be told again in another",
        End::Changed => "its Linux has died, and in another it cannot be mounted as it was",
    };
    log::line(format_args!("volume {} is offline: {reason}", volume.id));
    if why == End::Fatal {
        tell_event_log(volume);
    }
    let over = {
        let mut state = volume.state.lock();
        state.fatal = true;
        volume.follow(&state);
        state.is_over()
    };
    volume.let_go_of_vpb();
    volume.end_pended();
    if over {
        volume.tear_down();
    } else {
        volume.drain_later(0);
    }
}

/// By the name of the device, which is what Windows' own events have, and the file system.
fn tell_event_log(volume: &MountedVolume) {
    let device = volume.mounted_on.name().unwrap_or_default();
    let mounted = volume.vcb.volume().mounted();
    eventlog::report(
        LogEvent::VolumeOffline,
        NtStatus::NO_SUCH_DEVICE,
        &[&Wide(&device), &mounted.fs_name()],
    );
}
