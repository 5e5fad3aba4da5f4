//! A mount in the background. The program starts itself again, and waits until the mount works or has failed: errors come to the
//! caller's terminal, with their exit code.
//!
//! It does not fork: Linux has threads, and is booted by the process that serves.

use std::io::{Read, Write};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use lkl_volume::exit::reason;
use lkl_volume::{Exit, Failure};

/// What the process in the background writes when the mount works.
const READY: &[u8] = b"mounted\n";

/// Starts the program again in the background with the same arguments, and waits for it. Its exit code if it has failed: what
/// it had to say it has said.
pub fn start() -> Result<ExitCode, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            Exit::Other,
            format_args!("the background: {}; use -f", reason(&error)),
        )
    };
    let program = std::env::current_exe().map_err(failed)?;
    let mut child = Command::new(program)
        .arg("--daemon")
        .args(std::env::args_os().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut said = Vec::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_end(&mut said).map_err(failed)?;
    }
    if said == READY {
        return Ok(ExitCode::SUCCESS);
    }
    let status: ExitStatus = child.wait().map_err(failed)?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let code = code.filter(|code| *code != 0);
    Ok(ExitCode::from(code.unwrap_or(Exit::Other as u8)))
}

/// The process in the background has mounted, and lets go of the terminal and of the folder it was started in.
pub fn detach() -> std::io::Result<()> {
    rustix::process::setsid()?;
    std::env::set_current_dir("/")?;
    let mut output = std::io::stdout();
    output.write_all(READY)?;
    output.flush()?;
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
