//! `lkl-headers`: generates the C headers of the Linux kernel library and says where they are.

#![forbid(unsafe_code)]

use clap::Parser;
use std::process::ExitCode;

/// Generate the C headers of the Linux kernel library. Prints the folder that a compiler is told to search.
#[derive(Parser)]
#[command(version)]
struct Arguments {}

fn main() -> ExitCode {
    let Arguments {} = Arguments::parse();
    let made = lkl_build::Request::from_env()
        .map_err(anyhow::Error::from)
        .and_then(|request| lkl_headers::headers(&request));
    match made {
        Ok(folder) => {
            println!("{}", folder.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("lkl-headers: {error:#}");
            ExitCode::FAILURE
        }
    }
}
