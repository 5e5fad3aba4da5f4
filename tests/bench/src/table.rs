//! The table: what the first subject does in units a second, and for the others how many times that.

use std::collections::BTreeMap;
use std::fmt;

use crate::subject::{Kind, Started};
use crate::work::{Result as Measured, Work};

/// All measurements.
pub struct Table {
    kinds: &'static [Kind],
    works: &'static [Work],
    cells: BTreeMap<(Kind, Work), Vec<Measured>>,
    missing: BTreeMap<Kind, String>,
}

impl Table {
    /// An empty table of these columns and rows; the first column is what the others are compared with.
    pub fn new(kinds: &'static [Kind], works: &'static [Work]) -> Table {
        Table {
            kinds,
            works,
            cells: BTreeMap::new(),
            missing: BTreeMap::new(),
        }
    }

    /// Whether there is no measurement in it.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Keeps one measurement, or why there is none.
    pub fn put(&mut self, kind: Kind, work: Work, cell: anyhow::Result<Measured>) {
        match cell {
            Ok(measured) => self.cells.entry((kind, work)).or_default().push(measured),
            Err(error) => drop(self.missing.entry(kind).or_insert_with(|| format!("{error:#}"))),
        }
    }

    /// One row of medians: the first subject's figure, then ratios; bare figures when the first subject is missing.
    fn row(&self, f: &mut fmt::Formatter<'_>, work: Work, warm: bool) -> fmt::Result {
        let figure = |kind| {
            let pick = |measured: &Measured| if warm { measured.warm } else { measured.cold };
            median(self.cells.get(&(kind, work))?.iter().map(pick))
        };
        let state = if warm { "warm" } else { "cold" };
        write!(f, "{:<24}", format!("{} {state}", work.name()))?;
        let first = self.kinds.first().copied();
        let base = first.and_then(figure);
        for kind in self.kinds.iter().copied() {
            let text = match (figure(kind), base) {
                (None, _) => "-".to_owned(),
                (Some(figure), Some(base)) if Some(kind) != first => format!("{:.2} x", figure / base),
                (Some(figure), _) => format!("{figure:.0} {}", work.unit()),
            };
            write!(f, "{text:>20}")?;
        }
        writeln!(f)
    }

    /// One row about the start: the median over the processes.
    fn start(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        pick: impl Fn(&Started) -> Option<f64>,
    ) -> fmt::Result {
        write!(f, "{name:<24}")?;
        for kind in self.kinds.iter().copied() {
            let figures = self
                .works
                .iter()
                .filter_map(|work| self.cells.get(&(kind, *work)))
                .flatten()
                .filter_map(|measured| pick(&measured.started));
            match median(figures) {
                Some(median) => write!(f, "{median:>20.1}")?,
                None => write!(f, "{:>20}", "-")?,
            }
        }
        writeln!(f)
    }
}

/// The one in the middle, if there is any.
fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<24}", "")?;
        for kind in self.kinds {
            write!(f, "{:>20}", kind.name())?;
        }
        writeln!(f)?;
        for work in self.works {
            self.row(f, *work, false)?;
            self.row(f, *work, true)?;
        }
        if self
            .cells
            .values()
            .flatten()
            .any(|cell| cell.started.boot_ms.is_some())
        {
            self.start(f, "boot, ms", |started| started.boot_ms)?;
            self.start(f, "mount, ms", |started| started.mount_ms)?;
            self.start(f, "memory after it, MiB", |started| started.memory_mib)?;
        }
        for (kind, reason) in &self.missing {
            writeln!(f, "{}: {reason}", kind.name())?;
        }
        Ok(())
    }
}
