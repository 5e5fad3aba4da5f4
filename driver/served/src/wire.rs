//! Calls and answers as bytes: little-endian, without a pointer, and bounded.
//!
//! A call is a [`CallHead`], a name, and the nodes that are let go of; an answer is an [`AnswerHead`] and what was asked for. Each
//! fills its bytes to the last one. Parsing allocates nothing.

use alloc::vec::Vec;

use lklfs_fsd::Errno;
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The version of this protocol. Both ends have the same one.
pub const VERSION: u32 = 1;
/// Bytes of data, entries or attributes that one answer has at most.
pub const MOST_DATA: usize = 256 * 1024;
/// Bytes of a name, of an entry or of an attribute.
pub const MOST_NAME: usize = 1024;
/// Nodes that one call lets go of at most.
pub const MOST_FORGOTTEN: usize = 64;
/// Bytes of the longest call.
pub const MOST_CALL: usize = 48 + MOST_NAME + 8 * MOST_FORGOTTEN;
/// Bytes of the longest answer.
pub const MOST_ANSWER: usize = 40 + MOST_DATA;

/// What is asked: the methods of `fsd::Volume`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Op {
    /// The root, as [`Op::Lookup`] answers.
    Root,
    /// An entry of a directory: its node and metadata.
    Lookup,
    /// The metadata of an entry, without a node.
    EntryMetadata,
    /// The target of a link.
    ReadLink,
    /// Bytes of a file.
    Read,
    /// The next stretch of a file that is no hole.
    NextData,
    /// Entries of a directory.
    ReadDir,
    /// Names of attributes, each ended by NUL.
    ListXattrs,
    /// The value of an attribute.
    Xattr,
    /// Sizes and names of the volume.
    Info,
}

impl Op {
    /// All of them.
    pub const ALL: [Op; 10] = [
        Op::Root,
        Op::Lookup,
        Op::EntryMetadata,
        Op::ReadLink,
        Op::Read,
        Op::NextData,
        Op::ReadDir,
        Op::ListXattrs,
        Op::Xattr,
        Op::Info,
    ];

    /// Its number in a record.
    pub const fn number(self) -> u32 {
        match self {
            Op::Root => 1,
            Op::Lookup => 2,
            Op::EntryMetadata => 3,
            Op::ReadLink => 4,
            Op::Read => 5,
            Op::NextData => 6,
            Op::ReadDir => 7,
            Op::ListXattrs => 8,
            Op::Xattr => 9,
            Op::Info => 10,
        }
    }

    /// The one with this number.
    pub fn from_number(number: u32) -> Option<Op> {
        Op::ALL.into_iter().find(|op| op.number() == number)
    }

    /// Whether it is about a node.
    const fn has_node(self) -> bool {
        !matches!(self, Op::Root | Op::Info)
    }

    /// Whether it is about a name.
    const fn has_name(self) -> bool {
        matches!(self, Op::Lookup | Op::EntryMetadata | Op::Xattr)
    }
}

/// What a call begins with.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct CallHead {
    /// Bytes of the whole call.
    pub size: U32,
    /// [`VERSION`].
    pub version: U32,
    /// What the answer has to name; never 0.
    pub ticket: U64,
    /// [`Op::number`].
    pub op: U32,
    /// Bytes that may follow the head of the answer.
    pub room: U32,
    /// The node that it is about, or 0.
    pub node: U64,
    /// Where to begin: an offset in bytes, or a listing's cookie.
    pub offset: U64,
    /// Bytes of the name, which follows.
    pub name_length: U32,
    /// Nodes that are let go of, which follow the name, of 8 bytes each.
    pub forgotten: U32,
}
const _: () = assert!(size_of::<CallHead>() == 48);

/// What an answer begins with.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct AnswerHead {
    /// Bytes of the whole answer.
    pub size: U32,
    /// [`VERSION`].
    pub version: U32,
    /// The call's.
    pub ticket: U64,
    /// The call's.
    pub op: U32,
    /// 0, or the error, and then nothing else.
    pub errno: U32,
    /// A node; where a stretch of data begins; or 1 at the end of a listing.
    pub first: U64,
    /// Where a stretch of data ends: 0 for none.
    pub second: U64,
}
const _: () = assert!(size_of::<AnswerHead>() == 40);

/// A call that was checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call<'a> {
    /// What the answer has to name.
    pub ticket: u64,
    /// What is asked.
    pub op: Op,
    /// Bytes that may follow the head of the answer.
    pub room: usize,
    /// The node, or 0.
    pub node: u64,
    /// An offset or a cookie.
    pub offset: u64,
    /// The name, or nothing.
    pub name: &'a [u8],
    forgotten: &'a [U64],
}

impl<'a> Call<'a> {
    /// Reads a call; `None` for what is none.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = CallHead::ref_from_prefix(bytes).ok()?;
        let op = Op::from_number(head.op.get())?;
        let is_whole = usize::try_from(head.size.get()).ok()? == bytes.len();
        let (name, forgotten) = rest.split_at_checked(usize::try_from(head.name_length.get()).ok()?)?;
        let forgotten = <[U64]>::ref_from_bytes(forgotten).ok()?;
        let room = usize::try_from(head.room.get()).ok()?;
        let ticket = head.ticket.get();
        let fits = is_whole
            && head.version.get() == VERSION
            && ticket != 0
            && room <= MOST_DATA
            && usize::try_from(head.forgotten.get()).ok()? == forgotten.len()
            && forgotten.len() <= MOST_FORGOTTEN
            && (head.node.get() != 0) == op.has_node()
            && name.is_empty() != op.has_name()
            && name.len() <= MOST_NAME
            && !name.contains(&0);
        fits.then_some(Call {
            ticket,
            op,
            room,
            node: head.node.get(),
            offset: head.offset.get(),
            name,
            forgotten,
        })
    }

    /// The nodes that are let go of.
    pub fn forgotten(&self) -> impl Iterator<Item = u64> + 'a {
        self.forgotten.iter().map(|node| node.get())
    }
}

/// What is asked, before it has a ticket.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What.
    pub op: Op,
    /// Bytes that may follow the head of the answer.
    pub room: usize,
    /// The node, or 0.
    pub node: u64,
    /// An offset or a cookie.
    pub offset: u64,
    /// The name, or nothing.
    pub name: &'a [u8],
}

impl Asked<'_> {
    /// The call. `ENAMETOOLONG` for a name that it cannot carry; `ENOMEM`.
    pub fn encode(&self, ticket: u64, forgotten: &[u64]) -> Result<Vec<u8>, Errno> {
        if self.name.len() > MOST_NAME {
            return Err(Errno::ENAMETOOLONG);
        }
        let forgotten = forgotten
            .get(..forgotten.len().min(MOST_FORGOTTEN))
            .unwrap_or_default();
        let size = size_of::<CallHead>()
            .saturating_add(self.name.len())
            .saturating_add(forgotten.len().saturating_mul(8));
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| Errno::ENOMEM)?;
        let head = CallHead {
            size: word(size)?,
            version: VERSION.into(),
            ticket: ticket.into(),
            op: self.op.number().into(),
            room: word(self.room.min(MOST_DATA))?,
            node: self.node.into(),
            offset: self.offset.into(),
            name_length: word(self.name.len())?,
            forgotten: word(forgotten.len())?,
        };
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(self.name);
        for node in forgotten {
            bytes.extend_from_slice(&node.to_le_bytes());
        }
        Ok(bytes)
    }
}

fn word(length: usize) -> Result<U32, Errno> {
    u32::try_from(length).map(U32::new).map_err(|_| Errno::EINVAL)
}

/// The ticket that an answer names. `None` for what is not even the beginning of one.
pub fn ticket(answer: &[u8]) -> Option<u64> {
    AnswerHead::ref_from_prefix(answer)
        .ok()
        .map(|(head, _)| head.ticket.get())
}

/// An answer whose form was checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer<'a> {
    /// [`AnswerHead::first`].
    pub first: u64,
    /// [`AnswerHead::second`].
    pub second: u64,
    /// What follows the head.
    pub data: &'a [u8],
}

impl<'a> Answer<'a> {
    /// Reads the answer to a call of this kind, which gave `room`.
    ///
    /// # Errors
    /// What the answer says, if that is an error that a volume may have; `EUCLEAN` for what is no answer to that call.
    pub fn parse(bytes: &'a [u8], op: Op, room: usize) -> Result<Self, Errno> {
        let (head, data) = AnswerHead::ref_from_prefix(bytes).map_err(|_| Errno::EUCLEAN)?;
        let is_whole = usize::try_from(head.size.get()) == Ok(bytes.len());
        if !is_whole || head.version.get() != VERSION || head.op.get() != op.number() {
            return Err(Errno::EUCLEAN);
        }
        let answer = Answer {
            first: head.first.get(),
            second: head.second.get(),
            data,
        };
        match head.errno.get() {
            0 if data.len() <= room => Ok(answer),
            0 => Err(Errno::EUCLEAN),
            errno
                if answer
                    == Answer {
                        first: 0,
                        second: 0,
                        data: &[],
                    } =>
            {
                Err(told(errno))
            }
            _ => Err(Errno::EUCLEAN),
        }
    }
}

/// An error that the process tells. Those that have a meaning of their own to the core, or are Linux's own business, become EIO.
fn told(errno: u32) -> Errno {
    match i32::try_from(errno).map(Errno) {
        Ok(Errno::EAGAIN | Errno::EINTR | Errno::ECANCELED) => Errno::EIO,
        Ok(errno) if Errno::NAMED.iter().any(|(named, _)| *named == errno) => errno,
        _ => Errno::EIO,
    }
}

/// Writes an answer.
pub fn answer(out: &mut Vec<u8>, call: &Call<'_>, result: Result<Answer<'_>, Errno>) -> Result<(), Errno> {
    let (errno, body) = match result {
        Ok(body) => (0, body),
        Err(errno) => (
            u32::try_from(errno.0)
                .ok()
                .filter(|errno| *errno != 0)
                .unwrap_or(5),
            Answer {
                first: 0,
                second: 0,
                data: &[],
            },
        ),
    };
    let size = size_of::<AnswerHead>().saturating_add(body.data.len());
    let head = AnswerHead {
        size: word(size)?,
        version: VERSION.into(),
        ticket: call.ticket.into(),
        op: call.op.number().into(),
        errno: errno.into(),
        first: body.first.into(),
        second: body.second.into(),
    };
    out.clear();
    out.try_reserve(size).map_err(|_| Errno::ENOMEM)?;
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body.data);
    Ok(())
}
