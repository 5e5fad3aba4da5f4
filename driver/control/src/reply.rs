//! Replies, for the driver to write and for `userctl` to read.
//!
//! A reply is a fixed part that begins with a [`Header`], and behind it whatever it has of lists and texts, to
//! [`Header::size`]. The driver completes the IRP with that number of bytes; all of them are written, so nothing of the
//! kernel's memory leaks.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::code::Code;
use crate::refusal::Refusal;
use crate::text::Text;
use crate::{Header, VERSION};

/// A fixed part of a reply.
pub trait Record: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned + Copy {}

macro_rules! records {
    ($( $(#[$about:meta])* $name:ident[$bytes:literal] { $( $(#[$field_about:meta])* $field:ident: $kind:ty, )* } )*) => { $(
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
        #[repr(C)]
        pub struct $name {
            /// Filled in by [`write`].
            pub header: Header,
            $( $(#[$field_about])* pub $field: $kind, )*
        }
        const _: () = assert!(size_of::<$name>() == $bytes);
        impl Record for $name {}
        impl Default for $name {
            /// All zeros.
            fn default() -> Self {
                FromZeros::new_zeroed()
            }
        }
    )* };
}

records! {
    /// That it was done: the reply to an unmount and to a reading of the policy.
    Done[16] {}

    /// Which versions are there.
    Version[96] {
        /// Of the interface: [`VERSION`].
        interface: U32,
        /// 0.
        reserved: U32,
        /// Of the driver: major << 32 | minor << 16 | patch.
        driver: U64,
        /// Linux's release: UTF-8, padded with zeros.
        linux_release: [u8; 64],
    }

    /// How the driver is doing.
    Status[80] {
        /// [`status_flags`].
        flags: U32,
        /// How often Linux has panicked since the driver was loaded.
        linux_panics: U32,
        /// Bytes of the pool that Linux manages.
        pool_size: U64,
        /// Bytes of it that are free.
        pool_free: U64,
        /// Nanoseconds that the last boot of Linux took.
        boot_time: U64,
        /// Nanoseconds since it ended.
        running_time: U64,
        /// Bytes of the NT pools that the driver holds.
        pool_held: U64,
        /// Mounted volumes.
        volumes: U32,
        /// Open handles on all of them.
        handles: U32,
        /// Write requests that were refused.
        refused_writes: U64,
    }

    /// The head of a list of volumes: [`VolumeRecord`]s follow.
    List[24] {
        /// How many follow.
        count: U32,
        /// 1 when there are more behind the last one.
        more: U32,
    }

    /// What was mounted.
    Mounted[32] {
        /// The volume's number, never given twice.
        volume: U64,
        /// Its letter; 0 for none.
        letter: U16,
        /// 0.
        reserved: U16,
        /// [`volume_flags`].
        flags: U32,
    }

    /// The head of log text, which follows: UTF-8 by custom, any bytes in fact.
    Log[32] {
        /// Where the next request goes on.
        next: U64,
        /// Bytes that were overwritten before they could be read.
        lost: U64,
    }
}

/// One volume in a list. Its texts follow: label, Linux's name of the file system, NT name of the device or image.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct VolumeRecord {
    /// Bytes of this entry with its texts; filled in by [`ListWriter::push`].
    pub size: U32,
    /// Bytes of its fixed part; filled in, too.
    pub fixed: U32,
    /// The volume's number.
    pub volume: U64,
    /// Bytes in all.
    pub total: U64,
    /// Bytes free.
    pub free: U64,
    /// Bytes read from the disk below.
    pub bytes_read: U64,
    /// Read requests to the disk below.
    pub reads: U64,
    /// Bytes that Linux wrote, journals above all, and that are in memory only.
    pub overlay: U64,
    /// Open handles.
    pub handles: U32,
    /// [`volume_flags`].
    pub flags: U32,
    /// UUID in the order in which it is printed; zeros for none.
    pub uuid: [u8; 16],
    /// Its letter; 0 for none.
    pub letter: U16,
    /// Bytes of the label, filled in as the others.
    pub label_length: U16,
    /// Bytes of the file system's name.
    pub fs_name_length: U16,
    /// Bytes of the device's or image's name.
    pub source_length: U16,
}
const _: () = assert!(size_of::<VolumeRecord>() == 88);

/// Bits of [`Status::flags`].
pub mod status_flags {
    /// Linux runs.
    pub const LINUX_RUNNING: u32 = 1;
    /// Linux has stopped by a panic and is not started again.
    pub const LINUX_DEAD: u32 = 2;
}

/// Bits of [`VolumeRecord::flags`].
pub mod volume_flags {
    /// It is dismounted; handles are still open.
    pub const DISMOUNTED: u32 = 1;
    /// The disk is gone.
    pub const REMOVED: u32 = 2;
    /// It was dirty, and its journal was replayed in memory.
    pub const REPLAYED: u32 = 4;
    /// It was dirty and is shown without a replay: newer changes may be missing.
    pub const STALE: u32 = 8;
    /// It is in an image file.
    pub const IMAGE: u32 = 16;
}

/// Bytes of the shortest reply to a code.
pub const fn shortest(code: Code) -> usize {
    match code {
        Code::Version => size_of::<Version>(),
        Code::Status => size_of::<Status>(),
        Code::List => size_of::<List>(),
        Code::Mount => size_of::<Mounted>(),
        Code::Log => size_of::<Log>(),
        Code::Unmount | Code::Policy => size_of::<Done>(),
    }
}

fn header(size: usize, fixed: usize) -> Result<Header, Refusal> {
    let number = |length: usize| u32::try_from(length).map_err(|_| Refusal::TooSmall);
    Ok(Header {
        size: number(size)?.into(),
        fixed: number(fixed)?.into(),
        version: VERSION.into(),
        reserved: 0.into(),
    })
}

/// Writes a reply: the record, and `tail` behind it. Says how many bytes it has.
///
/// # Errors
/// [`Refusal::TooSmall`]: it does not fit, and nothing was written.
pub fn write<R: Record>(out: &mut [u8], mut record: R, tail: &[u8]) -> Result<usize, Refusal> {
    let fixed = size_of::<R>();
    let size = fixed.checked_add(tail.len()).ok_or(Refusal::TooSmall)?;
    let place = out.get_mut(..size).ok_or(Refusal::TooSmall)?;
    let (head, _) = Header::mut_from_prefix(record.as_mut_bytes()).map_err(|_| Refusal::TooSmall)?;
    *head = header(size, fixed)?;
    let (start, rest) = place.split_at_mut_checked(fixed).ok_or(Refusal::TooSmall)?;
    start.copy_from_slice(record.as_bytes());
    rest.copy_from_slice(tail);
    Ok(size)
}

/// Reads a reply: the record, and what is behind it.
///
/// # Errors
/// [`Refusal::Revision`] for another major version, [`Refusal::Invalid`] for what is no such reply.
pub fn read<R: Record>(reply: &[u8]) -> Result<(R, &[u8]), Refusal> {
    let wrong = Refusal::Invalid("the driver's answer makes no sense");
    let (head, _) = Header::ref_from_prefix(reply).map_err(|_| wrong)?;
    if head.version.get() >> 16 != VERSION >> 16 {
        return Err(Refusal::Revision);
    }
    let length = |number: U32| usize::try_from(number.get()).map_err(|_| wrong);
    let (size, fixed) = (length(head.size)?, length(head.fixed)?);
    let whole = reply
        .get(..size)
        .filter(|_| fixed >= size_of::<R>())
        .ok_or(wrong)?;
    let (record, _) = R::read_from_prefix(whole).map_err(|_| wrong)?;
    Ok((record, whole.get(fixed..).ok_or(wrong)?))
}

/// Writes a list of volumes.
#[derive(Debug)]
pub struct ListWriter<'a> {
    out: &'a mut [u8],
    at: usize,
    count: u32,
    more: bool,
}

impl<'a> ListWriter<'a> {
    /// An empty list.
    ///
    /// # Errors
    /// [`Refusal::TooSmall`]: not even that fits.
    pub fn new(out: &'a mut [u8]) -> Result<ListWriter<'a>, Refusal> {
        let at = size_of::<List>();
        match out.len() < at {
            true => Err(Refusal::TooSmall),
            false => Ok(ListWriter {
                out,
                at,
                count: 0,
                more: false,
            }),
        }
    }

    /// Adds a volume: label, Linux's name of the file system, NT name of the device or image. False: there was no room,
    /// and there will be none for others.
    pub fn push(&mut self, volume: &VolumeRecord, label: &[u16], fs_name: &[u16], source: &[u16]) -> bool {
        let added = !self.more && self.add(volume, [label, fs_name, source]).is_some();
        self.more |= !added;
        added
    }

    fn add(&mut self, volume: &VolumeRecord, texts: [&[u16]; 3]) -> Option<()> {
        let fixed = size_of::<VolumeRecord>();
        let lengths = texts.map(|text| {
            text.len()
                .checked_mul(2)
                .and_then(|bytes| u16::try_from(bytes).ok())
        });
        let [label, fs_name, source] = lengths;
        let (label, fs_name, source) = (label?, fs_name?, source?);
        let size = [label, fs_name, source]
            .into_iter()
            .try_fold(fixed, |size, length| size.checked_add(usize::from(length)))?;
        let end = self.at.checked_add(size)?;
        let place = self.out.get_mut(self.at..end)?;
        let record = VolumeRecord {
            size: u32::try_from(size).ok()?.into(),
            fixed: u32::try_from(fixed).ok()?.into(),
            label_length: label.into(),
            fs_name_length: fs_name.into(),
            source_length: source.into(),
            ..*volume
        };
        let (start, rest) = place.split_at_mut_checked(fixed)?;
        start.copy_from_slice(record.as_bytes());
        let units = texts.into_iter().flatten();
        for (place, unit) in rest.as_chunks_mut::<2>().0.iter_mut().zip(units) {
            *place = unit.to_le_bytes();
        }
        self.at = end;
        self.count = self.count.checked_add(1)?;
        Some(())
    }

    /// Says how many bytes the reply has.
    ///
    /// # Errors
    /// [`Refusal::TooSmall`]: there are volumes, and not one fits.
    pub fn finish(self) -> Result<usize, Refusal> {
        if self.more && self.count == 0 {
            return Err(Refusal::TooSmall);
        }
        let head = List {
            header: header(self.at, size_of::<List>())?,
            count: self.count.into(),
            more: u32::from(self.more).into(),
        };
        let place = self.out.get_mut(..size_of::<List>()).ok_or(Refusal::TooSmall)?;
        place.copy_from_slice(head.as_bytes());
        Ok(self.at)
    }
}

/// One volume of a list, with its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume<'a> {
    /// Its numbers.
    pub record: VolumeRecord,
    /// Its label; may be empty.
    pub label: Text<'a>,
    /// Linux's name of its file system.
    pub fs_name: Text<'a>,
    /// NT name of its device or image.
    pub source: Text<'a>,
}

/// Reads a list of volumes: the head, and the volumes one by one.
///
/// # Errors
/// As [`read`]; an entry that makes no sense ends the list with an error.
pub fn volumes(reply: &[u8]) -> Result<(List, impl Iterator<Item = Result<Volume<'_>, Refusal>>), Refusal> {
    let (head, mut rest) = read::<List>(reply)?;
    let mut left = head.count.get();
    let entries = core::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        match volume(rest) {
            Some((volume, behind)) => {
                rest = behind;
                Some(Ok(volume))
            }
            None => {
                left = 0;
                Some(Err(Refusal::Invalid("the driver's list makes no sense")))
            }
        }
    });
    Ok((head, entries))
}

fn volume(list: &[u8]) -> Option<(Volume<'_>, &[u8])> {
    let (record, _) = VolumeRecord::read_from_prefix(list).ok()?;
    let length = |number: U32| usize::try_from(number.get()).ok();
    let (entry, behind) = list.split_at_checked(length(record.size)?)?;
    let fixed = length(record.fixed)?;
    if fixed < size_of::<VolumeRecord>() {
        return None;
    }
    let mut texts = entry.get(fixed..)?;
    let mut text = |length: U16| {
        let (bytes, rest) = texts.split_at_checked(usize::from(length.get()))?;
        texts = rest;
        Text::new(bytes)
    };
    let label = text(record.label_length)?;
    let fs_name = text(record.fs_name_length)?;
    let source = text(record.source_length)?;
    let volume = Volume {
        record,
        label,
        fs_name,
        source,
    };
    Some((volume, behind))
}
