//! What the driver holds: every object that must be given back before unload.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A kind of holding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub enum Kind {
    /// A pool block.
    Pool,
    /// An MDL from IoAllocateMdl or MmAllocatePagesForMdl.
    Mdl,
    /// Pages that an MDL holds locked.
    LockedPages,
    /// A system mapping of an MDL.
    Mapping,
    /// An IRP of the driver's own.
    Irp,
    /// An open handle.
    Handle,
    /// A system thread that still runs.
    Thread,
    /// A reference to an object that the driver took.
    Reference,
    /// A queued timer.
    Timer,
    /// A queued DPC.
    Dpc,
    /// A work item.
    WorkItem,
    /// An initialised ERESOURCE.
    Resource,
    /// An initialised lookaside list.
    Lookaside,
    /// A device object.
    Device,
    /// A symbolic link.
    SymbolicLink,
    /// A registration: file system, shutdown, notification.
    Registration,
    /// A cache map.
    CacheMap,
    /// A packet for the error log.
    ErrorLogEntry,
    /// Anything else.
    Other,
}

/// One holding.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Holding {
    /// Its kind.
    pub kind: Kind,
    /// Its address or handle.
    pub address: usize,
    /// Bytes, where that means something, else 0.
    pub bytes: usize,
    /// Tag, name, or other words that find the culprit.
    pub detail: String,
    /// The place in the driver that took it, and its callers as far as they are noted ([`note_callers`]).
    pub place: String,
}

struct Entry {
    bytes: usize,
    count: usize,
    /// Innermost first.
    places: Vec<usize>,
}

struct Ledger {
    /// In the order of kinds and addresses: each freed block asks whether it holds one of a few kinds ([`find_in`]).
    holdings: BTreeMap<(Kind, usize), (Entry, Option<String>)>,
    peaks: BTreeMap<Kind, (usize, usize)>,
    now: BTreeMap<Kind, (usize, usize)>,
}

static LEDGER: Mutex<Option<Ledger>> = Mutex::new(None);
/// How many places of each holding are noted.
static PLACES: AtomicUsize = AtomicUsize::new(1);

/// From now on so many callers are noted of each holding, which takes time: all of the driver's memory comes from one place of its
/// own.
pub fn note_callers(callers: usize) {
    PLACES.store(callers + 1, Ordering::Relaxed);
}

fn places() -> Vec<usize> {
    match PLACES.load(Ordering::Relaxed) {
        1 => vec![crate::ke::gate::caller()],
        most => {
            let mut places = crate::ke::gate::places();
            places.truncate(most);
            places
        }
    }
}

fn with<R>(act: impl FnOnce(&mut Ledger) -> R) -> R {
    let mut ledger = LEDGER.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    act(ledger.get_or_insert_with(|| Ledger {
        holdings: BTreeMap::new(),
        peaks: BTreeMap::new(),
        now: BTreeMap::new(),
    }))
}

/// The driver now holds `address`. A second holding of the same address counts up.
pub fn add(kind: Kind, address: usize, detail: impl Into<String>) {
    add_bytes(kind, address, 0, Some(detail.into()));
}

/// [`add`] for a holding of so many bytes; with no detail its place in the driver has to do.
pub fn add_bytes(kind: Kind, address: usize, bytes: usize, detail: Option<String>) {
    let places = places();
    with(|ledger| {
        let fresh = (
            Entry {
                bytes,
                count: 0,
                places,
            },
            detail,
        );
        ledger.holdings.entry((kind, address)).or_insert(fresh).0.count += 1;
        let now = ledger.now.entry(kind).or_default();
        now.0 += 1;
        now.1 += bytes;
        let now = *now;
        let peak = ledger.peaks.entry(kind).or_default();
        peak.0 = peak.0.max(now.0);
        peak.1 = peak.1.max(now.1);
    });
}

/// The driver gave `address` back. False: it did not hold it.
pub fn remove(kind: Kind, address: usize) -> bool {
    with(|ledger| {
        let Some((entry, _)) = ledger.holdings.get_mut(&(kind, address)) else {
            return false;
        };
        entry.count -= 1;
        let bytes = entry.bytes;
        if entry.count == 0 {
            ledger.holdings.remove(&(kind, address));
        }
        let now = ledger.now.entry(kind).or_default();
        now.0 -= 1;
        now.1 -= bytes;
        true
    })
}

/// The driver holds `address`.
pub fn holds(kind: Kind, address: usize) -> bool {
    with(|ledger| ledger.holdings.contains_key(&(kind, address)))
}

/// The first holding of a kind whose address lies in `range`.
pub fn find_in(kind: Kind, range: std::ops::Range<usize>) -> Option<usize> {
    with(|ledger| {
        let mut hits = ledger.holdings.range((kind, range.start)..(kind, range.end));
        hits.next().map(|((_, address), _)| *address)
    })
}

/// Count and bytes of a kind: now, and at their highest.
pub fn totals(kind: Kind) -> ((usize, usize), (usize, usize)) {
    with(|ledger| {
        let zero = (0, 0);
        (
            *ledger.now.get(&kind).unwrap_or(&zero),
            *ledger.peaks.get(&kind).unwrap_or(&zero),
        )
    })
}

/// Everything that is held, sorted by kind and address.
pub fn holdings() -> Vec<Holding> {
    let all: Vec<(Holding, Vec<usize>)> = with(|ledger| {
        let list = ledger.holdings.iter().map(|(&(kind, address), (entry, detail))| {
            let holding = Holding {
                kind,
                address,
                bytes: entry.bytes,
                detail: match (detail, entry.count) {
                    (Some(text), 1) => text.clone(),
                    (Some(text), count) => format!("{text} x{count}"),
                    (None, 1) => String::new(),
                    (None, count) => format!("x{count}"),
                },
                place: String::new(),
            };
            (holding, entry.places.clone())
        });
        list.collect()
    });
    // Not under the lock: images have one of their own.
    let named = all.into_iter().map(|(mut holding, places)| {
        let names: Vec<String> = places.into_iter().map(crate::loader::describe).collect();
        holding.place = names.join(" < ");
        holding
    });
    let mut named: Vec<Holding> = named.collect();
    named.sort_by_key(|holding| (holding.kind, holding.address));
    named
}

/// Stops when the driver left anything behind. The loader calls this after unload.
pub fn check_empty(driver: &str) {
    let left = holdings();
    if left.is_empty() {
        return;
    }
    let mut text = String::new();
    for holding in left.iter().take(40) {
        text += &format!(
            "\n      {:?} {:#x} {} bytes {} (from {})",
            holding.kind, holding.address, holding.bytes, holding.detail, holding.place
        );
    }
    crate::fail!(Leak, "{driver} left {} things behind:{text}", left.len());
}
