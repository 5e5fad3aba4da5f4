//! The command line. Help, man page and completions all come from here.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

/// Lists, mounts and reads Linux volumes.
///
/// There are two ways. With the driver (Windows), an image or a disk becomes a volume with a drive letter that every
/// program can read: list, mount, unmount, status, log, diag. Without it (everywhere), this program itself reads an image
/// or a disk: info, ls, cat, cp, manifest. These five read a volume that the driver has mounted through the driver: named
/// by its drive letter, device, UUID, label or number (see list). Both ways only ever read; nothing is written to an image
/// or a disk.
///
/// IMAGE is a file or a device that holds a file system that Linux can read (ext2/3/4, btrfs, XFS, F2FS, squashfs,
/// EROFS and others), or an MBR or GPT partition table with such file systems in it. A file may also be a disk image of
/// the formats VHD, VHDX (fixed, dynamic and differencing) or qcow2 (versions 2 and 3, with backing files); they are told
/// by their content, and the files that they need are looked for where they say. All is only ever read. A journal that was
/// not replayed, a VHDX's own log included, is replayed in memory, so that what is shown is the volume's true state.
#[derive(Debug, Parser)]
#[command(name = "userctl", version, after_help = crate::exit::HELP, max_term_width = 100)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{}", crate::exit::HELP))]
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
    /// List disks, partitions and images, what is on them, and where it is mounted
    ///
    /// The number of a volume never becomes another's. Every user may ask for this.
    List {
        /// Write one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Mount an image or a device through the driver, and print its drive letter
    ///
    /// What is listed is named by its UUID or label (see list): it gets a letter if it has none. The driver is started if it
    /// is installed and does not run. This needs administrator rights.
    #[command(after_help = MOUNT_EXAMPLES)]
    Mount(Mount),
    /// Unmount a volume, and take its drive letter away
    ///
    /// While files on it are open it is refused; --force unmounts nevertheless, and the programs that use them get errors.
    /// Nothing can be lost by that: volumes are read-only. A disk that stays plugged in is mounted again by userctl mount.
    /// This needs administrator rights.
    #[command(after_help = UNMOUNT_EXAMPLES)]
    Unmount {
        /// Its drive letter, its number, or `all`; on Linux, its folder
        #[arg(value_name = "X:|NUMBER|DIR|all", value_parser = crate::unmount::what)]
        what: crate::unmount::What,
        /// Even while files on it are open
        #[arg(long)]
        force: bool,
        /// Write one JSON object: the numbers of the volumes that were unmounted
        #[arg(long)]
        json: bool,
    },
    /// Start the driver
    ///
    /// Linux disks that are there get their letters. Mounting starts it by itself. This needs administrator rights.
    Start,
    /// Stop the driver
    ///
    /// It unmounts all volumes and takes their letters away, then its service is stopped and Windows unloads it. While files
    /// are open it is refused and the driver serves on; with --force the volumes are dismounted nevertheless, but Windows
    /// cannot unload the driver before the programs have closed their files. "sc stop" alone does not unload a file system:
    /// use this. This needs administrator rights.
    Stop {
        /// Even while files are open
        #[arg(long)]
        force: bool,
    },
    /// Show how the driver is doing
    ///
    /// Versions, Linux, memory, volumes. Every user may ask for this.
    Status {
        /// Write one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show or change what is kept for a volume: its letter, whether and how it is mounted
    ///
    /// Without a volume all policies are shown, with a volume and nothing else its own. What is given is changed, and kept
    /// by the volume's UUID, over restarts and whatever disk or image it is in. Letters change at once, unless the mount asked
    /// for one or for none; a volume that is in use is mounted in the new way the next time, and a warning says so. Changing
    /// needs administrator rights.
    #[command(after_help = POLICY_EXAMPLES)]
    Policy(Policy),
    /// Print what Linux, inside the driver, has to say
    ///
    /// Damage that a file system finds is told here. This needs administrator rights, since messages name files.
    Log {
        /// Go on with what comes, until interrupted
        #[arg(short, long)]
        follow: bool,
        /// The driver's own messages instead of Linux's
        #[arg(long)]
        driver: bool,
    },
    /// Collect what helps to find a fault in one archive
    ///
    /// Versions, status, the list of disks and volumes (with their labels and the paths of images), policies, the
    /// superblocks of volumes and the logs, which name files. Nothing of what files hold. Look into it before you give it away. What cannot be had, for lack of rights or of a
    /// running driver, is left out, and said in problems.txt.
    Diag {
        /// The archive, which is made
        #[arg(value_name = "FILE.zip", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Replace an existing file
        #[arg(long)]
        force: bool,
        /// Write one JSON object: what is in the archive, and what is not
        #[arg(long)]
        json: bool,
    },
    /// Show what an image holds: partitions, file systems, space
    ///
    /// Of a volume that the driver has mounted: its file system and space.
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

/// What to mount, and how.
#[derive(Args, Clone, Debug)]
pub struct Mount {
    /// An image file, a device (\\.\PhysicalDrive1, \Device\Harddisk1\Partition2), or the UUID or label of a volume
    #[arg(value_name = "IMAGE|DEVICE|UUID|LABEL", value_hint = ValueHint::FilePath)]
    pub target: OsString,
    /// The drive letter [default: the one that it had before, or the next that is free]; on Linux, a folder
    #[arg(id = "letter", value_name = "X:|DIR", value_parser = mount_point)]
    pub at: Option<MountPoint>,
    /// Mount this partition of an image, 0 for the whole [default: a file system of Linux's before others, the largest]
    #[arg(long, value_name = "N")]
    pub part: Option<u32>,
    /// The format of an image [default: what its content says]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// How.
    #[command(flatten)]
    pub settings: Settings,
    /// Do not replay a journal; the volume may then look older than it is
    #[arg(long)]
    pub no_recovery: bool,
    /// Give no letter
    #[arg(long, conflicts_with = "letter")]
    pub no_letter: bool,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Where a volume is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountPoint {
    /// As a drive.
    Letter(char),
    /// In a folder, on Linux.
    Folder(PathBuf),
}

impl Mount {
    /// The drive letter that was asked for.
    pub fn letter(&self) -> Option<char> {
        match self.at {
            Some(MountPoint::Letter(letter)) => Some(letter),
            _ => None,
        }
    }

    /// The folder that was asked for.
    pub fn folder(&self) -> Option<&PathBuf> {
        match &self.at {
            Some(MountPoint::Folder(folder)) => Some(folder),
            _ => None,
        }
    }
}

/// How a volume is mounted and shown.
#[derive(Args, Clone, Debug, Default)]
pub struct Settings {
    /// Options of the file system, as for mount -o on Linux, separated by commas
    #[arg(short, value_name = "OPTIONS")]
    pub options: Option<String>,
    /// Take it for this file system, by Linux's name for it [default: what is recognised]
    #[arg(long = "fs", value_name = "FS")]
    pub read_as: Option<String>,
    /// Let everyone read everything, or administrators, and others what owners and modes allow [default: auto, which is yes
    /// on images, removable media and USB disks, and no on fixed disks]
    #[arg(long, value_enum, value_name = "YES|NO")]
    pub everyone: Option<Choice>,
    /// Hide names that begin with a dot, or do not [default: yes]
    #[arg(long, value_enum, value_name = "YES|NO")]
    pub hide_dot_files: Option<Choice>,
    /// A user or group of the volume's is this one here, by its SID (whoami /user shows yours); may be given again
    #[arg(long, value_name = "uid:N=SID|gid:N=SID")]
    pub owner: Vec<String>,
}

/// A policy, and what to change of it.
#[derive(Args, Clone, Debug)]
pub struct Policy {
    /// The volume: its drive letter, number, UUID or label
    #[arg(value_name = "X:|NUMBER|UUID|LABEL")]
    pub volume: Option<String>,
    /// Its drive letter; `any` for the one that it had before or the next that is free, `none` to hide it
    #[arg(long, value_name = "X:|any|none", value_parser = rule, requires = "volume")]
    pub letter: Option<lklfs_client::Letter>,
    /// Mount it by itself, or only on request
    #[arg(long, value_enum, requires = "volume")]
    pub mount: Option<When>,
    /// Replay a journal, or do not
    #[arg(long, value_enum, value_name = "YES|NO", requires = "volume")]
    pub recovery: Option<Choice>,
    /// How.
    #[command(flatten)]
    pub settings: Settings,
    /// Forget what is kept; nothing else can be given
    #[arg(long, requires = "volume", conflicts_with_all = [
        "letter", "mount", "recovery", "options", "read_as", "everyone", "hide_dot_files", "owner",
    ])]
    pub forget: bool,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Yes, no, or what the driver does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    /// Yes.
    Yes,
    /// No.
    No,
    /// As the driver does by itself.
    #[value(alias = "auto")]
    Default,
}

impl Choice {
    /// As the driver is told.
    pub fn wanted(self) -> Option<bool> {
        match self {
            Choice::Yes => Some(true),
            Choice::No => Some(false),
            Choice::Default => None,
        }
    }
}

/// When a volume is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// When it comes.
    Always,
    /// Only on request.
    Never,
}

/// The format of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // the names are the documentation
pub enum Format {
    Raw,
    Vhd,
    Vhdx,
    Qcow2,
}

/// The image, and how to read it.
#[derive(Args, Clone, Debug)]
pub struct Source {
    /// The image: a file (raw, VHD, VHDX, qcow2) or a disk; or a mounted volume: X:, a device, its UUID, label or number
    ///
    /// An existing file is always an image, and is read without the driver. A volume that the driver has mounted is read
    /// through it: --part, --fs, -o, --no-recovery, --memory and --linux-log have no meaning there and are refused.
    #[arg(value_hint = ValueHint::FilePath)]
    pub image: PathBuf,
    /// Read this partition, 0 for the whole disk [default: a file system of Linux's before others, the largest]
    #[arg(long, value_name = "N")]
    pub part: Option<u32>,
    /// Take it for this file system, by Linux's name for it [default: what is recognised]
    #[arg(long, value_name = "NAME")]
    pub fs: Option<String>,
    /// Options of the file system, as for mount -o on Linux, separated by commas
    #[arg(short, value_name = "OPTIONS")]
    pub options: Option<String>,
    /// Do not replay a journal; the volume may then look older than it is
    #[arg(long)]
    pub no_recovery: bool,
    /// Give up after this time
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
    /// Memory for Linux [default: 128]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(16..=65536))]
    pub memory: Option<u32>,
    /// Print what Linux says to stderr
    #[arg(long)]
    pub linux_log: bool,
    /// Read it without the driver, even if the driver has mounted it
    #[arg(long)]
    pub direct: bool,
}

const EXAMPLES: &str = "\
Examples:
  userctl mount D:\\images\\disk.vhdx         give an image a drive letter
  userctl list                             what is mounted, and where
  userctl unmount E:                       take the letter away again
  userctl info disk.img                    what an image holds, without the driver
  userctl ls disk.img -o subvolid=5        all subvolumes of a btrfs
  userctl cp -r disk.img /home copy        copy out of an image, without the driver
  userctl cp -r E: /home copy              copy out of a mounted volume, through the driver";

const MOUNT_EXAMPLES: &str = "\
Examples:
  userctl mount disk.img                   the partition that info says is read
  userctl mount disk.qcow2 L: --part 3     partition 3, as drive L:
  userctl mount \\Device\\Harddisk1\\Partition2
  userctl mount snap.img -o subvol=home    an option of btrfs
  userctl mount disk.img /mnt              on Linux, by lklfuse: in a folder
  userctl mount disk.img /mnt -o rw        and for writing";

const POLICY_EXAMPLES: &str = "\
Examples:
  userctl policy                           what is kept, for all volumes
  userctl policy Backup --letter L:        always drive L: for the volume labelled Backup
  userctl policy E: --letter none          hide the volume that is at E:
  userctl policy 3 --mount never           leave volume 3 alone from now on
  userctl policy E: --everyone no --owner uid:1000=S-1-5-21-1-2-3-1001
  userctl policy E: --forget";

const UNMOUNT_EXAMPLES: &str = "\
Examples:
  userctl unmount L:
  userctl unmount 3 --force
  userctl unmount /mnt                     on Linux
  userctl unmount all";

fn letter(text: &str) -> Result<char, String> {
    crate::unmount::letter(text).ok_or_else(|| "a drive letter is one of A: to Z:".to_string())
}

#[allow(clippy::unnecessary_wraps)] // on Windows it refuses
fn mount_point(text: &str) -> Result<MountPoint, String> {
    match letter(text) {
        Ok(letter) => Ok(MountPoint::Letter(letter)),
        Err(_) if cfg!(unix) => Ok(MountPoint::Folder(text.into())),
        Err(error) => Err(error),
    }
}

fn rule(text: &str) -> Result<lklfs_client::Letter, String> {
    match text.to_ascii_lowercase().as_str() {
        "any" => Ok(lklfs_client::Letter::Any),
        "none" => Ok(lklfs_client::Letter::Hidden),
        _ => letter(text)
            .map(lklfs_client::Letter::This)
            .map_err(|error| format!("{error}, any, or none")),
    }
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
