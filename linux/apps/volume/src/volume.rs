//! Linux, and a volume in it.

use std::fmt;
use std::path::PathBuf;

use lkl::{Errno, Kernel, OwnedFd, StatFs};
use lkl_session::exit::{Exit, Failure};
use lkl_session::image::Sharing;
use lkl_session::program::Program;
use lkl_session::session::{self, Mounted, Session};

use crate::disks::Disks;
use crate::writable::Writable;

/// What is mounted, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program that the user runs, for messages.
    pub program: Program,
    /// The image: a file or a disk.
    pub image: PathBuf,
    /// The partition, 0 for the whole disk; `None`: the one that `userctl info` says is read.
    pub part: Option<u32>,
    /// Linux's name for the file system; `None`: what is recognised.
    pub fs: Option<String>,
    /// Options of the file system, as for `mount -o`.
    pub options: Option<String>,
    /// Mount it for writing.
    pub write: bool,
    /// Each change of what is written is in the image when its call returns.
    pub synchronous: bool,
    /// Replay a journal: in memory, or in the image if it is mounted for writing.
    pub recovery: bool,
}

impl Options {
    /// An image, mounted for reading as most images are.
    pub fn new(program: Program, image: impl Into<PathBuf>) -> Options {
        Options {
            program,
            image: image.into(),
            part: None,
            fs: None,
            options: None,
            write: false,
            synchronous: false,
            recovery: true,
        }
    }

    pub(crate) fn session(&self) -> session::Options {
        session::Options {
            // A writer locks the image in its own way.
            sharing: if self.write {
                Sharing::Any
            } else {
                Sharing::Readers
            },
            fs: self.fs.clone(),
            options: self.options.clone(),
            recovery: self.recovery,
            ..session::Options::new(self.program, &self.image)
        }
    }
}

/// The Linux of this process; it ends when this is dropped. Volumes go first. When it dies there is no other after it: see
/// [`crate::Supervisor`].
#[derive(Debug)]
pub struct Linux {
    kernel: Kernel,
    disks: Disks,
}

impl Linux {
    /// Boots it with so many MiB of memory; [`crate::Contents::memory`] says what an image needs, at least.
    pub fn boot(program: &Program, memory: u32) -> Result<Linux, Failure> {
        let kernel = session::boot(program, memory)?;
        let disks = Disks::default();
        Ok(Linux { kernel, disks })
    }

    /// The kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Mounts a file system of an image.
    pub fn open(&self, options: &Options) -> Result<Volume, Failure> {
        lkl_session::options::check(&options.program, options.options.as_deref())?;
        let session = Session::open_in(&self.kernel, &options.session())?;
        let access = if options.write {
            Access::Writing(Writable::open(session, options, &self.disks)?)
        } else {
            let mounted = session.mount(options.part)?;
            Access::Reading(mounted, session)
        };
        Ok(Volume {
            access,
            image: options.image.clone(),
            kernel: self.kernel.clone(),
            linux: None,
        })
    }
}

impl Drop for Linux {
    fn drop(&mut self) {
        // A thread that is stuck in Linux ends with the process.
        let _ = self.kernel.clone().halt();
    }
}

/// Boots Linux, with so many MiB of memory or what the image needs, and mounts a file system of an image in it. Linux ends with the
/// volume.
pub fn open(options: &Options, memory: Option<u32>) -> Result<Volume, Failure> {
    lkl_session::options::check(&options.program, options.options.as_deref())?;
    let memory = match memory {
        Some(memory) => memory,
        None => crate::contents(&options.image)?.memory,
    };
    let linux = Linux::boot(&options.program, memory)?;
    let mut volume = linux.open(options)?;
    volume.linux = Some(linux);
    Ok(volume)
}

/// A mounted file system of an image.
///
/// What is open below [`Volume::root`] goes first. Dropping it unmounts it, too, and keeps for itself what went wrong.
pub struct Volume {
    // In the order in which they must go: the mount, then Linux.
    access: Access,
    image: PathBuf,
    kernel: Kernel,
    linux: Option<Linux>,
}

#[allow(clippy::large_enum_variant)] // there are few of them
enum Access {
    Reading(Mounted, Session),
    Writing(Writable),
}

impl Volume {
    /// The root folder, as [`lkl::OpenMode::Path`].
    pub fn root(&self) -> Result<OwnedFd, Errno> {
        match &self.access {
            Access::Reading(mounted, _) => mounted.root(),
            Access::Writing(writable) => writable.root(),
        }
    }

    /// The Linux that it is mounted in.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Whether Linux has stopped: nothing more can be read or written.
    pub fn is_dead(&self) -> bool {
        self.kernel.is_dead()
    }

    /// Whether it can be written to.
    pub fn is_writable(&self) -> bool {
        matches!(self.access, Access::Writing(_))
    }

    /// Linux's name for the file system.
    pub fn fs_name(&self) -> &str {
        match &self.access {
            Access::Reading(mounted, _) => mounted.fs_name(),
            Access::Writing(writable) => writable.fs_name(),
        }
    }

    /// The partition that it is on; 0 for the whole disk.
    pub fn part(&self) -> u32 {
        match &self.access {
            Access::Reading(mounted, _) => mounted.part,
            Access::Writing(writable) => writable.part(),
        }
    }

    /// Counts and limits.
    pub fn statfs(&self) -> Result<StatFs, Errno> {
        match &self.access {
            Access::Reading(mounted, _) => mounted.statfs(),
            Access::Writing(writable) => writable.root()?.statfs(),
        }
    }

    /// Makes durable whatever was done to it.
    pub fn sync(&self) -> Result<(), Errno> {
        match &self.access {
            Access::Reading(..) => Ok(()),
            Access::Writing(writable) => writable.sync(),
        }
    }

    /// Writes everything to the image and unmounts. A failure says what was lost.
    pub fn unmount(self) -> Result<(), Failure> {
        let Volume {
            access,
            image,
            kernel,
            linux,
        } = self;
        let (unmounted, lost) = match access {
            Access::Reading(mounted, session) => {
                drop(mounted);
                drop(session);
                (Ok(()), "the file system is damaged, repair a copy of it")
            }
            Access::Writing(writable) => (
                writable.unmount(),
                "what was not synced before is lost, check the file system",
            ),
        };
        let died = kernel.is_dead();
        drop(kernel);
        drop(linux);
        if died {
            let image = image.display();
            return Err(Failure::new(
                Exit::Kernel,
                format_args!("{image}: Linux has stopped; {lost}"),
            ));
        }
        unmounted
    }
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volume")
            .field("image", &self.image)
            .field("writable", &self.is_writable())
            .finish_non_exhaustive()
    }
}
