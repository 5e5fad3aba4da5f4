//! Drive letters: asked of the mount manager, which keeps them and tells everybody; made by ourselves where there is no
//! mount manager.
//!
//! A letter that is taken is never taken away from its owner: the request fails with OBJECT_NAME_COLLISION.
//
// UNSAFETY: handles of the mount manager, symbolic links of the name space.

use crate::letter::mount_manager::{self, create_point, delete_letter, is_taken, letter_of, next};
use crate::log::{self, Wide};
use alloc::vec::Vec;
use core::ptr::null_mut;
use lklfs_kernel::name::{Name, string};
use lklfs_kernel::nt::{
    self, FILE_SHARE_READ, FILE_SHARE_WRITE, FILE_SYNCHRONOUS_IO_NONALERT, HANDLE, IO_STATUS_BLOCK,
    IoCreateSymbolicLink, IoDeleteSymbolicLink, OBJ_CASE_INSENSITIVE, OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES,
    SYNCHRONIZE, ZwClose, ZwDeviceIoControlFile, ZwOpenFile,
};
use lklfs_nt::NtStatus;
use lklfs_nt::record::Field;

/// How often a letter is asked for that the mount manager refuses since the volume has another.
const ATTEMPTS: u32 = 3;

/// A letter that a device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// `b'A'` to `b'Z'`.
    pub letter: u8,
    /// The link is ours, not the mount manager's.
    own: bool,
}

/// An open handle, closed when dropped.
pub struct Opened(HANDLE);

impl Opened {
    /// Opens a device, or what is mounted on it, by name.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn open(name: &[u16], access: u32) -> Result<Self, NtStatus> {
        let mut string = string(name)?;
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
            ObjectName: &raw mut string,
            Attributes: OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE,
            ..Default::default()
        };
        let mut handle: HANDLE = null_mut();
        let mut block = IO_STATUS_BLOCK::default();
        // SAFETY: all pointers outlive the call, which is synchronous.
        let status = unsafe {
            ZwOpenFile(
                &mut handle,
                access | SYNCHRONIZE,
                &mut attributes,
                &mut block,
                FILE_SHARE_READ | FILE_SHARE_WRITE,
                FILE_SYNCHRONOUS_IO_NONALERT,
            )
        };
        if status < 0 {
            return Err(nt::status(status));
        }
        Ok(Opened(handle))
    }

    /// The handle.
    pub fn handle(&self) -> HANDLE {
        self.0
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: opened by open(), and closed once.
        let _ = unsafe { ZwClose(self.0) };
    }
}

/// Sends a control to what a handle is open on; the bytes of its answer.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn control(opened: &Opened, code: u32, input: &mut [u8], output: &mut [u8]) -> Result<usize, NtStatus> {
    let mut block = IO_STATUS_BLOCK::default();
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| NtStatus::INVALID_PARAMETER);
    let (input_length, output_length) = (length(input)?, length(output)?);
    // SAFETY: the buffers outlive the call, which is synchronous.
    let status = unsafe {
        ZwDeviceIoControlFile(
            opened.handle(),
            null_mut(),
            None,
            null_mut(),
            &mut block,
            code,
            input.as_mut_ptr().cast(),
            input_length,
            output.as_mut_ptr().cast(),
            output_length,
        )
    };
    if status < 0 {
        return Err(nt::status(status));
    }
    Ok(block.Information as usize)
}

/// The name in a USHORT length and UTF-16: MOUNTDEV_NAME.
pub fn counted_name(bytes: &[u8]) -> Result<Vec<u16>, NtStatus> {
    let length = u16::get(bytes).ok_or(NtStatus::INVALID_PARAMETER)?;
    let name = bytes
        .get(2..)
        .and_then(|rest| rest.get(..usize::from(length)))
        .ok_or(NtStatus::INVALID_PARAMETER)?;
    let mut units = Vec::new();
    units
        .try_reserve_exact(name.len() / 2)
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    units.extend(name.chunks_exact(2).filter_map(u16::get));
    Ok(units)
}

fn is_missing(status: NtStatus) -> bool {
    status == NtStatus::OBJECT_NAME_NOT_FOUND || status == NtStatus::OBJECT_PATH_NOT_FOUND
}

/// Which letter a device is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// This one; it fails when it is taken.
    Exactly(u8),
    /// This one, even if it has another; else any.
    Rather(u8),
    /// The one that it has; else this one, if any is named; else any.
    Any(Option<u8>),
}

impl Wish {
    /// Whether a device that has this letter has what it wishes for.
    pub fn is_met_by(self, letter: u8) -> bool {
        match self {
            Wish::Exactly(wanted) | Wish::Rather(wanted) => wanted == letter,
            Wish::Any(_) => true,
        }
    }
}

/// Gives a device a letter, by the mount manager, or by ourselves where there is none. `None`: there are no letters left.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn assign(device: &[u16], wish: Wish) -> Result<Option<Assigned>, NtStatus> {
    match by_manager(device, wish) {
        // There is no mount manager, or the device is none of its clients, as a whole disk is not.
        Err(status) if is_missing(status) || status == NtStatus::INVALID_DEVICE_REQUEST => own(device, wish),
        Ok(None) => Ok(first_free(device)?.map(|letter| Assigned { letter, own: false })),
        assigned => assigned,
    }
}

/// Tells the mount manager of a device, and has it give the device a letter. OBJECT_NAME_NOT_FOUND or
/// OBJECT_PATH_NOT_FOUND when there is no mount manager.
///
/// # Errors
/// OBJECT_NAME_COLLISION when the device cannot have the letter that it is to have.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn by_manager(device: &[u16], wish: Wish) -> Result<Option<Assigned>, NtStatus> {
    mount_manager::announce(device)?;
    let now = letter_of(device)?;
    let letter = match (wish, now) {
        (wish, Some(now)) if wish.is_met_by(now) => Some(now),
        (Wish::Exactly(letter), now) => {
            exchange(device, now, letter)?;
            Some(letter)
        }
        (Wish::Rather(letter) | Wish::Any(Some(letter)), now) => match exchange(device, now, letter) {
            Ok(()) => Some(letter),
            Err(NtStatus::OBJECT_NAME_COLLISION) => match letter_of(device)? {
                Some(now) => Some(now),
                None => match next(device)? {
                    Some(next) => Some(next),
                    None => first_free(device)?,
                },
            },
            Err(status) => return Err(status),
        },
        (Wish::Any(None), _) => next(device)?,
    };
    Ok(letter.map(|letter| Assigned { letter, own: false }))
}

/// Gives a device this letter in place of the one that it has. OBJECT_NAME_COLLISION when it cannot have it, mostly since
/// another device does: the old letter stays then, or comes back.
///
/// The mount manager allows one letter a volume and refuses a second, so the old one has to go first.
fn exchange(device: &[u16], mut now: Option<u8>, letter: u8) -> Result<(), NtStatus> {
    // Windows may give or take letters between two requests of ours.
    for _ in 0..ATTEMPTS {
        if now.is_some() && is_taken(letter)? {
            break;
        }
        if let Some(now) = now {
            delete_letter(now);
        }
        let refused = match create_point(device, letter) {
            Err(refused) => refused,
            made => return made,
        };
        if refused != NtStatus::INVALID_PARAMETER {
            if let Some(now) = now {
                put_back(device, now);
            }
            return Err(refused);
        }
        now = letter_of(device)?;
    }
    Err(NtStatus::OBJECT_NAME_COLLISION)
}

/// Gives a device the letter again that was taken away from it.
fn put_back(device: &[u16], letter: u8) {
    if let Err(status) = create_point(device, letter) {
        log::line(format_args!(
            "{} has lost {}:, and does not get it back: {status:?}",
            Wide(device),
            char::from(letter)
        ));
    }
}

/// Gives a device the first letter that is free, although the mount manager would give it none: it remembers of a volume
/// whose letter was taken away that it wants no other. `None`: there are no letters left.
fn first_free(device: &[u16]) -> Result<Option<u8>, NtStatus> {
    for letter in b'D'..=b'Z' {
        match create_point(device, letter) {
            Ok(()) => return Ok(Some(letter)),
            Err(NtStatus::OBJECT_NAME_COLLISION) => {}
            // The volume has one meanwhile.
            Err(NtStatus::INVALID_PARAMETER) => return letter_of(device),
            Err(status) => return Err(status),
        }
    }
    Ok(None)
}

/// The letter that a device has now: a link of ours stays as it was given, all others are the mount manager's to change.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn current(device: &[u16], assigned: Option<Assigned>) -> Option<u8> {
    match assigned {
        Some(Assigned { letter, own: true }) => Some(letter),
        _ => letter_of(device).unwrap_or(None),
    }
}

/// Gives a letter by a link of our own.
///
/// IRQL: PASSIVE_LEVEL.
pub fn own(device: &[u16], wish: Wish) -> Result<Option<Assigned>, NtStatus> {
    let (first, others) = match wish {
        Wish::Exactly(letter) => (Some(letter), false),
        Wish::Rather(letter) => (Some(letter), true),
        Wish::Any(letter) => (letter, true),
    };
    let others = (b'D'..=b'Z').filter(|_| others);
    for letter in first.into_iter().chain(others) {
        let (mut link, mut target) = (Name::letter(letter), Name::of(device));
        // SAFETY: both strings outlive the call.
        let status = unsafe { IoCreateSymbolicLink(&mut link.string(), &mut target.string()) };
        match nt::status(status) {
            NtStatus::SUCCESS => return Ok(Some(Assigned { letter, own: true })),
            NtStatus::OBJECT_NAME_COLLISION => {}
            failed => return Err(failed),
        }
    }
    match wish {
        Wish::Exactly(_) => Err(NtStatus::OBJECT_NAME_COLLISION),
        Wish::Rather(_) | Wish::Any(_) => Ok(None),
    }
}

/// Takes the link of our own away that a letter is. False when the letter is the mount manager's.
///
/// IRQL: PASSIVE_LEVEL.
pub fn release_own(assigned: Option<Assigned>) -> bool {
    let Some(Assigned { letter, own: true }) = assigned else {
        return false;
    };
    let mut link = Name::letter(letter);
    // SAFETY: the string outlives the call.
    let _ = unsafe { IoDeleteSymbolicLink(&mut link.string()) };
    true
}

/// Takes all links of a device away that is going to be deleted.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn release(device: &[u16], assigned: Option<Assigned>) {
    if release_own(assigned) {
        return;
    }
    mount_manager::delete_all(device);
}

/// Takes the letters of a device away that stays.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn hide(device: &[u16], assigned: Option<Assigned>) {
    if release_own(assigned) {
        return;
    }
    // A device may have several letters; there are no more than 26, should the mount manager take none away.
    for _ in b'A'..=b'Z' {
        let Ok(Some(letter)) = letter_of(device) else {
            return;
        };
        delete_letter(letter);
    }
}
