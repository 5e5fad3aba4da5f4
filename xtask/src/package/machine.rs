//! A machine of Wine's that is new each time: made, switched on, used, switched off, looked at.
//!
//! As in every use of Wine here, a run is bounded in time, reads `/dev/null` and prints to files (Wine's services would
//! hold pipes open). Only a machine that is off has its registry in files; [`Machine::off`] waits until it is.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::listing::Listing;

/// How long the making of the prefix may take, in seconds.
const MAKING: u32 = 300;
/// How long a start or an end of the server may take, in seconds.
const SERVER: u32 = 60;

/// How a program ended.
pub struct Ended {
    /// Its exit code; 124 when it took too long, -1 when a signal ended it.
    pub code: i32,
    /// What it printed.
    pub said: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.said.lines().last()) {
            (124, _) => write!(f, "took too long"),
            (code, Some(line)) => write!(f, "exit {code}, {line:?}"),
            (code, None) => write!(f, "exit {code}, nothing said"),
        }
    }
}

/// A prefix. Its server ends with it.
pub struct Machine {
    folder: PathBuf,
}

impl Machine {
    /// A new one in `folder`, switched off.
    pub fn new(folder: &Path) -> Result<Machine> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        fs::create_dir_all(folder)?;
        let machine = Machine {
            folder: folder.to_owned(),
        };
        let ended = machine.run("wineboot", &["-i"], MAKING)?;
        ensure!(ended.code == 0, "Wine makes no prefix: {ended}");
        machine.off()?;
        // The first start after the making still writes what the making did not.
        machine.restart()?;
        machine.off()?;
        Ok(machine)
    }

    /// A file of drive C:, with `/` between folders.
    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.join("prefix/drive_c").join(below)
    }

    /// Where programs are run.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts the server, which stays until [`Machine::off`].
    pub fn on(&self) -> Result<()> {
        let ended = self.wait(self.command("wineserver", SERVER).arg("-p"))?;
        ensure!(ended.code == 0, "Wine's server does not start: {ended}");
        Ok(())
    }

    /// What Windows does at its start: files that were to be deleted then are.
    pub fn restart(&self) -> Result<()> {
        let ended = self.run("wineboot", &["-r"], SERVER)?;
        ensure!(ended.code == 0, "Wine does not start again: {ended}");
        Ok(())
    }

    /// Ends the server and waits until it has written the registry.
    pub fn off(&self) -> Result<()> {
        // It answers with an error when there is none.
        self.wait(self.command("wineserver", SERVER).arg("-k"))?;
        let ended = self.wait(self.command("wineserver", SERVER).arg("-w"))?;
        ensure!(ended.code == 0, "Wine's server does not end: {ended}");
        Ok(())
    }

    /// Switches off and lists everything.
    pub fn list(&self) -> Result<Listing> {
        self.off()?;
        Listing::read(&self.folder.join("prefix"))
    }

    /// Runs a Windows program in the folder, for at most `seconds`.
    pub fn run(&self, program: &str, words: &[&str], seconds: u32) -> Result<Ended> {
        let mut command = self.command("wine", seconds);
        command.arg(program).args(words);
        self.wait(&mut command)
    }

    fn command(&self, name: &str, seconds: u32) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=10", &seconds.to_string(), name])
            .current_dir(&self.folder)
            .env("WINEPREFIX", self.folder.join("prefix"))
            .env("WINEARCH", "win64")
            .env("WINEDEBUG", "-all")
            // No questions about Mono and Gecko, no menus of this machine's desktop, and no window.
            .env("WINEDLLOVERRIDES", "mscoree=;mshtml=;winemenubuilder.exe=")
            .env_remove("DISPLAY");
        command
    }

    fn wait(&self, command: &mut Command) -> Result<Ended> {
        let (out, err) = (self.folder.join("stdout"), self.folder.join("stderr"));
        let status = command
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::create(&err)?)
            .status()
            .with_context(|| format!("cannot run {command:?}"))?;
        let said = [fs::read(out)?, fs::read(err)?].concat();
        Ok(Ended {
            code: status.code().unwrap_or(-1),
            said: String::from_utf8_lossy(&said).trim().to_owned(),
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What does not end now ends with this machine; nothing is lost by it.
        let _ = self.wait(self.command("wineserver", SERVER).arg("-k"));
    }
}
