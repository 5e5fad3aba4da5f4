//! The object manager's name space, as far as the double needs it: devices, drivers and symbolic links by
//! path.
//!
//! Paths are UTF-16 as NT has them. Names are compared without case (ASCII folding; device names have no
//! other letters). `\??`, `\DosDevices` and `\GLOBAL??` are one directory. Looking up a path walks it
//! component by component: a link's target replaces what led to it, a device ends the walk and gets the rest
//! of the path.

use crate::nt::*;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A device object, by address.
    Device(usize),
    /// A driver object, by address.
    Driver(usize),
    /// Another path.
    Link(Vec<u16>),
}

/// The path of one object, folded for comparing.
type Key = Vec<u16>;

/// What a path stands for, and the path as it was spelled when it was made.
type Named = (Node, Vec<u16>);

static NODES: Mutex<BTreeMap<Key, Named>> = Mutex::new(BTreeMap::new());

/// How many links one look-up follows.
const MAX_LINKS: usize = 32;

const BACKSLASH: u16 = b'\\' as u16;

fn nodes<T>(act: impl FnOnce(&mut BTreeMap<Key, Named>) -> T) -> T {
    act(&mut NODES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// `text` as UTF-16.
pub fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// The characters of `string`.
///
/// # Safety
/// `string` is null or valid, and its buffer has `Length` readable bytes.
pub unsafe fn characters(string: *const UNICODE_STRING) -> Vec<u16> {
    // SAFETY: by contract.
    unsafe {
        if string.is_null() || (*string).Buffer.is_null() {
            return Vec::new();
        }
        std::slice::from_raw_parts((*string).Buffer, usize::from((*string).Length) / 2).to_vec()
    }
}

fn fold(path: &[u16]) -> Key {
    let folded: Key = path
        .iter()
        .map(|unit| u8::try_from(*unit).map_or(*unit, |byte| u16::from(byte.to_ascii_uppercase())))
        .collect();
    for (prefix, same) in [("\\??", "\\GLOBAL??"), ("\\DOSDEVICES", "\\GLOBAL??")] {
        let prefix = wide(prefix);
        if folded.starts_with(&prefix) && folded.get(prefix.len()).is_none_or(|unit| *unit == BACKSLASH) {
            return wide(same)
                .into_iter()
                .chain(folded[prefix.len()..].iter().copied())
                .collect();
        }
    }
    folded
}

/// Gives `path` a meaning. STATUS_OBJECT_NAME_COLLISION when it has one.
pub fn insert(path: &[u16], node: Node) -> NTSTATUS {
    if path.first() != Some(&BACKSLASH) {
        return STATUS_OBJECT_PATH_SYNTAX_BAD;
    }
    nodes(|nodes| match nodes.entry(fold(path)) {
        std::collections::btree_map::Entry::Occupied(_) => STATUS_OBJECT_NAME_COLLISION,
        std::collections::btree_map::Entry::Vacant(entry) => {
            entry.insert((node, path.to_vec()));
            STATUS_SUCCESS
        }
    })
}

/// Takes the link at `path` away.
pub fn remove_link(path: &[u16]) -> NTSTATUS {
    nodes(|nodes| match nodes.get(&fold(path)) {
        Some((Node::Link(_), _)) => {
            nodes.remove(&fold(path));
            STATUS_SUCCESS
        }
        Some(_) => STATUS_OBJECT_TYPE_MISMATCH,
        None => STATUS_OBJECT_NAME_NOT_FOUND,
    })
}

/// Takes every name of `node` away.
pub fn remove(node: &Node) {
    nodes(|nodes| nodes.retain(|_, (named, _)| named != node));
}

/// What exactly stands at `path`, without following anything.
pub fn get(path: &[u16]) -> Option<Node> {
    nodes(|nodes| nodes.get(&fold(path)).map(|(node, _)| node.clone()))
}

/// The path of `node`, folded to upper case.
pub fn name_of(node: &Node) -> Option<String> {
    nodes(|nodes| {
        nodes
            .iter()
            .find(|(_, (named, _))| named == node)
            .map(|(path, _)| String::from_utf16_lossy(path))
    })
}

/// The path of `node`, as it was spelled when it was made.
pub fn spelled(node: &Node) -> Option<Vec<u16>> {
    nodes(|nodes| {
        let mut named = nodes.values();
        named
            .find(|(named, _)| named == node)
            .map(|(_, path)| path.clone())
    })
}

/// Links whose name still exists, for the leak report.
pub fn links() -> Vec<String> {
    nodes(|nodes| {
        let links = nodes
            .iter()
            .filter(|(_, (node, _))| matches!(node, Node::Link(_)));
        links.map(|(path, _)| String::from_utf16_lossy(path)).collect()
    })
}

/// Follows `path` to a device or driver; returns it and the rest of the path, which is empty or starts with a
/// backslash.
pub fn resolve(path: &[u16]) -> Result<(Node, Vec<u16>), NTSTATUS> {
    let mut path = path.to_vec();
    for _ in 0..MAX_LINKS {
        if path.first() != Some(&BACKSLASH) {
            return Err(STATUS_OBJECT_PATH_SYNTAX_BAD);
        }
        let ends = (1..=path.len()).filter(|end| *end == path.len() || path[*end] == BACKSLASH);
        let hit = ends
            .into_iter()
            .find_map(|end| get(&path[..end]).map(|node| (end, node)));
        match hit {
            Some((end, Node::Link(target))) => {
                path = target.into_iter().chain(path[end..].iter().copied()).collect();
            }
            Some((end, node)) => return Ok((node, path.split_off(end))),
            None => {
                let last = path.iter().rposition(|unit| *unit == BACKSLASH).unwrap_or(0);
                let parent = fold(&path[..=last]);
                let known = nodes(|nodes| nodes.keys().any(|name| name.starts_with(&parent)));
                return Err(if known {
                    STATUS_OBJECT_NAME_NOT_FOUND
                } else {
                    STATUS_OBJECT_PATH_NOT_FOUND
                });
            }
        }
    }
    Err(STATUS_OBJECT_PATH_NOT_FOUND)
}

/// `IoCreateSymbolicLink`.
pub unsafe extern "win64" fn IoCreateSymbolicLink(
    link: PUNICODE_STRING,
    target: PUNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: the driver gives valid strings.
    unsafe { insert(&characters(link), Node::Link(characters(target))) }
}

/// `IoDeleteSymbolicLink`.
pub unsafe extern "win64" fn IoDeleteSymbolicLink(link: PUNICODE_STRING) -> NTSTATUS {
    // SAFETY: the driver gives a valid string.
    unsafe { remove_link(&characters(link)) }
}

crate::table! {
    /// Names.
    pub static IMPORTS = {
        IoCreateSymbolicLink <= PASSIVE;
        IoCreateUnprotectedSymbolicLink = IoCreateSymbolicLink, <= PASSIVE;
        IoDeleteSymbolicLink <= PASSIVE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_devices() {
        let device = Node::Device(0x1234);
        assert_eq!(
            insert(&wide("\\Device\\TestVolume1"), device.clone()),
            STATUS_SUCCESS
        );
        assert_eq!(
            insert(&wide("\\device\\testvolume1"), device.clone()),
            STATUS_OBJECT_NAME_COLLISION
        );
        let target = Node::Link(wide("\\Device\\TestVolume1"));
        assert_eq!(insert(&wide("\\DosDevices\\Q:"), target), STATUS_SUCCESS);
        let (node, rest) = resolve(&wide("\\??\\q:\\Dir\\file")).expect("found");
        assert_eq!((node, rest), (device.clone(), wide("\\Dir\\file")));
        assert_eq!(resolve(&wide("\\GLOBAL??\\Q:")).expect("found").1, wide(""));
        assert_eq!(
            resolve(&wide("\\Device\\Nothing")),
            Err(STATUS_OBJECT_NAME_NOT_FOUND)
        );
        assert_eq!(
            resolve(&wide("\\Nowhere\\Nothing")),
            Err(STATUS_OBJECT_PATH_NOT_FOUND)
        );
        assert_eq!(remove_link(&wide("\\??\\Q:")), STATUS_SUCCESS);
        assert_eq!(remove_link(&wide("\\??\\Q:")), STATUS_OBJECT_NAME_NOT_FOUND);
        remove(&device);
        assert!(get(&wide("\\Device\\TestVolume1")).is_none());
    }
}
