//! One call for each code of the interface.

use std::fmt;

use lklfs_control::{
    self as control, Interface, LogSource, MountFlags, Refusal, Request, Text, VERSION, reply,
};
use lklfs_nt::NtStatus;

use crate::answer::{LogPart, Mounted, Status, Version, Volume};
use crate::error::{CallError, OpenError};
use crate::{Transport, connect};

/// Room for a list, at first.
const LIST_ROOM: usize = 64 << 10;
/// Room that one volume may need: three texts of 64 KiB.
const LIST_ROOM_MOST: usize = 256 << 10;
/// Room for log text.
const LOG_ROOM: usize = 64 << 10;

/// An opened control device.
pub struct Driver {
    transport: Box<dyn Transport>,
    interface: Interface,
}

/// What to mount, by its NT name, in UTF-16 units: it begins with a backslash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A disk or a partition.
    Device(Vec<u16>),
    /// An image file.
    Image(Vec<u16>),
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What.
    pub source: Source,
    /// The partition of an image, 0 for the whole; `None` for the first that is recognised. `None` for devices.
    pub partition: Option<u32>,
    /// The letter, `A` to `Z`; `None` for any.
    pub letter: Option<char>,
    /// How.
    pub flags: MountFlags,
    /// Linux's name of the file system; `None` for what is recognised.
    pub fs_name: Option<String>,
    /// Options as for `mount -o`; may be empty.
    pub options: String,
}

impl Driver {
    /// Opens a control device of the driver, and asks for the versions.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(interface: Interface) -> Result<Driver, OpenError> {
        Driver::over(connect(interface)?, interface)
    }

    /// The same over a transport that is there already.
    ///
    /// # Errors
    /// [`OpenError::Versions`], [`OpenError::Denied`], [`OpenError::Other`], [`OpenError::Answer`].
    pub fn over(transport: Box<dyn Transport>, interface: Interface) -> Result<Driver, OpenError> {
        let driver = Driver { transport, interface };
        match driver.version() {
            Ok(version) if version.interface >> 16 == VERSION >> 16 => Ok(driver),
            Ok(version) => Err(OpenError::Versions(Some(version.interface))),
            // Before version 2 there was no such question.
            Err(CallError::Versions | CallError::Refused(NtStatus::INVALID_DEVICE_REQUEST)) => {
                Err(OpenError::Versions(None))
            }
            Err(CallError::Refused(NtStatus::ACCESS_DENIED)) => Err(OpenError::Denied),
            Err(CallError::Refused(status)) => Err(OpenError::Other(status)),
            Err(CallError::Malformed(_)) => Err(OpenError::Answer("the driver's answer makes no sense")),
        }
    }

    /// Which device this is.
    pub fn interface(&self) -> Interface {
        self.interface
    }

    /// Sends a request and gives the bytes of the reply.
    fn ask(&self, request: &Request<'_>, room: usize) -> Result<Vec<u8>, CallError> {
        let code = request.code();
        let room = room.max(reply::shortest(code));
        let reply = self.transport.control(code.number(), &request.encode()?, room)?;
        Ok(reply)
    }

    /// Which versions are there.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn version(&self) -> Result<Version, CallError> {
        let reply = self.ask(&Request::Version, 0)?;
        Ok(reply::read::<reply::Version>(&reply)?.0.into())
    }

    /// How the driver is doing.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn status(&self) -> Result<Status, CallError> {
        let reply = self.ask(&Request::Status, 0)?;
        Ok(reply::read::<reply::Status>(&reply)?.0.into())
    }

    /// All volumes, by number.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn list(&self) -> Result<Vec<Volume>, CallError> {
        let mut all: Vec<Volume> = Vec::new();
        let mut room = LIST_ROOM;
        loop {
            let after = all.last().map_or(0, |volume| volume.number);
            let reply = match self.ask(&Request::List { after }, room) {
                Err(CallError::Refused(NtStatus::BUFFER_TOO_SMALL)) if room < LIST_ROOM_MOST => {
                    room = LIST_ROOM_MOST;
                    continue;
                }
                other => other?,
            };
            let (head, volumes) = reply::volumes(&reply)?;
            let before = all.len();
            for volume in volumes {
                let volume = Volume::try_from(volume?)?;
                if volume.number <= all.last().map_or(after, |last| last.number) {
                    return Err(Refusal::Invalid("the driver's list is not in order").into());
                }
                all.push(volume);
            }
            if head.more.get() == 0 {
                return Ok(all);
            }
            if all.len() == before {
                return Err(Refusal::Invalid("the driver's list does not end").into());
            }
        }
    }

    /// Mounts something.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn mount(&self, mount: &Mount) -> Result<Mounted, CallError> {
        let bytes = |units: &[u16]| -> Vec<u8> { units.iter().flat_map(|unit| unit.to_le_bytes()).collect() };
        let (is_image, name) = match &mount.source {
            Source::Device(name) => (false, bytes(name)),
            Source::Image(name) => (true, bytes(name)),
        };
        let name = text(&name, "a name has a NUL in it")?;
        let fs_name = match &mount.fs_name {
            Some(name) => Some(control::utf16(name)?),
            None => None,
        };
        let options = control::utf16(&mount.options)?;
        let request = Request::Mount(control::Mount {
            source: match is_image {
                true => control::Source::Image(name),
                false => control::Source::Device(name),
            },
            partition: mount.partition,
            letter: match mount.letter {
                None => None,
                Some(letter) => Some(
                    u8::try_from(letter)
                        .ok()
                        .filter(u8::is_ascii_uppercase)
                        .ok_or(Refusal::Invalid("a drive letter is one of A to Z"))?,
                ),
            },
            flags: mount.flags,
            fs_name: match &fs_name {
                Some(name) => Some(text(name, "a file system has no such name")?),
                None => None,
            },
            options: text(&options, "there is a NUL in the options")?,
        });
        let reply = self.ask(&request, 0)?;
        Ok(reply::read::<reply::Mounted>(&reply)?.0.into())
    }

    /// Lets go of a volume, `None` for all; with `force` even while files on it are open.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn unmount(&self, volume: Option<u64>, force: bool) -> Result<(), CallError> {
        let reply = self.ask(&Request::Unmount { volume, force }, 0)?;
        reply::read::<reply::Done>(&reply)?;
        Ok(())
    }

    /// The next part of a log, from `position` on: 0, or what the part before said.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn log(&self, source: LogSource, position: u64) -> Result<LogPart, CallError> {
        let reply = self.ask(&Request::Log { source, position }, LOG_ROOM)?;
        let (head, text) = reply::read::<reply::Log>(&reply)?;
        Ok(LogPart {
            text: text.to_vec(),
            next: head.next.get(),
            lost: head.lost.get(),
        })
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("interface", &self.interface)
            .finish_non_exhaustive()
    }
}

fn text<'a>(bytes: &'a [u8], wrong: &'static str) -> Result<Text<'a>, CallError> {
    Text::new(bytes).ok_or_else(|| Refusal::Invalid(wrong).into())
}
