//! `cargo xtask bench`: one table of ratios on one image, and what the parts weigh.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use xshell::Shell;

use crate::{double, driver, image_check, repo, setup, wdk};

/// The file that is read, the folder that is listed, and an image with room for both.
const BIG: u64 = 256 << 20;
const WIDE: u32 = 100_000;
const IMAGE_BYTES: u64 = 2 << 30;

/// Measures and prints.
pub fn run(sh: &Shell) -> Result<()> {
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
    let manifest = repo::root().join("Cargo.toml");
    let image = repo::target_dir().join("bench").join("ext4.img");
    fs::create_dir_all(image.parent().context("the target folder has no parent")?)?;
    sh.cmd("cargo")
        .args(["run", "--release", "-q", "-p", "volumes", "--manifest-path"])
        .arg(&manifest)
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
    sh.cmd("cargo")
        .args(["run", "--release", "-q", "-p", "bench", "--manifest-path"])
        .arg(&manifest)
        .args(["--", "all", "--image"])
        .arg(&image)
        .arg("--driver")
        .arg(&sys)
        .env(double::DRIVER_VARIABLE, &sys)
        .run()
        .context("a measurement failed")?;
    sizes(&sys)
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
