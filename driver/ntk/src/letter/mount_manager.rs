//! The mount manager: what it is asked, and how it answers.
//!
//! It keeps a name of each volume and mostly a letter, in a database by what the volume says that it is, and tells all of
//! Windows of them. It gives a volume one letter at most.

use crate::letter::letters::{Opened, control};
use alloc::vec::Vec;
use lklfs_kernel::name::Name;
use lklfs_kernel::nt::FILE_READ_ATTRIBUTES;
use lklfs_nt::diskio::{self, CreatePoint, DriveLetter, MountPoint};
use lklfs_nt::record::Field;
use lklfs_nt::{ControlCode, NtStatus};

/// Room for one request to the mount manager: a record and two short names.
const REQUEST: usize = 256;
/// Room for a list of the links that one device has.
const POINTS: usize = 4096;
/// What a letter's link begins with.
const DOS_DEVICES: &str = "\\DosDevices\\";

/// Asks the mount manager. OBJECT_NAME_NOT_FOUND when there is none.
fn ask(code: u32, input: &mut [u8], output: &mut [u8]) -> Result<usize, NtStatus> {
    // The rights that a code asks for have the bits of FILE_READ_DATA and FILE_WRITE_DATA.
    let access = FILE_READ_ATTRIBUTES | ControlCode(code).access();
    let manager = Opened::open(Name::new(diskio::MOUNT_MANAGER).units(), access)?;
    control(&manager, code, input, output)
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

/// Tells the mount manager that a device is there, which it may give a letter to then.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn announce(device: &[u16]) -> Result<(), NtStatus> {
    let mut arrival = counted(device).ok_or(NtStatus::OBJECT_NAME_INVALID)?;
    ask(
        diskio::IOCTL_MOUNTMGR_VOLUME_ARRIVAL_NOTIFICATION,
        arrival.bytes(),
        &mut [],
    )
    .map(|_| ())
}

/// The letter that the mount manager has for a device. `None` when it has none, or does not know the device.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn letter_of(device: &[u16]) -> Result<Option<u8>, NtStatus> {
    let mut request = Request::new(MountPoint::SIZE);
    let place = request.name(device).ok_or(NtStatus::OBJECT_NAME_INVALID)?;
    of_device(place).put(&mut request.bytes);
    Ok(points(&mut request)?.and_then(|points| letter_in(&points)))
}

/// Whether the mount manager knows a letter as a volume's.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn is_taken(letter: u8) -> Result<bool, NtStatus> {
    let mut request = Request::new(MountPoint::SIZE);
    by_letter(&mut request, letter).ok_or(NtStatus::OBJECT_NAME_INVALID)?;
    points(&mut request).map(|points| points.is_some())
}

/// The MOUNTMGR_MOUNT_POINTS that a request selects. `None` when there are none.
fn points(request: &mut Request) -> Result<Option<Vec<u8>>, NtStatus> {
    let mut answer = Vec::new();
    answer
        .try_reserve_exact(POINTS)
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    answer.resize(POINTS, 0u8);
    match ask(diskio::IOCTL_MOUNTMGR_QUERY_POINTS, request.bytes(), &mut answer) {
        Ok(_) => Ok(Some(answer)),
        Err(NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::INVALID_PARAMETER) => Ok(None),
        Err(status) => Err(status),
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

/// The letter that the mount manager gives a device that has none: the one that it remembers, or the next. `None` when it
/// gives none: there are no letters left, or it remembers that the device wants none.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn next(device: &[u16]) -> Result<Option<u8>, NtStatus> {
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

/// Gives a device a letter. INVALID_PARAMETER when it has one already, OBJECT_NAME_COLLISION when another device has this
/// one.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn create_point(device: &[u16], letter: u8) -> Result<(), NtStatus> {
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

/// Takes a letter away from the volume that has it. The mount manager remembers that the volume wants no other, until it is
/// given one by [`create_point`].
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn delete_letter(letter: u8) {
    let mut request = Request::new(MountPoint::SIZE);
    if by_letter(&mut request, letter).is_some() {
        delete(&mut request);
    }
}

/// Takes all links of a device away.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn delete_all(device: &[u16]) {
    let mut request = Request::new(MountPoint::SIZE);
    let Some(place) = request.name(device) else { return };
    of_device(place).put(&mut request.bytes);
    delete(&mut request);
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

/// Selects the link that a letter is.
fn by_letter(request: &mut Request, letter: u8) -> Option<()> {
    let link = Name::letter(letter);
    let (offset, length) = request.name(link.units())?;
    MountPoint {
        symbolic_link_name_offset: u32::from(offset),
        symbolic_link_name_length: length,
        unique_id_offset: 0,
        unique_id_length: 0,
        device_name_offset: 0,
        device_name_length: 0,
    }
    .put(&mut request.bytes);
    Some(())
}

fn delete(request: &mut Request) {
    // The answer lists what went; it may be longer than there is room, which the mount manager forgives.
    let mut answer = [0u8; 512];
    let _ = ask(diskio::IOCTL_MOUNTMGR_DELETE_POINTS, request.bytes(), &mut answer);
}
