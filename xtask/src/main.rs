//! Every task of the project. `cargo xtask help` lists them.

mod cache;
mod driver;
mod image_check;
mod repo;
mod toolchain;
mod wdk;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xshell::Shell;

/// Every task of the project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

/// The tasks.
#[derive(Subcommand)]
enum Task {
    /// Build lklfs.sys and print its path
    Driver {
        /// Optimised, as it is shipped
        #[arg(long)]
        release: bool,
    },
    /// Type-check one crate for the driver's target (with clippy when asked)
    CheckDriver {
        /// The crate's name
        #[arg(short, long)]
        package: String,
        /// Run clippy, warnings being errors
        #[arg(long)]
        clippy: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does one task.
fn run(task: Task) -> Result<()> {
    let sh = Shell::new()?;
    match task {
        Task::Driver { release } => println!("{}", driver::build(&sh, release)?.display()),
        Task::CheckDriver { package, clippy } => {
            driver::check(
                &sh,
                &package,
                if clippy {
                    driver::Verb::Clippy
                } else {
                    driver::Verb::Check
                },
            )?;
        }
    }
    Ok(())
}
