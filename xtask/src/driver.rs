//! `cargo xtask driver` and `check-driver`: cargo for the driver's target.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use xshell::{Cmd, Shell};

use crate::image_check;
use crate::repo;
use crate::toolchain::{Toolchain, Windows};
use crate::wdk::{self, Wdk};

/// What cargo is asked to do with a crate of the driver.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Type-check.
    Check,
    /// Type-check with clippy's lints as errors.
    Clippy,
    /// Build and link.
    Build,
}

/// `cargo <verb>` of `packages` for the driver's target, ready to run.
fn cargo<'a>(
    sh: &'a Shell,
    verb: Verb,
    packages: &[&str],
    flavour: Flavour,
    release: bool,
) -> Result<Cmd<'a>> {
    let name = match verb {
        Verb::Check => "check",
        Verb::Clippy => "clippy",
        Verb::Build => "build",
    };
    let wdk = Wdk::prepare(sh)?;
    let toolchain = Toolchain::find(sh, Windows::Driver)?;
    let mut cmd = toolchain
        .cargo(sh, Windows::Driver, name)
        .args(packages.iter().flat_map(|package| ["-p", *package]))
        .arg("--manifest-path")
        .arg(repo::root().join("Cargo.toml"))
        .args([
            "--config",
            "target.x86_64-pc-windows-msvc.rustflags=[\"-Ctarget-feature=+crt-static\"]",
        ]);
    if !cfg!(windows) {
        cmd = cmd.args(["--config", "target.x86_64-pc-windows-msvc.linker=\"lld-link-19\""]);
    }
    if release {
        cmd = cmd.arg("--release");
    }
    if flavour == Flavour::SelfTest {
        cmd = cmd.args(["--features", "lklfs/selftest"]);
    }
    if let Some(wdk) = wdk {
        cmd = wdk.apply(cmd)?;
    }
    if verb == Verb::Clippy {
        cmd = cmd.args(["--", "-D", "warnings"]);
    }
    Ok(cmd)
}

/// Type-checks crates for the driver's target. Linux is not built for it: nothing is linked.
pub fn check(sh: &Shell, packages: &[&str], verb: Verb) -> Result<()> {
    cargo(sh, verb, packages, Flavour::Shipped, false)?
        .env("LKLFS_LKL_OBJECT", "")
        .run()
        .with_context(|| format!("{} do not pass for the driver's target", packages.join(", ")))
}

/// Clippy over the crates of the image, as they are built for it: what the driver's optimised build has made, Linux
/// included, is neither made again here nor there.
pub fn clippy(sh: &Shell, packages: &[&str], flavour: Flavour) -> Result<()> {
    cargo(sh, Verb::Clippy, packages, flavour, true)?
        .run()
        .context("clippy has something to say for the driver's target")
}

/// Names the image of [`Flavour::SelfTest`] for the test that loads it.
pub const SELF_TEST_VARIABLE: &str = "LKLFS_SELFTEST_SYS";

/// What is linked into the image.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// What a user installs.
    Shipped,
    /// With the suite for hosts behind the control device. For tests; never shipped, and named so that it shows.
    SelfTest,
}

impl Flavour {
    /// The name of the file.
    fn file_name(self) -> &'static str {
        match self {
            Flavour::Shipped => "lklfs.sys",
            Flavour::SelfTest => "lklfs-selftest.sys",
        }
    }
}

/// Builds `lklfs.sys` as it is shipped and returns its path.
pub fn build(sh: &Shell, release: bool) -> Result<PathBuf> {
    build_flavour(sh, Flavour::Shipped, release)
}

/// Builds one image and returns its path.
pub fn build_flavour(sh: &Shell, flavour: Flavour, release: bool) -> Result<PathBuf> {
    cargo(sh, Verb::Build, &["lklfs"], flavour, release)?
        .run()
        .context("the driver does not build")?;
    let dir = repo::target_dir()
        .join(Windows::Driver.triple())
        .join(repo::profile(release));
    let (dll, sys) = (dir.join("lklfs.dll"), dir.join(flavour.file_name()));
    if !dll.exists() {
        bail!("cargo made no {}", dll.display());
    }
    std::fs::copy(&dll, &sys)?;
    let allowed = std::fs::read_to_string(repo::root().join(wdk::EXPORTS))?;
    let report = image_check::check(&sys, &allowed)?;
    eprintln!(
        "{}: {} KiB, {} imports, all rules kept",
        flavour.file_name(),
        report.bytes / 1024,
        report.imports.len()
    );
    Ok(sys)
}
