//! Test images on the command line: what the tests make, for looking at it by hand, for `xtask`, and the part that runs
//! inside user-mode Linux.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use volumes::{Kind, Manifest, Plan, Tree, corpora, kind, make};

#[derive(Parser)]
#[command(about = "Makes test images of all file systems", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the kinds of images
    Kinds,
    /// Make an image (or find it in the cache) and copy it to OUT
    Make {
        /// One of `kinds`
        kind: String,
        /// Where the image goes
        out: PathBuf,
        /// Size of the big file in bytes
        #[arg(long)]
        big: Option<u64>,
        /// Number of files in the wide directory
        #[arg(long)]
        wide: Option<u32>,
        /// Size of the image in bytes, where the kind lets it be chosen
        #[arg(long)]
        size: Option<u64>,
        /// As the power failed: with a journal to replay
        #[arg(long)]
        dirty: bool,
        /// Write the manifest that userctl must print for it here
        #[arg(long)]
        manifest: Option<PathBuf>,
    },
    /// Write the tree of a kind into an existing, empty directory
    Tree {
        /// One of `kinds`
        kind: String,
        /// The directory
        directory: PathBuf,
        /// Size of the big file in bytes
        #[arg(long)]
        big: Option<u64>,
    },
    /// Print the manifest of a directory, read through this machine's Linux
    Walk {
        /// The directory
        directory: PathBuf,
    },
    /// Run a program over the damaged images of other projects' test suites
    Corpora(corpora::Options),
    /// The first process of user-mode Linux
    #[command(hide = true)]
    UmlInit {
        /// The job's directory
        place: PathBuf,
    },
}

fn main() -> ExitCode {
    // User-mode Linux adds words of its own to the arguments of its first process.
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().take(3).collect();
    let cli = match &arguments[..] {
        [_, command, _] if command == "uml-init" => Cli::parse_from(arguments),
        _ => Cli::parse(),
    };
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("volumes: {error}");
            ExitCode::FAILURE
        }
    }
}

fn named(name: &str) -> io::Result<&'static Kind> {
    Kind::named(name).ok_or_else(|| io::Error::other(format!("{name}: no such kind; see volumes kinds")))
}

fn plan(big: Option<u64>, wide: Option<u32>) -> Plan {
    let default = Plan::default();
    Plan {
        big: big.unwrap_or(default.big),
        wide: wide.unwrap_or(default.wide),
        ..default
    }
}

fn run(command: Command) -> io::Result<ExitCode> {
    match command {
        Command::Kinds => kind::all()
            .iter()
            .for_each(|kind| println!("{} ({})", kind.name, kind.linux)),
        Command::Make {
            kind,
            out,
            big,
            wide,
            size,
            dirty,
            manifest,
        } => {
            let kind = named(&kind)?;
            let kind = match size {
                // As long as the process.
                Some(size) => &*Box::leak(Box::new(Kind { size, ..kind.clone() })),
                None => kind,
            };
            let plan = plan(big, wide);
            let made = if dirty {
                make::make_dirty(kind, &plan)?
            } else {
                volumes::make(kind, &plan)?
            };
            copy(&made.image, &out)?;
            if let Some(path) = manifest {
                std::fs::write(
                    path,
                    made.reference.unwrap_or_else(|| made.tree.manifest()).to_string(),
                )?;
            }
        }
        Command::Tree { kind, directory, big } => {
            Tree::new(&plan(big, None), &named(&kind)?.abilities).write(&directory)?;
        }
        Command::Walk { directory } => print!("{}", Manifest::of_directory(&directory)?),
        Command::Corpora(options) => return corpora::run(&options),
        Command::UmlInit { place } => volumes::uml::init(&place)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Images are mostly holes; cp keeps them.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let status = std::process::Command::new("cp")
        .args(["--sparse=always"])
        .args([from, to])
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("cp {}: {status}", to.display())))
    }
}
