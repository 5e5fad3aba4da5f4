//! One table: our POSIX host, our driver in the NT kernel double, a native loop mount and fuse2fs, on the same image.
//!
//! Each measurement is a process of its own that mounts the image afresh, so that *cold* means the same for everyone:
//! just mounted, with the image in this machine's page cache. Doing the same again in that process is *warm*. Subjects
//! take turns, several rounds of them, and the median counts: what else the machine does then hits all alike.
//!
//! [`subject`] is what is measured, [`work`] what it has to do, [`reference`] mounts for the others, [`table`] prints.

mod reference;
mod subject;
mod table;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::subject::Kind;
use crate::work::{Result as Measured, Work};

/// How often each measurement is made.
const ROUNDS: u32 = 3;

#[derive(Parser)]
#[command(
    version,
    about = "Measures our ways of reading a volume against the machine's own"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure everything and print the table
    All {
        /// An ext4 image with a file /big and a folder /wide
        #[arg(long)]
        image: PathBuf,
        /// The driver
        #[arg(long)]
        driver: PathBuf,
    },
    /// One measurement, as one line of JSON
    #[command(hide = true)]
    One {
        subject: Kind,
        work: Work,
        /// The image, the driver, or where the image is mounted: what the subject needs
        #[arg(long)]
        image: PathBuf,
        #[arg(long)]
        driver: PathBuf,
        #[arg(long)]
        mounted: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::All { image, driver } => all(&image, &driver),
        Command::One {
            subject,
            work,
            image,
            driver,
            mounted,
        } => {
            let place = subject::Place {
                image,
                driver,
                mounted,
            };
            one(subject, work, &place)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One measurement in this process.
fn one(subject: Kind, work: Work, place: &subject::Place) -> Result<()> {
    let measured = subject.with(place, |subject, start| work::measure(subject, work, start))?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// Every measurement, each in a process of its own.
fn all(image: &std::path::Path, driver: &std::path::Path) -> Result<()> {
    let program = std::env::current_exe()?;
    // The image goes into the page cache once, for everyone.
    std::io::copy(
        &mut std::fs::File::open(image).with_context(|| image.display().to_string())?,
        &mut std::io::sink(),
    )?;
    let mut table = table::Table::default();
    let turns = (0..ROUNDS).flat_map(|_| Work::ALL);
    for work in turns {
        for kind in Kind::ALL {
            eprintln!("{} {}", kind.name(), work.name());
            let cell = reference::with(kind, image, |mounted| {
                let mut command = std::process::Command::new(&program);
                command.arg("one").arg(kind.name()).arg(work.name());
                command.arg("--image").arg(image).arg("--driver").arg(driver);
                if let Some(mounted) = mounted {
                    command.arg("--mounted").arg(mounted);
                }
                run(command)
            });
            if let Err(error) = &cell {
                eprintln!("  {error:#}");
            }
            table.put(kind, work, cell);
        }
    }
    print!("{table}");
    Ok(())
}

/// Runs one measurement and reads its line.
fn run(mut command: std::process::Command) -> Result<Measured> {
    let output = command.stderr(std::process::Stdio::piped()).output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        anyhow::bail!(
            "{}: {}",
            output.status,
            text.lines().last().unwrap_or("no message")
        );
    }
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().last().context("no result")?;
    Ok(serde_json::from_str(line)?)
}
