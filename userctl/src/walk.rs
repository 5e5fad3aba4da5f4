//! Every entry below a directory, once, parents before children, names in byte order.
//!
//! Used by `manifest`, `ls -R` and `cp -r`. A volume may be damaged on purpose, so the walk trusts nothing: it refuses
//! a directory that is its own ancestor, a name that holds a separator, and goes on after an entry that cannot be
//! read, which it reports. It keeps at most [`KEPT`] directories open however deep the tree is, and finds an outer
//! one again by name when it comes back to it.

use crate::exit::{Exit, Failure};
use crate::volume::{Errno, Kind, Stat, Volume};
use crate::watchdog;

/// How many directories on the way down stay open. Linux allows 1,024 files at a time, and other commands need some.
const KEPT: usize = 128;

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
        errno: Errno,
    },
}

/// Is told what the walk meets, and ends it by a failure.
pub type Sink<'s, N> = dyn FnMut(Step<'_, N>) -> Result<(), Failure> + 's;

struct Frame<N> {
    node: Option<N>,
    stat: Stat,
    /// The directory's own name, for finding it again.
    name: Vec<u8>,
    children: std::vec::IntoIter<Vec<u8>>,
    /// Length of the path of this directory, without a closing slash.
    path_length: usize,
}

/// Walks the tree at `start`, whose path is `path` (`/` for the root). Ends at the first failure that `sink` returns,
/// or when Linux has stopped.
pub fn walk<V: Volume>(
    volume: &V,
    start: V::Node,
    path: &[u8],
    sink: &mut Sink<'_, V::Node>,
) -> Result<(), Failure> {
    let mut path = path.to_vec();
    let stat = volume
        .stat(&start)
        .map_err(|errno| volume.failure(&path, errno))?;
    sink(Step::Entry {
        path: &path,
        node: &start,
        stat: &stat,
    })?;
    if stat.kind != Kind::Directory {
        return Ok(());
    }
    let children = names(volume, &start, &path, sink)?;
    // The root's path is a lone slash, which its children's paths already begin with.
    let path_length = if path == b"/" { 0 } else { path.len() };
    let mut frames = vec![Frame {
        node: Some(start),
        stat,
        name: Vec::new(),
        children,
        path_length,
    }];

    while let Some(frame) = frames.last_mut() {
        let Some(name) = frame.children.next() else {
            path.truncate(frame.path_length.max(1));
            sink(Step::Leave {
                path: &path,
                stat: &frame.stat,
            })?;
            frames.pop();
            continue;
        };
        path.truncate(frame.path_length);
        path.push(b'/');
        path.extend_from_slice(&name);
        watchdog::progress();

        let found = reopen(volume, &mut frames).and_then(|parent| {
            let node = volume.child(parent, &name)?;
            let stat = volume.stat(&node)?;
            Ok((node, stat))
        });
        let (node, stat) = match found {
            Ok(found) => found,
            Err(errno) => {
                damaged(volume, &path, errno, sink)?;
                continue;
            }
        };
        if stat.kind == Kind::Directory
            && frames
                .iter()
                .any(|frame| (frame.stat.device, frame.stat.inode) == (stat.device, stat.inode))
        {
            damaged(volume, &path, Errno::ELOOP, sink)?;
            continue;
        }
        sink(Step::Entry {
            path: &path,
            node: &node,
            stat: &stat,
        })?;
        if stat.kind == Kind::Directory {
            let children = names(volume, &node, &path, sink)?;
            if let Some(outer) = frames.len().checked_sub(KEPT).filter(|&outer| outer > 0) {
                frames[outer].node = None;
            }
            frames.push(Frame {
                node: Some(node),
                stat,
                name,
                children,
                path_length: path.len(),
            });
        }
    }
    Ok(())
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

/// The names in a directory, sorted. A directory that cannot be listed is reported and has none.
fn names<V: Volume>(
    volume: &V,
    node: &V::Node,
    path: &[u8],
    sink: &mut Sink<'_, V::Node>,
) -> Result<std::vec::IntoIter<Vec<u8>>, Failure> {
    let mut names = match volume.list(node) {
        Ok(names) => names,
        Err(errno) => {
            damaged(volume, path, errno, sink)?;
            Vec::new()
        }
    };
    names.sort_unstable();
    // A damaged directory can hold a name twice; opened by name, the second would be the first again.
    names.dedup();
    names.retain(|name| !name.is_empty() && !name.contains(&b'/') && !name.contains(&0));
    Ok(names.into_iter())
}

fn damaged<V: Volume>(
    volume: &V,
    path: &[u8],
    errno: Errno,
    sink: &mut Sink<'_, V::Node>,
) -> Result<(), Failure> {
    if volume.is_dead() {
        return Err(volume.failure(path, errno));
    }
    sink(Step::Damaged { path, errno })
}

/// Collects what could not be read during a walk, so that it is told at the end: the first few by path, then a count.
#[derive(Default)]
pub struct Damage {
    first: Vec<String>,
    count: u64,
    /// Those that this user may not read.
    denied: u64,
}

impl Damage {
    /// How many paths are told by name.
    const NAMED: usize = 20;

    /// Notes one path.
    pub fn note(&mut self, path: &[u8], errno: Errno) {
        self.count += 1;
        self.denied += u64::from(errno == Errno::EACCES);
        if self.first.len() < Self::NAMED {
            self.first.push(format!("{}: {errno}", crate::text::shown(path)));
        }
    }

    /// Prints each noted path on its own line of stderr and makes them one failure; nothing when all was readable.
    pub fn finish(self) -> Result<(), Failure> {
        if self.count == 0 {
            return Ok(());
        }
        for line in &self.first {
            eprintln!("userctl: {line}");
        }
        let Damage { count, denied, .. } = self;
        if denied == count {
            return Err(Failure::new(
                Exit::Rights,
                format_args!(
                    "{count} entries may not be read by this user; {}",
                    crate::exit::RUN_AS
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
                Step::Damaged { path, errno } => {
                    bad.push(format!("{} {errno:?}", String::from_utf8_lossy(path)))
                }
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
    fn a_directory_inside_itself_is_reported_and_left() {
        let mut volume = Memory::new();
        volume.add_directory("/a/b");
        volume.add_hard_link("/a/b/again", "/a");
        let (entries, bad) = paths(&volume);
        assert_eq!(entries, ["/", "/a", "/a/b"]);
        assert_eq!(bad, ["/a/b/again ELOOP"]);
    }

    #[test]
    fn what_this_user_may_not_read_is_not_called_damage() {
        for (errnos, exit, word) in [
            ([Errno::EACCES; 2], Exit::Rights, "administrator"),
            ([Errno::EACCES, Errno::EIO], Exit::FileSystem, "damaged"),
        ] {
            let mut damage = Damage::default();
            errnos.iter().for_each(|errno| damage.note(b"/a", *errno));
            let failure = damage.finish().unwrap_err();
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
