//! The message table of an image: what Event Viewer shows for a driver's events.

use object::{
    LittleEndian as LE,
    read::pe::{PeFile64, ResourceDirectoryEntryData},
};
use std::collections::BTreeMap;

/// `RT_MESSAGETABLE`.
const MESSAGE_TABLE: u16 = 11;
/// `MESSAGE_RESOURCE_UNICODE`.
const UNICODE: u16 = 1;

/// The messages by their numbers, of the first language; none where there is no table or a damaged one.
pub(super) fn read(parsed: &PeFile64<'_>, file: &[u8]) -> BTreeMap<u32, String> {
    table(parsed, file)
        .and_then(|table| messages(&table))
        .unwrap_or_default()
}

/// The bytes of the first message table.
fn table(parsed: &PeFile64<'_>, file: &[u8]) -> Option<Vec<u8>> {
    let sections = parsed.section_table();
    let resources = parsed
        .data_directories()
        .resource_directory(file, &sections)
        .ok()??;
    let root = resources.root().ok()?;
    let mut entry = root
        .entries
        .iter()
        .find(|entry| entry.name_or_id().id() == Some(MESSAGE_TABLE))?;
    // By type, then by name, then by language.
    for _ in 0..3 {
        match entry.data(resources).ok()? {
            ResourceDirectoryEntryData::Table(below) => entry = below.entries.first()?,
            ResourceDirectoryEntryData::Data(data) => {
                let bytes = sections.pe_data_at(file, data.offset_to_data.get(LE))?;
                return Some(bytes.get(..data.size.get(LE) as usize)?.to_vec());
            }
        }
    }
    None
}

/// The messages of a table's bytes.
fn messages(table: &[u8]) -> Option<BTreeMap<u32, String>> {
    let word = |at: usize| Some(u32::from_le_bytes(table.get(at..at + 4)?.try_into().ok()?));
    let half = |at: usize| Some(u16::from_le_bytes(table.get(at..at + 2)?.try_into().ok()?));
    let mut messages = BTreeMap::new();
    for block in 0..word(0)? as usize {
        let at = 4 + block * 12;
        let (first, last, mut entry) = (word(at)?, word(at + 4)?, word(at + 8)? as usize);
        for number in first..=last {
            let (length, flags) = (usize::from(half(entry)?), half(entry + 2)?);
            let text = table.get(entry + 4..entry + length)?;
            let text = if flags == UNICODE {
                let units: Vec<u16> = text
                    .chunks_exact(2)
                    .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
                    .collect();
                String::from_utf16_lossy(&units)
            } else {
                String::from_utf8_lossy(text).into_owned()
            };
            messages.insert(number, text.trim_end_matches('\0').to_owned());
            entry += length;
        }
    }
    Some(messages)
}
