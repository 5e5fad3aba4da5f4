//! `cargo xtask test`: everything that must hold, from a machine that has nothing but Rust.

use std::process::Command;

use anyhow::{Context, Result};
use xshell::{Cmd, Shell};

use crate::driver::Flavour;
use crate::matrix::{self, Programs};
use crate::steps::Steps;
use crate::{
    ahead, double, driver, failures, fuzz, library, licences, lint, machine, package, pictures, repo, setup,
    structure, userctl, wine,
};

/// Where Debian's package puts the Linux that the port is not developed on.
const OTHER_LINUX: &str = "/usr/src/linux-source-6.1.tar.xz";

/// Crates whose tests need no Linux: their tests come first, and say within minutes what is wrong.
const WITHOUT_LINUX: &[&str] = &[
    "disk-images",
    "disk-partitions",
    "fallible",
    "fs-probe",
    "lklfs-control",
    "lklfs-fsd",
    "lklfs-nt",
    "lklfs-served",
    "xtask",
];

/// Runs the steps and prints a summary; the first of them, which take minutes, must pass before the others are begun. `quick`
/// leaves out what takes minutes on a warm machine.
pub fn run(sh: &Shell, quick: bool) -> Result<()> {
    let mut steps = Steps::default();
    if steps.run("set-up", || setup::ensure(sh, setup::ALL)).is_none() {
        return steps.finish();
    }
    let checked = steps.run("formatting, licences, layers, and the wall around unsafe", || {
        lint::unsafe_wall(&repo::root())?;
        structure::check(sh)?;
        lint::driver_reads_only(sh)?;
        licences::check(sh)?;
        lint::format(sh)
    });
    let tested = steps.run("tests that need no Linux", || {
        let mut cmd = Command::from(sh.cmd("cargo").args(["test", "--no-fail-fast"]));
        cmd.args(WITHOUT_LINUX.iter().flat_map(|name| ["-p", *name]));
        failures::run(cmd).context("a test failed")
    });
    if checked.and(tested).is_none() {
        return steps.finish();
    }
    let object = steps.run(
        "Linux 6.12, the driver's and the full one, as ELF libraries and COFF objects",
        || linux(sh),
    );
    let sys = match object {
        Some(()) => steps.run("lklfs.sys", || driver::build(sh, true)),
        None => {
            steps.skip("lklfs.sys", "Linux did not build");
            None
        }
    };
    // Never shipped: see driver::Flavour.
    let self_test = match &sys {
        Some(_) => steps.run("lklfs.sys with the suite for hosts in it", || {
            driver::build_flavour(sh, Flavour::SelfTest, true)
        }),
        None => {
            steps.skip("lklfs.sys with the suite for hosts in it", "there is no driver");
            None
        }
    };
    // Until clippy, which wants it done.
    let ahead = ahead::start(quick);
    steps.run("tests", || {
        let mut cmd = Command::from(cargo_test(sh));
        if let Some(sys) = &sys {
            cmd.env(double::DRIVER_VARIABLE, sys);
        }
        if let Some(sys) = &self_test {
            cmd.env(driver::SELF_TEST_VARIABLE, sys);
        }
        failures::run(cmd).context("a test failed")
    });
    steps.run("clippy", || {
        drop(ahead?);
        lint::clippy(sh)
    });
    steps.run("parsers, fuzzed for a while", || fuzz::bounded(sh));
    steps.run("Linux, fuzzed for a while", || fuzz::bounded_linux(sh));
    steps.run("the host of the Apache Portable Runtime", || {
        let mut cmd = Command::new("cargo");
        cmd.args(["test", "-p", "lkl-host-apr", "--features", "apr"])
            .current_dir(repo::root());
        failures::run(cmd).context("a test failed")
    });
    steps.run("networks over DPDK's devices", || {
        let mut cmd = Command::new("cargo");
        cmd.args(["test", "--workspace", "--exclude", "lklfs"])
            .args(["--features", "lkl-links/dpdk,lkl-net-setup/dpdk,lklget/dpdk"])
            .args(["--test", "dpdk"])
            .current_dir(repo::root());
        failures::run(cmd).context("a test failed")
    });
    steps.run(
        "the C library and the applications, installed, and programs that use the library",
        || library::tried(sh),
    );
    match &sys {
        Some(driver) => {
            steps.run("every file system through lklfs.sys", || {
                // The test profile: cargo has built both for the tests already.
                let (double, userctl) = (double::build(sh, false)?, userctl::native(sh, false)?);
                matrix::run(
                    sh,
                    &Programs {
                        driver,
                        double: &double,
                        userctl: &userctl,
                    },
                    &[],
                )
            });
        }
        None => steps.skip("every file system through lklfs.sys", "there is no driver"),
    }
    match &sys {
        Some(driver) => {
            steps.run("the README's pictures", || {
                let (double, userctl) = (double::build(sh, false)?, userctl::native(sh, false)?);
                let programs = pictures::Programs {
                    driver,
                    double: &double,
                    userctl: &userctl,
                };
                pictures::check(sh, &programs)
            });
        }
        None => steps.skip("the README's pictures", "there is no driver"),
    }
    match &sys {
        Some(driver) => {
            steps.run("userctl.exe, the NT user host and lklfs.sys under Wine", || {
                wine::run(sh, &wine::build(sh)?, driver)
            });
        }
        None => steps.skip(
            "userctl.exe, the NT user host and lklfs.sys under Wine",
            "there is no driver",
        ),
    }
    match &sys {
        Some(driver) => {
            steps.run(
                "the set-up program, installed, upgraded and removed under Wine",
                || package::tried(sh, driver),
            );
        }
        None => steps.skip(
            "the set-up program, installed, upgraded and removed under Wine",
            "there is no driver",
        ),
    }
    if !quick {
        steps.run("the driver's Linux 6.1, and the port in the full one", || {
            other_linux(sh)
        });
    }
    steps.finish()
}

/// A part of the tests that prints a table of its own.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The bugs that are seeded in test drivers, and what the NT kernel double makes of each
    Verifier,
    /// The C library, installed into a folder, and programs that use it
    Library,
    /// The fuzz targets for parsers, each for a while
    Parsers,
    /// The fuzz targets for Linux, each for a while
    Linux,
    /// Random requests from many threads while disks come and go and Linux dies
    Machine,
}

/// Runs one part.
pub fn run_part(sh: &Shell, part: Part) -> Result<()> {
    match part {
        Part::Verifier => verifier(sh),
        Part::Machine => machine::run(sh, &machine::Options::default()),
        Part::Parsers => {
            setup::ensure(sh, &[&setup::PROGRAMS])?;
            fuzz::bounded(sh)
        }
        Part::Linux => fuzz::bounded_linux(sh),
        Part::Library => {
            setup::ensure(
                sh,
                &[
                    &setup::KERNEL,
                    &setup::APPLICATIONS,
                    &setup::VOLUMES,
                    &setup::PROGRAMS,
                ],
            )?;
            library::tried(sh)
        }
    }
}

/// Has the double find the seeded bugs, and prints the table that the test writes.
fn verifier(sh: &Shell) -> Result<()> {
    setup::ensure(sh, &[&setup::KERNEL, &setup::WINDOWS])?;
    let table = repo::target_dir().join("seeded-bugs.txt");
    let _ = std::fs::remove_file(&table);
    let run = sh
        .cmd("cargo")
        .args(["test", "-q", "-p", "ntos", "--test", "verifier"])
        .env("NTOS_SEEDED_BUGS", &table)
        .run();
    let text = std::fs::read_to_string(&table).context("the seeded bugs were not tried")?;
    print!("{text}");
    run.context("the double misses a bug")
}

/// Builds both flavours of Linux, or finds them in the cache.
pub fn linux(sh: &Shell) -> Result<()> {
    for config in ["driver", "full"] {
        lkl_build(sh, config)
            .run()
            .with_context(|| format!("Linux does not build as {config}.config has it"))?;
    }
    Ok(())
}

/// Builds the driver's flavour of the Linux that the port is not developed on, and of the full one what the port adds: the rest is
/// Linux's own, and what it takes to be linked the driver's has shown.
pub fn other_linux(sh: &Shell) -> Result<()> {
    for (config, what) in [("driver", ["--target", "elf"].as_slice()), ("full", &["--port"])] {
        lkl_build(sh, config)
            .args(["--source", OTHER_LINUX])
            .args(what)
            .run()
            .with_context(|| format!("the port does not build on Linux 6.1 as {config}.config has it"))?;
    }
    Ok(())
}

fn lkl_build<'a>(sh: &'a Shell, config: &str) -> Cmd<'a> {
    sh.cmd("cargo")
        .args(["run", "-q", "-p", "lkl-build", "--", "--config", config])
}

/// `cargo test` of every crate that runs on this machine and was not tested before, going on after a failure.
fn cargo_test(sh: &Shell) -> Cmd<'_> {
    sh.cmd("cargo")
        .args(["test", "--workspace", "--exclude", "lklfs", "--no-fail-fast"])
        .args(WITHOUT_LINUX.iter().flat_map(|name| ["--exclude", *name]))
}
