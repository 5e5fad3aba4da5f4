//! The one place that knows Linux: image to disk, disk to partition, partition to mounted volume.
//!
//! A [`Session`] boots Linux in this process, through the host for this system, and stops it when dropped. A
//! [`Mounted`] is one file system of the image, and a `Volume` for the commands. Everything that Linux refuses is
//! made a `Failure` here that names the image and says what to do.

use std::path::Path;

use disk_partitions::{Partition, Table};
use lkl::{
    BlockDevice, BootConfig, DiskOptions, Errno, FsKind, Kernel, Mount, MountError, MountOptions, OpenMode,
    OwnedFd,
};

use crate::cli::Source;
use crate::exit::{Exit, Failure, reason};
use crate::image::{Image, Section};
use crate::partition;
use crate::volume::{Kind, Space, Stat, Time, Volume};
use crate::watchdog;

/// MiB that Linux gets unless told otherwise.
const MEMORY: u32 = 128;

/// A running Linux and an opened image.
pub struct Session {
    /// The image.
    pub image: Image,
    /// Its partition table.
    pub table: Option<Table>,
    kernel: Kernel,
    fs: Option<String>,
    recovery: bool,
    print_log: bool,
}

/// Which part of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// A partition.
    Partition(Partition),
}

/// A mounted file system.
pub struct Mounted {
    /// Which part of the image it is on.
    pub part: Part,
    // In the order in which they must go: the mount before its device, the device before Linux.
    mount: Mount,
    _device: BlockDevice,
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
        let table = partition::table(&image).map_err(|error| {
            let (path, why) = (source.image.display(), reason(&error));
            Failure::new(
                Exit::Image,
                format_args!("{path}: {why}; check the image and the disk that it is on"),
            )
        })?;
        let pool_size = usize::try_from(source.memory.unwrap_or(MEMORY))
            .unwrap_or(usize::MAX)
            .saturating_mul(1 << 20);
        // Linux's own words are kept in its log; nothing is to be printed unasked.
        let config = BootConfig {
            pool_size,
            command_line: "quiet loglevel=4",
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
            table,
            kernel,
            fs: source.fs.clone(),
            recovery: !source.no_recovery,
            print_log: source.linux_log,
        })
    }

    /// Mounts the partition that was asked for, or the first one that is recognised.
    pub fn mount(&self, asked: Option<u32>) -> Result<Mounted, Failure> {
        let image = self.image.path.display();
        let partitions = self.table.as_ref().map_or(&[][..], |table| &table.partitions);
        match asked {
            Some(0) => self.mount_part(Part::Whole).map_err(|refusal| refusal.failure),
            Some(number) => match partitions.iter().find(|partition| partition.index == number) {
                Some(partition) => self
                    .mount_part(Part::Partition(partition.clone()))
                    .map_err(|refusal| refusal.failure),
                None if self.table.is_none() => Err(Failure::new(
                    Exit::Partition,
                    format_args!("{image}: there is no partition table; leave --part out, or use --part 0"),
                )),
                None => {
                    let numbers: Vec<String> = partitions
                        .iter()
                        .map(|partition| partition.index.to_string())
                        .collect();
                    let there = if numbers.is_empty() {
                        "none".to_string()
                    } else {
                        numbers.join(", ")
                    };
                    Err(Failure::new(
                        Exit::Partition,
                        format_args!("{image}: there is no partition {number}; choose one of: {there}"),
                    ))
                }
            },
            None => self.mount_first(partitions),
        }
    }

    /// The first part that can be mounted: partitions by number, then the whole, since what looks like a table may be
    /// none. If none can be, the first that holds a file system says why.
    fn mount_first(&self, partitions: &[Partition]) -> Result<Mounted, Failure> {
        let mut damaged = None;
        let parts = partitions
            .iter()
            .map(|partition| Part::Partition(partition.clone()))
            .chain([Part::Whole]);
        for part in parts {
            match self.mount_part(part) {
                Ok(mounted) => return Ok(mounted),
                Err(refusal) if refusal.failure.exit == Exit::Kernel => return Err(refusal.failure),
                Err(refusal) if !refusal.unknown => damaged = damaged.or(Some(refusal.failure)),
                Err(_) => {}
            }
        }
        Err(damaged.unwrap_or_else(|| {
            let (image, count) = (self.image.path.display(), partitions.len());
            let message = match count {
                0 => format!("{image}: no file system is recognised; check the image, or name the file system with --fs"),
                _ => format!("{image}: none of its {count} partitions holds a file system that is recognised; see userctl info"),
            };
            Failure::new(Exit::FileSystem, message)
        }))
    }

    /// Mounts one part of the image.
    pub fn mount_part(&self, part: Part) -> Result<Mounted, Refusal> {
        let (offset, size) = match &part {
            Part::Whole => (0, self.image.size),
            // As long as the table says: an image that was cut off gives what it has.
            Part::Partition(partition) => (
                partition.offset,
                partition.size_bytes.saturating_add(partition.missing_bytes),
            ),
        };
        // Sectors of 4096 bytes are a matter of the partition table; file systems on plain images expect 512.
        let block_size = self.table.as_ref().map_or(512, |table| table.sector_size);
        let other = |why: String| Refusal {
            unknown: false,
            failure: Failure::new(
                self.dead_or(Exit::Other),
                format_args!("{}: {why}", self.what(&part)),
            ),
        };
        if size < u64::from(block_size) {
            let failure = format!(
                "{}: too small to hold a file system; check the image",
                self.what(&part)
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
        let options = MountOptions {
            recovery: self.recovery,
            ..MountOptions::default()
        };
        let kind = self.fs.as_deref().map_or(FsKind::Probe, FsKind::Named);
        let before = self.kernel.log().len();
        let mount = self.kernel.mount(&device, kind, &options);
        watchdog::progress();
        match mount {
            Ok(mount) => {
                if self.recovery && mount.stale() {
                    eprintln!(
                        "userctl: warning: {}: mounted without recovery, it may look older than it is",
                        self.what(&part)
                    );
                }
                Ok(Mounted {
                    part,
                    mount,
                    _device: device,
                    kernel: self.kernel.clone(),
                })
            }
            Err(error) => Err(self.refusal(&part, error, before)),
        }
    }

    fn refusal(&self, part: &Part, mut error: MountError, log: usize) -> Refusal {
        if error.detail.is_empty() && error.fs_name.is_some() {
            error.detail = self.complaint(log);
        }
        let what = self.what(part);
        let missing = match part {
            Part::Whole => 0,
            Part::Partition(partition) => partition.missing_bytes,
        };
        let unknown = error.fs_name.is_none() && error.errno == Errno::EINVAL;
        let message = if self.kernel.is_dead() {
            format!(
                "{what}: Linux stopped while mounting it{}; the file system is damaged, repair a copy of it",
                self.last_words()
            )
        } else if missing > 0 {
            format!(
                "{what}: {error}; the image ends {missing} bytes before the partition does, get all of it"
            )
        } else if unknown {
            format!("{what}: {error}; check the image, or name the file system with --fs")
        } else if error.errno == Errno::ENODEV {
            format!("{what}: {error}; this Linux lacks the file system, choose another one with --fs")
        } else if error.errno == Errno::ENOMEM {
            format!("{what}: {error}; give Linux more with --memory")
        } else {
            format!(
                "{what}: {error}; the file system is damaged or the image incomplete, repair a copy of it"
            )
        };
        Refusal {
            unknown,
            failure: Failure::new(self.dead_or(Exit::FileSystem), message),
        }
    }

    /// What Linux complained of first after its log was `length` bytes long; nothing if the log has wrapped since.
    fn complaint(&self, length: usize) -> String {
        let log = self.kernel.log();
        let log = String::from_utf8_lossy(log.get(length..).unwrap_or_default());
        let complains = |line: &&str| {
            ["corrupt", "critical", "error", "bad "]
                .iter()
                .any(|word| line.contains(word))
        };
        log.lines()
            .find(complains)
            .map(|line| crate::text::shown(line.trim().as_bytes()))
            .unwrap_or_default()
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
        match part {
            Part::Whole => image.to_string(),
            Part::Partition(partition) => format!("{image}: partition {}", partition.index),
        }
    }

    /// What a file of this image is called when it has no name of its own.
    pub fn stem(&self) -> String {
        Path::new(&self.image.path)
            .file_stem()
            .map_or_else(|| "volume".into(), |stem| stem.to_string_lossy().into_owned())
    }
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

    fn list(&self, directory: &OwnedFd) -> Result<Vec<Vec<u8>>, Errno> {
        let open = directory.reopen(OpenMode::Directory)?;
        let mut names = Vec::new();
        open.read_dir(0, &mut |entry| {
            if entry.name != b"." && entry.name != b".." {
                names.push(entry.name.to_vec());
            }
            std::ops::ControlFlow::Continue(())
        })?;
        watchdog::progress();
        Ok(names)
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
