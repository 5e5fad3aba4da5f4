//! What was installed, used: `userctl` from PATH and the driver as a service.

use std::fs;

use anyhow::{Result, ensure};
use xshell::Shell;

use super::checks::{command, good, set_up, wait_until};
use super::{ENTRY, STILL};
use crate::wine;
use crate::wine::machine::{Ended, Machine};

/// The UUID of no volume.
const NOBODYS_UUID: &str = "8f14e45f-ceea-467f-9d5a-0b1d3c6d7e21";

/// A program that has the driver's control device open.
const HOLDER: &str = include_str!("hold.c");
/// How set-up ends when Windows is to be restarted.
const RESTART: i32 = 3010 & 0xff;

/// The state of the service, as `sc query` prints it.
fn state(machine: &Machine) -> Result<String> {
    let said = good(command(machine, "sc", &["query", "lklfs"])?, "sc query")?.said();
    let line = said.lines().find(|line| line.contains("STATE"));
    let word = line.and_then(|line| line.split_whitespace().next_back());
    Ok(word.unwrap_or_default().to_owned())
}

/// Fails unless the driver runs, or does not.
pub fn runs(machine: &Machine, expected: bool, when: &str) -> Result<()> {
    let state = state(machine)?;
    let wanted = if expected { "RUNNING" } else { "STOPPED" };
    ensure!(state == wanted, "{when} the driver is {state}, not {wanted}");
    Ok(())
}

/// Waits until the driver, which starts with Windows, runs.
pub fn starts(machine: &Machine) -> Result<()> {
    wait_until("the driver starts with Windows", || {
        Ok(state(machine)? == "RUNNING")
    })
}

/// Runs `userctl` as a user does, in a new command prompt: its folder is in PATH.
fn userctl(machine: &Machine, words: &str) -> Result<Ended> {
    machine.run("cmd", &["/c", &format!("userctl {words}")], STILL)
}

/// Fails unless `userctl` ends with this code, and prints this.
fn says(machine: &Machine, words: &str, code: i32, expected: &str) -> Result<()> {
    let ended = userctl(machine, words)?;
    ensure!(
        ended.code == code && ended.said().contains(expected),
        "userctl {words}: {ended}; not exit {code} and {expected:?}"
    );
    Ok(())
}

/// The program and the driver together; the driver stopped, and started again.
pub fn run(machine: &Machine) -> Result<()> {
    let version = concat!("userctl ", env!("CARGO_PKG_VERSION"));
    machine.on()?;
    says(machine, "--version", 0, version)?;
    starts(machine)?;
    says(machine, "status", 0, "control interface")?;
    says(machine, "list", 0, "no volume is mounted")?;
    good(command(machine, "net", &["stop", "lklfs"])?, "net stop")?;
    runs(machine, false, "after net stop")?;
    says(machine, "status", 10, "the driver is not running")?;
    good(command(machine, "net", &["start", "lklfs"])?, "net start")?;
    runs(machine, true, "after net start")?;
    says(machine, "status", 0, "control interface")?;
    println!("trial: {version}, found in PATH, asks the driver, which was stopped and started");
    Ok(())
}

/// After a start of Windows the driver runs.
pub fn with_windows(machine: &Machine) -> Result<()> {
    machine.off()?;
    machine.on()?;
    machine.restart()?;
    starts(machine)?;
    println!("trial: the driver starts with Windows");
    Ok(())
}

/// Where it does not start with Windows, `userctl mount` starts it; what only asks does not.
pub fn started_by_mount(machine: &Machine) -> Result<()> {
    // Not by PATH, which is too long for a command prompt here.
    let program = format!("{ENTRY}\\userctl.exe");
    machine.on()?;
    machine.restart()?;
    let asked = machine.run(&program, &["status"], STILL)?;
    ensure!(asked.code == 10, "userctl status: {asked}");
    runs(machine, false, "after userctl status")?;
    // An image would be opened in the user's name, for which Wine's kernel has nothing.
    let mounted = machine.run(&program, &["mount", NOBODYS_UUID], STILL)?;
    ensure!(
        mounted.code == 14,
        "userctl mount of a volume that is nowhere: {mounted}"
    );
    runs(machine, true, "after userctl mount")?;
    println!("trial: the driver does not start with Windows when it is not to; userctl mount starts it");
    Ok(())
}

/// While a program talks to the driver it cannot let go: set-up asks for a restart, and leaves a driver that serves.
pub fn kept_by_a_program(sh: &Shell, machine: &Machine, setup: &str) -> Result<()> {
    let folder = machine.folder();
    wine::compile(sh, folder, "hold.c", HOLDER, &folder.join("hold.exe"), &[])?;
    let program = format!("{ENTRY}\\userctl.exe");
    // It is not waited for.
    good(
        machine.run("start", &["/b", "hold.exe"], STILL)?,
        "start hold.exe",
    )?;
    wait_until("the program that holds the driver", || {
        Ok(folder.join("held").exists())
    })?;
    let refused = machine.run(&program, &["stop", "--force"], STILL)?;
    ensure!(
        refused.code == 13 && refused.said().contains("another program talks to it"),
        "userctl stop --force while a program talks to the driver: {refused}"
    );
    let ended = set_up(machine, setup, &[])?;
    ensure!(
        ended.code == RESTART,
        "set-up over a driver that cannot let go: {ended}"
    );
    runs(machine, true, "after a set-up that could not stop it")?;
    let asked = machine.run(&program, &["status"], STILL)?;
    ensure!(
        asked.code == 0,
        "the driver that set-up could not stop is half dead: userctl status: {asked}"
    );
    fs::write(folder.join("let-go"), "")?;
    wait_until("the end of the program that holds the driver", || {
        Ok(!machine.processes()?.iter().any(|name| name == "hold.exe"))
    })?;
    println!("trial: a driver that a program talks to serves on, and set-up asks for a restart");
    Ok(())
}
