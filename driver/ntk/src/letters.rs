//! Drive letters: asked of the mount manager, which keeps them and tells everybody; made by ourselves where there is no
//! mount manager.
//!
//! A letter that is taken is never taken away from its owner: the request fails with OBJECT_NAME_COLLISION.
//
// UNSAFETY: handles of the mount manager, symbolic links of the name space.

use crate::name::{Name, string};
use crate::nt::{
    self, FILE_READ_ATTRIBUTES, FILE_SHARE_READ, FILE_SHARE_WRITE, FILE_SYNCHRONOUS_IO_NONALERT, HANDLE,
    IO_STATUS_BLOCK, IoCreateSymbolicLink, IoDeleteSymbolicLink, OBJ_CASE_INSENSITIVE, OBJ_KERNEL_HANDLE,
    OBJECT_ATTRIBUTES, SYNCHRONIZE, ZwClose, ZwDeviceIoControlFile, ZwOpenFile,
};
use alloc::vec::Vec;
use core::ptr::null_mut;
use lklfs_nt::diskio::{self, CreatePoint, DriveLetter, MountPoint};
use lklfs_nt::record::Field;
use lklfs_nt::{ControlCode, NtStatus};

/// Room for one request to the mount manager: a record and two short names.
const REQUEST: usize = 256;
/// Room for a list of the links that one device has.
const POINTS: usize = 4096;
/// What a letter's link begins with.
const DOS_DEVICES: &str = "\\DosDevices\\";

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

/// Asks the mount manager. OBJECT_NAME_NOT_FOUND when there is none.
fn ask(code: u32, input: &mut [u8], output: &mut [u8]) -> Result<usize, NtStatus> {
    // The rights that a code asks for have the bits of FILE_READ_DATA and FILE_WRITE_DATA.
    let access = FILE_READ_ATTRIBUTES | ControlCode(code).access();
    let manager = Opened::open(Name::new(diskio::MOUNT_MANAGER).units(), access)?;
    control(&manager, code, input, output)
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

/// A record and names behind it, for one request.
struct Request {
    bytes: [u8; REQUEST],
    length: usize,
}

impl Request {
    fn new(head: usize) -> Self {
        Request {
            bytes: [0; REQUEST],
            length: head,
        }
    }

    /// Appends a name; where it begins and its length, in bytes.
    fn name(&mut self, name: &[u16]) -> Option<(u16, u16)> {
        let start = self.length;
        for unit in name {
            let end = self.length.checked_add(2)?;
            self.bytes
                .get_mut(self.length..end)?
                .copy_from_slice(&unit.to_le_bytes());
            self.length = end;
        }
        let length = self.length.checked_sub(start)?;
        Some((u16::try_from(start).ok()?, u16::try_from(length).ok()?))
    }

    fn bytes(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.length).unwrap_or_default()
    }
}

/// A USHORT length and a name: MOUNTMGR_TARGET_NAME, MOUNTMGR_DRIVE_LETTER_TARGET.
fn counted(name: &[u16]) -> Option<Request> {
    let mut request = Request::new(2);
    let (_, length) = request.name(name)?;
    length.put(&mut request.bytes);
    Some(request)
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
        assigned => assigned,
    }
}

/// Tells the mount manager of a device, and has it give the device a letter. OBJECT_NAME_NOT_FOUND or
/// OBJECT_PATH_NOT_FOUND when there is no mount manager.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn by_manager(device: &[u16], wish: Wish) -> Result<Option<Assigned>, NtStatus> {
    let mut arrival = counted(device).ok_or(NtStatus::OBJECT_NAME_INVALID)?;
    ask(
        diskio::IOCTL_MOUNTMGR_VOLUME_ARRIVAL_NOTIFICATION,
        arrival.bytes(),
        &mut [],
    )?;
    let now = letter_of(device)?;
    let made = match (wish, now) {
        (Wish::Exactly(letter) | Wish::Rather(letter), Some(now)) if now == letter => Some(letter),
        (Wish::Any(_), Some(now)) => Some(now),
        (Wish::Exactly(letter), _) => {
            create_point(device, letter)?;
            Some(letter)
        }
        (Wish::Rather(letter) | Wish::Any(Some(letter)), _) => match create_point(device, letter) {
            Ok(()) => Some(letter),
            Err(NtStatus::OBJECT_NAME_COLLISION) => None,
            Err(status) => return Err(status),
        },
        (Wish::Any(None), None) => None,
    };
    let letter = match (made, now) {
        (Some(made), Some(before)) if made != before => {
            delete_letter(before);
            Some(made)
        }
        (Some(made), _) => Some(made),
        (None, Some(now)) => Some(now),
        (None, None) => next(device)?,
    };
    Ok(letter.map(|letter| Assigned { letter, own: false }))
}

/// The letter that the mount manager has for a device. `None` when it has none, or does not know the device.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn letter_of(device: &[u16]) -> Result<Option<u8>, NtStatus> {
    let mut request = Request::new(MountPoint::SIZE);
    let place = request.name(device).ok_or(NtStatus::OBJECT_NAME_INVALID)?;
    of_device(place).put(&mut request.bytes);
    let mut answer = Vec::new();
    answer
        .try_reserve_exact(POINTS)
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    answer.resize(POINTS, 0u8);
    match ask(diskio::IOCTL_MOUNTMGR_QUERY_POINTS, request.bytes(), &mut answer) {
        Ok(_) => Ok(letter_in(&answer)),
        Err(NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::INVALID_PARAMETER) => Ok(None),
        Err(status) => Err(status),
    }
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

/// The first letter among MOUNTMGR_MOUNT_POINTS: size, count, and for each point where its names are.
fn letter_in(points: &[u8]) -> Option<u8> {
    let count = points.get(4..).and_then(u32::get)?;
    let links = (0..count).map_while(|index| {
        let at = 8usize.saturating_add(MountPoint::SIZE.saturating_mul(index as usize));
        let point = MountPoint::get(points.get(at..)?)?;
        let start = point.symbolic_link_name_offset as usize;
        points.get(start..start.saturating_add(point.symbolic_link_name_length.into()))
    });
    let mut letters = links.filter_map(|link| {
        let (units, _) = link.as_chunks::<2>();
        let mut units = units.iter().map(|unit| u16::from_le_bytes(*unit));
        let mut prefix = DOS_DEVICES.encode_utf16();
        if !prefix.all(|unit| units.next() == Some(unit)) {
            return None;
        }
        let letter = units.next().and_then(|unit| u8::try_from(unit).ok())?;
        let colon = units.next() == Some(0x3a) && units.next().is_none();
        Some(letter).filter(|letter| colon && letter.is_ascii_uppercase())
    });
    letters.next()
}

/// The letter that the mount manager gives a device that has none: the one that it remembers, or the next.
fn next(device: &[u16]) -> Result<Option<u8>, NtStatus> {
    let mut request = counted(device).ok_or(NtStatus::OBJECT_NAME_INVALID)?;
    let mut answer = [0u8; DriveLetter::SIZE];
    let written = ask(
        diskio::IOCTL_MOUNTMGR_NEXT_DRIVE_LETTER,
        request.bytes(),
        &mut answer,
    );
    match written {
        Ok(_) => Ok(DriveLetter::get(&answer)
            .map(|told| told.current_drive_letter)
            .filter(u8::is_ascii_uppercase)),
        Err(NtStatus::NO_MORE_ENTRIES) => Ok(None),
        Err(status) => Err(status),
    }
}

fn create_point(device: &[u16], letter: u8) -> Result<(), NtStatus> {
    let mut request = Request::new(CreatePoint::SIZE);
    let link = Name::letter(letter);
    let places = request.name(link.units()).zip(request.name(device));
    let Some((link, device)) = places else {
        return Err(NtStatus::OBJECT_NAME_INVALID);
    };
    CreatePoint {
        symbolic_link_name_offset: link.0,
        symbolic_link_name_length: link.1,
        device_name_offset: device.0,
        device_name_length: device.1,
    }
    .put(&mut request.bytes);
    ask(diskio::IOCTL_MOUNTMGR_CREATE_POINT, request.bytes(), &mut []).map(|_| ())
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

/// Selects the links of a device.
fn of_device((offset, length): (u16, u16)) -> MountPoint {
    MountPoint {
        symbolic_link_name_offset: 0,
        symbolic_link_name_length: 0,
        unique_id_offset: 0,
        unique_id_length: 0,
        device_name_offset: u32::from(offset),
        device_name_length: length,
    }
}

/// Takes a letter away from whatever has it.
fn delete_letter(letter: u8) {
    let mut request = Request::new(MountPoint::SIZE);
    let link = Name::letter(letter);
    let Some((offset, length)) = request.name(link.units()) else {
        return;
    };
    MountPoint {
        symbolic_link_name_offset: u32::from(offset),
        symbolic_link_name_length: length,
        unique_id_offset: 0,
        unique_id_length: 0,
        device_name_offset: 0,
        device_name_length: 0,
    }
    .put(&mut request.bytes);
    delete(&mut request);
}

fn delete(request: &mut Request) {
    // The answer lists what went; it may be longer than there is room, which the mount manager forgives.
    let mut answer = [0u8; 512];
    let _ = ask(diskio::IOCTL_MOUNTMGR_DELETE_POINTS, request.bytes(), &mut answer);
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
    let mut request = Request::new(MountPoint::SIZE);
    let Some(place) = request.name(device) else { return };
    of_device(place).put(&mut request.bytes);
    delete(&mut request);
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
