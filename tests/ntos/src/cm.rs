//! The configuration manager of the double: the registry, as far as a driver keeps something below its own service's key.
//!
//! Keys are a tree in memory. A [`Hive`] is what survives a machine: two machines that are started with the same one see
//! the same keys, as one Windows does before and after a restart; without one each machine starts with an empty registry.
//! A service's key is there when its driver is loaded. Security descriptors, links, classes and notifications are not
//! modelled; names are compared without case and keep the spelling in which they were made.

#![allow(non_snake_case, reason = "imports have NT's names")]

use crate::io::names::{characters, wide};
use crate::nt::*;
use crate::ob::{self, ObjectType};
use crate::verifier::fail;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

const REGISTRY: &str = "\\REGISTRY\\";

/// Rights on a key, as far as they are checked.
const QUERY_VALUE: u32 = 1;
const SET_VALUE: u32 = 2;
const CREATE_SUB_KEY: u32 = 4;
const ENUMERATE_SUB_KEYS: u32 = 8;
const DELETE_KEY: u32 = 0x1_0000;

/// A value: type and data.
type Value = (u32, Vec<u8>);

/// A key: the spelling of its name, and its values by folded name.
#[derive(Clone, Debug, Default)]
struct Node {
    spelled: String,
    values: BTreeMap<String, Value>,
}

/// Keys by their folded full path, parents before children.
type Keys = BTreeMap<String, Node>;

/// What a machine keeps over a restart.
#[derive(Clone, Debug, Default)]
pub struct Hive(Arc<Mutex<Keys>>);

impl Hive {
    /// The values of a key as `name = data` lines, in order; empty when there is no such key.
    pub fn values(&self, path: &str) -> Vec<String> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let values = keys.get(&fold(path)).map(|key| &key.values);
        let shown = |(name, (kind, data)): (&String, &Value)| match *kind {
            REG_DWORD => format!("{name} = {}", data.first().copied().unwrap_or(0)),
            _ => format!("{name} = {}", text(data)),
        };
        values.into_iter().flatten().map(shown).collect()
    }
}

static CURRENT: Mutex<Option<Hive>> = Mutex::new(None);

/// The machine that starts now has this registry.
pub fn start(hive: Hive) {
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(hive);
}

fn keys<T>(act: impl FnOnce(&mut Keys) -> T) -> T {
    let hive = CURRENT
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_with(Hive::default)
        .clone();
    act(&mut hive.0.lock().unwrap_or_else(PoisonError::into_inner))
}

fn fold(path: &str) -> String {
    path.to_uppercase()
}

fn text(data: &[u8]) -> String {
    let units: Vec<u16> = data
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    String::from_utf16_lossy(&units)
}

/// The key at `path` is there, with all above it.
pub fn make(path: &str) {
    keys(|keys| {
        let ends = path
            .match_indices('\\')
            .map(|(at, _)| at)
            .skip(1)
            .chain([path.len()]);
        for end in ends {
            let part = &path[..end];
            keys.entry(fold(part)).or_insert_with(|| named(part));
        }
    });
}

/// The binary values of a key, by their folded names; none when there is no such key.
pub fn binaries(path: &str) -> Vec<(String, Vec<u8>)> {
    keys(|keys| {
        let values = keys.get(&fold(path)).map(|key| &key.values);
        let binary = values
            .into_iter()
            .flatten()
            .filter(|(_, (kind, _))| *kind == REG_BINARY);
        binary
            .map(|(name, (_, data))| (name.clone(), data.clone()))
            .collect()
    })
}

/// A key has these binary values and no others.
pub fn set_binaries(path: &str, values: impl Iterator<Item = (String, Vec<u8>)>) {
    make(path);
    keys(|keys| {
        if let Some(key) = keys.get_mut(&fold(path)) {
            key.values = values
                .map(|(name, data)| (fold(&name), (REG_BINARY, data)))
                .collect();
        }
    });
}

fn named(path: &str) -> Node {
    Node {
        spelled: path.rsplit('\\').next().unwrap_or_default().to_owned(),
        values: BTreeMap::new(),
    }
}

/// An open key: its folded path.
struct Open {
    path: String,
}

static KEY_TYPE: ObjectType = ObjectType {
    name: "Key",
    close: None,
    delete: |body| {
        // SAFETY: open() put a box's pointer there, and the object goes once.
        drop(unsafe { Box::from_raw(*body.cast::<*mut Open>()) });
    },
};

/// The path and the access of an open key.
fn key_of(handle: HANDLE, access: u32) -> Result<String, NTSTATUS> {
    let body = ob::from_handle(handle).ok_or(STATUS_INVALID_HANDLE)?;
    let is_key = ob::type_of(body).is_some_and(|kind| std::ptr::eq(kind, &raw const KEY_TYPE));
    let result = if !is_key {
        Err(STATUS_OBJECT_TYPE_MISMATCH)
    } else if ob::handle_access(handle).unwrap_or(0) & access != access {
        Err(STATUS_ACCESS_DENIED)
    } else {
        // SAFETY: a key's body holds the pointer that open() put there.
        Ok(unsafe { (**body.cast::<*mut Open>()).path.clone() })
    };
    ob::dereference(body);
    result
}

/// The full path that attributes name.
///
/// # Safety
/// `attributes` and what it points to are valid.
unsafe fn path_of(attributes: *const OBJECT_ATTRIBUTES) -> Result<String, NTSTATUS> {
    // SAFETY: by contract.
    let attributes = unsafe { &*attributes };
    if attributes.Attributes & OBJ_KERNEL_HANDLE == 0 {
        fail!(
            Reference,
            "a driver opens a key without OBJ_KERNEL_HANDLE: any process it happens to run in could use the handle"
        );
    }
    // SAFETY: by contract.
    let name = String::from_utf16_lossy(&unsafe { characters(attributes.ObjectName) });
    if attributes.RootDirectory.is_null() {
        return match fold(&name).starts_with(REGISTRY) {
            true => Ok(name),
            false => Err(STATUS_OBJECT_PATH_SYNTAX_BAD),
        };
    }
    let root = key_of(attributes.RootDirectory, 0)?;
    match name.is_empty() || name.starts_with('\\') {
        true => Err(STATUS_OBJECT_NAME_INVALID),
        false => Ok(format!("{root}\\{name}")),
    }
}

/// Gives the driver a handle on the key at `path`.
///
/// # Safety
/// `handle` is a place for it.
unsafe fn open(path: &str, access: u32, handle: *mut HANDLE) -> NTSTATUS {
    let body: *mut c_void = ob::create(&KEY_TYPE, size_of::<*mut Open>());
    let open = Box::into_raw(Box::new(Open { path: fold(path) }));
    // SAFETY: the body is new and has room for a pointer; the driver gives a place for the handle.
    unsafe {
        body.cast::<*mut Open>().write(open);
        *handle = ob::open_handle_for_driver(body, access);
    }
    ob::dereference(body);
    STATUS_SUCCESS
}

/// `ZwOpenKey`.
pub unsafe extern "win64" fn ZwOpenKey(
    handle: *mut HANDLE,
    access: ACCESS_MASK,
    attributes: *const OBJECT_ATTRIBUTES,
) -> NTSTATUS {
    // SAFETY: the driver's contract is ours.
    unsafe {
        match path_of(attributes) {
            Ok(path) if keys(|keys| keys.contains_key(&fold(&path))) => open(&path, access, handle),
            Ok(_) => STATUS_OBJECT_NAME_NOT_FOUND,
            Err(status) => status,
        }
    }
}

/// `ZwCreateKey`: the last component is made, the others have to be there.
pub unsafe extern "win64" fn ZwCreateKey(
    handle: *mut HANDLE,
    access: ACCESS_MASK,
    attributes: *const OBJECT_ATTRIBUTES,
    _title: ULONG,
    _class: PUNICODE_STRING,
    _options: ULONG,
    disposition: PULONG,
) -> NTSTATUS {
    // SAFETY: the driver's contract is ours.
    unsafe {
        let path = match path_of(attributes) {
            Ok(path) => path,
            Err(status) => return status,
        };
        let root = (*attributes).RootDirectory;
        if !root.is_null() && key_of(root, CREATE_SUB_KEY).is_err() {
            return STATUS_ACCESS_DENIED;
        }
        let made = keys(|keys| {
            let parent = path.rsplit_once('\\').map_or("", |(parent, _)| parent);
            if !keys.contains_key(&fold(parent)) {
                return None;
            }
            let before = keys.len();
            keys.entry(fold(&path)).or_insert_with(|| named(&path));
            Some(keys.len() != before)
        });
        let Some(made) = made else {
            return STATUS_OBJECT_NAME_NOT_FOUND;
        };
        if !disposition.is_null() {
            // REG_CREATED_NEW_KEY or REG_OPENED_EXISTING_KEY.
            *disposition = if made { 1 } else { 2 };
        }
        open(&path, access, handle)
    }
}

/// Copies an answer whose first `fixed` bytes must fit, and says how long the whole is.
///
/// # Safety
/// `out` has `room` bytes, `needed` is a place for a length.
unsafe fn answer(bytes: &[u8], fixed: usize, out: PVOID, room: ULONG, needed: PULONG) -> NTSTATUS {
    let room = room as usize;
    // SAFETY: by contract.
    unsafe {
        *needed = bytes.len() as u32;
        if room < fixed {
            return STATUS_BUFFER_TOO_SMALL;
        }
        let length = bytes.len().min(room);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), out.cast::<u8>(), length);
        match length == bytes.len() {
            true => STATUS_SUCCESS,
            false => STATUS_BUFFER_OVERFLOW,
        }
    }
}

/// `ZwQueryValueKey`, for KeyValuePartialInformation.
pub unsafe extern "win64" fn ZwQueryValueKey(
    handle: HANDLE,
    name: PUNICODE_STRING,
    class: i32,
    out: PVOID,
    room: ULONG,
    needed: PULONG,
) -> NTSTATUS {
    // KeyValuePartialInformation.
    if class != 2 {
        fail!(Reference, "ZwQueryValueKey with class {class} is not modelled");
    }
    // SAFETY: the driver's contract is ours.
    unsafe {
        let name = fold(&String::from_utf16_lossy(&characters(name)));
        let path = match key_of(handle, QUERY_VALUE) {
            Ok(path) => path,
            Err(status) => return status,
        };
        let value = keys(|keys| keys.get(&path).map(|key| key.values.get(&name).cloned()));
        let (kind, data) = match value {
            Some(Some(value)) => value,
            Some(None) => return STATUS_OBJECT_NAME_NOT_FOUND,
            None => return STATUS_KEY_DELETED,
        };
        let head = [0, kind, data.len() as u32].map(u32::to_le_bytes).concat();
        answer(&[head, data].concat(), 12, out, room, needed)
    }
}

/// `ZwSetValueKey`.
pub unsafe extern "win64" fn ZwSetValueKey(
    handle: HANDLE,
    name: PUNICODE_STRING,
    _title: ULONG,
    kind: ULONG,
    data: PVOID,
    length: ULONG,
) -> NTSTATUS {
    // SAFETY: the driver's contract is ours.
    unsafe {
        let name = fold(&String::from_utf16_lossy(&characters(name)));
        let data = match length {
            0 => Vec::new(),
            length => std::slice::from_raw_parts(data.cast::<u8>(), length as usize).to_vec(),
        };
        if kind == REG_SZ && (data.len() % 2 != 0 || !data.ends_with(&[0, 0])) {
            fail!(
                Reference,
                "a REG_SZ value without its NUL: user-mode readers would run over its end"
            );
        }
        match key_of(handle, SET_VALUE) {
            Ok(path) => keys(|keys| match keys.get_mut(&path) {
                Some(key) => {
                    key.values.insert(name, (kind, data));
                    STATUS_SUCCESS
                }
                None => STATUS_KEY_DELETED,
            }),
            Err(status) => status,
        }
    }
}

/// `ZwDeleteValueKey`.
pub unsafe extern "win64" fn ZwDeleteValueKey(handle: HANDLE, name: PUNICODE_STRING) -> NTSTATUS {
    // SAFETY: the driver's contract is ours.
    let name = fold(&String::from_utf16_lossy(&unsafe { characters(name) }));
    match key_of(handle, SET_VALUE) {
        Ok(path) => keys(
            |keys| match keys.get_mut(&path).map(|key| key.values.remove(&name)) {
                Some(Some(_)) => STATUS_SUCCESS,
                Some(None) => STATUS_OBJECT_NAME_NOT_FOUND,
                None => STATUS_KEY_DELETED,
            },
        ),
        Err(status) => status,
    }
}

/// `ZwDeleteKey`: a key without subkeys.
pub unsafe extern "win64" fn ZwDeleteKey(handle: HANDLE) -> NTSTATUS {
    match key_of(handle, DELETE_KEY) {
        Ok(path) => keys(|keys| {
            let below = format!("{path}\\");
            if keys.keys().any(|other| other.starts_with(&below)) {
                return STATUS_CANNOT_DELETE;
            }
            keys.remove(&path).map_or(STATUS_KEY_DELETED, |_| STATUS_SUCCESS)
        }),
        Err(status) => status,
    }
}

/// `ZwEnumerateKey`, for KeyBasicInformation.
pub unsafe extern "win64" fn ZwEnumerateKey(
    handle: HANDLE,
    index: ULONG,
    class: i32,
    out: PVOID,
    room: ULONG,
    needed: PULONG,
) -> NTSTATUS {
    // KeyBasicInformation.
    if class != 0 {
        fail!(Reference, "ZwEnumerateKey with class {class} is not modelled");
    }
    let path = match key_of(handle, ENUMERATE_SUB_KEYS) {
        Ok(path) => path,
        Err(status) => return status,
    };
    let name = keys(|keys| {
        let below = format!("{path}\\");
        let mut children = keys.iter().filter(|(other, _)| {
            other
                .strip_prefix(&below)
                .is_some_and(|rest| !rest.contains('\\'))
        });
        children.nth(index as usize).map(|(_, key)| key.spelled.clone())
    });
    let Some(name) = name else {
        return STATUS_NO_MORE_ENTRIES;
    };
    let name: Vec<u8> = wide(&name).into_iter().flat_map(u16::to_le_bytes).collect();
    // The time of the last write, the title, the length of the name.
    let head = [&[0u8; 12][..], &(name.len() as u32).to_le_bytes()].concat();
    // SAFETY: the driver's contract is ours.
    unsafe { answer(&[head, name].concat(), 16, out, room, needed) }
}

crate::table! {
    /// The registry.
    pub static IMPORTS = {
        ZwOpenKey <= PASSIVE;
        ZwCreateKey <= PASSIVE;
        ZwQueryValueKey <= PASSIVE;
        ZwSetValueKey <= PASSIVE;
        ZwDeleteValueKey <= PASSIVE;
        ZwDeleteKey <= PASSIVE;
        ZwEnumerateKey <= PASSIVE;
    }
}
