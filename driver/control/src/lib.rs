//! The control interface: what `userctl` asks the driver, and how the driver answers.
//!
//! It is spoken over two control devices, both METHOD_BUFFERED, without a pointer in any record:
//!
//! | device | who may open it ([`Interface::sddl`]) | what it answers |
//! |---|---|---|
//! | [`Interface::Control`] | SYSTEM, administrators | everything |
//! | [`Interface::Status`] | all users, for reading | version, status, volumes, disks and partitions, policies |
//!
//! A request is a [`Header`], the rest of the fixed part, and texts in UTF-16 whose lengths the fixed part has: they
//! follow it in order and fill the request to its last byte, so there is one way to write each request. [`parse`] takes
//! what came with an IRP and gives a [`Request`] in which everything is checked, or a [`Refusal`] with an NTSTATUS. The
//! functions `encode` are its inverse, for `userctl`. [`reply`] has the answers for both sides.
//!
//! # Versions
//!
//! [`VERSION`] is major << 16 | minor. Another major version is refused. A newer minor version may have a longer fixed
//! part ([`Header::fixed`]): what is behind the part that is known here must be zero, which means "nothing asked that is
//! not known", else the request is refused. Replies grow in the same way, and readers pass over what they do not know.
//!
//! # For the driver
//!
//! With METHOD_BUFFERED the request and the reply share one buffer: a [`Request`] borrows it, so what is needed of the
//! request is to be copied before the reply is written. Parsing allocates nothing.
//! IRQL: parsing and writing touch only their arguments, which are non-paged in METHOD_BUFFERED: any.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

extern crate alloc;

mod code;
mod policy;
mod refusal;
pub mod reply;
mod request;
mod settings;
mod text;

pub use code::{Code, Interface};
pub use policy::{LetterRule, Policy};
pub use refusal::Refusal;
pub use request::{Format, LogSource, Mount, Request, Source, parse};
pub use settings::Settings;
pub use text::{Text, utf16};

use zerocopy::byteorder::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The version of this interface: major << 16 | minor.
pub const VERSION: u32 = 0x0003_0001;

/// What every request and every reply begins with.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Header {
    /// Bytes of the whole record, this header and its texts included.
    pub size: U32,
    /// Bytes of its fixed part, this header included.
    pub fixed: U32,
    /// [`VERSION`] of the sender.
    pub version: U32,
    /// 0.
    pub reserved: U32,
}
const _: () = assert!(size_of::<Header>() == 16);
