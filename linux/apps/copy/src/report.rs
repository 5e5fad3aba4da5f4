//! What a run has to say: what it copies, what it leaves out, and what did not work.
//!
//! A run goes on after an entry that cannot be read or made, as cp and tar do, and ends with a failure then. Of very many
//! lines of one kind the first are printed, and the rest are counted.

use std::cell::RefCell;
use std::io::Write;

use lkl_session::exit::{Exit, Failure};
use lkl_session::program::Program;
use lkl_session::text::shown;

/// Lines of a kind that are printed.
const PRINTED: u64 = 20;

/// Where entries are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Nowhere.
    No,
    /// On standard output.
    Output,
    /// On standard error, since the output is an archive.
    Error,
}

/// The report of one run.
#[derive(Debug)]
pub struct Report {
    program: Program,
    listing: Listing,
    counts: RefCell<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    troubles: u64,
    worst: Option<Exit>,
    notes: Vec<(&'static str, u64)>,
}

impl Report {
    /// An empty one.
    pub fn new(program: Program, listing: Listing) -> Report {
        Report {
            program,
            listing,
            counts: RefCell::default(),
        }
    }

    /// An entry is being copied.
    pub fn entry(&self, path: &[u8]) {
        // What nothing can be written to needs no list.
        let _ = match self.listing {
            Listing::No => Ok(()),
            Listing::Output => writeln!(std::io::stdout(), "{}", shown(path)),
            Listing::Error => writeln!(std::io::stderr(), "{}", shown(path)),
        };
    }

    /// Something of an entry is left out, which is as it should be. `kind` stands for all of its kind.
    pub fn note(&self, path: &[u8], kind: &'static str) {
        let mut counts = self.counts.borrow_mut();
        let place = match counts.notes.iter().position(|(known, _)| *known == kind) {
            Some(place) => place,
            None => {
                counts.notes.push((kind, 0));
                counts.notes.len() - 1
            }
        };
        let Some((_, count)) = counts.notes.get_mut(place) else {
            return;
        };
        *count += 1;
        if *count <= PRINTED {
            self.program.note(format_args!("{}: {kind}", shown(path)));
        }
    }

    /// An entry is not copied, or not whole.
    pub fn trouble(&self, failure: &Failure) {
        let mut counts = self.counts.borrow_mut();
        counts.troubles += 1;
        counts.worst.get_or_insert(failure.exit);
        if counts.troubles <= PRINTED {
            eprintln!("{}: {failure}", self.program.name);
        }
    }

    /// The end: a failure, if there was trouble.
    pub fn finish(&self) -> Result<(), Failure> {
        let counts = self.counts.borrow();
        for (kind, count) in &counts.notes {
            if let Some(more) = count.checked_sub(PRINTED).filter(|more| *more > 0) {
                self.program.note(format_args!("{more} more: {kind}"));
            }
        }
        let Some(exit) = counts.worst else {
            return Ok(());
        };
        let (count, all) = (counts.troubles, "everything else is");
        Err(Failure::new(
            exit,
            match count {
                1 => format!("1 entry was not copied, or not whole; {all}"),
                count => format!("{count} entries were not copied, or not whole; {all}"),
            },
        ))
    }
}
