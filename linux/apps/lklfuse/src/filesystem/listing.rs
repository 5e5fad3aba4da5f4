//! Listing folders, with what the kernel would ask next or without.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use fuser::{FileAttr, INodeNo, ReplyDirectory, ReplyDirectoryPlus};
use lkl::{DirEntry, Errno, OwnedFd};

use super::GENERATION;
use crate::attributes::{attributes, entry_kind, kind, nothing};
use crate::served::Served;

/// Bytes that Linux fills with entries at once.
const BUFFER: usize = 32 << 10;

thread_local! {
    static ENTRIES: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
}

fn read(
    folder: &OwnedFd,
    offset: u64,
    sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
) -> Result<(), Errno> {
    ENTRIES.with_borrow_mut(|buffer| folder.read_dir_with(buffer, offset, sink))?;
    Ok(())
}

impl Served {
    /// Lists from `offset` on, which goes on with what the reply takes.
    pub(super) fn list(
        &self,
        handle: u64,
        offset: &mut u64,
        reply: &mut ReplyDirectory,
    ) -> Result<(), Errno> {
        let folder = self.folders.get(handle)?;
        let mut has_died = false;
        read(&folder, *offset, &mut |entry| {
            let known = entry_kind(entry.kind);
            let stat = known.is_none().then(|| folder.statx_at(entry.name));
            if matches!(stat, Some(Err(Errno::ENODEV))) && folder.kernel().is_dead() {
                has_died = true;
                return ControlFlow::Break(());
            }
            let kind = known.or_else(|| Some(kind(stat?.ok()?.file_type())));
            let kind = kind.unwrap_or(fuser::FileType::RegularFile);
            match reply.add(
                INodeNo(entry.ino),
                entry.cookie,
                kind,
                OsStr::from_bytes(entry.name),
            ) {
                true => ControlFlow::Break(()),
                false => {
                    *offset = entry.cookie;
                    ControlFlow::Continue(())
                }
            }
        })?;
        gone_on(has_died)
    }

    /// As [`Served::list`].
    pub(super) fn list_with_attributes(
        &self,
        number: u64,
        handle: u64,
        offset: &mut u64,
        reply: &mut ReplyDirectoryPlus,
    ) -> Result<(), Errno> {
        let (node, folder) = (self.nodes.get(number)?, self.folders.get(handle)?);
        let ttl = self.manners.names.min(self.manners.attributes);
        let (device, _) = self.nodes.identity(&folder.statx()?);
        let mut has_died = false;
        read(&folder, *offset, &mut |entry| {
            // The kernel takes nothing of these but number and type.
            let is_dot = matches!(entry.name, b"." | b"..");
            let stat = match is_dot {
                true => Err(Errno::EISDIR),
                false => folder.statx_at(entry.name),
            };
            let (identity, attributes, ttl) = match stat {
                Ok(stat) => {
                    let attributes = attributes(self.nodes.number(&stat), &stat);
                    (self.nodes.identity(&stat), attributes, ttl)
                }
                // It was removed meanwhile.
                Err(Errno::ENOENT) => return ControlFlow::Continue(()),
                // Linux has died, and this listing goes on in the next one.
                Err(Errno::ENODEV) if !is_dot && folder.kernel().is_dead() => {
                    has_died = true;
                    return ControlFlow::Break(());
                }
                // It is damaged, which is told when the kernel asks again, at once.
                Err(_) => {
                    let identity = (device, entry.ino);
                    let number = if is_dot {
                        entry.ino
                    } else {
                        self.nodes.number_of(identity)
                    };
                    let attributes = FileAttr {
                        ino: INodeNo(number),
                        kind: entry_kind(entry.kind).unwrap_or(fuser::FileType::RegularFile),
                        ..nothing()
                    };
                    (identity, attributes, Duration::ZERO)
                }
            };
            let name = OsStr::from_bytes(entry.name);
            if reply.add(attributes.ino, entry.cookie, name, &ttl, &attributes, GENERATION) {
                return ControlFlow::Break(());
            }
            *offset = entry.cookie;
            if !is_dot {
                self.nodes.found_as(&node, entry.name, identity);
            }
            ControlFlow::Continue(())
        })?;
        gone_on(has_died)
    }
}

/// An error if Linux has died in the middle of a listing.
fn gone_on(has_died: bool) -> Result<(), Errno> {
    match has_died {
        true => Err(Errno::ENODEV),
        false => Ok(()),
    }
}
