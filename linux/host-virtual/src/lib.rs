//! The host in virtual time: Linux inside a process of Linux, with a clock of its own.
//!
//! The clock stands still while anything runs and jumps to the next event, the earliest timer, when nothing does: an hour in which
//! Linux waits takes no time. One thread runs at a time, and which is next follows from what happened before ([`schedule`]).
//! So nothing depends on the machine's speed, or on how it hands out processors: with the same seed ([`BootConfig`],
//! `lkl_seed=`) and the same program the same happens, to the nanosecond.
//!
//! That holds for threads that take part: Linux's own, the one that boots ([`boot`]), and those that [`World::spawn`] starts.
//! What they wait for must be Linux's, a [`Bell`], or [`Task::join`]: a thread that waits for something else keeps all others
//! waiting. Several Linuxes, in processes of their own, can share one virtual time: a [`Conductor`] drives the clock of each,
//! and [`SharedNumbers`] is memory in which they agree on it.
//! Of other threads each call into Linux is served, at a time that is no one's to foretell.

// UNSAFETY (whole crate): passes memory of the POSIX host's on, and maps a file.

#![cfg(target_os = "linux")]
#![deny(unsafe_code)]

mod conductor;
mod rest;
pub mod schedule;
mod shared;
mod world;

pub use conductor::{Conductor, Step};
pub use lkl::{BootConfig, BootError, Halt, Kernel};
pub use rest::rest;
pub use shared::SharedNumbers;
pub use world::{Bell, Start, Task, World, boot};
