//! What all threads that serve a mount share, and how a request is answered: in what time, with which words when it fails.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use fuser::{FileAttr, INodeNo, Notifier};
use lkl::{Errno, Kernel, OwnedFd, Statx};
use lkl_write::Users;

use crate::attributes::attributes;
use crate::handles::Handles;
use crate::nodes::{Node, Nodes, ROOT};
use crate::readers::Readers;

/// How long the kernel may believe what it was told: nothing else changes the volume.
const LONG: Duration = Duration::from_secs(1 << 24);

/// File systems that find a name by another spelling, and so may have two names for an entry, or find one that was just missing.
const MANY_SPELLINGS: [&str; 8] = [
    "vfat", "msdos", "exfat", "ntfs3", "hfs", "hfsplus", "affs", "adfs",
];

/// How a mount answers.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// How long a name is believed to lead where it was said to lead, or nowhere.
    pub names: Duration,
    /// How long attributes are believed.
    pub attributes: Duration,
    /// Whether the kernel is asked to keep what is written, for later.
    pub writeback: bool,
    /// Whether the kernel looks who may do what, access lists included.
    pub permissions: bool,
}

impl Manners {
    /// Those for a file system.
    pub fn new(fs_name: &str, is_writable: bool) -> Manners {
        let names = match is_writable && MANY_SPELLINGS.contains(&fs_name) {
            true => Duration::ZERO,
            false => LONG,
        };
        Manners {
            names,
            attributes: LONG,
            writeback: false,
            permissions: false,
        }
    }
}

/// What is served.
#[derive(Debug)]
pub struct Served {
    /// The files that the kernel knows.
    pub nodes: Nodes,
    /// Regular files that it has open.
    pub files: Handles,
    /// Folders that it has open.
    pub folders: Handles,
    /// In whose name files are made.
    pub users: Users,
    /// How requests are answered.
    pub manners: Manners,
    /// Whether files can have extended attributes.
    pub has_values: bool,
    /// The threads that answer.
    pub readers: Arc<Readers>,
    /// By which the kernel is told what has changed, once there is a mount.
    pub notifier: OnceLock<Notifier>,
    kernel: Kernel,
    /// Held for reading by each request; true once there are to be no more.
    is_closed: RwLock<bool>,
    has_told: AtomicBool,
    what: String,
}

impl Served {
    /// A volume by its root. `what` is what it is called in messages.
    pub fn new(root: OwnedFd, manners: Manners, threads: usize, what: String) -> Result<Served, Errno> {
        let kernel = root.kernel().clone();
        let has_values = ["user.a", "trusted.a", "security.a", "system.posix_acl_access"]
            .iter()
            .any(|name| !matches!(root.get_xattr(name.as_bytes()), Err(Errno::EOPNOTSUPP)));
        Ok(Served {
            nodes: Nodes::new(root)?,
            files: Handles::default(),
            folders: Handles::default(),
            users: Users::new(&kernel),
            manners,
            has_values,
            notifier: OnceLock::new(),
            readers: Arc::new(Readers::new(threads)),
            kernel,
            is_closed: RwLock::new(false),
            has_told: AtomicBool::new(false),
            what,
        })
    }

    /// Waits for the requests under way, and lets go of everything on the volume. Later requests fail.
    pub fn close(&self) {
        let mut is_closed = self.is_closed.write().unwrap_or_else(PoisonError::into_inner);
        *is_closed = true;
        self.files.clear();
        self.folders.clear();
        self.nodes.clear();
    }

    /// Answers a request, unless there are to be no more.
    pub fn answer<T>(&self, act: impl FnOnce() -> Result<T, Errno>) -> Result<T, fuser::Errno> {
        let is_closed = self.is_closed.read().unwrap_or_else(PoisonError::into_inner);
        if *is_closed {
            return Err(fuser::Errno::EIO);
        }
        act().map_err(|errno| self.refused(errno))
    }

    /// The error in the kernel's words.
    fn refused(&self, errno: Errno) -> fuser::Errno {
        if errno == Errno::ENODEV && self.notice_death() {
            return fuser::Errno::EIO;
        }
        fuser::Errno::from_i32(errno.number().into())
    }

    /// Whether Linux has died. It is said once, and the kernel then forgets what it was told, so that all that is asked of the mount
    /// comes here and fails.
    pub fn notice_death(&self) -> bool {
        if !self.kernel.is_dead() {
            return false;
        }
        if !self.has_told.swap(true, Ordering::Relaxed) {
            let (what, why) = (&self.what, last_words(&self.kernel.log()));
            tell(&format!(
                "{what}: Linux has stopped{why}, and everything there fails with EIO; unmount it, and check the file system"
            ));
            if let Some(notifier) = self.notifier.get().cloned() {
                let nodes = self.nodes.all();
                // The kernel waits for requests that are under way, this one perhaps.
                let _ = std::thread::Builder::new().spawn(move || forget_all(&notifier, &nodes));
            }
        }
        true
    }

    /// The node of this number, and its place in Linux.
    pub fn node(&self, number: u64) -> Result<(Arc<Node>, Arc<OwnedFd>), Errno> {
        let node = self.nodes.get(number)?;
        let open = self.nodes.open(&node)?;
        Ok((node, open))
    }

    /// Tells the kernel of an entry.
    pub fn entry(&self, folder: &Arc<Node>, name: &[u8], stat: &Statx) -> FileAttr {
        attributes(self.nodes.found(folder, name, stat), stat)
    }
}

/// Has the kernel forget attributes, names and pages. What is below an entry of the root goes with that.
fn forget_all(notifier: &Notifier, nodes: &[(u64, Option<Arc<[u8]>>)]) {
    for (number, _) in nodes {
        let _ = notifier.inval_inode(INodeNo(*number), -1, 0);
    }
    for name in nodes.iter().filter_map(|(_, name)| name.as_ref()) {
        let _ = notifier.inval_entry(INodeNo(ROOT), OsStr::from_bytes(name));
    }
    for (number, _) in nodes {
        let _ = notifier.inval_inode(INodeNo(*number), 0, 0);
    }
}

/// Why Linux stopped, in its own words, if they are in its log.
fn last_words(log: &[u8]) -> String {
    let log = String::from_utf8_lossy(log);
    let mut lines = log.lines().rev();
    let line = lines.find(|line| line.contains("Kernel panic") || line.contains("kernel BUG"));
    let words = line.map(|line| line.rsplit_once("] ").map_or(line, |(_, words)| words).trim());
    words.map(|words| format!(" ({words})")).unwrap_or_default()
}

/// Says something to who watches: on stderr, and in the system's log.
pub fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "lklfuse: {line}");
    log(line);
}

/// Says something in the system's log alone, since a daemon has no terminal.
pub fn log(line: &str) {
    if let Ok(log) = UnixDatagram::unbound() {
        // Facility daemon, severity error.
        let _ = log.send_to(
            format!("<27>lklfuse[{}]: {line}", std::process::id()).as_bytes(),
            "/dev/log",
        );
    }
}
