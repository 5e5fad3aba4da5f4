//! `double`: reads a disk image through `lklfs.sys`, loaded by the NT kernel double.
//!
//! Everything goes the way that a Windows program's requests go: a mount at the first open, IRPs to the
//! driver, and its reads of the disk. At the end the volume is dismounted and the driver unloaded; what it
//! leaves behind, or a write that reached the disk, is reported on stderr and makes the run fail.
//!
//! `double serve` keeps the driver loaded instead and lets other programs ask it, over a socket: see `serve`.
//!
//! Exit codes are those of `userctl` where both can end so: 0 all done; 1 a fault with no code of its own; 2
//! wrong command line; 3 the image cannot be read; 4 no file system recognised, or damaged; 5 no such path; 6
//! no such partition; and 10 the driver left something behind or wrote; 11 the driver cannot be loaded; 86
//! the driver broke a rule of NT's.

mod ending;
mod failure;
mod serve;
mod show;

use clap::{Parser, Subcommand};
use failure::{Exit, Failure};
use ntos::disk::{Completion, DiskConfig};
use ntos::user::volume::Volume;
use ntos::user::{Machine, MachineError};
use std::path::PathBuf;
use std::process::ExitCode;

/// Read a disk image through lklfs.sys in the NT kernel double
#[derive(Parser)]
#[command(name = "double", version, about, after_help = failure::HELP)]
struct Cli {
    /// The driver to load
    #[arg(long, env = "LKLFS_SYS", global = true)]
    driver: Option<PathBuf>,
    /// The partition; the default is the first that is recognised
    #[arg(long, global = true, value_name = "N")]
    part: Option<u32>,
    /// Bytes in a sector of the disk
    #[arg(long, global = true, default_value_t = 512, value_parser = sector)]
    sector: u32,
    /// What the disk's and the cache's choices follow from
    #[arg(long, global = true, default_value_t = 0)]
    seed: u64,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every entry of the volume: attributes, size, time, content and path
    Manifest {
        /// The image
        image: PathBuf,
    },
    /// The names in a directory
    Ls {
        /// All about each entry
        #[arg(short)]
        long: bool,
        /// Everything below, too
        #[arg(short = 'R')]
        recursive: bool,
        /// The image
        image: PathBuf,
        /// The directory, with slashes or backslashes
        #[arg(default_value = "\\")]
        path: String,
    },
    /// A file's bytes
    Cat {
        /// The image
        image: PathBuf,
        /// The file, with slashes or backslashes
        path: String,
    },
    /// What the volume says about itself, or an entry about itself
    Info {
        /// The image
        image: PathBuf,
        /// An entry
        path: Option<String>,
    },
    /// Keep the driver loaded and pass other programs' requests on to it
    ///
    /// A program that uses lklfs-client, such as userctl, finds the driver here when the environment variable
    /// LKLFS_CONTROL is the path of the socket. One line says when the driver is ready. SIGTERM, SIGINT or the end of
    /// standard input ends it: handles are closed, volumes dismounted, the driver is unloaded, and what it left is told.
    Serve(serve::Serve),
}

fn sector(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(bytes @ (512 | 4096)) => Ok(bytes),
        _ => Err("sectors have 512 or 4096 bytes".into()),
    }
}

fn main() -> ExitCode {
    // A thread that panics ends all, as where panics do not unwind.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        std::process::abort();
    }));
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("double: {}", failure.message);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let Some(driver) = &cli.driver else {
        return Err(Failure::new(
            Exit::Usage,
            "which driver? Give --driver lklfs.sys or set LKLFS_SYS; `cargo xtask double` builds one",
        ));
    };
    let disk = |image: &PathBuf| {
        DiskConfig::image(image)
            .sector(cli.sector)
            .completion(Completion::Seeded)
    };
    let image = match &cli.command {
        Command::Manifest { image } | Command::Ls { image, .. } | Command::Cat { image, .. } => image,
        Command::Info { image, .. } => image,
        Command::Serve(how) => {
            let disks = how.disk.iter().map(disk).collect();
            return serve::run(how, disks, cli.seed, driver);
        }
    };
    let disk = disk(image);
    let mut machine = Machine::builder()
        .seed(cli.seed)
        .disk(disk)
        .start()
        .map_err(machine_failure)?;
    machine.load_driver(driver).map_err(machine_failure)?;
    let result = on_volume(cli, &machine);
    unload(machine, result)
}

/// Unloads the driver; what it leaves is reported, and is the failure that counts.
fn unload(machine: Machine, result: Result<(), Failure>) -> Result<(), Failure> {
    let report = machine.unload();
    if !report.is_clean() {
        if let Err(failure) = result {
            eprintln!("double: {}", failure.message);
        }
        eprint!("{report}");
        return Err(Failure::new(
            Exit::LeftBehind,
            "the driver left something behind or wrote; see above",
        ));
    }
    result
}

fn machine_failure(error: MachineError) -> Failure {
    let exit = match error {
        MachineError::Image(_) => Exit::Image,
        MachineError::Load(_) | MachineError::Entry(_) => Exit::Driver,
    };
    Failure::new(exit, error)
}

fn on_volume(cli: &Cli, machine: &Machine) -> Result<(), Failure> {
    let disk = &machine.disks()[0];
    let refused = |refusals: Vec<i32>| failure::not_mounted(disk.image.path(), &refusals);
    let (part, volume) = match cli.part {
        None => Volume::first(machine, disk).map_err(refused)?,
        Some(part) => {
            let Some(found) = disk
                .volumes()
                .into_iter()
                .find(|volume| part != 0 && volume.partition == part)
            else {
                return Err(failure::no_partition(
                    disk.image.path(),
                    part,
                    disk.layout.partitions(),
                ));
            };
            (
                part,
                Volume::mount(machine, &found.path(), found.device()).map_err(refused)?,
            )
        }
    };
    match &cli.command {
        Command::Manifest { .. } => show::manifest(&volume),
        Command::Ls {
            long,
            recursive,
            path,
            ..
        } => show::list(&volume, path, *long, *recursive),
        Command::Cat { path, .. } => show::cat(&volume, path),
        Command::Info { path: None, .. } => show::volume_info(&volume, part),
        Command::Info { path: Some(path), .. } => show::entry_info(&volume, path),
        Command::Serve(_) => Ok(()),
    }
}
