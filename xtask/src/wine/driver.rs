//! `lklfs.sys` under Wine: as a service it starts, answers on its control device, and stops, several times over.
//!
//! That is DriverEntry, the devices and their link, a request from a user's program, and the unload, in a process that
//! is not ours. More Wine 8 does not have: its I/O manager knows no file systems (driver/README.md says what is missing).
//! [`super::volumes`] goes on from there, with a test driver's help.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use xshell::Shell;

use super::compile;
use super::machine::Machine;

/// The program that opens the control device.
const CONTROL: &str = include_str!("control.c");
/// How long one step may stand still, in seconds. Wine's service manager gives a service 10 itself.
const STEP: u32 = 60;
/// The service.
const SERVICE: &str = "lklfs";
/// How often it is started and stopped.
const ROUNDS: u32 = 3;

/// Installs, starts, asks, stops and removes the driver.
pub fn run(sh: &Shell, machine: &Machine, sys: &Path) -> Result<()> {
    let folder = machine.folder();
    let interface = format!("-DLKLFS_INTERFACE={:#x}", lklfs_control::VERSION);
    compile(
        sh,
        folder,
        "control.c",
        CONTROL,
        &folder.join("control.exe"),
        &[&interface],
    )?;
    fs::copy(sys, machine.path("windows/system32/drivers/lklfs.sys"))?;
    let step = |program: &str, words: &[&str]| -> Result<String> {
        let ended = machine.run(program, words, STEP)?;
        ensure!(
            ended.code == 0,
            "{program} {}, under Wine: {ended}",
            words.join(" ")
        );
        Ok(String::from_utf8_lossy(&ended.stdout).trim().to_owned())
    };
    // A run that was interrupted may have left it.
    for verb in ["stop", "delete"] {
        machine.run("sc", &[verb, SERVICE], STEP)?;
    }
    step(
        "sc",
        &[
            "create",
            SERVICE,
            "binPath=",
            "C:\\windows\\system32\\drivers\\lklfs.sys",
            "type=",
            "filesys",
            "start=",
            "demand",
        ],
    )?;
    for _ in 0..ROUNDS {
        step("net", &["start", SERVICE])?;
        let answer = step("control.exe", &[])?;
        ensure!(
            answer.starts_with("status: "),
            "the control device says {answer:?}"
        );
        step("net", &["stop", SERVICE])?;
        let gone = machine.run("control.exe", &[], STEP)?;
        ensure!(
            gone.code == 1,
            "the control device is there after the stop: {gone}"
        );
    }
    step("sc", &["delete", SERVICE])?;
    println!("lklfs.sys under Wine: started, asked and stopped {ROUNDS} times");
    Ok(())
}
