//! How a run of a program ends: a documented exit code and, unless all went well, one line on stderr. The codes are
//! `userctl`'s, and mean the same in every program.
//!
//! `Failure` is the error type of all that a user asks for. Its message is one line that names the thing it is about and says
//! what can be done; `main` puts the program's name in front.

use std::fmt;

use lkl::Errno;

use crate::text::shown;

/// Has a panic of any thread end the program, as it does where programs do not unwind: a server that goes on after a fault of its own
/// hides it.
pub fn end_on_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        std::process::abort();
    }));
}

/// Exit codes. They are part of the interface: scripts rely on them, so none changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything was done.
    Ok = 0,
    /// A fault that has no code of its own.
    Other = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The image does not exist or cannot be read.
    Image = 3,
    /// No file system was recognised, or it is damaged.
    FileSystem = 4,
    /// The path does not exist on the volume, or is not of the asked kind.
    Path = 5,
    /// The image has no such partition.
    Partition = 6,
    /// Linux stopped (a kernel panic, contained in this process).
    Kernel = 7,
    /// The destination exists already or cannot be written.
    Destination = 8,
    /// The time limit passed.
    Timeout = 9,
    /// The driver is not there, or of another version.
    Driver = 10,
    /// Administrator rights are needed, or at least more than this user has.
    Rights = 11,
    /// The drive letter is taken.
    Letter = 12,
    /// The volume is in use.
    InUse = 13,
    /// No such volume is mounted.
    Volume = 14,
    /// The driver cannot be stopped before programs close their files or Windows is restarted.
    Restart = 15,
    /// Interrupted from outside.
    Interrupted = 130,
}

impl Exit {
    /// The code that another program has ended with, if it is one of these.
    pub fn from_code(code: i32) -> Option<Exit> {
        let code = u8::try_from(code).ok()?;
        ALL.into_iter().find(|exit| *exit as u8 == code)
    }
}

/// All of them.
const ALL: [Exit; 17] = [
    Exit::Ok,
    Exit::Other,
    Exit::Usage,
    Exit::Image,
    Exit::FileSystem,
    Exit::Path,
    Exit::Partition,
    Exit::Kernel,
    Exit::Destination,
    Exit::Timeout,
    Exit::Driver,
    Exit::Rights,
    Exit::Letter,
    Exit::InUse,
    Exit::Volume,
    Exit::Restart,
    Exit::Interrupted,
];

/// What `--help` says about exit codes.
pub const HELP: &str = "\
Exit codes:
  0    everything was done
  1    a fault that has no code of its own
  2    the command line is wrong
  3    the image does not exist or cannot be read
  4    no file system was recognised, or it is damaged
  5    the path does not exist on the volume, or is of the wrong kind
  6    the image has no such partition
  7    Linux stopped (a kernel panic, contained in this process)
  8    the destination exists already or cannot be written
  9    the time limit passed
  10   the driver is not installed, not running, or of another version
  11   administrator rights are needed
  12   the drive letter is taken
  13   the volume is in use
  14   no such volume is mounted
  15   the driver cannot be stopped now; close files, or restart Windows
  130  interrupted";

/// What to do when rights are missing.
pub const RUN_AS: &str = "run it from an administrator's prompt";

/// Why a command did not do all it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// One line: the thing, what is wrong, what to do.
    pub message: String,
}

impl Failure {
    /// A failure with `exit` and `message`; line breaks in the message become spaces.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Failure {
        let message = message.to_string();
        let message = message
            .split(['\n', '\r'])
            .map(str::trim)
            .filter(|line| !line.is_empty());
        Failure {
            exit,
            message: message.collect::<Vec<_>>().join(" "),
        }
    }
}

impl Failure {
    /// What to say when the volume refuses to give what lies at `path`.
    pub fn at(path: &[u8], errno: Errno, dead: bool) -> Failure {
        let path = shown(path);
        if dead {
            return Failure::new(
                Exit::Kernel,
                format_args!(
                    "{path}: Linux stopped while reading this; the file system is damaged, repair a copy of it"
                ),
            );
        }
        match errno {
            Errno::ENOENT => Failure::new(
                Exit::Path,
                format_args!("{path}: {errno} on the volume; see userctl ls"),
            ),
            Errno::ENOTDIR | Errno::ELOOP | Errno::ENAMETOOLONG | Errno::EISDIR => {
                Failure::new(Exit::Path, format_args!("{path}: {errno}; see userctl ls"))
            }
            Errno::ENOKEY => Failure::new(
                Exit::Path,
                format_args!("{path}: {errno}: it is encrypted and cannot be read here"),
            ),
            Errno::ENOMEM => Failure::new(
                Exit::Other,
                format_args!("{path}: Linux ran out of memory; give it more with --memory"),
            ),
            _ => Failure::new(
                Exit::FileSystem,
                format_args!(
                    "{path}: {errno}; the file system is damaged or the image incomplete, repair a copy of it"
                ),
            ),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// A failed write to standard output. A closed pipe (`userctl ... | head`) is how a reader says "enough": the caller
/// sees it as [`Exit::Ok`] with an empty message, which `main` ends on quietly.
pub fn stdout_failure(error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Failure {
            exit: Exit::Ok,
            message: String::new(),
        };
    }
    Failure::new(
        Exit::Destination,
        format_args!(
            "standard output: {}; free space there or write elsewhere",
            reason(error)
        ),
    )
}

/// The system's own words for an error, without Rust's `(os error N)`.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        let failure = Failure::new(Exit::Other, "first\n\n  second\r\nthird");
        assert_eq!(failure.message, "first second third");
    }

    #[test]
    fn every_code_is_documented() {
        for exit in ALL {
            assert_eq!(Exit::from_code(exit as i32), Some(exit));
            let start = format!("  {} ", exit as u8);
            assert!(
                HELP.lines().any(|line| line.starts_with(&start)),
                "{exit:?} is missing from the help"
            );
        }
    }

    #[test]
    fn the_systems_reason_has_no_number() {
        let error = std::io::Error::from_raw_os_error(2);
        assert!(!reason(&error).contains("os error"));
    }
}
