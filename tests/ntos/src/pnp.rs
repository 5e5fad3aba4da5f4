//! The PnP manager of the double, as far as disks and volumes go: drivers that want to hear of them, and what comes and goes.
//!
//! Each volume has a device interface of the class of mounted devices, each disk one of the class of disks: symbolic links
//! that notifications name. The
//! mount manager hears of a volume first, as on NT, where it registers before all others. It gives a letter by itself
//! only to what Windows gives letters to: partitions of Windows' own types, and disks without a table.

#![allow(non_snake_case, reason = "imports have NT's names")]

use crate::disk::{Disk, PartitionKind, Volume};
use crate::io::{kernel, names};
use crate::mountmgr;
use crate::nt::*;
use crate::verifier::{fail, ledger as holdings};
use std::sync::{Arc, Mutex, PoisonError};

/// `MOUNTDEV_MOUNTED_DEVICE_GUID`, which is GUID_DEVINTERFACE_VOLUME.
const VOLUME_CLASS: [u8; 16] = guid(
    0x53f5_630d,
    0xb6bf,
    0x11d0,
    [0x94, 0xf2, 0x00, 0xa0, 0xc9, 0x1e, 0xfb, 0x8b],
);
/// `GUID_DEVINTERFACE_DISK`.
const DISK_CLASS: [u8; 16] = guid(
    0x53f5_6307,
    0xb6bf,
    0x11d0,
    [0x94, 0xf2, 0x00, 0xa0, 0xc9, 0x1e, 0xfb, 0x8b],
);
/// `GUID_DEVICE_INTERFACE_ARRIVAL` and `GUID_DEVICE_INTERFACE_REMOVAL`.
const ARRIVAL: [u8; 16] = guid(
    0xcb3a_4004,
    0x46f0,
    0x11d0,
    [0xb0, 0x8f, 0x00, 0x60, 0x97, 0x13, 0x05, 0x3f],
);
const REMOVAL: [u8; 16] = guid(
    0xcb3a_4005,
    0x46f0,
    0x11d0,
    [0xb0, 0x8f, 0x00, 0x60, 0x97, 0x13, 0x05, 0x3f],
);

const fn guid(a: u32, b: u16, c: u16, d: [u8; 8]) -> [u8; 16] {
    let (a, b, c) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
    [
        a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7],
    ]
}

/// `EventCategoryDeviceInterfaceChange`.
const INTERFACE_CHANGE: i32 = 2;
/// `PNPNOTIFY_DEVICE_INTERFACE_INCLUDE_EXISTING_INTERFACES`.
const INCLUDE_EXISTING: u32 = 1;

#[derive(Clone, Copy)]
struct Listener {
    class: [u8; 16],
    entry: usize,
    routine: usize,
    context: usize,
}

#[derive(Default)]
struct State {
    listeners: Vec<Listener>,
    /// Classes and links of the interfaces that are there.
    links: Vec<([u8; 16], String)>,
    next: usize,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);
/// One notification at a time; unregistering waits for it.
static TELLING: Mutex<()> = Mutex::new(());

fn state<T>(act: impl FnOnce(&mut State) -> T) -> T {
    act(STATE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_with(State::default))
}

/// The interface's link of a volume.
fn link_of(volume: &Volume) -> String {
    format!(
        "\\??\\STORAGE#Volume#{}#{{53f5630d-b6bf-11d0-94f2-00a0c91efb8b}}",
        volume.number
    )
}

/// Whether a link is an interface's, which no driver has to take away.
pub fn is_interface(link: &str) -> bool {
    link.contains("\\STORAGE#")
}

/// A volume has come.
pub fn arrived(disk: &Disk, volume: &Volume) {
    let link = link_of(volume);
    names::insert(
        &names::wide(&link),
        names::Node::Link(names::wide(&volume.path())),
    );
    mountmgr::volume_arrived(&volume.path(), has_windows_type(disk, volume));
    come(VOLUME_CLASS, link);
}

/// The interface's link of a disk, and the path of its device.
fn link_of_disk(disk: &Disk) -> (String, String) {
    let link = format!(
        "\\??\\STORAGE#Disk#{}#{{53f56307-b6bf-11d0-94f2-00a0c91efb8b}}",
        disk.number
    );
    (link, disk.whole().0)
}

fn come(class: [u8; 16], link: String) {
    state(|state| state.links.push((class, link.clone())));
    tell(ARRIVAL, class, &link, None);
}

fn go(class: [u8; 16], link: &str) {
    state(|state| state.links.retain(|(_, known)| known != link));
    tell(REMOVAL, class, link, None);
}

/// A disk has gone, after its volumes.
pub fn disk_removed(disk: &Disk) {
    let (link, _) = link_of_disk(disk);
    names::remove_link(&names::wide(&link));
    go(DISK_CLASS, &link);
}

/// A volume has gone.
pub fn removed(volume: &Volume) {
    let link = link_of(volume);
    names::remove_link(&names::wide(&link));
    mountmgr::removed(&volume.path());
    go(VOLUME_CLASS, &link);
}

/// Forgets all volumes, for a new machine.
pub fn reset() {
    for (_, link) in state(|state| std::mem::take(&mut state.links)) {
        names::remove_link(&names::wide(&link));
    }
}

/// Whether Windows gives such a partition a letter by itself.
fn has_windows_type(disk: &Disk, volume: &Volume) -> bool {
    let partitions = disk.layout.partitions();
    let Some(partition) = partitions
        .iter()
        .find(|partition| partition.number == volume.partition)
    else {
        return true;
    };
    match partition.kind {
        PartitionKind::Mbr(system) => matches!(system, 0x01 | 0x04 | 0x06 | 0x07 | 0x0b | 0x0c | 0x0e),
        // Basic data.
        PartitionKind::Gpt { type_guid, .. } => {
            type_guid
                == guid(
                    0xebd0_a0a2,
                    0xb9e5,
                    0x4433,
                    [0x87, 0xc0, 0x68, 0xb6, 0xb7, 0x26, 0x99, 0xc7],
                )
        }
    }
}

/// DEVICE_INTERFACE_CHANGE_NOTIFICATION, with what it points to.
#[repr(C)]
struct Notification {
    version: u16,
    size: u16,
    event: [u8; 16],
    class: [u8; 16],
    link: *mut UNICODE_STRING,
}
const _: () = assert!(std::mem::offset_of!(Notification, link) == 40);

/// Tells one listener, or all.
fn tell(event: [u8; 16], class: [u8; 16], link: &str, only: Option<Listener>) {
    let _one = TELLING.lock().unwrap_or_else(PoisonError::into_inner);
    let listeners = match only {
        Some(listener) => vec![listener],
        None => state(|state| state.listeners.clone()),
    };
    for listener in listeners.into_iter().filter(|listener| listener.class == class) {
        let mut characters = names::wide(link);
        let mut string = crate::io::native::unicode(&mut characters);
        let mut notification = Notification {
            version: 1,
            size: size_of::<Notification>() as u16,
            event,
            class,
            link: &raw mut string,
        };
        let arguments = [(&raw mut notification) as usize, listener.context];
        // SAFETY: the driver gave the routine; the notification outlives the call.
        unsafe { kernel::call(listener.routine as *const (), arguments) };
    }
}

/// `IoRegisterPlugPlayNotification`, for interfaces of volumes and disks.
#[allow(clippy::too_many_arguments, reason = "NT's own signature")]
pub unsafe extern "win64" fn IoRegisterPlugPlayNotification(
    category: i32,
    flags: ULONG,
    data: PVOID,
    _driver: PDRIVER_OBJECT,
    routine: PVOID,
    context: PVOID,
    entry: *mut PVOID,
) -> NTSTATUS {
    // SAFETY: for this category the driver gives a GUID.
    let class = unsafe { *data.cast::<[u8; 16]>() };
    if category != INTERFACE_CHANGE || ![VOLUME_CLASS, DISK_CLASS].contains(&class) {
        fail!(
            Device,
            "a PnP notification of another kind than interfaces of volumes and disks is not modelled"
        );
    }
    let (listener, existing) = state(|state| {
        state.next += 16;
        let listener = Listener {
            class,
            entry: state.next,
            routine: routine as usize,
            context: context as usize,
        };
        state.listeners.push(listener);
        (listener, state.links.clone())
    });
    holdings::add(holdings::Kind::Registration, listener.entry, "PnP notification");
    // SAFETY: the driver gives a place for the entry.
    unsafe { *entry = listener.entry as PVOID };
    if flags & INCLUDE_EXISTING != 0 {
        for (_, link) in existing.into_iter().filter(|(known, _)| *known == class) {
            tell(ARRIVAL, class, &link, Some(listener));
        }
    }
    STATUS_SUCCESS
}

/// `IoUnregisterPlugPlayNotification`: waits for a notification that is under way.
pub unsafe extern "win64" fn IoUnregisterPlugPlayNotification(entry: PVOID) -> NTSTATUS {
    let known = state(|state| {
        let before = state.listeners.len();
        state
            .listeners
            .retain(|listener| listener.entry != entry as usize);
        before != state.listeners.len()
    });
    if !known {
        fail!(
            Device,
            "IoUnregisterPlugPlayNotification of {entry:p}, which is not registered"
        );
    }
    holdings::remove(holdings::Kind::Registration, entry as usize);
    drop(TELLING.lock().unwrap_or_else(PoisonError::into_inner));
    STATUS_SUCCESS
}

/// Tells of a disk that was plugged in, and of its volumes.
pub fn plugged(disk: &Arc<Disk>) {
    let (link, path) = link_of_disk(disk);
    names::insert(&names::wide(&link), names::Node::Link(names::wide(&path)));
    come(DISK_CLASS, link);
    for volume in disk.volumes() {
        arrived(disk, &volume);
    }
}

crate::table! {
    /// Notifications.
    pub static IMPORTS = {
        IoRegisterPlugPlayNotification <= PASSIVE;
        IoUnregisterPlugPlayNotification <= PASSIVE;
    }
}
