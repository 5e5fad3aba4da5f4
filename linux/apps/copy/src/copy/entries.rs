//! The entries of a copy that are no folders: made as drafts, which get their names when they are complete.

use lkl::DeviceNumber;
use lkl_session::watchdog;
use lkl_tree::volume::{Errno, Kind, Stat, Volume};

use super::{CHUNK, Copy, Draft, KNOWN_FILE, Refused};
use crate::destination::Destination;

impl<S: Volume, D: Destination> Copy<'_, S, D> {
    /// Anything but a folder.
    pub(super) fn make(
        &mut self,
        path: &[u8],
        name: &[u8],
        node: &S::Node,
        stat: &Stat,
    ) -> Result<(), Refused> {
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
            _ => match self.special(path, name, node, stat)? {
                Some(draft) => draft,
                None => return Ok(()),
            },
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
    pub(super) fn finish(
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
    pub(super) fn file(
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
    pub(super) fn contents(
        &mut self,
        path: &[u8],
        file: &S::File,
        stat: &Stat,
        to: &D::Node,
    ) -> Result<(), Refused> {
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

    /// A link, a device or a FIFO; nothing where the place has none.
    pub(super) fn special(
        &mut self,
        path: &[u8],
        name: &[u8],
        node: &S::Node,
        stat: &Stat,
    ) -> Result<Option<Draft<D::Node>>, Refused> {
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
        if let Some(what) = made.as_ref().err().and_then(|errno| place.left_out(kind, *errno)) {
            self.report.note(path, what);
            return Ok(None);
        }
        let found = made.and_then(|name| Ok((place.child(self.folder()?, &name)?, name)));
        let (node, name) = found.map_err(|errno| self.refused(path, errno))?;
        Ok(Some(Draft {
            node,
            name: Some(name),
        }))
    }

    /// Makes one more name of a file that was copied. False: that cannot be here, and a copy is made.
    pub(super) fn link_again(&mut self, path: &[u8], name: &[u8], first: &[u8]) -> Result<bool, Refused> {
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

    /// Remembers the first name of a file with several, as long as there is room.
    pub(super) fn remember(&mut self, path: &[u8], id: (u64, u64), name: &[u8]) {
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
    pub(super) fn replaceable(&mut self, name: &[u8]) -> Result<(), Errno> {
        let place = self.place;
        let folder = self.folder()?;
        match place.child(folder, name).and_then(|node| place.kind(&node)) {
            Ok((Kind::Directory, _)) => Err(Errno::EISDIR),
            Ok(_) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    pub(super) fn temporary_name(&mut self) -> Vec<u8> {
        self.state.temporary += 1;
        // A run that was killed may have left one behind.
        let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos());
        format!(".lklcopy-{now:x}-{}", self.state.temporary).into_bytes()
    }

    /// Gives a draft its final name, in place of what has it.
    pub(super) fn publish(&mut self, draft: &Draft<D::Node>, name: &[u8]) -> Result<(), Errno> {
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
    pub(super) fn discard(&mut self, draft: &Draft<D::Node>) {
        let place = self.place;
        if let (Some(name), Ok(folder)) = (&draft.name, self.folder()) {
            // It is reported already that something went wrong here.
            let _ = place.remove(folder, name);
        }
    }
}
