//! Windows 10's road: set-up asks pnputil, and asks it again, by the name that it gave, at the removal. Wine has no pnputil; a
//! stand-in (`pnputil.c`) writes down what it is asked.

use std::fs;

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use super::checks::{command, good, listed, set_up};
use super::{ENTRY, SETUPS, UNINSTALL, WINE, started_again};
use crate::wine::machine::Machine;

/// The stand-in.
const STORE: &str = include_str!("pnputil.c");

/// Installs, upgrades and removes.
pub fn run(sh: &Shell, machine: &Machine) -> Result<()> {
    let source = machine.folder().join("pnputil.c");
    let program = machine.path("windows/system32/pnputil.exe");
    fs::write(&source, STORE)?;
    cmd!(
        sh,
        "x86_64-w64-mingw32-gcc -Wall -Werror -O1 -s -municode -o {program} {source} -ladvapi32"
    )
    .quiet()
    .run()
    .context("the stand-in for pnputil does not compile")?;
    // Wine is Windows 7 unless it is told otherwise, and that has no such driver store.
    machine.on()?;
    let words = ["add", WINE, "/v", "Version", "/d", "win10", "/f"];
    good(command(machine, "reg", &words)?, "reg add")?;
    machine.restart()?;
    let before = listed(machine)?;
    let record = machine.path("pnputil.log");
    machine.on()?;
    good(set_up(machine, SETUPS.older, &[])?, "set-up with a driver store")?;
    good(set_up(machine, SETUPS.newer, &[])?, "upgrade with a driver store")?;
    let asked = fs::read_to_string(&record).context("set-up did not ask pnputil")?;
    let expected = [
        "/add-driver C:\\Program Files\\lklfs\\driver\\lklfs.inf /install",
        "/add-driver C:\\Program Files\\lklfs\\driver\\lklfs.inf /install",
        "/delete-driver oem42.inf",
    ];
    ensure!(asked.lines().eq(expected), "pnputil was asked:\n{asked}");
    let listing = listed(machine)?;
    let package = listing
        .value(UNINSTALL, "DriverPackage")
        .and_then(|value| value.text());
    ensure!(
        package.as_deref() == Some("oem43.inf"),
        "the driver package is {package:?}"
    );
    machine.on()?;
    let uninstall = format!("{ENTRY}\\uninstall.exe");
    good(
        set_up(machine, &uninstall, &[])?,
        "uninstall.exe with a driver store",
    )?;
    let after = started_again(machine)?;
    let asked = fs::read_to_string(&record)?;
    ensure!(
        asked.lines().last() == Some("/delete-driver oem43.inf /uninstall"),
        "pnputil was asked:\n{asked}"
    );
    let difference: Vec<_> = before
        .difference(&after)
        .into_iter()
        .filter(|line| !line.starts_with("new: C:\\pnputil.log: "))
        .collect();
    ensure!(
        difference.is_empty(),
        "with a driver store: {}",
        difference.join("\n  ")
    );
    println!("trial: with a driver store: added, replaced and deleted through pnputil's stand-in");
    Ok(())
}
