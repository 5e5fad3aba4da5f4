//! The NT kernel as Rust types: the one crate of the driver that names its routines and records ([`nt`], over `wdk-sys`).
//!
//! It decides nothing about files. What is below knows only NT's vocabulary (`lklfs-nt`); above it stand the host of Linux
//! (`lkl-host-ntk`) and the file system's edge (`lklfs-ntk`).
//!
//! | module | what |
//! |---|---|
//! | [`nt`] | NT's names, as the headers have them, and what they lack |
//! | [`routines`] | routines that only some kernels have, looked up once |
//! | [`pool`] | the allocator behind `alloc`: non-paged, non-executable pool |
//! | [`stack`] | enough stack for Linux, and the jump out of it |
//! | [`sync`], [`resource`] | semaphores, events, spin locks; ERESOURCEs and values behind them |
//! | [`thread`] | system threads that are joined |
//! | [`clock`], [`machine`] | the time, and how much memory there is |
//! | [`fault`] | the one place where a fault is survived |
//! | [`disk`] | a disk device, read |
//! | [`irp`], [`mdl`] | locations of an IRP's stack; locked pages, mapped |
//! | [`name`], [`text`] | short names, copies of texts |
//! | [`registry`] | keys and their values |
//! | [`impersonation`] | work in the name of the client of a request |
//! | [`debugger`] | lines for the kernel debugger |
//!
//! # IRQL
//! Each public function says where it may be called. What says nothing computes only, and may be called anywhere.
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
pub mod debugger;
mod device_query;
pub mod disk;
pub mod fault;
pub mod impersonation;
pub mod irp;
pub mod machine;
pub mod mdl;
pub mod name;
pub mod nt;
pub mod pool;
pub mod registry;
pub mod resource;
pub mod routines;
pub mod stack;
pub mod sync;
pub mod text;
pub mod thread;
