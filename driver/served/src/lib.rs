//! A volume that a user-mode process serves: the protocol, and both of its ends.
//!
//! The driver asks by [`ServedVolume`], an `fsd::Volume` like any other; the process answers by [`Server`], over a volume that
//! it has mounted itself. [`Transport`] carries the calls of the one to the other. So what a crafted volume does to Linux, it
//! does to a process.
//!
//! # Trust
//!
//! A process that was taken over by its volume answers whatever its volume wants. So the driver's end believes nothing: [`wire`]
//! checks the version, lengths, kinds, sizes, times and names of each answer, [`ServedVolume`] that an answer fits what was asked:
//! a file has the length that was told when it was found, data lie within it, a listing makes progress. What does not fit fails
//! the request that asked, with `EUCLEAN`. A node's number is the process's own, opaque here, and only ever given back. What the
//! process can do is what any volume can: show a tree that it has thought up.
//!
//! The process's end refuses what is malformed, too, and numbers of nodes that it never gave.
//!
//! # Blocking
//!
//! Every call waits for the process, but for three that `fsd::Volume` wants to be free of that: a node comes with its metadata,
//! the root is kept, and what is let go of is told with a later call.

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
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

extern crate alloc;
#[cfg(any(feature = "server", test))]
extern crate std;

mod entries;
mod info;
mod metadata;
#[cfg(feature = "server")]
mod server;
mod volume;
pub mod wire;

#[cfg(feature = "server")]
pub use server::{Malformed, Server};
pub use volume::{ServedNode, ServedVolume, Transport};
