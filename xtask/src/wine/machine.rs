//! A Windows of our own: a prefix of Wine's in a folder, and the only way in which anything is run in it.
//!
//! [`Machine::fresh`] makes one anew and leaves it switched off; [`Machine::kept`] makes one once, finds it again in later
//! runs, and switches it on. A machine that is on has a server that stays between programs; only a machine that is off has
//! its registry in files ([`Machine::off`] waits for that).
//!
//! Everything about a run is bounded: a program that stands still is ended, and so is one that still runs at the end of the
//! machine's time ([`super::watch`]). It reads nothing (stdin is `/dev/null`), and what it prints goes to files. Not to
//! pipes: Wine's services inherit them and hold them open long after the program has ended. When a machine is switched off
//! or dropped, nothing that was started in it goes on. A program that crashes, a service or a driver too, fails the run that
//! it happened in, with its backtrace ([`super::crashes`]).

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::crashes;
use super::watch::{self, Cut, Mark};

/// How long Wine itself may stand still, in seconds: making the prefix, coming, going.
const STILL: u32 = 60;
/// How long what has been ended may take to be gone.
const GOING: Duration = Duration::from_secs(20);
/// The exit code that stands for a program that was ended here, as `timeout` has it.
const CUT: i32 = 124;

/// How a program ended.
pub struct Ended {
    /// Its exit code; 124 when it was ended because it took too long, -1 when a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it said besides.
    pub stderr: Vec<u8>,
    /// Why it was ended here.
    cut: Option<Cut>,
}

impl Ended {
    /// How a program of this machine's own system ended.
    pub fn of(output: std::process::Output) -> Ended {
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: output.stderr,
            cut: None,
        }
    }

    /// All that it printed, on both.
    pub fn said(&self) -> String {
        let said = [self.stdout.as_slice(), self.stderr.as_slice()].concat();
        String::from_utf8_lossy(&said).trim().to_owned()
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cut {
            Some(cut) => write!(f, "{cut}")?,
            None => write!(f, "exit {}", self.code)?,
        }
        match self.said().lines().last() {
            Some(line) => write!(f, ", {line:?}"),
            None => write!(f, ", nothing said"),
        }
    }
}

/// The machine.
pub struct Machine {
    folder: PathBuf,
    mark: Mark,
    /// The screen, where windows are to be seen.
    display: Option<String>,
    /// The end of its time.
    end: Instant,
}

impl Machine {
    /// A new one in `folder`, which is emptied; switched off. All that is done with it may take `time`.
    pub fn fresh(folder: &Path, time: Duration) -> Result<Machine> {
        let machine = Machine::in_folder(folder, time);
        // What an interrupted run has left.
        machine.gone()?;
        emptied(folder)?;
        fs::create_dir_all(folder)?;
        machine.made()?;
        // The first start after the making still writes what the making did not.
        machine.restart()?;
        crashes::catch(&machine)?;
        machine.off()?;
        Ok(machine)
    }

    /// The one in `folder`, made unless it is there; switched on. All that is done with it may take `time`.
    pub fn kept(folder: &Path, time: Duration) -> Result<Machine> {
        let machine = Machine::in_folder(folder, time);
        let made = machine.prefix().join("made");
        if !made.exists() {
            machine.gone()?;
            emptied(&machine.prefix())?;
            machine.made()?;
            fs::write(&made, "")?;
        }
        machine.on()?;
        crashes::catch(&machine)?;
        Ok(machine)
    }

    fn in_folder(folder: &Path, time: Duration) -> Machine {
        Machine {
            folder: folder.to_owned(),
            mark: Mark::new("WINEPREFIX", &folder.join("prefix")),
            display: None,
            end: Instant::now() + time,
        }
    }

    fn made(&self) -> Result<()> {
        let ended = self.run("wineboot", &["-i"], STILL)?;
        ensure!(ended.code == 0, "Wine makes no prefix: {ended}");
        self.off()
    }

    /// From now on windows are shown on this X display.
    pub fn show_on(&mut self, display: &str) {
        self.display = Some(display.to_owned());
    }

    /// Where programs are run, and where their files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where Wine keeps drive C: and the registry.
    pub fn prefix(&self) -> PathBuf {
        self.folder.join("prefix")
    }

    /// A file of drive C:, with `/` between folders.
    pub fn path(&self, below: &str) -> PathBuf {
        self.prefix().join("drive_c").join(below)
    }

    /// Starts the server, which stays until [`Machine::off`].
    pub fn on(&self) -> Result<()> {
        let ended = self.server("-p")?;
        ensure!(ended.code == 0, "Wine's server does not start: {ended}");
        Ok(())
    }

    /// What Windows does at its start: files that were to be deleted then are, and services that start by themselves do.
    pub fn restart(&self) -> Result<()> {
        let ended = self.run("wineboot", &["-r"], STILL)?;
        ensure!(ended.code == 0, "Wine does not start again: {ended}");
        Ok(())
    }

    /// Ends the server, waits until it has written the registry, and until nothing of the machine runs any more.
    pub fn off(&self) -> Result<()> {
        crashes::none(self)?;
        // It answers with an error when there is none.
        self.server("-k")?;
        let ended = self.server("-w")?;
        ensure!(ended.code == 0, "Wine's server does not end: {ended}");
        self.gone()?;
        crashes::none(self)
    }

    /// Runs a Windows program in the folder. It may stand still for `seconds`. An error when anything has crashed.
    pub fn run(&self, program: &str, words: &[&str], seconds: u32) -> Result<Ended> {
        let mut command = self.command("wine");
        command.arg(program).args(words);
        let ended = self.wait(&mut command, seconds)?;
        crashes::none(self).with_context(|| format!("{program} {}", words.join(" ")))?;
        Ok(ended)
    }

    /// The names of all processes of the machine, Wine's own among them.
    pub fn processes(&self) -> Result<Vec<String>> {
        self.mark.names()
    }

    fn server(&self, word: &str) -> Result<Ended> {
        self.wait(self.command("wineserver").arg(word), STILL)
    }

    /// A command of Wine's.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command
            .current_dir(&self.folder)
            .env("WINEPREFIX", self.prefix())
            .env("WINEARCH", "win64")
            .env("WINEDEBUG", "-all")
            // No questions about Mono and Gecko, and no menus of this machine's desktop.
            .env("WINEDLLOVERRIDES", "mscoree=;mshtml=;winemenubuilder.exe=");
        match &self.display {
            Some(display) => command.env("DISPLAY", display),
            None => command.env_remove("DISPLAY"),
        };
        command
    }

    fn wait(&self, command: &mut Command, seconds: u32) -> Result<Ended> {
        let (out, err) = (self.folder.join("stdout"), self.folder.join("stderr"));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::create(&err)?)
            .spawn()
            .with_context(|| format!("cannot run {command:?}"))?;
        let still = Duration::from_secs(seconds.into());
        let (code, cut) = match watch::wait(&mut child, &self.mark, still, self.end)? {
            Ok(status) => (status.code().unwrap_or(-1), None),
            Err(cut) => (CUT, Some(cut)),
        };
        Ok(Ended {
            code,
            stdout: fs::read(out)?,
            stderr: fs::read(err)?,
            cut,
        })
    }

    /// Waits until no process of the machine runs; those that do not go are ended, and told.
    fn gone(&self) -> Result<()> {
        for name in self.mark.end_all(GOING)? {
            eprintln!("wine: {name} did not end with its machine, and was ended");
        }
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What else went wrong is being told; that the end of the server did would only hide it.
        let _ = self.server("-k");
        let _ = self.gone();
    }
}

/// Removes a folder, if it is there.
fn emptied(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
