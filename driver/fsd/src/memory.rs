//! A volume in memory, for tests of the core and of what is built on it. Never part of the driver.
//!
//! A tree is made by paths (`/a/b`, Linux syntax) and then mounted. Directories list their entries in the order in which
//! they were made, `.` and `..` first, with cookies that are neither dense nor small, as real file systems have them.
//! Faults can be set on single inodes, and reads can be made short, as Linux may make them.
//!
//! There is no disk, but [`MemoryVolume::waits`] counts the calls that would have waited for one, and what a lookup has
//! found, or found missing, is in memory from then on, as in Linux's dentry cache.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "code for tests: a mistake in a tree is a failed test"
)]

use alloc::{borrow::ToOwned, collections::BTreeSet, string::String, vec::Vec};
use core::ops::{ControlFlow, Range};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;

use crate::{DirEntry, Errno, FileKind, InodeFlags, Metadata, UnixTime, Volume, VolumeInfo};

/// The unit of data and holes: a block that holds only zeros is a hole.
const BLOCK: usize = 4096;

/// What an inode holds.
#[derive(Clone, Debug)]
enum Body {
    /// Data; what the size exceeds it by is a hole.
    File(Vec<u8>),
    /// Names and inodes.
    Directory(Vec<(Vec<u8>, usize)>),
    /// A target.
    Symlink(Vec<u8>),
    /// Nothing.
    Special,
}

#[derive(Clone, Debug)]
struct Inode {
    metadata: Metadata,
    body: Body,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    fault: Option<Errno>,
}

/// What is known without the disk, and how often the disk was asked. That of a copied tree begins anew.
#[derive(Debug, Default)]
struct Cache {
    /// Directories and names that were looked up.
    names: Mutex<BTreeSet<(usize, Vec<u8>)>>,
    waits: AtomicUsize,
}

impl Clone for Cache {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// A tree in memory. A node is an inode's index.
#[derive(Clone, Debug)]
pub struct MemoryVolume {
    inodes: Vec<Inode>,
    info: VolumeInfo,
    longest_read: usize,
    /// Directories whose listings begin again after their end.
    circles: BTreeSet<usize>,
    cache: Cache,
}

/// The time that new inodes get.
pub const MADE: UnixTime = UnixTime {
    seconds: 1_700_000_000,
    nanoseconds: 123_456_789,
};

impl Default for MemoryVolume {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryVolume {
    /// A volume with an empty root.
    pub fn new() -> Self {
        let info = VolumeInfo {
            fs_name: "memory".to_owned(),
            label: b"Test".to_vec(),
            uuid: *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x10\x32\x54\x76\x98\xba\xdc\xfe",
            uuid_text: "01234567-89ab-cdef-1032-547698badcfe".to_owned(),
            block_size: 4096,
            blocks: 1000,
            blocks_free: 600,
            blocks_available: 500,
            io_size: 4096,
            inodes: 128,
            inodes_free: 100,
            name_max: 255,
            created: Some(MADE),
            stale: false,
        };
        let mut volume = Self {
            inodes: Vec::new(),
            info,
            longest_read: usize::MAX,
            circles: BTreeSet::new(),
            cache: Cache::default(),
        };
        volume.inode(FileKind::Directory, Body::Directory(Vec::new()));
        volume.inodes[0].metadata.ino = 2;
        volume
    }

    fn inode(&mut self, kind: FileKind, body: Body) -> usize {
        let number = self.inodes.len();
        let size = match &body {
            Body::File(data) | Body::Symlink(data) => data.len() as u64,
            Body::Directory(_) => 4096,
            Body::Special => 0,
        };
        let metadata = Metadata {
            ino: number as u64 + 11,
            dev: 8 << 32 | 1,
            kind,
            permissions: if kind == FileKind::Directory { 0o755 } else { 0o644 },
            uid: 1000,
            gid: 100,
            nlink: 1,
            size,
            allocated: size.next_multiple_of(4096),
            rdev: (0, 0),
            atime: MADE,
            mtime: MADE,
            ctime: MADE,
            btime: None,
            flags: InodeFlags::default(),
        };
        self.inodes.push(Inode {
            metadata,
            body,
            xattrs: Vec::new(),
            fault: None,
        });
        number
    }

    /// The inode of a path; links are not followed.
    fn at(&self, path: &[u8]) -> usize {
        let mut here = 0;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            here = self
                .entry(here, name)
                .unwrap_or_else(|_| panic!("no {}", path.escape_ascii()));
        }
        here
    }

    fn entry(&self, directory: usize, name: &[u8]) -> Result<usize, Errno> {
        let Body::Directory(entries) = &self.inodes[directory].body else {
            return Err(Errno::ENOTDIR);
        };
        entries
            .iter()
            .find(|(entry, _)| entry == name)
            .map(|(_, inode)| *inode)
            .ok_or(Errno::ENOENT)
    }

    fn link(&mut self, path: &[u8], inode: usize) {
        let slash = path.iter().rposition(|byte| *byte == b'/').unwrap();
        let directory = self.at(&path[..slash]);
        let Body::Directory(entries) = &mut self.inodes[directory].body else {
            panic!("no directory")
        };
        entries.push((path[slash + 1..].to_vec(), inode));
    }

    /// Makes a directory.
    pub fn directory(&mut self, path: impl AsRef<[u8]>) -> &mut Self {
        let inode = self.inode(FileKind::Directory, Body::Directory(Vec::new()));
        self.link(path.as_ref(), inode);
        self
    }

    /// Makes a file.
    pub fn file(&mut self, path: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> &mut Self {
        let inode = self.inode(FileKind::File, Body::File(data.as_ref().to_vec()));
        self.link(path.as_ref(), inode);
        self
    }

    /// Makes a symbolic link.
    pub fn symlink(&mut self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> &mut Self {
        let inode = self.inode(FileKind::Symlink, Body::Symlink(target.as_ref().to_vec()));
        self.link(path.as_ref(), inode);
        self
    }

    /// Makes a FIFO, socket or device node.
    pub fn special(&mut self, path: impl AsRef<[u8]>, kind: FileKind, rdev: (u32, u32)) -> &mut Self {
        let inode = self.inode(kind, Body::Special);
        self.inodes[inode].metadata.rdev = rdev;
        self.link(path.as_ref(), inode);
        self
    }

    /// Gives `existing` another name.
    pub fn hard_link(&mut self, existing: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> &mut Self {
        let inode = self.at(existing.as_ref());
        self.inodes[inode].metadata.nlink += 1;
        self.link(path.as_ref(), inode);
        self
    }

    /// Changes an inode's metadata. A size beyond a file's data is a hole.
    pub fn edit(&mut self, path: impl AsRef<[u8]>, edit: impl FnOnce(&mut Metadata)) -> &mut Self {
        let inode = self.at(path.as_ref());
        edit(&mut self.inodes[inode].metadata);
        self
    }

    /// Sets an extended attribute.
    pub fn set_xattr(&mut self, path: impl AsRef<[u8]>, name: &str, value: &[u8]) -> &mut Self {
        let inode = self.at(path.as_ref());
        self.inodes[inode]
            .xattrs
            .push((name.as_bytes().to_vec(), value.to_vec()));
        self
    }

    /// Makes everything that looks into an inode fail.
    pub fn fail(&mut self, path: impl AsRef<[u8]>, errno: Errno) -> &mut Self {
        let inode = self.at(path.as_ref());
        self.inodes[inode].fault = Some(errno);
        self
    }

    /// Makes the listing of a directory go in a circle.
    pub fn circle(&mut self, path: impl AsRef<[u8]>) -> &mut Self {
        let inode = self.at(path.as_ref());
        self.circles.insert(inode);
        self
    }

    /// Makes each read return at most so many bytes.
    pub fn short_reads(&mut self, longest: usize) -> &mut Self {
        self.longest_read = longest;
        self
    }

    /// Changes what the volume says of itself.
    pub fn edit_info(&mut self, edit: impl FnOnce(&mut VolumeInfo)) -> &mut Self {
        edit(&mut self.info);
        self
    }

    fn healthy(&self, node: usize) -> Result<&Inode, Errno> {
        let inode = &self.inodes[node];
        inode.fault.map_or(Ok(inode), Err)
    }

    /// What the disk is asked for.
    fn read_in(&self, node: usize) -> Result<&Inode, Errno> {
        self.cache.waits.fetch_add(1, Ordering::Relaxed);
        self.healthy(node)
    }

    /// How many calls would have waited for a disk.
    pub fn waits(&self) -> usize {
        self.cache.waits.load(Ordering::Relaxed)
    }

    /// The file system's name, for messages.
    pub fn name(&self) -> String {
        self.info.fs_name.clone()
    }
}

/// What a lookup may be asked for.
fn check_name(name: &[u8]) -> Result<(), Errno> {
    assert!(
        !matches!(name, b"" | b"." | b".."),
        "lookup takes one real component"
    );
    assert!(
        !name.iter().any(|byte| matches!(byte, 0 | b'/')),
        "lookup takes one component"
    );
    if name.len() > 255 {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(())
}

/// The cookie after the entry with number `at`: increasing, and neither dense nor small.
fn cookie(at: usize) -> u64 {
    (at as u64 + 1) * 0x1_0000_0123
}

impl Volume for MemoryVolume {
    type Node = usize;

    fn root(&self) -> Result<usize, Errno> {
        Ok(0)
    }

    fn lookup(&self, directory: &usize, name: &[u8]) -> Result<usize, Errno> {
        check_name(name)?;
        self.read_in(*directory)?;
        let found = self.entry(*directory, name);
        if matches!(found, Ok(_) | Err(Errno::ENOENT)) {
            let mut names = self.cache.names.lock().unwrap();
            names.insert((*directory, name.to_vec()));
        }
        found
    }

    fn lookup_cached(&self, directory: &usize, name: &[u8]) -> Result<usize, Errno> {
        check_name(name)?;
        let names = self.cache.names.lock().unwrap();
        if !names.contains(&(*directory, name.to_vec())) {
            return Err(Errno::EAGAIN);
        }
        let found = self.entry(*directory, name)?;
        match &self.inodes[found].body {
            Body::Symlink(_) => Err(Errno::EAGAIN),
            _ => Ok(found),
        }
    }

    fn metadata(&self, node: &usize) -> Result<Metadata, Errno> {
        let inode = match &self.inodes[*node].body {
            Body::Symlink(_) => self.read_in(*node)?,
            _ => self.healthy(*node)?,
        };
        Ok(inode.metadata)
    }

    fn read_link(&self, node: &usize) -> Result<Vec<u8>, Errno> {
        match &self.read_in(*node)?.body {
            Body::Symlink(target) => Ok(target.clone()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn read(&self, node: &usize, offset: u64, out: &mut [u8]) -> Result<usize, Errno> {
        let inode = self.read_in(*node)?;
        let data = match &inode.body {
            Body::File(data) => data,
            Body::Directory(_) => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        };
        let available = inode.metadata.size.saturating_sub(offset);
        let count = (out.len().min(self.longest_read) as u64).min(available) as usize;
        for (at, byte) in out[..count].iter_mut().enumerate() {
            *byte = data.get(offset as usize + at).copied().unwrap_or(0);
        }
        Ok(count)
    }

    fn next_data(&self, node: &usize, offset: u64) -> Result<Option<Range<u64>>, Errno> {
        let inode = self.read_in(*node)?;
        let Body::File(data) = &inode.body else {
            return Err(Errno::EINVAL);
        };
        let size = inode.metadata.size;
        let mut found: Option<Range<u64>> = None;
        for (number, block) in data.chunks(BLOCK).enumerate() {
            let start = (number * BLOCK) as u64;
            let end = (start + BLOCK as u64).min(size);
            if end <= offset {
                continue;
            }
            match &mut found {
                None if block.iter().all(|byte| *byte == 0) => {}
                None => found = Some(start.max(offset)..end),
                Some(_) if block.iter().all(|byte| *byte == 0) => break,
                Some(found) => found.end = end,
            }
        }
        Ok(found)
    }

    fn read_dir(
        &self,
        directory: &usize,
        from: u64,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        let inode = self.read_in(*directory)?;
        let Body::Directory(entries) = &inode.body else {
            return Err(Errno::ENOTDIR);
        };
        let dots = [(b".".to_vec(), *directory), (b"..".to_vec(), *directory)];
        let once = dots.iter().chain(entries).enumerate();
        let after = once.clone().skip_while(|(at, _)| cookie(*at) <= from);
        let again = once.cycle().take_while(|_| self.circles.contains(directory));
        for (at, (name, child)) in after.chain(again) {
            let Metadata { ino, kind, .. } = self.inodes[*child].metadata;
            if sink(DirEntry {
                ino,
                cookie: cookie(at),
                kind: Some(kind),
                name,
            })
            .is_break()
            {
                break;
            }
        }
        Ok(())
    }

    fn list_xattrs(&self, node: &usize) -> Result<Vec<u8>, Errno> {
        let names = self.read_in(*node)?.xattrs.iter();
        Ok(names
            .flat_map(|(name, _)| name.iter().copied().chain([0]))
            .collect())
    }

    fn xattr(&self, node: &usize, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let mut xattrs = self.read_in(*node)?.xattrs.iter();
        xattrs
            .find(|(stored, _)| stored == name)
            .map(|(_, value)| value.clone())
            .ok_or(Errno::ENODATA)
    }

    fn info(&self) -> Result<VolumeInfo, Errno> {
        self.cache.waits.fetch_add(1, Ordering::Relaxed);
        Ok(self.info.clone())
    }
}
