//! The INF by itself, as somebody installs it who has the zip: setupapi runs its sections.

use std::fs;

use anyhow::{Result, ensure};

use super::checks::{command, good, listed, same, service};
use super::{DEMAND, SERVICE, STILL, used};
use crate::package::payload::{DRIVER, Payload};
use crate::wine::machine::Machine;

/// Where the driver package is put. Without a blank: setupapi takes the rest of its line for the path, and quotation marks,
/// which whoever starts it would put around a blank, for a part of it.
const PLACE: &str = "lklfs-driver";

/// Installs, starts, stops and removes the driver.
pub fn run(machine: &Machine, payload: &Payload) -> Result<()> {
    fs::create_dir(machine.path(PLACE))?;
    for name in ["lklfs.cat", "lklfs.inf", "lklfs.sys"] {
        let file = payload.folder.join(DRIVER).join(name);
        fs::copy(file, machine.path(PLACE).join(name))?;
    }
    let before = listed(machine)?;
    machine.on()?;
    section(machine, "DefaultInstall")?;
    used::runs(machine, false, "after the INF's installation")?;
    let listing = listed(machine)?;
    service(&listing, DEMAND)?;
    same(
        machine,
        payload,
        "driver/lklfs.sys",
        "windows/system32/drivers/lklfs.sys",
    )?;
    machine.on()?;
    good(command(machine, "net", &["start", "lklfs"])?, "net start")?;
    used::runs(machine, true, "after net start")?;
    // The section deletes the file before the service; the file of a driver that runs would stay until the next start.
    good(command(machine, "net", &["stop", "lklfs"])?, "net stop")?;
    section(machine, "DefaultUninstall")?;
    let after = listed(machine)?;
    ensure!(
        !after.registry.contains_key(SERVICE),
        "DefaultUninstall left the service"
    );
    let difference = before.difference(&after);
    ensure!(
        difference.is_empty(),
        "the INF alone left {} things:\n  {}",
        difference.len(),
        difference.join("\n  ")
    );
    fs::remove_dir_all(machine.path(PLACE))?;
    println!("trial: the INF alone: installed, started, stopped and removed; all as before");
    Ok(())
}

/// Runs a section of the INF, as the read-me says. 132: files are beside the INF, Windows is not started again.
fn section(machine: &Machine, name: &str) -> Result<()> {
    let place = format!("C:\\{PLACE}\\lklfs.inf");
    let section = format!("{name}.NTamd64");
    let words = ["setupapi.dll,InstallHinfSection", &section, "132", &place];
    good(machine.run("rundll32", &words, STILL)?, &section)?;
    Ok(())
}
