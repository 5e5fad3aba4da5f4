//! Replies, for the driver to write and for `userctl` to read.
//!
//! A reply is a fixed part that begins with a [`Header`], and behind it whatever it has of lists and texts, to
//! [`Header::size`]. The driver completes the IRP with that number of bytes; all of them are written, so nothing of the
//! kernel's memory leaks.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use alloc::vec::Vec;

use crate::code::Code;
use crate::policy::{Policy, PolicyFields};
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
    /// That it was done: the reply to an unmount and to what keeps a policy.
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

    /// The head of a list: [`VolumeRecord`]s, [`PlaceRecord`]s or [`PolicyEntry`]s follow.
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

    /// The head of what a superblock's place holds; the bytes follow.
    Superblock[24] {
        /// Where the bytes are on the device.
        offset: U64,
    }
}

macro_rules! entries {
    ($( $(#[$about:meta])* $name:ident[$bytes:literal] { $( $(#[$field_about:meta])* $field:ident: $kind:ty, )* }
        texts $texts:literal { $( $(#[$text_about:meta])* $text:ident, )* } )*) => { $(
        $(#[$about])*
        #[derive(
            Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
        )]
        #[repr(C)]
        pub struct $name {
            /// Bytes of this entry with its texts; filled in by [`ListWriter::push`].
            pub size: U32,
            /// Bytes of its fixed part; filled in, too.
            pub fixed: U32,
            $( $(#[$field_about])* pub $field: $kind, )*
            $( $(#[$text_about])* pub $text: U16, )*
        }
        const _: () = assert!(size_of::<$name>() == $bytes);
        impl Entry<$texts> for $name {
            fn fill(&mut self, size: U32, fixed: U32, [$( $text, )*]: [U16; $texts]) {
                (self.size, self.fixed) = (size, fixed);
                $( self.$text = $text; )*
            }
            fn lengths(&self) -> (U32, U32, [U16; $texts]) {
                (self.size, self.fixed, [$( self.$text, )*])
            }
        }
    )* };
}

/// One entry of a list, behind whose fixed part `N` texts follow.
pub trait Entry<const N: usize>: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned + Copy {
    /// Fills in the lengths of the entry, of its fixed part, and of its texts.
    fn fill(&mut self, size: U32, fixed: U32, texts: [U16; N]);
    /// What was filled in.
    fn lengths(&self) -> (U32, U32, [U16; N]);
}

entries! {
    /// One volume in a list.
    VolumeRecord[80] {
        /// The volume's number.
        volume: U64,
        /// Bytes in all.
        total: U64,
        /// Bytes free.
        free: U64,
        /// Bytes read from the disk below.
        bytes_read: U64,
        /// Read requests to the disk below.
        reads: U64,
        /// Bytes that Linux wrote, journals above all, and that are in memory only.
        overlay: U64,
        /// Open handles.
        handles: U32,
        /// [`volume_flags`].
        flags: U32,
        /// Its letter; 0 for none.
        letter: U16,
        /// 0.
        reserved: [U16; 3],
    } texts 4 {
        /// Bytes of the label.
        label_length,
        /// Bytes of Linux's name of the file system.
        fs_name_length,
        /// Bytes of the NT name of the device, or of the image's path.
        source_length,
        /// Bytes of the UUID, date or serial number, as `blkid` prints it.
        uuid_length,
    }

    /// One place where a volume may be: a partition, or a whole disk.
    PlaceRecord[72] {
        /// Its number, never given twice.
        place: U64,
        /// The number of the volume that the driver has mounted there; 0 for none.
        volume: U64,
        /// Bytes.
        bytes: U64,
        /// Where it begins on the disk, in bytes.
        start: U64,
        /// The number of the disk, as in `\\.\PhysicalDrive1`; [`UNKNOWN`] when it has none.
        disk: U32,
        /// The number of the partition; 0 for a whole disk, [`UNKNOWN`] when it cannot be told.
        partition: U32,
        /// [`place_flags`].
        flags: U32,
        /// Bytes in a sector.
        sector: U32,
        /// Its letter; 0 for none.
        letter: U16,
        /// 0.
        reserved: [U16; 3],
    } texts 4 {
        /// Bytes of the name of the file system that is recognised there.
        kind_length,
        /// Bytes of its label.
        label_length,
        /// Bytes of its UUID, date or serial number, as `blkid` prints it.
        uuid_length,
        /// Bytes of the device's NT name.
        device_length,
    }

    /// One policy in a list.
    PolicyEntry[44] {
        /// The policy.
        fields: PolicyFields,
        /// The letter that the volume had last; 0 for none.
        last_letter: U16,
        /// 0.
        reserved: U16,
    } texts 4 {
        /// Bytes of the volume's key.
        key_length,
        /// Bytes of the file system's name.
        fs_name_length,
        /// Bytes of the mount options.
        options_length,
        /// Bytes of the map of owners.
        owners_length,
    }
}

/// A number that is not known.
pub const UNKNOWN: u32 = u32::MAX;

impl PolicyEntry {
    /// The entry of a policy. Its texts go to [`ListWriter::push`]: the key, and those of the settings.
    pub fn new(policy: &Policy<'_>, last_letter: Option<u8>) -> Result<PolicyEntry, Refusal> {
        let mut texts = Vec::new();
        Ok(PolicyEntry {
            fields: policy.fields(&mut texts)?,
            last_letter: u16::from(last_letter.unwrap_or(0)).into(),
            ..PolicyEntry::default()
        })
    }
}

/// Bits of [`Status::flags`].
pub mod status_flags {
    /// Linux runs.
    pub const LINUX_RUNNING: u32 = 1;
    /// Linux has stopped by a panic. The next request that wants it starts another, unless it dies too often or a thread is in a loop in
    /// it that does not end.
    pub const LINUX_DEAD: u32 = 2;
}

/// Bits of [`VolumeRecord::flags`].
pub mod volume_flags {
    /// It is dismounted; handles are still open.
    pub const DISMOUNTED: u32 = 1;
    /// The disk is gone.
    pub const REMOVED: u32 = 2;
    /// Linux wrote while it mounted it, as a replay of a journal does; what it wrote is in memory only.
    pub const REPLAYED: u32 = 4;
    /// It was dirty and is shown without a replay: newer changes may be missing.
    pub const STALE: u32 = 8;
    /// It is in an image file.
    pub const IMAGE: u32 = 16;
}

/// Bits of [`PlaceRecord::flags`].
pub mod place_flags {
    /// Another file system has mounted it.
    pub const OTHER: u32 = 1;
    /// The medium, or the disk, can be taken out.
    pub const REMOVABLE: u32 = 2;
    /// What is there is one of Linux's own file systems, which Windows does not read.
    pub const LINUX: u32 = 4;
    /// Its policy says that it is not mounted by itself.
    pub const NEVER: u32 = 8;
}

/// Bytes of the shortest reply to a code.
pub const fn shortest(code: Code) -> usize {
    match code {
        Code::Version => size_of::<Version>(),
        Code::Status => size_of::<Status>(),
        Code::List | Code::Places | Code::Policies => size_of::<List>(),
        Code::Mount => size_of::<Mounted>(),
        Code::Log => size_of::<Log>(),
        Code::Superblock => size_of::<Superblock>(),
        Code::Unmount | Code::SetPolicy | Code::Stop | Code::Resume => size_of::<Done>(),
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

/// Writes a list.
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

    /// Adds an entry with its texts. False: there was no room, and there will be none for others.
    pub fn push<const N: usize, E: Entry<N>>(&mut self, entry: &E, texts: [&[u16]; N]) -> bool {
        let added = !self.more && self.add(*entry, texts).is_some();
        self.more |= !added;
        added
    }

    fn add<const N: usize, E: Entry<N>>(&mut self, mut entry: E, texts: [&[u16]; N]) -> Option<()> {
        let fixed = size_of::<E>();
        let mut size = fixed;
        let mut lengths = [U16::new(0); N];
        for (length, text) in lengths.iter_mut().zip(texts) {
            let bytes = u16::try_from(text.len().checked_mul(2)?).ok()?;
            *length = bytes.into();
            size = size.checked_add(usize::from(bytes))?;
        }
        let end = self.at.checked_add(size)?;
        let place = self.out.get_mut(self.at..end)?;
        entry.fill(
            u32::try_from(size).ok()?.into(),
            u32::try_from(fixed).ok()?.into(),
            lengths,
        );
        let (start, rest) = place.split_at_mut_checked(fixed)?;
        start.copy_from_slice(entry.as_bytes());
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
    /// [`Refusal::TooSmall`]: there are entries, and not one fits.
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
    /// Its UUID, date or serial number; may be empty.
    pub uuid: Text<'a>,
}

/// One place of a list, with its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Its numbers.
    pub record: PlaceRecord,
    /// The file system that is recognised there; empty for none.
    pub kind: Text<'a>,
    /// Its label; may be empty.
    pub label: Text<'a>,
    /// Its UUID, date or serial number; may be empty.
    pub uuid: Text<'a>,
    /// NT name of the device.
    pub device: Text<'a>,
}

/// One policy of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptPolicy<'a> {
    /// The UUID, date or serial number of the volume.
    pub key: Text<'a>,
    /// The policy.
    pub policy: Policy<'a>,
    /// The letter that the volume had last.
    pub last_letter: Option<u8>,
}

/// Reads a list: the head, and the entries one by one, each made by `read` of its fixed part and its texts.
fn entries<'a, const N: usize, E: Entry<N>, T>(
    reply: &'a [u8],
    read_entry: impl Fn(E, [Text<'a>; N]) -> Result<T, Refusal>,
) -> Result<(List, impl Iterator<Item = Result<T, Refusal>>), Refusal> {
    let wrong = Refusal::Invalid("the driver's list makes no sense");
    let (head, mut rest) = read::<List>(reply)?;
    let mut left = head.count.get();
    let entries = core::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let entry = split(rest).ok_or(wrong).and_then(|(entry, texts, behind)| {
            rest = behind;
            read_entry(entry, texts)
        });
        if entry.is_err() {
            left = 0;
        }
        Some(entry)
    });
    Ok((head, entries))
}

/// The first entry of a list, its texts, and what is behind it.
fn split<const N: usize, E: Entry<N>>(list: &[u8]) -> Option<(E, [Text<'_>; N], &[u8])> {
    let (record, _) = E::read_from_prefix(list).ok()?;
    let (size, fixed, lengths) = record.lengths();
    let number = |number: U32| usize::try_from(number.get()).ok();
    let (entry, behind) = list.split_at_checked(number(size)?)?;
    let fixed = number(fixed)?;
    if fixed < size_of::<E>() {
        return None;
    }
    let mut rest = entry.get(fixed..)?;
    let mut texts = [Text::default(); N];
    for (text, length) in texts.iter_mut().zip(lengths) {
        let (bytes, behind) = rest.split_at_checked(usize::from(length.get()))?;
        rest = behind;
        *text = Text::new(bytes)?;
    }
    Some((record, texts, behind))
}

/// Reads a list of volumes: the head, and the volumes one by one.
///
/// # Errors
/// As [`read`]; an entry that makes no sense ends the list with an error.
pub fn volumes(reply: &[u8]) -> Result<(List, impl Iterator<Item = Result<Volume<'_>, Refusal>>), Refusal> {
    entries(reply, |record: VolumeRecord, [label, fs_name, source, uuid]| {
        Ok(Volume {
            record,
            label,
            fs_name,
            source,
            uuid,
        })
    })
}

/// Reads a list of places: the head, and the places one by one.
///
/// # Errors
/// As [`volumes`].
pub fn places(reply: &[u8]) -> Result<(List, impl Iterator<Item = Result<Place<'_>, Refusal>>), Refusal> {
    entries(reply, |record: PlaceRecord, [kind, label, uuid, device]| {
        Ok(Place {
            record,
            kind,
            label,
            uuid,
            device,
        })
    })
}

/// Reads a list of policies: the head, and the policies one by one.
///
/// # Errors
/// As [`volumes`].
pub fn policies(
    reply: &[u8],
) -> Result<(List, impl Iterator<Item = Result<KeptPolicy<'_>, Refusal>>), Refusal> {
    entries(reply, |record: PolicyEntry, [key, fs_name, options, owners]| {
        let mut policy = record.fields.policy_without_texts()?;
        policy.settings.fs_name = Some(fs_name).filter(|name| !name.is_empty());
        (policy.settings.options, policy.settings.owners) = (options, owners);
        let last_letter = u8::try_from(record.last_letter.get()).ok();
        Ok(KeptPolicy {
            key,
            policy,
            last_letter: last_letter.filter(u8::is_ascii_uppercase),
        })
    })
}
