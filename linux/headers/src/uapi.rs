//! Linux's public headers, made by its own build.

use anyhow::{Context, Result, ensure};
use lkl_build::kbuild::{VARIABLES, clean_environment};
use lkl_build::{Request, source};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Makes the public headers of the Linux tree `below` with the port, in the folder `scratch`. Where they are.
pub fn make(below: &Path, request: &Request, scratch: &Path) -> Result<PathBuf> {
    let (tree, objects) = (scratch.join("tree"), scratch.join("obj"));
    source::overlay(below, &request.overlay(), &tree)?;
    let mut make = Command::new("make");
    make.arg("-C").arg(&tree).arg(format!("O={}", objects.display()));
    make.arg(format!("-j{}", request.jobs)).arg("headers");
    clean_environment(&mut make);
    make.envs(VARIABLES.iter().copied()).stdin(Stdio::null());
    std::fs::create_dir_all(&objects).context("cannot make a folder")?;
    let made = make
        .output()
        .context("cannot run make; install the package make")?;
    ensure!(
        made.status.success(),
        "make headers: {}\n{}",
        made.status,
        String::from_utf8_lossy(&made.stderr)
    );
    Ok(objects.join("usr/include"))
}
