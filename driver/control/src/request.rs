//! Requests: from bytes to values that are checked, and back.

use alloc::vec::Vec;

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::code::{Code, Interface};
use crate::refusal::Refusal;
use crate::text::{Text, append};
use crate::{Header, VERSION, reply};

/// Units of the longest path, as in NT.
const LONGEST_PATH: usize = 32_767;
/// Units of the longest name of a file system.
const LONGEST_FS_NAME: usize = 31;
/// Units of the longest text of options: a page of Linux, without the end.
const LONGEST_OPTIONS: usize = 4095;
/// In [`MountRecord::partition`]: none is chosen.
const FIRST_PARTITION: u32 = u32::MAX;

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
    /// Log text, as much as fits into the reply.
    Log {
        /// Whose.
        source: LogSource,
        /// Where to go on: what the reply before said, or 0.
        position: u64,
    },
    /// Read the policy again.
    Policy,
}

/// What to mount, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mount<'a> {
    /// What.
    pub source: Source<'a>,
    /// The partition of an image: its number, 0 for the whole; `None` for the whole if a file system begins there, else
    /// the first partition with one.
    pub partition: Option<u32>,
    /// Its letter, `A` to `Z`; `None` for the one that it has or the next that is free.
    pub letter: Option<u8>,
    /// How.
    pub flags: MountFlags,
    /// Linux's name of the file system; `None` for what is recognised. ASCII.
    pub fs_name: Option<Text<'a>>,
    /// Options as for `mount -o`; may be empty. Without control characters.
    pub options: Text<'a>,
}

/// What to mount. Both are NT names and begin with a backslash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source<'a> {
    /// A disk or a partition.
    Device(Text<'a>),
    /// An image file. The driver opens it with the rights of the caller.
    Image(Text<'a>),
}

/// How to mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MountFlags {
    /// Do not replay a journal.
    pub no_recovery: bool,
    /// Everyone may read everything, whatever the owners and modes say.
    pub everyone: bool,
    /// Give no letter.
    pub no_letter: bool,
}

impl MountFlags {
    const NO_RECOVERY: u32 = 1;
    const EVERYONE: u32 = 2;
    const NO_LETTER: u32 = 4;

    fn from_bits(bits: u32) -> Option<MountFlags> {
        let known = Self::NO_RECOVERY | Self::EVERYONE | Self::NO_LETTER;
        (bits & !known == 0).then_some(MountFlags {
            no_recovery: bits & Self::NO_RECOVERY != 0,
            everyone: bits & Self::EVERYONE != 0,
            no_letter: bits & Self::NO_LETTER != 0,
        })
    }

    fn bits(self) -> u32 {
        let bit = |set: bool, bit: u32| if set { bit } else { 0 };
        bit(self.no_recovery, Self::NO_RECOVERY)
            | bit(self.everyone, Self::EVERYONE)
            | bit(self.no_letter, Self::NO_LETTER)
    }
}

/// Whose log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum LogSource {
    /// Linux's console.
    Linux,
    /// The driver's own.
    Driver,
}

/// A request without a fixed part of its own: version, status, policy.
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
    flags: U32,
    /// 1: device, 2: image.
    source: U32,
    /// 0: any.
    letter: U16,
    reserved: U16,
    partition: U32,
    // Bytes of the texts, in their order.
    source_length: U32,
    fs_name_length: U32,
    options_length: U32,
}
const _: () = assert!(size_of::<MountRecord>() == 44);

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
        Code::Version | Code::Status | Code::Policy => {
            let (_, texts) = fixed::<Plain>(input)?;
            no_texts(texts)?;
            match code {
                Code::Version => Request::Version,
                Code::Status => Request::Status,
                _ => Request::Policy,
            }
        }
        Code::List => {
            let (record, texts) = fixed::<ListRecord>(input)?;
            no_texts(texts)?;
            Request::List {
                after: record.after.get(),
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

fn mount(input: &[u8]) -> Result<Mount<'_>, Refusal> {
    let (record, mut rest) = fixed::<MountRecord>(input)?;
    zero(record.reserved.get().into())?;
    let mut text = |length: U32, longest: usize| {
        let length = usize::try_from(length.get()).map_err(|_| Refusal::TooSmall)?;
        let (bytes, behind) = rest
            .split_at_checked(length)
            .ok_or(Refusal::Invalid("a text goes beyond the request"))?;
        rest = behind;
        Text::new(bytes)
            .filter(|text| text.len() <= longest)
            .ok_or(Refusal::Invalid(
                "a text is too long, or has half a character or a NUL in it",
            ))
    };
    let source = text(record.source_length, LONGEST_PATH)?;
    let fs_name = text(record.fs_name_length, LONGEST_FS_NAME)?;
    let options = text(record.options_length, LONGEST_OPTIONS)?;
    no_texts(rest)?;
    if source.units().next() != Some(u16::from(b'\\')) {
        return Err(Refusal::Invalid("what to mount is not a full NT name"));
    }
    let source = match record.source.get() {
        1 => Source::Device(source),
        2 => Source::Image(source),
        _ => return Err(Refusal::Invalid("what to mount is neither a device nor an image")),
    };
    let plain = |unit: u16| {
        u8::try_from(unit).is_ok_and(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    if !fs_name.units().all(plain) {
        return Err(Refusal::Invalid("a file system has no such name"));
    }
    if options.units().any(|unit| unit < 0x20 || unit == 0x7f) {
        return Err(Refusal::Invalid("there is a control character in the options"));
    }
    let letter = match record.letter.get() {
        0 => None,
        letter => Some(
            u8::try_from(letter)
                .ok()
                .filter(u8::is_ascii_uppercase)
                .ok_or(Refusal::Invalid("a drive letter is one of A to Z"))?,
        ),
    };
    let flags =
        MountFlags::from_bits(record.flags.get()).ok_or(Refusal::Invalid("a mount flag is not known"))?;
    if flags.no_letter && letter.is_some() {
        return Err(Refusal::Invalid("a letter is both given and not wanted"));
    }
    let partition = match (source, record.partition.get()) {
        (_, FIRST_PARTITION) => None,
        (Source::Image(_), number) => Some(number),
        (Source::Device(_), _) => {
            return Err(Refusal::Invalid("a device has no partitions to choose from"));
        }
    };
    Ok(Mount {
        partition,
        source,
        letter,
        flags,
        fs_name: Some(fs_name).filter(|name| !name.is_empty()),
        options,
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
            Request::Log { .. } => Code::Log,
            Request::Policy => Code::Policy,
        }
    }

    /// Its bytes. What [`parse`] would refuse can be encoded, too: the driver is who decides.
    ///
    /// # Errors
    /// [`Refusal::NoMemory`]; [`Refusal::Invalid`] for a text of more than 4 GiB.
    pub fn encode(&self) -> Result<Vec<u8>, Refusal> {
        match *self {
            Request::Version | Request::Status | Request::Policy => finish(&mut Plain::default(), Vec::new()),
            Request::List { after } => finish(
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
            Request::Mount(Mount {
                source,
                partition,
                letter,
                flags,
                fs_name,
                options,
            }) => {
                let (kind, source) = match source {
                    Source::Device(name) => (1, name),
                    Source::Image(name) => (2, name),
                };
                let mut texts = Vec::new();
                let mut add = |text: Text<'_>| append(&mut texts, &text.to_units()?);
                let (source_length, fs_name_length) = (add(source)?, add(fs_name.unwrap_or_default())?);
                let options_length = add(options)?;
                let mut record = MountRecord {
                    flags: flags.bits().into(),
                    source: kind.into(),
                    letter: u16::from(letter.unwrap_or(0)).into(),
                    partition: partition.unwrap_or(FIRST_PARTITION).into(),
                    source_length: source_length.into(),
                    fs_name_length: fs_name_length.into(),
                    options_length: options_length.into(),
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
