//! What is on a disk: found by plain reads of the device, in safe code, before Linux is asked.
//!
//! What the reads fail with is told apart in one respect: whether there is anything to be looked at at all
//! ([`ends_the_search`]).

use core::cell::Cell;
use lkl::probe::{self, ReadAt, ReadError};
use lklfs_kernel::disk::DeviceReader;
use lklfs_nt::NtStatus;

/// How often a disk is looked at whose medium is changed meanwhile.
const LOOKS: u32 = 3;
/// The largest piece that the probe reads at once, with room for sectors at both ends.
const WINDOW: usize = 16 * 1024;

/// The device as the probe reads it: any offset, any length.
pub struct Signature<'a> {
    disk: &'a DeviceReader,
    /// What a read that failed ended with.
    failure: Cell<NtStatus>,
}

impl<'a> Signature<'a> {
    /// Over this disk.
    pub fn new(disk: &'a DeviceReader) -> Self {
        Signature {
            disk,
            failure: Cell::new(NtStatus::SUCCESS),
        }
    }
}

impl ReadAt for Signature<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let sector = u64::from(self.disk.block_bytes());
        let end = offset.checked_add(buffer.len() as u64).ok_or(ReadError)?;
        let first = offset
            .checked_div(sector)
            .ok_or(ReadError)?
            .saturating_mul(sector);
        let last = end.checked_next_multiple_of(sector).ok_or(ReadError)?;
        if last > self.disk.bytes() {
            return Err(ReadError);
        }
        let length = usize::try_from(last.saturating_sub(first)).map_err(|_| ReadError)?;
        if length > WINDOW {
            return Err(ReadError);
        }
        let mut sectors = alloc::vec::Vec::new();
        sectors.try_reserve_exact(length).map_err(|_| {
            self.failure.set(NtStatus::INSUFFICIENT_RESOURCES);
            ReadError
        })?;
        sectors.resize(length, 0u8);
        self.disk.read_to_verify(first, &mut sectors).map_err(|status| {
            self.failure.set(status);
            ReadError
        })?;
        let skip = usize::try_from(offset.saturating_sub(first)).map_err(|_| ReadError)?;
        let found = sectors
            .get(skip..)
            .and_then(|rest| rest.get(..buffer.len()))
            .ok_or(ReadError)?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn size(&self) -> Option<u64> {
        Some(self.disk.bytes())
    }
}

/// What is on a disk: its superblock, and what changes when another system mounts it for writing, if that can be told.
pub type Found = (probe::Superblock, Option<probe::Fingerprint>);

/// Looks at a disk as it is now, whatever Linux or the device below believe.
///
/// IRQL: PASSIVE_LEVEL; blocks.
///
/// # Errors
/// UNRECOGNIZED_VOLUME when nothing is known there; INSUFFICIENT_RESOURCES when that could not be found out; or what says
/// that there is no disk or medium at all.
pub fn look(disk: &DeviceReader) -> Result<Found, NtStatus> {
    let mut found = look_once(disk);
    // Another medium came while the first was looked at.
    for _ in 1..LOOKS {
        if found != Err(NtStatus::VERIFY_REQUIRED) {
            break;
        }
        found = look_once(disk);
    }
    found
}

fn look_once(disk: &DeviceReader) -> Result<Found, NtStatus> {
    let signature = Signature::new(disk);
    let found = probe::probe(&signature).map(|superblock| {
        let fingerprint = probe::fingerprint(&signature, &superblock).ok();
        (superblock, fingerprint)
    });
    match (found, signature.failure.get()) {
        // What is there is not known then, which is another thing than that nothing is.
        (Some((_, None)) | None, short @ NtStatus::INSUFFICIENT_RESOURCES) => Err(short),
        (Some(found), _) => Ok(found),
        (None, absent) if ends_the_search(absent) => Err(absent),
        (None, _) => Err(NtStatus::UNRECOGNIZED_VOLUME),
    }
}

/// Whether no file system can find anything on a device that says this.
pub fn ends_the_search(status: NtStatus) -> bool {
    matches!(
        status,
        NtStatus::NO_SUCH_DEVICE
            | NtStatus::DEVICE_DOES_NOT_EXIST
            | NtStatus::DEVICE_NOT_CONNECTED
            | NtStatus::DEVICE_REMOVED
            | NtStatus::DEVICE_NOT_READY
            | NtStatus::NO_MEDIA_IN_DEVICE
            | NtStatus::VERIFY_REQUIRED
            | NtStatus::WRONG_VOLUME
    )
}
