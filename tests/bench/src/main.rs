//! Two tables, each on one image: our POSIX host and our driver in the NT kernel double beside a native loop mount and fuse2fs; and
//! lklfuse beside those two, for writing as well.
//!
//! Each measurement is a process of its own that mounts the image afresh, so that *cold* means the same for everyone:
//! just mounted, with the image in this machine's page cache. Doing the same again in that process is *warm*. Subjects
//! take turns, several rounds of them, and the median counts: what else the machine does then hits all alike.
//!
//! Other tables are of programs, as wholes: [`servers`] beside themselves over a native mount and beside vsftpd, [`copies`] of
//! trees beside cp and tar, [`net`]works beside the machine's own stack, and [`simulations`] of networks beside ns-3.
//!
//! [`subject`] is what is measured, [`work`] and [`changes`] what it has to do, [`reference`] mounts for the others, [`table`] prints.

mod changes;
mod copies;
mod ethernet;
mod ftp_client;
mod hosted;
mod http_client;
mod net;
mod reference;
mod servers;
mod simulations;
mod subject;
mod table;
mod trees;
mod work;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::reference::How;
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
    /// Measure what mounts a volume in a folder, for reading and writing, and print the table
    Apps {
        /// An ext4 image with a file /big and a folder /wide
        #[arg(long)]
        image: PathBuf,
        /// The program that mounts it
        #[arg(long)]
        lklfuse: PathBuf,
    },
    /// Measure what shows a volume to clients of FTP and WebDAV, and print two tables
    Servers {
        /// Our programs' folder
        #[arg(long)]
        programs: PathBuf,
        /// A folder for images
        #[arg(long)]
        place: PathBuf,
    },
    /// Measure what copies trees into and out of images, and print a table
    Copies {
        /// Our programs' folder
        #[arg(long)]
        programs: PathBuf,
        /// A folder for images and copies
        #[arg(long)]
        place: PathBuf,
    },
    /// Measure Linux's network stack as a library beside the machine's own, and print a table
    Net {
        /// Our programs' folder
        #[arg(long)]
        programs: PathBuf,
    },
    /// Measure programs under lklrun beside themselves on the machine's own stack, and print a table
    Hosted {
        /// Our programs' folder
        #[arg(long)]
        programs: PathBuf,
    },
    /// Measure simulations of networks of many sizes, and one beside ns-3, and print two tables
    Simulations {
        /// Our programs' folder
        #[arg(long)]
        programs: PathBuf,
        /// A folder for topologies and results
        #[arg(long)]
        place: PathBuf,
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
        driver: Option<PathBuf>,
        #[arg(long)]
        mounted: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::All { image, driver } => {
            let how = How {
                image: &image,
                write: false,
                lklfuse: Path::new("lklfuse"),
            };
            all(Kind::READERS, Work::READING, &how, Some(&driver))
        }
        Command::Apps { image, lklfuse } => {
            let how = How {
                image: &image,
                write: false,
                lklfuse: &lklfuse,
            };
            all(Kind::MOUNTS, Work::MOUNTED, &how, None)
        }
        Command::Servers { programs, place } => {
            let [ftp, web] = ["lklftpd", "lklserve"].map(|name| programs.join(name));
            servers::run(&ftp, &web, &place)
        }
        Command::Simulations { programs, place } => simulations::run(&programs.join("lklsim"), &place),
        Command::Copies { programs, place } => {
            let [into, out, tar] = ["cptofs", "cpfromfs", "fs2tar"].map(|name| programs.join(name));
            let programs = copies::Programs {
                into: &into,
                out: &out,
                tar: &tar,
            };
            copies::run(&programs, &place)
        }
        Command::Hosted { programs } => hosted::run(&programs.join("lklrun")),
        Command::Net { programs } => net::run(&net::Programs {
            peer: &programs.join("examples/peer"),
            lklget: &programs.join("lklget"),
            lklrun: &programs.join("lklrun"),
        }),
        Command::One {
            subject,
            work,
            image,
            driver,
            mounted,
        } => {
            let place = subject::Place {
                image,
                driver: driver.unwrap_or_default(),
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
    let measured = match work.writes() {
        true => work::measure_changes(place.mounted()?, work)?,
        false => subject.with(place, |subject, start| work::measure(subject, work, start))?,
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// Every measurement, each in a process of its own; what writes has a copy of the image each time.
fn all(kinds: &'static [Kind], works: &'static [Work], how: &How<'_>, driver: Option<&Path>) -> Result<()> {
    let program = std::env::current_exe()?;
    let image = how.image;
    // The image goes into the page cache once, for everyone.
    std::io::copy(
        &mut std::fs::File::open(image).with_context(|| image.display().to_string())?,
        &mut std::io::sink(),
    )?;
    let mut scratches = 0;
    let mut table = table::Table::new(kinds, works);
    let turns = (0..ROUNDS).flat_map(|_| works);
    for work in turns {
        for kind in kinds {
            eprintln!("{} {}", kind.name(), work.name());
            let mut how = How { ..*how };
            // Never one name twice: a loop device may still be letting go of the last.
            scratches += 1;
            let scratch = image.with_extension(format!("scratch{scratches}"));
            if work.writes() {
                std::fs::copy(image, &scratch)?;
                // Else the first sync of what is measured would write the copy as well.
                std::fs::File::open(&scratch)?.sync_all()?;
                (how.image, how.write) = (&scratch, true);
            }
            let cell = reference::with(*kind, &how, |mounted| {
                let mut command = std::process::Command::new(&program);
                command.arg("one").arg(kind.name()).arg(work.name());
                command.arg("--image").arg(how.image);
                if let Some(driver) = driver {
                    command.arg("--driver").arg(driver);
                }
                if let Some(mounted) = mounted {
                    command.arg("--mounted").arg(mounted);
                }
                run(command)
            });
            if let Err(error) = &cell {
                eprintln!("  {error:#}");
            }
            table.put(*kind, *work, cell);
            if work.writes() {
                std::fs::remove_file(&scratch)?;
            }
        }
    }
    print!("{table}");
    anyhow::ensure!(!table.is_empty(), "nothing could be measured");
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
