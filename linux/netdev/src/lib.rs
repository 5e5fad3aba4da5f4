//! Network interfaces of Linux whose other end is the host's.
//!
//! The story of a packet:
//!
//! 1. A program links the Linux that has networks, crate `linux-full`, which has the functions of Linux's that are needed:
//!    `add_network_device`. A [`Backend`] is the other end, a TAP device for instance (crate `lkl-links` has several).
//! 2. What Linux sends comes to [`Backend::transmit`] as [`Packet`]s: pieces of Linux's memory, with a [`Header`] that says what is
//!    left to do. The backend keeps each for as long as it needs; dropping it gives it back.
//! 3. For what Linux is to receive it gives empty [`Buffer`]s to [`Backend::receive`]. The backend has its packets written
//!    into them, and gives them back by [`Received::deliver`], many at a time.
//!
//! Nothing is copied on the way, and nothing waits: Linux goes on while packets are the backend's.
//!
//! This crate refers to no symbol of Linux's, so that hosts may depend on it whatever Linux the program has.

// UNSAFETY (whole crate): packets and buffers are memory of Linux's.

#![deny(unsafe_code)]

pub mod backend;
pub mod device;
pub mod door;
pub mod header;
pub mod packet;
pub mod sys;

pub use backend::Backend;
pub use device::{Cable, Config, MacAddress, NetworkDevice};
pub use door::Calls;
pub use header::{Header, Offloads};
pub use packet::{Buffer, Buffers, Packet, Packets, Received};
