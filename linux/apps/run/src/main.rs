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

use clap::{CommandFactory, Parser};
use lkl_session::exit::{Exit, Failure, reason};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            // Help that was asked for; a closed pipe is no fault.
            let _ = error.print();
            return ExitCode::from(Exit::Ok as u8);
        }
        Err(error) => return told(&usage(&error)),
    };
    if let Some(folder) = &cli.man {
        return match clap_mangen::generate_to(cli::Cli::command(), folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let (folder, why) = (folder.display(), reason(&error));
                told(&Failure::new(
                    Exit::Destination,
                    format_args!("{folder}: {why}; name a folder that you may write to"),
                ))
            }
        };
    }
    match run::run(cli) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => told(&failure),
    }
}

fn told(failure: &Failure) -> ExitCode {
    if !failure.message.is_empty() {
        let _ = writeln!(std::io::stderr(), "lklrun: {failure}");
    }
    ExitCode::from(failure.exit as u8)
}

/// clap explains itself over several lines; the first ones say what is wrong.
fn usage(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let lines = text.lines().map(str::trim);
    let lines = lines.take_while(|line| !line.starts_with("Usage:"));
    let words: Vec<&str> = lines
        .filter(|line| !line.is_empty() && !line.starts_with("tip:") && !line.starts_with("For more"))
        .collect();
    let words = words.join(" ");
    let words = words.strip_prefix("error: ").unwrap_or(&words);
    Failure::new(Exit::Usage, format_args!("{words}; see lklrun --help"))
}
