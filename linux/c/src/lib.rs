//! The C interface of the Linux kernel library: `liblkl`, for programs that were written for LKL and for new ones.
//!
//! What a program includes is `include/lkl.h` and `include/lkl_host.h`, above the headers that `lkl-headers` generates from
//! Linux's own. The functions are here, by what they are for:
//!
//! | module | |
//! |---|---|
//! | [`life`] | boot, halt, and the one Linux of the process |
//! | [`calls`] | system calls by number, in the name of the calling thread's task |
//! | [`operations`] | `lkl_host_ops`: what the host offers to programs |
//! | [`disks`], [`files`] | disks of the program's, and mounting what is on them |
//! | [`netdevs`], [`own_net`] | network interfaces: the host's ends |
//! | [`interfaces`], [`addressing`] | their addresses and routes; `ip=` of the command line |
//! | [`mounts`], [`folders`], [`settings`] | helpers over system calls |
//! | [`text`] | errors in words, printing |
//!
//! Nothing here unwinds into C: the library aborts on a panic.

// UNSAFETY (whole crate): C calls with pointers, and what they must point to is in the headers.

#![cfg_attr(
    windows,
    allow(
        clippy::missing_const_for_thread_local,
        reason = "clippy sees no const in what thread_local! expands to there"
    )
)]
#![allow(unsafe_code)]

mod addressing;
mod calls;
mod disks;
mod files;
mod folders;
mod interfaces;
mod life;
mod mounts;
mod netdevs;
mod operations;
mod own_net;
mod settings;
mod text;

/// Linux's `long` on every host, as `lkl/abi.h` has it.
type Long = i64;

/// What a function of the library returns: at least 0, or a negative error.
fn result(outcome: Result<u64, lkl::Errno>) -> Long {
    match outcome {
        Ok(value) => value.cast_signed(),
        Err(errno) => errno.negated(),
    }
}

/// The same, for those that return an int.
fn int(outcome: Result<u64, lkl::Errno>) -> i32 {
    i32::try_from(result(outcome)).unwrap_or(i32::MAX)
}
