//! The life of a mount: open the image, mount, serve, write everything, end.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fuser::{Config, MountOption, Session, SessionACL, SessionUnmounter};
use lkl::{Errno, OwnedFd};
use lkl_volume::exit::reason;
use lkl_volume::{Exit, Failure, Interruption, Options, Program, Supervisor, Volume, contents};

use crate::background;
use crate::cli::Cli;
use crate::filesystem::Lklfuse;
use crate::mount_options::MountOptions;
use crate::revival::Revival;
use crate::served::{Manners, Served, log, tell};

/// What messages call this program and its options.
pub const PROGRAM: Program = Program {
    part: "-o part",
    equals: "=",
    fs: "-o fs",
    options: "-o",
    memory: "-o memory",
    no_recovery: "-o norecovery",
    ..Program::new("lklfuse")
};

/// MiB for Linux unless told otherwise. Reading needs little, since the host's kernel caches what was read, and memory that Linux has
/// used before is faster than fresh memory: with 256 MiB a long read takes twice the processor's time. What is written waits
/// in it.
const MEMORY: u32 = 64;
const MEMORY_TO_WRITE: u32 = 256;
/// Requests that are answered at once, at most: more threads than processors help only those that wait for a disk.
const THREADS: usize = 8;

/// Does what `cli` asks for. The exit code.
pub fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let options = MountOptions::parse(cli.options.iter().map(String::as_str))?;
    if !cli.foreground && !cli.daemon {
        return background::start();
    }
    serve(&cli.image, &cli.folder, &options, cli.daemon)?;
    Ok(ExitCode::SUCCESS)
}

/// The volume, until one of those who may end the mount has unmounted it.
#[derive(Clone)]
struct Mounted {
    served: Arc<Served>,
    volume: Arc<Mutex<Option<Held>>>,
}

/// What a volume ends with.
#[allow(clippy::large_enum_variant)] // there is one of it
enum Held {
    /// It is written to: what Linux had not written when it died is lost, and the mount is over.
    Once(Volume),
    /// It is only read, and goes on in another Linux.
    Lasting(Supervisor),
}

/// A volume that was mounted, and its file system.
struct Opened {
    held: Held,
    root: Result<OwnedFd, Errno>,
    fs_name: String,
    revival: Option<Revival>,
}

fn open(options: &Options, memory: u32) -> Result<Opened, Failure> {
    if options.write {
        let volume = lkl_volume::open(options, Some(memory))?;
        return Ok(Opened {
            root: volume.root(),
            fs_name: volume.fs_name().to_owned(),
            held: Held::Once(volume),
            revival: None,
        });
    }
    lkl_session::options::check(&options.program, options.options.as_deref())?;
    let supervisor = Supervisor::boot(PROGRAM, memory, tell)?;
    let mounted = supervisor.mount(options);
    let (lasting, mount, device) = mounted.inspect_err(|_| drop(supervisor.end()))?;
    Ok(Opened {
        held: Held::Lasting(supervisor),
        root: mount.root(),
        fs_name: mount.fs_name().to_owned(),
        revival: Some(Revival::new(lasting, mount, device)),
    })
}

impl Mounted {
    /// Waits for the requests under way, writes everything, and unmounts.
    fn end(&self) -> Result<(), Failure> {
        // The second thread waits here for the first.
        let mut volume = self.volume.lock().unwrap_or_else(PoisonError::into_inner);
        self.served.close();
        match volume.take() {
            Some(Held::Once(volume)) => volume.unmount(),
            Some(Held::Lasting(supervisor)) => supervisor.end(),
            None => Ok(()),
        }
    }
}

fn serve(image: &Path, folder: &Path, options: &MountOptions, is_daemon: bool) -> Result<(), Failure> {
    let folder = folder_to_mount_on(folder)?;
    let interruption = Interruption::watch(PROGRAM);
    // A user who looks at the mounts does not know where this was started.
    let image = std::path::absolute(image).unwrap_or_else(|_| image.to_path_buf());
    let opened = open(
        &Options {
            part: options.part,
            fs: options.fs.clone(),
            options: Some(options.linux.clone()).filter(|options| !options.is_empty()),
            write: options.write,
            synchronous: options.synchronous,
            recovery: !options.no_recovery,
            ..Options::new(PROGRAM, &image)
        },
        match options.memory {
            Some(memory) => memory,
            None => {
                let least = if options.write { MEMORY_TO_WRITE } else { MEMORY };
                contents(&image)?.memory.max(least)
            }
        },
    )?;
    let permissions = options.default_permissions || options.allow_other;
    let manners = Manners {
        writeback: options.writeback && options.write,
        permissions,
        ..Manners::new(&opened.fs_name, options.write)
    };
    let threads = threads(options);
    let Opened {
        held, root, revival, ..
    } = opened;
    let name = image.display().to_string();
    let served = root.and_then(|root| Served::new(root, manners, threads, name, revival));
    let served = served.map_err(|errno| {
        Failure::new(
            Exit::FileSystem,
            format_args!("{}: {errno}; check the file system", image.display()),
        )
    })?;
    let mounted = Mounted {
        served: Arc::new(served),
        volume: Arc::new(Mutex::new(Some(held))),
    };
    let config = config(&image, options, permissions, threads);
    let session = Session::new(Lklfuse(Arc::clone(&mounted.served)), &folder, &config);
    let mut session = match session {
        Ok(session) => session,
        Err(error) => {
            mounted.end()?;
            return Err(Failure::new(
                Exit::Destination,
                format_args!(
                    "{}: it cannot be mounted on: {}; is fuse there, and may you mount here?",
                    folder.display(),
                    reason(&error)
                ),
            ));
        }
    };
    let served = Arc::clone(&mounted.served);
    let lookout = attend(&served, &session);
    let (unmounter, at_end) = (session.unmount_callable(), mounted.clone());
    let place = folder.clone();
    interruption.then(move || stop(unmounter, &at_end, &place));
    read_far_ahead(&folder);
    if is_daemon && let Err(error) = background::detach() {
        tell(&format!("{}: {}", folder.display(), reason(&error)));
    }
    let result = session.run();
    served.readers.end();
    let _ = lookout.map(std::thread::JoinHandle::join);
    let ended = mounted.end();
    if let Err(failure) = &ended {
        // Where there is a terminal, it is said there in the end.
        log(&failure.message);
    }
    ended?;
    result.map_err(|error| {
        Failure::new(
            Exit::Other,
            format_args!("{}: {}; mount it again", folder.display(), reason(&error)),
        )
    })
}

/// Gives the threads that serve what they need of the mount. Their lookout, if there is one.
fn attend(served: &Arc<Served>, session: &Session<Lklfuse>) -> Option<JoinHandle<()>> {
    let _ = served.notifier.set(session.notifier());
    let device = session.as_fd().try_clone_to_owned().ok()?;
    let watched = Arc::clone(served);
    let watch = move || watched.notice_death();
    served.readers.begin(device, watch).ok()
}

fn threads(options: &MountOptions) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    options
        .threads
        .unwrap_or((2 * processors).clamp(2, THREADS))
        .max(1)
}

fn config(image: &Path, options: &MountOptions, permissions: bool, threads: usize) -> Config {
    let source = options.source.clone();
    let source = source.unwrap_or_else(|| image.display().to_string());
    let mut config = Config::default();
    config.mount_options = vec![
        // The kernel separates options by commas.
        MountOption::FSName(source.replace(',', "\\,")),
        // The mount's type is fuse.lklfuse.
        MountOption::CUSTOM("subtype=lklfuse".to_owned()),
        if options.write {
            MountOption::RW
        } else {
            MountOption::RO
        },
    ];
    config.mount_options.extend(options.kernel.iter().cloned());
    if permissions {
        config.mount_options.push(MountOption::DefaultPermissions);
    }
    config.acl = match (options.allow_other, options.allow_root) {
        (true, _) => SessionACL::All,
        (false, true) => SessionACL::RootAndOwner,
        (false, false) => SessionACL::Owner,
    };
    config.n_threads = Some(threads);
    // Where users may not open it, fusermount3 does for the mount, and the threads share that.
    let device = std::fs::File::options().read(true).write(true).open("/dev/fuse");
    config.clone_fd = device.is_ok();
    config
}

fn folder_to_mount_on(folder: &Path) -> Result<PathBuf, Failure> {
    let fail = |why: &str| {
        Failure::new(
            Exit::Destination,
            format_args!("{}: {why}; name an existing folder", folder.display()),
        )
    };
    let found = folder.canonicalize().map_err(|error| fail(&reason(&error)))?;
    match found.is_dir() {
        true => Ok(found),
        false => Err(fail("it is no folder")),
    }
}

/// Ends the mount because the process is asked to end. Programs that have files open there get errors from then on.
fn stop(mut unmounter: SessionUnmounter, mounted: &Mounted, folder: &Path) {
    /// How long the mount has for its end once no program uses it.
    const PATIENCE: Duration = Duration::from_secs(2);
    if let Err(error) = unmounter.unmount() {
        let lazily = rustix::mount::unmount(folder, rustix::mount::UnmountFlags::DETACH);
        if lazily.is_err() {
            tell(&format!("{}: {}", folder.display(), reason(&error)));
        }
    }
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    // The main thread ends the process if the kernel has let go. It has not: files are open.
    let exit = match mounted.end() {
        Ok(()) => Exit::Ok,
        Err(failure) => {
            tell(&failure.message);
            failure.exit
        }
    };
    std::process::exit(i32::from(exit as u8));
}

/// Has the kernel read further ahead than it does for FUSE, if it lets us. Asking the mount for its device would keep it busy when the
/// user unmounts it at once.
fn read_far_ahead(folder: &Path) {
    const KIB: &str = "1024";
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // Of several mounts on one folder the last is seen.
    if let Some(device) = mounts.lines().rev().find_map(|line| device_of(line, folder)) {
        let _ = std::fs::write(format!("/sys/class/bdi/{device}/read_ahead_kb"), KIB);
    }
}

/// The device's numbers in a line of mountinfo, if it is about this folder.
fn device_of<'a>(line: &'a str, folder: &Path) -> Option<&'a str> {
    let mut words = line.split(' ').skip(2);
    let (device, place) = (words.next()?, words.nth(1)?);
    // The kernel writes these of a path's characters as numbers.
    let place = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(place.to_owned(), |place, (word, character)| {
            place.replace(word, character)
        });
    (Path::new(&place) == folder).then_some(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_of_a_mount_is_found_by_its_folder() {
        let line = r"99 28 0:77 / /media/my\040disk rw,nosuid shared:1 - fuse.lklfuse /a.img rw";
        assert_eq!(device_of(line, Path::new("/media/my disk")), Some("0:77"));
        assert_eq!(device_of(line, Path::new("/media/my")), None);
        assert_eq!(device_of("", Path::new("/")), None);
    }
}
