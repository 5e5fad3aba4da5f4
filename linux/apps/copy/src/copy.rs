//! A tree from one place to another: everything that a file is.
//!
//! Types, contents with their holes, owners, modes, times, extended attributes and access lists are kept, several names of one
//! file stay names of one file. Sockets are left out with a word: they stand for a program that listens. What is there already
//! under a name is replaced when its successor is complete; folders are merged, and get the attributes of the new one. A folder
//! gets its attributes when all is in it: they could forbid that, or change with it.

use std::collections::HashMap;

use lkl::{DeviceNumber, Timestamp};
use lkl_session::exit::{Exit, Failure};
use lkl_session::text::shown;
use lkl_session::watchdog;
use lkl_tree::volume::{Errno, Kind, Stat, Time, Volume, Xattr};
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
            _ => Refused::Entry(failure(Exit::Destination, "choose another destination")),
        }
    }

    /// The folder that entries are made in now, opened again if it was closed.
    fn folder(&mut self) -> Result<&D::Node, Errno> {
        let place = self.place;
        let Some(last) = self.state.frames.len().checked_sub(1) else {
            return Ok(&self.top);
        };
        let open = self.state.frames.iter().rposition(|frame| frame.node.is_some());
        for at in open.map_or(0, |open| open + 1)..=last {
            let name = self.state.frames[at].name.clone();
            let around = match at.checked_sub(1) {
                None => Some(&self.top),
                Some(outer) => self.state.frames[outer].node.as_ref(),
            };
            let node = place.child(around.ok_or(Errno::EIO)?, &name)?;
            self.state.frames[at].node = Some(node);
            // Only the innermost is needed of what is opened on the way.
            if let Some(outer) = at
                .checked_sub(1)
                .filter(|outer| *outer > 0 && last - outer > KEPT)
            {
                self.state.frames[outer].node = None;
            }
        }
        self.state.frames[last].node.as_ref().ok_or(Errno::EIO)
    }

    /// Goes into a folder, which is made if it is not there.
    fn enter(&mut self, path: &[u8], name: Option<&[u8]>, node: &S::Node) -> Result<(), Refused> {
        let gives_lists = self.state.gives_lists();
        let is_missing = self.state.frames.last().is_some_and(|frame| frame.is_missing);
        let mut frame = Frame {
            name: name.unwrap_or(b".").to_vec(),
            node: None,
            gives_lists,
            is_missing,
            xattrs: Vec::new(),
        };
        let mut entered = Ok(());
        if !is_missing {
            match self.source.xattrs(node) {
                Ok(xattrs) => frame.xattrs = xattrs,
                Err(errno) => entered = Err(Refused::Entry(self.source.failure(path, errno))),
            }
            match self.folder_of(name) {
                Ok((node, gives)) => {
                    frame.node = Some(node);
                    frame.gives_lists |= gives;
                    self.report.entry(path);
                }
                Err(errno) => {
                    frame.is_missing = true;
                    entered = Err(self.refused(path, errno));
                }
            }
        }
        if let Some(outer) = self.state.frames.len().checked_sub(KEPT)
            && let Some(outer) = self.state.frames.get_mut(outer)
        {
            outer.node = None;
        }
        self.state.frames.push(frame);
        entered
    }

    /// A folder of that name in the current one, or that one itself, and whether what is made in it gets access lists.
    fn folder_of(&mut self, name: Option<&[u8]>) -> Result<(D::Node, bool), Errno> {
        let place = self.place;
        let folder = self.folder()?;
        let made = match name {
            Some(name) => place.make_folder(folder, name),
            None => Err(Errno::EEXIST),
        };
        let node = place.child(folder, name.unwrap_or(b"."))?;
        match made {
            Ok(()) => Ok((node, false)),
            Err(Errno::EEXIST) if place.kind(&node)?.0 == Kind::Directory => {
                let gives = place.has_xattr(&node, acl::DEFAULT);
                Ok((node, gives))
            }
            Err(errno) => Err(errno),
        }
    }

    /// All is in a folder.
    fn leave(&mut self, path: &[u8], stat: &Stat) -> Result<(), Failure> {
        let is_missing = self.state.frames.last().is_none_or(|frame| frame.is_missing);
        let opened = if is_missing {
            Ok(())
        } else {
            self.folder().map(drop)
        };
        let frame = self.state.frames.pop();
        let dressed = match (opened, frame) {
            (Ok(()), Some(frame)) => match &frame.node {
                Some(node) => self.dress(path, node, stat, &frame.xattrs, frame.gives_lists),
                None => Ok(()),
            },
            (Err(errno), _) => Err(self.refused(path, errno)),
            (Ok(()), None) => Ok(()),
        };
        self.outcome(dressed)
    }

    /// Anything but a folder.
    fn make(&mut self, path: &[u8], name: &[u8], node: &S::Node, stat: &Stat) -> Result<(), Refused> {
        if stat.kind == Kind::Socket {
            self.report
                .note(path, "left out, a socket stands for a program that listens");
            return Ok(());
        }
        self.report.entry(path);
        let id = (stat.device, stat.inode);
        if stat.links > 1
            && let Some(first) = self.state.links.get(&id).cloned()
            && self.link_again(path, name, &first)?
        {
            return Ok(());
        }
        let draft = match stat.kind {
            Kind::File => self.file(path, name, node, stat)?,
            _ => self.special(path, name, node, stat)?,
        };
        let finished = self.finish(path, name, node, stat, &draft);
        if finished.is_err() {
            self.discard(&draft);
        } else if stat.links > 1 {
            self.remember(path, id, name);
        }
        finished
    }

    /// Dresses a draft and gives it its name.
    fn finish(
        &mut self,
        path: &[u8],
        name: &[u8],
        node: &S::Node,
        stat: &Stat,
        draft: &Draft<D::Node>,
    ) -> Result<(), Refused> {
        let xattrs = self
            .source
            .xattrs(node)
            .map_err(|errno| Refused::Entry(self.source.failure(path, errno)))?;
        let gives_lists = self.state.gives_lists();
        self.dress(path, &draft.node, stat, &xattrs, gives_lists)?;
        self.publish(draft, name)
            .map_err(|errno| self.refused(path, errno))
    }

    /// A file's contents, in a draft.
    fn file(
        &mut self,
        path: &[u8],
        own: &[u8],
        node: &S::Node,
        stat: &Stat,
    ) -> Result<Draft<D::Node>, Refused> {
        let unreadable = |errno| Refused::Entry(self.source.failure(path, errno));
        let file = self.source.open(node).map_err(unreadable)?;
        let place = self.place;
        let made = self
            .folder()
            .and_then(|folder| match place.create_unnamed(folder) {
                Some(node) => Ok((node, None)),
                None => place.create(folder, own).map(|node| (node, Some(own.to_vec()))),
            });
        let draft = match made {
            Ok((node, name)) => Draft { node, name },
            Err(Errno::EEXIST) => {
                let name = self.temporary_name();
                let free = self.replaceable(own);
                let made = free.and_then(|()| place.create(self.folder()?, &name));
                let node = made.map_err(|errno| self.refused(path, errno))?;
                Draft {
                    node,
                    name: Some(name),
                }
            }
            Err(errno) => return Err(self.refused(path, errno)),
        };
        match self.contents(path, &file, stat, &draft.node) {
            Ok(()) => Ok(draft),
            Err(refused) => {
                self.discard(&draft);
                Err(refused)
            }
        }
    }

    /// Copies what is in a file, and leaves out its holes.
    fn contents(&mut self, path: &[u8], file: &S::File, stat: &Stat, to: &D::Node) -> Result<(), Refused> {
        let (source, place) = (self.source, self.place);
        let unreadable = |errno| Refused::Entry(source.failure(path, errno));
        let has_holes = stat.blocks.saturating_mul(512) < stat.size;
        let mut at = 0;
        // What a file has been cut off by, or has grown by, while it is copied is no error.
        let mut end = stat.size;
        let mut written = 0;
        while at < end {
            let piece = match has_holes {
                false => at..end,
                true => match source.next_data(file, at).map_err(unreadable)? {
                    Some(piece) => piece.start..piece.end.min(end),
                    None => break,
                },
            };
            at = piece.start;
            while at < piece.end {
                self.interruption.check().map_err(Refused::All)?;
                let want = usize::try_from(piece.end - at).unwrap_or(CHUNK).min(CHUNK);
                let count = source
                    .read(file, at, &mut self.state.buffer[..want])
                    .map_err(unreadable)?;
                watchdog::progress();
                if count == 0 {
                    end = at;
                    break;
                }
                let bytes = &self.state.buffer[..count];
                place
                    .write(to, bytes, at)
                    .map_err(|errno| self.refused(path, errno))?;
                at += count as u64;
                written = at;
            }
        }
        if written < end {
            place
                .set_len(to, end)
                .map_err(|errno| self.refused(path, errno))?;
        }
        Ok(())
    }

    /// A link, a device or a FIFO.
    fn special(
        &mut self,
        path: &[u8],
        name: &[u8],
        node: &S::Node,
        stat: &Stat,
    ) -> Result<Draft<D::Node>, Refused> {
        let (place, kind) = (self.place, stat.kind);
        let target = match kind {
            Kind::Link => self
                .source
                .read_link(node)
                .map_err(|errno| Refused::Entry(self.source.failure(path, errno)))?,
            _ => Vec::new(),
        };
        let (major, minor) = stat.node_device;
        let make = |folder: &D::Node, name: &[u8]| match kind {
            Kind::Link => place.make_link(folder, name, &target),
            _ => place.make_node(folder, name, kind, DeviceNumber { major, minor }),
        };
        let made = match self.folder().and_then(|folder| make(folder, name)) {
            Ok(()) => Ok(name.to_vec()),
            Err(Errno::EEXIST) => {
                let temporary = self.temporary_name();
                let free = self.replaceable(name);
                free.and_then(|()| make(self.folder()?, &temporary))
                    .map(|()| temporary)
            }
            Err(errno) => Err(errno),
        };
        let found = made.and_then(|name| Ok((place.child(self.folder()?, &name)?, name)));
        let (node, name) = found.map_err(|errno| self.refused(path, errno))?;
        Ok(Draft {
            node,
            name: Some(name),
        })
    }

    /// Makes one more name of a file that was copied. False: that cannot be here, and a copy is made.
    fn link_again(&mut self, path: &[u8], name: &[u8], first: &[u8]) -> Result<bool, Refused> {
        let place = self.place;
        let file = match self.found(first) {
            Ok(file) => file,
            // Another program has taken it away.
            Err(_) => return Ok(false),
        };
        let linked = self.folder().and_then(|folder| place.link(folder, name, &file));
        let linked = match linked {
            Err(Errno::EEXIST) => {
                let temporary = self.temporary_name();
                self.replaceable(name).and_then(|()| {
                    let folder = self.folder()?;
                    place.link(folder, &temporary, &file)?;
                    let renamed = place.rename(folder, &temporary, name);
                    // Of two names of one file none is renamed, and both stay.
                    let _ = place.remove(folder, &temporary);
                    renamed
                })
            }
            linked => linked,
        };
        match linked {
            Ok(()) => Ok(true),
            Err(Errno::EMLINK | Errno::EPERM | Errno::EOPNOTSUPP) => {
                self.report
                    .note(path, "copied once more, it cannot have another name there");
                Ok(false)
            }
            Err(errno) => Err(self.refused(path, errno)),
        }
    }

    /// The object at a path from the top on.
    fn found(&self, path: &[u8]) -> Result<D::Node, Errno> {
        let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        let first = names.next().ok_or(Errno::ENOENT)?;
        let mut node = self.place.child(&self.top, first)?;
        for name in names {
            node = self.place.child(&node, name)?;
        }
        Ok(node)
    }

    /// Remembers the first name of a file with several, as long as there is room.
    fn remember(&mut self, path: &[u8], id: (u64, u64), name: &[u8]) {
        let mut place = Vec::new();
        for frame in &self.state.frames {
            place.extend_from_slice(&frame.name);
            place.push(b'/');
        }
        place.extend_from_slice(name);
        let bytes = place.len() + KNOWN_FILE;
        if bytes > self.state.room {
            self.report.note(
                path,
                "there are too many files with several names; each name becomes a file",
            );
            return;
        }
        self.state.room -= bytes;
        self.state.links.entry(id).or_insert(place);
    }

    /// Whether what has a name in the current folder may be replaced: anything but a folder.
    fn replaceable(&mut self, name: &[u8]) -> Result<(), Errno> {
        let place = self.place;
        let folder = self.folder()?;
        match place.child(folder, name).and_then(|node| place.kind(&node)) {
            Ok((Kind::Directory, _)) => Err(Errno::EISDIR),
            Ok(_) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn temporary_name(&mut self) -> Vec<u8> {
        self.state.temporary += 1;
        format!(".lklcopy-{}-{}", std::process::id(), self.state.temporary).into_bytes()
    }

    /// Gives a draft its final name, in place of what has it.
    fn publish(&mut self, draft: &Draft<D::Node>, name: &[u8]) -> Result<(), Errno> {
        let place = self.place;
        if draft.name.as_deref() == Some(name) {
            return Ok(());
        }
        let temporary = match &draft.name {
            Some(temporary) => temporary.clone(),
            None => match place.link(self.folder()?, name, &draft.node) {
                Err(Errno::EEXIST) => {
                    let temporary = self.temporary_name();
                    self.replaceable(name)?;
                    place.link(self.folder()?, &temporary, &draft.node)?;
                    temporary
                }
                linked => return linked,
            },
        };
        let folder = self.folder()?;
        place.rename(folder, &temporary, name).inspect_err(|_| {
            let _ = place.remove(folder, &temporary);
        })
    }

    /// Takes back what is not complete.
    fn discard(&mut self, draft: &Draft<D::Node>) {
        let place = self.place;
        if let (Some(name), Ok(folder)) = (&draft.name, self.folder()) {
            // It is reported already that something went wrong here.
            let _ = place.remove(folder, name);
        }
    }

    /// Gives a copy what its original has besides contents. In this order: Linux takes set-id bits and capabilities away when a
    /// file gets another owner, a mode may forbid attributes, and an access list changes the mode to what the original's is.
    fn dress(
        &mut self,
        path: &[u8],
        node: &D::Node,
        stat: &Stat,
        xattrs: &[Xattr],
        had_lists: bool,
    ) -> Result<(), Refused> {
        let place = self.place;
        if self.state.can_own {
            let uid = self.wishes.owner.unwrap_or(stat.uid);
            let gid = self.wishes.group.unwrap_or(stat.gid);
            match place.set_owner(node, uid, gid) {
                Ok(()) => {}
                Err(Errno::EPERM | Errno::EOPNOTSUPP) => {
                    self.report
                        .note(path, "its owner is not kept, the file system there has none");
                }
                Err(Errno::EINVAL | Errno::EOVERFLOW) => {
                    self.report
                        .note(path, "its owner is not kept, the number is too large there");
                }
                Err(errno) => return Err(self.refused(path, errno)),
            }
        }
        if had_lists {
            for name in [acl::ACCESS, acl::DEFAULT] {
                // It may have got none.
                let _ = place.remove_xattr(node, name);
            }
        }
        self.dress_with_xattrs(path, node, xattrs)?;
        if stat.kind != Kind::Link {
            match place.set_mode(node, stat.mode) {
                Ok(()) => {}
                Err(Errno::EPERM | Errno::EOPNOTSUPP) => {
                    self.report
                        .note(path, "its mode is not kept, the file system there cannot have it");
                }
                Err(errno) => return Err(self.refused(path, errno)),
            }
        }
        let time = |time: Time| Timestamp {
            sec: time.seconds,
            nsec: time.nanoseconds,
        };
        match place.set_times(node, time(stat.accessed), time(stat.modified)) {
            Ok(()) => Ok(()),
            Err(Errno::EINVAL | Errno::EPERM | Errno::EOPNOTSUPP) => {
                self.report.note(
                    path,
                    "its times are not kept, the file system there cannot have them",
                );
                Ok(())
            }
            Err(errno) => Err(self.refused(path, errno)),
        }
    }

    fn dress_with_xattrs(&mut self, path: &[u8], node: &D::Node, xattrs: &[Xattr]) -> Result<(), Refused> {
        const CONTEXT: &[u8] = b"security.selinux";
        let context = self.wishes.context.as_ref().map(|context| {
            let mut value = context.clone().into_bytes();
            value.push(0);
            value
        });
        let kept = xattrs
            .iter()
            .filter(|xattr| acl::is_kept(&xattr.name) && (context.is_none() || xattr.name != CONTEXT));
        // Access lists last: they may forbid the others.
        let (lists, others): (Vec<&Xattr>, Vec<&Xattr>) =
            kept.partition(|xattr| xattr.name.starts_with(b"system."));
        let all = others.iter().chain(&lists);
        let all = all.map(|xattr| (&xattr.name[..], &xattr.value[..]));
        for (name, value) in context
            .as_deref()
            .map(|value| (CONTEXT, value))
            .into_iter()
            .chain(all)
        {
            match self.place.set_xattr(node, name, value) {
                Ok(()) => {}
                Err(Errno::EOPNOTSUPP) => {
                    self.report.note(
                        path,
                        "an attribute is not kept, the file system there has none of its kind",
                    );
                }
                Err(Errno::EPERM | Errno::EACCES) => {
                    self.report
                        .note(path, "an attribute is not kept, this user may not set it");
                }
                Err(Errno::E2BIG | Errno::ERANGE | Errno::EINVAL) => {
                    self.report.note(
                        path,
                        "an attribute is not kept, it is too large or of no use there",
                    );
                }
                Err(Errno::ENOSPC) if value.len() > SMALL => {
                    // Some file systems keep all of a file's attributes in one block, and say so by this.
                    let failure = Failure::new(
                        Exit::Destination,
                        format_args!(
                            "{}: an attribute of {} bytes has no room in {}; make the file system with larger inodes, or another",
                            shown(path),
                            value.len(),
                            self.place_name
                        ),
                    );
                    self.report.trouble(&failure);
                }
                Err(errno) => return Err(self.refused(path, errno)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
