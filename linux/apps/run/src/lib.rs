//! Unmodified programs on the network of a Linux that this process carries.
//!
//! A [`Launcher`] is started before there are threads. [`Launcher::run`] starts a [`Job`] in a network name space of a Linux that
//! runs; a [`Running`] waits for it and signals it, and leaves nothing behind when it goes.
//!
//! The launcher is a process ([`launcher`]), which forks a [`guardian`] for each job. That starts the program, under the [`filter`]
//! that has the machine's Linux hand over the program's calls of sockets ([`notify`]), with files of its own for names ([`names`]). The
//! [`supervisor`] answers the calls ([`calls`]), reaching into the calling thread ([`target`]) and calling the Linux here
//! ([`linux`]). For each socket the program has a [`proxy`], through which the bytes of a [`stream`], or a [`message`], go.
//!
//! The program `lklrun` ([`cli`], [`run`]) boots Linux with its interfaces, and starts one job in its first name space.

#![deny(unsafe_code)]
#![cfg_attr(not(all(target_os = "linux", target_arch = "x86_64")), allow(unused))]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("lklrun needs the seccomp user notification of Linux, on x86-64");

mod calls;
#[cfg(feature = "program")]
pub mod cli;
mod filter;
mod guardian;
mod job;
mod launcher;
mod linux;
mod message;
pub mod names;
mod notify;
mod proxy;
#[cfg(feature = "program")]
mod run;
mod running;
mod stream;
mod supervisor;
mod target;

pub use guardian::SIGNALS;
pub use job::Job;
pub use launcher::Launcher;
pub use running::{End, Running};
