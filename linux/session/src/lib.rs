//! From an image to a mounted volume: what every program on Linux as a library opens, refuses and says in the same way.
//!
//! A [`Session`](session::Session) has an [`Image`](image::Image) (a file, raw or in a format of [`formats`], or a disk) and what
//! the image's partition table says ([`partition`]), and boots Linux by this system's [`host`]. It chooses the part that is meant
//! and mounts it, only ever for reading: a [`Mounted`](session::Mounted). Whatever is refused on the way is a
//! [`Failure`](exit::Failure): one line and one of the exit codes that all these programs share.
//!
//! What a message calls the program and its options is the caller's: see [`Program`](program::Program). So is the flavour of Linux,
//! which a program links by `use linux_driver as _;` or `use linux_full as _;`. With the feature `args` a `Program` is also its own
//! frame: [`main`](program::Program::main) reads the command line, writes man pages, and ends with a line and a code. The feature
//! `signals` has what tells a program of tokio's that it is to end.
//! [`watchdog`] ends a program that a damaged image keeps from going on, and [`text`] writes names, which are bytes, for people and for machines.
//!
//! Everything but `image`, `host` and `signals` is free of platform code; nothing here is unsafe.

#![forbid(unsafe_code)]

#[cfg(test)]
use linux_driver as _;

pub mod exit;
mod formats;
#[cfg(feature = "args")]
pub mod frame;
pub mod host;
pub mod image;
pub mod options;
pub mod partition;
pub mod program;
pub mod session;
#[cfg(feature = "signals")]
pub mod signals;
pub mod text;
pub mod watchdog;
