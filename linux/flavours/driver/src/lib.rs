//! The driver's flavour of Linux, for programs that read: every file system, and neither a way to ask a host for a write nor a
//! network.
//!
//! There is nothing in this crate. A program that has a kernel boot (crates `lkl`, `lkl-host-posix`, `lkl-host-nt`) says
//! `use linux_driver as _;` and has Linux linked in. `linux-full` is the other flavour; a program has one of them.

#![no_std]
#![forbid(unsafe_code)]
