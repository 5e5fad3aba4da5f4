//! Linux as a library: boot it, give it disks, mount them, read files.
//!
//! The story of one read, from the top:
//!
//! 1. A host (`linux/host-posix`, `linux/host-nt`, `driver/host-ntk`) implements [`Host`]: semaphores, threads, memory, clocks,
//!    timers. [`Kernel::boot`] turns it into the C table of `host_ops.h` ([`ops`]) and boots Linux with it.
//! 2. A [`Disk`] answers read requests; [`Kernel::add_disk`] makes it a block device of Linux ([`BlockDevice`]).
//! 3. [`Kernel::mount`] mounts it read-only and returns a [`Mount`]; everything below is reached from
//!    [`Mount::root`], one path component at a time, through [`OwnedFd`].
//!
//! Each call runs Linux on the calling thread: [`tasks`] lends it an entry task, [`call`] is the system call. Many
//! threads may be inside at once; one of them at a time is on Linux's only CPU.
//!
//! Linux may die (a bug, a damaged volume). Nothing here then panics or hangs: every call returns
//! [`Errno::ENODEV`], [`Kernel::is_dead`] says so, and [`Kernel::halt`] still gives everything back.
//!
//! This crate declares the `linux_*` symbols but never links them; the final program does, by a crate of `linux/flavours`
//! (the driver image has a build script of its own). It is `no_std` with `alloc`, allocates fallibly, and keeps `unsafe`
//! in seven modules: `sys` (the contract), `ops` (callbacks from Linux), `call` (system calls), `entry` (system calls by number),
//! `image` (Linux's own data), `disk_request` and `extend`.

#![no_std]
#![deny(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::unreachable
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod call;
mod deaths;
mod dir;
mod disk;
mod disk_request;
mod entry;
mod errno;
pub mod extend;
mod fd;
mod gate;
mod host;
mod image;
mod kernel;
mod log;
mod mount;
mod one_disk;
mod ops;
mod options;
mod refusal;
#[cfg(windows)]
mod seh;
mod stat;
pub mod sys;
mod tasks;
mod xattr;

pub use call::fault;
pub use deaths::{Deaths, FATAL, MOST_DEATHS, WHILE};
pub use dir::{DirEntry, EntryKind};
pub use disk::{BlockDevice, DevPath, Disk, DiskOptions, DiskStats, Slice};
pub use disk_request::ReadRequest;
pub use entry::EntryTask;
pub use errno::Errno;
pub use fd::{OpenMode, OwnedFd};
pub use fs_probe as probe;
pub use host::{Alarm, Host, Semaphore, Thread, ThreadBody, Timer};
pub use kernel::{BootConfig, BootError, Halt, Kernel, Remains};
pub use log::LogRing;
pub use mount::{Cause, FsKind, Mount, MountError, MountOptions};
pub use options::{names_a_disk, refused_option};
pub use stat::{DeviceNumber, FileType, StatFs, Statx, Timestamp};

const _: () = {
    const fn shared_between_threads<T: Send + Sync>() {}
    shared_between_threads::<Kernel>();
    shared_between_threads::<BlockDevice>();
    shared_between_threads::<Mount>();
    shared_between_threads::<OwnedFd>();
    shared_between_threads::<ReadRequest>();
};
