//! Lists, mounts and reads Linux volumes: parse, run, one line and an exit code.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use userctl::cli::Cli;
use userctl::exit::{Exit, Failure};

fn main() -> ExitCode {
    userctl::exit::end_on_panic();
    let failure = match Cli::try_parse() {
        Ok(cli) => match userctl::run::run(cli) {
            Ok(()) => return ExitCode::from(Exit::Ok as u8),
            Err(failure) => failure,
        },
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                // Help that was asked for goes to stdout; a closed pipe there is no fault.
                let _ = error.print();
                let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
                return ExitCode::from(exit as u8);
            }
            _ => usage(&error),
        },
    };
    // A copy whose place is being cleared by another thread fails in odd ways; the other thread has the last word.
    userctl::scratch::check_running();
    if failure.exit != Exit::Ok {
        eprintln!("userctl: {failure}");
    }
    ExitCode::from(failure.exit as u8)
}

/// clap explains itself over several lines; the first says what is wrong, and a list of missing arguments follows it.
fn usage(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let lines = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:"));
    let lines: Vec<&str> = lines
        .filter(|line| {
            !line.is_empty() && !line.starts_with("tip:") && !line.starts_with("For more information")
        })
        .collect();
    let message = lines.join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    Failure::new(Exit::Usage, format_args!("{message}; see userctl --help"))
}
