//! Every task of the project. `cargo xtask help` lists them.
//!
//! [`demo`] shows the main job. [`setup`] installs what is missing, [`driver`] and [`userctl`] build what is shipped,
//! [`package`] makes what a user installs, [`library`] what a C programmer does, [`double`] runs the driver on Linux, [`pictures`] draws what the README shows,
//! [`lint`] and [`test`] check everything, [`fuzz`] what comes from outside.
//! [`wdk`] and [`toolchain`] are what building for Windows on another system takes; [`cache`] keeps what is expensive.

mod ahead;
mod apps;
mod bench;
mod cache;
mod demo;
mod double;
mod driver;
mod failures;
mod fuzz;
mod image_check;
mod imports;
mod library;
mod licences;
mod lint;
mod machine;
mod manifests;
mod matrix;
mod package;
mod pictures;
mod repo;
mod setup;
mod steps;
mod structure;
mod test;
mod toolchain;
mod userctl;
mod wdk;
mod wine;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
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
    /// Read an image through lklfs.sys and through userctl, and show that they agree
    Demo {
        /// A disk or volume image; a new ext4 image when left out
        image: Option<PathBuf>,
    },
    /// Install with apt what this machine lacks
    Setup,
    /// Run every test, or one part of them
    Test {
        /// Only this part
        part: Option<test::Part>,
        /// Leave out the build of the port against another Linux
        #[arg(long)]
        quick: bool,
        #[command(flatten)]
        machine: machine::Options,
    },
    /// Build lklfs.sys, check it and print its path
    Driver {
        /// Optimised, as it is shipped
        #[arg(long)]
        release: bool,
        /// The image for tests, whose control device runs the suite for hosts; never shipped
        #[arg(long)]
        selftest: bool,
    },
    /// Type-check crates for the driver's target
    CheckDriver {
        /// The crate's name; may be given several times
        #[arg(short, long, required = true)]
        package: Vec<String>,
        /// Run clippy, warnings being errors
        #[arg(long)]
        clippy: bool,
    },
    /// Build userctl for this machine and for Windows, and print the paths
    Userctl {
        /// Optimised, as it is shipped
        #[arg(long)]
        release: bool,
    },
    /// Install the C library with its headers, the applications and their man pages, and print the paths
    Install {
        /// The folder to install below
        #[arg(long, value_name = "DIR")]
        prefix: PathBuf,
        /// The DLL and its import library, for programs on Windows, and the applications that there are for it
        #[arg(long)]
        windows: bool,
    },
    /// Build the applications on Linux as a library, and print where each is
    Apps {
        /// Not optimised, as tests use them
        #[arg(long)]
        debug: bool,
        /// Those that there are for Windows
        #[arg(long, conflicts_with = "debug")]
        windows: bool,
    },
    /// Read an image through lklfs.sys in the NT kernel double: manifest, ls, cat or info
    #[command(disable_help_flag = true)]
    Double {
        /// What the double is asked; `help` lists it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Read every file system that Debian can make through lklfs.sys and through userctl
    Matrix {
        /// Only these; all when left out
        kinds: Vec<String>,
    },
    /// Run userctl.exe, the NT user host and lklfs.sys under Wine
    Wine,
    /// Fuzz a target with bytes that coverage guides, or list the targets
    Fuzz(fuzz::Options),
    /// Measure our ways of reading against the machine's own, and print one table
    Bench {
        /// Measure this instead
        part: Option<bench::Part>,
    },
    /// Draw the pictures of the README anew, from real runs
    Pictures {
        /// Only those of the set-up program's pages, of the package that was made last
        #[arg(long)]
        setup: bool,
        /// Take this lklfs.sys instead of building it
        #[arg(long, value_name = "FILE", conflicts_with = "setup")]
        driver: Option<PathBuf>,
    },
    /// Make the driver package, the set-up program and everything else that a user is given
    Package(package::Options),
    /// Build what later steps of the tests need, while they run
    #[command(hide = true)]
    Ahead {
        /// As for the tests
        #[arg(long)]
        quick: bool,
    },
    /// Check formatting, clippy on both sides, the wall around unsafe code, and the driver's layers
    Lint,
    /// Count the driver's crates: files, lines, blocks of unsafe, modules in circles, arrows that run up
    Structure,
    /// What continuous integration runs
    Ci,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs tests with a folder of their own for what they make, which goes with them: images that the tests of a process share are
/// in a static, and nothing drops those.
fn in_scratch(sh: &Shell, tests: impl FnOnce(&Shell) -> Result<()>) -> Result<()> {
    let place = tempfile::Builder::new().prefix("lklfs-").tempdir()?;
    let _variable = sh.push_env("TMPDIR", place.path());
    tests(sh)
}

/// Does one task.
fn run(task: Task) -> Result<ExitCode> {
    let sh = Shell::new()?;
    match task {
        Task::Setup => {
            setup::ensure(&sh, setup::ALL)?;
            println!("setup: everything is installed");
        }
        Task::Demo { image } => demo::run(&sh, image)?,
        Task::Test {
            part: Some(test::Part::Machine),
            machine,
            ..
        } => in_scratch(&sh, |sh| machine::run(sh, &machine))?,
        Task::Test { machine, .. } if machine.are_given() => {
            bail!("these options are for `cargo xtask test machine`")
        }
        Task::Test {
            part: None, quick, ..
        } => in_scratch(&sh, |sh| test::run(sh, quick))?,
        Task::Test { part: Some(part), .. } => in_scratch(&sh, |sh| test::run_part(sh, part))?,
        Task::Ci => in_scratch(&sh, |sh| test::run(sh, false))?,
        Task::Driver { release, selftest } => {
            setup::ensure(&sh, &[&setup::KERNEL, &setup::WINDOWS])?;
            let flavour = if selftest {
                driver::Flavour::SelfTest
            } else {
                driver::Flavour::Shipped
            };
            println!("{}", driver::build_flavour(&sh, flavour, release)?.display());
        }
        Task::CheckDriver { package, clippy } => {
            let packages: Vec<&str> = package.iter().map(String::as_str).collect();
            let verb = if clippy {
                driver::Verb::Clippy
            } else {
                driver::Verb::Check
            };
            driver::check(&sh, &packages, verb)?;
        }
        Task::Userctl { release } => {
            setup::ensure(&sh, &[&setup::KERNEL, &setup::WINDOWS])?;
            println!("{}", userctl::native(&sh, release)?.display());
            println!("{}", userctl::windows(&sh, release)?.display());
        }
        Task::Install { prefix, windows } => {
            setup::ensure(&sh, &[&setup::KERNEL, &setup::APPLICATIONS])?;
            let library = if windows {
                setup::ensure(&sh, &[&setup::WINDOWS])?;
                library::Library::install_windows(&sh, &prefix)?
            } else {
                library::Library::install(&sh, &prefix, true)?
            };
            for file in library.files() {
                println!("{}", file.display());
            }
            let programs = match windows {
                true => apps::install_windows(&sh, &prefix)?,
                false => apps::install(&sh, &prefix, true)?,
            };
            for program in programs {
                println!("{}", program.display());
            }
        }
        Task::Apps { debug, windows } => {
            setup::ensure(&sh, &[&setup::KERNEL, &setup::APPLICATIONS])?;
            let programs = if windows {
                setup::ensure(&sh, &[&setup::WINDOWS])?;
                apps::build_windows(&sh)?
            } else {
                apps::build(&sh, !debug)?
            };
            for program in programs {
                println!("{}", program.display());
            }
        }
        Task::Double { arguments } => {
            setup::ensure(&sh, &[&setup::KERNEL, &setup::WINDOWS])?;
            let driver = driver::build(&sh, true)?;
            let program = double::build(&sh, true)?;
            let code = double::run(&sh, &program, &driver, &arguments)?;
            return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)));
        }
        Task::Wine => {
            setup::ensure(&sh, setup::ALL)?;
            let sys = driver::build(&sh, true)?;
            wine::run(&sh, &wine::build(&sh)?, &sys)?;
        }
        Task::Matrix { kinds } => {
            setup::ensure(
                &sh,
                &[
                    &setup::KERNEL,
                    &setup::WINDOWS,
                    &setup::VOLUMES,
                    &setup::REFERENCES,
                ],
            )?;
            let driver = driver::build(&sh, true)?;
            let (double, userctl) = (double::build(&sh, true)?, userctl::native(&sh, true)?);
            let programs = matrix::Programs {
                driver: &driver,
                double: &double,
                userctl: &userctl,
            };
            matrix::run(&sh, &programs, &kinds)?;
        }
        Task::Fuzz(options) => {
            setup::ensure(&sh, &[&setup::PROGRAMS])?;
            return fuzz::run(&sh, &options);
        }
        Task::Bench { part } => bench::run(&sh, part)?,
        Task::Pictures { setup: true, .. } => {
            setup::ensure(&sh, &[&setup::WINDOWS, &setup::REFERENCES, &setup::SCREEN])?;
            pictures::setup(&sh)?;
        }
        Task::Pictures {
            setup: false,
            driver: given,
        } => {
            setup::ensure(
                &sh,
                &[
                    &setup::KERNEL,
                    &setup::WINDOWS,
                    &setup::VOLUMES,
                    &setup::REFERENCES,
                ],
            )?;
            let driver = match given {
                Some(path) => path,
                None => driver::build(&sh, true)?,
            };
            let (double, userctl) = (double::build(&sh, false)?, userctl::native(&sh, false)?);
            let programs = pictures::Programs {
                driver: &driver,
                double: &double,
                userctl: &userctl,
            };
            pictures::run(&sh, &programs)?;
        }
        Task::Package(options) => package::run(&sh, &options)?,
        Task::Ahead { quick } => ahead::run(&sh, quick),
        Task::Lint => {
            setup::ensure(&sh, &[&setup::KERNEL, &setup::WINDOWS, &setup::APPLICATIONS])?;
            lint::run(&sh)?;
        }
        Task::Structure => print!("{}", structure::table(&sh)?),
    }
    Ok(ExitCode::SUCCESS)
}
