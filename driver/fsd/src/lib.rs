//! The safe core of the file-system driver: decides every IRP, knows neither NT's pointers nor Linux's descriptors.
//!
//! Above it stands the edge `lklfs-ntk`, which decodes an IRP into a typed request, calls one function here, and does
//! what the answer says with NT's own routines (cache manager, share access, byte-range locks, oplocks). Below it stands
//! a [`Volume`]: real Linux in the driver, an in-memory tree in tests.
//!
//! - objects: [`Vcb`] a mounted volume, [`Fcb`] one inode in use, [`Ccb`] one open of it, [`FcbTable`] the Fcbs of a
//!   volume by identity; [`Outcome`] what an IRP is completed with;
//! - one module for each IRP major, whose entry function is its last item;
//! - names in both directions: [`namesup`]; times: [`timesup`]; links: [`linksup`]; errors: [`errno`].
//!
//! # Locks
//!
//! There is no lock in this crate. What never changes after it is made (all of [`Vcb`], [`Fcb`], [`Ccb`]: the volume is
//! read-only) is taken by `&`; what changes ([`FcbTable`], [`VolumeState`], [`DirCursor`](dirctrl::DirCursor),
//! [`EaCursor`](ea::EaCursor)) is taken by `&mut`, and the edge holds it under the lock that `driver/README.md` names.
//!
//! # Blocking
//!
//! A function whose text says "may block" calls the [`Volume`], hence Linux, and the edge posts the IRP first when its
//! caller may not wait; [`create::open`] alone can be asked to answer from memory or to end with CANT_WAIT. All others
//! neither block nor allocate unless they say so.
//!
//! # Memory
//!
//! Whatever grows with what comes from outside (names, links, listings, descriptors) is allocated fallibly and ends in
//! INSUFFICIENT_RESOURCES; only the box of a [`create::Plan`] and the edge's own `Arc` are not.

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
#[cfg(feature = "memory")]
extern crate std;

pub mod attributes;
pub mod cleanup;
pub mod close;
pub mod create;
pub mod devctrl;
pub mod dirctrl;
pub mod ea;
pub mod errno;
pub mod fileinfo;
pub mod flush;
pub mod fsctrl;
pub mod imagedisk;
pub mod known;
pub mod linksup;
pub mod linuxinfo;
pub mod lockctrl;
#[cfg(feature = "memory")]
pub mod memory;
pub mod namesup;
pub mod pnp;
pub mod ranges;
pub mod read;
pub mod secur;
pub mod shutdown;
pub mod timesup;
pub mod volinfo;
pub mod write;

mod listing;
mod objects;
mod outcome;
mod owners;
mod pathname;
mod volume;
mod walk;

pub use errno::Errno;
pub use linksup::LinkView;
pub use objects::{
    Ccb, Fcb, FcbKind, FcbTable, FileKey, Geometry, Medium, REMOVAL, Vcb, VolumeOptions, VolumeState,
};
pub use outcome::{IrpContext, Outcome, Requestor, Wait};
pub use owners::OwnerMap;
pub use volume::{DirEntry, FileKind, InodeFlags, Metadata, UnixTime, Volume, VolumeInfo};
