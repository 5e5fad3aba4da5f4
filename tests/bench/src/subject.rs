//! What is measured, behind one small trait.

use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use linux_driver as _;
use lkl::{BootConfig, DiskOptions, FsKind, MountOptions, OpenMode, OwnedFd};
use lkl_host_posix::FileDisk;
use ntos::disk::{Completion, DiskConfig};
use ntos::mm::user::UserRegion;
use ntos::user::volume::{Volume, join};
use ntos::user::{Handle, Machine, OpenAs};
use serde::{Deserialize, Serialize};

/// Memory that Linux gets in the POSIX host: the big file fits into it, as it fits into this machine's.
const POOL: usize = 1 << 30;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// This machine's own Linux, by a loop mount.
    Native,
    /// Our Linux in this process.
    Posix,
    /// Our driver in the NT kernel double, through IRPs.
    Driver,
    /// libext2fs behind FUSE.
    Fuse2fs,
    /// Our Linux behind FUSE.
    Lklfuse,
}

impl Kind {
    /// Those of the table of readers, in its order; the first is what the others are compared with.
    pub const READERS: &[Kind] = &[Kind::Native, Kind::Posix, Kind::Driver, Kind::Fuse2fs];

    /// Those that mount a volume in a folder, for reading and writing.
    pub const MOUNTS: &[Kind] = &[Kind::Native, Kind::Lklfuse, Kind::Fuse2fs];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Native => "native",
            Kind::Posix => "posix",
            Kind::Driver => "driver",
            Kind::Fuse2fs => "fuse2fs",
            Kind::Lklfuse => "lklfuse",
        }
    }

    /// Starts the subject and hands it over.
    pub fn with<T>(self, place: &Place, work: impl FnOnce(&dyn Subject, Started) -> Result<T>) -> Result<T> {
        match self {
            Kind::Posix => posix(place, work),
            Kind::Driver => driver(place, work),
            Kind::Native | Kind::Fuse2fs | Kind::Lklfuse => {
                let root = place.mounted()?.to_path_buf();
                work(&Directory { root }, Started::default())
            }
        }
    }
}

/// What subjects need.
pub struct Place {
    /// The image.
    pub image: PathBuf,
    /// `lklfs.sys`.
    pub driver: PathBuf,
    /// Where others have mounted the image.
    pub mounted: Option<PathBuf>,
}

impl Place {
    /// Where the image is mounted.
    pub fn mounted(&self) -> Result<&Path> {
        self.mounted.as_deref().context("nothing is mounted")
    }
}

/// How a subject started.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Started {
    /// Milliseconds until Linux ran; for the driver, until DriverEntry had returned.
    pub boot_ms: Option<f64>,
    /// Milliseconds of the mount; for the driver, of the first open, which boots Linux too.
    pub mount_ms: Option<f64>,
    /// MiB of resident memory that both took.
    pub memory_mib: Option<f64>,
}

/// Something that reads a volume. Paths are names at its root.
pub trait Subject: Sync {
    /// Opens a file for reads of `block` bytes.
    fn open(&self, name: &str, block: usize) -> Result<Box<dyn Reader + '_>>;
    /// A file's size in bytes.
    fn size(&self, name: &str) -> Result<u64>;
    /// Lists a folder and asks for the attributes of its entries, until there is no more time; returns of how many.
    fn list(&self, name: &str, until: Instant) -> Result<u64>;
}

/// An open file.
pub trait Reader {
    /// Reads a block at `offset` into a buffer of its own; 0 at the end.
    fn read(&mut self, offset: u64) -> Result<usize>;
}

/// Resident memory of this process in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok())
        .unwrap_or(0.0);
    kib / 1024.0
}

/// Milliseconds since `start`.
fn since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

/// A folder of this machine's.
struct Directory {
    root: PathBuf,
}

struct DirectoryFile {
    file: File,
    buffer: Vec<u8>,
}

impl Subject for Directory {
    fn open(&self, name: &str, block: usize) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(DirectoryFile {
            file: File::open(self.root.join(name))?,
            buffer: vec![0; block],
        }))
    }

    fn size(&self, name: &str) -> Result<u64> {
        Ok(std::fs::metadata(self.root.join(name))?.len())
    }

    fn list(&self, name: &str, until: Instant) -> Result<u64> {
        let mut entries = 0;
        for entry in std::fs::read_dir(self.root.join(name))? {
            entry?.metadata()?;
            entries += 1;
            if Instant::now() >= until {
                break;
            }
        }
        Ok(entries)
    }
}

impl Reader for DirectoryFile {
    fn read(&mut self, offset: u64) -> Result<usize> {
        Ok(self.file.read_at(&mut self.buffer, offset)?)
    }
}

/// Boots our Linux here and mounts the image.
fn posix<T>(place: &Place, work: impl FnOnce(&dyn Subject, Started) -> Result<T>) -> Result<T> {
    let before = resident();
    let disk = FileDisk::open(&place.image)?;
    let start = Instant::now();
    let config = BootConfig {
        pool_size: POOL,
        command_line: "quiet loglevel=4",
    };
    let kernel = lkl_host_posix::boot(&config).map_err(|error| anyhow!("{error}"))?;
    let boot_ms = since(start);
    let start = Instant::now();
    let device = kernel.add_disk(Arc::new(disk), DiskOptions::default())?;
    let mount = kernel
        .mount(&device, FsKind::Probe, &MountOptions::default())
        .map_err(|error| anyhow!("the image does not mount: {error}"))?;
    let root = mount.root()?;
    let mount_ms = since(start);
    let started = Started {
        boot_ms: Some(boot_ms),
        mount_ms: Some(mount_ms),
        memory_mib: Some(resident() - before),
    };
    work(&Linux { root }, started)
}

/// Our Linux's root folder.
struct Linux {
    root: OwnedFd,
}

struct LinuxFile {
    file: OwnedFd,
    buffer: Vec<u8>,
}

impl Subject for Linux {
    fn open(&self, name: &str, block: usize) -> Result<Box<dyn Reader + '_>> {
        let file = self.root.open_at(name.as_bytes(), OpenMode::Read)?;
        Ok(Box::new(LinuxFile {
            file,
            buffer: vec![0; block],
        }))
    }

    fn size(&self, name: &str) -> Result<u64> {
        Ok(self.root.open_at(name.as_bytes(), OpenMode::Path)?.statx()?.size)
    }

    fn list(&self, name: &str, _until: Instant) -> Result<u64> {
        let folder = self.root.open_at(name.as_bytes(), OpenMode::Directory)?;
        let mut names = Vec::new();
        folder.read_dir(0, &mut |entry| {
            if entry.name != b"." && entry.name != b".." {
                names.push(entry.name.to_vec());
            }
            ControlFlow::Continue(())
        })?;
        for name in &names {
            folder.open_at(name, OpenMode::Path)?.statx()?;
        }
        Ok(names.len() as u64)
    }
}

impl Reader for LinuxFile {
    fn read(&mut self, offset: u64) -> Result<usize> {
        Ok(self.file.pread(&mut self.buffer, offset)?)
    }
}

/// Loads the driver into the double and has it mount the image.
fn driver<T>(place: &Place, work: impl FnOnce(&dyn Subject, Started) -> Result<T>) -> Result<T> {
    // Driver Verifier's special pool would be measured otherwise; its other checks stay.
    ntos::mm::pool::set_mode(ntos::mm::pool::Mode::Shared);
    let before = resident();
    let disk = DiskConfig::image(&place.image).completion(Completion::Queued);
    let start = Instant::now();
    let mut machine = Machine::builder().disk(disk).start()?;
    machine.load_driver(&place.driver)?;
    let boot_ms = since(start);
    let start = Instant::now();
    let disk = Arc::clone(machine.disks().first().context("the machine has no disk")?);
    let (_, volume) =
        Volume::first(&machine, &disk).map_err(|refusals| anyhow!("not mounted: {refusals:x?}"))?;
    let mount_ms = since(start);
    let started = Started {
        boot_ms: Some(boot_ms),
        mount_ms: Some(mount_ms),
        memory_mib: Some(resident() - before),
    };
    let result = work(&Windows { volume }, started)?;
    let report = machine.unload();
    if !report.is_clean() {
        bail!("the driver left something behind: {report:?}");
    }
    Ok(result)
}

/// A volume as Windows sees it.
struct Windows<'m> {
    volume: Volume<'m>,
}

struct WindowsFile {
    file: Handle,
    buffer: UserRegion,
    block: usize,
}

/// A name at the root.
fn path(name: &str) -> Vec<u16> {
    format!("\\{name}").encode_utf16().collect()
}

impl Subject for Windows<'_> {
    fn open(&self, name: &str, block: usize) -> Result<Box<dyn Reader + '_>> {
        let file = self.volume.open(&path(name), OpenAs::read()).map_err(status)?;
        Ok(Box::new(WindowsFile {
            file,
            buffer: UserRegion::new(block),
            block,
        }))
    }

    fn size(&self, name: &str) -> Result<u64> {
        Ok(self.volume.entry(&path(name))?.facts.size)
    }

    fn list(&self, name: &str, _until: Instant) -> Result<u64> {
        // A Windows listing carries the attributes: no entry has to be opened.
        Ok(self.volume.list(&join(&path(name), &[]))?.len() as u64)
    }
}

impl Reader for WindowsFile {
    fn read(&mut self, offset: u64) -> Result<usize> {
        match self.file.read_into(&self.buffer, Some(offset), self.block) {
            (ntos::nt::STATUS_END_OF_FILE, _) => Ok(0),
            (ntos::nt::STATUS_SUCCESS, len) => Ok(len),
            (failed, _) => Err(status(failed)),
        }
    }
}

/// An NTSTATUS as an error.
fn status(status: i32) -> anyhow::Error {
    anyhow!("{}", ntos::nt::name(status))
}
