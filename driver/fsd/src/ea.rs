//! `IRP_MJ_QUERY_EA` and `IRP_MJ_SET_EA`: extended attributes.
//!
//! Listings show the `user.*` attributes, with their Linux names, as far as NT can hold them (names to 255 bytes,
//! values to 65,535). Asked by name, WSL's own attributes exist as well: `$LXUID`, `$LXGID`, `$LXMOD`, and `$LXDEV` of
//! device nodes; they are left out of listings, so that copying a file's attributes does not copy them.

use alloc::vec::Vec;

use lklfs_nt::{
    NtStatus,
    ea::{self as nt, ALIGN},
    record::align_up,
    writer::{EntryList, Pushed},
};

use crate::{Ccb, Errno, Fcb, FcbKind, FileKind, Outcome, Vcb, Volume, errno::Context};

/// Where a listing of extended attributes stands; one for each file object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EaCursor {
    /// Attributes already returned.
    next: usize,
}

/// `IRP_MJ_QUERY_EA`, decoded.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// `Parameters.QueryEa.EaList`: a captured `FILE_GET_EA_INFORMATION` list of the names asked for.
    pub list: Option<&'a [u8]>,
    /// `SL_RESTART_SCAN`.
    pub restart: bool,
    /// `SL_RETURN_SINGLE_ENTRY`.
    pub single: bool,
    /// `Parameters.QueryEa.EaIndex` with `SL_INDEX_SPECIFIED`, counted from 1.
    pub index: Option<u32>,
}

/// One attribute.
struct Attribute {
    name: Vec<u8>,
    value: Vec<u8>,
}

/// The names that listings show, in Linux's order.
fn names<V: Volume>(vcb: &Vcb<V>, fcb: &Fcb<V>) -> Result<Vec<u8>, NtStatus> {
    let Some(node) = fcb.node() else {
        return Ok(Vec::new());
    };
    match vcb.volume().list_xattrs(node) {
        Ok(names) => Ok(names),
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EPERM | Errno::EACCES) => Ok(Vec::new()),
        Err(errno) => Err(errno.to_status(Context::Reading)),
    }
}

/// Splits a list of names; only those that listings show.
fn shown(names: &[u8]) -> impl Iterator<Item = &[u8]> {
    names
        .split(|byte| *byte == 0)
        .filter(|name| name.starts_with(b"user.") && name.len() <= 255)
}

/// The value of an attribute; `None` when it is gone or too long for NT.
fn value<V: Volume>(vcb: &Vcb<V>, fcb: &Fcb<V>, name: &[u8]) -> Result<Option<Vec<u8>>, NtStatus> {
    let Some(node) = fcb.node() else { return Ok(None) };
    match vcb.volume().xattr(node, name) {
        Ok(value) if u16::try_from(value.len()).is_ok() => Ok(Some(value)),
        Ok(_) | Err(Errno::ENODATA | Errno::EOPNOTSUPP | Errno::ERANGE) => Ok(None),
        Err(errno) => Err(errno.to_status(Context::Reading)),
    }
}

/// The bytes that all attributes of a file take in a listing: `EaSize`. 0 when they cannot be read.
///
/// # IRQL
///
/// PASSIVE_LEVEL; may block the first time.
pub fn size<V: Volume>(vcb: &Vcb<V>, fcb: &Fcb<V>) -> u32 {
    if let Some(size) = fcb.ea_size() {
        return size;
    }
    let Ok(names) = names(vcb, fcb) else { return 0 };
    let mut size = 0usize;
    let mut whole = true;
    for name in shown(&names) {
        match value(vcb, fcb, name) {
            Ok(Some(value)) => {
                size = align_up(size, ALIGN).saturating_add(nt::entry_size(name, value.len()));
            }
            Ok(None) => {}
            Err(_) => whole = false,
        }
    }
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    if whole {
        fcb.set_ea_size(size);
    }
    size
}

/// A copy, reporting a lack of memory.
fn copy(bytes: &[u8]) -> Result<Vec<u8>, NtStatus> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len())
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// WSL's attributes, made from the inode: the value and its length.
fn lx_value<V: Volume>(fcb: &Fcb<V>, name: &[u8]) -> Option<([u8; 8], usize)> {
    let metadata = fcb.metadata();
    let pair = |low: u32, high: u32| (u64::from(low) | (u64::from(high) << 32)).to_le_bytes();
    if name.eq_ignore_ascii_case(b"$LXUID") {
        return Some((pair(metadata.uid, 0), 4));
    }
    if name.eq_ignore_ascii_case(b"$LXGID") {
        return Some((pair(metadata.gid, 0), 4));
    }
    if name.eq_ignore_ascii_case(b"$LXMOD") {
        return Some((pair(metadata.kind.mode_bits() | metadata.permissions, 0), 4));
    }
    let device = matches!(metadata.kind, FileKind::CharacterDevice | FileKind::BlockDevice);
    if device && name.eq_ignore_ascii_case(b"$LXDEV") {
        let (major, minor) = metadata.rdev;
        return Some((pair(major, minor), 8));
    }
    None
}

/// The attribute that is asked for by `name`, whose case does not count. An attribute that does not exist has no value.
fn by_name<V: Volume>(
    vcb: &Vcb<V>,
    fcb: &Fcb<V>,
    name: &[u8],
    existing: &[u8],
) -> Result<Attribute, NtStatus> {
    if let Some((value, length)) = lx_value(fcb, name) {
        let value = copy(value.get(..length).unwrap_or_default())?;
        return Ok(Attribute {
            name: copy(name)?,
            value,
        });
    }
    let stored = shown(existing).find(|stored| *stored == name);
    let stored = stored.or_else(|| shown(existing).find(|stored| stored.eq_ignore_ascii_case(name)));
    let value = match stored {
        Some(stored) => value(vcb, fcb, stored)?.unwrap_or_default(),
        None => Vec::new(),
    };
    Ok(Attribute {
        name: copy(stored.unwrap_or(name))?,
        value,
    })
}

/// Answers a request for given names.
fn query_list<V: Volume>(
    vcb: &Vcb<V>,
    fcb: &Fcb<V>,
    query: &Query<'_>,
    list: &[u8],
    out: &mut [u8],
) -> Outcome {
    let existing = match names(vcb, fcb) {
        Ok(existing) => existing,
        Err(status) => return Outcome::failed(status),
    };
    let mut entries = EntryList::new(out, ALIGN);
    for requested in nt::requested_names(list) {
        let name = match requested {
            Ok([]) => return Outcome::failed(NtStatus::INVALID_EA_NAME),
            Ok(name) => name,
            Err(offset) => return Outcome::new(NtStatus::EA_LIST_INCONSISTENT, offset),
        };
        let attribute = match by_name(vcb, fcb, name, &existing) {
            Ok(attribute) => attribute,
            Err(status) => return Outcome::failed(status),
        };
        match nt::push(&mut entries, &attribute.name, &attribute.value) {
            Some(Pushed::Whole) => {}
            Some(Pushed::TooSmall) => return Outcome::failed(NtStatus::BUFFER_TOO_SMALL),
            _ => return Outcome::new(NtStatus::BUFFER_OVERFLOW, entries.written()),
        }
        if query.single {
            break;
        }
    }
    Outcome::success(entries.written())
}

/// Goes on with a listing.
fn query_all<V: Volume>(
    vcb: &Vcb<V>,
    fcb: &Fcb<V>,
    cursor: &mut EaCursor,
    query: &Query<'_>,
    out: &mut [u8],
) -> Outcome {
    let existing = match names(vcb, fcb) {
        Ok(existing) => existing,
        Err(status) => return Outcome::failed(status),
    };
    let count = shown(&existing).count();
    if count == 0 {
        return Outcome::failed(NtStatus::NO_EAS_ON_FILE);
    }
    let start = match query.index.map(usize::try_from) {
        Some(Ok(index)) if (1..=count).contains(&index) => index.saturating_sub(1),
        Some(_) => return Outcome::failed(NtStatus::NONEXISTENT_EA_ENTRY),
        None if query.restart => 0,
        None => cursor.next,
    };
    if start >= count {
        return Outcome::failed(NtStatus::NO_MORE_EAS);
    }
    let mut entries = EntryList::new(out, ALIGN);
    cursor.next = start;
    for name in shown(&existing).skip(start) {
        let value = match value(vcb, fcb, name) {
            Ok(value) => value,
            Err(status) => return Outcome::failed(status),
        };
        if let Some(value) = value {
            match nt::push(&mut entries, name, &value) {
                Some(Pushed::Whole) | None => {}
                Some(Pushed::TooSmall) => return Outcome::failed(NtStatus::BUFFER_TOO_SMALL),
                Some(_) => return Outcome::new(NtStatus::BUFFER_OVERFLOW, entries.written()),
            }
        }
        cursor.next = cursor.next.saturating_add(1);
        if query.single && !entries.is_empty() {
            break;
        }
    }
    if entries.is_empty() {
        return Outcome::failed(NtStatus::NO_MORE_EAS);
    }
    Outcome::success(entries.written())
}

/// Answers a QUERY_EA into `out` as a `FILE_FULL_EA_INFORMATION` list.
///
/// NO_EAS_ON_FILE when a file has none to list, NO_MORE_EAS at the end of a listing, BUFFER_TOO_SMALL when not even the
/// first fits, BUFFER_OVERFLOW when some do. An attribute asked for by name that does not exist has an empty value.
///
/// # IRQL
///
/// PASSIVE_LEVEL; may block.
pub fn query<V: Volume>(
    vcb: &Vcb<V>,
    fcb: &Fcb<V>,
    _ccb: &Ccb,
    cursor: &mut EaCursor,
    query: &Query<'_>,
    out: &mut [u8],
) -> Outcome {
    if fcb.kind() == FcbKind::Volume {
        return Outcome::failed(NtStatus::INVALID_PARAMETER);
    }
    match query.list.filter(|list| !list.is_empty()) {
        Some(list) => query_list(vcb, fcb, query, list, out),
        None => query_all(vcb, fcb, cursor, query, out),
    }
}

/// What a SET_EA ends with.
///
/// # IRQL
///
/// Any; never blocks.
pub const fn set() -> Outcome {
    Outcome::failed(NtStatus::MEDIA_WRITE_PROTECTED)
}
