//! `userctl list`: disks, partitions and images, what is on them, and where it is mounted.
//!
//! The driver tells of volumes (what it has mounted) and of places (where volumes may be). People see one table: each
//! place with its volume, in the order of disks, then what has no place of its own.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use lklfs_client::answer::{Place, Volume};
use serde::Serialize;

use crate::driver::{self, failed, write_json, write_text};
use crate::exit::Failure;
use crate::folders;
use crate::table::{Align, Cell, table};
use crate::text::{plain, size};

/// Volumes and places as `--json` writes them.
#[derive(Debug, Serialize)]
pub struct List {
    /// What is mounted, by number.
    pub volumes: Vec<Entry>,
    /// Where volumes may be, by disk.
    pub places: Vec<PlaceEntry>,
}

/// One place as `--json` writes it.
#[derive(Debug, Serialize)]
pub struct PlaceEntry {
    /// The number of the disk.
    pub disk: Option<u32>,
    /// The number of the partition; 0 for a whole disk.
    pub partition: Option<u32>,
    /// Where it begins on the disk, in bytes.
    pub start: u64,
    /// Bytes.
    pub bytes: u64,
    /// Bytes in a sector.
    pub sector: u32,
    /// The file system that is recognised there.
    pub file_system: Option<String>,
    /// Its label.
    pub label: Option<String>,
    /// Its UUID, date or serial number.
    pub uuid: Option<String>,
    /// Its drive letter, without a colon.
    pub letter: Option<char>,
    /// The number of the volume that the driver has mounted there.
    pub volume: Option<u64>,
    /// `mounted`, `windows` (another file system has it), `free` (not mounted) or `never` (its policy says so).
    pub state: &'static str,
    /// Whether it can be taken out.
    pub removable: bool,
    /// The NT name of its device.
    pub device: String,
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
    /// The NT name of its device, or the NT path of its image;
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
    if !lklfs_client::can_be_here() {
        return folders::run_list(json, out);
    }
    let driver = driver::look()?;
    let (volumes, mut places) = (driver.list().map_err(failed)?, driver.places().map_err(failed)?);
    in_order(&mut places);
    if json {
        return write_json(&list(&volumes, &places), out);
    }
    if volumes.is_empty() && places.is_empty() {
        return write_text("no volume is mounted; mount one with: userctl mount IMAGE\n", out);
    }
    write_text(&text(&volumes, &places), out)
}

/// Disks by number, partitions by number; images, which have no disk, last.
fn in_order(places: &mut [Place]) {
    places.sort_by_key(|place| {
        (
            place.disk.unwrap_or(u32::MAX),
            place.partition.unwrap_or(u32::MAX),
            place.number,
        )
    });
}

/// For JSON.
pub fn list(volumes: &[Volume], places: &[Place]) -> List {
    List {
        volumes: volumes.iter().map(entry).collect(),
        places: places.iter().map(place_entry).collect(),
    }
}

fn place_entry(place: &Place) -> PlaceEntry {
    PlaceEntry {
        disk: place.disk,
        partition: place.partition,
        start: place.start,
        bytes: place.bytes,
        sector: place.sector,
        file_system: place.fs_name.clone(),
        label: place.label.clone(),
        uuid: place.uuid.clone(),
        letter: place.letter,
        volume: place.volume,
        state: place_state(place),
        removable: place.removable,
        device: place.device.clone(),
    }
}

fn place_state(place: &Place) -> &'static str {
    match place {
        Place { volume: Some(_), .. } => "mounted",
        Place { other: true, .. } => "windows",
        Place { never: true, .. } => "never",
        _ => "free",
    }
}

fn entry(volume: &Volume) -> Entry {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    Entry {
        volume: volume.number,
        letter: volume.letter,
        file_system: volume.fs_name.clone(),
        label: some(&volume.label),
        uuid: volume.uuid.clone(),
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

/// `\??\C:\x` as people know it: C:\x.
fn source(volume: &Volume) -> String {
    let source = volume.source.strip_prefix("\\??\\").unwrap_or(&volume.source);
    plain(source.as_bytes())
}

fn text(volumes: &[Volume], places: &[Place]) -> String {
    use Align::{Left, Right};
    let of_place = |place: &Place| {
        let volume = volumes.iter().find(|volume| Some(volume.number) == place.volume);
        match volume {
            Some(volume) => volume_row(volume, Some(place)),
            None => place_row(place),
        }
    };
    let elsewhere = volumes
        .iter()
        .filter(|volume| !places.iter().any(|place| place.volume == Some(volume.number)))
        .map(|volume| volume_row(volume, None));
    let rows: Vec<[Cell; 10]> = places.iter().map(of_place).chain(elsewhere).collect();
    table(
        [
            ("AT", Left),
            ("DISK", Right),
            ("VOLUME", Right),
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

/// A letter as it is written.
fn at(letter: Option<char>) -> Cell {
    let letter = letter.map_or("-".to_string(), |letter| format!("{letter}:"));
    Cell::styled(letter, Style::new().bold())
}

/// Disk and partition: 1.2, or 1 for a whole disk.
fn disk(place: &Place) -> String {
    match (place.disk, place.partition) {
        (Some(disk), Some(0)) => disk.to_string(),
        (Some(disk), Some(partition)) => format!("{disk}.{partition}"),
        (Some(disk), None) => format!("{disk}.?"),
        (None, _) => "-".to_string(),
    }
}

fn volume_row(volume: &Volume, place: Option<&Place>) -> [Cell; 10] {
    [
        at(volume.letter),
        place.map_or("-".to_string(), disk).into(),
        volume.number.to_string().into(),
        plain(volume.fs_name.as_bytes()).into(),
        plain(volume.label.as_bytes()).into(),
        size(volume.total).into(),
        size(volume.free).into(),
        state_cell(volume),
        plain(volume.uuid.as_deref().unwrap_or_default().as_bytes()).into(),
        source(volume).into(),
    ]
}

fn place_row(place: &Place) -> [Cell; 10] {
    let some = |text: &Option<String>| plain(text.as_deref().unwrap_or("-").as_bytes());
    let state = match place_state(place) {
        "windows" => "with Windows",
        "never" => "never mounted",
        _ if place.linux => "not mounted",
        _ => "-",
    };
    [
        at(place.letter),
        disk(place).into(),
        "-".into(),
        some(&place.fs_name).into(),
        plain(place.label.as_deref().unwrap_or_default().as_bytes()).into(),
        size(place.bytes).into(),
        "-".into(),
        Cell::styled(state, Style::new().dimmed()),
        plain(place.uuid.as_deref().unwrap_or_default().as_bytes()).into(),
        plain(place.device.as_bytes()).into(),
    ]
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

/// Tests, and what the tests of other modules need.
#[cfg(test)]
pub mod tests {
    use super::*;
    use lklfs_client::answer::VolumeState;

    /// A volume, as the driver may list it.
    pub fn volume(number: u64, letter: Option<char>, label: &str, uuid: u8) -> Volume {
        let source = "\\??\\C:\\x.img";
        let part = |bytes: usize| format!("{uuid:02x}").repeat(bytes);
        let uuid_text = [4, 2, 2, 2, 6].map(part).join("-");
        Volume {
            number,
            letter,
            label: label.into(),
            fs_name: "ext4".into(),
            source: source.into(),
            source_units: source.encode_utf16().collect(),
            uuid: Some(uuid_text).filter(|_| uuid != 0),
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

    /// A place, as the driver may list it.
    pub fn place(number: u64, volume: Option<u64>, label: &str, uuid: &str) -> Place {
        let device = format!("\\Device\\HarddiskVolume{number}");
        Place {
            number,
            volume,
            letter: None,
            disk: Some(1),
            partition: u32::try_from(number).ok(),
            start: 1 << 20,
            bytes: 12 << 20,
            sector: 512,
            fs_name: Some("ext4".into()),
            label: Some(label.into()),
            uuid: Some(uuid.into()),
            device_units: device.encode_utf16().collect(),
            device,
            other: false,
            removable: false,
            linux: true,
            never: false,
        }
    }

    #[test]
    fn people_see_a_table() {
        let mut busy = volume(12, None, "evil\u{1b}[2J", 0);
        busy.handles = 2;
        busy.state.stale = true;
        let mut windows = place(2, None, "System", "");
        (windows.other, windows.linux, windows.letter) = (true, false, Some('C'));
        windows.fs_name = Some("ntfs".into());
        let mut nothing = place(3, None, "", "");
        (nothing.fs_name, nothing.linux) = (None, false);
        let never = Place {
            never: true,
            ..place(4, None, "Off", "5678-ABCD")
        };
        let mut places = [nothing, never, windows, place(1, Some(3), "Data", "")];
        in_order(&mut places);
        let text = text(&[volume(3, Some('E'), "Data", 0xab), busy], &places);
        let plain = anstream::adapter::strip_str(&text).to_string();
        let lines: Vec<&str> = plain.lines().map(str::trim_end).collect();
        assert!(
            lines[0].starts_with("AT  DISK  VOLUME  FILE SYSTEM  LABEL"),
            "{plain}"
        );
        assert!(lines[1].starts_with("E:   1.1       3  ext4 "), "{plain}");
        assert!(
            lines[1].ends_with("abababab-abab-abab-abab-abababababab  C:\\x.img"),
            "{plain}"
        );
        assert!(lines[2].starts_with("C:   1.2       -  ntfs "), "{plain}");
        assert!(lines[2].contains("with Windows"), "{plain}");
        assert!(lines[3].starts_with("-    1.3       -  - "), "{plain}");
        assert!(
            lines[4].contains("never mounted") && lines[4].contains("5678-ABCD"),
            "{plain}"
        );
        assert!(lines[5].contains("evil\\x1b[2J"), "{plain}");
        assert!(lines[5].contains("mounted, stale, 2 open"), "{plain}");
    }

    #[test]
    fn programs_see_what_is_not_there_as_null() {
        let mut place = place(1, None, "Data", "");
        (place.label, place.uuid, place.disk) = (None, None, None);
        let list = serde_json::to_value(list(&[volume(3, None, "", 0)], &[place])).unwrap();
        let entry = &list["volumes"][0];
        assert!(entry["letter"].is_null() && entry["label"].is_null() && entry["uuid"].is_null());
        assert_eq!(
            (entry["volume"].as_u64(), entry["state"].as_str()),
            (Some(3), Some("mounted"))
        );
        let entry = &list["places"][0];
        assert!(entry["label"].is_null() && entry["disk"].is_null() && entry["volume"].is_null());
        assert_eq!(entry["state"].as_str(), Some("free"));
    }
}
