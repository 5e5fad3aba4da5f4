//! `userctl mount`: an image or a device becomes a volume with a drive letter.

use std::io::Write;
use std::path::Path;

use lklfs_client::answer::{Linux, Mounted};
use lklfs_client::{CallError, Driver, Format, NtStatus, OpenError, Settings, Source};
use serde::Serialize;

use crate::cli::{self, Choice, Mount};
use crate::driver::{self, failed, refused, write_json, write_text};
use crate::exit::{Exit, Failure};
use crate::folders;
use crate::image::Image;
use crate::partition;
use crate::session::PROGRAM;
use crate::source::check_options;
use crate::target::{self, Named, Target};
use crate::text::plain;

/// What was mounted, as `--json` writes it.
#[derive(Debug, Serialize)]
struct Report {
    /// The volume's number.
    volume: u64,
    /// Its drive letter, without a colon.
    letter: Option<char>,
    /// Whether a journal was replayed in memory.
    replayed: bool,
    /// Whether it is shown without a replay that it needs.
    stale: bool,
}

/// Asks the driver, and writes the letter.
pub fn run(options: &Mount, out: &mut dyn Write) -> Result<(), Failure> {
    let written = options.target.to_string_lossy();
    let shown = plain(written.as_bytes());
    // Where there is no Windows, names cannot be told to be right or wrong.
    if !lklfs_client::can_be_here() {
        if let Some(folder) = options.folder() {
            return folders::mount(options, folder, out);
        }
        return Err(Failure::new(
            Exit::Driver,
            format_args!("{shown}: {}; or name a folder to mount it in", OpenError::NotHere),
        ));
    }
    if let Some(folder) = options.folder() {
        return Err(Failure::new(
            Exit::Usage,
            format_args!("{}: a drive letter is one of A: to Z:", folder.display()),
        ));
    }
    check_options(options.settings.options.as_deref())?;
    let wanted = target::target(&options.target)?;
    if options.part.is_some() && !matches!(wanted, Target::Image(_)) {
        return Err(Failure::new(
            Exit::Usage,
            format_args!("{shown}: --part is for images; name the partition's own device"),
        ));
    }
    if options.format.is_some() && !matches!(wanted, Target::Image(_)) {
        return Err(Failure::new(
            Exit::Usage,
            format_args!("{shown}: --format is for images; leave it out"),
        ));
    }
    let driver = driver::start_and_change()?;
    let mounted = match wanted {
        Target::Image(path) => mount(&driver, options, &shown, Source::Image(path))?,
        Target::Device(name) => mount(&driver, options, &shown, Source::Device(name))?,
        Target::Name(name) => again(&driver, options, &shown, &name)?,
    };
    let Mounted {
        volume,
        letter,
        state,
    } = mounted;
    if state.stale {
        eprintln!("userctl: warning: {shown}: shown without its journal, newer changes may be missing");
    }
    if let Some(note) = others(options) {
        eprintln!("userctl: note: {shown}: {note}");
    }
    if options.json {
        let report = Report {
            volume,
            letter,
            replayed: state.replayed,
            stale: state.stale,
        };
        return write_json(&report, out);
    }
    match letter {
        Some(letter) => write_text(&format!("{letter}:\n"), out),
        None => write_text(&format!("volume {volume}, without a letter\n"), out),
    }
}

/// What else an image holds, when the driver has chosen. It chooses by the same function; an image that this program cannot
/// read keeps it for itself.
fn others(options: &Mount) -> Option<String> {
    if options.part.is_some() || options.format.is_some() {
        return None;
    }
    let image = Image::open(Path::new(&options.target)).ok()?;
    let survey = partition::survey(&image).ok()?;
    partition::others(&PROGRAM, &survey, survey.preferred()?)
}

/// A volume that is mounted already, by its UUID or label: it keeps the letter that it has, or gets one.
fn again(driver: &Driver, options: &Mount, shown: &str, name: &str) -> Result<Mounted, Failure> {
    let (volumes, places) = (driver.list().map_err(failed)?, driver.places().map_err(failed)?);
    let volume = match target::find(&volumes, &places, name)? {
        Named::Volume(volume) => volume,
        Named::Place(place) => {
            let device = Source::Device(place.device_units.clone());
            return mount(driver, options, shown, device);
        }
    };
    let there = Mounted {
        volume: volume.number,
        letter: volume.letter,
        state: volume.state,
    };
    let number = volume.number;
    match (volume.letter, options.letter()) {
        (None, None) if options.no_letter => Ok(there),
        (Some(_), None) => Ok(there),
        (Some(letter), Some(wanted)) if letter == wanted => Ok(there),
        (Some(letter), Some(_)) => Err(Failure::new(
            Exit::Letter,
            format_args!("{shown}: this is volume {number}, at {letter}: already; unmount that first"),
        )),
        (None, _) if volume.state.image => Err(Failure::new(
            Exit::Volume,
            format_args!(
                "{shown}: this is volume {number}, mounted without a letter; unmount {number}, then mount the image again"
            ),
        )),
        (None, _) => mount(
            driver,
            options,
            shown,
            Source::Device(volume.source_units.clone()),
        ),
    }
}

fn mount(driver: &Driver, options: &Mount, shown: &str, source: Source) -> Result<Mounted, Failure> {
    let image = matches!(source, Source::Image(_));
    let request = lklfs_client::Mount {
        source,
        partition: options.part,
        letter: options.letter(),
        format: options.format.map(format),
        no_letter: options.no_letter,
        settings: Settings {
            no_recovery: options.no_recovery,
            ..settings(&options.settings)
        },
    };
    driver.mount(&request).map_err(|error| match error {
        CallError::Refused(NtStatus::NO_SUCH_DEVICE) if is_dead(driver) => Failure::new(
            Exit::Kernel,
            format_args!(
                "{shown}: Linux has stopped by a panic; start the driver again: userctl stop --force, userctl start"
            ),
        ),
        CallError::Refused(status) => not_mounted(options, shown, image, status),
        other => refused(shown, other),
    })
}

fn format(format: cli::Format) -> Format {
    match format {
        cli::Format::Raw => Format::Raw,
        cli::Format::Vhd => Format::Vhd,
        cli::Format::Vhdx => Format::Vhdx,
        cli::Format::Qcow2 => Format::Qcow2,
    }
}

/// What the command line says, as the driver is told.
fn settings(said: &cli::Settings) -> Settings {
    Settings {
        no_recovery: false,
        everyone: said.everyone.and_then(Choice::wanted),
        hide_dot_files: said.hide_dot_files.and_then(Choice::wanted),
        fs_name: said.read_as.clone(),
        options: said.options.clone().unwrap_or_default(),
        owners: said.owner.join(","),
    }
}

fn is_dead(driver: &Driver) -> bool {
    driver.status().is_ok_and(|status| status.linux == Linux::Dead)
}

/// Why the driver did not mount it.
fn not_mounted(options: &Mount, shown: &str, image: bool, status: NtStatus) -> Failure {
    let (exit, why) = match status {
        NtStatus::OBJECT_NAME_NOT_FOUND if image => (
            Exit::Image,
            "no such file, or one that it needs (a parent or backing file) is missing; name an existing image".into(),
        ),
        NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::OBJECT_PATH_NOT_FOUND if !image => {
            (Exit::Image, "no such device; see diskpart or Get-Disk for those that there are".into())
        }
        NtStatus::OBJECT_PATH_NOT_FOUND => (Exit::Image, "no such folder; name an existing image".into()),
        NtStatus::OBJECT_NAME_INVALID | NtStatus::OBJECT_PATH_INVALID | NtStatus::OBJECT_PATH_SYNTAX_BAD => {
            (Exit::Image, "this is no path; name an existing image".into())
        }
        NtStatus::SHARING_VIOLATION => (
            Exit::Image,
            "another program has it open for itself; end that program, or detach the disk there".into(),
        ),
        NtStatus::ACCESS_DENIED if image => {
            (Exit::Image, "you may not read it; choose one that you may".into())
        }
        NtStatus::ACCESS_DENIED => (
            Exit::InUse,
            "it is in use and cannot be mounted in another way; close the programs that use it".into(),
        ),
        NtStatus::FILE_IS_A_DIRECTORY => (Exit::Image, "this is a directory; name an image file".into()),
        NtStatus::UNRECOGNIZED_VOLUME => (
            Exit::FileSystem,
            match options.part {
                Some(part) if image => {
                    format!("no file system is recognised on partition {part}; see userctl info")
                }
                _ => "no file system is recognised; see userctl info".into(),
            },
        ),
        NtStatus::NO_SUCH_DEVICE if image && options.part.is_some() => (
            Exit::Partition,
            format!("there is no partition {}; see userctl info", options.part.unwrap_or(0)),
        ),
        NtStatus::NO_SUCH_DEVICE | NtStatus::DEVICE_DOES_NOT_EXIST | NtStatus::DEVICE_REMOVED => {
            (Exit::Image, "the disk is gone; plug it in again".into())
        }
        NtStatus::OBJECT_NAME_COLLISION => (
            Exit::Letter,
            match options.letter() {
                Some(letter) => format!("{letter}: is taken; choose another letter, or none"),
                None => "Windows gives it no letter; name one that is free, or say --no-letter".into(),
            },
        ),
        NtStatus::DEVICE_BUSY => (
            Exit::InUse,
            "another disk of the same file system (the same UUID) is mounted, see userctl list; unmount that first".into(),
        ),
        NtStatus::NOT_SUPPORTED => (
            Exit::Image,
            "its format, or something in it, is not supported; userctl info says what, and how to convert it".into(),
        ),
        NtStatus::UNKNOWN_REVISION => (
            Exit::FileSystem,
            "it is not supported here, which is no damage: do not repair it; userctl log --driver has Linux's reason".into(),
        ),
        NtStatus::DISK_FULL => (
            Exit::FileSystem,
            "what its journal holds does not fit into memory; see the older state without it by --no-recovery".into(),
        ),
        NtStatus::DISK_CORRUPT_ERROR
        | NtStatus::FILE_CORRUPT_ERROR
        | NtStatus::DATA_ERROR
        | NtStatus::CRC_ERROR => (
            Exit::FileSystem,
            "it is damaged or incomplete; repair a copy of it, see userctl log".into(),
        ),
        NtStatus::INVALID_PARAMETER => (
            Exit::Usage,
            "the driver does not take these options; see userctl log and userctl mount --help".into(),
        ),
        NtStatus::IO_DEVICE_ERROR | NtStatus::END_OF_FILE | NtStatus::IO_TIMEOUT => (
            Exit::Image,
            format!("it cannot be read ({status}); check the disk that it is on"),
        ),
        other => return refused(shown, CallError::Refused(other)),
    };
    Failure::new(exit, format_args!("{shown}: {why}"))
}
