//! `lklrun`: runs a program on the network stack of the Linux that it carries.
//!
//! The story of one run: [`cli`] is what the user wrote. [`run`] forks the [`guardian`], boots Linux with its interfaces, and lets the
//! guardian start the program, under the [`filter`] that has the machine's Linux hand over the program's calls of sockets
//! ([`notify`]), with [`names`] for its name servers. The [`supervisor`] answers them ([`calls`]), reaching into the calling thread
//! ([`target`]) and calling the Linux here ([`linux`]). For each socket the program has a [`proxy`], through which the bytes of a
//! [`stream`], or a [`message`], go.

#![deny(unsafe_code)]
#![cfg_attr(not(all(target_os = "linux", target_arch = "x86_64")), allow(unused))]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("lklrun needs the seccomp user notification of Linux, on x86-64");

mod calls;
mod cli;
mod filter;
mod guardian;
mod linux;
mod message;
mod names;
mod notify;
mod proxy;
mod run;
mod stream;
mod supervisor;
mod target;

use lkl_session::program::Program;
use std::process::ExitCode;

fn main() -> ExitCode {
    Program::new("lklrun").main(run::run)
}
