//! Mounting a disk.
//!
//! A mount here has no place in a tree of folders: it is made with Linux's mount API of file descriptors (fsopen,
//! fsconfig, fsmount), lives as long as its descriptor or anything opened below it, and cannot be seen by a path. What
//! the file system had to say about a failure comes with the error.
//!
//! *Recovery.* Linux writes while it mounts a volume that was not unmounted cleanly (and XFS even then). Those writes
//! go to the disk's overlay in RAM, which is made as large as the journal, if memory allows. When they do not fit, the mount
//! fails ([`Cause::NoRoom`]). The older state that the disk itself holds is shown only if the caller asks for it, by
//! [`MountOptions::recovery`]: the file system's own "do not recover" option is used, and [`Mount::stale`] says so.
//!
//! *One disk.* A mount shows the disk that it was asked for, and is refused when Linux would show another ([`one_disk`]).
//!
//! *Damage.* An error in a volume's metadata is an error of what was asked for, and never a panic of Linux, whatever its
//! superblock wants: with Linux all other volumes would go.

use crate::call::{self, AT_FDCWD, CName, Fd};
use crate::disk::BlockDevice;
use crate::errno::Errno;
use crate::fd::{OpenMode, OwnedFd};
use crate::kernel::Kernel;
use crate::one_disk;
use crate::options::refused_option;
use crate::refusal;
use crate::stat::{FileType, StatFs};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::Ordering;
use fallible::{try_copy, try_zeroed};
use fs_probe::{Kind, Superblock};

const MOUNT_ATTR_RDONLY: u32 = 0x1;
const MOUNT_ATTR_NOSUID: u32 = 0x2;
const MOUNT_ATTR_NODEV: u32 = 0x4;
const MOUNT_ATTR_NOEXEC: u32 = 0x8;
const MOUNT_ATTR_NOSYMFOLLOW: u32 = 0x20_0000;
const CAREFUL: u32 =
    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW;

/// Which file system to mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsKind<'a> {
    /// The one whose superblock is found on the disk.
    Probe,
    /// The one of this name in Linux, as in `"ext4"`.
    Named(&'a str),
}

/// How to mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MountOptions<'a> {
    /// More options of the file system's own, separated by commas, as in `"subvol=home"`.
    pub extra: &'a str,
    /// Let the file system replay its journal, into the overlay. Without it, the volume is shown as it stands.
    pub recovery: bool,
}

impl Default for MountOptions<'_> {
    fn default() -> Self {
        MountOptions {
            extra: "",
            recovery: true,
        }
    }
}

/// Why a mount failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountError {
    /// The file system that was tried, as Linux calls it; `None` when no superblock was recognised.
    pub fs_name: Option<String>,
    /// What Linux answered. EINVAL when no superblock was recognised.
    pub errno: Errno,
    /// What the file system said about it, if anything: one message a line. What it did not answer is taken from the
    /// kernel's log of the time of the mount.
    pub detail: String,
    /// What kind of a failure it is.
    pub cause: Cause,
}

/// Kinds of failures that an error number does not tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// None of these.
    Other,
    /// As far as Linux can tell the volume is sound, and needs what this Linux, or a single disk, does not have.
    Unsupported,
    /// What is to be recovered does not fit into Linux's memory.
    NoRoom,
}

impl MountError {
    /// An error that came up before a file system was tried.
    pub fn of(errno: Errno) -> Self {
        MountError::new(None, errno)
    }

    fn new(fs_name: Option<&str>, errno: Errno) -> Self {
        MountError {
            fs_name: fs_name.map(owned),
            errno,
            detail: String::new(),
            cause: Cause::Other,
        }
    }
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fs_name {
            None if self.errno == Errno::EINVAL && self.detail.is_empty() => {
                f.write_str("no file system is recognised")?;
            }
            None if !self.detail.is_empty() => write!(f, "not mounted: {}", self.errno)?,
            None => write!(f, "the disk cannot be read: {}", self.errno)?,
            Some(name) => write!(f, "mounting as {name}: {}", self.errno)?,
        }
        for line in self.detail.lines() {
            write!(f, ": {line}")?;
        }
        Ok(())
    }
}

impl core::error::Error for MountError {}

/// A mounted file system.
pub struct Mount {
    tree: OwnedFd,
    fs_name: String,
    superblock: Option<Superblock>,
    stale: bool,
}

impl Mount {
    pub(crate) fn new(
        kernel: &Kernel,
        device: &BlockDevice,
        kind: FsKind<'_>,
        options: &MountOptions<'_>,
    ) -> Result<Mount, MountError> {
        let because = |(errno, why): one_disk::Reason| MountError {
            detail: owned(why),
            ..MountError::new(None, errno)
        };
        if refused_option(options.extra).is_some() {
            return Err(because((
                Errno::EINVAL,
                "a reader may not have one of the options",
            )));
        }
        let node = node(kernel, device).map_err(|errno| MountError::new(None, errno))?;
        let superblock = fs_probe::probe(&node);
        one_disk::check_superblock(superblock.as_ref().map(|found| found.kind), &node).map_err(|reason| {
            MountError {
                cause: Cause::Unsupported,
                ..because(reason)
            }
        })?;
        drop(node);
        let names: &[&str] = match (kind, &superblock) {
            (FsKind::Named(name), _) => &[name],
            (FsKind::Probe, Some(superblock)) => superblock.kind.linux_names(),
            (FsKind::Probe, None) => return Err(MountError::new(None, Errno::EINVAL)),
        };
        // What a variant needs goes with the file system that was recognised, not with one that the caller insists on.
        let needed = match (kind, &superblock) {
            (FsKind::Probe, Some(superblock)) => superblock.linux_options,
            _ => "",
        };
        let mut last = MountError::new(None, Errno::EINVAL);
        if let Some(superblock) = &superblock {
            make_room(device, superblock, options.recovery).map_err(|errno| MountError::new(None, errno))?;
        }
        for name in names {
            match Mount::named(kernel, device, name, needed, options) {
                Ok((tree, stale)) => {
                    check_root(&tree).map_err(|error| MountError {
                        fs_name: Some(owned(name)),
                        ..error
                    })?;
                    return Ok(Mount {
                        tree,
                        fs_name: owned(name),
                        superblock,
                        stale,
                    });
                }
                // This kernel has no such file system; another one may read the same volume.
                Err(error) if error.errno == Errno::ENODEV && !kernel.is_dead() => last = error,
                Err(error) => return Err(error),
            }
        }
        if last.errno == Errno::ENODEV && last.detail.is_empty() && !kernel.is_dead() {
            last.detail = owned("this Linux has no such file system");
            last.cause = Cause::Unsupported;
        }
        Err(last)
    }

    fn named(
        kernel: &Kernel,
        device: &BlockDevice,
        name: &str,
        needed: &str,
        options: &MountOptions<'_>,
    ) -> Result<(OwnedFd, bool), MountError> {
        let quiet = no_recovery_option(name);
        // What the caller says comes last, and holds.
        let given = [no_panic_option(name), needed, options.extra];
        let attempt = |quiet| attempt(kernel, device, name, &given, quiet);
        if !options.recovery {
            return attempt(quiet).map(|tree| (tree, quiet.is_some()));
        }
        let refused = |device: &BlockDevice| device.stats().map_or(0, |stats| stats.writes_refused);
        let before = refused(device);
        let error = match attempt(None) {
            Ok(tree) => return Ok((tree, false)),
            Err(error) => error,
        };
        // EROFS is the answer of a file system that asked first and was told that there is no overlay at all.
        let no_room = refused(device) != before || error.errno == Errno::EROFS;
        if quiet.is_none() || kernel.is_dead() || !no_room {
            return Err(error);
        }
        Err(MountError {
            errno: Errno::ENOSPC,
            detail: owned("what its journal holds does not fit into the memory that there is"),
            cause: Cause::NoRoom,
            ..error
        })
    }

    /// The root folder of another view of this file system, as [`OpenMode::Path`]: what `options` show of it, as
    /// `subvolid=5` of a btrfs. It shares the mount's superblock, and is gone when nothing below it is open any more. `device`
    /// is the one that was mounted.
    pub fn view(&self, kernel: &Kernel, device: &BlockDevice, options: &str) -> Result<OwnedFd, Errno> {
        if refused_option(options).is_some() {
            return Err(Errno::EINVAL);
        }
        let fs = call::fsopen(kernel, &CName::new(self.fs_name.as_bytes())?)?;
        let fs = OwnedFd::adopt(kernel.clone(), fs);
        configure(kernel, fs.number(), device, &[options], None)?;
        call::fsconfig_create(kernel, fs.number())?;
        let tree = OwnedFd::adopt(kernel.clone(), call::fsmount(kernel, fs.number(), CAREFUL)?);
        one_disk::prove(kernel, &tree, &self.fs_name, device).map_err(|(errno, _)| errno)?;
        tree.open_at(b".", OpenMode::Path)
    }

    /// The root folder, as [`OpenMode::Path`].
    pub fn root(&self) -> Result<OwnedFd, Errno> {
        self.tree.open_at(b".", OpenMode::Path)
    }

    /// The Linux that it is mounted in.
    pub fn kernel(&self) -> &Kernel {
        self.tree.kernel()
    }

    /// The file system's name in Linux, as in `"ext4"`.
    pub fn fs_name(&self) -> &str {
        &self.fs_name
    }

    /// What was found on the disk: label, UUID. `None` for a kind that only Linux knows.
    pub fn superblock(&self) -> Option<&Superblock> {
        self.superblock.as_ref()
    }

    /// True when the volume was mounted without recovery: it may show an older state than its journal holds.
    pub fn stale(&self) -> bool {
        self.stale
    }

    /// Counts and limits.
    pub fn statfs(&self) -> Result<StatFs, Errno> {
        self.tree.statfs()
    }

    /// Lets go of the mount. Linux unmounts the volume before this returns, unless something below is still open: then
    /// with the last of that.
    pub fn unmount(self) {}
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount")
            .field("fs_name", &self.fs_name)
            .field("stale", &self.stale)
            .finish_non_exhaustive()
    }
}

/// Some file systems believe what a superblock says of the root, and mount a file. What Linux then does with paths is
/// nothing to rely on.
fn check_root(tree: &OwnedFd) -> Result<(), MountError> {
    let stat = tree.statx().map_err(|errno| MountError::new(None, errno))?;
    match stat.file_type() {
        FileType::Directory => Ok(()),
        _ => Err(MountError {
            detail: owned("the root is no directory"),
            ..MountError::new(None, Errno::EUCLEAN)
        }),
    }
}

/// The option of a file system that keeps it from recovering.
fn no_recovery_option(fs_name: &str) -> Option<&'static str> {
    match fs_name {
        "ext3" | "ext4" => Some("noload"),
        "xfs" => Some("norecovery"),
        "btrfs" => Some("rescue=nologreplay"),
        "f2fs" => Some("norecovery"),
        "nilfs2" => Some("norecovery"),
        _ => None,
    }
}

/// The option of a file system that keeps it from a panic when its metadata is damaged. Only ext4's superblock can ask for
/// one (`tune2fs -e panic`, or `-E mount_opts`); of the others that have such an option none panics of itself.
/// "continue" rather than "remount-ro", since an error during a recovery, when ext4 writes, would have it fail every later
/// read of the volume. On a volume that is only read they are the same.
fn no_panic_option(fs_name: &str) -> &'static str {
    match fs_name {
        "ext2" | "ext3" | "ext4" => "errors=continue",
        _ => "",
    }
}

/// The disk as Linux's block layer shows it.
fn node(kernel: &Kernel, device: &BlockDevice) -> Result<OwnedFd, Errno> {
    const O_RDONLY_CLOEXEC: i32 = 0o2_000_000;
    let path = CName::new(device.dev_path()?.as_bytes())?;
    let node = call::openat(kernel, AT_FDCWD, &path, O_RDONLY_CLOEXEC)?;
    let node = OwnedFd::adopt(kernel.clone(), node);
    let mut first = [0u8; 512];
    // An unreadable disk is told from an unrecognised one.
    node.pread(&mut first, 0)?;
    Ok(node)
}

/// What a disk is padded to for a file system that reads its last block as a whole, bytes.
const WHOLE_PAGES: u64 = 4096;

/// Gives a disk what its file system needs beyond what a disk has: room to replay its journal, and padding.
fn make_room(device: &BlockDevice, superblock: &Superblock, recovery: bool) -> Result<(), Errno> {
    let given = device.options();
    let mut options = given;
    if recovery && given.overlay_limit.is_none() {
        options.overlay_limit = overlay_for(superblock);
    }
    // mksquashfs -nopad ends with its last byte, and Linux reads that in blocks of 1 KiB.
    if superblock.kind == Kind::Squashfs {
        let beyond = device.size_bytes()?.checked_rem(WHOLE_PAGES).unwrap_or(0);
        options.padding = match beyond {
            0 => given.padding,
            beyond => given.padding.max(WHOLE_PAGES.saturating_sub(beyond)),
        };
    }
    if options != given {
        device.restart(options)?;
    }
    Ok(())
}

/// The overlay for a journal that could not be replayed into the usual one: what is replayed is at most what the journal holds.
fn overlay_for(superblock: &Superblock) -> Option<u64> {
    // What file systems write besides: superblocks, the journal's own, XFS's clearing of 2 MiB.
    const BESIDES: u64 = 16 << 20;
    let wanted = superblock.journal_bytes?.saturating_add(BESIDES);
    (wanted > crate::disk::DEFAULT_OVERLAY).then_some(wanted)
}

/// One mount with one set of options.
fn attempt(
    kernel: &Kernel,
    device: &BlockDevice,
    name: &str,
    options: &[&str],
    quiet: Option<&str>,
) -> Result<OwnedFd, MountError> {
    let fail = |errno| MountError::new(Some(name), errno);
    one_disk::forget(kernel, name).map_err(fail)?;
    let mark = refusal::mark(kernel);
    let fs_name = CName::new(name.as_bytes()).map_err(fail)?;
    let fs = OwnedFd::adopt(kernel.clone(), call::fsopen(kernel, &fs_name).map_err(fail)?);
    let configured = configure(kernel, fs.number(), device, options, quiet)
        .and_then(|()| create(kernel, fs.number()))
        .and_then(|()| call::fsmount(kernel, fs.number(), CAREFUL));
    let tree = configured.map_err(|errno| {
        let said = messages(kernel, fs.number());
        let (line, unsupported) = refusal::reason(kernel, mark, &said);
        MountError {
            detail: match line {
                Some(line) if said.is_empty() || unsupported => line,
                _ => said,
            },
            cause: if unsupported {
                Cause::Unsupported
            } else {
                Cause::Other
            },
            ..fail(errno)
        }
    })?;
    let tree = OwnedFd::adopt(kernel.clone(), tree);
    match one_disk::prove(kernel, &tree, name, device) {
        Ok(()) => Ok(tree),
        // The tree goes, and is unmounted.
        Err((errno, why)) => Err(MountError {
            detail: owned(why),
            cause: Cause::Unsupported,
            ..fail(errno)
        }),
    }
}

/// Makes a superblock of this mount's own.
fn create(kernel: &Kernel, fs: Fd) -> Result<(), Errno> {
    match call::fsconfig_create_new(kernel, fs) {
        Err(Errno::EOPNOTSUPP) => call::fsconfig_create(kernel, fs),
        made => made,
    }
}

fn configure(
    kernel: &Kernel,
    fs: Fd,
    device: &BlockDevice,
    options: &[&str],
    quiet: Option<&str>,
) -> Result<(), Errno> {
    call::fsconfig_string(
        kernel,
        fs,
        &CName::new(b"source")?,
        &CName::new(device.dev_path()?.as_bytes())?,
    )?;
    call::fsconfig_flag(kernel, fs, &CName::new(b"ro")?)?;
    let options = options.iter().flat_map(|options| options.split(','));
    for option in options.chain(quiet).filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some((key, value)) => {
                let (key, value) = (CName::new(key.as_bytes())?, CName::new(value.as_bytes())?);
                call::fsconfig_string(kernel, fs, &key, &value)?;
            }
            None => call::fsconfig_flag(kernel, fs, &CName::new(option.as_bytes())?)?,
        }
    }
    Ok(())
}

/// What a file system said while it was configured: each read of its descriptor returns one message, "e text" for an
/// error, "w text" for a warning, until ENODATA.
fn messages(kernel: &Kernel, fs: Fd) -> String {
    let mut text: Vec<u8> = Vec::new();
    let Some(mut buffer) = try_zeroed(1024) else {
        return String::new();
    };
    for _ in 0..8 {
        let Ok(len @ 1..) = call::read(kernel, fs, &mut buffer) else {
            break;
        };
        let message = buffer.get(..len).unwrap_or(&[]);
        let message = message.get(2..).unwrap_or(message).trim_ascii_end();
        if text.try_reserve(message.len().saturating_add(1)).is_err() {
            break;
        }
        if !text.is_empty() {
            text.push(b'\n');
        }
        text.extend_from_slice(message);
    }
    String::from_utf8(text).unwrap_or_default()
}

/// A descriptor of the folder /proc/self/fd, of a procfs that is mounted nowhere; made when first wanted.
pub(crate) fn proc_fd(kernel: &Kernel) -> Result<Fd, Errno> {
    const O_PATH_DIRECTORY: i32 = 0o10_000_000 | 0o200_000 | 0o2_000_000;
    let shared = &kernel.inner.proc_fd;
    let known = shared.load(Ordering::Acquire);
    if known >= 0 {
        return Ok(known);
    }
    let fs = OwnedFd::adopt(kernel.clone(), call::fsopen(kernel, &CName::new(b"proc")?)?);
    call::fsconfig_create(kernel, fs.number())?;
    // This mount must follow links: its fd folder consists of them.
    let attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    let tree = OwnedFd::adopt(kernel.clone(), call::fsmount(kernel, fs.number(), attributes)?);
    let folder = call::openat(kernel, tree.number(), &CName::new(b"self/fd")?, O_PATH_DIRECTORY)?;
    match shared.compare_exchange(-1, folder, Ordering::AcqRel, Ordering::Acquire) {
        // The folder keeps its mount alive when `tree` is closed. It stays open until the kernel's end.
        Ok(_) => Ok(folder),
        Err(winner) => {
            // Another thread was faster.
            let _ = call::close(kernel, folder);
            Ok(winner)
        }
    }
}

/// A copy; empty for lack of memory, which is better than to die in an error path.
fn owned(text: &str) -> String {
    try_copy(text.as_bytes())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_default()
}

impl Mount {
    /// What kind of superblock was found, if any.
    pub fn kind(&self) -> Option<Kind> {
        self.superblock.as_ref().map(|superblock| superblock.kind)
    }
}
