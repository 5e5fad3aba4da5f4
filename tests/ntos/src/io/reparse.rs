//! Reparse points met on the way: the driver's data, and the path that it leads to.
//!
//! A file system that meets a reparse point it does not resolve itself ends IRP_MJ_CREATE with
//! STATUS_REPARSE, the tag in `Information` and a REPARSE_DATA_BUFFER from pool in
//! `Tail.Overlay.AuxiliaryBuffer`, whose `Reserved` says how many bytes of the name come after the link.

use super::irp;
use crate::mm::pool;
use crate::nt::*;
use crate::verifier::fail;
use std::ptr;

const BACKSLASH: u16 = b'\\' as u16;

/// `directory` and `name` as one path.
pub fn join(directory: &[u16], name: &[u16]) -> Vec<u16> {
    let mut path = directory.to_vec();
    if path.last() != Some(&BACKSLASH) && name.first() != Some(&BACKSLASH) {
        path.push(BACKSLASH);
    }
    path.extend_from_slice(name);
    path
}

/// Reparse data of creates under way, by IRP: the buffer is the driver's gift and is freed when the IRP ends.
static REPARSE: std::sync::Mutex<Vec<(usize, Option<Vec<u8>>)>> = std::sync::Mutex::new(Vec::new());

fn reparses() -> std::sync::MutexGuard<'static, Vec<(usize, Option<Vec<u8>>)>> {
    REPARSE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A create starts: what its end brings is kept for [`take`].
pub fn expect(packet: PIRP) {
    reparses().push((packet as usize, None));
}

/// What the create's end brought.
pub fn take(packet: PIRP) -> Option<Vec<u8>> {
    let mut list = reparses();
    let at = list.iter().position(|(known, _)| *known == packet as usize)?;
    list.swap_remove(at).1
}

/// The end of any IRP: takes the auxiliary buffer, which on STATUS_REPARSE holds a REPARSE_DATA_BUFFER from
/// pool.
///
/// # Safety
/// `packet` has passed its stack.
pub unsafe fn take_auxiliary(packet: PIRP) {
    // SAFETY: by contract; whoever set the buffer allocated it from pool.
    unsafe {
        let buffer =
            ptr::replace(&raw mut (*packet).Tail.Overlay.AuxiliaryBuffer, ptr::null_mut()).cast::<u8>();
        if buffer.is_null() {
            return;
        }
        if irp::status_of(&(*packet).IoStatus) == STATUS_REPARSE {
            let room = super::kernel::size_of_block(buffer.cast());
            let header = std::slice::from_raw_parts(buffer, room.min(8));
            let len = 8 + header
                .get(4..6)
                .map_or(0, |len| usize::from(u16::from_le_bytes([len[0], len[1]])));
            if len > room {
                fail!(
                    Irp,
                    "a reparse buffer says that it has {len} bytes, but its pool block has {room}"
                );
            }
            let data = std::slice::from_raw_parts(buffer, len).to_vec();
            for (known, slot) in reparses().iter_mut() {
                if *known == packet as usize {
                    *slot = Some(data.clone());
                }
            }
        }
        pool::free(buffer.cast(), 0);
    }
}

/// The path to open after a reparse at `path` with `tag` and `data`.
pub fn follow(path: &[u16], tag: usize, data: &[u8]) -> Result<Vec<u16>, NTSTATUS> {
    let half = |at: usize| {
        data.get(at..at + 2)
            .map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])))
    };
    let word = |at: usize| half(at).ok_or(STATUS_IO_REPARSE_DATA_INVALID);
    let (names_at, relative) = match u32::try_from(tag) {
        Ok(IO_REPARSE_TAG_SYMLINK) => (20, word(16)? & SYMLINK_FLAG_RELATIVE as usize != 0),
        Ok(IO_REPARSE_TAG_MOUNT_POINT) => (16, false),
        _ => return Err(STATUS_IO_REPARSE_TAG_NOT_HANDLED),
    };
    let (unparsed, offset, len) = (word(6)? / 2, word(8)?, word(10)?);
    let target: Vec<u16> = data
        .get(names_at + offset..names_at + offset + len)
        .ok_or(STATUS_IO_REPARSE_DATA_INVALID)?
        .chunks_exact(2)
        .map(|b| u16::from_le_bytes([b[0], b[1]]))
        .collect();
    let link_end = path
        .len()
        .checked_sub(unparsed)
        .ok_or(STATUS_IO_REPARSE_DATA_INVALID)?;
    let (mut link, rest) = (&path[..link_end], &path[link_end..]);
    while link.last() == Some(&BACKSLASH) {
        link = &link[..link.len() - 1];
    }
    let mut result = if relative {
        let parent = link
            .iter()
            .rposition(|unit| *unit == BACKSLASH)
            .ok_or(STATUS_IO_REPARSE_DATA_INVALID)?;
        collapse(&link[..parent], &target)
    } else {
        target
    };
    if !rest.is_empty() {
        result = join(&result, rest);
    }
    Ok(result)
}

/// `directory` followed by `relative`, with `.` and `..` resolved by name.
fn collapse(directory: &[u16], relative: &[u16]) -> Vec<u16> {
    let mut path = directory.to_vec();
    for component in relative.split(|unit| *unit == BACKSLASH) {
        match String::from_utf16_lossy(component).as_str() {
            "" | "." => {}
            ".." => {
                let end = path.iter().rposition(|unit| *unit == BACKSLASH).unwrap_or(0);
                path.truncate(end);
            }
            _ => path = join(&path, component),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::names::wide;

    fn symlink(target: &str, relative: bool, unparsed: usize) -> Vec<u8> {
        let target: Vec<u8> = target.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let len = target.len() as u16;
        let mut data = IO_REPARSE_TAG_SYMLINK.to_le_bytes().to_vec();
        data.extend((12 + len).to_le_bytes());
        data.extend((unparsed as u16 * 2).to_le_bytes());
        for half in [0, len, 0, len] {
            data.extend(half.to_le_bytes());
        }
        data.extend(u32::from(relative).to_le_bytes());
        data.extend(target);
        data
    }

    #[test]
    fn links_are_followed_as_nt_does() {
        let tag = IO_REPARSE_TAG_SYMLINK as usize;
        let go = |path: &str, target: &str, relative, unparsed| {
            follow(&wide(path), tag, &symlink(target, relative, unparsed))
                .map(|path| String::from_utf16_lossy(&path))
        };
        assert_eq!(go("\\V\\a\\link", "b", true, 0).as_deref(), Ok("\\V\\a\\b"));
        assert_eq!(
            go("\\V\\a\\link", "..\\c\\.\\d", true, 0).as_deref(),
            Ok("\\V\\c\\d")
        );
        assert_eq!(
            go("\\V\\a\\link\\x\\y", "b", true, 4).as_deref(),
            Ok("\\V\\a\\b\\x\\y")
        );
        assert_eq!(
            go("\\V\\a\\link\\x", "\\??\\Z:\\q", false, 2).as_deref(),
            Ok("\\??\\Z:\\q\\x")
        );
        assert_eq!(go("\\V", "b", true, 40), Err(STATUS_IO_REPARSE_DATA_INVALID));
        let other = follow(&wide("\\V\\l"), 0xa000_001d, &symlink("b", true, 0));
        assert_eq!(other, Err(STATUS_IO_REPARSE_TAG_NOT_HANDLED));
    }
}
