//! The life of a mount: open the image, mount, serve, write everything, end.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::CommandFactory;
use fuser::{Config, MountOption, Session, SessionACL, SessionUnmounter};
use lkl_volume::exit::reason;
use lkl_volume::{Exit, Failure, Interruption, Options, Program, Volume, contents};

use crate::background;
use crate::cli::Cli;
use crate::filesystem::Lklfuse;
use crate::mount_options::MountOptions;
use crate::served::{Manners, Served, tell};

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

/// MiB for Linux unless told otherwise: besides what it needs it keeps what was read of folders and inodes.
const MEMORY: u32 = 256;
/// Requests that are answered at once, at most: more threads than processors help only those that wait for a disk.
const THREADS: usize = 8;

/// Does what `cli` asks for. The exit code.
pub fn run(cli: &Cli) -> Result<u8, Failure> {
    if let Some(directory) = &cli.man {
        clap_mangen::generate_to(Cli::command(), directory).map_err(|error| {
            let (directory, why) = (directory.display(), reason(&error));
            Failure::new(
                Exit::Destination,
                format_args!("{directory}: {why}; name a directory that you may write"),
            )
        })?;
        return Ok(Exit::Ok as u8);
    }
    let (Some(image), Some(folder)) = (&cli.image, &cli.folder) else {
        return Err(Failure::new(
            Exit::Usage,
            "an image and a folder are wanted; see lklfuse --help",
        ));
    };
    let options = MountOptions::parse(cli.options.iter().map(String::as_str))?;
    if !cli.foreground && !cli.daemon {
        return background::start();
    }
    serve(image, folder, &options, cli.daemon)?;
    Ok(Exit::Ok as u8)
}

/// The volume, until one of those who may end the mount has unmounted it.
#[derive(Clone)]
struct Mounted {
    served: Arc<Served>,
    volume: Arc<Mutex<Option<Volume>>>,
}

impl Mounted {
    /// Waits for the requests under way, writes everything, and unmounts.
    fn end(&self) -> Result<(), Failure> {
        // The second thread waits here for the first.
        let mut volume = self.volume.lock().unwrap_or_else(PoisonError::into_inner);
        self.served.close();
        volume.take().map_or(Ok(()), Volume::unmount)
    }
}

fn serve(image: &Path, folder: &Path, options: &MountOptions, is_daemon: bool) -> Result<(), Failure> {
    let folder = folder_to_mount_on(folder)?;
    let interruption = Interruption::watch(PROGRAM);
    // A user who looks at the mounts does not know where this was started.
    let image = std::path::absolute(image).unwrap_or_else(|_| image.to_path_buf());
    let volume = lkl_volume::open(
        &Options {
            part: options.part,
            fs: options.fs.clone(),
            options: Some(options.linux.clone()).filter(|options| !options.is_empty()),
            write: options.write,
            synchronous: options.synchronous,
            recovery: !options.no_recovery,
            ..Options::new(PROGRAM, &image)
        },
        Some(match options.memory {
            Some(memory) => memory,
            None => contents(&image)?.memory.max(MEMORY),
        }),
    )?;
    let permissions = options.default_permissions || options.allow_other;
    let manners = Manners {
        writeback: options.writeback && options.write,
        permissions,
        ..Manners::new(volume.fs_name(), options.write)
    };
    let root = volume.root();
    let served = root.and_then(|root| Served::new(root, manners, image.display().to_string()));
    let served = served.map_err(|errno| {
        Failure::new(
            Exit::FileSystem,
            format_args!("{}: {errno}; check the file system", image.display()),
        )
    })?;
    let mounted = Mounted {
        served: Arc::new(served),
        volume: Arc::new(Mutex::new(Some(volume))),
    };
    let config = config(&image, options, permissions);
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
    let (unmounter, at_end) = (session.unmount_callable(), mounted.clone());
    let place = folder.clone();
    interruption.then(move || stop(unmounter, &at_end, &place));
    // It asks the mount, which is not served yet.
    let place = folder.clone();
    let _ = std::thread::Builder::new().spawn(move || read_far_ahead(&place));
    if is_daemon && let Err(error) = background::detach() {
        tell(&format!("{}: {}", folder.display(), reason(&error)));
    }
    let result = session.run();
    let ended = mounted.end();
    if let Err(failure) = &ended {
        tell(&failure.message);
    }
    ended?;
    result.map_err(|error| {
        Failure::new(
            Exit::Other,
            format_args!("{}: {}; mount it again", folder.display(), reason(&error)),
        )
    })
}

fn config(image: &Path, options: &MountOptions, permissions: bool) -> Config {
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
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    config.n_threads = Some(options.threads.unwrap_or((2 * processors).clamp(2, THREADS)));
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

/// Has the kernel read further ahead than it does for FUSE, if it lets us.
fn read_far_ahead(folder: &Path) {
    const KIB: &str = "1024";
    if let Ok(stat) = rustix::fs::stat(folder) {
        let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
        let _ = std::fs::write(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"), KIB);
    }
}
