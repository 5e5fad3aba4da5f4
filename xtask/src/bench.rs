//! `cargo xtask bench`: one table of ratios on one image, and what the parts weigh; `bench apps`: another of the applications.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Cmd, Shell};

use crate::{apps, double, driver, image_check, repo, setup, wdk};

/// The file that is read, the folder that is listed, and an image with room for both.
const BIG: u64 = 256 << 20;
const WIDE: u32 = 100_000;
const IMAGE_BYTES: u64 = 2 << 30;

/// What is measured instead of the ways of reading.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// lklfuse beside the machine's own mount and fuse2fs, reading and writing; the servers and the copying programs (as [`Part::Servers`]
    /// and [`Part::Copies`]); and the two flavours of Linux
    Apps,
    /// lklftpd and lklserve beside themselves over the machine's own mount, and vsftpd
    Servers,
    /// cptofs, cpfromfs and fs2tar beside cp and tar on the machine's own mount
    Copies,
    /// Linux's network stack as a library, lklget, and programs under lklrun, beside the machine's own stack, curl, and themselves; needs
    /// root
    Net,
    /// Programs under lklrun alone, the last rows of [`Part::Net`]; needs root
    Hosted,
    /// lklsim: how it grows with the number of nodes, and beside ns-3
    Simulations,
}

/// Measures and prints.
pub fn run(sh: &Shell, part: Option<Part>) -> Result<()> {
    match part {
        None => readers(sh),
        Some(Part::Apps) => applications(sh),
        Some(Part::Servers) => whole_programs(sh, "servers"),
        Some(Part::Copies) => whole_programs(sh, "copies"),
        Some(Part::Net) => networks(sh, "net"),
        Some(Part::Hosted) => networks(sh, "hosted"),
        Some(Part::Simulations) => {
            setup::ensure(sh, &[&setup::SIMULATORS])?;
            whole_programs(sh, "simulations")
        }
    }
}

fn readers(sh: &Shell) -> Result<()> {
    setup::ensure(
        sh,
        &[
            &setup::KERNEL,
            &setup::WINDOWS,
            &setup::VOLUMES,
            &setup::REFERENCES,
        ],
    )?;
    let sys = driver::build(sh, true)?;
    let image = image(sh)?;
    program(sh)
        .args(["all", "--image"])
        .arg(&image)
        .arg("--driver")
        .arg(&sys)
        .env(double::DRIVER_VARIABLE, &sys)
        .run()
        .context("a measurement failed")?;
    sizes(&sys)
}

fn applications(sh: &Shell) -> Result<()> {
    setup::ensure(
        sh,
        &[
            &setup::KERNEL,
            &setup::APPLICATIONS,
            &setup::VOLUMES,
            &setup::REFERENCES,
        ],
    )?;
    let programs = apps::build(sh, true)?;
    let lklfuse = programs.iter().find(|path| path.ends_with("lklfuse"));
    let image = image(sh)?;
    program(sh)
        .args(["apps", "--image"])
        .arg(&image)
        .arg("--lklfuse")
        .arg(lklfuse.context("there is no lklfuse")?)
        .run()
        .context("a measurement failed")?;
    whole_programs(sh, "servers")?;
    whole_programs(sh, "copies")?;
    for flavour in ["driver", "full"] {
        let (package, example) = (format!("linux-{flavour}"), format!("boot_{flavour}"));
        // The middle of five.
        let mut boots = Vec::new();
        for _ in 0..5 {
            let boot = sh
                .cmd("cargo")
                .args(["run", "--release", "-q", "-p", &package, "--example", &example])
                .quiet()
                .read()
                .context("Linux does not boot")?;
            boots.push(boot);
        }
        let time = |line: &String| line.split(' ').next().and_then(|ms| ms.parse::<f64>().ok());
        boots.sort_by(|a, b| time(a).partial_cmp(&time(b)).unwrap_or(std::cmp::Ordering::Equal));
        let archive = sh
            .cmd("cargo")
            .args([
                "run",
                "-q",
                "-p",
                "lkl-build",
                "--",
                "--target",
                "elf",
                "--config",
                flavour,
            ])
            .quiet()
            .read()
            .context("Linux does not build")?;
        let archive = archive.lines().nth(1).context("lkl-build names no archive")?;
        let size = fs::metadata(archive.trim())?.len() >> 10;
        println!("{flavour:<8} boot: {}; library: {size} KiB", boots[2]);
    }
    Ok(())
}

/// Measures programs as a user runs them; `what` is the subcommand of `tests/bench`.
fn whole_programs(sh: &Shell, what: &str) -> Result<()> {
    setup::ensure(
        sh,
        &[
            &setup::KERNEL,
            &setup::APPLICATIONS,
            &setup::VOLUMES,
            &setup::CLIENTS,
        ],
    )?;
    apps::build(sh, true)?;
    // In a place of its own, which goes with everything in it.
    let place = sh.create_temp_dir()?;
    program(sh)
        .args([what, "--programs"])
        .arg(repo::target_dir().join(repo::profile(true)))
        .arg("--place")
        .arg(place.path())
        .run()
        .context("a measurement failed")
}

/// Measures connections of the library's, and lklget.
fn networks(sh: &Shell, part: &str) -> Result<()> {
    setup::ensure(
        sh,
        &[
            &setup::KERNEL,
            &setup::APPLICATIONS,
            &setup::CLIENTS,
            &setup::NETWORKS,
            &setup::RUN_ON_IT,
            &setup::NETWORK_MEASURES,
        ],
    )?;
    for what in [
        &["-p", "lklget", "-p", "lklrun"][..],
        &["-p", "lkl-net-setup", "--example", "peer", "--features", "args"],
    ] {
        sh.cmd("cargo")
            .args(["build", "--release", "-q", "--manifest-path"])
            .arg(repo::root().join("Cargo.toml"))
            .args(what)
            .run()
            .context("what is to be measured does not build")?;
    }
    program(sh)
        .args([part, "--programs"])
        .arg(repo::target_dir().join(repo::profile(true)))
        .run()
        .context("a measurement failed")
}

/// An ext4 image with a large file and a wide folder.
fn image(sh: &Shell) -> Result<PathBuf> {
    let image = repo::target_dir().join("bench").join("ext4.img");
    fs::create_dir_all(image.parent().context("the target folder has no parent")?)?;
    sh.cmd("cargo")
        .args(["run", "--release", "-q", "-p", "volumes", "--manifest-path"])
        .arg(repo::root().join("Cargo.toml"))
        .args(["--", "make", "ext4"])
        .arg(&image)
        .args([
            "--big",
            &BIG.to_string(),
            "--size",
            &IMAGE_BYTES.to_string(),
            "--wide",
            &WIDE.to_string(),
        ])
        .run()
        .context("the image was not made")?;
    Ok(image)
}

fn program(sh: &Shell) -> Cmd<'_> {
    sh.cmd("cargo")
        .args(["run", "--release", "-q", "-p", "bench", "--manifest-path"])
        .arg(repo::root().join("Cargo.toml"))
        .arg("--")
}

/// What the parts weigh.
pub fn sizes(sys: &Path) -> Result<()> {
    let root = repo::root();
    let report = image_check::check(sys, &fs::read_to_string(root.join(wdk::EXPORTS))?)?;
    println!("lklfs.sys                {:>10} KiB", report.bytes / 1024);
    println!("imports of lklfs.sys     {:>10}", report.imports.len());
    println!(
        "lines of the port        {:>10}",
        lines(&root.join("linux/arch/lkl"))?
    );
    println!(
        "patches to Linux         {:>10}",
        patches(&root.join("linux/patches"))?
    );
    Ok(())
}

/// Lines of text in all files below `dir`.
fn lines(dir: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() {
            lines(&entry.path())?
        } else {
            fs::read_to_string(entry.path())?.lines().count()
        };
    }
    Ok(count)
}

/// Patch files in `dir`, which need not exist.
fn patches(dir: &Path) -> Result<usize> {
    if !dir.exists() {
        return Ok(0);
    }
    let is_patch = |path: &Path| path.extension().is_some_and(|extension| extension == "patch");
    Ok(fs::read_dir(dir)?
        .flatten()
        .filter(|entry| is_patch(&entry.path()))
        .count())
}
