//! Image to disk, disk to partition, partition to mounted volume.
//!
//! A [`Session`] boots Linux in this process, through the host for this system, and stops it when dropped; or it is opened in a
//! Linux that runs already and goes on. A [`Mounted`] is one file system of the image. Everything that Linux refuses is
//! made a `Failure` here that names the image and says what to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk_partitions::{Part, Survey};
use fs_probe::{Kind, Superblock};
use lkl::{
    BlockDevice, BootConfig, Cause, DiskOptions, Errno, FsKind, Kernel, Mount, MountError, MountOptions,
    OwnedFd, StatFs,
};

use crate::exit::{Exit, Failure, reason};
use crate::image::{Image, Section, Sharing};
use crate::partition;
use crate::program::Program;
use crate::watchdog;

mod again;
mod choice;

pub use again::last_words;

/// MiB that Linux gets unless told otherwise, and no journal asks for more.
pub const MEMORY: u32 = 128;
/// The most that a journal may ask for, where it is not known how much memory this machine has free.
const MOST_MEMORY: u64 = 1024;

/// What is opened, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program that the user runs, for messages.
    pub program: Program,
    /// The image: a file or a disk.
    pub image: PathBuf,
    /// Who may write to the image meanwhile.
    pub sharing: Sharing,
    /// Linux's name for the file system; `None`: what is recognised.
    pub fs: Option<String>,
    /// Options of the file system, as for `mount -o`.
    pub options: Option<String>,
    /// Replay a journal, in memory.
    pub recovery: bool,
    /// MiB for Linux; `None`: what the image needs.
    pub memory: Option<u32>,
    /// Print what Linux has said to stderr, at the end.
    pub print_log: bool,
}

impl Options {
    /// An image, read as most images are.
    pub fn new(program: Program, image: impl Into<PathBuf>) -> Options {
        Options {
            program,
            image: image.into(),
            sharing: Sharing::Any,
            fs: None,
            options: None,
            recovery: true,
            memory: None,
            print_log: false,
        }
    }
}

/// A running Linux and an opened image.
pub struct Session {
    /// The image.
    pub image: Image,
    /// Its partition table, and what its parts hold.
    pub survey: Survey,
    program: Program,
    kernel: Kernel,
    /// Linux ends with the session.
    owns_linux: bool,
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
    disk: Arc<Section>,
    kernel: Kernel,
}

/// Why a part of an image was not mounted.
pub struct Refusal {
    /// No known file system is on it; otherwise there is one, but it cannot be mounted.
    pub unknown: bool,
    /// For the user.
    pub failure: Failure,
}

/// Reads an image's partition table, and what its parts hold.
pub fn look(image: &Image) -> Result<Survey, Failure> {
    partition::survey(image).map_err(|error| {
        let (path, why) = (image.path.display(), reason(&error));
        Failure::new(
            Exit::Image,
            format_args!("{path}: {why}; check the image and the disk that it is on"),
        )
    })
}

/// Boots Linux with so many MiB of memory. A process has one at a time.
pub fn boot(program: &Program, memory: u32) -> Result<Kernel, Failure> {
    let pool_size = usize::try_from(memory)
        .unwrap_or(usize::MAX)
        .saturating_mul(1 << 20);
    // Linux's own words are kept in its log; nothing is to be printed unasked.
    let config = BootConfig {
        pool_size,
        command_line: "quiet loglevel=5",
    };
    let kernel = crate::host::boot(&config).map_err(|error| {
        let option = program.memory;
        Failure::new(
            Exit::Kernel,
            format_args!("Linux does not boot: {error}; try another {option}"),
        )
    })?;
    watchdog::progress();
    Ok(kernel)
}

impl Session {
    /// Opens the image, reads its partition table and boots Linux.
    pub fn open(options: &Options) -> Result<Session, Failure> {
        let image = Image::open_shared(&options.image, options.sharing)?;
        let survey = look(&image)?;
        let memory = match options.memory {
            Some(memory) => memory,
            None => wanted_memory(&survey, options.recovery),
        };
        let kernel = boot(&options.program, memory)?;
        Ok(Session::new(options, image, survey, kernel, true))
    }

    /// Opens the image in a Linux that runs already, and reads its partition table.
    pub fn open_in(kernel: &Kernel, options: &Options) -> Result<Session, Failure> {
        let image = Image::open_shared(&options.image, options.sharing)?;
        let survey = look(&image)?;
        Ok(Session::new(options, image, survey, kernel.clone(), false))
    }

    fn new(options: &Options, image: Image, survey: Survey, kernel: Kernel, owns_linux: bool) -> Session {
        Session {
            image,
            survey,
            program: options.program,
            kernel,
            owns_linux,
            fs: options.fs.clone(),
            options: options.options.clone(),
            recovery: options.recovery,
            print_log: options.print_log,
        }
    }

    /// The Linux that it is opened in.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Mounts the part that was asked for, or the one that is meant when none is named, and says what else is to be known.
    pub fn mount(&self, asked: Option<u32>) -> Result<Mounted, Failure> {
        let part = self.part(asked)?;
        if asked.is_none()
            && let Some(note) = partition::others(&self.program, &self.survey, part)
        {
            let image = self.image.path.display();
            self.program.note(format_args!("{image}: {note}"));
        }
        self.mount_and_warn(part).map_err(|refusal| refusal.failure)
    }

    /// Mounts a part in the way that the user says, and warns of what is missing.
    pub fn mount_and_warn(&self, part: &Part) -> Result<Mounted, Refusal> {
        let mounted = self.mount_part(part, self.fs.as_deref(), self.options.as_deref())?;
        if self.recovery && mounted.stale() {
            self.program.warn(format_args!(
                "{}: mounted without recovery, it may look older than it is",
                self.what(part)
            ));
        }
        if part.missing_bytes > 0 {
            self.program.warn(format_args!(
                "{}: {}; what was there cannot be read",
                self.what(part),
                missing(part)
            ));
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
            .add_disk(Arc::clone(&disk) as Arc<dyn lkl::Disk>, DiskOptions::default())
            .map_err(|errno| {
                other(format!(
                    "Linux does not take it as a disk: {errno}; try another {}",
                    self.program.memory
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
                disk,
                kernel: self.kernel.clone(),
            }),
            Err(error) => Err(self.refusal(part, error, !extra.is_empty())),
        }
    }

    /// What to say when Linux has refused to mount a part; `with_options`: with options of the user's.
    pub fn refusal(&self, part: &Part, mut error: MountError, with_options: bool) -> Refusal {
        let Program {
            fs,
            options,
            memory,
            no_recovery,
            ..
        } = self.program;
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
                last_words(&self.kernel.log())
            )
        } else if part.missing_bytes > 0 {
            format!("{what}: {error}; {}", missing(part))
        } else if told_wrong {
            format!("{what}: {error}; check the options of {options}, which are those of mount -o on Linux")
        } else if unknown {
            format!("{what}: {error}; check the image, or name the file system with {fs}")
        } else if error.errno == Errno::ENODEV && error.cause == Cause::Other {
            format!("{what}: {error}; this Linux lacks the file system, choose another one with {fs}")
        } else if error.cause == Cause::Unsupported {
            format!(
                "{what}: {error}; it is not supported here, which is no damage: do not repair it, read it on another Linux"
            )
        } else if error.cause == Cause::NoRoom {
            format!(
                "{what}: {error}; close other programs, or see the older state without it by {no_recovery}"
            )
        } else if error.errno == Errno::ENOMEM {
            format!("{what}: {error}; give Linux more with {memory}")
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

    fn dead_or(&self, exit: Exit) -> Exit {
        if self.kernel.is_dead() { Exit::Kernel } else { exit }
    }

    /// The part of the image, for a message.
    pub fn what(&self, part: &Part) -> String {
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
pub fn missing(part: &Part) -> String {
    let whole = match part.number {
        0 => "the file system",
        _ => "the partition",
    };
    format!(
        "the image ends {} bytes before {whole} does, get all of it",
        part.missing_bytes
    )
}

/// MiB that Linux needs for the largest journal in an image, if it is replayed, and the largest tables: what is replayed is held
/// twice, as what was written and in Linux's cache. No more than half of what this machine has free.
pub fn wanted_memory(survey: &Survey, recovery: bool) -> u32 {
    let parts = survey.partitions.iter().chain([&survey.whole]);
    let superblocks = parts.filter_map(|part| part.superblock.as_ref());
    let needed = superblocks.map(|superblock| {
        let journal = superblock.journal_bytes.filter(|_| recovery);
        // The first 32 MiB fit into what there is anyhow.
        let journal = (journal.unwrap_or(0) >> 20).saturating_sub(32).saturating_mul(2);
        journal.saturating_add(tables(superblock))
    });
    let wanted = needed.max().unwrap_or(0).saturating_add(MEMORY.into());
    let wanted = wanted.min(free_memory().map_or(MOST_MEMORY, |free| free / 2));
    u32::try_from(wanted).unwrap_or(u32::MAX).max(MEMORY)
}

/// MiB of what Linux holds of a mounted volume for as long as it is mounted, beyond what fits into what there is anyhow.
fn tables(superblock: &Superblock) -> u64 {
    // F2FS has 192 bytes of bitmaps for each segment of 2 MiB, in one piece, which is a power of two and is found in twice as
    // much, and about 80 of counters.
    let bytes = superblock.size_bytes.filter(|_| superblock.kind == Kind::F2fs);
    let segments = bytes.unwrap_or(0) >> 21;
    let bitmaps = segments.saturating_mul(192).next_power_of_two();
    let counters = segments.saturating_mul(80).next_power_of_two();
    (bitmaps.saturating_mul(2).saturating_add(counters) >> 20).saturating_sub(32)
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
        if self.owns_linux {
            self.kernel.clone().halt();
        }
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

    /// The root folder, to go on from.
    pub fn root(&self) -> Result<OwnedFd, Errno> {
        self.mount.root()
    }

    /// The root folder of another view of the file system: see [`Mount::view`].
    pub fn view(&self, options: &str) -> Result<OwnedFd, Errno> {
        self.mount.view(&self.kernel, &self.device, options)
    }

    /// Counts and limits.
    pub fn statfs(&self) -> Result<StatFs, Errno> {
        self.mount.statfs()
    }

    /// The Linux that it is mounted in.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }
}
