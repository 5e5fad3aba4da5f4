//! `cargo xtask double`: reads an image through `lklfs.sys`, loaded by the NT kernel double of `tests/ntos`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::Shell;

use crate::repo;

/// Names the driver for the double and for the tests that run it.
pub const DRIVER_VARIABLE: &str = "LKLFS_SYS";

/// Builds the double and returns its path.
pub fn build(sh: &Shell, release: bool) -> Result<PathBuf> {
    sh.cmd("cargo")
        .args(["build", "--bin", "double", "--manifest-path"])
        .arg(repo::root().join("Cargo.toml"))
        .args(repo::packages(&["ntos"], release))
        .run()
        .context("the NT kernel double does not build")?;
    Ok(repo::target_dir().join(repo::profile(release)).join("double"))
}

/// Runs the double with the arguments as they came; its output and exit code are the answer.
pub fn run(sh: &Shell, double: &Path, driver: &Path, arguments: &[OsString]) -> Result<i32> {
    let status = std::process::Command::new(double)
        .args(arguments)
        .env(DRIVER_VARIABLE, driver)
        .current_dir(sh.current_dir())
        .status()
        .with_context(|| format!("cannot run {}", double.display()))?;
    // A signal has no code; 101 is what a Rust program that panics ends with.
    Ok(status.code().unwrap_or(101))
}
