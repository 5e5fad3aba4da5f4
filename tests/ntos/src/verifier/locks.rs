//! The lock-order graph: which lock was waited for while which was held.
//!
//! Nodes are lock addresses. An edge from A to B says that some thread held A when it took B in a way that may wait. A
//! cycle is a deadlock that only needs the right timing, and is reported at the edge that closes it. Memory that is
//! freed takes its nodes along.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    sync::Mutex,
};

/// What kind of lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum LockKind {
    /// KSPIN_LOCK, queued or not.
    Spin,
    /// FAST_MUTEX and guarded mutex.
    FastMutex,
    /// KMUTANT.
    Mutex,
    /// ERESOURCE.
    Resource,
    /// Push lock.
    PushLock,
}

/// A lock that a thread holds.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Its kind.
    pub kind: LockKind,
    /// Its address.
    pub address: usize,
    /// Taken exclusively.
    pub exclusive: bool,
    /// Where in the driver it was taken.
    pub place: usize,
}

impl Held {
    /// A lock that must be released before the function that took it returns to NT.
    pub fn short(&self) -> bool {
        !matches!(self.kind, LockKind::Resource)
    }

    /// A spin lock.
    pub fn spins(&self) -> bool {
        self.kind == LockKind::Spin
    }
}

#[derive(Default)]
struct Graph {
    /// From a lock to those taken under it, with the places of both.
    edges: BTreeMap<usize, HashMap<usize, (usize, usize)>>,
    /// From a lock to those under which it was taken.
    above: BTreeMap<usize, HashSet<usize>>,
}

static GRAPH: Mutex<Option<Graph>> = Mutex::new(None);

impl Graph {
    /// A path from `from` to `to`.
    fn path(&self, from: usize, to: usize) -> Option<Vec<usize>> {
        let mut seen = HashSet::from([from]);
        let mut stack = vec![vec![from]];
        while let Some(path) = stack.pop() {
            let last = *path.last()?;
            for &next in self.edges.get(&last).into_iter().flat_map(HashMap::keys) {
                if next == to {
                    let mut whole = path.clone();
                    whole.push(to);
                    return Some(whole);
                }
                if seen.insert(next) {
                    let mut longer = path.clone();
                    longer.push(next);
                    stack.push(longer);
                }
            }
        }
        None
    }
}

thread_local! {
    static CLOSING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Does `act`, a CLOSE that the cache manager or the memory manager sends from inside a call of the driver's. If the thread holds
/// a resource meanwhile, no resource may be waited for: the holder of that one may wait for the first.
pub fn closing<R>(held: &[Held], act: impl FnOnce() -> R) -> R {
    let holds = held.iter().any(|lock| lock.kind == LockKind::Resource);
    let before = CLOSING.replace(CLOSING.get() || holds);
    let result = act();
    CLOSING.set(before);
    result
}

/// The current thread is about to wait for a lock, holding `held`.
pub fn before_acquire(held: &[Held], kind: LockKind, address: usize) {
    if kind == LockKind::Resource && CLOSING.get() {
        crate::fail!(
            LockOrder,
            "a CLOSE that comes inside a call of the driver's, which holds a resource, waits for resource {address:#x}"
        );
    }
    if held.is_empty() || held.iter().any(|lock| lock.address == address) {
        return;
    }
    let place = crate::ke::gate::caller();
    let mut graph = GRAPH.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let graph = graph.get_or_insert_with(Graph::default);
    for lock in held {
        if graph
            .edges
            .get(&lock.address)
            .is_some_and(|next| next.contains_key(&address))
        {
            continue;
        }
        if let Some(path) = graph.path(address, lock.address) {
            let mut story = String::new();
            for pair in path.windows(2) {
                let &[first, second] = pair else { continue };
                if let Some((held_at, taken_at)) = graph.edges.get(&first).and_then(|next| next.get(&second))
                {
                    story += &format!(
                        "\n      earlier: {second:#x} taken at {} while {first:#x} was held from {}",
                        crate::loader::describe(*taken_at),
                        crate::loader::describe(*held_at)
                    );
                }
            }
            crate::fail!(
                LockOrder,
                "{kind:?} {address:#x} is taken while {:?} {:#x} (from {}) is held{story}",
                lock.kind,
                lock.address,
                crate::loader::describe(lock.place)
            );
        }
        graph
            .edges
            .entry(lock.address)
            .or_default()
            .insert(address, (lock.place, place));
        graph.above.entry(address).or_default().insert(lock.address);
    }
}

/// Memory went away, and the locks in it.
pub fn forget(range: Range<usize>) {
    let mut graph = GRAPH.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let Some(graph) = graph.as_mut() else { return };
    let mut gone: Vec<usize> = graph
        .edges
        .range(range.clone())
        .map(|(address, _)| *address)
        .collect();
    gone.extend(graph.above.range(range).map(|(address, _)| *address));
    for address in gone {
        for below in graph.edges.remove(&address).unwrap_or_default().into_keys() {
            graph
                .above
                .entry(below)
                .and_modify(|above| _ = above.remove(&address));
        }
        for above in graph.above.remove(&address).unwrap_or_default() {
            graph
                .edges
                .entry(above)
                .and_modify(|below| _ = below.remove(&address));
        }
    }
}
