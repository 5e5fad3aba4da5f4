//! A listing at work: from Linux's entries to records in a buffer.
//!
//! A listing is `.` and `..` (but for the root), then Linux's entries in Linux's own order. Its position is Linux's
//! cookie of the last entry that was returned, so a listing goes on exactly where it stopped, however the buffer's size
//! changes between queries. Linux is asked for entries in batches, and for each entry's metadata only when the class
//! shows any; entries that no longer fit the buffer wait in the [`DirCursor`] for the next query.
//!
//! A damaged directory may lead in a circle. Its listing ends with FILE_CORRUPT_ERROR once that is seen
//! ([`lklfs_nt::repeats`]), whatever the pattern: a program that collects names would collect them for ever, and a search
//! for a name that is not there would never come back.
//!
//! A pattern without wildcards is a name, and is looked up instead of searched for.

use alloc::{collections::VecDeque, vec::Vec};
use core::ops::ControlFlow;

use lklfs_nt::{
    FileInformationClass, NtStatus, dirinfo,
    repeats::Repeats,
    utf16::{self, DOT, SEPARATOR},
    wildcard,
    writer::{EntryList, Pushed},
};

use crate::{
    Ccb, Errno, Fcb, FileKind, LinkView, Metadata, Outcome, Vcb, Volume, Wait, attributes, dirctrl::Query,
    errno::Context, linksup, namesup,
};

/// Entries that are taken from Linux at once.
const BATCH: usize = 128;

/// Where a listing stands: its pattern, which its first query sets, and its position. One for each file object of a
/// directory, changed by each query, under the lock that the edge keeps for it.
#[derive(Debug, Default)]
pub struct DirCursor {
    /// `None` before the first query; `*` when that gave none.
    pub(crate) pattern: Option<Vec<u16>>,
    position: Position,
    /// Entries passed so far, matching or not: the index of the next entry less one.
    index: u32,
    /// Entries from Linux that match and are not returned yet, in order.
    waiting: VecDeque<Waiting>,
    /// Where Linux goes on after the waiting ones.
    cookie: u64,
    /// Linux has no more.
    exhausted: bool,
    /// Whether what Linux gives goes in a circle.
    repeats: Repeats,
}

/// The next thing to return.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Position {
    #[default]
    Dot,
    DotDot,
    Entries,
}

/// An entry as Linux gave it.
#[derive(Debug)]
struct Waiting {
    linux: Vec<u8>,
    windows: Vec<u16>,
    kind: Option<FileKind>,
    index: u32,
}

impl DirCursor {
    /// A listing that has not begun.
    pub const fn new() -> Self {
        Self {
            pattern: None,
            position: Position::Dot,
            index: 0,
            waiting: VecDeque::new(),
            cookie: 0,
            exhausted: false,
            repeats: Repeats::new(),
        }
    }

    /// Back to the start, with the same pattern.
    pub(crate) fn rewind(&mut self) {
        self.position = Position::Dot;
        self.index = 0;
        self.waiting.clear();
        self.cookie = 0;
        self.exhausted = false;
        self.repeats = Repeats::new();
    }
}

/// A listing at work: the objects that every step needs.
pub(crate) struct Listing<'a, V: Volume> {
    pub vcb: &'a Vcb<V>,
    pub node: &'a V::Node,
    pub fcb: &'a Fcb<V>,
    pub ccb: &'a Ccb,
    pub class: FileInformationClass,
    pub pattern: &'a [u16],
}

/// One entry, ready to be written.
struct Ready {
    entry: dirinfo::Entry,
    /// Where it came from, with its name; no Linux name for `.` and `..`.
    source: Waiting,
}

impl<V: Volume> Listing<'_, V> {
    fn is_root(&self) -> bool {
        self.ccb.path == [SEPARATOR]
    }

    /// The directory's own path, as a parent of links: empty for the root.
    fn path(&self) -> &[u16] {
        if self.is_root() { &[] } else { &self.ccb.path }
    }

    /// Writes metadata in the neutral form.
    fn entry(
        &self,
        index: u32,
        name: &[u16],
        metadata: &Metadata,
        link: Option<&LinkView>,
    ) -> dirinfo::Entry {
        let basics = attributes::basics(self.vcb, metadata, name, link);
        dirinfo::Entry {
            file_index: index,
            creation_time: basics.times.creation,
            last_access_time: basics.times.access,
            last_write_time: basics.times.write,
            change_time: basics.times.change,
            end_of_file: basics.end_of_file,
            allocation_size: basics.allocation_size,
            file_attributes: basics.attributes,
            // Counting attributes would cost a call for each entry; nobody relies on it in a listing.
            ea_size: 0,
            reparse_tag: basics.reparse_tag.0,
            file_id: basics.file_id,
            file_id_128: basics.file_id_128,
        }
    }

    /// `.` or `..`, when the pattern lets it through.
    fn dots(&self, position: Position, index: u32) -> Result<Option<Ready>, NtStatus> {
        let (name, metadata): (&[u16], _) = match position {
            Position::Dot => (&[DOT], self.fcb.metadata()),
            _ => (&[DOT, DOT], &self.ccb.parent),
        };
        if self.is_root() || !self.matches(name) {
            return Ok(None);
        }
        let mut windows = Vec::new();
        utf16::append(&mut windows, name)?;
        let entry = self.entry(index, name, metadata, None);
        Ok(Some(Ready {
            entry,
            source: Waiting {
                linux: Vec::new(),
                windows,
                kind: None,
                index,
            },
        }))
    }

    fn matches(&self, name: &[u16]) -> bool {
        wildcard::matches(self.pattern, name, self.ccb.case_sensitive)
    }

    /// An entry of Linux's with what the class shows of it. An inode that cannot be read keeps its name and kind, so
    /// that one damaged entry does not hide the rest.
    fn ready(&self, source: &Waiting) -> Result<Option<dirinfo::Entry>, NtStatus> {
        let (name, index) = (&source.windows, source.index);
        if dirinfo::is_names_only(self.class) {
            let entry = dirinfo::Entry {
                file_index: index,
                ..dirinfo::Entry::default()
            };
            return Ok(Some(entry));
        }
        let volume = self.vcb.volume();
        let entry = match volume.entry_metadata(self.node, &source.linux) {
            Ok(metadata) => {
                let link = self.link(&source.linux, &metadata)?;
                self.entry(index, name, &metadata, link.as_ref())
            }
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ENOMEM) => return Err(NtStatus::INSUFFICIENT_RESOURCES),
            Err(_) => self.unreadable(index, name, source.kind),
        };
        Ok(Some(entry))
    }

    /// How an entry that is a link shows itself; a link that cannot be read shows itself as one without a target.
    fn link(&self, linux: &[u8], metadata: &Metadata) -> Result<Option<LinkView>, NtStatus> {
        if metadata.kind != FileKind::Symlink {
            return Ok(None);
        }
        let Ok(node) = self.vcb.volume().lookup(self.node, linux) else {
            return Ok(None);
        };
        match linksup::view(self.vcb, self.path(), &node, metadata) {
            Err(NtStatus::INSUFFICIENT_RESOURCES) => Err(NtStatus::INSUFFICIENT_RESOURCES),
            result => Ok(result.unwrap_or(None)),
        }
    }

    /// An entry whose inode cannot be read.
    fn unreadable(&self, index: u32, name: &[u16], kind: Option<FileKind>) -> dirinfo::Entry {
        let known = Metadata {
            kind: kind.unwrap_or(FileKind::File),
            size: 0,
            allocated: 0,
            nlink: 1,
            ..*self.fcb.metadata()
        };
        let entry = self.entry(index, name, &known, None);
        dirinfo::Entry {
            file_id: 0,
            file_id_128: [0; 16],
            ..entry
        }
    }

    /// Takes the next batch of matching entries from Linux.
    fn fill(&self, cursor: &mut DirCursor) -> Result<(), NtStatus> {
        let mut failure = None;
        let mut full = false;
        let read = self
            .vcb
            .volume()
            .read_dir(self.node, cursor.cookie, &mut |entry| {
                let mut repeats = cursor.repeats;
                if repeats.entry(entry.name, entry.cookie) {
                    cursor.repeats = repeats;
                    failure = Some(NtStatus::FILE_CORRUPT_ERROR);
                    return ControlFlow::Break(());
                }
                if matches!(entry.name, b"." | b"..") {
                    cursor.cookie = entry.cookie;
                    cursor.repeats = repeats;
                    return ControlFlow::Continue(());
                }
                let index = cursor.index.saturating_add(1);
                let step = (|| {
                    let windows = namesup::to_windows(entry.name)?;
                    if !self.matches(&windows) {
                        return Ok(());
                    }
                    let mut linux = Vec::new();
                    let reserved = linux.try_reserve_exact(entry.name.len()).is_ok()
                        && cursor.waiting.try_reserve(1).is_ok();
                    if !reserved {
                        return Err(NtStatus::INSUFFICIENT_RESOURCES);
                    }
                    linux.extend_from_slice(entry.name);
                    cursor.waiting.push_back(Waiting {
                        linux,
                        windows,
                        kind: entry.kind,
                        index,
                    });
                    Ok(())
                })();
                if let Err(status) = step {
                    // The next batch begins with this entry.
                    failure = Some(status);
                    return ControlFlow::Break(());
                }
                cursor.cookie = entry.cookie;
                cursor.index = index;
                cursor.repeats = repeats;
                full = cursor.waiting.len() >= BATCH;
                if full {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
        let result = match failure {
            Some(status) => Err(status),
            None => read.map_err(|errno| errno.to_status(Context::Reading)),
        };
        cursor.exhausted = result.is_ok() && !full;
        // What came before an error is returned first; the error comes again with the next batch.
        if cursor.waiting.is_empty() { result } else { Ok(()) }
    }

    /// A pattern that is a name: looked up. Afterwards the listing is at its end but for the one that waits.
    fn fill_by_name(&self, cursor: &mut DirCursor) -> Result<(), NtStatus> {
        let found = match namesup::find(
            self.vcb.volume(),
            self.node,
            self.pattern,
            self.ccb.case_sensitive,
            Wait::Allowed,
        ) {
            // What cannot be a name is not there.
            Ok(None) | Err(NtStatus::OBJECT_NAME_INVALID) => {
                cursor.exhausted = true;
                return Ok(());
            }
            Ok(Some(found)) => found,
            Err(status) => return Err(status),
        };
        cursor
            .waiting
            .try_reserve(1)
            .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
        cursor.exhausted = true;
        cursor.index = cursor.index.saturating_add(1);
        let (linux, windows, index) = (found.linux, found.windows, cursor.index);
        cursor.waiting.push_back(Waiting {
            linux,
            windows,
            kind: None,
            index,
        });
        Ok(())
    }

    /// The next entry of the listing; `None` at its end.
    fn next(&self, cursor: &mut DirCursor) -> Result<Option<Ready>, NtStatus> {
        loop {
            match cursor.position {
                Position::Dot | Position::DotDot => {
                    let index = cursor.index.saturating_add(1);
                    let ready = self.dots(cursor.position, index)?;
                    cursor.index = index;
                    cursor.position = match cursor.position {
                        Position::Dot => Position::DotDot,
                        _ => Position::Entries,
                    };
                    if ready.is_some() {
                        return Ok(ready);
                    }
                }
                Position::Entries => {
                    if let Some(waiting) = cursor.waiting.pop_front() {
                        match self.ready(&waiting) {
                            Ok(None) => continue,
                            Ok(Some(entry)) => {
                                return Ok(Some(Ready {
                                    entry,
                                    source: waiting,
                                }));
                            }
                            Err(status) => {
                                cursor.waiting.push_front(waiting);
                                return Err(status);
                            }
                        }
                    }
                    if cursor.exhausted {
                        return Ok(None);
                    }
                    if wildcard::has_wildcards(self.pattern) {
                        self.fill(cursor)?;
                    } else {
                        self.fill_by_name(cursor)?;
                    }
                }
            }
        }
    }

    /// Puts an entry back that did not fit, to be the next one again.
    fn put_back(cursor: &mut DirCursor, ready: Ready) {
        if ready.source.linux.is_empty() {
            cursor.index = cursor.index.saturating_sub(1);
            cursor.position = if ready.source.windows.len() == 1 {
                Position::Dot
            } else {
                Position::DotDot
            };
        } else {
            cursor.waiting.push_front(ready.source);
        }
    }

    /// Writes entries until the buffer is full or the listing at its end.
    pub(crate) fn write(
        &self,
        cursor: &mut DirCursor,
        query: &Query<'_>,
        out: &mut [u8],
    ) -> Result<Outcome, NtStatus> {
        let mut list = EntryList::new(out, 8);
        loop {
            let ready = match self.next(cursor) {
                Ok(Some(ready)) => ready,
                Ok(None) => break,
                Err(status) if list.is_empty() => return Err(status),
                Err(_) => break,
            };
            if query
                .index
                .is_some_and(|index| list.is_empty() && ready.source.index <= index)
            {
                continue;
            }
            let pushed = dirinfo::push(&mut list, self.class, &ready.entry, &ready.source.windows);
            match pushed.ok_or(NtStatus::INVALID_INFO_CLASS)? {
                Pushed::Whole => {}
                Pushed::Cut => return Ok(Outcome::new(NtStatus::BUFFER_OVERFLOW, list.written())),
                Pushed::Full => {
                    Self::put_back(cursor, ready);
                    break;
                }
                Pushed::TooSmall => {
                    Self::put_back(cursor, ready);
                    return Err(NtStatus::INFO_LENGTH_MISMATCH);
                }
            }
            if query.single {
                break;
            }
        }
        if list.is_empty() {
            Err(NtStatus::NO_MORE_FILES)
        } else {
            Ok(Outcome::success(list.written()))
        }
    }
}
