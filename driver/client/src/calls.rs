//! One call for each code of the interface.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use lklfs_control::{self as control, Format, Interface, LogSource, Refusal, Request, Text, VERSION, reply};
use lklfs_nt::NtStatus;

use crate::answer::{KeptPolicy, LogPart, Mounted, Place, Status, Version, Volume};
use crate::error::{CallError, OpenError};
use crate::settings::{Policy, Settings, letter, text};
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
    /// The partition of an image, 0 for the whole; `None` for the one that `disk_partitions` prefers. `None` for devices.
    pub partition: Option<u32>,
    /// The format of an image; `None` for what its content says. `None` for devices.
    pub format: Option<Format>,
    /// The letter, `A` to `Z`; `None` for any.
    pub letter: Option<char>,
    /// Give no letter.
    pub no_letter: bool,
    /// How.
    pub settings: Settings,
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
        self.send(request.code(), &request.encode()?, room)
    }

    fn send(&self, code: control::Code, input: &[u8], room: usize) -> Result<Vec<u8>, CallError> {
        let room = room.max(reply::shortest(code));
        Ok(self.transport.control(code.number(), input, room)?)
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
        let entries = |reply: &[u8]| -> Result<_, Refusal> {
            let (head, volumes) = reply::volumes(reply)?;
            let volumes = volumes
                .map(|volume| Volume::try_from(volume?))
                .collect::<Result<Vec<_>, _>>()?;
            Ok((head, volumes))
        };
        self.pages(
            |after| Request::List { after },
            entries,
            |volume, _| volume.number,
        )
    }

    /// All disks and partitions, in the order in which they came.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn places(&self) -> Result<Vec<Place>, CallError> {
        let entries = |reply: &[u8]| -> Result<_, Refusal> {
            let (head, places) = reply::places(reply)?;
            let places = places
                .map(|place| Place::try_from(place?))
                .collect::<Result<Vec<_>, _>>()?;
            Ok((head, places))
        };
        self.pages(
            |after| Request::Places { after },
            entries,
            |place, _| place.number,
        )
    }

    /// What is kept for volumes, by UUID.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn policies(&self) -> Result<Vec<KeptPolicy>, CallError> {
        let entries = |reply: &[u8]| -> Result<_, Refusal> {
            let (head, kept) = reply::policies(reply)?;
            let kept = kept
                .map(|kept| KeptPolicy::try_from(kept?))
                .collect::<Result<Vec<_>, _>>()?;
            Ok((head, kept))
        };
        // Policies have no numbers: how many there were before is where the next page begins. One that comes again is out of
        // order: without that a driver that gives the same page for ever would be asked for ever.
        let known = RefCell::new(HashSet::new());
        let number = |kept: &KeptPolicy, place| match known.borrow_mut().insert(kept.uuid.clone()) {
            true => place,
            false => 0,
        };
        self.pages(|after| Request::Policies { after }, entries, number)
    }

    /// A list that comes in pages: each begins behind the number of the last entry of the one before, and numbers only
    /// grow.
    fn pages<T>(
        &self,
        request: impl Fn(u64) -> Request<'static>,
        entries: impl Fn(&[u8]) -> Result<(reply::List, Vec<T>), Refusal>,
        number: impl Fn(&T, u64) -> u64,
    ) -> Result<Vec<T>, CallError> {
        let mut all: Vec<T> = Vec::new();
        let mut room = LIST_ROOM;
        let mut last = 0;
        loop {
            let reply = match self.ask(&request(last), room) {
                Err(CallError::Refused(NtStatus::BUFFER_TOO_SMALL)) if room < LIST_ROOM_MOST => {
                    room = LIST_ROOM_MOST;
                    continue;
                }
                other => other?,
            };
            let (head, page) = entries(&reply)?;
            let before = all.len();
            for entry in page {
                let next = number(&entry, all.len() as u64 + 1);
                if next <= last {
                    return Err(Refusal::Invalid("the driver's list is not in order").into());
                }
                last = next;
                all.push(entry);
            }
            if head.more.get() == 0 {
                return Ok(all);
            }
            if all.len() == before {
                return Err(Refusal::Invalid("the driver's list does not end").into());
            }
        }
    }

    /// Keeps a policy for the volume with this UUID, or forgets what is kept.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn set_policy(&self, uuid: &str, policy: Option<&Policy>) -> Result<(), CallError> {
        let bytes = control::utf16(uuid)?;
        let key = text(&bytes, "there is a NUL in the UUID")?;
        let input = match policy {
            None => Request::SetPolicy { key, policy: None }.encode()?,
            Some(policy) => {
                let letter = policy.letter.rule()?;
                policy.settings.with(|settings| {
                    let policy = control::Policy {
                        never: policy.never,
                        letter,
                        settings,
                    };
                    let policy = Some(policy);
                    Request::SetPolicy { key, policy }.encode()
                })?
            }
        };
        let reply = self.send(control::Code::SetPolicy, &input, 0)?;
        reply::read::<reply::Done>(&reply)?;
        Ok(())
    }

    /// What is at the place of the superblock of the file system on a device: its offset, and the bytes.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn superblock(&self, device: &[u16]) -> Result<(u64, Vec<u8>), CallError> {
        let bytes: Vec<u8> = device.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let device = text(&bytes, "a name has a NUL in it")?;
        let reply = self.ask(&Request::Superblock { device }, LOG_ROOM)?;
        let (head, bytes) = reply::read::<reply::Superblock>(&reply)?;
        Ok((head.offset.get(), bytes.to_vec()))
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
        let name: Text<'_> = text(&name, "a name has a NUL in it")?;
        let letter = mount.letter.map(letter).transpose()?;
        let input = mount.settings.with(|settings| {
            let request = Request::Mount(control::Mount {
                source: match is_image {
                    true => control::Source::Image(name),
                    false => control::Source::Device(name),
                },
                partition: mount.partition,
                format: mount.format,
                letter,
                no_letter: mount.no_letter,
                settings,
            });
            request.encode()
        })?;
        let reply = self.send(control::Code::Mount, &input, 0)?;
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

    /// Has the driver let go of everything, so that its service can be stopped.
    ///
    /// # Errors
    /// See [`CallError`]: ACCESS_DENIED when files are open, SHARING_VIOLATION when another program talks to the driver,
    /// DEVICE_BUSY when something that hangs holds it. It serves on then.
    pub fn stop(&self, force: bool) -> Result<(), CallError> {
        let reply = self.ask(&Request::Stop { force }, 0)?;
        reply::read::<reply::Done>(&reply)?;
        Ok(())
    }

    /// Has a driver that has let go of everything serve again.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn resume(&self) -> Result<(), CallError> {
        let reply = self.ask(&Request::Resume, 0)?;
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
