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
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failure) => told(&failure),
    }
}

fn told(failure: &Failure) -> ExitCode {
    if !failure.message.is_empty() {
        let _ = writeln!(std::io::stderr(), "lklget: {failure}");
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
    Failure::new(Exit::Usage, format_args!("{words}; see lklget --help"))
}
