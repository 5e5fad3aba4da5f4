//! The edge between the safe core (`lklfs-fsd`) and the NT kernel (`lklfs-kernel`).
//!
//! The life of a request: the kernel calls one of the callbacks in [`dispatch`]; the IRP becomes an [`irp::Irp`],
//! which is linear (only completing, posting or handing on consumes it); the file for its major function decodes the
//! parameters, asks the core, and does with NT's routines what the core says. Whatever calls Linux runs on an
//! expanded stack, and only in a thread that may wait.
//!
//! | module | what |
//! |---|---|
//! | [`load`], [`state`] | DriverEntry and unload; what lives between them |
//! | [`dispatch`] | the kernel's callbacks |
//! | [`irp`], [`buffer`] | the linear IRP; callers' buffers |
//! | [`major`] | one file for each major function |
//! | [`object`] | volumes, inodes in use, opens: how they come, live and go |
//! | [`workque`] | work that must not run in the calling context |
//! | [`letter`] | which volume has which letter, and why |
//! | [`image`] | disk images as disks |
//! | [`control`] | what userctl asks |
//! | [`linux`] | the one Linux, booted with the first mount, and again when it died |
//! | [`device`] | devices of others |
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

pub mod buffer;
pub mod control;
pub mod device;
pub mod dispatch;
pub mod eventlog;
pub mod image;
pub mod irp;
pub mod letter;
pub mod linux;
pub mod load;
pub mod log;
pub mod major;
pub mod object;
pub mod state;
pub mod workque;

pub use load::driver_entry;
