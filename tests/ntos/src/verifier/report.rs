//! The figures of a run, as data.

use super::ledger::{self, Holding, Kind};
use std::collections::BTreeMap;

/// Figures of one kind of holding.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Totals {
    /// How many are held now.
    pub count: usize,
    /// Their bytes.
    pub bytes: usize,
    /// The most that were held at a time.
    pub peak_count: usize,
    /// The most bytes at a time.
    pub peak_bytes: usize,
}

/// What the verifier knows.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Holdings by kind.
    pub totals: BTreeMap<Kind, Totals>,
    /// What is held now, one by one.
    pub holdings: Vec<Holding>,
    /// Calls of each import, without those never called.
    pub import_calls: BTreeMap<String, u64>,
    /// The deepest use of a kernel stack in bytes, by thread name; the driver's own frames and the gates' only.
    pub stack_high_water: BTreeMap<String, usize>,
}

/// Takes the figures.
pub fn report() -> Report {
    let kinds = [
        Kind::Pool,
        Kind::Mdl,
        Kind::LockedPages,
        Kind::Mapping,
        Kind::Irp,
        Kind::Handle,
        Kind::Thread,
        Kind::Reference,
        Kind::Timer,
        Kind::Dpc,
        Kind::WorkItem,
        Kind::Resource,
        Kind::Lookaside,
        Kind::Device,
        Kind::SymbolicLink,
        Kind::Registration,
        Kind::CacheMap,
        Kind::Other,
    ];
    let totals = kinds.into_iter().map(|kind| {
        let ((count, bytes), (peak_count, peak_bytes)) = ledger::totals(kind);
        (
            kind,
            Totals {
                count,
                bytes,
                peak_count,
                peak_bytes,
            },
        )
    });
    Report {
        totals: totals.collect(),
        holdings: ledger::holdings(),
        import_calls: crate::ke::gate::call_counts(),
        stack_high_water: crate::ke::stack::high_water_marks(),
    }
}
