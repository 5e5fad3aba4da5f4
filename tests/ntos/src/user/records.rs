//! What the bytes of answers mean: directory entries, file information, reparse data, volume information.
//!
//! Every length is checked against the bytes that came, and what a driver must not do (entries that overlap
//! or are not aligned, names that run over, lengths that do not agree) is an error that says so.

use crate::nt::*;

/// A file's attributes, size and times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileFacts {
    /// FILE_ATTRIBUTE_*.
    pub attributes: u32,
    /// End of file in bytes.
    pub size: u64,
    /// Allocated bytes.
    pub allocated: u64,
    /// Creation, access, write and change time in 100 ns since 1601.
    pub times: [i64; 4],
    /// The reparse tag, 0 for none.
    pub tag: u32,
    /// The 64-bit file ID.
    pub id: u64,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Its name.
    pub name: Vec<u16>,
    /// What the listing says about it.
    pub facts: FileFacts,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// UTF-16 units of little-endian bytes.
pub fn units(bytes: &[u8]) -> Vec<u16> {
    bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

/// The entries of FileIdBothDirectoryInformation.
pub fn id_both_entries(bytes: &[u8]) -> Result<Vec<DirectoryEntry>, String> {
    const NAME: usize = 104;
    let mut entries = Vec::new();
    let mut at = 0;
    loop {
        let short = || {
            format!(
                "a directory entry at byte {at} runs over the {} bytes of the answer",
                bytes.len()
            )
        };
        let entry = bytes.get(at..).ok_or_else(short)?;
        let next = u32_at(entry, 0).ok_or_else(short)? as usize;
        let len = u32_at(entry, 60).ok_or_else(short)? as usize;
        if next != 0 && (!next.is_multiple_of(8) || next < NAME + len) {
            return Err(format!(
                "a directory entry at byte {at} has NextEntryOffset {next} and a name of {len} bytes"
            ));
        }
        let name = units(entry.get(NAME..NAME + len).ok_or_else(short)?);
        let number = |offset: usize| u64_at(entry, offset).ok_or_else(short);
        let attributes = u32_at(entry, 56).ok_or_else(short)?;
        let reparse = attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0;
        let facts = FileFacts {
            attributes,
            size: number(40)?,
            allocated: number(48)?,
            times: [
                number(8)? as i64,
                number(16)? as i64,
                number(24)? as i64,
                number(32)? as i64,
            ],
            // A reparse point has its tag where others have the size of their extended attributes.
            tag: if reparse {
                u32_at(entry, 64).ok_or_else(short)?
            } else {
                0
            },
            id: number(96)?,
        };
        entries.push(DirectoryEntry { name, facts });
        if next == 0 {
            return Ok(entries);
        }
        at += next;
    }
}

/// FileBasicInformation and FileStandardInformation together.
pub fn facts(basic: &[u8], standard: &[u8]) -> Option<FileFacts> {
    let time = |at: usize| u64_at(basic, at).map(|time| time as i64);
    Some(FileFacts {
        attributes: u32_at(basic, 32)?,
        size: u64_at(standard, 8)?,
        allocated: u64_at(standard, 0)?,
        times: [time(0)?, time(8)?, time(16)?, time(24)?],
        tag: 0,
        id: 0,
    })
}

/// A reparse point, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reparse {
    /// IO_REPARSE_TAG_SYMLINK: substitute name, print name, relative.
    Symlink(Vec<u16>, Vec<u16>, bool),
    /// IO_REPARSE_TAG_LX_SYMLINK: the target's bytes as Linux has them.
    LxSymlink(Vec<u8>),
    /// Another tag.
    Other(u32),
}

/// WSL's tag for a symbolic link that Windows does not follow.
pub const TAG_LX_SYMLINK: u32 = 0xa000_001d;

/// Decodes a REPARSE_DATA_BUFFER.
pub fn reparse(bytes: &[u8]) -> Result<Reparse, String> {
    let bad = || format!("a reparse buffer of {} bytes is cut short", bytes.len());
    let tag = u32_at(bytes, 0).ok_or_else(bad)?;
    let len = usize::from(u16_at(bytes, 4).ok_or_else(bad)?);
    let data = bytes.get(8..8 + len).ok_or_else(bad)?;
    match tag {
        IO_REPARSE_TAG_SYMLINK => {
            let half = |at: usize| u16_at(data, at).map(usize::from).ok_or_else(bad);
            let name = |at: usize| -> Result<Vec<u16>, String> {
                let (offset, len) = (half(at)?, half(at + 2)?);
                Ok(units(data.get(12 + offset..12 + offset + len).ok_or_else(bad)?))
            };
            let relative = u32_at(data, 8).ok_or_else(bad)? & 1 != 0;
            Ok(Reparse::Symlink(name(0)?, name(4)?, relative))
        }
        TAG_LX_SYMLINK => match u32_at(data, 0) {
            Some(2) => Ok(Reparse::LxSymlink(data[4..].to_vec())),
            other => Err(format!("an LX symlink has version {other:?} instead of 2")),
        },
        other => Ok(Reparse::Other(other)),
    }
}

/// The target of a link as Linux writes it; None for what is no link.
///
/// An LX symlink has Linux's bytes. For a Windows symlink the substitute name is taken, which is what Windows
/// follows: its backslashes become slashes, and characters U+F000 to U+F0FF the bytes that they stand for.
pub fn linux_target(reparse: &Reparse) -> Option<Vec<u8>> {
    match reparse {
        Reparse::LxSymlink(target) => Some(target.clone()),
        Reparse::Symlink(substitute, _, _) => {
            let mut target = Vec::new();
            for character in char::decode_utf16(substitute.iter().copied()) {
                match character.unwrap_or(char::REPLACEMENT_CHARACTER) {
                    '\\' => target.push(b'/'),
                    mapped @ '\u{f000}'..='\u{f0ff}' => target.push((u32::from(mapped) & 0xff) as u8),
                    other => target.extend(other.encode_utf8(&mut [0; 4]).bytes()),
                }
            }
            Some(target)
        }
        Reparse::Other(_) => None,
    }
}

/// FileFsVolumeInformation: serial number and label.
pub fn volume_label(bytes: &[u8]) -> Option<(u32, Vec<u16>)> {
    let len = u32_at(bytes, 12)? as usize;
    Some((u32_at(bytes, 8)?, units(bytes.get(18..18 + len)?)))
}

/// FileFsAttributeInformation: attributes, longest component, name.
pub fn volume_attributes(bytes: &[u8]) -> Option<(u32, u32, Vec<u16>)> {
    let len = u32_at(bytes, 8)? as usize;
    Some((
        u32_at(bytes, 0)?,
        u32_at(bytes, 4)?,
        units(bytes.get(12..12 + len)?),
    ))
}

/// FileFsFullSizeInformation: total, available and bytes in a unit.
pub fn volume_size(bytes: &[u8]) -> Option<(u64, u64, u64)> {
    let unit = u64::from(u32_at(bytes, 24)?) * u64::from(u32_at(bytes, 28)?);
    Some((u64_at(bytes, 0)?, u64_at(bytes, 8)?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_read_as_linux_wrote_them() {
        let wide = |text: &str| text.encode_utf16().collect::<Vec<_>>();
        let target = |text: &str| linux_target(&Reparse::Symlink(wide(text), Vec::new(), true));
        assert_eq!(target("..\\a\\b").as_deref(), Some(b"../a/b".as_slice()));
        assert_eq!(
            target("a\u{f03a}b\u{f0ff}").as_deref(),
            Some(b"a:b\xff".as_slice())
        );
        assert_eq!(target("\u{e4}").as_deref(), Some("\u{e4}".as_bytes()));
    }

    #[test]
    fn damaged_answers_are_named() {
        let mut entry = vec![0; 104];
        entry[60] = 4;
        assert!(id_both_entries(&entry).is_err(), "the name is missing");
        entry.extend([b'a', 0, b'b', 0]);
        assert_eq!(id_both_entries(&entry).expect("one entry")[0].name, [97, 98]);
        entry[0] = 12;
        assert!(id_both_entries(&entry).is_err(), "entries overlap");
        assert!(reparse(&[0x0c, 0, 0, 0xa0, 40, 0, 0, 0]).is_err());
    }
}
