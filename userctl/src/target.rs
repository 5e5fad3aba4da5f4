//! What `userctl mount` is to mount, from what the user wrote.
//!
//! | written | is |
//! |---|---|
//! | `disk.img`, `C:\images\disk.img`, `\\server\share\disk.img` | an image, as `\??\` and its full path |
//! | `\\.\PhysicalDrive1`, `\\?\Volume{...}`, `X:` | a device, by its Win32 name |
//! | `\Device\Harddisk1\Partition2` | a device, by its NT name |
//! | anything else | the UUID or label of a volume that is listed |
//!
//! An existing file is always an image. `userctl` for Linux gets here in tests only, with the NT double for a machine: full
//! paths of Windows are passed on to it as they are.

use std::ffi::OsStr;

use lklfs_client::answer::{Place, Volume};

use crate::exit::{Exit, Failure};
use crate::text::plain;

/// Before the names that Win32 programs know, in NT's name space.
const DOS_DEVICES: &str = "\\??\\";

/// What to mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An image, by its NT path.
    Image(Vec<u16>),
    /// A device, by its NT name.
    Device(Vec<u16>),
    /// The UUID or label of a volume.
    Name(String),
}

/// Tells what `written` is.
pub fn target(written: &OsStr) -> Result<Target, Failure> {
    let text = written.to_string_lossy();
    if let Some(found) = special(&text) {
        return Ok(found);
    }
    if let Some(path) = full_path(written) {
        return Ok(Target::Image(path));
    }
    if cfg!(unix) && std::fs::exists(written).unwrap_or(false) {
        return Err(Failure::new(
            Exit::Usage,
            format_args!(
                "{}: the driver is on another machine, the NT double; name the image as it is called there, C:\\...",
                plain(text.as_bytes())
            ),
        ));
    }
    if text.contains(['\\', '/']) {
        return Err(Failure::new(
            Exit::Image,
            format_args!("{}: no such file; name an existing image", plain(text.as_bytes())),
        ));
    }
    Ok(Target::Name(text.into_owned()))
}

/// Names that say by their form what they are.
pub(crate) fn special(text: &str) -> Option<Target> {
    let units = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
    if starts_with(text, "\\Device\\") {
        return Some(Target::Device(units(text)));
    }
    if let Some(letter) = crate::unmount::letter(text)
        && text.len() == 2
    {
        return Some(Target::Device(units(&format!("{DOS_DEVICES}{letter}:"))));
    }
    let name = [DOS_DEVICES, "\\\\.\\", "\\\\?\\"]
        .into_iter()
        .find_map(|prefix| text.strip_prefix(prefix))?;
    // A slash at the end is the root of what is on the device; the device is meant.
    let device = name.strip_suffix('\\').unwrap_or(name);
    if starts_with(name, "GLOBALROOT\\Device\\") {
        return Some(Target::Device(units(&device["GLOBALROOT".len()..])));
    }
    Some(match device.contains('\\') {
        true => Target::Image(units(&format!("{DOS_DEVICES}{name}"))),
        false => Target::Device(units(&format!("{DOS_DEVICES}{device}"))),
    })
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The NT path of an image, by its full path or as an existing file.
#[cfg(windows)]
fn full_path(written: &OsStr) -> Option<Vec<u16>> {
    use std::os::windows::ffi::OsStrExt;
    let path = std::path::Path::new(written);
    // What is no file but has all of a path is the driver's to refuse, which can say more.
    if !path.is_absolute() && !std::fs::exists(path).unwrap_or(true) {
        return None;
    }
    let full: Vec<u16> = std::path::absolute(path)
        .ok()?
        .as_os_str()
        .encode_wide()
        .collect();
    Some(nt_path(&full))
}

/// The NT path of an image, by its full path.
#[cfg(not(windows))]
fn full_path(written: &OsStr) -> Option<Vec<u16>> {
    let text = written.to_str()?;
    let rest = text.get(2..)?;
    crate::unmount::letter(text.get(..2)?)?;
    rest.starts_with(['\\', '/'])
        .then(|| nt_path(&text.replace('/', "\\").encode_utf16().collect::<Vec<_>>()))
}

/// `C:\x` or `\\server\share\x` in NT's name space.
fn nt_path(full: &[u16]) -> Vec<u16> {
    let slash = u16::from(b'\\');
    let (prefix, rest) = match full {
        [first, second, rest @ ..] if *first == slash && *second == slash => ("\\??\\UNC\\", rest),
        all => (DOS_DEVICES, all),
    };
    prefix.encode_utf16().chain(rest.iter().copied()).collect()
}

/// What has a name: something mounted, or a place where it could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// A mounted volume.
    Volume(&'a Volume),
    /// A place with a volume that is not mounted by the driver.
    Place(&'a Place),
}

/// The one volume with this UUID or label, mounted or not.
pub fn find<'a>(volumes: &'a [Volume], places: &'a [Place], name: &str) -> Result<Named<'a>, Failure> {
    let mounted = volumes
        .iter()
        .filter(|volume| is_called(&volume.label, volume.uuid.as_deref(), name))
        .map(Named::Volume);
    let others = places
        .iter()
        .filter(|place| place.volume.is_none())
        .filter(|place| {
            let label = place.label.as_deref().unwrap_or_default();
            is_called(label, place.uuid.as_deref(), name)
        })
        .map(Named::Place);
    let found: Vec<Named<'_>> = mounted.chain(others).collect();
    let name = plain(name.as_bytes());
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(Failure::new(
            Exit::Volume,
            format_args!("{name}: no file, device, UUID or label of a volume is called so; see userctl list"),
        )),
        many => {
            let names: Vec<String> = many
                .iter()
                .map(|named| match named {
                    Named::Volume(volume) => format!("volume {}", volume.number),
                    Named::Place(place) => plain(place.device.as_bytes()),
                })
                .collect();
            Err(Failure::new(
                Exit::Volume,
                format_args!(
                    "{name}: {} are called so; name the device or image, see userctl list",
                    names.join(" and ")
                ),
            ))
        }
    }
}

/// Whether two UUIDs or serial numbers are the same: case and dashes do not count.
pub fn same_uuid(one: &str, other: &str) -> bool {
    let digits = |text: &str| text.replace('-', "").to_ascii_lowercase();
    digits(one) == digits(other)
}

/// Whether something with this label and UUID is called so.
pub(crate) fn is_called(label: &str, uuid: Option<&str>, name: &str) -> bool {
    (!label.is_empty() && label == name) || uuid.is_some_and(|uuid| same_uuid(uuid, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volumes::tests::{place, volume};

    fn said(text: &str) -> String {
        match target(OsStr::new(text)) {
            Ok(Target::Image(units)) => format!("image {}", String::from_utf16(&units).unwrap()),
            Ok(Target::Device(units)) => format!("device {}", String::from_utf16(&units).unwrap()),
            Ok(Target::Name(name)) => format!("name {name}"),
            Err(failure) => format!("exit {}", failure.exit as u8),
        }
    }

    #[test]
    fn the_form_says_what_it_is() {
        for (text, meant) in [
            ("C:\\a b\\x.img", "image \\??\\C:\\a b\\x.img"),
            ("c:/a/x.img", "image \\??\\c:\\a\\x.img"),
            ("\\??\\C:\\x.img", "image \\??\\C:\\x.img"),
            ("\\\\?\\C:\\x.img", "image \\??\\C:\\x.img"),
            (
                "\\\\?\\UNC\\server\\share\\x",
                "image \\??\\UNC\\server\\share\\x",
            ),
            ("\\\\.\\PhysicalDrive1", "device \\??\\PhysicalDrive1"),
            ("\\\\?\\Volume{0-1}\\", "device \\??\\Volume{0-1}"),
            (
                "\\\\?\\GLOBALROOT\\Device\\Harddisk0\\Partition2",
                "device \\Device\\Harddisk0\\Partition2",
            ),
            ("\\device\\HarddiskVolume3", "device \\device\\HarddiskVolume3"),
            ("e:", "device \\??\\E:"),
            ("Data", "name Data"),
            ("E", "name E"),
            ("no/such/file", "exit 3"),
        ] {
            assert_eq!(said(text), meant, "{text}");
        }
    }

    #[test]
    fn shares_have_a_name_space_of_their_own() {
        let units = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
        assert_eq!(
            nt_path(&units("\\\\server\\share\\x")),
            units("\\??\\UNC\\server\\share\\x")
        );
    }

    #[test]
    fn volumes_are_found_by_uuid_or_label_if_there_is_one() {
        let volumes = [
            volume(1, None, "Data", 0xab),
            volume(2, None, "Twin", 0xcd),
            volume(3, None, "Twin", 0xcd),
            volume(4, None, "", 0),
        ];
        let places = [
            place(1, Some(1), "Data", "1234-ABCD"),
            place(2, None, "Stick", "5678-ABCD"),
        ];
        let number = |name: &str| match find(&volumes, &places, name) {
            Ok(Named::Volume(volume)) => Ok(volume.number),
            Ok(Named::Place(place)) => Ok(100 + place.number),
            Err(failure) => Err(failure),
        };
        assert_eq!(number("Data"), Ok(1));
        assert_eq!(number("ABABABAB-abab-abab-abab-abababababab"), Ok(1));
        assert_eq!(number("Stick"), Ok(102));
        assert_eq!(number("5678abcd"), Ok(102));
        let twins = number("Twin").unwrap_err();
        assert!(twins.message.contains("volume 2 and volume 3"), "{twins}");
        assert_eq!(number("data").unwrap_err().exit, Exit::Volume);
        assert_eq!(number("1234-ABCD").unwrap_err().exit, Exit::Volume);
        assert_eq!(
            number("00000000-0000-0000-0000-000000000000").unwrap_err().exit,
            Exit::Volume
        );
    }
}
