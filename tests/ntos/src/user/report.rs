//! What a machine's life left behind: leaks, writes, requests on their way, and figures.

use crate::cc::{cache, section, segment};
use crate::disk::Disk;
use crate::io::errorlog::{self, Event};
use crate::io::{harderror, ledger, mount, names};
use crate::nt::*;
use crate::pnp;
use crate::verifier;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A disk's figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskFigures {
    /// Read requests.
    pub reads: u64,
    /// Bytes asked for by them.
    pub bytes: u64,
    /// Write requests.
    pub writes: u64,
    /// The most reads under way at a time.
    pub deepest: u64,
}

/// The report of a machine that was shut down.
#[derive(Clone, Debug)]
pub struct Report {
    /// What went wrong while shutting down: volumes that cannot be dismounted, devices left.
    pub troubles: Vec<String>,
    /// What drivers hold: pool, handles, threads, references and so on, one line each.
    pub leaks: Vec<String>,
    /// IRPs that exist.
    pub irps: Vec<String>,
    /// Errors that were to be shown to the user.
    pub hard_errors: Vec<(NTSTATUS, String)>,
    /// What drivers told the event log.
    pub events: Vec<Event>,
    /// Figures of the disks, in their order.
    pub disks: Vec<DiskFigures>,
    /// Paging reads that the cache and sections sent.
    pub paging_reads: usize,
    /// Page faults that were tried again because memory was short.
    pub retried_faults: usize,
    /// The verifier's own report.
    pub verifier: verifier::Report,
}

impl Report {
    /// Nothing was left, nothing was written and no error was shown to the user.
    pub fn is_clean(&self) -> bool {
        let gone = self.troubles.is_empty() && self.leaks.is_empty() && self.irps.is_empty();
        gone && self.hard_errors.is_empty() && self.writes() == 0
    }

    /// Write requests to all disks.
    pub fn writes(&self) -> u64 {
        self.disks.iter().map(|disk| disk.writes).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for trouble in &self.troubles {
            writeln!(f, "unload: {trouble}")?;
        }
        for leak in &self.leaks {
            writeln!(f, "leak: {leak}")?;
        }
        for packet in &self.irps {
            writeln!(f, "leak: {packet}")?;
        }
        for (status, text) in &self.hard_errors {
            writeln!(f, "the user was shown an error: {} {text}", name(*status))?;
        }
        if self.writes() != 0 {
            writeln!(f, "{} write requests reached a disk", self.writes())?;
        }
        Ok(())
    }
}

/// Gathers everything.
pub(super) fn gather(disks: &[Arc<Disk>], troubles: Vec<String>) -> Report {
    let verifier = verifier::report();
    let mut leaks: Vec<String> = verifier
        .holdings
        .iter()
        .map(|h| {
            format!(
                "{:?} {:#x}, {} bytes, {} (from {})",
                h.kind, h.address, h.bytes, h.detail, h.place
            )
        })
        .collect();
    leaks.extend(section::outstanding());
    leaks.extend(
        names::links()
            .into_iter()
            .filter(|link| !pnp::is_interface(link))
            .map(|link| format!("symbolic link {link}")),
    );
    leaks.extend(
        mount::file_systems()
            .into_iter()
            .map(|system| format!("registered file system {system:#x}")),
    );
    if cache::count() != 0 {
        leaks.push(format!("{} cache maps", cache::count()));
    }
    let figures = |disk: &Arc<Disk>| DiskFigures {
        reads: disk.counts.reads.load(Ordering::Relaxed),
        bytes: disk.counts.bytes.load(Ordering::Relaxed),
        writes: disk.counts.writes.load(Ordering::Relaxed),
        deepest: disk.counts.deepest.load(Ordering::Relaxed),
    };
    Report {
        troubles,
        leaks,
        irps: ledger::outstanding(),
        hard_errors: harderror::take_shown(),
        events: errorlog::take_events(),
        disks: disks.iter().map(figures).collect(),
        paging_reads: segment::paging_reads(),
        retried_faults: segment::retried_faults(),
        verifier,
    }
}
