//! How a run ends: an exit code and one line that names the thing and says what can be done.

use ntos::disk::Partition;
use ntos::nt::*;
use ntos::user::volume::Trouble;
use std::path::Path;

/// Exit codes; see the head of `main.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// No code of its own.
    Other = 1,
    /// Wrong command line.
    Usage = 2,
    /// The image cannot be read.
    Image = 3,
    /// No file system, or a damaged one.
    FileSystem = 4,
    /// No such path.
    Path = 5,
    /// No such partition.
    Partition = 6,
    /// Leaks or writes.
    LeftBehind = 10,
    /// The driver cannot be loaded.
    Driver = 11,
}

/// For `--help`.
pub const HELP: &str = "\
Exit codes:
  0    everything was done
  1    a fault that has no code of its own
  2    the command line is wrong
  3    the image does not exist or cannot be read
  4    no file system was recognised, or it is damaged
  5    the path does not exist on the volume, or is of the wrong kind
  6    the image has no such partition
  10   the driver left something behind, or wrote to the disk
  11   the driver cannot be loaded
  86   the driver broke a rule of NT's";

/// Why a run did not do all it was asked for.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// One line.
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(exit: Exit, message: impl std::fmt::Display) -> Failure {
        Failure {
            exit,
            message: message.to_string(),
        }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Failure {
        let exit = match trouble.status {
            STATUS_OBJECT_NAME_NOT_FOUND
            | STATUS_OBJECT_PATH_NOT_FOUND
            | STATUS_OBJECT_NAME_INVALID
            | STATUS_NOT_A_DIRECTORY
            | STATUS_FILE_IS_A_DIRECTORY
            | STATUS_NO_SUCH_FILE
            | STATUS_IO_REPARSE_TAG_NOT_HANDLED
            | STATUS_REPARSE_POINT_NOT_RESOLVED => Exit::Path,
            _ => Exit::FileSystem,
        };
        let hint = match exit {
            Exit::Path => "; see double ls",
            _ => "; the file system is damaged or the image incomplete, repair a copy of it",
        };
        Failure::new(exit, format_args!("{trouble}{hint}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::new(Exit::Other, format_args!("cannot write to stdout: {error}"))
    }
}

/// Nobody mounted the volume.
pub fn not_mounted(image: &Path, refusals: &[NTSTATUS]) -> Failure {
    let image = image.display();
    match refusals
        .iter()
        .find(|status| **status != STATUS_UNRECOGNIZED_VOLUME)
    {
        None => Failure::new(
            Exit::FileSystem,
            format_args!(
                "{image}: no file system that Linux knows was recognised; check that the image is complete"
            ),
        ),
        Some(status) => Failure::new(
            Exit::FileSystem,
            format_args!(
                "{image}: the file system cannot be mounted: {}; repair a copy of the image",
                name(*status)
            ),
        ),
    }
}

/// The image has other partitions, or none.
pub fn no_partition(image: &Path, part: u32, partitions: &[Partition]) -> Failure {
    let image = image.display();
    if partitions.is_empty() {
        return Failure::new(
            Exit::Partition,
            format_args!("{image}: no partition {part}: it has no partition table; leave --part out"),
        );
    }
    let numbers: Vec<String> = partitions
        .iter()
        .map(|partition| partition.number.to_string())
        .collect();
    let message = format_args!("{image}: no partition {part}; it has {}", numbers.join(", ")).to_string();
    Failure::new(Exit::Partition, message)
}
