//! `tcp-scripts FILE.pkt...`: runs scripts, over IPv4 and IPv6, and says which pass.

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use tcp_scripts::linux::Linux;
use tcp_scripts::run::{Settings, Version};
use tcp_scripts::script::parse;

/// Runs TCP scripts against the carried Linux, in virtual time
#[derive(Parser)]
struct Arguments {
    /// Scripts
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only over this version of IP: ipv4 or ipv6
    #[arg(long)]
    ip_version: Option<String>,
    /// By how many microseconds times may differ
    #[arg(long, default_value_t = 0)]
    tolerance_usecs: u64,
    /// As packetdrill: several segments may stand for one of the script's, and what comes at its end is of no account
    #[arg(long)]
    partial: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tcp-scripts: {error}");
            ExitCode::from(2)
        }
    }
}

/// How many runs failed.
fn run(arguments: &Arguments) -> Result<usize, String> {
    let linux = Linux::boot()?;
    let mut failed = 0;
    for file in &arguments.files {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let script = match parse(&text) {
            Ok(script) => script,
            Err(fault) => {
                println!("{}:{fault}", file.display());
                failed += 1;
                continue;
            }
        };
        for version in [Version::V4, Version::V6] {
            let asked = arguments.ip_version.as_deref();
            let mut settings = Settings::new(version);
            if asked.is_some_and(|asked| asked != version.to_string()) || !settings.fits(&script) {
                continue;
            }
            settings.tolerance = arguments.tolerance_usecs.saturating_mul(1000);
            settings.whole = !arguments.partial;
            let folder = file.parent().map(PathBuf::from).unwrap_or_default();
            match linux.run(&script, settings, folder) {
                Ok(()) => println!("{} ({version}): passes", file.display()),
                Err(fault) => {
                    println!("{}:{fault} ({version})", file.display());
                    failed += 1;
                }
            }
        }
    }
    linux.halt()?;
    Ok(failed)
}
