//! `userctl.exe` under Wine: the program for Windows, run where there is no Windows.
//!
//! It reads an ext4 image with `info`, `ls`, `cat` and `manifest`; what it prints must be what `userctl` for Linux
//! prints. Wine 8 lacks `bcryptprimitives.dll`, which Rust's standard library loads on Windows; a stand-in of one
//! function is put beside the program, so that the program itself stays as it is shipped.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use xshell::Shell;

use crate::{repo, userctl};

/// The stand-in for what Wine lacks.
const RANDOM_SOURCE: &str = include_str!("wine/bcryptprimitives.c");

/// How long a command may take, the first one, which makes Wine's prefix, included.
const SECONDS: &str = "300";

/// What is asked. `IMAGE` stands for the image.
const QUESTIONS: &[&[&str]] = &[
    &["info", "IMAGE"],
    &["ls", "IMAGE", "/"],
    &["ls", "-lR", "IMAGE", "/deep"],
    &["cat", "IMAGE", "/wide/file-0001"],
    &["manifest", "IMAGE"],
];

/// Runs `exe` and the native program and compares.
pub fn run(sh: &Shell, exe: &Path) -> Result<()> {
    let folder = repo::target_dir().join("wine");
    fs::create_dir_all(&folder)?;
    let native = userctl::native(sh, false)?;
    let manifest = repo::root().join("Cargo.toml");
    let image = "ext4.img";
    sh.cmd("cargo")
        .args(["run", "-q", "-p", "volumes", "--manifest-path"])
        .arg(manifest)
        .args(["--", "make", "ext4"])
        .arg(folder.join(image))
        .run()?;
    fs::copy(exe, folder.join("userctl.exe"))?;
    stand_in(sh, &folder)?;
    for question in QUESTIONS {
        let words: Vec<&str> = question
            .iter()
            .map(|word| if *word == "IMAGE" { image } else { word })
            .collect();
        let expected = answer(Command::new(&native).args(&words).current_dir(&folder))?;
        let mut wine = Command::new("timeout");
        wine.args([SECONDS, "wine", "userctl.exe"])
            .args(&words)
            .current_dir(&folder);
        wine.env("WINEPREFIX", folder.join("prefix"))
            .env("WINEDEBUG", "-all")
            .env("WINEARCH", "win64");
        wine.env("WINEDLLOVERRIDES", "mscoree=;mshtml=")
            .env_remove("DISPLAY");
        let found = answer(&mut wine)?;
        let name = words.join(" ");
        ensure!(
            found == expected,
            "userctl.exe {name}: printed something else than userctl"
        );
        println!("userctl.exe {name}: {} bytes, the same as on Linux", found.len());
    }
    Ok(())
}

/// Compiles the stand-in into `folder`.
fn stand_in(sh: &Shell, folder: &Path) -> Result<()> {
    let source = folder.join("bcryptprimitives.c");
    fs::write(&source, RANDOM_SOURCE)?;
    sh.cmd("x86_64-w64-mingw32-gcc")
        .args(["-shared", "-s", "-o"])
        .arg(folder.join("bcryptprimitives.dll"))
        .arg(source)
        .arg("-ladvapi32")
        .run()
        .context("the stand-in for bcryptprimitives.dll does not compile")
}

/// Runs a command that must succeed and returns what it printed.
fn answer(command: &mut Command) -> Result<Vec<u8>> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.stdin(Stdio::null()).output()?;
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr);
        bail!(
            "{command:?}: {status}: {}",
            said.lines().last().unwrap_or("no message")
        );
    }
    Ok(stdout)
}
