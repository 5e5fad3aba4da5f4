//! What the bytes of answers mean: a listing, everything about one file, the target of a link.

use lklfs_nt::fileinfo::FileStatLxInformation;
use lklfs_nt::record::Field;
use lklfs_nt::{ReparseTag, dirinfo, names, reparse};
use userctl::volume::{Kind, Stat, Time};

/// An answer that no driver may give.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// The Linux names in an answer of class FileNamesInformation, without `.` and `..`.
pub fn names(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut found = Vec::new();
    dirinfo::names(bytes, &mut found).map_err(|_| Malformed("a listing makes no sense"))?;
    let dot = u16::from(b'.');
    found
        .iter()
        .filter(|units| **units != [dot] && **units != [dot, dot])
        .map(|units| names::to_linux(units).map_err(|_| Malformed("a name is no Linux name's form")))
        .collect()
}

/// What FILE_STAT_LX_INFORMATION says. The size of a link is left 0: NT does not know it.
pub fn stat(bytes: &[u8]) -> Result<Stat, Malformed> {
    let lx = FileStatLxInformation::get(bytes).ok_or(Malformed("FILE_STAT_LX_INFORMATION is cut short"))?;
    let kind = Kind::from_mode(lx.lx_mode).ok_or(Malformed("LxMode has no kind"))?;
    let time = |time: lklfs_nt::NtTime| {
        let (seconds, nanoseconds) = time.to_unix();
        Time { seconds, nanoseconds }
    };
    Ok(Stat {
        kind,
        mode: lx.lx_mode & 0o7777,
        uid: lx.lx_uid,
        gid: lx.lx_gid,
        links: u64::from(lx.stat.number_of_links),
        size: if kind == Kind::Link {
            0
        } else {
            lx.stat.end_of_file
        },
        blocks: lx.stat.allocation_size / 512,
        modified: time(lx.stat.last_write_time),
        accessed: time(lx.stat.last_access_time),
        inode: lx.stat.file_id,
        device: 0,
        node_device: (lx.lx_device_id_major, lx.lx_device_id_minor),
    })
}

/// The target of a link, from its REPARSE_DATA_BUFFER: WSL's links have Linux's bytes; in Windows' links, separators and
/// mapped names are turned back.
pub fn target(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let parsed = reparse::parse(bytes).ok_or(Malformed("a reparse point is cut short"))?;
    match parsed.tag {
        // A version of four bytes comes first.
        ReparseTag::IO_REPARSE_TAG_LX_SYMLINK => parsed
            .data
            .get(4..)
            .map(<[u8]>::to_vec)
            .ok_or(Malformed("an LX symlink is cut short")),
        ReparseTag::IO_REPARSE_TAG_SYMLINK => {
            let (text, _) = reparse::parse_symlink(parsed.data).ok_or(Malformed("a symlink is cut short"))?;
            let parts = text.split(|unit| *unit == u16::from(b'\\')).map(component);
            let parts: Vec<Vec<u8>> = parts.collect::<Result<_, _>>()?;
            Ok(parts.join(&b'/'))
        }
        _ => Err(Malformed("a reparse point of another tag")),
    }
}

/// One part of a target; before a separator at the start there is nothing.
fn component(units: &[u16]) -> Result<Vec<u8>, Malformed> {
    match units {
        [] => Ok(Vec::new()),
        [0x2e] => Ok(b".".to_vec()),
        [0x2e, 0x2e] => Ok(b"..".to_vec()),
        name => {
            names::to_linux(name).map_err(|_| Malformed("a target has a name that is no Linux name's form"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lklfs_nt::reparse::{SYMLINK_FLAG_RELATIVE, buffer, lx_symlink_data, symlink_data};

    fn entry(next: u32, name: &str) -> Vec<u8> {
        let units: Vec<u16> = name.encode_utf16().collect();
        let mut bytes = Vec::new();
        for number in [next, 0, units.len() as u32 * 2] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes
    }

    #[test]
    fn names_come_back_as_linux_has_them() {
        let mut bytes = entry(16, ".");
        bytes.resize(16, 0);
        bytes.extend(entry(24, "a\u{f03a}b"));
        bytes.resize(40, 0);
        bytes.extend(entry(0, "\u{e4}"));
        assert_eq!(names(&bytes), Ok(vec![b"a:b".to_vec(), "\u{e4}".into()]));
    }

    #[test]
    fn answers_that_no_driver_may_give_are_refused() {
        let whole = entry(0, "name");
        for length in 0..whole.len() {
            assert!(names(&whole[..length]).is_err(), "{length}");
        }
        let mut overlapping = entry(8, "name");
        overlapping.extend(entry(0, "b"));
        assert!(names(&overlapping).is_err());
        assert!(names(&entry(0, "a:b")).is_err(), "a name that Windows forbids");
    }

    #[test]
    fn targets_come_back_as_linux_has_them() {
        let link = |text: &str| {
            let units: Vec<u16> = text.encode_utf16().collect();
            let data = symlink_data(&units, SYMLINK_FLAG_RELATIVE).unwrap();
            target(&buffer(ReparseTag::IO_REPARSE_TAG_SYMLINK, 0, &data).unwrap()).unwrap()
        };
        assert_eq!(link("..\\a\\b"), b"../a/b");
        assert_eq!(link("\\a\u{f03a}b"), b"/a:b");
        assert_eq!(link("\\"), b"/");
        let data = lx_symlink_data(b"a\\b//\xff").unwrap();
        let whole = buffer(ReparseTag::IO_REPARSE_TAG_LX_SYMLINK, 0, &data).unwrap();
        assert_eq!(target(&whole), Ok(b"a\\b//\xff".to_vec()));
    }
}
