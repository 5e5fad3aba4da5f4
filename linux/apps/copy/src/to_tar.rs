//! A volume into a tar archive.
//!
//! Paths begin with `./`, as in `tar -C FOLDER -c .`, so an archive is unpacked where its user says. A file with several names is stored under
//! the first, and the others are links to that. Holes are left out.

use std::collections::HashMap;
use std::io::{self, Write};

use lkl::{DeviceNumber, Timestamp};
use lkl_session::exit::{Exit, Failure, reason};
use lkl_session::text::{escaped, shown};
use lkl_session::watchdog;
use lkl_tree::entries::Trouble;
use lkl_tree::volume::{Errno, Kind, Stat, Time, Volume, Xattr};
use lkl_tree::walk::{Order, Step, walk_chosen};

use crate::archive::{self, Archive, Entry, Piece};
use crate::choice::Choices;
use crate::report::Report;

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 20;

/// What goes into the archive, and how.
pub(crate) struct ToTar<'a, V: Volume, W: Write> {
    pub(crate) volume: &'a V,
    pub(crate) choices: &'a Choices,
    pub(crate) report: &'a Report,
    /// What cannot be read is left out, or is zeros.
    pub(crate) keep_going: bool,
    /// Where the SELinux contexts go.
    pub(crate) contexts: Option<&'a mut dyn Write>,
    /// What the archive is called, for messages.
    pub(crate) archive_name: &'a str,
    pub(crate) archive: Archive<W>,
    buffer: Vec<u8>,
    /// The first name of each file that has more to come, and how many.
    links: HashMap<(u64, u64), (Vec<u8>, u64)>,
}

impl<'a, V: Volume, W: Write> ToTar<'a, V, W> {
    pub(crate) fn new(
        volume: &'a V,
        choices: &'a Choices,
        report: &'a Report,
        archive_name: &'a str,
        out: W,
    ) -> Self {
        ToTar {
            volume,
            choices,
            report,
            keep_going: false,
            contexts: None,
            archive_name,
            archive: Archive::new(out),
            buffer: vec![0; CHUNK],
            links: HashMap::new(),
        }
    }

    /// Writes all of it; what it was written to, flushed.
    pub(crate) fn run(mut self) -> Result<W, Failure> {
        let volume = self.volume;
        let root = volume.root().map_err(|errno| volume.failure(b"/", errno))?;
        let stat = volume.stat(&root).map_err(|errno| volume.failure(b"/", errno))?;
        let (choices, device) = (self.choices, stat.device);
        let mut choose = |path: &[u8], stat: &Stat| choices.choose(path, stat, device);
        walk_chosen(
            Order::Names,
            volume,
            root,
            b"/",
            &mut choose,
            &mut |step| match step {
                Step::Entry { path, node, stat } => self.entry(path, node, stat),
                Step::Leave { .. } => Ok(()),
                Step::Damaged {
                    path,
                    trouble: Trouble::Errno(errno),
                } => self.unreadable(path, errno),
                Step::Damaged { path, trouble } => self.trouble(Failure::new(
                    Exit::FileSystem,
                    format_args!("{}: {trouble}; repair a copy of it", shown(path)),
                )),
            },
        )?;
        let name = self.archive_name;
        self.archive.finish().map_err(|error| written(name, &error))
    }

    fn unreadable(&self, path: &[u8], errno: Errno) -> Result<(), Failure> {
        self.trouble(self.volume.failure(path, errno))
    }

    fn trouble(&self, mut failure: Failure) -> Result<(), Failure> {
        if self.volume.is_dead() {
            return Err(failure);
        }
        if !self.keep_going {
            failure
                .message
                .push_str(", or have what can be read by --keep-going");
            return Err(failure);
        }
        self.report.trouble(&failure);
        Ok(())
    }

    fn entry(&mut self, path: &[u8], node: &V::Node, stat: &Stat) -> Result<(), Failure> {
        watchdog::progress();
        if stat.kind == Kind::Socket {
            self.report
                .note(path, "left out, a socket stands for a program that listens");
            return Ok(());
        }
        self.report.entry(path);
        let mut name = [b".", path].concat();
        if stat.kind == Kind::Directory && !name.ends_with(b"/") {
            name.push(b'/');
        }
        let id = (stat.device, stat.inode);
        if stat.links > 1
            && stat.kind != Kind::Directory
            && let Some(first) = self.first_name(id)
        {
            return self.put(&name, archive::Kind::HardLink(&first), stat, &[]);
        }
        let volume = self.volume;
        let xattrs = match volume.xattrs(node) {
            Ok(xattrs) => xattrs,
            Err(errno) => {
                self.unreadable(path, errno)?;
                Vec::new()
            }
        };
        self.context(path, &xattrs)?;
        let (major, minor) = stat.node_device;
        let device = DeviceNumber { major, minor };
        let target = match stat.kind {
            Kind::Link => match volume.read_link(node) {
                Ok(target) => target,
                Err(errno) => return self.unreadable(path, errno),
            },
            _ => Vec::new(),
        };
        let kind = match stat.kind {
            Kind::File => {
                if !self.file(path, &name, node, stat, &xattrs)? {
                    return Ok(());
                }
                None
            }
            Kind::Link => Some(archive::Kind::Link(&target)),
            Kind::Directory => Some(archive::Kind::Folder),
            Kind::Fifo | Kind::Socket => Some(archive::Kind::Fifo),
            Kind::Block => Some(archive::Kind::Block(device)),
            Kind::Character => Some(archive::Kind::Character(device)),
        };
        if let Some(kind) = kind {
            self.put(&name, kind, stat, &xattrs)?;
        }
        if stat.links > 1 && stat.kind != Kind::Directory {
            self.links.insert(id, (name, stat.links - 1));
        }
        Ok(())
    }

    /// The name that a file was stored under, if it was. With its last name it is forgotten.
    fn first_name(&mut self, id: (u64, u64)) -> Option<Vec<u8>> {
        let (name, more) = self.links.get_mut(&id)?;
        *more -= 1;
        if *more == 0 {
            return self.links.remove(&id).map(|(name, _)| name);
        }
        Some(name.clone())
    }

    /// A file with its bytes. False: it cannot be read, and is left out.
    fn file(
        &mut self,
        path: &[u8],
        name: &[u8],
        node: &V::Node,
        stat: &Stat,
        xattrs: &[Xattr],
    ) -> Result<bool, Failure> {
        let volume = self.volume;
        let found = volume
            .open(node)
            .and_then(|file| Ok((pieces(volume, &file, stat)?, file)));
        let (pieces, file) = match found {
            Ok(found) => found,
            Err(errno) => return self.unreadable(path, errno).map(|()| false),
        };
        let size = stat.size;
        let kind = archive::Kind::File {
            size,
            pieces: pieces.as_deref(),
        };
        self.put(name, kind, stat, xattrs)?;
        let whole = [Piece { offset: 0, len: size }];
        let mut is_broken = false;
        for piece in pieces.as_deref().unwrap_or(&whole) {
            let end = piece.offset + piece.len;
            let mut at = piece.offset;
            while at < end {
                let want = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
                let buffer = &mut self.buffer[..want];
                let count = match volume.read(&file, at, buffer) {
                    Ok(0) => Err(Errno::EIO),
                    count => count,
                };
                let count = match count {
                    Ok(count) => count,
                    Err(errno) => {
                        if !is_broken {
                            is_broken = true;
                            self.trouble(volume.failure(path, errno))?;
                        }
                        // What cannot be read is zeros, a page at a time, since the next one may be there.
                        let count = want.min(4096);
                        self.buffer[..count].fill(0);
                        count
                    }
                };
                watchdog::progress();
                let name = self.archive_name;
                let put = self.archive.data(&self.buffer[..count]);
                put.map_err(|error| written(name, &error))?;
                at += count as u64;
            }
        }
        Ok(true)
    }

    fn put(
        &mut self,
        name: &[u8],
        kind: archive::Kind<'_>,
        stat: &Stat,
        xattrs: &[Xattr],
    ) -> Result<(), Failure> {
        let time = |time: Time| Timestamp {
            sec: time.seconds,
            nsec: time.nanoseconds,
        };
        let entry = Entry {
            path: name,
            kind,
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            modified: time(stat.modified),
            accessed: time(stat.accessed),
            xattrs,
        };
        let archive = self.archive_name;
        self.archive
            .entry(&entry)
            .map_err(|error| written(archive, &error))
    }

    /// A line of the list of contexts.
    fn context(&mut self, path: &[u8], xattrs: &[Xattr]) -> Result<(), Failure> {
        let Some(out) = &mut self.contexts else {
            return Ok(());
        };
        let Some(context) = xattrs.iter().find(|xattr| xattr.name == b"security.selinux") else {
            return Ok(());
        };
        let text = context.value.strip_suffix(b"\0").unwrap_or(&context.value);
        writeln!(out, "{} {}", escaped(path), escaped(text))
            .map_err(|error| written("--selinux-contexts", &error))
    }
}

/// Where a file has data, if that is not everywhere.
fn pieces<V: Volume>(volume: &V, file: &V::File, stat: &Stat) -> Result<Option<Vec<Piece>>, Errno> {
    if stat.blocks.saturating_mul(512) >= stat.size {
        return Ok(None);
    }
    let (mut pieces, mut at, mut sum) = (Vec::new(), 0, 0);
    while at < stat.size {
        let Some(range) = volume.next_data(file, at)? else {
            break;
        };
        let (offset, end) = (range.start.max(at), range.end.min(stat.size));
        if offset >= end {
            break;
        }
        sum += end - offset;
        pieces.push(Piece {
            offset,
            len: end - offset,
        });
        at = end;
    }
    Ok((sum < stat.size).then_some(pieces))
}

/// What to say when the archive cannot be written.
pub(crate) fn written(name: &str, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::BrokenPipe => "its reader has ended before the archive did",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there, or write elsewhere",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "choose a place that you may write"
        }
        _ => "choose another place",
    };
    Failure::new(
        Exit::Destination,
        format_args!("{name}: {}; {advice}", reason(error)),
    )
}
