//! Programs that crash in a Windows of our own: each is caught with a backtrace, and fails what is run there.
//!
//! Windows starts the debugger that the registry names ("AeDebug") for a program whose exception nothing handles, and so
//! does Wine. Here that is Wine's own, which writes where the program was, in words, to a file of drive C:. The crashed
//! program waits for it; so a program that has ended has its backtrace in the file, and a service's comes soon after.
//!
//! That the catch itself works is shown with a program that crashes on purpose ([`check`]).

use std::fs;
use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use xshell::Shell;

use super::compile;
use super::machine::Machine;

/// The file, on drive C:.
const FILE: &str = "crashes.txt";
/// What is written to the registry: key, value, type, data.
const SETTINGS: &[[&str; 4]] = &[
    [AE_DEBUG, "Debugger", "REG_SZ", DEBUGGER],
    [AE_DEBUG, "Auto", "REG_SZ", "1"],
    // Else it asks a person, and waits for the answer.
    [
        "HKCU\\Software\\Wine\\WineDbg",
        "ShowCrashDialog",
        "REG_DWORD",
        "0",
    ],
];
const AE_DEBUG: &str = "HKLM\\Software\\Microsoft\\Windows NT\\CurrentVersion\\AeDebug";
/// The numbers are those of the process and of an event. Whole paths: the machine's PATH is what a test has made of it.
const DEBUGGER: &str = concat!(
    "C:\\windows\\system32\\cmd.exe /c ",
    "C:\\windows\\system32\\winedbg.exe --auto %ld %ld >>C:\\crashes.txt 2>&1"
);
/// The debugger's process.
const ITS_NAME: &str = "winedbg.exe";
/// How long the debugger may take.
const WRITING: Duration = Duration::from_secs(60);
/// How often it is looked whether it has written all.
const LOOK: Duration = Duration::from_millis(200);

/// The program that crashes.
const PROGRAM: &str = include_str!("crash.c");
/// How long it may stand still, in seconds.
const STILL: u32 = 60;

/// Has Windows catch crashes from now on.
pub fn catch(machine: &Machine) -> Result<()> {
    forget(machine)?;
    for [key, value, kind, data] in SETTINGS {
        let words = ["add", key, "/v", value, "/t", kind, "/d", data, "/f"];
        // On a machine with much to do Wine does not start every program.
        let mut ended = machine.run("reg", &words, STILL)?;
        if ended.code != 0 {
            ended = machine.run("reg", &words, STILL)?;
        }
        ensure!(
            ended.code == 0,
            "crashes cannot be caught: reg add {value}: {ended}"
        );
    }
    Ok(())
}

/// Fails with the backtrace if a program has crashed since this was asked the last time.
pub fn none(machine: &Machine) -> Result<()> {
    match taken(machine)? {
        Some(text) => bail!("a program crashed: {}\n{text}", gist(&text)),
        None => Ok(()),
    }
}

/// What was written about crashes, which is not told again.
fn taken(machine: &Machine) -> Result<Option<String>> {
    let path = machine.path(FILE);
    let read = || match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(text) => Ok(Some(text)),
    };
    let Some(mut text) = read()? else {
        return Ok(None);
    };
    let start = Instant::now();
    while start.elapsed() < WRITING {
        thread::sleep(LOOK);
        let before = text.len();
        text = read()?.unwrap_or_default();
        let writes = machine.processes()?.iter().any(|name| name == ITS_NAME);
        // A debugger that was ended with its machine writes no more.
        let over = machine.processes()?.is_empty();
        if over || (!text.is_empty() && text.len() == before && !writes) {
            break;
        }
    }
    forget(machine)?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

fn forget(machine: &Machine) -> Result<()> {
    match fs::remove_file(machine.path(FILE)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context(FILE),
        _ => Ok(()),
    }
}

/// The two lines that say most: what happened, and where.
fn gist(text: &str) -> String {
    let line = |start: &str| {
        let mut lines = text.lines().map(str::trim);
        lines.find(|line| line.starts_with(start)).unwrap_or("?")
    };
    format!("{} {}", line("Unhandled exception"), line("=>0"))
}

/// A program that crashes on purpose is caught, and named with the function that it was in.
pub fn check(sh: &Shell, machine: &Machine) -> Result<()> {
    let program = machine.folder().join("crash.exe");
    // With its names, which the backtrace shows. Wine's debugger reads DWARF 4.
    compile(sh, machine.folder(), "crash.c", PROGRAM, &program, &["-gdwarf-4"])?;
    let Err(told) = machine.run("crash.exe", &[], STILL) else {
        bail!("a program that crashes on purpose was not caught");
    };
    let told = format!("{told:#}");
    for wanted in [
        "page fault on write access to 0x0000000000000bad",
        "falls",
        "crash.exe",
    ] {
        ensure!(
            told.contains(wanted),
            "a crash is told without {wanted:?}:\n{told}"
        );
    }
    none(machine).context("it was told twice")?;
    println!(
        "a program that crashes on purpose: {}",
        told.lines().next().unwrap_or_default()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gist_of_a_backtrace_is_what_happened_and_where() {
        let text = "wine: x\nUnhandled exception: division by zero in 64-bit code (0x01).\nBacktrace:\n=>0 0x01 in a (+0x1)\n  1 0x02 in b\n";
        assert_eq!(
            gist(text),
            "Unhandled exception: division by zero in 64-bit code (0x01). =>0 0x01 in a (+0x1)"
        );
        assert_eq!(gist(""), "? ?");
    }
}
