//! The one place that knows Linux: image to disk, disk to partition, partition to mounted volume.
//!
//! A [`Session`] boots Linux in this process, through the host for this system, and stops it when dropped. A
//! [`Mounted`] is one file system of the image, and a `Volume` for the commands. Everything that Linux refuses is
//! made a `Failure` here that names the image and says what to do.

use std::ops::ControlFlow;
use std::path::Path;

use disk_partitions::{Part, Survey};
use lkl::{
    BlockDevice, BootConfig, Cause, DiskOptions, Errno, FsKind, Kernel, Mount, MountError, MountOptions,
    OpenMode, OwnedFd,
};

use crate::cli::Source;
use crate::entries::{MOST_BYTES, Names};
use crate::exit::{Exit, Failure, reason};
use crate::image::{Image, Section};
use crate::partition;
use crate::volume::{Kind, Space, Stat, Time, Volume};
use crate::watchdog;

mod choice;

/// MiB that Linux gets unless told otherwise, and no journal asks for more.
const MEMORY: u64 = 128;
/// The most that a journal may ask for, where it is not known how much memory this machine has free.
const MOST_MEMORY: u64 = 1024;

/// A running Linux and an opened image.
pub struct Session {
    /// The image.
    pub image: Image,
    /// Its partition table, and what its parts hold.
    pub survey: Survey,
    kernel: Kernel,
    fs: Option<String>,
    options: Option<String>,
    recovery: bool,
    print_log: bool,
}

/// A mounted file system.
pub struct Mounted {
    /// Which part of the image it is on: the partition's number, 0 for the whole.
    pub part: u32,
    // In the order in which they must go: the mount before its device, the device before Linux.
    mount: Mount,
    device: BlockDevice,
    kernel: Kernel,
}

/// Why a part of an image was not mounted.
pub struct Refusal {
    /// No known file system is on it; otherwise there is one, but it cannot be mounted.
    pub unknown: bool,
    /// For the user.
    pub failure: Failure,
}

impl Session {
    /// Opens the image, reads its partition table and boots Linux.
    pub fn open(source: &Source) -> Result<Session, Failure> {
        let image = Image::open(&source.image)?;
        let survey = partition::survey(&image).map_err(|error| {
            let (path, why) = (source.image.display(), reason(&error));
            Failure::new(
                Exit::Image,
                format_args!("{path}: {why}; check the image and the disk that it is on"),
            )
        })?;
        let memory = match source.memory {
            Some(memory) => u64::from(memory),
            None if source.no_recovery => MEMORY,
            None => wanted_memory(&survey),
        };
        let pool_size = usize::try_from(memory)
            .unwrap_or(usize::MAX)
            .saturating_mul(1 << 20);
        // Linux's own words are kept in its log; nothing is to be printed unasked.
        let config = BootConfig {
            pool_size,
            command_line: "quiet loglevel=5",
        };
        let kernel = crate::host::boot(&config).map_err(|error| {
            Failure::new(
                Exit::Kernel,
                format_args!("Linux does not boot: {error}; try another --memory"),
            )
        })?;
        watchdog::progress();
        Ok(Session {
            image,
            survey,
            kernel,
            fs: source.fs.clone(),
            options: source.options.clone(),
            recovery: !source.no_recovery,
            print_log: source.linux_log,
        })
    }

    /// Mounts the part that was asked for, or the one that is meant when none is named, and says what else is to be known.
    pub fn mount(&self, asked: Option<u32>) -> Result<Mounted, Failure> {
        let part = self.part(asked)?;
        if asked.is_none()
            && let Some(note) = partition::others(&self.survey, part)
        {
            let image = self.image.path.display();
            eprintln!("userctl: note: {image}: {note}");
        }
        self.mount_and_warn(part).map_err(|refusal| refusal.failure)
    }

    /// Mounts a part in the way that the user says, and warns of what is missing.
    pub fn mount_and_warn(&self, part: &Part) -> Result<Mounted, Refusal> {
        let mounted = self.mount_part(part, self.fs.as_deref(), self.options.as_deref())?;
        if self.recovery && mounted.stale() {
            eprintln!(
                "userctl: warning: {}: mounted without recovery, it may look older than it is",
                self.what(part)
            );
        }
        if part.missing_bytes > 0 {
            eprintln!(
                "userctl: warning: {}: {}; what was there cannot be read",
                self.what(part),
                missing(part)
            );
        }
        Ok(mounted)
    }

    /// Mounts a part as this file system, or the one that is recognised, with these options.
    pub fn mount_part(
        &self,
        part: &Part,
        fs: Option<&str>,
        options: Option<&str>,
    ) -> Result<Mounted, Refusal> {
        // What a partition table counts in is its own matter. File systems ask only that sectors are no larger than theirs.
        let block_size = 512;
        // As long as the table or the file system says: an image that was cut off gives what it has.
        let (offset, size) = (part.offset, part.size_bytes);
        let other = |why: String| Refusal {
            unknown: false,
            failure: Failure::new(
                self.dead_or(Exit::Other),
                format_args!("{}: {why}", self.what(part)),
            ),
        };
        if size < u64::from(block_size) {
            let failure = format!(
                "{}: too small to hold a file system; check the image",
                self.what(part)
            );
            return Err(Refusal {
                unknown: true,
                failure: Failure::new(Exit::FileSystem, failure),
            });
        }
        let disk = Section::new(&self.image, offset, size, block_size)
            .map_err(|error| other(format!("{}; close other programs", reason(&error))))?;
        let device = self
            .kernel
            .add_disk(disk, DiskOptions::default())
            .map_err(|errno| {
                other(format!(
                    "Linux does not take it as a disk: {errno}; try another --memory"
                ))
            })?;
        let extra = options.unwrap_or_default();
        let options = MountOptions {
            recovery: self.recovery,
            extra,
        };
        let kind = fs.map_or(FsKind::Probe, FsKind::Named);
        let mount = self.kernel.mount(&device, kind, &options);
        watchdog::progress();
        match mount {
            Ok(mount) => Ok(Mounted {
                part: part.number,
                mount,
                device,
                kernel: self.kernel.clone(),
            }),
            Err(error) => Err(self.refusal(part, error, !extra.is_empty())),
        }
    }

    fn refusal(&self, part: &Part, mut error: MountError, with_options: bool) -> Refusal {
        let lines = error.detail.lines();
        error.detail = lines
            .map(|line| crate::text::shown(line.as_bytes()))
            .collect::<Vec<_>>()
            .join("\n");
        let what = self.what(part);
        let unknown = error.fs_name.is_none() && error.errno == Errno::EINVAL;
        // As in the driver: options are right or wrong, and a subvolume is there or not.
        let told_wrong = with_options
            && !unknown
            && error.cause == Cause::Other
            && matches!(error.errno, Errno::EINVAL | Errno::ENOENT);
        let message = if self.kernel.is_dead() {
            format!(
                "{what}: Linux stopped while mounting it{}; the file system is damaged, repair a copy of it",
                self.last_words()
            )
        } else if part.missing_bytes > 0 {
            format!("{what}: {error}; {}", missing(part))
        } else if told_wrong {
            format!("{what}: {error}; check the options of -o, which are those of mount -o on Linux")
        } else if unknown {
            format!("{what}: {error}; check the image, or name the file system with --fs")
        } else if error.errno == Errno::ENODEV && error.cause == Cause::Other {
            format!("{what}: {error}; this Linux lacks the file system, choose another one with --fs")
        } else if error.cause == Cause::Unsupported {
            format!(
                "{what}: {error}; it is not supported here, which is no damage: do not repair it, read it on another Linux"
            )
        } else if error.cause == Cause::NoRoom {
            format!(
                "{what}: {error}; close other programs, or see the older state without it by --no-recovery"
            )
        } else if error.errno == Errno::ENOMEM {
            format!("{what}: {error}; give Linux more with --memory")
        } else {
            format!(
                "{what}: {error}; the file system is damaged or the image incomplete, repair a copy of it"
            )
        };
        Refusal {
            unknown,
            failure: Failure::new(
                self.dead_or(if told_wrong { Exit::Usage } else { Exit::FileSystem }),
                message,
            ),
        }
    }

    /// Why Linux stopped, in its own words, if they are in the log.
    fn last_words(&self) -> String {
        let log = self.kernel.log();
        let log = String::from_utf8_lossy(&log);
        let line = log
            .lines()
            .rev()
            .find(|line| line.contains("Kernel panic") || line.contains("kernel BUG"));
        line.map(|line| format!(" ({})", crate::text::shown(line.trim().as_bytes())))
            .unwrap_or_default()
    }

    fn dead_or(&self, exit: Exit) -> Exit {
        if self.kernel.is_dead() { Exit::Kernel } else { exit }
    }

    /// The part of the image, for a message.
    fn what(&self, part: &Part) -> String {
        let image = self.image.path.display();
        match part.number {
            0 => image.to_string(),
            number => format!("{image}: partition {number}"),
        }
    }

    /// What a file of this image is called when it has no name of its own.
    pub fn stem(&self) -> String {
        Path::new(&self.image.path)
            .file_stem()
            .map_or_else(|| "volume".into(), |stem| stem.to_string_lossy().into_owned())
    }
}

/// How much of a part that was cut off is not there.
fn missing(part: &Part) -> String {
    let whole = match part.number {
        0 => "the file system",
        _ => "the partition",
    };
    format!(
        "the image ends {} bytes before {whole} does, get all of it",
        part.missing_bytes
    )
}

/// MiB that Linux needs for the largest journal in an image: what is replayed is held twice, as what was written and in
/// Linux's cache. No more than half of what this machine has free.
fn wanted_memory(survey: &Survey) -> u64 {
    let parts = survey.partitions.iter().chain([&survey.whole]);
    let superblocks = parts.filter_map(|part| part.superblock.as_ref());
    let journals = superblocks.filter_map(|superblock| superblock.journal_bytes);
    let journal = journals.max().unwrap_or(0);
    // The first 32 MiB fit into what there is anyhow.
    let wanted = (journal >> 20)
        .saturating_sub(32)
        .saturating_mul(2)
        .saturating_add(MEMORY);
    wanted
        .min(free_memory().map_or(MOST_MEMORY, |free| free / 2))
        .max(MEMORY)
}

/// MiB that this machine has free, where it says so.
fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? >> 10)
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.print_log {
            let log = self.kernel.log();
            for line in String::from_utf8_lossy(&log).lines() {
                eprintln!("linux: {}", crate::text::shown(line.as_bytes()));
            }
        }
        self.kernel.clone().halt();
    }
}

impl Mounted {
    /// Linux's name for the file system.
    pub fn fs_name(&self) -> &str {
        self.mount.fs_name()
    }

    /// Its label, if it has one.
    pub fn label(&self) -> Option<String> {
        let label = &self.mount.superblock()?.label;
        (!label.is_empty()).then(|| label.to_string())
    }

    /// Its UUID or serial number, if it has one.
    pub fn uuid(&self) -> Option<String> {
        Some(self.mount.superblock()?.uuid?.to_string())
    }

    /// Whether it was mounted without replaying its journal.
    pub fn stale(&self) -> bool {
        self.mount.stale()
    }

    /// The subvolumes at the top of a btrfs of which only the default subvolume is shown; `None` when the top itself is
    /// shown, or it cannot be told.
    ///
    /// Each subvolume is a device of its own to `stat`, and its root has the same number everywhere.
    pub fn hidden_subvolumes(&self) -> Option<Vec<Vec<u8>>> {
        const ROOT: u64 = 256;
        if self.fs_name() != "btrfs" {
            return None;
        }
        let top = self.mount.view(&self.kernel, &self.device, "subvolid=5").ok()?;
        let (shown, all) = (self.mount.root().ok()?.statx().ok()?, top.statx().ok()?);
        if shown.dev == all.dev {
            return None;
        }
        let (names, _) = Names::of(self, &top, MOST_BYTES);
        let subvolumes = names.iter().filter(|name| {
            let found = self.child(&top, name).and_then(|node| node.statx());
            found.is_ok_and(|stat| stat.ino == ROOT && stat.dev != all.dev)
        });
        Some(subvolumes.map(<[u8]>::to_vec).collect())
    }

    /// Space and names.
    pub fn space(&self) -> Result<Space, Failure> {
        let space = self.mount.statfs().map_err(|errno| self.failure(b"/", errno))?;
        let unit = if space.fragment_size == 0 {
            space.block_size
        } else {
            space.fragment_size
        };
        Ok(Space {
            total: space.blocks.saturating_mul(unit),
            free: space.blocks_free.saturating_mul(unit),
            block_size: space.block_size,
            inodes: space.files,
            inodes_free: space.files_free,
            name_max: space.name_max,
        })
    }
}

impl Volume for Mounted {
    type Node = OwnedFd;
    type File = OwnedFd;

    fn root(&self) -> Result<OwnedFd, Errno> {
        self.mount.root()
    }

    fn child(&self, directory: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
        directory.open_at(name, OpenMode::Path)
    }

    fn stat(&self, node: &OwnedFd) -> Result<Stat, Errno> {
        let stat = node.statx()?;
        watchdog::progress();
        let time = |time: lkl::Timestamp| Time {
            seconds: time.sec,
            nanoseconds: time.nsec,
        };
        Ok(Stat {
            // A damaged inode may have a type that Linux does not know.
            kind: Kind::from_mode(u32::from(stat.mode)).ok_or(Errno::EUCLEAN)?,
            mode: u32::from(stat.permissions()),
            uid: stat.uid,
            gid: stat.gid,
            links: u64::from(stat.nlink),
            size: stat.size,
            blocks: stat.blocks,
            modified: time(stat.mtime),
            accessed: time(stat.atime),
            inode: stat.ino,
            device: u64::from(stat.dev.major) << 32 | u64::from(stat.dev.minor),
            node_device: (stat.rdev.major, stat.rdev.minor),
        })
    }

    fn read_link(&self, node: &OwnedFd) -> Result<Vec<u8>, Errno> {
        node.read_link()
    }

    fn list(
        &self,
        directory: &OwnedFd,
        sink: &mut dyn FnMut(&[u8], u64) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        let open = directory.reopen(OpenMode::Directory)?;
        open.read_dir(0, &mut |entry| sink(entry.name, entry.cookie))?;
        Ok(())
    }

    fn open(&self, node: &OwnedFd) -> Result<OwnedFd, Errno> {
        node.reopen(OpenMode::Read)
    }

    fn read(&self, file: &OwnedFd, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let count = file.pread(buffer, offset);
        watchdog::progress();
        count
    }

    fn is_dead(&self) -> bool {
        self.kernel.is_dead()
    }
}
