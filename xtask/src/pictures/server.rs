//! `double serve`, for one scene.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::Programs;
use super::material::Material;
use crate::double;

/// A machine with the driver loaded.
pub struct Server {
    child: Child,
    /// Closed, it ends the machine.
    input: Option<ChildStdin>,
    socket: PathBuf,
}

impl Server {
    /// Starts it and waits until the driver is ready.
    pub fn start(programs: &Programs<'_>, material: &Material) -> Result<Server> {
        // Not in the target folder: a socket's path has at most 107 bytes.
        let socket = env::temp_dir().join(format!("lklfs-pictures-{}", process::id()));
        let mut child = Command::new(programs.double)
            .arg("serve")
            .arg("--socket")
            .arg(&socket)
            .arg("--drive-c")
            .arg(&material.drive_c)
            .arg("--disk")
            .arg(&material.disk)
            .env(double::DRIVER_VARIABLE, programs.driver)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", programs.double.display()))?;
        let input = child.stdin.take();
        let output = child.stdout.take();
        let server = Server { child, input, socket };
        let mut line = String::new();
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut line)?;
        }
        ensure!(
            line.starts_with("double: ready at "),
            "double serve says {line:?}"
        );
        Ok(server)
    }

    /// A program that finds the driver there.
    pub fn client(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("LKLFS_CONTROL", &self.socket);
        command
    }

    /// Ends it; the driver must have left nothing behind.
    pub fn end(mut self) -> Result<()> {
        self.input = None;
        let status = self.child.wait()?;
        ensure!(status.success(), "double serve: {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What has ended is not hurt by this; what a failed scene leaves goes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
