//! Damaged images from other projects' test suites, run through a program in bounded time.

use std::io;
use std::process::ExitCode;

/// Options
#[derive(clap::Args)]
pub struct Options {}

/// Run
pub fn run(_options: &Options) -> io::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
