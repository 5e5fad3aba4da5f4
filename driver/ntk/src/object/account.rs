//! The number of a volume that is being mounted, and what follows when Linux dies of that.

use crate::device::DeviceRef;
use crate::eventlog;
use crate::letter::policy;
use crate::log::Wide;
use crate::object::signature::Found;
use crate::object::volume;
use crate::state::Driver;
use core::num::NonZeroU64;
use lklfs_nt::{LogEvent, NtStatus};

/// The number of a volume that is being mounted, on whose account Linux works.
#[derive(Clone, Copy)]
pub struct Account(NonZeroU64);

impl Account {
    /// A number that no other volume has or had.
    ///
    /// # Errors
    /// INTERNAL_ERROR after all of them.
    pub fn new() -> Result<Account, NtStatus> {
        NonZeroU64::new(volume::next_id())
            .map(Account)
            .ok_or(NtStatus::INTERNAL_ERROR)
    }

    /// The number.
    pub fn number(self) -> NonZeroU64 {
        self.0
    }

    /// Whether it is this volume that Linux has died of.
    pub fn has_killed(self, kernel: &lkl::Kernel) -> bool {
        kernel.death_account() == Some(self.0)
    }

    /// The mount has failed: because Linux died of it, perhaps.
    pub fn note_death(self, driver: &Driver, real: &DeviceRef, found: Option<&Found>) {
        let dead = driver.linux.booted();
        if !dead.is_some_and(|kernel| self.has_killed(&kernel)) {
            return;
        }
        let superblock = found.map(|(superblock, _)| superblock);
        if let Some(key) = superblock.and_then(policy::key) {
            driver.linux.note_fatal(&key);
        }
        let device = real.name().unwrap_or_default();
        let fs_name = superblock.map_or("no file system that is recognised", |found| found.kind.name());
        eventlog::report(
            LogEvent::VolumeNotMounted,
            NtStatus::NO_SUCH_DEVICE,
            &[&Wide(&device), &fs_name],
        );
    }
}
