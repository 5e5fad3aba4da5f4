//! Lists, mounts and reads Linux volumes: parse, run, one line and an exit code.

#![forbid(unsafe_code)]

use lkl_session::program::Program;
use std::process::ExitCode;
use userctl::cli::Cli;

fn main() -> ExitCode {
    Program::new("userctl").obey(|cli: Cli| {
        let done = userctl::run::run(cli);
        if done.is_err() {
            // A copy whose place is being cleared by another thread fails in odd ways; the other thread has the last word.
            userctl::scratch::check_running();
        }
        done
    })
}
