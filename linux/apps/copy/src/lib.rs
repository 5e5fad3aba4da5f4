//! Copying out of disk images and into them: `fs2tar`, `cptofs` and `cpfromfs`.
//!
//! A tree is read through [`lkl_tree::volume::Volume`]: by Linux in this program from an image, or from this machine's own files
//! ([`host_tree`]; on Windows, this and [`host_place`] are in `nt`). Where it goes is a [`destination::Destination`], a few calls relative to folders: an image
//! ([`image_place`]) or this machine ([`host_place`]); [`copy`] goes over the one and makes the other, and [`report`] keeps what did
//! not work. [`archive`] is the third place, a tar archive, with [`to_tar`]. Each program is a module with its command line: [`fs2tar`],
//! [`cptofs`], [`cpfromfs`]; [`program`] is what they have in common.
//!
//! Nothing is half written. A file gets its name when it is complete, or loses it again; an archive that cannot be completed is
//! removed; an image is unmounted however a run ends.

#![forbid(unsafe_code)]

use linux_full as _;

pub mod archive;
mod choice;
pub mod copy;
pub mod cpfromfs;
pub mod cptofs;
pub mod destination;
pub mod fs2tar;
#[cfg_attr(windows, path = "nt/place.rs")]
pub mod host_place;
#[cfg_attr(windows, path = "nt/tree.rs")]
pub mod host_tree;
pub mod image_place;
pub mod program;
pub mod report;
mod to_tar;
