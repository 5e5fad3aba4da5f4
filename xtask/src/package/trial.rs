//! The set-up program, tried under Wine as a user would: install, use, upgrade, go back, remove, on a machine that is new.
//!
//! Before and after each round the machine is listed to the last file and registry value ([`super::listing`]), and the two
//! listings must be equal. The rounds:
//!
//! - as set-up is without any switch: the driver runs, is used ([`used`]), starts with Windows, is upgraded while it runs, is
//!   not replaced by an older one, and is removed;
//! - on demand, with a PATH that is longer than NSIS, setx and cmd can hold; `userctl mount` starts the driver, and a program
//!   that talks to it keeps it from being replaced;
//! - what set-up refuses: wrong switches, a Windows that is too old;
//! - the INF alone, without the set-up program ([`alone`]);
//! - Windows 10's road through the driver store ([`store`]).
//!
//! Wine is no Windows: it has no driver store, so that road is shown with a stand-in for pnputil that keeps a record; it
//! checks no signature; and it loads the driver as far as nt-level calls go.

mod alone;
mod checks;
mod store;
mod used;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use super::listing::Listing;
use super::payload::Payload;
use crate::wine::machine::Machine;
use checks::{command, good, listed, path_is, patient, same, service, set_path, set_up, wait_until};

/// How long any program may stand still, in seconds.
const STILL: u32 = 60;
/// How long all of it may take. On two idle cores it takes less than two minutes.
const TIME: Duration = Duration::from_secs(8 * 60);
/// Where set-up installs.
const FOLDER: &str = "Program Files/lklfs";
/// The service's key, as Wine keeps it.
const SERVICE: &str = "HKLM\\System\\CurrentControlSet\\Services\\lklfs";
/// What Settings shows.
const UNINSTALL: &str = "HKLM\\Software\\Microsoft\\Windows\\CurrentVersion\\Uninstall\\lklfs";
/// Where deletions wait for the next start.
const SESSION: &str = "HKLM\\System\\CurrentControlSet\\Control\\Session Manager";
/// Where PATH is.
const ENVIRONMENT: &str = "HKLM\\System\\CurrentControlSet\\Control\\Session Manager\\Environment";
/// Where Wine is told which Windows it is.
const WINE: &str = "HKCU\\Software\\Wine";
/// Where set-up installs, as Windows writes it.
const ENTRY: &str = "C:\\Program Files\\lklfs";
/// The start types.
const AUTO: u32 = 2;
const DEMAND: u32 = 3;

/// The two set-up programs.
struct Setups {
    older: &'static str,
    newer: &'static str,
}

const SETUPS: Setups = Setups {
    older: "older-setup.exe",
    newer: "newer-setup.exe",
};

/// Tries `setup` and its upgrade `newer`, which install `payload`.
pub fn run(sh: &Shell, folder: &Path, setup: &Path, newer: &Path, payload: &Payload) -> Result<()> {
    let start = Instant::now();
    let machine = Machine::fresh(folder, TIME)?;
    fs::copy(setup, folder.join(SETUPS.older))?;
    fs::copy(newer, folder.join(SETUPS.newer))?;
    machine.on()?;
    patient(&machine)?;
    let before = listed(&machine)?;
    println!("trial: a machine of {} files, keys and values", before.len());
    fs::write(folder.join("before.txt"), before.text())?;

    by_default(&machine, payload, &before)?;
    on_demand(sh, &machine, payload)?;
    refused(&machine)?;
    alone::run(&machine, payload)?;
    store::run(sh, &machine)?;
    machine.off()?;
    println!(
        "trial: all passed, in {:.0} s; nothing of the machine runs any more",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// As set-up is without a switch.
fn by_default(machine: &Machine, payload: &Payload, before: &Listing) -> Result<()> {
    let path = before
        .value(ENVIRONMENT, "PATH")
        .and_then(|value| value.text())
        .context("the machine has no PATH")?;
    machine.on()?;
    good(set_up(machine, SETUPS.older, &[])?, "set-up")?;
    used::runs(machine, true, "after set-up")?;
    let listing = listed(machine)?;
    service(&listing, AUTO)?;
    installed(machine, &listing, payload)?;
    path_is(&listing, &format!("{path};{ENTRY}"))?;
    used::run(machine)?;
    used::with_windows(machine)?;

    // What the driver keeps for a volume.
    let kept = format!("{SERVICE}\\Parameters\\Volumes\\6c6b6c66-7300-4d61-8000-000000000001");
    let words = ["add", &kept, "/v", "Letter", "/t", "REG_SZ", "/d", "L", "/f"];
    good(command(machine, "reg", &words)?, "reg add")?;
    good(set_up(machine, SETUPS.newer, &[])?, "upgrade")?;
    used::runs(machine, true, "after the upgrade")?;
    // The answer is no unless somebody says yes.
    let back = set_up(machine, SETUPS.older, &[])?;
    ensure!(back.code == 13, "the older set-up over the newer one: {back}");
    used::runs(machine, true, "after the older set-up was refused")?;
    let listing = listed(machine)?;
    service(&listing, AUTO)?;
    path_is(&listing, &format!("{path};{ENTRY}"))?;
    ensure!(
        listing
            .value(&kept, "Letter")
            .and_then(|value| value.text())
            .as_deref()
            == Some("L"),
        "the upgrade has lost what the driver keeps for a volume"
    );
    println!(
        "trial: upgraded to {} while the driver ran, which runs again; the older set-up is refused",
        version(&listing)
    );
    removed(machine, before)
}

/// With the driver on demand, and a long PATH with an empty entry, a variable and one that looks like ours.
fn on_demand(sh: &Shell, machine: &Machine, payload: &Payload) -> Result<()> {
    let mut path = "%SystemRoot%\\system32;C:\\windows;;C:\\Program Files\\lklfs tools".to_owned();
    while path.len() < 9000 {
        path.push_str(";C:\\a folder of some other program\\bin");
    }
    machine.on()?;
    set_path(machine, &path)?;
    let before = listed(machine)?;
    machine.on()?;
    good(set_up(machine, SETUPS.older, &["/START=demand"])?, "set-up")?;
    used::runs(machine, false, "after set-up with /START=demand")?;
    let listing = listed(machine)?;
    service(&listing, DEMAND)?;
    installed(machine, &listing, payload)?;
    path_is(&listing, &format!("{path};{ENTRY}"))?;
    used::started_by_mount(machine)?;
    used::kept_by_a_program(sh, machine, SETUPS.older)?;

    // An upgrade keeps the choice, and changes it when it is told to. What ran runs again.
    for (words, start) in [
        (&[][..], DEMAND),
        (&["/START=auto"], AUTO),
        (&["/START=demand"], DEMAND),
    ] {
        let what = format!("upgrade {}", words.join(" "));
        good(set_up(machine, SETUPS.newer, words)?, &what)?;
        used::runs(machine, true, &format!("after the {what}"))?;
        service(&listed(machine)?, start)?;
        machine.on()?;
        if start == AUTO {
            used::starts(machine)?;
        }
    }
    machine.off()?;
    println!(
        "trial: on demand, with a PATH of {} characters: the choice is kept, and changed by /START",
        path.len() + 1 + ENTRY.len()
    );
    removed(machine, &before)
}

/// What is there after an installation.
fn installed(machine: &Machine, listing: &Listing, payload: &Payload) -> Result<()> {
    for file in &payload.files {
        same(machine, payload, file, &format!("{FOLDER}/{file}"))?;
    }
    for file in [
        "userctl.exe",
        "README.txt",
        "LICENSE.txt",
        "SOURCE.txt",
        "completions/userctl.ps1",
        "completions/userctl.bash",
        "doc/userctl.txt",
        "doc/userctl.1",
    ] {
        let path = machine.path(&format!("{FOLDER}/{file}"));
        ensure!(
            fs::metadata(&path).is_ok_and(|file| file.len() > 500),
            "{file} was not installed, or is empty"
        );
    }
    same(
        machine,
        payload,
        "driver/lklfs.sys",
        "windows/system32/drivers/lklfs.sys",
    )?;
    let text = |name: &str| listing.value(UNINSTALL, name).and_then(|value| value.text());
    for (name, expected) in [
        ("DisplayName", "lklfs"),
        ("InstallLocation", ENTRY),
        (
            "QuietUninstallString",
            "\"C:\\Program Files\\lklfs\\uninstall.exe\" /S",
        ),
    ] {
        let found = text(name);
        ensure!(found.as_deref() == Some(expected), "{name} is {found:?}");
    }
    let size = listing
        .value(UNINSTALL, "EstimatedSize")
        .and_then(|value| value.number());
    let kilobytes = u32::try_from(payload.bytes()?.div_ceil(1024))?;
    ensure!(
        size == Some(kilobytes),
        "EstimatedSize is {size:?}, not {kilobytes}"
    );
    let menu = machine.path("ProgramData/Microsoft/Windows/Start Menu/Programs/lklfs");
    let links = fs::read_dir(&menu)
        .with_context(|| format!("no {}", menu.display()))?
        .count();
    ensure!(links == 3, "the start menu has {links} entries");
    println!(
        "trial: installed {}: {} files, service, PATH, {links} menu entries",
        version(listing),
        payload.files.len()
    );
    Ok(())
}

/// The installed version.
fn version(listing: &Listing) -> String {
    let value = listing.value(UNINSTALL, "DisplayVersion");
    value.and_then(|value| value.text()).unwrap_or_default()
}

/// The removal, after which nothing is left.
fn removed(machine: &Machine, before: &Listing) -> Result<()> {
    machine.on()?;
    let uninstall = format!("{ENTRY}\\uninstall.exe");
    good(set_up(machine, &uninstall, &[])?, "uninstall.exe")?;
    let after = started_again(machine)?;
    fs::write(machine.folder().join("after.txt"), after.text())?;
    let difference = before.difference(&after);
    ensure!(
        difference.is_empty(),
        "{} things are not as before:\n  {}",
        difference.len(),
        difference.join("\n  ")
    );
    println!(
        "trial: removed: all {} files, keys and values are as before",
        after.len()
    );
    Ok(())
}

/// What there is after the uninstaller has done its work and Windows has started again.
///
/// The uninstaller works on as a copy of itself in the folder for temporary files, since a program cannot delete itself
/// while it runs. It asks Windows to delete that copy, and the copy's folder, at the next start. Wine deletes files then
/// and no folders; that the request was made, and that the folder is empty, is checked here before it is removed.
fn started_again(machine: &Machine) -> Result<Listing> {
    wait_until("the uninstaller", || {
        let copy = machine.processes()?.iter().any(|name| name.starts_with("Un"));
        Ok(!copy && !machine.path(FOLDER).exists())
    })?;
    let pending = listed(machine)?;
    let asked = pending.value(SESSION, "PendingFileRenameOperations");
    machine.on()?;
    machine.restart()?;
    machine.off()?;
    for entry in fs::read_dir(machine.path("users"))? {
        let temporary = entry?.path().join("Temp");
        for copy in fs::read_dir(&temporary).into_iter().flatten() {
            let copy = copy?;
            let name = copy.file_name().to_string_lossy().into_owned();
            if !name.starts_with("~nsu") {
                continue;
            }
            // A list of texts: each ends in `\0` as Wine writes it, and so does the empty one that says "delete".
            let wanted = format!("\\\\{name}\\0\\0");
            ensure!(
                asked.is_some_and(|list| list.0.contains(&wanted)),
                "nobody asked for {name} to be deleted at the next start"
            );
            fs::remove_dir(copy.path()).with_context(|| format!("{name} is not empty"))?;
        }
    }
    listed(machine)
}

/// What set-up refuses, changing nothing: a switch that it does not know, and a Windows that is too old.
fn refused(machine: &Machine) -> Result<()> {
    let before = listed(machine)?;
    machine.on()?;
    let ended = set_up(machine, SETUPS.older, &["/START=system"])?;
    ensure!(ended.code == 14, "set-up with /START=system: {ended}");
    let words = ["add", WINE, "/v", "Version", "/d", "vista", "/f"];
    good(command(machine, "reg", &words)?, "reg add")?;
    let ended = set_up(machine, SETUPS.older, &[])?;
    ensure!(ended.code == 10, "set-up on Windows Vista: {ended}");
    good(
        command(machine, "reg", &["delete", WINE, "/v", "Version", "/f"])?,
        "reg delete",
    )?;
    machine.restart()?;
    let difference: Vec<_> = before
        .difference(&listed(machine)?)
        .into_iter()
        .filter(|line| !line.starts_with("changed: HKLM\\Software\\Microsoft\\Windows NT\\CurrentVersion\\"))
        .filter(|line| {
            !line.contains("\\Control\\ProductOptions\\") && !line.contains("\\Control\\Windows\\CSDVersion")
        })
        .collect();
    ensure!(difference.is_empty(), "refused, but: {}", difference.join("\n  "));
    println!("trial: refused: an unknown /START, and Windows Vista; with nothing changed");
    Ok(())
}
