//! The set-up program, tried under Wine as a user would: install, upgrade, go back, remove, on a machine that is new.
//!
//! Before and after the machine is listed to the last file and registry value ([`super::listing`]), and the two listings
//! must be equal. Wine is no Windows: it has no driver store, so Windows' own road is shown with a stand-in for pnputil
//! that keeps a record ([`store`]); it checks no signature; and it loads the driver as far as nt-level calls go.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use xshell::{Shell, cmd};

use super::listing::Listing;
use super::machine::{Ended, Machine};
use super::payload::Payload;

/// How long a set-up may take, in seconds.
const SETUP: u32 = 120;
/// How long any other program may take, in seconds.
const STEP: u32 = 60;
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
/// The entry in it.
const ENTRY: &str = "C:\\Program Files\\lklfs";
/// The stand-in for pnputil.
const STORE: &str = include_str!("pnputil.c");

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
    let machine = Machine::new(folder)?;
    fs::copy(setup, folder.join(SETUPS.older))?;
    fs::copy(newer, folder.join(SETUPS.newer))?;
    // Longer than what NSIS, setx and cmd can hold, with an empty entry, a variable and one that looks like ours.
    let mut path = "%SystemRoot%\\system32;C:\\windows;;C:\\Program Files\\lklfs tools".to_owned();
    while path.len() < 9000 {
        path.push_str(";C:\\a folder of some other program\\bin");
    }
    machine.on()?;
    set_path(&machine, &path)?;
    let before = machine.list()?;
    println!("trial: a machine of {} files, keys and values", before.len());
    fs::write(folder.join("before.txt"), before.text())?;

    installed(&machine, payload, &path)?;
    upgraded(&machine, &path)?;
    removed(&machine, &before, "after.txt")?;
    refused(&machine, &before)?;
    store(sh, &machine)?;
    Ok(())
}

/// Fails unless a program ended well.
fn good(ended: Ended, what: &str) -> Result<Ended> {
    ensure!(ended.code == 0, "{what}: {ended}");
    Ok(ended)
}

fn set_path(machine: &Machine, path: &str) -> Result<()> {
    let key = "HKLM\\System\\CurrentControlSet\\Control\\Session Manager\\Environment";
    let words = ["add", key, "/v", "PATH", "/t", "REG_EXPAND_SZ", "/d", path, "/f"];
    good(machine.run("reg", &words, STEP)?, "reg add")?;
    Ok(())
}

/// A first installation, and the driver started from where it is.
fn installed(machine: &Machine, payload: &Payload, path: &str) -> Result<()> {
    machine.on()?;
    good(machine.run(SETUPS.older, &["/S"], SETUP)?, "set-up")?;
    let listing = machine.list()?;
    service(&listing, 3)?;
    for file in &payload.files {
        same(machine, payload, file, &format!("{FOLDER}/{file}"))?;
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
    path_is(&listing, &format!("{path};{ENTRY}"))?;
    let menu = machine.path("ProgramData/Microsoft/Windows/Start Menu/Programs/lklfs");
    let links = fs::read_dir(&menu)
        .with_context(|| format!("no {}", menu.display()))?
        .count();
    ensure!(links == 3, "the start menu has {links} entries");
    println!(
        "trial: installed: {} files, service, PATH of {} characters, {links} menu entries",
        payload.files.len(),
        path.len() + 1 + ENTRY.len()
    );
    Ok(())
}

/// The newer set-up over the older one, while the driver runs; then the older one over that.
fn upgraded(machine: &Machine, path: &str) -> Result<()> {
    machine.on()?;
    // What sc config does; Wine's has no such verb.
    let words = ["add", SERVICE, "/v", "Start", "/t", "REG_DWORD", "/d", "1", "/f"];
    good(machine.run("reg", &words, STEP)?, "reg add")?;
    let runs = machine.run("net", &["start", "lklfs"], STEP)?.code == 0;
    good(machine.run(SETUPS.newer, &["/S"], SETUP)?, "upgrade")?;
    let state = machine.run("sc", &["query", "lklfs"], STEP)?.said;
    if runs {
        ensure!(
            state.contains("RUNNING"),
            "the driver ran and does not run after the upgrade: {state}"
        );
    }
    // The answer is no unless somebody says yes.
    let back = machine.run(SETUPS.older, &["/S"], SETUP)?;
    ensure!(back.code == 13, "the older set-up over the newer one: {back}");
    let listing = machine.list()?;
    // The user's choice is kept.
    service(&listing, 1)?;
    path_is(&listing, &format!("{path};{ENTRY}"))?;
    let version = listing
        .value(UNINSTALL, "DisplayVersion")
        .and_then(|value| value.text());
    println!(
        "trial: upgraded to {}, the driver {}",
        version.unwrap_or_default(),
        if runs {
            "stopped for it and started again"
        } else {
            "did not run: Wine does not start it"
        }
    );
    Ok(())
}

/// The removal, after which nothing is left.
fn removed(machine: &Machine, before: &Listing, name: &str) -> Result<()> {
    machine.on()?;
    let uninstall = format!("{ENTRY}\\uninstall.exe");
    good(machine.run(&uninstall, &["/S"], SETUP)?, "uninstall.exe")?;
    let after = started_again(machine)?;
    fs::write(machine.folder().join(name), after.text())?;
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
    wait_until("the uninstaller", || !machine.path(FOLDER).exists())?;
    thread::sleep(Duration::from_secs(2));
    let pending = machine.list()?;
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
    machine.list()
}

/// What set-up refuses, changing nothing: a Windows that is too old.
fn refused(machine: &Machine, before: &Listing) -> Result<()> {
    machine.on()?;
    let words = ["add", WINE, "/v", "Version", "/d", "vista", "/f"];
    good(machine.run("reg", &words, STEP)?, "reg add")?;
    let ended = machine.run(SETUPS.older, &["/S"], SETUP)?;
    ensure!(ended.code == 10, "set-up on Windows Vista: {ended}");
    good(
        machine.run("reg", &["delete", WINE, "/v", "Version", "/f"], STEP)?,
        "reg delete",
    )?;
    machine.restart()?;
    let difference: Vec<_> = before
        .difference(&machine.list()?)
        .into_iter()
        .filter(|line| !line.starts_with("changed: HKLM\\Software\\Microsoft\\Windows NT\\CurrentVersion\\"))
        .filter(|line| {
            !line.contains("\\Control\\ProductOptions\\") && !line.contains("\\Control\\Windows\\CSDVersion")
        })
        .collect();
    ensure!(difference.is_empty(), "refused, but: {}", difference.join("\n  "));
    println!("trial: refused on Windows Vista, with nothing changed");
    Ok(())
}

/// Windows 10's road: set-up asks pnputil, and asks it again, by the name that it gave, at the removal.
fn store(sh: &Shell, machine: &Machine) -> Result<()> {
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
    good(machine.run("reg", &words, STEP)?, "reg add")?;
    machine.restart()?;
    let before = machine.list()?;
    let record = machine.path("pnputil.log");
    machine.on()?;
    good(
        machine.run(SETUPS.older, &["/S"], SETUP)?,
        "set-up with a driver store",
    )?;
    good(
        machine.run(SETUPS.newer, &["/S"], SETUP)?,
        "upgrade with a driver store",
    )?;
    let asked = fs::read_to_string(&record).context("set-up did not ask pnputil")?;
    let expected = [
        "/add-driver C:\\Program Files\\lklfs\\driver\\lklfs.inf /install",
        "/add-driver C:\\Program Files\\lklfs\\driver\\lklfs.inf /install",
        "/delete-driver oem42.inf",
    ];
    ensure!(asked.lines().eq(expected), "pnputil was asked:\n{asked}");
    let listing = machine.list()?;
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
        machine.run(&uninstall, &["/S"], SETUP)?,
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

/// The service is what the INF says, with this start type.
fn service(listing: &Listing, start: u32) -> Result<()> {
    let number = |name: &str| listing.value(SERVICE, name).and_then(|value| value.number());
    for (name, expected) in [("Type", 2), ("Start", start), ("ErrorControl", 1)] {
        let found = number(name);
        ensure!(
            found == Some(expected),
            "the service's {name} is {found:?}, not {expected}"
        );
    }
    let text = |name: &str| listing.value(SERVICE, name).and_then(|value| value.text());
    for (name, expected) in [("Group", "File System"), ("DisplayName", "lklfs")] {
        let found = text(name);
        ensure!(
            found.as_deref() == Some(expected),
            "the service's {name} is {found:?}"
        );
    }
    let image = text("ImagePath").unwrap_or_default().to_lowercase();
    ensure!(
        image.ends_with("system32\\drivers\\lklfs.sys"),
        "the service's ImagePath is {image:?}"
    );
    Ok(())
}

fn path_is(listing: &Listing, expected: &str) -> Result<()> {
    let value = listing.value(ENVIRONMENT, "PATH").context("there is no PATH")?;
    ensure!(
        value.0.starts_with("str(2):"),
        "PATH is no REG_EXPAND_SZ any more"
    );
    let found = value.text().unwrap_or_default();
    ensure!(
        found == expected,
        "PATH has {} characters, not {}; it ends in {:?}",
        found.len(),
        expected.len(),
        found.get(found.len().saturating_sub(60)..)
    );
    Ok(())
}

fn same(machine: &Machine, payload: &Payload, file: &str, installed: &str) -> Result<()> {
    let path = machine.path(installed);
    let found = fs::read(&path).with_context(|| format!("{installed} is not there"))?;
    ensure!(
        found == fs::read(payload.folder.join(file))?,
        "{installed} is not {file}"
    );
    Ok(())
}

fn wait_until(what: &str, done: impl Fn() -> bool) -> Result<()> {
    let start = Instant::now();
    while !done() {
        if start.elapsed() > Duration::from_secs(u64::from(STEP)) {
            bail!("{what} does not end");
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
