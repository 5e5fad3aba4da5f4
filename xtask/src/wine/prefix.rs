//! A Windows of our own, and how programs are run in it.
//!
//! Everything about a run is bounded: it may take so many seconds, it reads nothing (stdin is `/dev/null`), and what it
//! prints goes to files. Not to pipes: Wine's services inherit them and hold them open long after the program has ended.
//! `wineserver -p` keeps the server between runs, which would else start it anew each time; dropping the prefix ends it.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// How long the making of the prefix may take, in seconds.
const MAKING: u32 = 300;
/// How long Wine's server may take to come or to go, in seconds.
const SERVER: u32 = 60;
/// What `timeout` ends with when the time is over.
const TOO_LONG: i32 = 124;

/// How a program ended.
pub struct Ended {
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it said besides.
    pub stderr: Vec<u8>,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            TOO_LONG => write!(f, "took too long")?,
            code => write!(f, "exit {code}")?,
        }
        let said = String::from_utf8_lossy(&self.stderr);
        match said.lines().last() {
            Some(line) => write!(f, ", \"{line}\""),
            None => write!(f, ", nothing said"),
        }
    }
}

/// A folder with Wine's prefix and the programs that run in it. Its server is up as long as this lives.
pub struct Prefix {
    folder: PathBuf,
}

impl Prefix {
    /// Makes the prefix in `folder` unless it is there, and starts the server.
    pub fn new(folder: &Path) -> Result<Prefix> {
        let prefix = Prefix {
            folder: folder.to_owned(),
        };
        let made = prefix.folder.join("prefix/made");
        if !made.exists() {
            match fs::remove_dir_all(prefix.folder.join("prefix")) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
            let ended = prefix.run("wineboot", &["-i"], MAKING)?;
            ensure!(ended.code == 0, "Wine makes no prefix: {ended}");
            prefix.server("-w")?;
            fs::write(&made, "")?;
        }
        prefix.server("-p")?;
        Ok(prefix)
    }

    /// Where programs are run, and where their files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs a Windows program in the folder, for at most `seconds`.
    pub fn run(&self, program: &str, words: &[&str], seconds: u32) -> Result<Ended> {
        let mut command = self.command("wine", seconds);
        command.arg(program).args(words);
        self.wait(&mut command)
    }

    fn server(&self, word: &str) -> Result<()> {
        let ended = self.wait(self.command("wineserver", SERVER).arg(word))?;
        ensure!(ended.code == 0, "wineserver {word}: {ended}");
        Ok(())
    }

    /// A command of Wine's that ends in time.
    fn command(&self, name: &str, seconds: u32) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=10", &seconds.to_string(), name])
            .current_dir(&self.folder)
            .env("WINEPREFIX", self.folder.join("prefix"))
            .env("WINEARCH", "win64")
            .env("WINEDEBUG", "-all")
            // No questions about Mono and Gecko, and no window.
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
        Ok(Ended {
            code: status.code().unwrap_or(-1),
            stdout: fs::read(out)?,
            stderr: fs::read(err)?,
        })
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        // What does not end now ends with its machine; nothing is lost by it.
        let _ = self.server("-k");
    }
}
