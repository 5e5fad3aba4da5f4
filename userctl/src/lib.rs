//! `userctl`: lists, mounts and reads Linux volumes.
//!
//! The binary (`main.rs`) parses the command line (`cli`), runs one command and turns its `Failure` into one line and
//! an exit code (`exit`). Each command has its module.
//!
//! - What reads: `info`, `list` (the command is `ls`), `cat`, `copy`, `manifest`. They see a volume only through the
//!   `volume::Volume` trait. `source` decides who implements it: Linux, opened by `session`; or `mounted`, a volume that the driver has mounted.
//! - What asks the driver: `mount`, `unmount`, `stop`, `status`, `volumes` (the command is `list`), `log`, `diag`. They ask it by
//!   `lklfs_client`; `driver` opens it and turns what it refuses into failures, `target` tells what is to be mounted. On Linux, where there is
//!   no driver, the first two mount in `folders`.
//!
//! What several commands write in the same way lives in `text` (escapes, times, modes) and `table`. The trait, `walk` (every entry
//! of a tree, once) and what goes with them are in crate `lkl_tree`. What other programs on Linux as a library have as well is in crate `lkl_session`: from an image to a mounted
//! file system, exit codes, the time limit.
//!
//! The code is free of platforms; nothing here is unsafe.

#![forbid(unsafe_code)]

use linux_driver as _;

pub use lkl_session::{exit, partition, watchdog};

use lkl_session::image;

pub use lkl_tree::{entries, memory, resolve, scratch, volume, walk};

pub mod cat;
pub mod cli;
pub mod copy;
mod destination;
pub mod diag;
pub mod driver;
pub mod folders;
pub mod info;
pub mod list;
pub mod log;
pub mod manifest;
pub mod mount;
pub mod mounted;
pub mod names;
pub mod policy;
pub mod run;
pub mod session;
pub mod source;
pub mod status;
pub mod stop;
pub mod table;
pub mod target;
pub mod text;
pub mod unmount;
pub mod volumes;
