//! The driver's end: a volume whose answers come from a process.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::{ControlFlow, Range};

use lklfs_fsd::{DirEntry, Errno, FileKind, Metadata, Volume, VolumeInfo};
use zerocopy::FromBytes;

use crate::metadata::MetadataRecord;
use crate::wire::{Answer, Asked, MOST_DATA, Op};
use crate::{entries, info};

/// Bytes of a link's target that are taken: Linux's PATH_MAX.
const MOST_TARGET: usize = 4096;
/// Bytes of attributes: Linux's XATTR_SIZE_MAX.
const MOST_ATTRIBUTE: usize = 65_536;
/// Bytes of entries that are asked for at once.
const LISTING: usize = 32 * 1024;
/// Entries that one call lists at most: a process that never comes to an end is stopped here.
const MOST_ENTRIES: u32 = 1 << 24;

/// Carries calls to the process.
pub trait Transport: Send + Sync {
    /// Asks, and waits for the bytes of the answer, in which nothing was checked but that it is to this call.
    ///
    /// # Errors
    /// Why there is no answer: the process is gone, or has not answered in time.
    fn ask(&self, asked: &Asked<'_>) -> Result<Vec<u8>, Errno>;

    /// The node is let go of: told with a later call. Does not wait.
    fn forget(&self, node: u64);
}

/// A volume that a process serves.
pub struct ServedVolume<T: Transport> {
    transport: Arc<T>,
    root: ServedNode<T>,
}

/// A file, directory, link or special file: a node that the process keeps, with what was said of it when it was found.
pub struct ServedNode<T: Transport> {
    transport: Arc<T>,
    number: u64,
    metadata: Metadata,
    /// Another one, the volume's root, lets go of the node.
    is_borrowed: bool,
}

impl<T: Transport> Drop for ServedNode<T> {
    fn drop(&mut self) {
        if !self.is_borrowed {
            self.transport.forget(self.number);
        }
    }
}

impl<T: Transport> ServedVolume<T> {
    /// The volume that is behind `transport`: asks for the root, which has to be a directory.
    pub fn new(transport: Arc<T>) -> Result<Self, Errno> {
        let asked = Asked {
            op: Op::Root,
            room: size_of::<MetadataRecord>(),
            node: 0,
            offset: 0,
            name: &[],
        };
        let root = find(&transport, &asked)?;
        match root.metadata.kind {
            FileKind::Directory => Ok(ServedVolume { transport, root }),
            _ => Err(Errno::EUCLEAN),
        }
    }

    /// What carries its calls.
    pub fn transport(&self) -> &Arc<T> {
        &self.transport
    }

    fn ask(
        &self,
        op: Op,
        node: &ServedNode<T>,
        (offset, name, room): (u64, &[u8], usize),
    ) -> Result<Vec<u8>, Errno> {
        self.transport.ask(&Asked {
            op,
            room,
            node: node.number,
            offset,
            name,
        })
    }
}

/// Asks for a node.
fn find<T: Transport>(transport: &Arc<T>, asked: &Asked<'_>) -> Result<ServedNode<T>, Errno> {
    let bytes = transport.ask(asked)?;
    let answer = Answer::parse(&bytes, asked.op, asked.room)?;
    let metadata = metadata(answer.data)?;
    if answer.first == 0 || answer.second != 0 {
        return Err(Errno::EUCLEAN);
    }
    Ok(ServedNode {
        transport: Arc::clone(transport),
        number: answer.first,
        metadata,
        is_borrowed: false,
    })
}

fn metadata(bytes: &[u8]) -> Result<Metadata, Errno> {
    let record = MetadataRecord::ref_from_bytes(bytes).map_err(|_| Errno::EUCLEAN)?;
    record.read().ok_or(Errno::EUCLEAN)
}

/// The data of an answer that has nothing else.
fn only_data(bytes: &[u8], op: Op, room: usize) -> Result<&[u8], Errno> {
    match Answer::parse(bytes, op, room)? {
        Answer {
            first: 0,
            second: 0,
            data,
        } => Ok(data),
        _ => Err(Errno::EUCLEAN),
    }
}

/// The data behind the head of an answer, without a copy.
fn into_data(mut bytes: Vec<u8>, op: Op, room: usize) -> Result<Vec<u8>, Errno> {
    let length = only_data(&bytes, op, room)?.len();
    let head = bytes.len().saturating_sub(length);
    bytes.drain(..head);
    Ok(bytes)
}

impl<T: Transport> Volume for ServedVolume<T> {
    type Node = ServedNode<T>;

    fn root(&self) -> Result<Self::Node, Errno> {
        Ok(ServedNode {
            transport: Arc::clone(&self.transport),
            number: self.root.number,
            metadata: self.root.metadata,
            is_borrowed: true,
        })
    }

    fn lookup(&self, directory: &Self::Node, name: &[u8]) -> Result<Self::Node, Errno> {
        if directory.metadata.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let asked = Asked {
            op: Op::Lookup,
            room: size_of::<MetadataRecord>(),
            node: directory.number,
            offset: 0,
            name,
        };
        find(&self.transport, &asked)
    }

    fn metadata(&self, node: &Self::Node) -> Result<Metadata, Errno> {
        Ok(node.metadata)
    }

    fn entry_metadata(&self, directory: &Self::Node, name: &[u8]) -> Result<Metadata, Errno> {
        let room = size_of::<MetadataRecord>();
        let bytes = self.ask(Op::EntryMetadata, directory, (0, name, room))?;
        metadata(only_data(&bytes, Op::EntryMetadata, room)?)
    }

    fn read_link(&self, node: &Self::Node) -> Result<Vec<u8>, Errno> {
        if node.metadata.kind != FileKind::Symlink {
            return Err(Errno::EINVAL);
        }
        let bytes = self.ask(Op::ReadLink, node, (0, &[], MOST_TARGET))?;
        let target = into_data(bytes, Op::ReadLink, MOST_TARGET)?;
        match target.is_empty() || target.contains(&0) {
            true => Err(Errno::EUCLEAN),
            false => Ok(target),
        }
    }

    fn read(&self, node: &Self::Node, offset: u64, out: &mut [u8]) -> Result<usize, Errno> {
        if node.metadata.kind != FileKind::File {
            return Err(Errno::EINVAL);
        }
        let left = node.metadata.size.saturating_sub(offset);
        let wanted = usize::try_from(left).map_or(out.len(), |left| left.min(out.len()));
        let mut at = offset;
        for piece in out.get_mut(..wanted).unwrap_or_default().chunks_mut(MOST_DATA) {
            let bytes = self.ask(Op::Read, node, (at, &[], piece.len()))?;
            let data = only_data(&bytes, Op::Read, piece.len())?;
            // A file is as long as it was said to be, so that there is no end within.
            if data.len() != piece.len() {
                return Err(Errno::EUCLEAN);
            }
            piece.copy_from_slice(data);
            at = at.saturating_add(u64::try_from(data.len()).unwrap_or(0));
        }
        Ok(wanted)
    }

    fn next_data(&self, node: &Self::Node, offset: u64) -> Result<Option<Range<u64>>, Errno> {
        if node.metadata.kind != FileKind::File {
            return Err(Errno::EINVAL);
        }
        if offset >= node.metadata.size {
            return Ok(None);
        }
        let bytes = self.ask(Op::NextData, node, (offset, &[], 0))?;
        match Answer::parse(&bytes, Op::NextData, 0)? {
            Answer {
                first: 0, second: 0, ..
            } => Ok(None),
            Answer { first, second, .. }
                if offset <= first && first < second && second <= node.metadata.size =>
            {
                Ok(Some(first..second))
            }
            _ => Err(Errno::EUCLEAN),
        }
    }

    fn read_dir(
        &self,
        directory: &Self::Node,
        cookie: u64,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        if directory.metadata.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let (mut at, mut count) = (cookie, 0u32);
        loop {
            let bytes = self.ask(Op::ReadDir, directory, (at, &[], LISTING))?;
            let answer = Answer::parse(&bytes, Op::ReadDir, LISTING)?;
            let mut rest = answer.data;
            // The whole answer is looked at before any of it is used.
            while !rest.is_empty() {
                let _ = entries::take(&mut rest).ok_or(Errno::EUCLEAN)?;
                count = count.saturating_add(1);
            }
            let is_end = match (answer.first, answer.second) {
                (1, 0) => true,
                (0, 0) if !answer.data.is_empty() && count < MOST_ENTRIES => false,
                _ => return Err(Errno::EUCLEAN),
            };
            let (begin, mut rest) = (at, answer.data);
            while let Some(entry) = entries::take(&mut rest) {
                at = entry.cookie;
                if sink(entry).is_break() {
                    return Ok(());
                }
            }
            if is_end {
                return Ok(());
            }
            if at == begin {
                return Err(Errno::EUCLEAN);
            }
        }
    }

    fn list_xattrs(&self, node: &Self::Node) -> Result<Vec<u8>, Errno> {
        let bytes = self.ask(Op::ListXattrs, node, (0, &[], MOST_ATTRIBUTE))?;
        let names = into_data(bytes, Op::ListXattrs, MOST_ATTRIBUTE)?;
        let mut each = names.split(|byte| *byte == 0);
        // What is behind the last NUL.
        let last = each.next_back();
        match last.is_none_or(<[u8]>::is_empty) && each.all(|name| !name.is_empty() && name.len() <= 255) {
            true => Ok(names),
            false => Err(Errno::EUCLEAN),
        }
    }

    fn xattr(&self, node: &Self::Node, name: &[u8]) -> Result<Vec<u8>, Errno> {
        // What cannot be a name is the name of nothing.
        if name.is_empty() || name.len() > 255 || name.contains(&0) {
            return Err(Errno::ENODATA);
        }
        let bytes = self.ask(Op::Xattr, node, (0, name, MOST_ATTRIBUTE))?;
        into_data(bytes, Op::Xattr, MOST_ATTRIBUTE)
    }

    fn info(&self) -> Result<VolumeInfo, Errno> {
        let asked = Asked {
            op: Op::Info,
            room: info::MOST,
            node: 0,
            offset: 0,
            name: &[],
        };
        let bytes = self.transport.ask(&asked)?;
        info::read(only_data(&bytes, Op::Info, info::MOST)?)
    }
}
