//! Trees of files, for programs that list, read and copy them.
//!
//! A tree is seen through one trait, [`volume::Volume`]: a folder's entries, what each is, its bytes. [`linux`] implements it for
//! what the Linux in this program has mounted, [`memory`] with plain Rust values for tests; programs have more. Above it stand
//! [`walk`] (every entry once, in a bounded amount of memory, whatever a damaged volume says), [`entries`] (the names in one folder) and
//! [`resolve`] (from a path to an object). [`scratch`] is for what a program makes of them on this system: it is complete, or it
//! is gone.

#![forbid(unsafe_code)]

#[cfg(test)]
use linux_driver as _;

use lkl_session::{exit, text, watchdog};

pub mod entries;
pub mod linux;
pub mod memory;
pub mod resolve;
pub mod scratch;
pub mod volume;
pub mod walk;
