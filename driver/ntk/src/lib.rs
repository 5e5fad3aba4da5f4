//! The edge between the safe core (`lklfs-fsd`) and the NT kernel (`lklfs-kernel`).
//!
//! The life of a request: the kernel calls one of the callbacks in [`dispatch`]; the IRP becomes an [`irp::Irp`],
//! which is linear (only completing, posting or handing on consumes it); the file for its major function decodes the
//! parameters, asks the core, and does with NT's routines what the core says. Whatever calls Linux runs on an
//! expanded stack, and only in a thread that may wait.
//!
//! | files | what they hold |
//! |---|---|
//! | [`entry`], [`linux`], [`control`], [`protect`] | DriverEntry and unload; the one Linux, booted with the first mount; requests to the control device |
//! | [`dispatch`], [`irp`], [`work`], [`posts`], [`workers`] | callbacks, the linear IRP, requests that wait in worker threads and can be cancelled |
//! | [`volume`], [`open`] | a mounted volume (behind its device), an inode in use and an open of it (behind a file object) |
//! | [`mount`], [`fsctrl`], [`create`], [`cleanup`], [`close`], [`read`], [`dirctrl`], [`fileinfo`], [`volinfo`], [`lockctrl`], [`devctrl`], [`secur`], [`ea`], [`pnp`], [`refuse`] | one for each major function |
//! | [`mounts`], [`imagefile`], [`imagedisk`], [`backing`], [`driveletter`], [`letters`], [`dismount`], [`arrivals`], [`places`] | image files as disks, drive letters, volumes that arrive, where volumes may be |
//! | [`policies`], [`settings`] | what is kept for a volume, and how it is mounted |
//! | [`revival`] | volumes live on when Linux dies, but for the one that it died of |
//! | [`power`] | sleep, after which every volume is verified |
//! | [`fastio`], [`cache`] | the kernel's short ways in, and the cache manager |
//! | [`device`], [`buffer`] | devices of others; callers' buffers |
//! | [`log`], [`eventlog`] | the driver's own log, and Windows' |
//!
//! `unsafe` stands in most of these files, because most of them talk to NT; each says why in its `UNSAFETY` line.
//! What decides is in the core.
//!
//! # Lock order
//! 1. the driver's Linux lock ([`linux::Linux`]) 2. a volume's state 3. an open's cursor 4. an FCB's main resource
//! 5. its paging resource 6. a volume's FCB table (a spin lock). Nothing is held while Linux is asked, but for 1 at
//!    mount, 2 in a volume control and 3 in a listing.
//!
//! On anything but Windows this crate is empty.
#![cfg(windows)]
#![no_std]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

extern crate alloc;

pub mod account;
pub mod arrivals;
pub mod backing;
pub mod buffer;
pub mod cache;
pub mod cleanup;
pub mod close;
pub mod control;
pub mod copies;
pub mod create;
pub mod devctrl;
pub mod device;
pub mod dirctrl;
pub mod dismount;
pub mod dispatch;
pub mod driveletter;
pub mod ea;
pub mod entry;
pub mod eventlog;
pub mod events;
pub mod fastio;
pub mod fileinfo;
pub mod fsctrl;
pub mod imagedisk;
pub mod imagefile;
pub mod imageid;
pub mod irp;
pub mod later;
pub mod leaving;
pub mod letters;
pub mod linux;
pub mod lockctrl;
pub mod log;
pub mod mount;
pub mod mountmanager;
pub mod mounts;
pub mod open;
pub mod pended;
pub mod places;
pub mod pnp;
pub mod policies;
pub mod posts;
pub mod power;
pub mod protect;
pub mod read;
pub mod refuse;
pub mod revival;
pub mod secur;
#[cfg(feature = "selftest")]
pub mod selftest;
pub mod settings;
pub mod signature;
pub mod standby;
pub mod stranded;
pub mod verify;
pub mod volinfo;
pub mod volume;
pub mod volumes;
pub mod work;
pub mod workers;

pub use entry::driver_entry;
