//! The mount manager of the double: `\Device\MountPointManager`, which gives volumes their drive letters.
//!
//! It knows volumes by what they say of themselves: a client announces a device name
//! (`IOCTL_MOUNTMGR_VOLUME_ARRIVAL_NOTIFICATION`), the mount manager opens that device and asks it for its unique ID and
//! suggested link name (`IOCTL_MOUNTDEV_*`). Each volume gets a `\??\Volume{...}` link. Its letter is the one that the
//! database remembers for the unique ID, else the suggested one, else the next free one if new volumes are mounted
//! automatically. A client may say that its suggestion is for a volume that has no other link in the database. The database
//! is in the registry (`MountedDevices`), so that it outlives the machine if its hive does. A volume with the unique ID of one that is there already
//! gets nothing.
//!
//! A volume has one letter at most: `IOCTL_MOUNTMGR_CREATE_POINT` with a second one is refused (INVALID_PARAMETER), unless
//! the mount manager has not been told of the volume's arrival. A letter that `IOCTL_MOUNTMGR_DELETE_POINTS` takes away by
//! its name alone leaves an entry in the database: this volume does not want a letter, and neither a later arrival nor
//! `IOCTL_MOUNTMGR_NEXT_DRIVE_LETTER` gives it one, until `IOCTL_MOUNTMGR_CREATE_POINT` does.
//!
//! A link is made in the name space and the volume told of it (LINK_CREATED). What the real mount manager does about
//! remote databases, GPT attributes and directories as mount points is not modelled.

use crate::io::file::{self, Waiter};
use crate::io::ledger::Owner;
use crate::io::open::{self, Open};
use crate::io::{call, complete, device, irp, names, native, request};
use crate::nt::*;
use crate::{cm, ob};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

const DEVICE: &str = "\\Device\\MountPointManager";
const LINK: &str = "\\DosDevices\\MountPointManager";

const IOCTL_MOUNTMGR_CREATE_POINT: u32 = 0x006d_c000;
const IOCTL_MOUNTMGR_DELETE_POINTS: u32 = 0x006d_c004;
const IOCTL_MOUNTMGR_QUERY_POINTS: u32 = 0x006d_0008;
const IOCTL_MOUNTMGR_NEXT_DRIVE_LETTER: u32 = 0x006d_c010;
const IOCTL_MOUNTMGR_VOLUME_ARRIVAL_NOTIFICATION: u32 = 0x006d_402c;

const IOCTL_MOUNTDEV_QUERY_UNIQUE_ID: u32 = 0x004d_0000;
const IOCTL_MOUNTDEV_QUERY_DEVICE_NAME: u32 = 0x004d_0008;
const IOCTL_MOUNTDEV_QUERY_SUGGESTED_LINK_NAME: u32 = 0x004d_000c;
const IOCTL_MOUNTDEV_LINK_CREATED: u32 = 0x004d_0010;
const IOCTL_MOUNTDEV_LINK_DELETED: u32 = 0x004d_0014;

/// A volume that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// `\Device\...`.
    pub device: String,
    /// What it says it is.
    pub unique_id: Vec<u8>,
    /// Its links: `\DosDevices\X:` and `\??\Volume{...}`.
    pub links: Vec<String>,
    /// The mount manager was told that it has arrived.
    pub announced: bool,
}

#[derive(Default)]
struct State {
    device: usize,
    volumes: Vec<Volume>,
    /// Link name to unique ID.
    database: BTreeMap<String, Vec<u8>>,
    /// Devices of volumes that have gone, in lower case. One may still be asked for what it is by a request that began before:
    /// what it says makes no volume of it any more.
    gone: BTreeSet<String>,
    /// Unique IDs of volumes that do not want a letter.
    without_letter: BTreeSet<Vec<u8>>,
    /// New volumes get a letter.
    automount: bool,
    next_guid: u32,
    /// Changes of the database reach the registry no more.
    frozen: bool,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

fn state<T>(act: impl FnOnce(&mut State) -> T) -> T {
    act(STATE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_with(State::default))
}

/// Starts the mount manager; `automount` as `mountvol /E` would say.
pub fn start(automount: bool) {
    let driver = native::driver("\\Driver\\mountmgr", dispatch);
    // SAFETY: the driver lives for ever; the new device is ours.
    let device = unsafe {
        let made = device::create(driver, 0, Some(&names::wide(DEVICE)), FILE_DEVICE_NETWORK, 0);
        made.inspect(|device| {
            (**device).StackSize = 1;
            (**device).Flags &= !DO_DEVICE_INITIALIZING;
        })
    };
    let device = device.expect("the mount manager is started once") as usize;
    names::insert(&names::wide(LINK), names::Node::Link(names::wide(DEVICE)));
    state(|state| {
        state.device = device;
        state.volumes.clear();
        load(state);
        state.automount = automount;
    });
}

/// Where the database is.
const DATABASE: &str = "\\Registry\\Machine\\System\\MountedDevices";
/// What the name of a value begins with that says of a volume that it does not want a letter.
const WITHOUT_LETTER: &str = "#";

/// Reads the database.
fn load(state: &mut State) {
    state.database.clear();
    state.without_letter.clear();
    state.frozen = false;
    for (name, id) in cm::binaries(DATABASE) {
        // Names of values have no case.
        if name.starts_with(WITHOUT_LETTER) {
            state.without_letter.insert(id);
        } else if let Some(letter) = name.strip_prefix("\\DOSDEVICES\\") {
            state.database.insert(format!("\\DosDevices\\{letter}"), id);
        } else if let Some(guid) = name.strip_prefix("\\??\\VOLUME") {
            let link = format!("\\??\\Volume{}", guid.to_lowercase());
            state.next_guid = state.next_guid.max(guid_number(&link));
            state.database.insert(link, id);
        }
    }
}

/// The number in a unique name that this mount manager has made.
fn guid_number(link: &str) -> u32 {
    let digits = link.strip_suffix('}').and_then(|link| link.rsplit('-').next());
    digits
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .unwrap_or(0)
}

/// Writes the database.
fn save(state: &State) {
    if state.frozen {
        return;
    }
    let links = state.database.iter().map(|(link, id)| (link.clone(), id.clone()));
    let without = state.without_letter.iter().enumerate();
    let without = without.map(|(at, id)| (format!("{WITHOUT_LETTER}{at}"), id.clone()));
    cm::set_binaries(DATABASE, links.chain(without));
}

/// Ends it with the machine, if it runs.
pub fn stop() {
    let device = state(|state| {
        state.gone.clear();
        for link in state.volumes.drain(..).flat_map(|volume| volume.links) {
            names::remove_link(&names::wide(&link));
        }
        std::mem::take(&mut state.device)
    });
    if device != 0 {
        names::remove_link(&names::wide(LINK));
        // SAFETY: made by start().
        unsafe { device::delete(device as PDEVICE_OBJECT) };
    }
}

/// The volumes that have arrived and not gone.
pub fn volumes() -> Vec<Volume> {
    state(|state| state.volumes.clone())
}

/// The letter of the volume on `device`, if it has one.
pub fn letter_of(device: &str) -> Option<char> {
    state(|state| {
        let volume = state.volumes.iter().find(|volume| same(&volume.device, device))?;
        volume.links.iter().find_map(|link| letter(link))
    })
}

/// Gives the volume on `device` another letter, as Windows' disk management does.
pub fn change_letter(device: &str, to: char) -> Result<(), NTSTATUS> {
    let _alone = WORKING.lock().unwrap_or_else(PoisonError::into_inner);
    let volume = volumes()
        .into_iter()
        .find(|volume| same(&volume.device, device))
        .ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
    let letters = volume.links.into_iter().filter(|link| letter(link).is_some());
    let points = letters.map(|link| (link, volume.unique_id.clone(), volume.device.clone()));
    delete(&points.collect::<Vec<_>>());
    link(device, &format!("\\DosDevices\\{to}:"))
}

/// Takes a letter away, as Windows' disk management does: its volume does not want one.
pub fn take_letter(letter: char) -> Result<(), NTSTATUS> {
    let link = wide_bytes(&format!("\\DosDevices\\{letter}:"));
    let mut input = vec![0; 24];
    input[0] = 24;
    input[4..6].copy_from_slice(&u16::try_from(link.len()).unwrap_or(0).to_le_bytes());
    input.extend_from_slice(&link);
    let _alone = WORKING.lock().unwrap_or_else(PoisonError::into_inner);
    delete_points(&input).map(|_| ())
}

/// What is in the database now stays there until the machine's end, as when the machine ends at this moment.
pub fn keep_database() {
    state(|state| state.frozen = true);
}

/// The PnP manager tells of a volume; it gets a letter if new volumes do and it is of a type that does.
pub fn volume_arrived(device: &str, of_windows_type: bool) {
    state(|state| state.gone.remove(&device.to_lowercase()));
    if state(|state| state.device) != 0 {
        // What answers no IOCTL_MOUNTDEV_* is no volume.
        let _ = arrived(device, of_windows_type);
    }
}

/// The device called `device` has gone: its links go, the database stays.
pub fn removed(device: &str) {
    let gone = state(|state| {
        state.gone.insert(device.to_lowercase());
        let at = state
            .volumes
            .iter()
            .position(|volume| same(&volume.device, device))?;
        Some(state.volumes.remove(at))
    });
    for link in gone.into_iter().flat_map(|volume| volume.links) {
        names::remove_link(&names::wide(&link));
    }
}

fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// X of `\DosDevices\X:`.
fn letter(link: &str) -> Option<char> {
    let rest = link.strip_prefix("\\DosDevices\\")?.strip_suffix(':')?;
    let mut characters = rest.chars();
    let letter = characters.next().filter(char::is_ascii_uppercase)?;
    characters.next().is_none().then_some(letter)
}

/// Every request to the mount manager.
///
/// # Safety
/// The I/O manager calls it with our device and an IRP for it.
unsafe fn dispatch(_device: PDEVICE_OBJECT, packet: PIRP) -> NTSTATUS {
    // SAFETY: by contract; a buffered control's system buffer has the larger of the two lengths.
    let (status, information) = unsafe {
        let location = irp::current(packet);
        match u32::from((*location).MajorFunction) {
            IRP_MJ_CREATE | IRP_MJ_CLEANUP | IRP_MJ_CLOSE => (STATUS_SUCCESS, 0),
            IRP_MJ_DEVICE_CONTROL => {
                let parameters = &(*location).Parameters.DeviceIoControl;
                let buffer = (*packet).AssociatedIrp.SystemBuffer.cast::<u8>();
                let input = match parameters.InputBufferLength as usize {
                    0 => Vec::new(),
                    len => std::slice::from_raw_parts(buffer, len).to_vec(),
                };
                let (status, output) = control(parameters.IoControlCode, &input);
                let room = parameters.OutputBufferLength as usize;
                if output.len() > room {
                    // The size comes first in every answer of variable length.
                    let told = output.len().min(room).min(8);
                    std::ptr::copy_nonoverlapping(output.as_ptr(), buffer, told);
                    (STATUS_BUFFER_OVERFLOW, told)
                } else {
                    std::ptr::copy_nonoverlapping(output.as_ptr(), buffer, output.len());
                    (status, output.len())
                }
            }
            _ => (STATUS_INVALID_DEVICE_REQUEST, 0),
        }
    };
    // SAFETY: the IRP is ours until here.
    unsafe {
        irp::set_status(packet, status, information);
        complete::complete(packet);
    }
    status
}

/// One request at a time, as the real one works on them: a letter that is free is free until it is given.
static WORKING: Mutex<()> = Mutex::new(());

fn control(code: u32, input: &[u8]) -> (NTSTATUS, Vec<u8>) {
    let _alone = WORKING.lock().unwrap_or_else(PoisonError::into_inner);
    let result = match code {
        IOCTL_MOUNTMGR_VOLUME_ARRIVAL_NOTIFICATION => counted_name(input)
            .ok_or(STATUS_INVALID_PARAMETER)
            .and_then(|device| arrived(&device, true).map(|()| Vec::new())),
        IOCTL_MOUNTMGR_CREATE_POINT => create_point(input).map(|()| Vec::new()),
        IOCTL_MOUNTMGR_DELETE_POINTS => delete_points(input),
        IOCTL_MOUNTMGR_QUERY_POINTS => query_points(input),
        IOCTL_MOUNTMGR_NEXT_DRIVE_LETTER => counted_name(input)
            .ok_or(STATUS_INVALID_PARAMETER)
            .and_then(|device| next_letter(&device)),
        _ => Err(STATUS_INVALID_DEVICE_REQUEST),
    };
    match result {
        Ok(output) => (STATUS_SUCCESS, output),
        Err(status) => (status, Vec::new()),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(
        bytes.get(at..at + 2)?.try_into().ok()?,
    )))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)).ok()
}

fn text(bytes: &[u8]) -> Option<String> {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16(&units).ok()
}

fn wide_bytes(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A USHORT length in bytes, and a name: MOUNTMGR_TARGET_NAME, MOUNTDEV_NAME and their like.
fn counted_name(bytes: &[u8]) -> Option<String> {
    text(bytes.get(2..2 + u16_at(bytes, 0)?)?)
}

/// Asks the device at `path`, opened for its attributes only, so that nothing is mounted.
fn ask(path: &str, code: u32, input: &[u8]) -> Result<Vec<u8>, NTSTATUS> {
    let opened = open::open(&Open {
        path: names::wide(path),
        root: None,
        access: FILE_READ_ATTRIBUTES,
        share: 0,
        disposition: FILE_OPEN,
        options: FILE_NON_DIRECTORY_FILE,
        attributes: 0,
        ignore_case: true,
        mode: 0,
        ea: Vec::new(),
        flags: 0,
    })?;
    let mut room = 512usize;
    let mut input = input.to_vec();
    // SAFETY: the file object is ours; the buffers outlive the request.
    unsafe {
        let mut output = vec![0u8; room];
        let waiter = Waiter::new();
        let target = file::related_device(opened.file_object);
        let packet = request::start(target, Owner::Manager, 0);
        let mut status = STATUS_INSUFFICIENT_RESOURCES;
        if !packet.is_null() {
            (*packet).UserIosb = waiter.block();
            (*packet).UserEvent = waiter.event();
            (*irp::next(packet)).MajorFunction = IRP_MJ_DEVICE_CONTROL as u8;
            (*irp::next(packet)).FileObject = opened.file_object;
            let buffers = request::Control {
                code,
                input: (input.as_mut_ptr(), input.len()),
                output: (output.as_mut_ptr(), output.len()),
            };
            if request::control(packet, &buffers) {
                let sent = call::call_driver(target, packet);
                (status, room) = waiter.outcome(sent);
            } else {
                request::discard(packet);
            }
        }
        file::cleanup(opened.file_object);
        ob::dereference(opened.file_object.cast());
        output.truncate(room);
        if nt_success(status) {
            Ok(output)
        } else {
            Err(status)
        }
    }
}

/// A new volume, or one that is already known.
fn arrived(device: &str, may_have_letter: bool) -> Result<(), NTSTATUS> {
    let name = ask(device, IOCTL_MOUNTDEV_QUERY_DEVICE_NAME, &[])?;
    let device = counted_name(&name).ok_or(STATUS_INVALID_PARAMETER)?;
    let unique_id = ask(&device, IOCTL_MOUNTDEV_QUERY_UNIQUE_ID, &[])?;
    let unique_id = unique_id
        .get(2..2 + u16_at(&unique_id, 0).ok_or(STATUS_INVALID_PARAMETER)?)
        .ok_or(STATUS_INVALID_PARAMETER)?
        .to_vec();
    if volumes()
        .iter()
        .any(|volume| volume.announced && same(&volume.device, &device))
    {
        return Ok(());
    }
    // BOOLEAN UseOnlyIfThereAreNoOtherLinks; USHORT NameLength; WCHAR Name[].
    let suggested = ask(&device, IOCTL_MOUNTDEV_QUERY_SUGGESTED_LINK_NAME, &[]).ok();
    let suggested =
        suggested.and_then(|answer| Some((*answer.first()? != 0, counted_name(answer.get(2..)?)?)));
    // Two volumes that say that they are the same one: the second is as good as dead to the mount manager.
    if volumes()
        .iter()
        .any(|volume| volume.unique_id == unique_id && !same(&volume.device, &device))
    {
        return Err(STATUS_OBJECT_NAME_COLLISION);
    }
    let Arrival {
        mut links,
        has_letter,
        remembered,
        automount,
    } = state(|state| announce(state, &device, &unique_id))?;
    if !links.iter().chain(&remembered).any(|link| is_unique_name(link)) {
        let guid = state(|state| {
            state.next_guid += 1;
            state.next_guid
        });
        links.push(format!("\\??\\Volume{{00000000-0000-0000-0000-{guid:012x}}}"));
        link(&device, links.last().expect("just pushed"))?;
    }
    let letter_remembered = remembered.iter().any(|link| letter(link).is_some());
    let is_first = remembered.is_empty();
    let mut lettered = has_letter;
    for wanted in remembered {
        let made = link(&device, &wanted);
        if made.is_err() && letter(&wanted).is_some() {
            // Another has it, and the database says so from now on.
            state(|state| {
                state.database.retain(|link, _| *link != wanted);
                save(state);
            });
        }
        lettered |= made.is_ok() && letter(&wanted).is_some();
    }
    if let Some((only_without_others, wanted)) = suggested
        && !lettered
        && !letter_remembered
        && (is_first || !only_without_others)
    {
        lettered = link(&device, &wanted).is_ok();
    }
    let unwanted = state(|state| state.without_letter.contains(&unique_id));
    if automount
        && may_have_letter
        && !lettered
        && !unwanted
        && let Some(free) = free_letter()
    {
        link(&device, &format!("\\DosDevices\\{free}:"))?;
    }
    Ok(())
}

/// What the mount manager knows of a volume when it arrives.
struct Arrival {
    /// The links that it has.
    links: Vec<String>,
    /// One of them is a letter.
    has_letter: bool,
    /// The links that it has in the database and not in the name space.
    remembered: Vec<String>,
    automount: bool,
}

/// Notes that a volume has arrived, unless it has gone meanwhile.
fn announce(state: &mut State, device: &str, unique_id: &[u8]) -> Result<Arrival, NTSTATUS> {
    if state.gone.contains(&device.to_lowercase()) {
        return Err(STATUS_NO_SUCH_DEVICE);
    }
    let at = state
        .volumes
        .iter()
        .position(|volume| same(&volume.device, device));
    let at = at.unwrap_or_else(|| {
        state.volumes.push(Volume {
            device: device.to_owned(),
            unique_id: unique_id.to_vec(),
            links: Vec::new(),
            announced: false,
        });
        state.volumes.len() - 1
    });
    let volume = &mut state.volumes[at];
    volume.announced = true;
    let known = state.database.iter().filter(|(_, id)| *id == unique_id);
    let remembered = known
        .map(|(link, _)| link)
        .filter(|link| !volume.links.contains(link));
    Ok(Arrival {
        remembered: remembered.cloned().collect(),
        has_letter: volume.links.iter().any(|link| letter(link).is_some()),
        links: volume.links.clone(),
        automount: state.automount,
    })
}

/// A link of the form `\??\Volume{...}`.
fn is_unique_name(link: &str) -> bool {
    link.starts_with("\\??\\Volume{")
}

/// The letter stands for nothing.
fn is_free(letter: char) -> bool {
    names::get(&names::wide(&format!("\\DosDevices\\{letter}:"))).is_none()
}

/// The first letter from D on that is free.
fn free_letter() -> Option<char> {
    ('D'..='Z').find(|letter| is_free(*letter))
}

/// Makes a link to an arrived volume, and remembers it.
fn link(device: &str, link: &str) -> Result<(), NTSTATUS> {
    match names::insert(&names::wide(link), names::Node::Link(names::wide(device))) {
        STATUS_SUCCESS => {}
        status => return Err(status),
    }
    let is_kept = state(|state| {
        let Some(volume) = state
            .volumes
            .iter_mut()
            .find(|volume| same(&volume.device, device))
        else {
            return false;
        };
        volume.links.push(link.to_owned());
        state.database.insert(link.to_owned(), volume.unique_id.clone());
        if letter(link).is_some() {
            state.without_letter.remove(&volume.unique_id);
        }
        save(state);
        true
    });
    if !is_kept {
        // The volume has gone meanwhile, and its links with it.
        names::remove_link(&names::wide(link));
        return Err(STATUS_NO_SUCH_DEVICE);
    }
    tell(device, IOCTL_MOUNTDEV_LINK_CREATED, link);
    Ok(())
}

/// Tells a volume of a link; it may not care.
fn tell(device: &str, code: u32, link: &str) {
    let name = wide_bytes(link);
    let len = u16::try_from(name.len()).unwrap_or(u16::MAX);
    let _ = ask(device, code, &[len.to_le_bytes().as_slice(), &name].concat());
}

/// MOUNTMGR_CREATE_POINT_INPUT: offsets and lengths of a link name and a device name.
fn create_point(input: &[u8]) -> Result<(), NTSTATUS> {
    let field = |at: usize| {
        let (offset, len) = (u16_at(input, at)?, u16_at(input, at + 2)?);
        text(input.get(offset..offset + len)?)
    };
    let (Some(name), Some(device)) = (field(0), field(4)) else {
        return Err(STATUS_INVALID_PARAMETER);
    };
    // A letter is upper case.
    if !is_unique_name(&name) && letter(&name).is_none() {
        return Err(STATUS_INVALID_PARAMETER);
    }
    arrived_silently(&device)?;
    if letter(&name).is_some() {
        let known = volumes().into_iter().find(|volume| same(&volume.device, &device));
        let known = known.ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
        // One letter a volume; what the database remembers of one that has not arrived yet makes room.
        if known.announced && known.links.iter().any(|link| letter(link).is_some()) {
            return Err(STATUS_INVALID_PARAMETER);
        }
        if !known.announced {
            state(|state| {
                state
                    .database
                    .retain(|link, id| *id != known.unique_id || letter(link).is_none());
                save(state);
            });
        }
    }
    link(&device, &name)
}

/// The volume is known, or becomes so without a letter of its own.
fn arrived_silently(device: &str) -> Result<(), NTSTATUS> {
    if volumes().iter().any(|volume| same(&volume.device, device)) {
        return Ok(());
    }
    let unique_id = ask(device, IOCTL_MOUNTDEV_QUERY_UNIQUE_ID, &[])?;
    let len = u16_at(&unique_id, 0).ok_or(STATUS_INVALID_PARAMETER)?;
    let unique_id = unique_id
        .get(2..2 + len)
        .ok_or(STATUS_INVALID_PARAMETER)?
        .to_vec();
    if volumes().iter().any(|volume| volume.unique_id == unique_id) {
        return Err(STATUS_OBJECT_NAME_COLLISION);
    }
    state(|state| {
        if state.gone.contains(&device.to_lowercase()) {
            return Err(STATUS_NO_SUCH_DEVICE);
        }
        state.volumes.push(Volume {
            device: device.to_owned(),
            unique_id,
            links: Vec::new(),
            announced: false,
        });
        Ok(())
    })
}

/// The points that a MOUNTMGR_MOUNT_POINT selects: (link, unique ID, device).
fn selected(input: &[u8]) -> Result<Vec<(String, Vec<u8>, String)>, NTSTATUS> {
    let field = |at: usize| -> Option<&[u8]> {
        let (offset, len) = (u32_at(input, at)?, u16_at(input, at + 4)?);
        input.get(offset..offset + len)
    };
    let (Some(link), Some(id), Some(device)) = (field(0), field(8), field(16)) else {
        return Err(STATUS_INVALID_PARAMETER);
    };
    let (Some(link), Some(device)) = (text(link), text(device)) else {
        return Err(STATUS_INVALID_PARAMETER);
    };
    let mut points = Vec::new();
    for volume in volumes() {
        for name in &volume.links {
            let wanted = (link.is_empty() || same(&link, name))
                && (id.is_empty() || id == volume.unique_id)
                && (device.is_empty() || same(&device, &volume.device));
            if wanted {
                points.push((name.clone(), volume.unique_id.clone(), volume.device.clone()));
            }
        }
    }
    if points.is_empty() {
        return Err(STATUS_OBJECT_NAME_NOT_FOUND);
    }
    Ok(points)
}

/// MOUNTMGR_MOUNT_POINTS.
fn described(points: &[(String, Vec<u8>, String)]) -> Vec<u8> {
    const HEAD: usize = 8;
    const POINT: usize = 24;
    let mut fixed = Vec::new();
    let mut variable: Vec<u8> = Vec::new();
    for (link, id, device) in points {
        for bytes in [wide_bytes(link), id.clone(), wide_bytes(device)] {
            let offset = HEAD + points.len() * POINT + variable.len();
            fixed.extend_from_slice(&u32::try_from(offset).unwrap_or(0).to_le_bytes());
            fixed.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(0).to_le_bytes());
            fixed.extend_from_slice(&[0, 0]);
            variable.extend_from_slice(&bytes);
        }
    }
    let size = u32::try_from(HEAD + fixed.len() + variable.len()).unwrap_or(0);
    let count = u32::try_from(points.len()).unwrap_or(0);
    [
        size.to_le_bytes().as_slice(),
        &count.to_le_bytes(),
        &fixed,
        &variable,
    ]
    .concat()
}

fn query_points(input: &[u8]) -> Result<Vec<u8>, NTSTATUS> {
    Ok(described(&selected(input)?))
}

/// Takes links away, from the database as well; a volume without links is known no more.
fn delete_points(input: &[u8]) -> Result<Vec<u8>, NTSTATUS> {
    let points = selected(input)?;
    // A letter and nothing else: its volume does not want one.
    if u16_at(input, 12) == Some(0)
        && u16_at(input, 20) == Some(0)
        && let [(link, unique_id, _)] = &points[..]
        && letter(link).is_some()
    {
        state(|state| {
            state.without_letter.insert(unique_id.clone());
            save(state);
        });
    }
    delete(&points);
    Ok(described(&points))
}

fn delete(points: &[(String, Vec<u8>, String)]) {
    for (name, _, device) in points {
        names::remove_link(&names::wide(name));
        state(|state| {
            state.database.remove(name);
            save(state);
            for volume in &mut state.volumes {
                volume.links.retain(|link| link != name);
            }
        });
        tell(device, IOCTL_MOUNTDEV_LINK_DELETED, name);
    }
    state(|state| state.volumes.retain(|volume| !volume.links.is_empty()));
}

/// MOUNTMGR_DRIVE_LETTER_INFORMATION: whether a letter was assigned, and which the volume has.
fn next_letter(device: &str) -> Result<Vec<u8>, NTSTATUS> {
    let known = volumes().into_iter().find(|volume| same(&volume.device, device));
    let id = known.ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?.unique_id;
    if let Some(letter) = letter_of(device) {
        return Ok(vec![0, letter as u8]);
    }
    if state(|state| state.without_letter.contains(&id)) {
        return Ok(vec![0, 0]);
    }
    let remembered = state(|state| {
        let mut known = state.database.iter().filter(|(_, known)| **known == id);
        known.find_map(|(link, _)| letter(link))
    });
    // A clone says the same of itself; it gets another letter while the first has the one that is remembered.
    let remembered = remembered.filter(|letter| is_free(*letter));
    let free = remembered.or_else(free_letter).ok_or(STATUS_NO_MORE_ENTRIES)?;
    link(device, &format!("\\DosDevices\\{free}:"))?;
    Ok(vec![1, free as u8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_that_went_while_it_was_asked_is_not_taken_in_and_gets_no_link() {
        let device = "\\Device\\HarddiskVolume4711";
        removed(device);
        assert!(state(|state| announce(state, device, b"id")).is_err());
        assert_eq!(link(device, "\\DosDevices\\Q:"), Err(STATUS_NO_SUCH_DEVICE));
        assert!(is_free('Q'));
        // It comes again.
        volume_arrived(device, true);
        assert!(state(|state| announce(state, device, b"id")).is_ok());
        removed(device);
    }
}
