//! `lklget`: fetches URLs over the network stack of the Linux that it carries.
//!
//! The story of one run: [`cli`] is what the user wrote. Crate `lkl-net-setup` boots Linux, adds an interface to what `--net`
//! names, and gives it addresses. [`fetch`] gets one URL after the other, several at once: [`connect`] makes its connections, by [`attempts`] where a server
//! has several addresses, which
//! [`reuse`] keeps for the next URL of the same server, [`tls`] knows whom to trust, [`place`] is where the bytes go, with
//! [`output`] for standard output, and [`progress`] is what a terminal shows of it. [`stats`] has what Linux knows of each
//! connection at the end. [`refusal`] turns whatever goes wrong into a line that says what to do, and an exit code.

#![forbid(unsafe_code)]

mod attempts;
mod cli;
mod connect;
mod fetch;
mod output;
mod place;
mod progress;
mod refusal;
mod reuse;
mod run;
mod stats;
mod tls;

use lkl_session::program::Program;
use std::process::ExitCode;

fn main() -> ExitCode {
    Program::new("lklget").main(run::run)
}
