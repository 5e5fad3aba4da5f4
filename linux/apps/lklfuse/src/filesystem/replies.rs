//! What the kernel and the mount agree on in the beginning, and the kinds of answers that many requests have.

use fuser::{INodeNo, InitFlags, KernelConfig, ReplyAttr, ReplyEmpty, ReplyEntry};
use lkl::Statx;

use super::{GENERATION, Lklfuse};
use crate::attributes::attributes;
use crate::readers::Turn;
use crate::served::{Manners, Served};

/// Bytes of a write or read at most: what the kernel allows.
const MOST: u32 = 1 << 20;

/// Tells the kernel what it may do.
pub(super) fn agree(manners: &Manners, config: &mut KernelConfig) {
    let mut wanted = InitFlags::FUSE_DO_READDIRPLUS
        | InitFlags::FUSE_READDIRPLUS_AUTO
        | InitFlags::FUSE_PARALLEL_DIROPS
        | InitFlags::FUSE_CACHE_SYMLINKS
        | InitFlags::FUSE_DONT_MASK
        | InitFlags::FUSE_EXPLICIT_INVAL_DATA
        | InitFlags::FUSE_HANDLE_KILLPRIV_V2
        | InitFlags::FUSE_ASYNC_DIO;
    if manners.permissions {
        wanted |= InitFlags::FUSE_POSIX_ACL;
    }
    if manners.writeback {
        wanted |= InitFlags::FUSE_WRITEBACK_CACHE;
    }
    // What an older kernel has not got it does without.
    let _ = config.add_capabilities(wanted & config.capabilities());
    let _ = config.set_max_write(MOST);
    let _ = config.set_max_background(64);
}

impl Lklfuse {
    pub(super) fn entry(&self, made: Result<fuser::FileAttr, fuser::Errno>, reply: ReplyEntry) {
        let manners = &self.0.manners;
        match made {
            Ok(found) => reply.entry_with_ttls(&manners.attributes, &manners.names, &found, GENERATION),
            Err(errno) => reply.error(errno),
        }
    }

    pub(super) fn empty(&self, done: Result<(), fuser::Errno>, reply: ReplyEmpty) {
        match done {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    pub(super) fn attributes(&self, ino: INodeNo, stat: Result<Statx, fuser::Errno>, reply: ReplyAttr) {
        let served = &self.0;
        match stat {
            Ok(stat) => reply.attr(
                &served.manners.attributes,
                &attributes(served.shown(ino.0, &stat), &stat),
            ),
            Err(errno) => reply.error(errno),
        }
    }

    /// This thread has a request, until the second of these is dropped.
    pub(super) fn turn(&self) -> (&Served, Turn<'_>) {
        (&self.0, self.0.readers.turn())
    }
}
