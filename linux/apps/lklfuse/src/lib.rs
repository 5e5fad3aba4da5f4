//! `lklfuse`: disks and disk images in a folder, through FUSE, by Linux as a library.
//!
//! The story of one `read`: the host's kernel has a page of the file, or asks one of the threads of crate `fuser`, which calls
//! [`filesystem`]. That finds the open file ([`handles`]) and calls the Linux in this program, on the same thread; Linux reads its
//! disk, the image.
//!
//! - [`cli`] and [`mount_options`] are what the user says, [`run`] is the life of a mount, [`background`] its start as a daemon.
//! - [`filesystem`] answers the kernel's requests: about names and what they stand for ([`nodes`]), and about open files
//!   ([`handles`]). [`attributes`] is Linux's words in FUSE's.
//! - [`revival`] has what is only read go on when Linux has died.
//! - [`readers`] are the threads: one waits for requests, and others when it is held up.
//! - The host's kernel caches names, attributes and pages for as long as it likes: nothing but this mount changes the volume.
//!
//! Nothing here is unsafe.

#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

pub mod attributes;
pub mod background;
pub mod cli;
pub mod filesystem;
pub mod handles;
pub mod mount_options;
pub mod nodes;
pub mod readers;
pub mod revival;
pub mod run;
pub mod served;
