//! What the user-mode hosts of the Linux kernel library share: parts that the standard library suffices for.
//!
//! [`timer`] keeps one-shot timers in order on one thread; how that thread sleeps is the host's [`timer::Sleeper`].
//! [`workers`] does, on a few threads, what a disk cannot answer at once. [`change`] is a request to change a disk, taken apart
//! for a device that has files' operations.

#![forbid(unsafe_code)]

pub mod change;
pub mod timer;
pub mod workers;
