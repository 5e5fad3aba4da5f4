//! What the user-mode hosts of the Linux kernel library share: parts that the standard library suffices for.
//!
//! [`timer`] keeps one-shot timers in order on one thread; how that thread sleeps is the host's [`timer::Sleeper`].
//! [`workers`] does, on a few threads, what a disk cannot answer at once. [`change`] is a request to change a disk, taken apart
//! for a device that has files' operations. [`console`] is where Linux's output and its last words go, and [`way_back`] how a
//! thread ends where the system's threads end by returning. [`spawn`] is for hosts that start threads in a way of their own.

#![deny(unsafe_code)]

pub mod change;
pub mod console;
pub mod spawn;
pub mod timer;
#[cfg(unix)]
pub mod way_back;
pub mod workers;
