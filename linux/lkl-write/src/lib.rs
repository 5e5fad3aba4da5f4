//! Disks that Linux may write to, and volumes on them: what crate `lkl` has no word for.
//!
//! The story of one write:
//!
//! 1. A program links the Linux that can write, crate `linux-full`, which has the one function of Linux's that is needed:
//!    `add_writable_disk`. The driver's Linux has no such function, and no crate of the driver depends on this one.
//! 2. A [`WritableDisk`] (`host-posix` and `host-nt` have one in a file or device) takes each request as a
//!    [`WriteRequest`], and answers when it is done ([`door`] is in between).
//! 3. A [`Volume`] is a file system on a [`WritableDevice`], mounted for writing. Its files are there by path, and, from
//!    [`Volume::root`] on, by descriptor: [`lkl::OwnedFd`] reads, and [`FolderChanges`], [`AttributeChanges`] and [`ContentChanges`]
//!    are what it can besides in a program that has this crate. A [`User`] makes files that are a user's.
//!
//! What a program may rely on: a file whose [`File::sync`] has returned without an error is on the disk as far as the disk's
//! own flush reaches. What was written and not synced is written by Linux when it sees fit, and by
//! [`Volume::unmount`] at the latest. [`lkl::Kernel::halt`] is pulling the plug: it writes nothing.
//!
//! This crate refers to no symbol of Linux's, so that hosts may depend on it whatever Linux the program has.

// UNSAFETY (whole crate): requests are memory of Linux's, and system calls take pointers.

#![deny(unsafe_code)]

pub mod attributes;
mod calls;
pub mod content;
pub mod device;
pub mod disk;
pub mod door;
pub mod file;
pub mod folder;
pub mod request;
pub mod sys;
pub mod user;
pub mod volume;

pub use attributes::{AttributeChanges, ExtendedFlags, FileFlags, SetTime, SetXattr};
pub use content::{Allocation, ContentChanges};
pub use device::WritableDevice;
pub use disk::{Abilities, WritableDisk, WritableSlice};
pub use file::{File, OpenOptions};
pub use folder::{FolderChanges, Rename};
pub use request::{Operation, WriteRequest};
pub use user::{User, Users};
pub use volume::{Entry, MountFlags, Volume};
