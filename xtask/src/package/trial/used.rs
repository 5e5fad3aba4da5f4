//! What was installed, used: `userctl` from PATH and the driver as a service.

use anyhow::{Result, ensure};

use super::checks::{command, good, wait_until};
use super::{ENTRY, STILL};
use crate::wine::machine::{Ended, Machine};

/// The UUID of no volume.
const NOBODYS_UUID: &str = "8f14e45f-ceea-467f-9d5a-0b1d3c6d7e21";

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
