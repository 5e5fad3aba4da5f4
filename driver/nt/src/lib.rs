//! NT vocabulary: status codes, access masks, `FILE_*` buffers, our IOCTLs.
//!
//! This crate holds what NT's interfaces consist of when pointers are taken away: numbers with their names, and records
//! with their exact layout. The driver's core uses it to decide and to write answers, `userctl` uses it to talk to the
//! driver, the NT double uses it to check both.
//!
//! - numbers: [`NtStatus`], [`AccessMask`], [`CreateOptions`], [`FileAttributes`], [`FileInformationClass`],
//!   [`FsInformationClass`], [`ReparseTag`], [`ControlCode`];
//! - records with C's layout ([`record`]), put into a caller's bytes by [`writer`]: [`fileinfo`], [`dirinfo`],
//!   [`fsinfo`], [`reparse`], [`security`], [`ea`];
//! - values: [`NtTime`], UTF-16 names ([`utf16`]) and Linux's ([`names`]), patterns ([`wildcard`]);
//! - what only our own volumes are asked, for programs that want Linux's own answers: [`linux`];
//! - what the event log is told ([`eventlog`]);
//! - what disks, volumes and the mount manager are asked: [`diskio`].
//!
//! Nothing here is unsafe, nothing allocates unless its signature says so, and nothing panics: the crate runs in the
//! NT kernel at any IRQL at which its arguments may be touched.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

extern crate alloc;

mod number;

pub mod access;
pub mod attributes;
pub mod class;
pub mod create;
pub mod dirinfo;
pub mod diskio;
pub mod ea;
pub mod eventlog;
pub mod fileinfo;
pub mod fsinfo;
pub mod ioctl;
pub mod linux;
pub mod names;
pub mod record;
pub mod reparse;
pub mod repeats;
pub mod security;
pub mod status;
pub mod time;
pub mod utf16;
pub mod wildcard;
pub mod writer;

pub use access::AccessMask;
pub use attributes::FileAttributes;
pub use class::{FileInformationClass, FsInformationClass};
pub use create::{CreateDisposition, CreateInformation, CreateOptions, ShareAccess};
pub use eventlog::LogEvent;
pub use ioctl::ControlCode;
pub use reparse::ReparseTag;
pub use status::NtStatus;
pub use time::NtTime;
