//! Images, opened and mounted: what a server shows.
//!
//! The top is a folder with one entry an image, named as its file. An image with partitions is a folder of those that Linux can
//! read: `part1`, `part2` as Linux numbers them, and `whole` if the disk is a file system besides, as a hybrid disc's is. An image
//! without is its file system's root itself. All are mounted in one Linux, for reading or, when the operator says so, for writing.
//! What this crate's own servers only read goes on in another Linux when that one has died ([`Purpose::Lasting`]).

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use lkl::{Errno, Kernel, OpenMode, OwnedFd};
use lkl_volume::{Contents, Exit, Failure, Linux, Options, Program, Supervisor, Volume};

use crate::lasting;
use crate::menu::Menu;
use crate::program::{Holding, Shared};
use crate::report::Detail;
use crate::tree::{Content, Kind, Node, Space, Stat, Time};

/// MiB of Linux's memory, most of which is its cache: at least so many, and a quarter of what this machine has free up to the
/// most. It is taken when it is used.
const MEMORY: u32 = 256;
const MOST_MEMORY: u32 = 1024;

/// What is mounted; it outlives what is shown of it.
#[derive(Default)]
pub struct Held {
    // In the order in which they must go.
    volumes: Vec<Placed>,
    linux: Option<Linux>,
    /// In place of both, for what goes on when Linux dies.
    supervisor: Option<Supervisor>,
}

/// What images are opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Reading, in whichever Linux there is: the server outlives those that die.
    Lasting,
    /// Reading by servers of Linux's own, which end with it.
    Exporting,
    /// Writing. What was not written when Linux dies is lost, and the server ends.
    Writing,
}

/// A volume, and where it is shown.
pub struct Placed {
    /// Names from the top on: the image's, and the partition's if it has partitions.
    pub path: Vec<Vec<u8>>,
    /// The file system's UUID or serial number, if it has one.
    pub uuid: Option<String>,
    /// What is mounted.
    pub volume: Volume,
}

impl Held {
    /// What is mounted and ends with Linux; nothing where folders of this machine are shown.
    pub fn volumes(&self) -> &[Placed] {
        &self.volumes
    }
}

impl Holding for Held {
    fn kernel(&self) -> Option<&Kernel> {
        self.linux.as_ref().map(Linux::kernel)
    }

    fn close(self) -> Result<(), Failure> {
        let Held {
            volumes,
            linux,
            supervisor,
        } = self;
        let mut ended = Ok(());
        for placed in volumes {
            ended = ended.and(placed.volume.unmount());
        }
        drop(linux);
        supervisor.map_or(ended, |supervisor| supervisor.end())
    }
}

/// Opens what the command line names.
pub fn open(program: Program, shared: &Shared, purpose: Purpose) -> Result<(Arc<dyn Node>, Held), Failure> {
    #[cfg(unix)]
    if shared.native {
        return Ok((native(shared)?, Held::default()));
    }
    let mut images = Vec::new();
    for path in &shared.images {
        images.push((path.as_path(), lkl_volume::contents(path)?));
    }
    // Each image's journals are replayed into memory of their own.
    let least = lkl_session::session::MEMORY;
    let journals = images
        .iter()
        .map(|(_, contents)| contents.memory.saturating_sub(least));
    let memory = journals.fold(cache(), u32::saturating_add);
    let memory = shared.memory.unwrap_or(memory);
    let mut held = Held::default();
    let running = if purpose == Purpose::Lasting {
        let report = shared.report();
        let tell = move |line: &str| report.say(Detail::Quiet, None, format_args!("{line}"));
        Running::Supervised(held.supervisor.insert(Supervisor::boot(program, memory, tell)?))
    } else {
        Running::Once(held.linux.insert(Linux::boot(&program, memory)?))
    };
    let opening = Opening {
        running,
        program,
        recovery: !shared.no_recovery,
        write: purpose == Purpose::Writing,
    };
    let shown = opening.all(&images, &mut held.volumes);
    match shown {
        Ok(top) => Ok((Arc::new(top), held)),
        Err(failure) => {
            // What was mounted before is left as a server leaves it; that this failed, too, is not the reason.
            let _ = held.close();
            Err(failure)
        }
    }
}

/// MiB for Linux before what journals need.
fn cache() -> u32 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let quarter = kib.and_then(|kib| u32::try_from(kib >> 12).ok());
    quarter.unwrap_or(MEMORY).clamp(MEMORY, MOST_MEMORY)
}

/// The Linux that images are mounted in.
#[derive(Clone, Copy)]
enum Running<'a> {
    Supervised(&'a Supervisor),
    Once(&'a Linux),
}

impl Running<'_> {
    fn is_dead(self) -> bool {
        match self {
            Running::Supervised(supervisor) => supervisor.deaths() > 0,
            Running::Once(linux) => linux.kernel().is_dead(),
        }
    }
}

/// How images are opened.
struct Opening<'a> {
    running: Running<'a>,
    program: Program,
    recovery: bool,
    write: bool,
}

impl Opening<'_> {
    fn all(&self, images: &[(&Path, Contents)], volumes: &mut Vec<Placed>) -> Result<Menu, Failure> {
        let mut top = Menu::new();
        for (path, contents) in images {
            let before = volumes.len();
            let node = self.image(path, contents, volumes)?;
            let name = path.file_name().unwrap_or(OsStr::new("image"));
            let name = top.add(name.as_encoded_bytes(), node);
            for placed in volumes.iter_mut().skip(before) {
                placed.path.insert(0, name.clone());
            }
        }
        Ok(top)
    }

    /// Mounts a partition, or the whole disk as 0, which is shown at `place` in its image's folder.
    fn mount(
        &self,
        path: &Path,
        contents: &Contents,
        part: u32,
        place: Vec<Vec<u8>>,
        volumes: &mut Vec<Placed>,
    ) -> Result<Arc<dyn Node>, Failure> {
        let options = Options {
            part: Some(part),
            recovery: self.recovery,
            write: self.write,
            ..Options::new(self.program, path)
        };
        let refused = |errno: Errno| {
            let path = path.display();
            Failure::new(
                Exit::FileSystem,
                format_args!("{path}: {errno}; repair a copy of it"),
            )
        };
        let linux = match self.running {
            Running::Once(linux) => linux,
            Running::Supervised(supervisor) => {
                let volume = supervisor.open(&options)?;
                return Ok(Arc::new(lasting::File::root(volume).map_err(refused)?));
            }
        };
        let volume = linux.open(&options)?;
        let root = volume.root().map_err(refused)?;
        let found = contents.parts.iter().find(|found| found.number == part);
        volumes.push(Placed {
            path: place,
            uuid: found.and_then(|found| found.uuid.clone()),
            volume,
        });
        Ok(Arc::new(File {
            fd: root,
            is_root: true,
            write: self.write,
        }))
    }

    fn image(
        &self,
        path: &Path,
        contents: &Contents,
        volumes: &mut Vec<Placed>,
    ) -> Result<Arc<dyn Node>, Failure> {
        let partitions = || contents.parts.iter().filter(|part| part.number > 0);
        if !partitions().any(|part| part.is_readable) {
            // The whole disk; if nothing is recognised there, this says so.
            return self.mount(path, contents, 0, Vec::new(), volumes);
        }
        let (mut menu, mut last) = (Menu::new(), None);
        for part in contents.parts.iter().filter(|part| part.is_readable) {
            let name = match part.number {
                0 => b"whole".to_vec(),
                number => format!("part{number}").into_bytes(),
            };
            match self.mount(path, contents, part.number, vec![name.clone()], volumes) {
                Ok(node) => {
                    menu.add(&name, node);
                }
                // One damaged partition does not keep the others from being shown, but a Linux that has stopped does, and an
                // image that is not to be written at all.
                Err(failure)
                    if self.running.is_dead() || matches!(failure.exit, Exit::Image | Exit::InUse) =>
                {
                    return Err(failure);
                }
                Err(failure) => {
                    self.program.warn(&failure);
                    last = Some(failure);
                }
            }
        }
        match last {
            Some(failure) if menu.is_empty() => Err(failure),
            _ => Ok(Arc::new(menu)),
        }
    }
}

#[cfg(unix)]
fn native(shared: &Shared) -> Result<Arc<dyn Node>, Failure> {
    let mut top = Menu::new();
    for path in &shared.images {
        let folder = crate::native::Folder::volume(path).map_err(|error| {
            let (path, why) = (path.display(), lkl_session::exit::reason(&error));
            Failure::new(Exit::Image, format_args!("{path}: {why}; name a folder"))
        })?;
        let name = path.file_name().unwrap_or(OsStr::new("folder"));
        top.add(name.as_encoded_bytes(), folder);
    }
    Ok(Arc::new(top))
}

/// A file or folder of a volume that ends with its Linux.
struct File {
    /// As [`OpenMode::Path`].
    fd: OwnedFd,
    is_root: bool,
    /// Whether its volume is mounted for writing.
    write: bool,
}

fn stat_of(stat: &lkl::Statx, write: bool) -> Result<Stat, Errno> {
    let time = |time: lkl::Timestamp| Time {
        seconds: time.sec,
        nanoseconds: time.nsec,
    };
    Ok(Stat {
        // A damaged inode may have a type that Linux has not got.
        kind: Kind::from_mode(u32::from(stat.mode)).ok_or(Errno::EUCLEAN)?,
        permissions: stat.permissions(),
        uid: stat.uid,
        gid: stat.gid,
        links: stat.nlink,
        size: stat.size,
        inode: stat.ino,
        device: u64::from(stat.dev.major) << 32 | u64::from(stat.dev.minor),
        modified: time(stat.mtime),
        created: stat.btime.map(time),
        writable: write && stat.attributes & (lkl::Statx::ATTR_IMMUTABLE | lkl::Statx::ATTR_APPEND) == 0,
    })
}

impl Node for File {
    fn stat(&self) -> Result<Stat, Errno> {
        stat_of(&self.fd.statx()?, self.write)
    }

    fn stat_of(&self, name: &[u8]) -> Result<Stat, Errno> {
        stat_of(&self.fd.statx_at(name)?, self.write)
    }

    fn child(&self, name: &[u8]) -> Result<Arc<dyn Node>, Errno> {
        let fd = self.fd.open_at(name, OpenMode::Path)?;
        Ok(Arc::new(File {
            fd,
            is_root: false,
            write: self.write,
        }))
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        self.fd.read_link()
    }

    fn list(&self, sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Errno> {
        let folder = self.fd.reopen(OpenMode::Directory)?;
        folder.read_dir(0, &mut |entry| match entry.name {
            b"." | b".." => ControlFlow::Continue(()),
            name => sink(name),
        })?;
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn Content>, Errno> {
        match self.stat()?.kind {
            Kind::File => Ok(Box::new(Bytes(self.fd.reopen(OpenMode::Read)?))),
            Kind::Folder => Err(Errno::EISDIR),
            _ => Err(Errno::EACCES),
        }
    }

    fn space(&self) -> Result<Space, Errno> {
        let found = self.fd.statfs()?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.fragment_size);
        Ok(Space {
            used: bytes(found.blocks.saturating_sub(found.blocks_free)),
            available: bytes(found.blocks_available),
        })
    }

    fn writable(&self) -> Option<&OwnedFd> {
        self.write.then_some(&self.fd)
    }

    fn is_volume(&self) -> bool {
        self.is_root
    }
}

struct Bytes(OwnedFd);

impl Content for Bytes {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.0.pread(buffer, offset)
    }
}
