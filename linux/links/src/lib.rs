//! What a network interface of Linux's can be connected to.
//!
//! Each function here opens one kind of other end and returns a [`lkl_netdev::Backend`] for `add_network_device` of crate
//! `linux-full`; [`Spec`] is what users write for it.

// UNSAFETY (tap, packet): ioctls and socket options that have no safe function.

#![deny(unsafe_code)]

#[cfg(unix)]
mod descriptor;
mod error;
mod pump;
#[cfg(target_os = "linux")]
mod tap;

pub use error::LinkError;
#[cfg(target_os = "linux")]
pub use tap::{macvtap, tap};
