//! A tree from one place to another: everything that a file is.
//!
//! Types, contents with their holes, owners, modes, times, extended attributes and access lists are kept, several names of one
//! file stay names of one file. Sockets are left out with a word: they stand for a program that listens. What is there already
//! under a name is replaced when its successor is complete; folders are merged, and get the attributes of the new one. A folder
//! gets its attributes when all is in it: they could forbid that, or change with it.

use std::collections::HashMap;

use lkl_session::exit::{Exit, Failure};
use lkl_session::text::shown;
use lkl_session::watchdog;
use lkl_tree::volume::{Errno, Kind, Stat, Volume, Xattr};
use lkl_tree::walk::{Order, Step, walk_chosen};
use lkl_volume::Interruption;

use crate::archive::acl;
use crate::choice::Choices;
use crate::destination::Destination;
use crate::report::Report;

/// Bytes that are copied at a time.
const CHUNK: usize = 1 << 20;
/// Folders on the way down that stay open. A program may have 1,024 files open, as a rule.
const KEPT: usize = 128;
/// Bytes for the names of files that have several.
const KNOWN_FILES: usize = 256 << 20;
/// What one of them takes besides its path, about.
const KNOWN_FILE: usize = 96;
/// Bytes of an attribute that every file system has room for, unless it is full.
const SMALL: usize = 1024;

/// What the user says of the copies.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The owner of all; `None`: each has its own.
    pub owner: Option<u32>,
    /// The group of all.
    pub group: Option<u32>,
    /// The SELinux context of all.
    pub context: Option<String>,
}

mod dress;
mod entries;
mod folders;

/// A copy that is being made.
pub(crate) struct Copy<'a, S: Volume, D: Destination> {
    pub(crate) source: &'a S,
    pub(crate) place: &'a D,
    pub(crate) wishes: &'a Wishes,
    pub(crate) choices: &'a Choices,
    pub(crate) report: &'a Report,
    pub(crate) interruption: &'a Interruption,
    /// What the destination is called, for messages.
    pub(crate) place_name: &'a str,
    /// Where the copy begins; names below are relative to it.
    pub(crate) top: D::Node,
    state: State<D>,
}

struct State<D: Destination> {
    buffer: Vec<u8>,
    frames: Vec<Frame<D>>,
    /// The first copy of each file that has several names: the names from the top on.
    links: HashMap<(u64, u64), Vec<u8>>,
    room: usize,
    temporary: u64,
    can_own: bool,
    /// New entries of the top folder may get access lists from it.
    top_gives_lists: bool,
}

impl<D: Destination> State<D> {
    /// What is made in the current folder may get access lists from it.
    fn gives_lists(&self) -> bool {
        self.frames
            .last()
            .map_or(self.top_gives_lists, |frame| frame.gives_lists)
    }
}

/// A folder that is being filled.
struct Frame<D: Destination> {
    name: Vec<u8>,
    node: Option<D::Node>,
    /// New entries may get access lists from it.
    gives_lists: bool,
    /// It could not be made: what is below is left out.
    is_missing: bool,
    /// What it gets when all is in it.
    xattrs: Vec<Xattr>,
}

/// Why an entry was not made.
enum Refused {
    /// The run goes on.
    Entry(Failure),
    /// It does not.
    All(Failure),
}

/// A file that has its name when it is complete.
struct Draft<N> {
    node: N,
    /// What it is called until then; nothing, or its name.
    name: Option<Vec<u8>>,
}

impl<'a, S: Volume, D: Destination> Copy<'a, S, D> {
    #[allow(clippy::too_many_arguments)] // each is said once
    pub(crate) fn new(
        source: &'a S,
        place: &'a D,
        top: D::Node,
        place_name: &'a str,
        wishes: &'a Wishes,
        choices: &'a Choices,
        report: &'a Report,
        interruption: &'a Interruption,
    ) -> Self {
        Copy {
            source,
            place,
            wishes,
            choices,
            report,
            interruption,
            place_name,
            top,
            state: State {
                buffer: vec![0; CHUNK],
                frames: Vec::new(),
                links: HashMap::new(),
                room: KNOWN_FILES,
                temporary: 0,
                can_own: place.may_give(),
                top_gives_lists: false,
            },
        }
    }

    /// Copies the tree at `start`, whose path is `path` in the source: as the entry `name` of the top folder, or, without one, into
    /// that. What goes wrong with an entry is reported; a failure ends the run.
    pub(crate) fn tree(&mut self, start: S::Node, path: &[u8], name: Option<&[u8]>) -> Result<(), Failure> {
        let source = self.source;
        let fail = |errno| source.failure(path, errno);
        let device = match source.stat(&start) {
            Ok(stat) if name.is_none() && stat.kind != Kind::Directory => return Err(fail(Errno::ENOTDIR)),
            Ok(stat) => stat.device,
            Err(errno) => return Err(fail(errno)),
        };
        self.state.top_gives_lists = self.place.has_xattr(&self.top, acl::DEFAULT);
        let choices = self.choices;
        let base = if path == b"/" { 0 } else { path.len() };
        let mut choose = |at: &[u8], stat: &Stat| choices.choose(at.get(base..).unwrap_or(at), stat, device);
        walk_chosen(
            Order::Names,
            source,
            start,
            path,
            &mut choose,
            &mut |step| match step {
                Step::Entry { path: at, node, stat } => {
                    self.interruption.check()?;
                    watchdog::progress();
                    let own = if at == path {
                        name
                    } else {
                        at.rsplit(|byte| *byte == b'/').next()
                    };
                    self.entry(at, own, node, stat)
                }
                Step::Leave { path: at, stat } => self.leave(at, stat),
                Step::Damaged { path: at, trouble } => {
                    let failure = match trouble {
                        lkl_tree::entries::Trouble::Errno(errno) => self.source.failure(at, errno),
                        other => Failure::new(Exit::FileSystem, format_args!("{}: {other}", shown(at))),
                    };
                    self.unreadable(failure)
                }
            },
        )
    }

    /// Something of the source cannot be read. When Linux has stopped there is nothing else to be had.
    fn unreadable(&self, failure: Failure) -> Result<(), Failure> {
        if self.source.is_dead() {
            return Err(failure);
        }
        self.report.trouble(&failure);
        Ok(())
    }

    fn entry(
        &mut self,
        path: &[u8],
        name: Option<&[u8]>,
        node: &S::Node,
        stat: &Stat,
    ) -> Result<(), Failure> {
        let done = if stat.kind == Kind::Directory {
            self.enter(path, name, node)
        } else if self.state.frames.last().is_some_and(|frame| frame.is_missing) {
            return Ok(());
        } else {
            self.make(path, name.unwrap_or_default(), node, stat)
        };
        self.outcome(done)
    }

    /// Reports what the run goes on after.
    fn outcome(&self, done: Result<(), Refused>) -> Result<(), Failure> {
        match done {
            Ok(()) => Ok(()),
            Err(Refused::Entry(failure)) => self.unreadable(failure),
            Err(Refused::All(failure)) => Err(failure),
        }
    }

    /// What the destination has refused.
    fn refused(&self, path: &[u8], errno: Errno) -> Refused {
        let (place, path) = (self.place_name, shown(path));
        let failure = |exit, advice: &str| {
            Failure::new(
                exit,
                format_args!("{path}: not written to {place}: {errno}; {advice}"),
            )
        };
        match errno {
            Errno::ENOSPC | Errno::EDQUOT => Refused::All(failure(
                Exit::Destination,
                "what was copied before is whole; make room there, or copy less",
            )),
            Errno::EROFS | Errno::EIO | Errno::ENODEV | Errno::EUCLEAN => {
                Refused::All(failure(Exit::Destination, "check the disk and the file system"))
            }
            Errno::ENOMEM => Refused::All(failure(Exit::Other, "give Linux more with --memory")),
            Errno::EISDIR | Errno::ENOTDIR | Errno::EEXIST => Refused::Entry(failure(
                Exit::Destination,
                "a folder and something else have this name; remove one",
            )),
            Errno::EPERM | Errno::EACCES => Refused::Entry(failure(
                Exit::Destination,
                "this user or the file system cannot have it; choose another destination",
            )),
            Errno::EINVAL => Refused::Entry(failure(
                Exit::Destination,
                "that name cannot be there, or another entry has it in other case; choose another destination",
            )),
            _ => Refused::Entry(failure(Exit::Destination, "choose another destination")),
        }
    }
}

#[cfg(test)]
mod tests;
