//! What the three programs have in common: how they end, and how an image is named and opened.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, ValueHint};
use lkl_session::exit::{Exit, Failure};
use lkl_session::text::plain;
use lkl_volume::{Options, Program, Volume};

use crate::copy::Wishes;

/// What a program's messages call its options.
pub(crate) const fn named(name: &'static str) -> Program {
    Program {
        part: "--partition",
        fs: "--filesystem-type",
        options: "--mount-options",
        reading: "only copy out of it, with cpfromfs",
        ..Program::new(name)
    }
}

/// A program: its command line.
pub trait Command: Parser {
    /// What messages call it.
    const PROGRAM: Program;

    /// Does what it was asked for.
    fn run(self) -> Result<(), Failure>;
}

/// A program from beginning to end.
pub fn main<C: Command>() -> ExitCode {
    C::PROGRAM.main(C::run)
}

/// How an image is opened.
#[derive(Args, Clone, Debug)]
pub struct Opening {
    /// The partition, 0 for the whole disk [default: a file system of Linux's before others, the largest]
    #[arg(short = 'P', long, value_name = "N")]
    pub partition: Option<u32>,
    /// The file system, by Linux's name for it [default: what is recognised]
    #[arg(short = 't', long, value_name = "TYPE")]
    pub filesystem_type: Option<String>,
    /// Options of the file system, as for mount -o
    #[arg(short = 'O', long, value_name = "OPTIONS")]
    pub mount_options: Option<String>,
    /// Memory for Linux [default: 128, or what the journal needs]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(32..=65_536))]
    pub memory: Option<u32>,
    /// Print what Linux has to say, at the end
    #[arg(short = 'p', long)]
    pub enable_printk: bool,
}

/// The image, by an option.
#[derive(Args, Clone, Debug)]
pub struct Named {
    /// The image: a file or a disk
    #[arg(short = 'i', long = "filesystem-image", value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    pub image: PathBuf,
}

/// What copies get in place of what their originals have.
#[derive(Args, Clone, Debug)]
pub struct Ownership {
    /// The owner of all that is copied, a number [default: each has its own, where this user may give it]
    #[arg(short = 'o', long, value_name = "UID")]
    pub owner: Option<u32>,
    /// The group of all that is copied, a number
    #[arg(short = 'g', long, value_name = "GID")]
    pub group: Option<u32>,
    /// The SELinux context of all that is copied
    #[arg(short = 's', long, value_name = "CONTEXT")]
    pub selinux: Option<String>,
}

impl Ownership {
    pub(crate) fn wishes(&self) -> Wishes {
        Wishes {
            owner: self.owner,
            group: self.group,
            context: self.selinux.clone(),
        }
    }
}

/// What is copied, and what is said about it.
#[derive(Args, Clone, Debug)]
pub struct Selection {
    /// Leave out what matches, and all below it: *, ? and [a-z]; with a slash in front a whole path, otherwise at the beginning of
    /// any name; may be given again
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Stay on the file system, or subvolume, that the copy begins on
    #[arg(long)]
    pub one_file_system: bool,
    /// List what is copied
    #[arg(short, long)]
    pub verbose: bool,
    /// Owners are numbers; this is always so
    #[arg(long)]
    pub numeric_owner: bool,
}

impl Opening {
    /// What is mounted, and how.
    pub(crate) fn options(&self, program: Program, image: &Path, write: bool) -> Options {
        Options {
            part: self.partition,
            fs: self.filesystem_type.clone(),
            options: self.mount_options.clone(),
            write,
            ..Options::new(program, image)
        }
    }

    /// Prints Linux's log, if that is wanted.
    pub(crate) fn print_log(&self, volume: &Volume) {
        if self.enable_printk {
            for line in String::from_utf8_lossy(&volume.kernel().log()).lines() {
                eprintln!("linux: {}", plain(line.as_bytes()));
            }
        }
    }
}

/// The failure that an argument is missing, which the command line's definition refuses.
pub(crate) fn missing(what: &str) -> Failure {
    Failure::new(Exit::Usage, format_args!("{what} is missing; see --help"))
}

/// Whether what a copied path says is what is in that folder, rather than the folder: it has no name of its own.
pub(crate) fn means_contents(path: &[u8]) -> bool {
    let last = path.rsplit(|byte| *byte == b'/').find(|name| !name.is_empty());
    matches!(last, None | Some(b"." | b"..")) || path.ends_with(b"/.")
}

/// The last name of a path.
pub(crate) fn last_name(path: &[u8]) -> Option<&[u8]> {
    path.rsplit(|byte| *byte == b'/').find(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_a_name_means_what_is_in_the_folder() {
        for path in ["/", ".", "..", "a/.", "a/..", "./", ""] {
            assert!(means_contents(path.as_bytes()), "{path}");
        }
        for path in ["a", "a/", "/a/b", ".a", "a/b//"] {
            assert!(!means_contents(path.as_bytes()), "{path}");
        }
        assert_eq!(last_name(b"/a/b//"), Some(&b"b"[..]));
    }
}
