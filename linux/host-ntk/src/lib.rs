//! The NT kernel-mode host (NTK): what Linux needs from the machine, taken from the NT kernel.
//!
//! | Linux asks for ([`lkl::Host`]) | NT gives |
//! |---|---|
//! | semaphores | `KSEMAPHORE` ([`sync`]) |
//! | threads | system threads on an expanded stack, left by a jump to their base frame ([`thread`], [`stack`]) |
//! | the pool, and its pages mapped side by side | pages of an MDL, and MDLs over some of them ([`memory`]) |
//! | clocks, one-shot timers | the performance counter, system time, `KTIMER` with a DPC ([`clock`], [`timer`]) |
//! | disks | IRPs to the device below, many at once ([`disk`]), with one in reserve for each device |
//!
//! [`NtkHost`] ties them together. Everything NT is named in [`nt`], and what a kernel may or may not have is looked
//! up once in [`routines`]; [`pool`] is the allocator behind `alloc`.
//!
//! # IRQL
//! A thread runs Linux at PASSIVE_LEVEL or APC_LEVEL. Only semaphore release, timer arming, the clocks, printing and
//! the end of a disk read happen at DISPATCH_LEVEL too.
//!
//! # Stack
//! Linux wants 64 KiB and an NT thread has 24. [`stack::on_large_stack`] is the door: whoever calls into `lkl` from
//! a thread of NT's goes through it.
//!
//! On anything but Windows this crate is empty.
#![cfg(windows)]
#![no_std]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

extern crate alloc;

pub mod clock;
mod device_query;
pub mod disk;
mod host;
pub mod memory;
pub mod nt;
pub mod pool;
mod reserve;
pub mod routines;
mod run;
pub mod stack;
pub mod sync;
pub mod thread;
pub mod timer;

pub use device_query::Attachment;
pub use disk::{DeviceDisk, DiskError};
pub use host::{NtkHost, print_line};
