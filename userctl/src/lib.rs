//! `userctl`: reads Linux volumes out of images and disks, with no driver.
//!
//! The binary (`main.rs`) parses the command line (`cli`), runs one command and turns its `Failure` into one line and
//! an exit code (`exit`). Each command has its module: `info`, `list`, `cat`, `copy`, `manifest`. They see a volume
//! only through the `volume::Volume` trait; `session` is the one place that knows Linux, its host and disks, and
//! `memory` is a volume made of plain Rust values for tests. What several commands write in the same way lives in
//! `text` (escapes, times, modes) and `walk` (every entry of a tree, once).
//!
//! Everything but `session` and `image` is free of platform code; nothing here is unsafe.

#![forbid(unsafe_code)]

pub mod cat;
pub mod cli;
pub mod copy;
mod destination;
pub mod exit;
mod formats;
pub mod host;
pub mod image;
pub mod info;
pub mod list;
pub mod manifest;
pub mod memory;
pub mod names;
pub mod partition;
pub mod resolve;
pub mod run;
pub mod scratch;
pub mod session;
pub mod text;
pub mod volume;
pub mod walk;
pub mod watchdog;
