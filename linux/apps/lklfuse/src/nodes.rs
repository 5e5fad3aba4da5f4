//! The files that the host's kernel knows, by number.
//!
//! A node is a file, folder or other entry that the kernel has looked up and not forgotten. It knows a *place*, a folder and a
//! name, by which it can be opened, and is opened when it is wanted: the kernel remembers a hundred thousand files, and Linux
//! should not have to hold each. Those that were opened stay so, up to a number. A node whose name goes away (it is removed or
//! replaced) is opened first, and stays open: the kernel may have it open, and its number must not be given to another file.
//!
//! A file that the kernel has open for writing is used as it is open there, and need not be opened a second time.
//!
//! Places change under the lock of the table. A thread that follows one without it may find that it has changed meanwhile, and looks again.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use lkl::{DeviceNumber, Errno, OpenMode, OwnedFd, Statx};
use lkl_vfs::Devices;

mod absence;
mod node;

pub use absence::Absence;
pub use node::{Identity, Node, Pin};
use node::{Place, lock};

/// The number of the root, for FUSE.
pub const ROOT: u64 = 1;

/// Numbers from here on are made up: for files whose own cannot be used.
const MADE_UP: u64 = 1 << 62;

/// Nodes that stay open without need.
const MOST_OPEN: usize = 8192;

/// All of them.
#[derive(Debug)]
pub struct Nodes {
    root: Identity,
    devices: Devices,
    /// In which life of the volume this is, and what its root is on there. They change while no request is under way.
    life: AtomicU32,
    root_now: AtomicU64,
    table: RwLock<Table>,
    /// Those that are open, the oldest first.
    open: Mutex<VecDeque<Weak<Node>>>,
}

#[derive(Debug, Default)]
struct Table {
    nodes: HashMap<u64, Arc<Node>>,
    /// Numbers that were made up.
    made_up: HashMap<Identity, u64>,
    made: u64,
}

impl Nodes {
    /// The root alone.
    pub fn new(root: OwnedFd) -> Result<Nodes, Errno> {
        let stat = root.statx()?;
        let devices = Devices::new(stat.dev);
        let node = Node::new(ROOT, (devices.of(0, stat.dev, &stat), stat.ino), None);
        *lock(&node.open) = Some(Arc::new(root));
        node.pins.store(1, Ordering::Relaxed);
        let mut table = Table::default();
        table.nodes.insert(ROOT, Arc::clone(&node));
        Ok(Nodes {
            root: node.identity,
            devices,
            life: AtomicU32::new(0),
            root_now: AtomicU64::new(word(stat.dev)),
            table: RwLock::new(table),
            open: Mutex::default(),
        })
    }

    /// Lets go of all.
    pub fn clear(&self) {
        let table = std::mem::take(&mut *self.write());
        for node in table.nodes.values() {
            *lock(&node.open) = None;
            *lock(&node.place) = None;
        }
        lock(&self.open).clear();
    }

    /// The volume goes on in another Linux, where this is its root. No request is under way.
    pub fn go_on(&self, root: OwnedFd) -> Result<(), Errno> {
        let stat = root.statx()?;
        let table = self.write();
        for node in table.nodes.values() {
            *lock(&node.open) = None;
        }
        lock(&self.open).clear();
        if let Some(node) = table.nodes.get(&ROOT) {
            *lock(&node.open) = Some(Arc::new(root));
        }
        self.life.fetch_add(1, Ordering::Relaxed);
        self.root_now.store(word(stat.dev), Ordering::Relaxed);
        Ok(())
    }

    /// What a file is, in each life.
    pub fn identity(&self, stat: &Statx) -> Identity {
        let root = self.root_now.load(Ordering::Relaxed);
        if word(stat.dev) == root {
            return (self.root.0, stat.ino);
        }
        let life = self.life.load(Ordering::Relaxed);
        (self.devices.of(life, device(root), stat), stat.ino)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node of this number. ESTALE when there is none.
    pub fn get(&self, id: u64) -> Result<Arc<Node>, Errno> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.nodes.get(&id).cloned().ok_or(Errno::ESTALE)
    }

    /// The number that the kernel is told of a file. It is the file's own, where that can be.
    pub fn number(&self, stat: &Statx) -> u64 {
        self.number_of(self.identity(stat))
    }

    /// As [`Nodes::number`], of a file by its device and number in Linux.
    pub fn number_of(&self, identity: Identity) -> u64 {
        if identity == self.root {
            return ROOT;
        }
        if identity.0 == self.root.0 && identity.1 > ROOT && identity.1 < MADE_UP {
            return identity.1;
        }
        let mut table = self.write();
        if let Some(number) = table.made_up.get(&identity) {
            return *number;
        }
        let number = MADE_UP + table.made;
        table.made += 1;
        table.made_up.insert(identity, number);
        number
    }

    /// The kernel is told of an entry that was found in a folder. Its number.
    pub fn found(&self, folder: &Arc<Node>, name: &[u8], stat: &Statx) -> u64 {
        self.found_as(folder, name, self.identity(stat))
    }

    /// As [`Nodes::found`], of an entry that can be named and not looked at.
    pub fn found_as(&self, folder: &Arc<Node>, name: &[u8], identity: Identity) -> u64 {
        let number = self.number_of(identity);
        let mut table = self.write();
        let place = Place {
            folder: Arc::clone(folder),
            name: name.into(),
        };
        if let Some(node) = table.nodes.get(&number) {
            node.lookups.fetch_add(1, Ordering::Relaxed);
            if number != ROOT && !lock(&node.place).as_ref().is_some_and(|old| old.is(folder, name)) {
                let node = Arc::clone(node);
                table.settle(&node, Some(place));
            }
            return number;
        }
        folder.children.fetch_add(1, Ordering::Relaxed);
        let node = Node::new(number, identity, Some(place));
        node.lookups.store(1, Ordering::Relaxed);
        table.nodes.insert(number, node);
        number
    }

    /// All of them, by number; those that are entries of the root by their names, too.
    pub fn all(&self) -> Vec<(u64, Option<Arc<[u8]>>)> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let name = |node: &Node| node.place().filter(|place| place.folder.id == ROOT);
        let nodes = table.nodes.values();
        nodes
            .map(|node| (node.id, name(node).map(|place| place.name)))
            .collect()
    }

    /// The kernel has forgotten some lookups of a node.
    pub fn forget(&self, id: u64, count: u64) {
        let mut table = self.write();
        if let Some(node) = table.nodes.get(&id).cloned() {
            let left = node.lookups.load(Ordering::Relaxed).saturating_sub(count);
            node.lookups.store(left, Ordering::Relaxed);
            let gone = table.drop_unused(node);
            drop(table);
            // Closing is a call to Linux.
            drop(gone);
        }
    }

    /// The node's place in Linux's tree, as [`OpenMode::Path`].
    pub fn open(&self, node: &Arc<Node>) -> Result<Arc<OwnedFd>, Errno> {
        if let Some(open) = node.opened() {
            return Ok(open);
        }
        let open = self.by_name(node, |folder, name| {
            let open = folder.open_at(name, OpenMode::Path)?;
            let stat = open.statx()?;
            Ok((open, stat))
        })?;
        let open = Arc::new(open.0);
        self.keep(node, Arc::clone(&open));
        Ok(open)
    }

    /// What Linux says of the node.
    pub fn stat(&self, node: &Arc<Node>) -> Result<Statx, Errno> {
        if let Some(open) = node.opened() {
            return open.statx();
        }
        let stat = self.by_name(node, |folder, name| folder.statx_at(name).map(|stat| ((), stat)))?;
        Ok(stat.1)
    }

    /// Does something by the node's name that says what is there. ESTALE if that is another file.
    fn by_name<T>(
        &self,
        node: &Arc<Node>,
        act: impl Fn(&OwnedFd, &[u8]) -> Result<(T, Statx), Errno>,
    ) -> Result<(T, Statx), Errno> {
        loop {
            let Some(place) = node.place() else {
                // It may have been opened when its name went away.
                let open = node.opened().ok_or(Errno::ESTALE)?;
                return act(&open, b".").or(Err(Errno::ESTALE));
            };
            let folder = self.open(&place.folder)?;
            let refused = match act(&folder, &place.name) {
                Ok((value, stat)) if node.identity == self.identity(&stat) => return Ok((value, stat)),
                Ok(_) | Err(Errno::ENOENT | Errno::ENOTDIR) => Errno::ESTALE,
                Err(errno) => errno,
            };
            let is_same = node.place().is_some_and(|now| now.is(&place.folder, &place.name));
            if is_same && node.opened().is_none() {
                return Err(refused);
            }
        }
    }

    /// Opens a node and keeps it so.
    pub fn pin(&self, node: &Arc<Node>) -> Result<Pin, Errno> {
        let pin = Pin::new(node);
        let open = self.open(node)?;
        self.keep(node, open);
        Ok(pin)
    }

    /// Keeps a node open by this descriptor, unless it is kept open already.
    fn keep(&self, node: &Arc<Node>, open: Arc<OwnedFd>) {
        let mut kept = lock(&node.open);
        if kept.is_none() {
            *kept = Some(open);
            drop(kept);
            self.remember(node);
        }
    }

    /// The node of an entry, if the kernel knows it by this name: opened, before its name goes away or changes.
    pub fn pin_entry(&self, folder: &Arc<Node>, open: &OwnedFd, name: &[u8]) -> Result<Option<Pin>, Errno> {
        let entry = open.open_at(name, OpenMode::Path)?;
        let number = self.number(&entry.statx()?);
        match self.get(number) {
            Ok(node) if node.place().is_some_and(|place| place.is(folder, name)) => {
                let pin = Pin::new(&node);
                self.keep(&node, Arc::new(entry));
                Ok(Some(pin))
            }
            _ => Ok(None),
        }
    }

    /// The name of a node has gone away.
    pub fn removed(&self, folder: &Arc<Node>, name: &[u8], pin: &Pin) {
        let mut table = self.write();
        if pin.0.place().is_some_and(|place| place.is(folder, name)) {
            table.settle(&pin.0, None);
        }
    }

    /// A node has another name; `replaced` had it before.
    pub fn renamed(
        &self,
        (from_folder, from): (&Arc<Node>, &[u8]),
        (to_folder, to): (&Arc<Node>, &[u8]),
        (moved, replaced): (Option<&Pin>, Option<&Pin>),
        is_exchange: bool,
    ) {
        let mut table = self.write();
        let at = |folder: &Arc<Node>, name: &[u8]| Place {
            folder: Arc::clone(folder),
            name: name.into(),
        };
        let is_at = |pin: &Pin, folder: &Arc<Node>, name: &[u8]| {
            pin.0.place().is_some_and(|place| place.is(folder, name))
        };
        if let Some(pin) = replaced.filter(|pin| is_at(pin, to_folder, to)) {
            table.settle(&pin.0, is_exchange.then(|| at(from_folder, from)));
        }
        if let Some(pin) = moved.filter(|pin| is_at(pin, from_folder, from)) {
            table.settle(&pin.0, Some(at(to_folder, to)));
        }
    }

    /// Notes that a node is open, and closes others if there are too many.
    fn remember(&self, node: &Arc<Node>) {
        let mut closed = Vec::new();
        let mut open = lock(&self.open);
        open.push_back(Arc::downgrade(node));
        let mut left = 64;
        while open.len() > MOST_OPEN && left > 0 {
            left -= 1;
            let Some(oldest) = open.pop_front() else { break };
            let Some(node) = oldest.upgrade() else { continue };
            if node.pins.load(Ordering::Acquire) > 0 || node.is_used.swap(false, Ordering::Relaxed) {
                open.push_back(oldest);
            } else {
                closed.extend(lock(&node.open).take());
                // Who wanted it to stay open meanwhile opens it again.
            }
        }
        drop(open);
        drop(closed);
    }
}

fn word(device: DeviceNumber) -> u64 {
    u64::from(device.major) << 32 | u64::from(device.minor)
}

fn device(word: u64) -> DeviceNumber {
    DeviceNumber {
        major: (word >> 32) as u32,
        minor: word as u32,
    }
}

impl Table {
    /// Gives a node another place, or none.
    fn settle(&mut self, node: &Arc<Node>, place: Option<Place>) {
        let nameless = place.is_none();
        if let Some(place) = &place {
            place.folder.children.fetch_add(1, Ordering::Relaxed);
        }
        let old = std::mem::replace(&mut *lock(&node.place), place);
        if node.is_nameless.swap(nameless, Ordering::AcqRel) != nameless {
            match nameless {
                true => node.pins.fetch_add(1, Ordering::AcqRel),
                false => node.pins.fetch_sub(1, Ordering::AcqRel),
            };
        }
        if let Some(old) = old {
            old.folder.children.fetch_sub(1, Ordering::Relaxed);
            self.drop_unused(old.folder);
        }
    }

    /// Takes a node out if neither the kernel nor another node needs it, and then its folder, and so on. What was taken out.
    fn drop_unused(&mut self, node: Arc<Node>) -> Vec<Arc<Node>> {
        let mut gone = Vec::new();
        let mut next = Some(node);
        while let Some(node) = next.take() {
            let is_used =
                node.lookups.load(Ordering::Relaxed) > 0 || node.children.load(Ordering::Relaxed) > 0;
            if node.id == ROOT || is_used {
                break;
            }
            self.nodes.remove(&node.id);
            if node.id >= MADE_UP {
                self.made_up.remove(&node.identity);
            }
            if let Some(place) = lock(&node.place).take() {
                place.folder.children.fetch_sub(1, Ordering::Relaxed);
                next = Some(place.folder);
            }
            gone.push(node);
        }
        gone
    }
}
