//! Reads disks out of image files: raw, VHD (fixed, dynamic, differencing), VHDX, qcow2.
//!
//! [`open`] takes a file and opens it, its parents and its data file; the caller finds those by the names that the
//! image holds ([`Reference`]). The [`Image`] that results never changes. [`Image::map`] says where a range of the disk
//! is: in which file and where there, or that it is zeros, or that it must be computed (unpacked, or taken from a log).
//! It answers with runs as long as they are, so that a driver can pass large reads down without a copy.
//! [`Image::read_at`] does all of that itself. Both use a [`Cache`] of the caller's, which bounds the memory; nothing
//! else is allocated after opening.
//!
//! ```text
//!   Image ── layers: Mapping ──┬─ Raw            what is at an offset of the layer's disk:
//!     │      (0 on top)        ├─ Vhd            Found { Data, Zero, Below, Packed }
//!     │                        ├─ Vhdx ── vhdx_regions, vhdx_log, vhdx_parent
//!     │                        └─ Qcow2 ── qcow2_tables
//!     └── files: Source ── patches of a VHDX's log      Cache ── pages of tables, one unpacked cluster (unpack, zstd)
//! ```
//!
//! # What is read and what is refused
//!
//! | Format | Read | Refused, by name |
//! |---|---|---|
//! | raw | anything that is none of the others | VMDK, VDI, QED, Parallels, EnCase, AFF |
//! | VHD | fixed, dynamic, differencing; the copy of the footer when the end is damaged | |
//! | VHDX | fixed, dynamic, differencing; 512 and 4096 byte sectors; a log that was not written home is replayed in memory | unknown regions and metadata that it requires; logs over 64 MiB |
//! | qcow2 | versions 2 and 3, backing files, deflate, zstd, zero clusters, extended L2 entries, external data, the dirty and corrupt flags (reads do not need what they are about) | encryption, unknown incompatible features, backing files of other formats, on servers or named by options (`json:`); of snapshots only the current state is seen |
//!
//! A fixed VHD has its only mark in its last sector: one that lost it is taken for a raw image. A raw image whose
//! content begins like another format is taken for that format, unless whoever refers to it says that it is raw.
//!
//! # Bad images
//!
//! Nothing is believed: every sum is checked, every place is compared with the length of its file, and what is missing
//! is [`Error::Truncated`] and never zeros. There is no recursion; chains end after [`MAX_LAYERS`]; every loop is
//! bounded by the size of what was asked or by a constant; every allocation may fail and is bounded by a constant of
//! some MiB.
//!
//! # Why not a library
//!
//! This runs in a kernel as well: no standard library, no panic, no allocation that may not fail. Of the published
//! crates `imago` (raw, qcow2, VMDK) and `qcow2-rs` need tokio, `vhdx` and `vhd` the standard library and
//! `unwrap` on what they read, and none reads all the formats. The decoder of deflate is `miniz_oxide`, the checksum
//! `crc`. For Zstandard `ruzstd` needs no standard library, but asserts on what it decodes and ends the program when
//! it gets no memory, so there is a decoder here (`zstd.rs`) that does neither.

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

mod cache;
mod chain;
mod error;
mod fields;
mod layer;
mod map;
mod patches;
mod qcow2;
mod qcow2_tables;
mod reference;
mod source;
mod unpack;
mod vhd;
mod vhdx;
mod vhdx_log;
mod vhdx_parent;
mod vhdx_regions;
mod zstd;

use core::fmt;

pub use cache::Cache;
pub use chain::{Image, Unresolved, open, open_as};
pub use error::{Error, FeatureName};
pub use fs_probe::{ReadAt, ReadError};
pub use map::Extent;
pub use reference::{Base, Declared, Encoding, Name, Reference, Role};

/// Images that may be stacked on each other, the first included.
pub const MAX_LAYERS: usize = 32;

/// A file that an image is in.
pub trait File: ReadAt {
    /// Its length in bytes. It must stay what it was when the image was opened.
    fn size_bytes(&self) -> u64;

    /// Whether this is the same file as another, by whatever name it was opened. It is how a chain that leads back to
    /// itself is found early; without it such a chain ends at [`MAX_LAYERS`].
    fn is_same(&self, other: &Self) -> bool {
        let _ = other;
        false
    }
}

/// What an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The disk itself.
    Raw,
    /// VHD.
    Vhd(VhdKind),
    /// VHDX.
    Vhdx,
    /// qcow2.
    Qcow2,
}

impl Format {
    /// `"raw"`, `"VHD"`, `"VHDX"` or `"qcow2"`.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Vhd(_) => "VHD",
            Format::Vhdx => "VHDX",
            Format::Qcow2 => "qcow2",
        }
    }
}

/// The kinds of VHD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VhdKind {
    /// All of it is in the file, in order.
    Fixed,
    /// What was written is in the file.
    Dynamic,
    /// What was written is in the file, the rest in another one.
    Differencing,
}

/// A disk's own identity, in the order in which it is printed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskId(pub [u8; 16]);

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
