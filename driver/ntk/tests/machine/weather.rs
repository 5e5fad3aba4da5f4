//! What happens to volumes, and which answers it excuses.
//!
//! A volume's troubles are spans: each has a beginning, which is noted before the act, and an end, noted when the volume has been seen
//! to be well again. A request may end otherwise than on a healthy volume only if a span overlaps with it, and only with the
//! statuses of that trouble; of troubles that last, it is enough that the span overlaps with the life of its handle.

use ntos::nt::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a volume suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Its disk was pulled out, or given away politely.
    Gone,
    /// It was dismounted under its handles.
    Dismounted,
    /// Linux died of it.
    Died,
    /// A polite removal is being decided.
    Asked,
    /// It is locked.
    Locked,
    /// Its disk cannot be read.
    Unreadable,
    /// Memory is short: for all volumes.
    Short,
    /// What the thread waits for may be cancelled.
    Cancelled,
}

const TROUBLES: [Trouble; 8] = [
    Trouble::Gone,
    Trouble::Dismounted,
    Trouble::Died,
    Trouble::Asked,
    Trouble::Locked,
    Trouble::Unreadable,
    Trouble::Short,
    Trouble::Cancelled,
];

impl Trouble {
    /// What was open stays hit.
    fn lasts(self) -> bool {
        matches!(self, Trouble::Gone | Trouble::Dismounted | Trouble::Died)
    }

    /// The statuses that requests may end with.
    fn statuses(self, opening: bool) -> &'static [NTSTATUS] {
        match (self, opening) {
            (Trouble::Gone, false) => &[
                STATUS_NO_SUCH_DEVICE,
                STATUS_VOLUME_DISMOUNTED,
                STATUS_IN_PAGE_ERROR,
                STATUS_NOTIFY_CLEANUP,
            ],
            (Trouble::Gone, true) => &[
                STATUS_NO_SUCH_DEVICE,
                STATUS_VOLUME_DISMOUNTED,
                STATUS_ACCESS_DENIED,
                STATUS_OBJECT_NAME_NOT_FOUND,
                STATUS_OBJECT_PATH_NOT_FOUND,
            ],
            (Trouble::Dismounted, false) => &[
                STATUS_VOLUME_DISMOUNTED,
                STATUS_IN_PAGE_ERROR,
                STATUS_NOTIFY_CLEANUP,
                STATUS_FILE_INVALID,
            ],
            (Trouble::Dismounted, true) => &[STATUS_VOLUME_DISMOUNTED, STATUS_ACCESS_DENIED],
            (Trouble::Died, false) => &[STATUS_NO_SUCH_DEVICE, STATUS_IN_PAGE_ERROR, STATUS_NOTIFY_CLEANUP],
            (Trouble::Died, true) => &[STATUS_NO_SUCH_DEVICE],
            (Trouble::Asked, false) => &[],
            (Trouble::Asked, true) => &[STATUS_ACCESS_DENIED, STATUS_NO_SUCH_DEVICE],
            (Trouble::Locked, false) => &[],
            (Trouble::Locked, true) => &[STATUS_ACCESS_DENIED],
            // A read of the volume itself ends with what the disk has said.
            (Trouble::Unreadable, false) => &[
                STATUS_IO_DEVICE_ERROR,
                STATUS_DEVICE_DATA_ERROR,
                STATUS_CRC_ERROR,
                STATUS_IN_PAGE_ERROR,
            ],
            (Trouble::Unreadable, true) => &[STATUS_IO_DEVICE_ERROR],
            (Trouble::Short, _) => &[STATUS_INSUFFICIENT_RESOURCES],
            (Trouble::Cancelled, _) => &[STATUS_CANCELLED],
        }
    }
}

/// Some troubles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Troubles(u8);

impl Troubles {
    #[cfg(test)]
    pub fn of(list: &[Trouble]) -> Troubles {
        Troubles(list.iter().map(|trouble| 1 << *trouble as u8).sum())
    }

    /// Those of either.
    pub fn and(self, other: Troubles) -> Troubles {
        Troubles(self.0 | other.0)
    }

    fn only(self, wanted: impl Fn(Trouble) -> bool) -> Troubles {
        let kept = TROUBLES.iter().filter(|trouble| wanted(**trouble));
        Troubles(self.0 & kept.map(|trouble| 1 << *trouble as u8).sum::<u8>())
    }

    /// Whether one of them is the reason that a request ends with `status`.
    pub fn excuse(self, status: NTSTATUS, opening: bool) -> bool {
        let active = TROUBLES
            .iter()
            .filter(|trouble| self.0 & 1 << **trouble as u8 != 0);
        active
            .flat_map(|trouble| trouble.statuses(opening))
            .any(|allowed| *allowed == status)
    }

    /// The volume may have been mounted afresh.
    pub fn tells_of_another_mount(self) -> bool {
        self.only(Trouble::lasts).0 != 0 || self.0 & 1 << Trouble::Asked as u8 != 0
    }

    /// There are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::fmt::Display for Troubles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let active = TROUBLES
            .iter()
            .filter(|trouble| self.0 & 1 << **trouble as u8 != 0);
        f.debug_list().entries(active).finish()
    }
}

/// The spans of one volume, or of one thread.
#[derive(Debug, Default)]
pub struct Spans {
    begun: [AtomicU32; TROUBLES.len()],
    ended: [AtomicU32; TROUBLES.len()],
}

/// A moment in the life of a volume.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment([u32; TROUBLES.len()]);

impl Spans {
    /// A span begins.
    pub fn begin(&self, trouble: Trouble) {
        self.begun[trouble as usize].fetch_add(1, Ordering::SeqCst);
    }

    /// It ends.
    pub fn end(&self, trouble: Trouble) {
        self.ended[trouble as usize].fetch_add(1, Ordering::SeqCst);
    }

    /// What was feared has not come: it is as if the span had not begun.
    pub fn retract(&self, trouble: Trouble) {
        self.begun[trouble as usize].fetch_sub(1, Ordering::SeqCst);
    }

    /// This moment.
    pub fn now(&self) -> Moment {
        Moment(std::array::from_fn(|at| self.ended[at].load(Ordering::SeqCst)))
    }

    /// The troubles whose spans overlap with the time since then.
    pub fn since(&self, then: Moment) -> Troubles {
        let overlap = |trouble: &&Trouble| {
            let at = **trouble as usize;
            self.begun[at].load(Ordering::SeqCst) != then.0[at]
        };
        Troubles(
            TROUBLES
                .iter()
                .filter(overlap)
                .map(|trouble| 1 << *trouble as u8)
                .sum(),
        )
    }

    /// The troubles of a request that began at one moment, on a handle that was opened at another.
    pub fn of_request(&self, opened: Moment, began: Moment) -> Troubles {
        let lasting = self.since(opened).only(Trouble::lasts);
        lasting.and(self.since(began))
    }
}

#[test]
fn a_span_hits_what_overlaps_with_it_and_nothing_else() {
    let spans = Spans::default();
    let early = spans.now();
    spans.begin(Trouble::Dismounted);
    spans.begin(Trouble::Unreadable);
    let meanwhile = spans.now();
    spans.end(Trouble::Dismounted);
    spans.end(Trouble::Unreadable);
    let late = spans.now();
    let both = Troubles::of(&[Trouble::Dismounted, Trouble::Unreadable]);
    assert_eq!(spans.since(early), both);
    assert_eq!(spans.since(meanwhile), both);
    assert!(spans.since(late).is_empty());
    // A request afterwards on a handle of before.
    assert_eq!(
        spans.of_request(early, late),
        Troubles::of(&[Trouble::Dismounted])
    );
    assert!(spans.of_request(late, late).is_empty());
    spans.begin(Trouble::Gone);
    spans.retract(Trouble::Gone);
    assert!(spans.of_request(late, late).is_empty());
}
