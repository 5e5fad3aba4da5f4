//! A file, folder or other entry that the kernel knows, and its place.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use lkl::OwnedFd;

use super::Absence;

/// What a file is in Linux: its device (as [`lkl_vfs::Devices`] has it) and its number.
pub type Identity = (u64, u64);

/// An entry that the kernel knows.
#[derive(Debug)]
pub struct Node {
    /// Its number.
    pub id: u64,
    pub(super) identity: Identity,
    pub(super) place: Mutex<Option<Place>>,
    pub(super) open: Mutex<Option<Arc<OwnedFd>>>,
    /// A descriptor for reading and writing that the kernel has open.
    handle: Mutex<Weak<OwnedFd>>,
    /// Whether it is known to have no default access list,
    pub default_list: Absence,
    /// and no capabilities.
    pub capabilities: Absence,
    /// It was used since it was last thought of closing it.
    pub(super) is_used: AtomicBool,
    /// How many want it to stay open.
    pub(super) pins: AtomicUsize,
    /// Its name went away; the node itself is one of the pins.
    pub(super) is_nameless: AtomicBool,
    /// How often the kernel has looked it up and not forgotten it. Changes under the lock of the table, as `children` does.
    pub(super) lookups: AtomicU64,
    /// Nodes whose place is in it.
    pub(super) children: AtomicUsize,
}

/// Where an entry is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) folder: Arc<Node>,
    pub(super) name: Arc<[u8]>,
}

impl Place {
    pub(super) fn is(&self, folder: &Arc<Node>, name: &[u8]) -> bool {
        Arc::ptr_eq(&self.folder, folder) && *self.name == *name
    }
}

/// Keeps a node open.
#[derive(Debug)]
pub struct Pin(pub(super) Arc<Node>);

impl Pin {
    pub(super) fn new(node: &Arc<Node>) -> Pin {
        node.pins.fetch_add(1, Ordering::AcqRel);
        Pin(Arc::clone(node))
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.pins.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Node {
    pub(super) fn new(id: u64, identity: Identity, place: Option<Place>) -> Arc<Node> {
        Arc::new(Node {
            id,
            identity,
            place: Mutex::new(place),
            open: Mutex::new(None),
            handle: Mutex::default(),
            default_list: Absence::default(),
            capabilities: Absence::default(),
            is_used: AtomicBool::new(false),
            pins: AtomicUsize::new(0),
            is_nameless: AtomicBool::new(false),
            lookups: AtomicU64::new(0),
            children: AtomicUsize::new(0),
        })
    }

    pub(super) fn place(&self) -> Option<Place> {
        lock(&self.place).clone()
    }

    pub(super) fn opened(&self) -> Option<Arc<OwnedFd>> {
        let open = lock(&self.open).clone();
        if open.is_some() {
            self.is_used.store(true, Ordering::Relaxed);
            return open;
        }
        lock(&self.handle).upgrade()
    }

    /// The kernel has it open by this descriptor, for reading and writing.
    pub fn is_open_as(&self, handle: &Arc<OwnedFd>) {
        *lock(&self.handle) = Arc::downgrade(handle);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
