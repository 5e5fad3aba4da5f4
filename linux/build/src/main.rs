//! `lkl-build`: builds the Linux kernel library and says where it is.
//!
//! Exit codes: 0 built (or found in the cache), 1 not built, with one message on the standard error stream; 2 wrong usage.

use clap::{Parser, ValueEnum};
use lkl_build::{Artifacts, Error, Request, Source, Target, build, build_port, relink};
use std::path::PathBuf;
use std::process::ExitCode;

/// Build the Linux kernel library from an untouched Linux tree and the port in linux/arch/lkl.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The kind of linker that takes the object; both if not given
    #[arg(long, value_enum)]
    target: Option<Kind>,
    /// The configuration: a name under linux/configs
    #[arg(long, value_name = "NAME")]
    config: Option<String>,
    /// A tarball or a folder with a Linux tree
    #[arg(long, value_name = "PATH")]
    source: Option<PathBuf>,
    /// Compile the port alone, and make no library
    #[arg(long, conflicts_with = "target")]
    port: bool,
    /// How many compilers run at once
    #[arg(long, short, value_name = "N")]
    jobs: Option<usize>,
    /// Take this kbuild tree, built by hand, and write the objects into --out, past the cache
    #[arg(long, value_name = "DIR", requires = "out")]
    objects: Option<PathBuf>,
    /// Where the objects go
    #[arg(long, value_name = "DIR", requires = "objects")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// For programs on Linux
    Elf,
    /// For PE images
    Coff,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lkl-build: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let mut request = Request::from_env_or(arguments.source.as_deref().map(Source::at).transpose()?)?;
    if let Some(config) = &arguments.config {
        request.config.clone_from(config);
    }
    request.jobs = arguments.jobs.unwrap_or(request.jobs).max(1);
    if arguments.port {
        print!("{}", build_port(&request)?);
        return Ok(());
    }
    let targets = match arguments.target {
        Some(Kind::Elf) => vec![Target::Elf],
        Some(Kind::Coff) => vec![Target::Coff],
        None => vec![Target::Elf, Target::Coff],
    };
    if let (Some(objects), Some(out)) = (&arguments.objects, &arguments.out) {
        relink(&request, objects, out)?.iter().for_each(show);
        return Ok(());
    }
    for target in targets {
        show(&build(target, &request)?);
    }
    Ok(())
}

fn show(artifacts: &Artifacts) {
    println!("{}", artifacts.object.display());
    println!("{}", artifacts.library.display());
    let report = std::fs::read_to_string(artifacts.dir.join("report.txt")).unwrap_or_default();
    for line in report.lines() {
        println!("    {line}");
    }
}
