//! What all threads that serve a mount share, and how a request is answered: in what time, with which words when it fails.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use fuser::{FileAttr, INodeNo, Notifier};
use lkl::{Errno, Kernel, OpenMode, OwnedFd, Statx};
use lkl_session::session::last_words;
use lkl_write::Users;

use crate::attributes::attributes;
use crate::handles::Handles;
use crate::nodes::{Node, Nodes, ROOT};
use crate::readers::Readers;
use crate::revival::Revival;

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
    /// By which it goes on when Linux dies, if it is only read.
    revival: Option<Revival>,
    /// Held for reading by each request.
    state: RwLock<State>,
    has_told: AtomicBool,
    what: String,
}

#[derive(Debug)]
struct State {
    /// The Linux that the volume is mounted in.
    kernel: Kernel,
    /// There are to be no more requests.
    is_closed: bool,
}

/// How many deaths of Linux a request lives through. It only reads, so that it is done again.
const DEATHS: u32 = 3;

impl Served {
    /// A volume by its root. `what` is what it is called in messages.
    pub fn new(
        root: OwnedFd,
        manners: Manners,
        threads: usize,
        what: String,
        revival: Option<Revival>,
    ) -> Result<Served, Errno> {
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
            revival,
            state: RwLock::new(State {
                kernel,
                is_closed: false,
            }),
            has_told: AtomicBool::new(false),
            what,
        })
    }

    /// Waits for the requests under way, and lets go of everything on the volume. Later requests fail.
    pub fn close(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.is_closed = true;
        self.files.clear();
        self.folders.clear();
        self.nodes.clear();
        if let Some(revival) = &self.revival {
            revival.unmount();
        }
    }

    /// Answers a request, unless there are to be no more. It is done again when Linux has died meanwhile and the volume goes on.
    pub fn answer<T>(&self, mut act: impl FnMut() -> Result<T, Errno>) -> Result<T, fuser::Errno> {
        for _ in 0..=DEATHS {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            if state.is_closed {
                return Err(fuser::Errno::EIO);
            }
            let was_dead = state.kernel.is_dead();
            match act() {
                Err(Errno::ENODEV) if state.kernel.is_dead() => {
                    let dead = state.kernel.clone();
                    drop(state);
                    self.go_on(&dead, was_dead)?;
                }
                // It was open on what could not be opened again.
                Err(Errno::ENODEV) if self.revival.is_some() => return Err(fuser::Errno::EIO),
                Err(errno) => return Err(fuser::Errno::from_i32(errno.number().into())),
                Ok(answer) => return Ok(answer),
            }
        }
        Err(fuser::Errno::EIO)
    }

    /// Has the volume go on in another Linux, for a request that found this one dead, or saw it die.
    fn go_on(&self, dead: &Kernel, was_dead: bool) -> Result<(), fuser::Errno> {
        let revival = self.revival.as_ref().filter(|revival| revival.is_possible());
        let Some(revival) = revival else {
            self.notice_death();
            return Err(fuser::Errno::EIO);
        };
        let done = match was_dead || revival.does_again(dead) {
            true => self.mount_again(revival),
            false => Err(Errno::ENODEV),
        };
        if done.is_err() && revival.is_over() {
            self.forget();
        }
        done.map_err(|_| fuser::Errno::EIO)
    }

    /// Waits for the requests under way, mounts the volume in another Linux, and opens there what is open.
    fn mount_again(&self, revival: &Revival) -> Result<(), Errno> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.is_closed || !state.kernel.is_dead() {
            // Another request has seen to it.
            return Ok(());
        }
        let root = revival.mount()?;
        let kernel = root.kernel().clone();
        self.nodes.go_on(root)?;
        let open = |node: &Arc<Node>, mode| self.nodes.open(node)?.reopen(mode);
        self.files.open_again(|node| open(node, OpenMode::Read));
        self.folders.open_again(|node| open(node, OpenMode::Directory));
        state.kernel = kernel;
        Ok(())
    }

    /// Sees whether Linux has died for good. It is said once, and the kernel then forgets what it was told.
    pub fn notice_death(&self) {
        if self.revival.as_ref().is_some_and(Revival::is_possible) {
            // The next request sees to it.
            return;
        }
        // While this waits, a request would not: one that is to be the last does.
        let Ok(state) = self.state.try_read() else { return };
        if state.kernel.is_dead() && !self.has_told.load(Ordering::Relaxed) {
            let (what, why) = (&self.what, last_words(&state.kernel.log()));
            if self.forget() {
                tell(&format!(
                    "{what}: Linux has stopped{why}, and everything there fails with EIO; unmount it, and check the file system"
                ));
            }
        }
    }

    /// Has the kernel forget what it was told, so that all that is asked of the mount comes here and fails. False: it has been told.
    fn forget(&self) -> bool {
        if self.has_told.swap(true, Ordering::Relaxed) {
            return false;
        }
        if let Some(notifier) = self.notifier.get().cloned() {
            let nodes = self.nodes.all();
            // The kernel waits for requests that are under way, this one perhaps.
            let _ = std::thread::Builder::new().spawn(move || forget_all(&notifier, &nodes));
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
