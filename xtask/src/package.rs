//! `cargo xtask package`: everything that a user is given, made on Linux, under `target/package`.
//!
//! | file | what |
//! |---|---|
//! | `lklfs-V/` | the payload: driver package, userctl.exe, completions, manual, texts ([`payload`]) |
//! | `lklfs-V-setup.exe` | the set-up program ([`setup_program`]) |
//! | `lklfs-V.zip` | the payload for those who want none |
//! | `lklfs-V-source.tar.gz` | this commit |
//! | `lklfs-V-attestation.cab` | the driver package as Microsoft's dashboard takes it |
//! | `winget/`, `chocolatey/` | manifests for the two package managers ([`stores`]) |
//! | `SHA256SUMS` | all of the above that are files |
//!
//! The same commit, the same builds and the same certificate give the same bytes. The INF is checked rule by rule
//! ([`inf_rules`]), the catalogue is made here ([`catalogue`]), everything that can be signed is ([`sign`]), what the programs
//! import is what Windows 7 has ([`windows7`]), and [`trial`] installs, upgrades and removes it under Wine. No Windows has judged it yet;
//! installer/README.md says what that means.

mod archives;
mod catalogue;
mod inf;
mod inf_rule;
mod inf_rules;
mod listing;
mod payload;
mod registry;
mod setup_program;
mod sign;
mod stamp;
mod stores;
mod trial;
mod windows7;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use sha2::{Digest, Sha256};
use xshell::Shell;

use crate::{driver, repo, setup, userctl};
use payload::{Driver, Payload, Ready};
use sign::Signer;
use stamp::Stamp;

/// What `cargo xtask package` can be told.
#[derive(Args)]
pub struct Options {
    /// Take this lklfs.sys instead of building it
    #[arg(long, value_name = "FILE")]
    driver: Option<PathBuf>,
    /// Take this userctl.exe instead of building it
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Take this machine's userctl, for completions and manual, instead of building it
    #[arg(long, value_name = "FILE")]
    native: Option<PathBuf>,
    /// Take lklfs.inf, lklfs.sys and lklfs.cat from this folder as they are, with the signatures of who signed them
    #[arg(long, value_name = "FOLDER", conflicts_with = "driver")]
    signed: Option<PathBuf>,
    /// Install, upgrade and remove the package under Wine
    #[arg(long)]
    trial: bool,
}

/// What was made.
struct Package {
    payload: Payload,
    setup: PathBuf,
}

/// Makes the package, and tries it if asked.
pub fn run(sh: &Shell, options: &Options) -> Result<()> {
    setup::ensure(sh, &[&setup::PACKAGING])?;
    if options.trial {
        setup::ensure(sh, &[&setup::REFERENCES])?;
    }
    let ready = build(sh, options)?;
    let stamp = Stamp::read(sh)?;
    let folder = repo::target_dir().join("package");
    let package = make(sh, &folder, &ready, &stamp)?;
    if options.trial {
        // A set-up program of the same with a later version, to upgrade to.
        let mut later = stamp;
        later.build = later
            .build
            .checked_add(1)
            .context("too many commits for a version")?;
        let upgrade = folder.join("upgrade");
        let signer = signer(sh, &upgrade, &later)?;
        let newer = set_up(sh, &upgrade, &ready, &signer, &later)?;
        trial::run(
            sh,
            &folder.join("trial"),
            &package.setup,
            &newer.setup,
            &package.payload,
        )?;
    }
    Ok(())
}

/// Makes the package of `driver`, and tries it: a step of `cargo xtask test`. What else it needs has been built by then.
pub fn tried(sh: &Shell, driver: &Path) -> Result<()> {
    let options = Options {
        driver: Some(driver.to_owned()),
        program: None,
        native: None,
        signed: None,
        trial: true,
    };
    run(sh, &options)
}

/// Builds what was not given.
fn build(sh: &Shell, options: &Options) -> Result<Ready> {
    let given = |path: &Path| -> Result<PathBuf> {
        path.canonicalize()
            .with_context(|| format!("cannot find {}", path.display()))
    };
    let has_driver = options.driver.is_some() || options.signed.is_some();
    if !has_driver || options.program.is_none() || options.native.is_none() {
        setup::ensure(sh, &[&setup::KERNEL, &setup::WINDOWS])?;
    }
    Ok(Ready {
        driver: match (&options.signed, &options.driver) {
            (Some(folder), _) => Driver::Signed(given(folder)?),
            (None, Some(path)) => Driver::Built(given(path)?),
            (None, None) => Driver::Built(driver::build(sh, true)?),
        },
        program: match &options.program {
            Some(path) => given(path)?,
            None => userctl::windows(sh, true)?,
        },
        native: match &options.native {
            Some(path) => given(path)?,
            None => userctl::native(sh, false)?,
        },
    })
}

/// Makes the payload and the set-up program in `folder`, where `work` is there for what is made on the way.
fn set_up(sh: &Shell, folder: &Path, ready: &Ready, signer: &Signer, stamp: &Stamp) -> Result<Package> {
    let name = format!("lklfs-{}", stamp.windows_version());
    let payload = payload::make(sh, &folder.join(&name), ready, signer, stamp)?;
    let to = folder.join(format!("{name}-setup.exe"));
    let setup = setup_program::make(sh, &payload, &folder.join("work"), &to, signer, stamp)?;
    Ok(Package { payload, setup })
}

/// Who signs what is made in `folder`.
fn signer(sh: &Shell, folder: &Path, stamp: &Stamp) -> Result<Signer> {
    let work = folder.join("work");
    fs::create_dir_all(&work)?;
    Signer::new(sh, &repo::target_dir().join("package-key"), &work, stamp)
}

/// Makes the package in `folder`.
fn make(sh: &Shell, folder: &Path, ready: &Ready, stamp: &Stamp) -> Result<Package> {
    let signer = signer(sh, folder, stamp)?;
    let package = set_up(sh, folder, ready, &signer, stamp)?;
    let Package { payload, setup } = &package;
    windows7::check(payload, setup)?;
    let (work, name) = (folder.join("work"), format!("lklfs-{}", stamp.windows_version()));
    let file = |suffix: &str| folder.join(format!("{name}{suffix}"));
    archives::zip(payload, &name, &file(".zip"), stamp)?;
    archives::cabinet(sh, payload, &work, &file("-attestation.cab"), stamp)?;
    let mut made = vec![setup.clone(), file(".zip"), file("-attestation.cab")];
    if archives::source(sh, &name, &file("-source.tar.gz"), stamp)? {
        made.push(file("-source.tar.gz"));
    }
    stores::make(folder, setup, &hash(setup)?, stamp)?;
    let mut sums = String::new();
    for path in &made {
        let bytes = fs::metadata(path)?.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        writeln!(sums, "{}  {name}", hash(path)?)?;
        println!("package: {name}: {bytes} bytes");
    }
    fs::write(folder.join("SHA256SUMS"), sums)?;
    println!(
        "package: {}: {} files, signed with {}",
        payload.folder.display(),
        payload.files.len(),
        if signer.is_test() {
            "the test certificate"
        } else {
            "your command"
        }
    );
    Ok(package)
}

/// The SHA-256 of a file, as small hexadecimal digits.
fn hash(path: &Path) -> Result<String> {
    let mut text = String::new();
    for byte in Sha256::digest(fs::read(path)?) {
        write!(text, "{byte:02x}")?;
    }
    ensure!(text.len() == 64, "a hash of {} digits", text.len());
    Ok(text)
}
