//! What is looked at, again and again.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{ENVIRONMENT, SERVICE, STILL};
use crate::package::listing::Listing;
use crate::package::payload::Payload;
use crate::wine::machine::{Ended, Machine};

/// How long something that goes on by itself may take. Generous: the machine may have little time for it.
const SOON: Duration = Duration::from_secs(90);

/// Fails unless a program ended well.
pub fn good(ended: Ended, what: &str) -> Result<Ended> {
    ensure!(ended.code == 0, "{what}: {ended}");
    Ok(ended)
}

/// Runs `reg`, `net` or `sc`. They say what they do, whether it goes well or not; one that ended badly without a word was
/// not started by Wine, which happens on a machine with much to do, and is run once more.
pub fn command(machine: &Machine, program: &str, words: &[&str]) -> Result<Ended> {
    unless_not_started(machine, program, words, |ended| ended.code != 0)
}

/// Runs a set-up program or an uninstaller, silently. None of them ends with 1 but one that a user cancels, and a silent one
/// asks no user: Wine has not started it, as it may not start [`command`]s.
pub fn set_up(machine: &Machine, program: &str, words: &[&str]) -> Result<Ended> {
    let words = [&["/S"], words].concat();
    unless_not_started(machine, program, &words, |ended| ended.code == 1)
}

/// Runs a program, and once more when it has ended `badly` without a word.
fn unless_not_started(
    machine: &Machine,
    program: &str,
    words: &[&str],
    badly: impl Fn(&Ended) -> bool,
) -> Result<Ended> {
    let ended = machine.run(program, words, STILL)?;
    if !badly(&ended) || !ended.said().is_empty() {
        return Ok(ended);
    }
    println!("trial: {program} {}: {ended}; once more", words.join(" "));
    machine.run(program, words, STILL)
}

/// Lets Wine's service manager be as patient as we are: by itself it gives a driver ten seconds to start.
pub fn patient(machine: &Machine) -> Result<()> {
    let key = "HKLM\\System\\CurrentControlSet\\Control";
    for name in ["ServicesPipeTimeout", "WaitToKillServiceTimeout"] {
        let words = ["add", key, "/v", name, "/t", "REG_SZ", "/d", "60000", "/f"];
        good(command(machine, "reg", &words)?, "reg add")?;
    }
    Ok(())
}

/// Switches off and lists everything.
pub fn listed(machine: &Machine) -> Result<Listing> {
    machine.off()?;
    Listing::read(&machine.prefix())
}

/// Sets the machine's PATH.
pub fn set_path(machine: &Machine, path: &str) -> Result<()> {
    let words = [
        "add",
        ENVIRONMENT,
        "/v",
        "PATH",
        "/t",
        "REG_EXPAND_SZ",
        "/d",
        path,
        "/f",
    ];
    good(command(machine, "reg", &words)?, "reg add")?;
    Ok(())
}

/// The service is what the INF says, with this start type.
pub fn service(listing: &Listing, start: u32) -> Result<()> {
    let number = |name: &str| listing.value(SERVICE, name).and_then(|value| value.number());
    for (name, expected) in [("Type", 2), ("Start", start), ("ErrorControl", 1)] {
        let found = number(name);
        ensure!(
            found == Some(expected),
            "the service's {name} is {found:?}, not {expected}"
        );
    }
    let text = |name: &str| listing.value(SERVICE, name).and_then(|value| value.text());
    let name = text("DisplayName");
    ensure!(
        name.as_deref() == Some("lklfs"),
        "the service's DisplayName is {name:?}"
    );
    // Safe mode starts whole groups.
    let group = text("Group").unwrap_or_default();
    ensure!(group.is_empty(), "the service is in the group {group:?}");
    let image = text("ImagePath").unwrap_or_default().to_lowercase();
    ensure!(
        image.ends_with("system32\\drivers\\lklfs.sys"),
        "the service's ImagePath is {image:?}"
    );
    Ok(())
}

/// PATH is exactly this.
pub fn path_is(listing: &Listing, expected: &str) -> Result<()> {
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

/// A file of the payload is at `installed`.
pub fn same(machine: &Machine, payload: &Payload, file: &str, installed: &str) -> Result<()> {
    let path = machine.path(installed);
    let found = fs::read(&path).with_context(|| format!("{installed} is not there"))?;
    ensure!(
        found == fs::read(payload.folder.join(file))?,
        "{installed} is not {file}"
    );
    Ok(())
}

/// Waits for what comes by itself.
pub fn wait_until(what: &str, done: impl Fn() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !done()? {
        if start.elapsed() > SOON {
            bail!("{what}: not within {} s", SOON.as_secs());
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
