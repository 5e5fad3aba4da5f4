//! The NT kernel-mode host (NTK): what Linux needs from the machine, taken from the NT kernel.
//!
//! | Linux asks for ([`lkl::Host`]) | NT gives |
//! |---|---|
//! | semaphores | `KSEMAPHORE` ([`semaphore`]) |
//! | threads | system threads on an expanded stack, left by a jump to their base frame ([`thread`]) |
//! | the pool, and its pages mapped side by side | pages of an MDL, and MDLs over some of them ([`memory`]) |
//! | clocks, one-shot timers | the performance counter, system time, `KTIMER` with a DPC ([`timer`]) |
//! | disks | IRPs to the device below, many at once ([`disk`]), with one in reserve for each device |
//!
//! [`NtkHost`] ties them together, over NT's routines as `lklfs-kernel` has them.
//!
//! # IRQL
//! A thread runs Linux at PASSIVE_LEVEL or APC_LEVEL. Only semaphore release, timer arming, the clocks, printing and
//! the end of a disk read happen at DISPATCH_LEVEL too.
//!
//! # Stack
//! Linux wants 64 KiB and an NT thread has 24. `lklfs_kernel::stack::on_large_stack` is the door: whoever calls into `lkl` from
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

pub mod disk;
mod host;
pub mod memory;
mod reserve;
mod run;
pub mod semaphore;
pub mod thread;
pub mod timer;

pub use disk::DeviceDisk;
pub use host::NtkHost;
