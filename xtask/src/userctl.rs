//! `cargo xtask userctl`: the command line, for this machine and for Windows.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use xshell::Shell;

use crate::repo;
use crate::toolchain::{Toolchain, Windows};

/// Cargo's option that names mingw-w64's linker for Windows programs.
pub const LINKER: &str = "target.x86_64-win7-windows-gnu.linker=\"x86_64-w64-mingw32-gcc\"";

/// Builds userctl for this machine and returns its path.
pub fn native(sh: &Shell, release: bool) -> Result<PathBuf> {
    sh.cmd("cargo")
        .args(["build", "--bin", "userctl", "--manifest-path"])
        .arg(repo::root().join("Cargo.toml"))
        .args(repo::packages(&["userctl"], release))
        .run()
        .context("userctl does not build")?;
    built(
        repo::target_dir()
            .join(repo::profile(release))
            .join(format!("userctl{}", std::env::consts::EXE_SUFFIX)),
    )
}

/// Builds userctl.exe with mingw-w64's linker and returns its path.
pub fn windows(sh: &Shell, release: bool) -> Result<PathBuf> {
    let target = Windows::Program;
    let profile = release.then_some("--release");
    Toolchain::find(sh, target)?
        .cargo(sh, target, "build")
        .args(["-p", "userctl", "--manifest-path"])
        .arg(repo::root().join("Cargo.toml"))
        .args(["--config", LINKER])
        .args(profile)
        .run()
        .context("userctl.exe does not build")?;
    built(
        repo::target_dir()
            .join(target.triple())
            .join(repo::profile(release))
            .join("userctl.exe"),
    )
}

/// The path, if cargo put a file there.
fn built(path: PathBuf) -> Result<PathBuf> {
    if !path.is_file() {
        bail!("cargo made no {}", path.display());
    }
    Ok(path)
}
