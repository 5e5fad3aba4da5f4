//! Requests: from bytes to values that are checked, and back.

use alloc::vec::Vec;

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::code::{Code, Interface};
use crate::policy::{Policy, PolicyRecord};
use crate::refusal::Refusal;
use crate::settings::{Settings, SettingsRecord, take};
use crate::text::{Text, append};
use crate::{Header, VERSION, reply};

/// Units of the longest path, as in NT.
const LONGEST_PATH: usize = 32_767;
/// In [`MountRecord::partition`]: none is chosen.
const FIRST_PARTITION: u32 = u32::MAX;
/// In [`MountRecord::flags`].
const NO_LETTER: u32 = 1;

/// A request in which everything has been checked. Texts are borrowed from its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request<'a> {
    /// Which versions are there.
    Version,
    /// How the driver is doing.
    Status,
    /// The volumes whose numbers are larger than this one: 0 for the first ones.
    List {
        /// The last number of the list before.
        after: u64,
    },
    /// Mount something.
    Mount(Mount<'a>),
    /// Let go of a volume.
    Unmount {
        /// Its number; `None` for all.
        volume: Option<u64>,
        /// Even while files on it are open.
        force: bool,
    },
    /// Let go of everything, so that the I/O manager can unload the driver.
    Stop {
        /// Even while files are open.
        force: bool,
    },
    /// Take everything up again.
    Resume,
    /// Log text, as much as fits into the reply.
    Log {
        /// Whose.
        source: LogSource,
        /// Where to go on: what the reply before said, or 0.
        position: u64,
    },
    /// Keep a policy for the volume with this UUID, or forget what is kept (`None`). OBJECT_NAME_COLLISION says that it is
    /// kept, but that the volume could not be given its letter now, since another one has it.
    SetPolicy {
        /// The UUID, date or serial number, as `blkid` prints it.
        key: Text<'a>,
        /// The policy.
        policy: Option<Policy<'a>>,
    },
    /// The disks and partitions whose numbers are larger than this one.
    Places {
        /// The last number of the list before; 0 for the first ones.
        after: u64,
    },
    /// The policies behind the first so many.
    Policies {
        /// How many of them are known already.
        after: u64,
    },
    /// What is at the places of a superblock on a device.
    Superblock {
        /// The device's NT name.
        device: Text<'a>,
    },
}

/// What to mount, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mount<'a> {
    /// What.
    pub source: Source<'a>,
    /// The partition of an image: its number, 0 for the whole; `None` for the part that is meant then
    /// (`disk_partitions::choose`).
    pub partition: Option<u32>,
    /// The format of an image; `None` for what its content says.
    pub format: Option<Format>,
    /// Its letter, `A` to `Z`; `None` for the one that it has or the next that is free.
    pub letter: Option<u8>,
    /// Give no letter.
    pub no_letter: bool,
    /// How.
    pub settings: Settings<'a>,
}

/// The format of an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Format {
    /// The disk itself, whatever it begins with.
    Raw,
    /// VHD.
    Vhd,
    /// VHDX.
    Vhdx,
    /// qcow2.
    Qcow2,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 4] = [Format::Raw, Format::Vhd, Format::Vhdx, Format::Qcow2];

    /// Its number in a record; 0 is for what the content says.
    const fn number(self) -> u32 {
        match self {
            Format::Raw => 1,
            Format::Vhd => 2,
            Format::Vhdx => 3,
            Format::Qcow2 => 4,
        }
    }
}

/// What to mount. Both are NT names and begin with a backslash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source<'a> {
    /// A disk or a partition.
    Device(Text<'a>),
    /// An image file. The driver opens it with the rights of the caller.
    Image(Text<'a>),
}

/// Whose log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum LogSource {
    /// Linux's console.
    Linux,
    /// The driver's own.
    Driver,
}

/// A request without a fixed part of its own: version, status.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Plain {
    header: Header,
}
const _: () = assert!(size_of::<Plain>() == 16);

#[derive(Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ListRecord {
    header: Header,
    after: U64,
}
const _: () = assert!(size_of::<ListRecord>() == 24);

#[derive(Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct MountRecord {
    header: Header,
    /// 1: no letter.
    flags: U32,
    /// 1: device, 2: image.
    source: U32,
    /// 0: any.
    letter: U16,
    reserved: U16,
    partition: U32,
    /// 0: what the content says.
    format: U32,
    // Bytes of the source; the texts of the settings follow it.
    source_length: U32,
    settings: SettingsRecord,
}
const _: () = assert!(size_of::<MountRecord>() == 56);

#[derive(Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct SuperblockRecord {
    header: Header,
    device_length: U32,
    reserved: U32,
}
const _: () = assert!(size_of::<SuperblockRecord>() == 24);

#[derive(Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct UnmountRecord {
    header: Header,
    /// 0: all.
    volume: U64,
    /// 1: force.
    flags: U32,
    reserved: U32,
}
const _: () = assert!(size_of::<UnmountRecord>() == 32);

#[derive(Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct StopRecord {
    header: Header,
    /// 1: force.
    flags: U32,
    reserved: U32,
}
const _: () = assert!(size_of::<StopRecord>() == 24);

#[derive(Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct LogRecord {
    header: Header,
    position: U64,
    /// 1: Linux, 2: driver.
    source: U32,
    reserved: U32,
}
const _: () = assert!(size_of::<LogRecord>() == 32);

/// Reads the request that came to `interface` with control code `number`. `output` is the length of the output buffer.
///
/// # Errors
/// The code first, then who may ask, then lengths, the version, and last what the fields say.
pub fn parse(interface: Interface, number: u32, input: &[u8], output: usize) -> Result<Request<'_>, Refusal> {
    let code = Code::from_number(number).ok_or(Refusal::UnknownCode)?;
    if !code.allowed(interface) {
        return Err(Refusal::Denied);
    }
    if output < reply::shortest(code) {
        return Err(Refusal::TooSmall);
    }
    let request = match code {
        Code::Version | Code::Status | Code::Resume => {
            let (_, texts) = fixed::<Plain>(input)?;
            no_texts(texts)?;
            match code {
                Code::Version => Request::Version,
                Code::Resume => Request::Resume,
                _ => Request::Status,
            }
        }
        Code::List | Code::Places | Code::Policies => {
            let (record, texts) = fixed::<ListRecord>(input)?;
            no_texts(texts)?;
            let after = record.after.get();
            match code {
                Code::List => Request::List { after },
                Code::Places => Request::Places { after },
                _ => Request::Policies { after },
            }
        }
        Code::SetPolicy => {
            let (record, texts) = fixed::<PolicyRecord>(input)?;
            let (key, policy) = record.read(texts)?;
            Request::SetPolicy { key, policy }
        }
        Code::Superblock => {
            let (record, mut texts) = fixed::<SuperblockRecord>(input)?;
            zero(record.reserved.get())?;
            let device = take(&mut texts, record.device_length.get(), LONGEST_PATH)?;
            no_texts(texts)?;
            Request::Superblock {
                device: full_name(device)?,
            }
        }
        Code::Mount => Request::Mount(mount(input)?),
        Code::Unmount => {
            let (record, texts) = fixed::<UnmountRecord>(input)?;
            no_texts(texts)?;
            zero(record.reserved.get())?;
            Request::Unmount {
                volume: Some(record.volume.get()).filter(|volume| *volume != 0),
                force: match record.flags.get() {
                    0 => false,
                    1 => true,
                    _ => return Err(Refusal::Invalid("a flag of an unmount request is not known")),
                },
            }
        }
        Code::Stop => {
            let (record, texts) = fixed::<StopRecord>(input)?;
            no_texts(texts)?;
            zero(record.reserved.get())?;
            Request::Stop {
                force: match record.flags.get() {
                    0 => false,
                    1 => true,
                    _ => return Err(Refusal::Invalid("a flag of a stop request is not known")),
                },
            }
        }
        Code::Log => {
            let (record, texts) = fixed::<LogRecord>(input)?;
            no_texts(texts)?;
            zero(record.reserved.get())?;
            Request::Log {
                source: match record.source.get() {
                    1 => LogSource::Linux,
                    2 => LogSource::Driver,
                    _ => return Err(Refusal::Invalid("there is no such log")),
                },
                position: record.position.get(),
            }
        }
    };
    Ok(request)
}

/// The fixed part, and the texts behind it.
fn fixed<R: FromBytes + KnownLayout + Immutable + Unaligned>(input: &[u8]) -> Result<(&R, &[u8]), Refusal> {
    let (header, _) = Header::ref_from_prefix(input).map_err(|_| Refusal::TooSmall)?;
    if header.version.get() >> 16 != VERSION >> 16 {
        return Err(Refusal::Revision);
    }
    zero(header.reserved.get())?;
    let length = |number: U32| usize::try_from(number.get()).map_err(|_| Refusal::TooSmall);
    let (size, fixed) = (length(header.size)?, length(header.fixed)?);
    if fixed < size_of::<R>() || input.len() < size {
        return Err(Refusal::TooSmall);
    }
    if input.len() > size || fixed > size {
        return Err(Refusal::Invalid("a length is not that of the request"));
    }
    let (fixed, texts) = input.split_at_checked(fixed).ok_or(Refusal::TooSmall)?;
    let (record, newer) = R::ref_from_prefix(fixed).map_err(|_| Refusal::TooSmall)?;
    if newer.iter().any(|byte| *byte != 0) {
        return Err(Refusal::Invalid(
            "the request asks for something that this driver does not know",
        ));
    }
    Ok((record, texts))
}

fn no_texts(texts: &[u8]) -> Result<(), Refusal> {
    match texts {
        [] => Ok(()),
        _ => Err(Refusal::Invalid("something follows the request")),
    }
}

fn zero(reserved: u32) -> Result<(), Refusal> {
    match reserved {
        0 => Ok(()),
        _ => Err(Refusal::Invalid("a reserved field is not zero")),
    }
}

/// A name that begins with a backslash.
fn full_name(name: Text<'_>) -> Result<Text<'_>, Refusal> {
    match name.units().next() == Some(u16::from(b'\\')) {
        true => Ok(name),
        false => Err(Refusal::Invalid("what to mount is not a full NT name")),
    }
}

fn mount(input: &[u8]) -> Result<Mount<'_>, Refusal> {
    let (record, mut rest) = fixed::<MountRecord>(input)?;
    zero(record.reserved.get().into())?;
    let source = full_name(take(&mut rest, record.source_length.get(), LONGEST_PATH)?)?;
    let settings = record.settings.settings(&mut rest)?;
    no_texts(rest)?;
    let source = match record.source.get() {
        1 => Source::Device(source),
        2 => Source::Image(source),
        _ => return Err(Refusal::Invalid("what to mount is neither a device nor an image")),
    };
    let letter = match record.letter.get() {
        0 => None,
        letter => Some(
            u8::try_from(letter)
                .ok()
                .filter(u8::is_ascii_uppercase)
                .ok_or(Refusal::Invalid("a drive letter is one of A to Z"))?,
        ),
    };
    let no_letter = match record.flags.get() {
        0 => false,
        NO_LETTER => true,
        _ => return Err(Refusal::Invalid("a mount flag is not known")),
    };
    if no_letter && letter.is_some() {
        return Err(Refusal::Invalid("a letter is both given and not wanted"));
    }
    let partition = match (source, record.partition.get()) {
        (_, FIRST_PARTITION) => None,
        (Source::Image(_), number) => Some(number),
        (Source::Device(_), _) => {
            return Err(Refusal::Invalid("a device has no partitions to choose from"));
        }
    };
    let format = match (source, record.format.get()) {
        (_, 0) => None,
        (Source::Image(_), number) => Some(
            Format::ALL
                .into_iter()
                .find(|format| format.number() == number)
                .ok_or(Refusal::Invalid("an image has no such format"))?,
        ),
        (Source::Device(_), _) => return Err(Refusal::Invalid("a device has no format to choose")),
    };
    Ok(Mount {
        source,
        partition,
        format,
        letter,
        no_letter,
        settings,
    })
}

impl Request<'_> {
    /// Its code.
    pub const fn code(&self) -> Code {
        match self {
            Request::Version => Code::Version,
            Request::Status => Code::Status,
            Request::List { .. } => Code::List,
            Request::Mount(_) => Code::Mount,
            Request::Unmount { .. } => Code::Unmount,
            Request::Stop { .. } => Code::Stop,
            Request::Resume => Code::Resume,
            Request::Log { .. } => Code::Log,
            Request::SetPolicy { .. } => Code::SetPolicy,
            Request::Places { .. } => Code::Places,
            Request::Policies { .. } => Code::Policies,
            Request::Superblock { .. } => Code::Superblock,
        }
    }

    /// Its bytes. What [`parse`] would refuse can be encoded, too: the driver is who decides.
    ///
    /// # Errors
    /// [`Refusal::NoMemory`]; [`Refusal::Invalid`] for a text of more than 4 GiB.
    pub fn encode(&self) -> Result<Vec<u8>, Refusal> {
        match *self {
            Request::Version | Request::Status | Request::Resume => finish(&mut Plain::default(), Vec::new()),
            Request::SetPolicy { key, policy } => {
                let mut texts = Vec::new();
                let mut record = PolicyRecord::write(key, policy.as_ref(), &mut texts)?;
                finish(&mut record, texts)
            }
            Request::Superblock { device } => {
                let mut texts = Vec::new();
                let mut record = SuperblockRecord {
                    device_length: append(&mut texts, &device.to_units()?)?.into(),
                    ..SuperblockRecord::default()
                };
                finish(&mut record, texts)
            }
            Request::List { after } | Request::Places { after } | Request::Policies { after } => finish(
                &mut ListRecord {
                    after: after.into(),
                    ..ListRecord::default()
                },
                Vec::new(),
            ),
            Request::Unmount { volume, force } => finish(
                &mut UnmountRecord {
                    volume: volume.unwrap_or(0).into(),
                    flags: u32::from(force).into(),
                    ..UnmountRecord::default()
                },
                Vec::new(),
            ),
            Request::Stop { force } => finish(
                &mut StopRecord {
                    flags: u32::from(force).into(),
                    ..StopRecord::default()
                },
                Vec::new(),
            ),
            Request::Log { source, position } => finish(
                &mut LogRecord {
                    position: position.into(),
                    source: match source {
                        LogSource::Linux => 1.into(),
                        LogSource::Driver => 2.into(),
                    },
                    ..LogRecord::default()
                },
                Vec::new(),
            ),
            Request::Mount(mount) => {
                let (kind, source) = match mount.source {
                    Source::Device(name) => (1, name),
                    Source::Image(name) => (2, name),
                };
                let mut texts = Vec::new();
                let source_length = append(&mut texts, &source.to_units()?)?;
                let mut record = MountRecord {
                    flags: if mount.no_letter { NO_LETTER } else { 0 }.into(),
                    source: kind.into(),
                    letter: u16::from(mount.letter.unwrap_or(0)).into(),
                    partition: mount.partition.unwrap_or(FIRST_PARTITION).into(),
                    format: mount.format.map_or(0, Format::number).into(),
                    source_length: source_length.into(),
                    settings: mount.settings.record(&mut texts)?,
                    ..MountRecord::default()
                };
                finish(&mut record, texts)
            }
        }
    }
}

/// Fills in the header and puts the parts together.
fn finish<R: IntoBytes + FromBytes + KnownLayout + Immutable + Unaligned>(
    record: &mut R,
    texts: Vec<u8>,
) -> Result<Vec<u8>, Refusal> {
    let fixed = size_of::<R>();
    let size = fixed.saturating_add(texts.len());
    let number = |length: usize| u32::try_from(length).map_err(|_| Refusal::Invalid("a text is too long"));
    let header = Header {
        size: number(size)?.into(),
        fixed: number(fixed)?.into(),
        version: VERSION.into(),
        reserved: 0.into(),
    };
    // Every record begins with its header.
    let (place, _) = Header::mut_from_prefix(record.as_mut_bytes()).map_err(|_| Refusal::TooSmall)?;
    *place = header;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| Refusal::NoMemory)?;
    bytes.extend_from_slice(record.as_bytes());
    bytes.extend_from_slice(&texts);
    Ok(bytes)
}
