//! What later steps of the tests need built, built while the tests run: those wait more than they compute.
//!
//! Another process of this program does that, at the lowest priority, with its output in a file under cargo's target folder. A step
//! that comes later builds the same again, finds it done, and is the one that fails if it cannot be built.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use xshell::Shell;

use crate::{fuzz, library, lint, repo, test, wine};

/// The process. It is waited for when this is dropped.
pub struct Ahead(Child);

impl Drop for Ahead {
    fn drop(&mut self) {
        let _ = self.0.wait();
    }
}

/// Starts it. `quick` leaves out what the tests leave out then.
pub fn start(quick: bool) -> Result<Ahead> {
    let folder = repo::target_dir();
    fs::create_dir_all(&folder)?;
    let log = File::create(folder.join("ahead.log")).context("cannot write ahead.log")?;
    let child = Command::new("nice")
        .args(["-n", "19"])
        // This very program, which the tests' own build may have replaced by then.
        .arg(format!("/proc/{}/exe", std::process::id()))
        .arg("ahead")
        .args(quick.then_some("--quick"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start nice")?;
    Ok(Ahead(child))
}

/// What the process does. What fails is told by the step that needs it.
pub fn run(sh: &Shell, quick: bool) {
    let told = |what: &str, done: Result<()>| {
        if let Err(error) = done {
            eprintln!("{what}: {error:#}");
        }
    };
    if !quick {
        told("another Linux", test::other_linux(sh));
    }
    told("programs for Wine", wine::build(sh).map(drop));
    told("the library for Windows", library::build_dll(sh).map(drop));
    told("the fuzz targets", fuzz::build(sh));
    told("the fuzz targets for Linux", fuzz::build_ahead(sh));
    told("clippy", lint::clippy(sh));
}
