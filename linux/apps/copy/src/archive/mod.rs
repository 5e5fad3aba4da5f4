//! A tar archive as it is written: POSIX's pax format, with what GNU tar has added for extended attributes, access lists and
//! files with holes. GNU tar and bsdtar read all of it.
//!
//! Each entry is a header of 512 bytes ([`tar::Header`]) and the file's bytes. What the header has no room for stands in records
//! before it ([`pax`]). Owners are numbers only: an image's users are not this machine's.

use std::io::{self, Write};

use lkl::{DeviceNumber, Timestamp};
use lkl_tree::volume::Xattr;
use tar::{EntryType, Header};

pub mod acl;
mod pax;

use pax::Records;

/// The unit of an archive.
const BLOCK: usize = 512;
/// What an archive is a multiple of.
const RECORD: u64 = 10_240;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A regular file of so many bytes, which follow: those of the pieces if it has holes.
    File {
        /// All bytes, those in holes included.
        size: u64,
        /// Where there is data, in order, when it is not everywhere.
        pieces: Option<&'a [Piece]>,
    },
    /// Another name of a file that came before.
    HardLink(&'a [u8]),
    /// A symbolic link.
    Link(&'a [u8]),
    /// A folder.
    Folder,
    /// A character device.
    Character(DeviceNumber),
    /// A block device.
    Block(DeviceNumber),
    /// A FIFO.
    Fifo,
}

/// A piece of a file that is no hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub len: u64,
}

/// All that an archive says of a file.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Where it goes, relative.
    pub path: &'a [u8],
    /// What it is.
    pub kind: Kind<'a>,
    /// Permissions, set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the contents.
    pub modified: Timestamp,
    /// Last access.
    pub accessed: Timestamp,
    /// Extended attributes: names and values.
    pub xattrs: &'a [Xattr],
}

/// An archive that is being written.
#[derive(Debug)]
pub struct Archive<W> {
    out: W,
    /// Bytes so far.
    written: u64,
    /// Bytes of the current entry that are to come.
    left: u64,
}

impl<W: Write> Archive<W> {
    /// An empty one.
    pub fn new(out: W) -> Archive<W> {
        Archive {
            out,
            written: 0,
            left: 0,
        }
    }

    /// Begins an entry. The bytes of a file follow by [`Archive::data`], as many as its kind says.
    pub fn entry(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        debug_assert_eq!(self.left, 0, "an entry is not complete");
        let mut records = Records::default();
        let mut header = Header::new_ustar();
        let mut name = entry.path.to_vec();
        let mut map = Vec::new();
        let (kind, size) = match entry.kind {
            Kind::File { size, pieces: None } => (EntryType::Regular, size),
            Kind::File {
                size,
                pieces: Some(pieces),
            } => {
                map = sparse_map(pieces, size);
                sparse(&mut records, &mut name, size);
                let data: u64 = pieces.iter().map(|piece| piece.len).sum();
                (EntryType::Regular, map.len() as u64 + data)
            }
            Kind::HardLink(_) => (EntryType::Link, 0),
            Kind::Link(_) => (EntryType::Symlink, 0),
            Kind::Folder => (EntryType::Directory, 0),
            Kind::Character(_) => (EntryType::Char, 0),
            Kind::Block(_) => (EntryType::Block, 0),
            Kind::Fifo => (EntryType::Fifo, 0),
        };
        header.set_entry_type(kind);
        header.set_size(size);
        if size > MOST_OCTAL {
            records.add_number("size", size);
        }
        if let Kind::Character(device) | Kind::Block(device) = entry.kind {
            header.set_device_major(device.major)?;
            header.set_device_minor(device.minor)?;
        }
        owner(&mut header, &mut records, entry);
        times(&mut header, &mut records, entry);
        if !matches!(entry.kind, Kind::HardLink(_)) {
            attributes(&mut records, entry.xattrs);
        }
        if !put_path(&mut header, &name) {
            self.long(&mut records, Long::Path, &name)?;
        }
        if let Kind::HardLink(target) | Kind::Link(target) = entry.kind
            && !put(&mut ustar(&mut header)?.linkname, target)
        {
            self.long(&mut records, Long::Link, target)?;
        }
        if !records.bytes().is_empty() {
            let mut before = Header::new_ustar();
            before.set_entry_type(EntryType::XHeader);
            self.extension(before, b"././@PaxHeader", records.bytes())?;
        }
        header.set_cksum();
        self.put(header.as_bytes())?;
        self.left = size;
        self.data(&map)?;
        if self.left == 0 { self.pad() } else { Ok(()) }
    }

    /// The next bytes of the current entry, no more than are to come.
    pub fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or(io::ErrorKind::InvalidInput)?;
        self.put(bytes)?;
        if self.left == 0 { self.pad() } else { Ok(()) }
    }

    /// Ends the archive; what it was written to, flushed.
    pub fn finish(mut self) -> io::Result<W> {
        let end = self.written + 2 * BLOCK as u64;
        let zeros = end.next_multiple_of(RECORD) - self.written;
        self.zeros(zeros)?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// A name that a header cannot hold. In records it is taken for UTF-8; one that is not goes before the entry as GNU tar's
    /// own kind of long name, which is bytes.
    fn long(&mut self, records: &mut Records, what: Long, name: &[u8]) -> io::Result<()> {
        let (key, kind) = match what {
            Long::Path => ("path", EntryType::GNULongName),
            Long::Link => ("linkpath", EntryType::GNULongLink),
        };
        if std::str::from_utf8(name).is_ok() {
            records.add(key.as_bytes(), name);
            return Ok(());
        }
        let mut before = Header::new_gnu();
        before.set_entry_type(kind);
        let mut text = name.to_vec();
        text.push(0);
        self.extension(before, b"././@LongLink", &text)
    }

    /// An entry that says something of the next one.
    fn extension(&mut self, mut header: Header, name: &[u8], bytes: &[u8]) -> io::Result<()> {
        put_path(&mut header, name);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        self.put(header.as_bytes())?;
        self.put(bytes)?;
        self.pad()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn pad(&mut self) -> io::Result<()> {
        self.zeros(self.written.next_multiple_of(BLOCK as u64) - self.written)
    }

    fn zeros(&mut self, mut count: u64) -> io::Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while count > 0 {
            let part = ZEROS.len().min(usize::try_from(count).unwrap_or(ZEROS.len()));
            self.put(&ZEROS[..part])?;
            count -= part as u64;
        }
        Ok(())
    }
}

enum Long {
    Path,
    Link,
}

/// The largest size in eleven octal digits.
const MOST_OCTAL: u64 = 0o77_777_777_777;
/// The largest ID in seven.
const MOST_ID: u32 = 0o7_777_777;

fn owner(header: &mut Header, records: &mut Records, entry: &Entry<'_>) {
    header.set_mode(entry.mode & 0o7777);
    header.set_uid(entry.uid.into());
    header.set_gid(entry.gid.into());
    for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
        if id > MOST_ID {
            records.add_number(key, id.into());
        }
    }
}

fn times(header: &mut Header, records: &mut Records, entry: &Entry<'_>) {
    let seconds = u64::try_from(entry.modified.sec).ok();
    let plain = seconds.filter(|seconds| *seconds <= MOST_OCTAL);
    header.set_mtime(plain.unwrap_or(0));
    if plain.is_none() || entry.modified.nsec != 0 {
        records.add_time("mtime", entry.modified);
    }
    records.add_time("atime", entry.accessed);
}

/// Access lists as text, and what else is kept as it is.
fn attributes(records: &mut Records, xattrs: &[Xattr]) {
    for Xattr { name, value } in xattrs {
        match &name[..] {
            acl::ACCESS => list(records, "SCHILY.acl.access", value),
            acl::DEFAULT => list(records, "SCHILY.acl.default", value),
            name if acl::is_kept(name) => records.add_xattr(name, value),
            _ => {}
        }
    }
}

fn list(records: &mut Records, key: &str, value: &[u8]) {
    if let Some(text) = acl::text(value).filter(|text| !text.is_empty()) {
        records.add(key.as_bytes(), text.as_bytes());
    }
}

/// What tells a reader that holes are left out: GNU's format 1.0. One that does not know it makes a file of another name.
fn sparse(records: &mut Records, name: &mut Vec<u8>, size: u64) {
    records.add_number("GNU.sparse.major", 1);
    records.add_number("GNU.sparse.minor", 0);
    records.add_number("GNU.sparse.realsize", size);
    // A name that is no UTF-8 stays where it can be bytes.
    if std::str::from_utf8(name).is_ok() {
        records.add(b"GNU.sparse.name", name);
        let place = name.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
        name.splice(place..place, *b"GNUSparseFile.0/");
    }
}

/// Where the data are, before them: numbers in lines, filled up to whole blocks. The end of the file is a piece of no bytes.
fn sparse_map(pieces: &[Piece], size: u64) -> Vec<u8> {
    let end = Piece { offset: size, len: 0 };
    let open = pieces
        .last()
        .is_none_or(|last| last.offset.saturating_add(last.len) < size);
    let count = pieces.len() + usize::from(open);
    let mut map = format!("{count}\n").into_bytes();
    for piece in pieces.iter().chain(open.then_some(&end)) {
        map.extend_from_slice(format!("{}\n{}\n", piece.offset, piece.len).as_bytes());
    }
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    map
}

fn ustar(header: &mut Header) -> io::Result<&mut tar::UstarHeader> {
    header.as_ustar_mut().ok_or(io::ErrorKind::InvalidInput.into())
}

/// Puts a path into a header: into its field for names, or cut at a slash into two. False when it does not fit; then a
/// beginning of it stands there.
fn put_path(header: &mut Header, path: &[u8]) -> bool {
    if put(&mut header.as_old_mut().name, path) {
        return true;
    }
    let Some(ustar) = header.as_ustar_mut() else {
        return false;
    };
    let least = path.len().saturating_sub(ustar.name.len() + 1);
    let Some(cut) = path.iter().skip(least).position(|byte| *byte == b'/') else {
        return false;
    };
    let (prefix, name) = path.split_at(least + cut);
    let name = name.get(1..).unwrap_or_default();
    if name.is_empty() || prefix.is_empty() || prefix.len() > ustar.prefix.len() {
        return false;
    }
    ustar.name = [0; 100];
    put(&mut ustar.prefix, prefix) && put(&mut ustar.name, name)
}

/// Fills a field as far as that goes; whether the text fits.
fn put(field: &mut [u8], text: &[u8]) -> bool {
    for (place, byte) in field.iter_mut().zip(text) {
        *place = *byte;
    }
    text.len() <= field.len()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
