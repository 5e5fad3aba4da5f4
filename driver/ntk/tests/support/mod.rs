//! What the tests of mounting share: the driver under test, images, and the control device.

#![allow(dead_code, reason = "each test program uses its part")]

use lklfs_control::reply::{self, PlaceRecord, VolumeRecord};
use lklfs_control::{
    Format, Interface, LetterRule, LogSource, Mount, Policy, Request, Settings, Source, Text, utf16,
};
use ntos::io::names;
use ntos::nt::*;
use ntos::user::{Machine, OpenAs, Pending};
use std::path::{Path, PathBuf};
use std::process::Command;

pub mod faulty;
pub mod selftest;

/// The driver under test.
pub fn driver() -> PathBuf {
    let path =
        std::env::var_os("LKLFS_SYS").expect("LKLFS_SYS names lklfs.sys: run this by `cargo xtask test`");
    PathBuf::from(path)
}

/// Runs a program that must succeed.
pub fn run(program: &str, arguments: &[&str], folder: &Path) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

/// Runs an ignored test of this program in a process of its own, which ends with it, whatever it does to the process.
pub fn in_a_process(name: &str, environment: &[(&str, &str)]) {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", name, "--ignored", "--nocapture"])
        .envs(environment.iter().copied())
        .output()
        .expect("it starts");
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{}\n{text}",
        output.status
    );
}

/// A disk with an MBR of these partitions (type and content), each at a whole MiB.
pub fn table(parts: &[(u8, &[u8])]) -> Vec<u8> {
    const MIB: usize = 1 << 20;
    let mut disk = vec![0; MIB];
    // The disk's signature, by which the mount manager tells its partitions from those of others.
    let bytes = parts.iter().flat_map(|(_, bytes)| bytes.iter());
    let signature = bytes.fold(1u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(*byte))
    });
    disk[440..444].copy_from_slice(&signature.to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    for (slot, (system, bytes)) in parts.iter().enumerate() {
        let (start, sectors) = ((disk.len() / 512) as u32, (bytes.len() / 512) as u32);
        let entry = &mut disk[446 + slot * 16..][..16];
        entry[4] = *system;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..16].copy_from_slice(&sectors.to_le_bytes());
        disk.extend_from_slice(bytes);
    }
    disk
}

/// Whether a drive letter stands for anything.
pub fn exists(letter: char) -> bool {
    names::get(&names::wide(&format!("\\??\\{letter}:"))).is_some()
}

/// The bytes of a file at a drive letter.
pub fn read(machine: &Machine, letter: char, name: &str) -> Result<Vec<u8>, NTSTATUS> {
    let handle = machine.open(&format!("\\??\\{letter}:\\{name}"), OpenAs::read())?;
    handle.read(Some(0), 1 << 20).into_result()
}

/// A mounted volume, as the driver lists it.
pub struct Listed {
    pub record: VolumeRecord,
    pub label: String,
    pub fs_name: String,
    pub source: String,
    pub uuid: String,
}

impl Listed {
    /// Its letter.
    pub fn letter(&self) -> Option<char> {
        letter(self.record.letter.get())
    }
}

/// A place, as the driver lists it.
pub struct Place {
    pub record: PlaceRecord,
    pub kind: String,
    pub label: String,
    pub uuid: String,
    pub device: String,
}

impl Place {
    /// Its letter.
    pub fn letter(&self) -> Option<char> {
        letter(self.record.letter.get())
    }
}

fn letter(unit: u16) -> Option<char> {
    char::from_u32(unit.into()).filter(char::is_ascii_uppercase)
}

fn string(text: Text<'_>) -> String {
    text.to_string_lossy().expect("memory")
}

/// A handle on a control device.
pub struct Control(pub ntos::user::Handle);

/// How the driver is doing.
pub fn status(machine: &Machine) -> reply::Status {
    let bytes = Control::status(machine)
        .ask(Request::Status)
        .expect("everybody may ask");
    reply::read::<reply::Status>(&bytes).expect("a status").0
}

/// Texts of settings, which they borrow.
#[derive(Clone, Copy, Default)]
pub struct Said<'a> {
    pub no_recovery: bool,
    pub everyone: Option<bool>,
    pub hide_dot_files: Option<bool>,
    pub fs_name: &'a str,
    pub options: &'a str,
    pub owners: &'a str,
}

impl Said<'_> {
    fn with<T>(&self, act: impl FnOnce(Settings<'_>) -> T) -> T {
        let [fs_name, options, owners] =
            [self.fs_name, self.options, self.owners].map(|text| utf16(text).expect("memory"));
        let text = |bytes| Text::new(bytes).expect("UTF-16");
        act(Settings {
            no_recovery: self.no_recovery,
            everyone: self.everyone,
            hide_dot_files: self.hide_dot_files,
            fs_name: Some(text(&fs_name)).filter(|name| !name.is_empty()),
            options: text(&options),
            owners: text(&owners),
        })
    }
}

/// What a mount asks for.
#[derive(Clone, Copy, Default)]
pub struct Asked<'a> {
    pub partition: Option<u32>,
    pub format: Option<Format>,
    pub letter: Option<char>,
    pub no_letter: bool,
    pub said: Said<'a>,
}

impl Control {
    /// The administrators' device.
    pub fn open(machine: &Machine) -> Control {
        let how = OpenAs::read().access(FILE_GENERIC_READ | FILE_GENERIC_WRITE);
        let opened = machine.open(Interface::Control.device_name(), how);
        Control(opened.expect("an administrator may"))
    }

    /// The device for everybody.
    pub fn status(machine: &Machine) -> Control {
        let opened = machine.open(
            Interface::Status.device_name(),
            OpenAs::read().access(FILE_GENERIC_READ),
        );
        Control(opened.expect("everybody may"))
    }

    /// The administrators' device, for overlapped requests.
    pub fn overlapped(machine: &Machine) -> Control {
        let how = OpenAs::read().access(FILE_GENERIC_READ | FILE_GENERIC_WRITE);
        let opened = machine.open(Interface::Control.device_name(), how.asynchronous());
        Control(opened.expect("an administrator may"))
    }

    /// Sends a request, and does not wait for its end.
    pub fn start(&self, request: Request<'_>) -> Result<Pending, NTSTATUS> {
        let input = request.encode().expect("the request is good");
        self.0.start_ioctl(request.code().number(), &input, 64 << 10)
    }

    /// Sends a request; the bytes of the reply.
    pub fn ask(&self, request: Request<'_>) -> Result<Vec<u8>, NTSTATUS> {
        self.ask_for(request, 64 << 10)
    }

    /// The same with room for so many bytes.
    pub fn ask_for(&self, request: Request<'_>, room: usize) -> Result<Vec<u8>, NTSTATUS> {
        let input = request.encode().expect("the request is good");
        self.0.ioctl(request.code().number(), &input, room).into_result()
    }

    /// Mounts an image (a path of a drive) or a device.
    pub fn mount(
        &self,
        name: &str,
        format: Option<Format>,
        said: &Said<'_>,
    ) -> Result<(u64, Option<char>), NTSTATUS> {
        let said = *said;
        let asked = Asked {
            format,
            said,
            ..Asked::default()
        };
        let mounted = self.mount_as(name, &asked)?;
        Ok((mounted.volume.get(), letter(mounted.letter.get())))
    }

    /// The same with all that can be asked for.
    pub fn mount_as(&self, name: &str, asked: &Asked<'_>) -> Result<reply::Mounted, NTSTATUS> {
        let is_image = name.starts_with("\\??\\C:");
        let name = utf16(name).expect("memory");
        let name = Text::new(&name).expect("UTF-16");
        let bytes = asked.said.with(|settings| {
            self.ask(Request::Mount(Mount {
                source: match is_image {
                    true => Source::Image(name),
                    false => Source::Device(name),
                },
                partition: asked.partition,
                format: asked.format,
                letter: asked.letter.map(|letter| letter as u8),
                no_letter: asked.no_letter,
                settings,
            }))
        })?;
        Ok(reply::read::<reply::Mounted>(&bytes).expect("a reply").0)
    }

    /// Unmounts a volume, or all.
    pub fn unmount(&self, volume: Option<u64>, force: bool) -> Result<(), NTSTATUS> {
        self.ask(Request::Unmount { volume, force }).map(|_| ())
    }

    /// The mounted volumes.
    pub fn volumes(&self) -> Vec<Listed> {
        let bytes = self.ask(Request::List { after: 0 }).expect("lists");
        let (_, volumes) = reply::volumes(&bytes).expect("a list");
        volumes
            .map(|volume| volume.expect("a volume"))
            .map(|volume| Listed {
                record: volume.record,
                label: string(volume.label),
                fs_name: string(volume.fs_name),
                source: string(volume.source),
                uuid: string(volume.uuid),
            })
            .collect()
    }

    /// The places.
    pub fn places(&self) -> Vec<Place> {
        let bytes = self.ask(Request::Places { after: 0 }).expect("lists");
        let (_, places) = reply::places(&bytes).expect("a list");
        places
            .map(|place| place.expect("a place"))
            .map(|place| Place {
                record: place.record,
                kind: string(place.kind),
                label: string(place.label),
                uuid: string(place.uuid),
                device: string(place.device),
            })
            .collect()
    }

    /// What is kept, as UUID and a line of words.
    pub fn policies(&self) -> Vec<(String, String)> {
        let bytes = self.ask(Request::Policies { after: 0 }).expect("lists");
        let (_, kept) = reply::policies(&bytes).expect("a list");
        kept.map(|kept| kept.expect("a policy"))
            .map(|kept| {
                let policy = kept.policy;
                let words = format!(
                    "{} {:?} {:?} {} last {:?}",
                    policy.never,
                    policy.letter,
                    policy.settings.everyone,
                    string(policy.settings.options),
                    kept.last_letter.map(char::from)
                );
                (string(kept.key), words)
            })
            .collect()
    }

    /// Keeps a policy.
    pub fn keep(&self, uuid: &str, never: bool, letter: LetterRule, said: &Said<'_>) -> Result<(), NTSTATUS> {
        let key = utf16(uuid).expect("memory");
        let key = Text::new(&key).expect("UTF-16");
        said.with(|settings| {
            let policy = Some(Policy {
                never,
                letter,
                settings,
            });
            self.ask(Request::SetPolicy { key, policy }).map(|_| ())
        })
    }

    /// Forgets what is kept.
    pub fn forget(&self, uuid: &str) -> Result<(), NTSTATUS> {
        let key = utf16(uuid).expect("memory");
        let key = Text::new(&key).expect("UTF-16");
        self.ask(Request::SetPolicy { key, policy: None }).map(|_| ())
    }

    /// The bytes at a superblock's place, and where they are.
    pub fn superblock(&self, device: &str) -> Result<(u64, Vec<u8>), NTSTATUS> {
        let device = utf16(device).expect("memory");
        let device = Text::new(&device).expect("UTF-16");
        let bytes = self.ask(Request::Superblock { device })?;
        let (head, bytes) = reply::read::<reply::Superblock>(&bytes).expect("a reply");
        Ok((head.offset.get(), bytes.to_vec()))
    }

    /// The driver's own log.
    pub fn log(&self) -> String {
        let (mut text, mut position) = (Vec::new(), 0);
        loop {
            let source = LogSource::Driver;
            let bytes = self.ask(Request::Log { source, position }).expect("a log");
            let (head, part) = reply::read::<reply::Log>(&bytes).expect("a reply");
            if part.is_empty() {
                return String::from_utf8_lossy(&text).into_owned();
            }
            text.extend_from_slice(part);
            position = head.next.get();
        }
    }
}
