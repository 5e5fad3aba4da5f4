//! `cargo xtask matrix`: every file system that Debian can make, read through `lklfs.sys`.
//!
//! Each image is read by the driver in the NT kernel double and by `userctl`, which the matrix of its own tests compares
//! with another Linux. Types, sizes, times and hashes of all entries must be the same on both sides.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use xshell::Shell;

use crate::manifests::{Linux, Windows};
use crate::{double, repo};

/// The exit code of both programs for an image on which no file system is recognised.
const UNRECOGNISED: i32 = 4;

/// The programs that take part.
pub struct Programs<'a> {
    /// The driver.
    pub driver: &'a Path,
    /// The double.
    pub double: &'a Path,
    /// The command line.
    pub userctl: &'a Path,
}

/// Reads images of `kinds`, or of all kinds when there are none, and fails when one differs.
pub fn run(sh: &Shell, programs: &Programs<'_>, kinds: &[String]) -> Result<()> {
    let list = volumes(sh, &["kinds"])?;
    let known: Vec<&str> = list.lines().filter_map(|line| line.split(' ').next()).collect();
    if let Some(unknown) = kinds.iter().find(|kind| !known.contains(&kind.as_str())) {
        bail!("{unknown}: no such kind; choose from: {}", known.join(" "));
    }
    let folder = repo::target_dir().join("matrix");
    sh.create_dir(&folder)?;
    let (mut passed, mut failed) = (0, Vec::new());
    for kind in known
        .into_iter()
        .filter(|kind| kinds.is_empty() || kinds.iter().any(|asked| asked == kind))
    {
        let image = folder.join(format!("{kind}.img"));
        let result = volumes(sh, &["make", kind, &image.to_string_lossy()])
            .and_then(|_| compare(programs, kind, &image));
        sh.remove_path(&image)?;
        match result {
            Ok(said) => {
                passed += 1;
                println!("{kind:<18} ok      {said}");
            }
            Err(error) => {
                println!("{kind:<18} FAILED  {error:#}");
                failed.push(kind);
            }
        }
    }
    println!("lklfs.sys: {passed} passed, {} failed", failed.len());
    if !failed.is_empty() {
        bail!("through lklfs.sys these differ: {}", failed.join(", "));
    }
    Ok(())
}

/// Runs the program that makes images.
fn volumes(sh: &Shell, arguments: &[&str]) -> Result<String> {
    let manifest = repo::root().join("Cargo.toml");
    let cmd = sh
        .cmd("cargo")
        .args(["run", "-q", "-p", "volumes", "--manifest-path"])
        .arg(manifest);
    cmd.arg("--").args(arguments).quiet().read().context("volumes")
}

/// Reads one image on both sides.
fn compare(programs: &Programs<'_>, kind: &str, image: &Path) -> Result<String> {
    let linux = manifest(Command::new(programs.userctl), image)?;
    let mut through = Command::new(programs.double);
    through.env(double::DRIVER_VARIABLE, programs.driver);
    let windows = manifest(through, image)?;
    match (linux, windows) {
        (Some(linux), Some(windows)) => {
            let (mut linux, windows) = (Linux::parse(&linux)?, Windows::parse(&windows)?);
            if kind == "exfat" {
                linux.forget_root_time(&windows);
            }
            let wrong = linux.differences_from(&windows);
            if !wrong.is_empty() {
                let shown: Vec<&str> = wrong.iter().take(8).map(String::as_str).collect();
                bail!(
                    "{} of {} entries differ:\n    {}",
                    wrong.len(),
                    linux.len(),
                    shown.join("\n    ")
                );
            }
            Ok(format!("{:>4} entries", linux.len()))
        }
        (None, None) => Ok("not recognised without being named, by either".to_owned()),
        (Some(_), None) => bail!("lklfs.sys does not recognise it, and userctl does"),
        (None, Some(_)) => bail!("userctl does not recognise it, and lklfs.sys does"),
    }
}

/// The manifest that a program prints; none when it does not recognise the image.
fn manifest(mut command: Command, image: &Path) -> Result<Option<String>> {
    let output = command.arg("manifest").arg(image).output()?;
    match output.status.code() {
        Some(0) => Ok(Some(String::from_utf8(output.stdout)?)),
        Some(UNRECOGNISED) => Ok(None),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            let program = command.get_program().to_string_lossy().into_owned();
            bail!(
                "{program}: {}: {}",
                output.status,
                said.lines().last().unwrap_or("no message")
            )
        }
    }
}
