//! The command line. Help, man page and completions all come from here.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

/// Reads Linux volumes out of images and disks, with no driver.
///
/// IMAGE is a file or a device that holds a file system that Linux can read (ext2/3/4, btrfs, XFS, F2FS, squashfs,
/// EROFS and others), or an MBR or GPT partition table with such file systems in it. A file may also be a disk image of
/// the formats VHD, VHDX (fixed, dynamic and differencing) or qcow2 (versions 2 and 3, with backing files); they are told
/// by their content, and the files that they need are looked for where they say. All is only ever read. A journal that was
/// not replayed, a VHDX's own log included, is replayed in memory, so that what is shown is the volume's true state.
#[derive(Debug, Parser)]
#[command(name = "userctl", version, after_help = crate::exit::HELP, max_term_width = 100)]
#[command(arg_required_else_help = true)]
pub struct Cli {
    /// Print a completion script for this shell and exit
    #[arg(long, value_name = "SHELL", exclusive = true)]
    pub completions: Option<Shell>,

    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what an image holds: partitions, file systems, space
    Info {
        /// The image and how to read it.
        #[command(flatten)]
        source: Source,
        /// Write one JSON object
        #[arg(long)]
        json: bool,
    },
    /// List a directory of a volume
    ///
    /// Names are sorted by their bytes. A byte that cannot be shown is written \xNN, and so is a backslash.
    Ls {
        /// Show type, mode, links, owner, group, size and time (UTC) of each entry
        #[arg(short)]
        long: bool,
        /// List everything below, too
        #[arg(short = 'R')]
        recursive: bool,
        /// The image and how to read it.
        #[command(flatten)]
        source: Source,
        /// The directory or file on the volume
        #[arg(default_value = "/")]
        path: OsString,
        /// Write one JSON object for each entry
        #[arg(long)]
        json: bool,
    },
    /// Write a file of a volume to standard output
    Cat {
        /// The image and how to read it.
        #[command(flatten)]
        source: Source,
        /// The file on the volume
        path: OsString,
    },
    /// Copy files out of a volume
    ///
    /// The copy appears under its name only when it is complete. Times and modes are kept, set-user and set-group bits
    /// are not. With -r a directory is copied with all below it, and links as links; FIFOs, sockets and devices are
    /// left out with a note.
    Cp {
        /// Copy a directory with everything below it; copy a link as a link
        #[arg(short, long)]
        recursive: bool,
        /// Replace the destination if it is an existing file
        #[arg(long)]
        force: bool,
        /// Copy what can be read although something cannot
        #[arg(long)]
        keep_going: bool,
        /// The image and how to read it.
        #[command(flatten)]
        source: Source,
        /// The file or directory on the volume
        path: OsString,
        /// The new name, or an existing directory to copy into
        #[arg(value_hint = ValueHint::AnyPath)]
        destination: PathBuf,
        /// Write what was copied as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Write a line for each entry of a volume, for comparing volumes
    ///
    /// The fields are: type (f d l p s b c), mode, uid, gid, links, size, time of change in ns since 1970, content, path.
    /// The content is the sha256 of a file, the target of a link, - for the rest. In paths and targets, bytes below
    /// 0x21, 0x5c and above 0x7e are written \xNN.
    Manifest {
        /// The image and how to read it.
        #[command(flatten)]
        source: Source,
        /// Write one JSON object for each entry
        #[arg(long)]
        json: bool,
    },
    /// Write the man pages into a directory
    #[command(hide = true)]
    Man {
        /// An existing directory
        directory: PathBuf,
    },
}

/// The image, and how to read it.
#[derive(Args, Clone, Debug)]
pub struct Source {
    /// The image: a file (raw, VHD, VHDX, qcow2), or a disk
    #[arg(value_hint = ValueHint::FilePath)]
    pub image: PathBuf,
    /// Read this partition, 0 for the whole disk [default: the first that is recognised]
    #[arg(long, value_name = "N")]
    pub part: Option<u32>,
    /// Take it for this file system, by Linux's name for it [default: what is recognised]
    #[arg(long, value_name = "NAME")]
    pub fs: Option<String>,
    /// Do not replay a journal; the volume may then look older than it is
    #[arg(long)]
    pub no_recovery: bool,
    /// Give up after this time
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
    /// Memory for Linux
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = clap::value_parser!(u32).range(16..=65536))]
    pub memory: u32,
    /// Print what Linux says to stderr
    #[arg(long)]
    pub linux_log: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_string())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be more than 0".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_positive_numbers() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for bad in ["0", "-1", "x", "NaN", "1e400"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
