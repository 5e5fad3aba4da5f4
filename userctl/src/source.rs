//! Where the commands that read get their volume from: the driver, when it has mounted what the user names, or else the
//! Linux in this program.
//!
//! | written | is read |
//! |---|---|
//! | an existing file | without the driver |
//! | `X:`, `\\?\Volume{...}`, `\Device\...` | through the driver, if a volume of its own is there |
//! | anything else without a slash | through the driver, if one volume of its own has this UUID, label or number |
//! | what is left, and all with `--direct` | without the driver |

use std::ffi::OsStr;

use lklfs_client::answer::{Place, Volume};

use crate::cli::Source;
use crate::driver;
use crate::exit::{Exit, Failure};
use crate::mounted::Mounted;
use crate::scratch;
use crate::session::{self, PROGRAM, Session};
use crate::target::{self, Target};
use crate::text::plain;
use crate::watchdog::{self, Limit};

/// What is read.
pub enum Opened {
    /// A volume that the driver has mounted.
    Driver(Mounted),
    /// An image or a disk, by the Linux in this program.
    Linux(Box<Session>),
}

/// Starts the time limit, then opens what `source` names.
pub fn open(source: &Source) -> Result<Opened, Failure> {
    watchdog::start(Limit {
        program: PROGRAM,
        subject: source.image.display().to_string(),
        timeout: source.timeout,
        is_finished: scratch::is_finished,
        clean_up: scratch::remove_all,
    });
    check_options(source.options.as_deref())?;
    let mounted = match source.direct {
        true => None,
        false => mounted(source.image.as_os_str())?,
    };
    match mounted {
        Some(mounted) => {
            refuse_options(source, &mounted)?;
            Ok(Opened::Driver(mounted))
        }
        None => Ok(Opened::Linux(Box::new(session::open(source)?))),
    }
}

/// Refuses options of a file system that no reader may have, as the driver does.
pub fn check_options(options: Option<&str>) -> Result<(), Failure> {
    lkl_session::options::check(&PROGRAM, options)
}

/// The volume of the driver's that is `written`, if it is one.
fn mounted(written: &OsStr) -> Result<Option<Mounted>, Failure> {
    let text = written.to_string_lossy();
    // On Windows a drive exists as a path as well, so what is special by its form comes first there.
    let exists = || std::fs::exists(written).unwrap_or(true);
    if cfg!(unix) && exists() {
        return Ok(None);
    }
    match target::special(&text) {
        Some(Target::Device(device)) => match Mounted::open(&device, &text) {
            Some(mounted) => return Ok(Some(mounted)),
            None => return nothing_at(&text),
        },
        Some(_) => return Ok(None),
        None => {}
    }
    if text.contains(['\\', '/']) || exists() {
        return Ok(None);
    }
    let Ok(driver) = driver::look() else {
        return Ok(None);
    };
    let Ok(volumes) = driver.list() else {
        return Ok(None);
    };
    let Some(volume) = named(&volumes, &text)? else {
        return Ok(None);
    };
    // Without them it is as if it had no device.
    let places = driver.places().unwrap_or_default();
    match device(volume, &places).and_then(|device| Mounted::open(&device, &text)) {
        Some(mounted) => Ok(Some(mounted)),
        None => Err(unreachable(volume, &text)),
    }
}

/// No volume of the driver's is at a device or letter. A letter can be read in no other way.
fn nothing_at(text: &str) -> Result<Option<Mounted>, Failure> {
    let Some(letter) = text.strip_suffix(':').and_then(|_| crate::unmount::letter(text)) else {
        return Ok(None);
    };
    match driver::look() {
        Ok(_) => Err(Failure::new(
            Exit::Volume,
            format_args!("{letter}: no volume of the driver's is there; see userctl list, or name an image"),
        )),
        Err(_) => Ok(None),
    }
}

/// The one volume that has this UUID, label or number; `None` if there is none.
fn named<'a>(volumes: &'a [Volume], name: &str) -> Result<Option<&'a Volume>, Failure> {
    let number: Option<u64> = name.parse().ok();
    let mut found = volumes.iter().filter(|volume| {
        target::is_called(&volume.label, volume.uuid.as_deref(), name) || number == Some(volume.number)
    });
    let first = found.next();
    let others: Vec<String> = found.map(|volume| volume.number.to_string()).collect();
    match (first, others.as_slice()) {
        (Some(first), [_, ..]) => Err(Failure::new(
            Exit::Volume,
            format_args!(
                "{}: volumes {} and {} are called so; name the drive letter, device or image, see userctl list",
                plain(name.as_bytes()),
                first.number,
                others.join(" and ")
            ),
        )),
        (first, _) => Ok(first),
    }
}

/// The NT name by which a volume can be opened: of an image without a letter the disk that the driver made of it.
fn device(volume: &Volume, places: &[Place]) -> Option<Vec<u16>> {
    let name = match volume.letter {
        Some(letter) => return Some(format!("\\??\\{letter}:").encode_utf16().collect()),
        None if volume.state.image => {
            let place = places.iter().find(|place| place.volume == Some(volume.number));
            place.map(|place| place.device_units.clone())
        }
        None => Some(volume.source_units.clone()),
    };
    name.filter(|name| !name.is_empty())
}

fn unreachable(volume: &Volume, name: &str) -> Failure {
    let (name, number) = (plain(name.as_bytes()), volume.number);
    let advice = match (volume.letter, volume.state.image) {
        (None, true) => "it has no drive letter; name its image, see userctl list",
        (None, false) => "it has no drive letter; give it one with userctl mount",
        (Some(_), _) => "its files cannot be opened; see userctl list",
    };
    Failure::new(Exit::Volume, format_args!("{name}: volume {number}: {advice}"))
}

/// Refuses what has no meaning through the driver.
fn refuse_options(source: &Source, mounted: &Mounted) -> Result<(), Failure> {
    let given = [
        ("--part", source.part.is_some()),
        ("--fs", source.fs.is_some()),
        ("-o", source.options.is_some()),
        ("--no-recovery", source.no_recovery),
        ("--memory", source.memory.is_some()),
        ("--linux-log", source.linux_log),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((option, _)) => Err(Failure::new(
            Exit::Usage,
            format_args!(
                "{}: the driver has mounted this, and {option} has no meaning for it; leave {option} out, or read \
                 it without the driver with --direct",
                plain(mounted.name().as_bytes())
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volumes::tests::{place, volume};

    #[test]
    fn a_name_is_a_uuid_a_label_or_a_number_if_there_is_one() {
        let volumes = [
            volume(1, None, "Data", 0xab),
            volume(2, None, "Twin", 0xcd),
            volume(3, None, "Twin", 0xcd),
            volume(4, None, "2", 0),
        ];
        let number = |name: &str| named(&volumes, name).map(|found| found.map(|volume| volume.number));
        assert_eq!(number("Data"), Ok(Some(1)));
        assert_eq!(number("abababab-abab-abab-abab-abababababab"), Ok(Some(1)));
        assert_eq!(number("3"), Ok(Some(3)));
        assert_eq!(number("Other"), Ok(None));
        assert_eq!(number("5"), Ok(None));
        for (name, words) in [("Twin", "volumes 2 and 3"), ("2", "volumes 2 and 4")] {
            let failure = number(name).unwrap_err();
            assert_eq!(failure.exit, Exit::Volume);
            assert!(failure.message.contains(words), "{failure}");
        }
    }

    #[test]
    fn a_volume_is_opened_by_its_letter_or_device() {
        let units = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
        let mut one = volume(1, Some('Q'), "Data", 1);
        let mut image = place(7, None, "Data", "");
        (image.volume, image.device_units) = (Some(1), units("\\Device\\LklfsImage1"));
        let places = [place(6, None, "Other", ""), image];
        assert_eq!(device(&one, &places), Some(units("\\??\\Q:")));
        one.letter = None;
        one.state.image = true;
        assert_eq!(device(&one, &places), Some(units("\\Device\\LklfsImage1")));
        assert_eq!(device(&one, &places[..1]), None);
        assert!(unreachable(&one, "Data").message.contains("name its image"));
        one.state.image = false;
        one.source_units = units("\\Device\\HarddiskVolume2");
        assert_eq!(device(&one, &places), Some(units("\\Device\\HarddiskVolume2")));
        one.source_units.clear();
        assert_eq!(device(&one, &places), None);
        assert!(unreachable(&one, "Data").message.contains("userctl mount"));
    }
}
