//! `userctl list`: the volumes that the driver has mounted.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use lklfs_client::answer::Volume;
use serde::Serialize;

use crate::driver::{self, failed, write_json, write_text};
use crate::exit::Failure;
use crate::table::{Align, Cell, table};
use crate::text::{plain, size};

/// The volumes as `--json` writes them.
#[derive(Debug, Serialize)]
pub struct List {
    /// By number.
    pub volumes: Vec<Entry>,
}

/// One volume as `--json` writes it.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// Its number.
    pub volume: u64,
    /// Its drive letter, without a colon.
    pub letter: Option<char>,
    /// Linux's name of its file system.
    pub file_system: String,
    /// Its label.
    pub label: Option<String>,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Bytes in all.
    pub total: u64,
    /// Bytes free.
    pub free: u64,
    /// The NT name of its device, or the NT path of its image; none for what was not mounted on request.
    pub source: Option<String>,
    /// Whether it is in an image.
    pub image: bool,
    /// `mounted`, `dismounted` (handles are open still) or `removed` (the disk is gone).
    pub state: &'static str,
    /// Whether a journal was replayed in memory.
    pub replayed: bool,
    /// Whether it is shown without a replay that it needs.
    pub stale: bool,
    /// Open handles.
    pub handles: u32,
    /// Bytes read from the disk below.
    pub bytes_read: u64,
    /// Read requests to the disk below.
    pub reads: u64,
    /// Bytes that Linux wrote and that are in memory only.
    pub overlay: u64,
}

/// Asks the driver and writes what it says.
pub fn run(json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let volumes = driver::look()?.list().map_err(failed)?;
    if json {
        return write_json(&list(&volumes), out);
    }
    if volumes.is_empty() {
        return write_text("no volume is mounted; mount one with: userctl mount IMAGE\n", out);
    }
    write_text(&text(&volumes), out)
}

/// For JSON.
pub fn list(volumes: &[Volume]) -> List {
    List {
        volumes: volumes.iter().map(entry).collect(),
    }
}

fn entry(volume: &Volume) -> Entry {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    Entry {
        volume: volume.number,
        letter: volume.letter,
        file_system: volume.fs_name.clone(),
        label: some(&volume.label),
        uuid: volume.uuid.map(|uuid| uuid_text(&uuid)),
        total: volume.total,
        free: volume.free,
        source: some(&volume.source),
        image: volume.state.image,
        state: state(volume),
        replayed: volume.state.replayed,
        stale: volume.state.stale,
        handles: volume.handles,
        bytes_read: volume.bytes_read,
        reads: volume.reads,
        overlay: volume.overlay,
    }
}

fn state(volume: &Volume) -> &'static str {
    match volume.state {
        state if state.removed => "removed",
        state if state.dismounted => "dismounted",
        _ => "mounted",
    }
}

/// A UUID as it is written: 8-4-4-4-12.
pub fn uuid_text(uuid: &[u8; 16]) -> String {
    let digits = crate::text::hex(uuid);
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    parts.map(|(from, to)| &digits[from..to]).join("-")
}

/// `\??\C:\x` as people know it: C:\x.
fn source(volume: &Volume) -> String {
    let source = volume.source.strip_prefix("\\??\\").unwrap_or(&volume.source);
    plain(source.as_bytes())
}

fn text(volumes: &[Volume]) -> String {
    use Align::{Left, Right};
    let rows: Vec<[Cell; 9]> = volumes
        .iter()
        .map(|volume| {
            let letter = volume.letter.map_or("-".into(), |letter| format!("{letter}:"));
            [
                volume.number.to_string().into(),
                Cell::styled(letter, Style::new().bold()),
                plain(volume.fs_name.as_bytes()).into(),
                plain(volume.label.as_bytes()).into(),
                size(volume.total).into(),
                size(volume.free).into(),
                state_cell(volume),
                volume
                    .uuid
                    .map(|uuid| uuid_text(&uuid))
                    .unwrap_or_default()
                    .into(),
                source(volume).into(),
            ]
        })
        .collect();
    table(
        [
            ("VOLUME", Right),
            ("AT", Left),
            ("FILE SYSTEM", Left),
            ("LABEL", Left),
            ("SIZE", Right),
            ("FREE", Right),
            ("STATE", Left),
            ("UUID", Left),
            ("SOURCE", Left),
        ],
        &rows,
    )
}

fn state_cell(volume: &Volume) -> Cell {
    let colour = match volume.state {
        state if state.removed || state.dismounted => AnsiColor::Red,
        state if state.stale || state.replayed => AnsiColor::Yellow,
        _ => AnsiColor::Green,
    };
    let mut text = state(volume).to_string();
    for (is, word) in [
        (volume.state.replayed, ", replayed"),
        (volume.state.stale, ", stale"),
    ] {
        text.push_str(if is { word } else { "" });
    }
    if volume.handles > 0 {
        text.push_str(&format!(", {} open", volume.handles));
    }
    Cell::styled(text, Style::new().fg_color(Some(colour.into())))
}

/// Tests, and a volume for the tests of other modules.
#[cfg(test)]
pub mod tests {
    use super::*;
    use lklfs_client::answer::VolumeState;

    /// A volume, as the driver may list it.
    pub fn volume(number: u64, letter: Option<char>, label: &str, uuid: u8) -> Volume {
        let source = "\\??\\C:\\x.img";
        Volume {
            number,
            letter,
            label: label.into(),
            fs_name: "ext4".into(),
            source: source.into(),
            source_units: source.encode_utf16().collect(),
            uuid: Some([uuid; 16]).filter(|_| uuid != 0),
            total: 12 << 20,
            free: 1 << 20,
            bytes_read: 3,
            reads: 2,
            overlay: 1,
            handles: 0,
            state: VolumeState {
                image: true,
                ..VolumeState::default()
            },
        }
    }

    #[test]
    fn people_see_a_table() {
        let mut busy = volume(12, None, "evil\u{1b}[2J", 0);
        busy.handles = 2;
        busy.state.stale = true;
        let text = text(&[volume(3, Some('E'), "Data", 0xab), busy]);
        let plain = anstream::adapter::strip_str(&text).to_string();
        let lines: Vec<&str> = plain.lines().map(str::trim_end).collect();
        assert!(lines[0].starts_with("VOLUME  AT  FILE SYSTEM  LABEL"), "{plain}");
        assert!(lines[1].starts_with("     3  E:  ext4 "), "{plain}");
        assert!(
            lines[1].ends_with("abababab-abab-abab-abab-abababababab  C:\\x.img"),
            "{plain}"
        );
        assert!(lines[2].contains("evil\\x1b[2J"), "{plain}");
        assert!(lines[2].contains("mounted, stale, 2 open"), "{plain}");
    }

    #[test]
    fn programs_see_what_is_not_there_as_null() {
        let list = serde_json::to_value(list(&[volume(3, None, "", 0)])).unwrap();
        let entry = &list["volumes"][0];
        assert!(entry["letter"].is_null() && entry["label"].is_null() && entry["uuid"].is_null());
        assert_eq!(
            (entry["volume"].as_u64(), entry["state"].as_str()),
            (Some(3), Some("mounted"))
        );
    }
}
