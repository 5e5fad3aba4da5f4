//! Every entry below a directory, once, parents before children, names in byte order.
//!
//! A volume may be damaged on purpose, so the walk trusts nothing: it refuses
//! a directory that is its own ancestor, a name that holds a separator, and goes on after an entry that cannot be
//! read, which it reports. It keeps at most [`KEPT`] directories open however deep the tree is, and finds an outer
//! one again by name when it comes back to it. What it keeps is bounded: names ([`MOST_BYTES`]), and numbers of
//! directories ([`KNOWN`]).

use std::collections::HashSet;

use crate::entries::{MOST_BYTES, Names, Trouble};
use crate::exit::{Exit, Failure};
use crate::volume::{Errno, Kind, Stat, Volume};
use crate::watchdog;
use lkl_session::program::Program;

/// How many directories on the way down stay open. Linux allows 1,024 files at a time, and other commands need some.
const KEPT: usize = 128;

/// How many directories are known again when they are met by another path.
const KNOWN: usize = 1 << 20;

/// In which order entries are met. Parents come before children in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By name in each directory, and what is below a directory right after it.
    Names,
    /// By the bytes of the whole path: `/a b` is met between `/a` and `/a/c`.
    Paths,
}

/// What the walk meets.
pub enum Step<'a, N> {
    /// An entry; the children of a directory follow.
    Entry {
        /// Its whole path, starting with `/`.
        path: &'a [u8],
        /// The object.
        node: &'a N,
        /// What the volume says about it.
        stat: &'a Stat,
    },
    /// All the children of the directory at `path` have been met.
    Leave {
        /// The directory's whole path.
        path: &'a [u8],
        /// What the volume says about it.
        stat: &'a Stat,
    },
    /// Something cannot be read.
    Damaged {
        /// Its whole path.
        path: &'a [u8],
        /// Why.
        trouble: Trouble,
    },
}

/// Is told what the walk meets, and ends it by a failure.
pub type Sink<'s, N> = dyn FnMut(Step<'_, N>) -> Result<(), Failure> + 's;

struct Frame<N> {
    node: Option<N>,
    stat: Stat,
    /// The directory's own name, for finding it again.
    name: Vec<u8>,
    children: Names,
    /// The number of the child that is met next.
    next: usize,
    /// Directories that were met and not entered yet, since names that begin like theirs come before what is in them:
    /// the innermost last. Only in the order of paths.
    waiting: Vec<(Vec<u8>, Stat)>,
    /// Length of the path of this directory, without a closing slash.
    path_length: usize,
}

impl<N> Frame<N> {
    /// Whether what is below the child `name` comes before the next child.
    fn is_due(&self, name: &[u8]) -> bool {
        let next = self.children.get(self.next);
        next.is_none_or(|next| next.iter().gt(name.iter().chain(b"/")))
    }
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It is met, and so is what is below it.
    Whole,
    /// It is met, and nothing below it.
    Alone,
    /// Neither is met.
    None,
}

/// Says what becomes of an entry: its whole path, and what the volume says about it.
pub type Choose<'s> = dyn FnMut(&[u8], &Stat) -> Choice + 's;

/// Walks the tree at `start`, whose path is `path` (`/` for the root), by names. Ends at the first failure that `sink`
/// returns, or when Linux has stopped.
pub fn walk<V: Volume>(
    volume: &V,
    start: V::Node,
    path: &[u8],
    sink: &mut Sink<'_, V::Node>,
) -> Result<(), Failure> {
    walk_in(Order::Names, volume, start, path, sink)
}

/// The same in a chosen order.
pub fn walk_in<V: Volume>(
    order: Order,
    volume: &V,
    start: V::Node,
    path: &[u8],
    sink: &mut Sink<'_, V::Node>,
) -> Result<(), Failure> {
    walk_chosen(order, volume, start, path, &mut |_, _| Choice::Whole, sink)
}

/// The same of what is chosen. The start is always met.
pub fn walk_chosen<V: Volume>(
    order: Order,
    volume: &V,
    start: V::Node,
    path: &[u8],
    choose: &mut Choose<'_>,
    sink: &mut Sink<'_, V::Node>,
) -> Result<(), Failure> {
    let stat = volume.stat(&start).map_err(|errno| volume.failure(path, errno))?;
    sink(Step::Entry {
        path,
        node: &start,
        stat: &stat,
    })?;
    if stat.kind != Kind::Directory {
        return Ok(());
    }
    let mut walk = Walk {
        volume,
        path: path.to_vec(),
        frames: Vec::new(),
        known: HashSet::new(),
        names: 0,
    };
    walk.enter(start, stat, Vec::new(), sink)?;
    walk.run(order, choose, sink)
}

struct Walk<'v, V: Volume> {
    volume: &'v V,
    /// Of what is met now.
    path: Vec<u8>,
    /// The directories on the way down.
    frames: Vec<Frame<V::Node>>,
    /// Those that have been entered.
    known: HashSet<(u64, u64)>,
    /// Bytes of the names in all frames.
    names: usize,
}

impl<V: Volume> Walk<'_, V> {
    fn run(
        &mut self,
        order: Order,
        choose: &mut Choose<'_>,
        sink: &mut Sink<'_, V::Node>,
    ) -> Result<(), Failure> {
        while let Some(frame) = self.frames.last_mut() {
            let (name, known) = match frame.waiting.pop() {
                Some((name, stat)) if frame.is_due(&name) => (name, Some(stat)),
                other => {
                    frame.waiting.extend(other);
                    let Some(name) = frame.children.get(frame.next) else {
                        self.leave(sink)?;
                        continue;
                    };
                    let name = name.to_vec();
                    frame.next += 1;
                    (name, None)
                }
            };
            self.path.truncate(frame.path_length);
            self.path.push(b'/');
            self.path.extend_from_slice(&name);
            watchdog::progress();

            let found = reopen(self.volume, &mut self.frames).and_then(|parent| {
                let node = self.volume.child(parent, &name)?;
                let stat = match &known {
                    Some(stat) => stat.clone(),
                    None => self.volume.stat(&node)?,
                };
                Ok((node, stat))
            });
            let (node, stat) = match found {
                Ok(found) => found,
                Err(errno) => {
                    damaged(self.volume, &self.path, errno.into(), sink)?;
                    continue;
                }
            };
            if known.is_none() {
                let choice = choose(&self.path, &stat);
                if choice == Choice::None {
                    continue;
                }
                if stat.kind == Kind::Directory && self.is_around(&stat) {
                    damaged(self.volume, &self.path, Errno::ELOOP.into(), sink)?;
                    continue;
                }
                sink(Step::Entry {
                    path: &self.path,
                    node: &node,
                    stat: &stat,
                })?;
                if choice == Choice::Alone && stat.kind == Kind::Directory {
                    let path = &self.path;
                    sink(Step::Leave { path, stat: &stat })?;
                    continue;
                }
            }
            if stat.kind != Kind::Directory {
                continue;
            }
            match self.frames.last_mut() {
                Some(frame) if order == Order::Paths && !frame.is_due(&name) => {
                    frame.waiting.push((name, stat));
                }
                _ => self.enter(node, stat, name, sink)?,
            }
        }
        Ok(())
    }

    /// Whether the walk is inside this directory.
    fn is_around(&self, stat: &Stat) -> bool {
        let around =
            |frame: &Frame<V::Node>| (frame.stat.device, frame.stat.inode) == (stat.device, stat.inode);
        self.frames.iter().any(around)
    }

    /// Goes into the directory at the path. One that cannot be listed, or only in part, is reported and has what was
    /// found. One that has been entered before is reported, too: in a damaged tree each level may lead twice to the next,
    /// and then there are more paths than anybody can wait for. (Empty ones may share a number: in cramfs they do.)
    fn enter(
        &mut self,
        node: V::Node,
        stat: Stat,
        name: Vec<u8>,
        sink: &mut Sink<'_, V::Node>,
    ) -> Result<(), Failure> {
        let room = MOST_BYTES.saturating_sub(self.names);
        let (mut children, mut trouble) = Names::of(self.volume, &node, room);
        if children.get(0).is_some() {
            let id = (stat.device, stat.inode);
            if self.known.contains(&id) {
                (children, trouble) = (Names::default(), Some(Trouble::Again));
            } else if self.known.len() < KNOWN {
                self.known.insert(id);
            }
        }
        if let Some(trouble) = trouble {
            damaged(self.volume, &self.path, trouble, sink)?;
        }
        self.names += children.size();
        if let Some(outer) = self.frames.len().checked_sub(KEPT).filter(|&outer| outer > 0) {
            self.frames[outer].node = None;
        }
        self.frames.push(Frame {
            node: Some(node),
            stat,
            name,
            children,
            next: 0,
            waiting: Vec::new(),
            // The root's path is a lone slash, which its children's paths already begin with.
            path_length: if self.path == b"/" { 0 } else { self.path.len() },
        });
        Ok(())
    }

    fn leave(&mut self, sink: &mut Sink<'_, V::Node>) -> Result<(), Failure> {
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        self.names -= frame.children.size();
        self.path.truncate(frame.path_length.max(1));
        sink(Step::Leave {
            path: &self.path,
            stat: &frame.stat,
        })
    }
}

/// The innermost directory, opened again from the nearest outer one that is still open.
fn reopen<'a, V: Volume>(volume: &V, frames: &'a mut [Frame<V::Node>]) -> Result<&'a V::Node, Errno> {
    let last = frames.len() - 1;
    if frames[last].node.is_none() {
        // The first frame is never closed.
        let open = frames.iter().rposition(|frame| frame.node.is_some()).unwrap_or(0);
        let mut found: Option<V::Node> = None;
        for index in open + 1..=last {
            let parent = found
                .as_ref()
                .or(frames[index - 1].node.as_ref())
                .ok_or(Errno::EIO)?;
            let child = volume.child(parent, &frames[index].name)?;
            // The walk comes back through these: half of what may be open is opened in one go.
            if index + KEPT / 2 > last {
                frames[index].node = Some(child);
                found = None;
            } else {
                found = Some(child);
            }
        }
    }
    frames[last].node.as_ref().ok_or(Errno::EIO)
}

fn damaged<V: Volume>(
    volume: &V,
    path: &[u8],
    trouble: Trouble,
    sink: &mut Sink<'_, V::Node>,
) -> Result<(), Failure> {
    if let Trouble::Errno(errno) = trouble
        && volume.is_dead()
    {
        return Err(volume.failure(path, errno));
    }
    sink(Step::Damaged { path, trouble })
}

/// Collects what could not be read during a walk, so that it is told at the end: the first few by path, then a count.
#[derive(Default)]
pub struct Damage {
    first: Vec<String>,
    count: u64,
    /// Those that this user may not read.
    denied: u64,
    /// Those for which there is no room.
    crowded: u64,
    /// Those that are encrypted.
    locked: u64,
}

impl Damage {
    /// How many paths are told by name.
    const NAMED: usize = 20;

    /// Notes one path.
    pub fn note(&mut self, path: &[u8], trouble: impl Into<Trouble>) {
        let trouble = trouble.into();
        self.count += 1;
        self.denied += u64::from(trouble == Trouble::Errno(Errno::EACCES));
        self.crowded += u64::from(trouble == Trouble::TooMany);
        self.locked += u64::from(trouble == Trouble::Errno(Errno::ENOKEY));
        if self.first.len() < Self::NAMED {
            self.first
                .push(format!("{}: {trouble}", crate::text::shown(path)));
        }
    }

    /// Prints each noted path on its own line of stderr and makes them one failure; nothing when all was readable.
    pub fn finish(self, program: &Program) -> Result<(), Failure> {
        if self.count == 0 {
            return Ok(());
        }
        for line in &self.first {
            eprintln!("{}: {line}", program.name);
        }
        let Damage {
            count,
            denied,
            crowded,
            locked,
            ..
        } = self;
        if denied == count {
            return Err(Failure::new(
                Exit::Rights,
                format_args!(
                    "{count} entries may not be read by this user; {}",
                    crate::exit::RUN_AS
                ),
            ));
        }
        if crowded == count {
            return Err(Failure::new(
                Exit::Other,
                format_args!(
                    "{count} directories have more names than fit into {} MiB; read what is below them one by one",
                    MOST_BYTES >> 20
                ),
            ));
        }
        if locked > 0 && locked + denied + crowded == count {
            return Err(Failure::new(
                Exit::Path,
                format_args!(
                    "{count} entries could not be read: {locked} are encrypted, and there is no key here"
                ),
            ));
        }
        Err(Failure::new(
            Exit::FileSystem,
            format_args!(
                "{count} entries could not be read; the file system is damaged, repair a copy of it"
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    fn paths(volume: &Memory) -> (Vec<String>, Vec<String>) {
        let (mut entries, mut bad) = (Vec::new(), Vec::new());
        let root = volume.root().unwrap();
        walk(volume, root, b"/", &mut |step| {
            match step {
                Step::Entry { path, .. } => entries.push(String::from_utf8_lossy(path).into_owned()),
                Step::Leave { .. } => {}
                Step::Damaged { path, trouble } => bad.push(format!(
                    "{} {}",
                    String::from_utf8_lossy(path),
                    match trouble {
                        Trouble::Errno(errno) => format!("{errno:?}"),
                        other => format!("{other:?}"),
                    }
                )),
            }
            Ok(())
        })
        .unwrap();
        (entries, bad)
    }

    #[test]
    fn meets_every_entry_once_in_order() {
        let mut volume = Memory::new();
        volume.add_file("/b/z", b"1");
        volume.add_file("/b/a", b"2");
        volume.add_file("/a.txt", b"3");
        volume.add_directory("/a");
        let (entries, bad) = paths(&volume);
        assert_eq!(entries, ["/", "/a", "/a.txt", "/b", "/b/a", "/b/z"]);
        assert!(bad.is_empty());
    }

    #[test]
    fn comes_back_from_a_depth_beyond_the_open_directories() {
        let mut volume = Memory::new();
        let mut deep = String::new();
        for level in 0..KEPT * 3 {
            volume.add_file(&format!("{deep}/z{level}"), b"x");
            deep.push_str("/d");
            volume.add_directory(&deep);
        }
        let (entries, bad) = paths(&volume);
        assert_eq!(entries.len(), 1 + KEPT * 3 * 2);
        assert!(bad.is_empty(), "{bad:?}");
        assert!(
            volume.most_open() < KEPT as u64 + 8,
            "{} nodes were open at once",
            volume.most_open()
        );
    }

    #[test]
    fn what_is_not_chosen_is_not_met() {
        let mut volume = Memory::new();
        for path in ["/a/x/deep", "/b/x", "/c"] {
            volume.add_file(path, b"");
        }
        let mut met = Vec::new();
        let root = volume.root().unwrap();
        let choose = &mut |path: &[u8], _: &Stat| match path {
            b"/a/x" => Choice::Alone,
            b"/b" => Choice::None,
            _ => Choice::Whole,
        };
        walk_chosen(Order::Names, &volume, root, b"/", choose, &mut |step| {
            match step {
                Step::Entry { path, .. } => met.push(String::from_utf8_lossy(path).into_owned()),
                Step::Leave { path, .. } => met.push(format!("leave {}", String::from_utf8_lossy(path))),
                Step::Damaged { .. } => panic!("nothing is damaged"),
            }
            Ok(())
        })
        .unwrap();
        let wanted = ["/", "/a", "/a/x", "leave /a/x", "leave /a", "/c", "leave /"];
        assert_eq!(met, wanted);
    }

    #[test]
    fn a_directory_inside_itself_is_reported_and_left() {
        let mut volume = Memory::new();
        volume.add_directory("/a/b");
        volume.add_hard_link("/a/b/again", "/a");
        let (entries, bad) = paths(&volume);
        assert_eq!(entries, ["/", "/a", "/a/b"]);
        assert_eq!(bad, ["/a/b/again ELOOP"]);
    }

    #[test]
    fn a_directory_that_never_ends_shows_what_it_has() {
        let mut volume = Memory::new();
        volume.add_file("/a/x", b"");
        volume.add_file("/a/y", b"");
        volume.never_ends("/a");
        let (entries, bad) = paths(&volume);
        assert_eq!(entries, ["/", "/a", "/a/x", "/a/y"]);
        assert_eq!(bad, ["/a Endless"]);
    }

    #[test]
    fn a_tree_with_more_paths_than_directories_is_walked_once() {
        let mut volume = Memory::new();
        let mut deep = String::new();
        for _ in 0..40 {
            volume.add_directory(&format!("{deep}/l"));
            volume.add_hard_link(&format!("{deep}/r"), &format!("{deep}/l"));
            deep.push_str("/l");
        }
        volume.add_file(&format!("{deep}/end"), b"");
        let (entries, bad) = paths(&volume);
        assert_eq!(entries.len(), 1 + 2 * 40 + 1);
        assert_eq!(bad.len(), 40);
        assert!(bad.iter().all(|line| line.ends_with(" Again")), "{bad:?}");
    }

    #[test]
    fn the_order_of_paths_is_that_of_their_bytes() {
        let mut volume = Memory::new();
        for path in [
            "/a/x", "/a b/y", "/a b c", "/a-/z/1", "/a-/z.", "/a.b", "/a0", "/b",
        ] {
            volume.add_file(path, b"");
        }
        let mut met = Vec::new();
        walk_in(Order::Paths, &volume, volume.root().unwrap(), b"/", &mut |step| {
            if let Step::Entry { path, .. } = step {
                met.push(path.to_vec());
            }
            Ok(())
        })
        .unwrap();
        let mut sorted = met.clone();
        sorted.sort();
        assert_eq!(met, sorted);
        assert_eq!(met.len(), 1 + 12);
    }

    #[test]
    fn what_this_user_may_not_read_is_not_called_damage() {
        for (errnos, exit, word) in [
            ([Errno::EACCES; 2], Exit::Rights, "administrator"),
            ([Errno::EACCES, Errno::EIO], Exit::FileSystem, "damaged"),
            ([Errno::EACCES, Errno::ENOKEY], Exit::Path, "encrypted"),
        ] {
            let mut damage = Damage::default();
            errnos.iter().for_each(|errno| damage.note(b"/a", *errno));
            let failure = damage.finish(&Program::new("walk")).unwrap_err();
            assert_eq!(failure.exit, exit);
            assert!(failure.message.contains(word), "{failure}");
        }
    }

    #[test]
    fn goes_on_after_something_unreadable() {
        let mut volume = Memory::new();
        volume.add_file("/a", b"1");
        volume.add_file("/b", b"2");
        volume.break_path("/a", Errno::EUCLEAN);
        let (entries, bad) = paths(&volume);
        assert_eq!(entries, ["/", "/b"]);
        assert_eq!(bad.len(), 1);
    }
}
