//! The kernel's requests. Each is answered by a function of [`Served`]: `names`, `contents`, `flags`, `listing` and `values` have them;
//! `replies` is what the answers have in common.
//!
//! It is long because it is one list: the functions of a trait stand in one place.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, IoctlFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite,
    ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use lkl::Errno;

use crate::attributes::{nothing, set_time};
use crate::served::Served;

mod contents;
mod flags;
mod listing;
mod names;
mod replies;
mod values;

use contents::Change;
use names::{By, New};

/// Numbers are never used twice while the kernel knows one.
const GENERATION: Generation = Generation(0);

/// A mount.
#[derive(Debug)]
pub struct Lklfuse(pub Arc<Served>);

impl Filesystem for Lklfuse {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        replies::agree(&self.0.manners, config);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (served, _turn) = self.turn();
        match served.answer(|| served.lookup(parent.0, name.as_bytes())) {
            Ok(Some(found)) => self.entry(Ok(found), reply),
            Ok(None) if served.manners.names.is_zero() => reply.error(fuser::Errno::ENOENT),
            Ok(None) => reply.entry_with_ttls(
                &served.manners.attributes,
                &served.manners.names,
                &nothing(),
                GENERATION,
            ),
            Err(errno) => reply.error(errno),
        }
    }

    fn forget(&self, _: &Request, ino: INodeNo, nlookup: u64) {
        let (served, _turn) = self.turn();
        let _ = served.answer(|| {
            served.nodes.forget(ino.0, nlookup);
            Ok(())
        });
    }

    fn getattr(&self, _: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        let (served, _turn) = self.turn();
        let stat = served.answer(|| served.stat(ino.0, fh.map(u64::from)));
        self.attributes(ino, stat, reply);
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let (served, _turn) = self.turn();
        let change = Change {
            mode,
            uid,
            gid,
            size,
            accessed: set_time(atime),
            modified: set_time(mtime),
            by_root: request.uid() == 0,
        };
        let stat = served.answer(|| served.change(ino.0, fh.map(u64::from), &change));
        self.attributes(ino, stat, reply);
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        let (served, _turn) = self.turn();
        match served.answer(|| served.node(ino.0)?.1.read_link()) {
            Ok(target) => reply.data(&target),
            Err(errno) => reply.error(errno),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let (served, _turn) = self.turn();
        let new = New::Node { mode, umask, rdev };
        let made = served.answer(|| served.make(By::of(request), parent.0, name.as_bytes(), new));
        self.entry(made, reply);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let (served, _turn) = self.turn();
        let new = New::Folder { mode, umask };
        let made = served.answer(|| served.make(By::of(request), parent.0, name.as_bytes(), new));
        self.entry(made, reply);
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let (served, _turn) = self.turn();
        let new = New::Link(target.as_os_str().as_bytes());
        let made = served.answer(|| served.make(By::of(request), parent.0, link_name.as_bytes(), new));
        self.entry(made, reply);
    }

    fn link(&self, _: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        let (served, _turn) = self.turn();
        let made = served.answer(|| served.link(ino.0, newparent.0, newname.as_bytes()));
        self.entry(made, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (served, _turn) = self.turn();
        self.empty(
            served.answer(|| served.remove(parent.0, name.as_bytes(), false)),
            reply,
        );
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (served, _turn) = self.turn();
        self.empty(
            served.answer(|| served.remove(parent.0, name.as_bytes(), true)),
            reply,
        );
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (served, _turn) = self.turn();
        let (from, to) = ((parent.0, name.as_bytes()), (newparent.0, newname.as_bytes()));
        self.empty(served.answer(|| served.rename(from, to, flags.bits())), reply);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (served, _turn) = self.turn();
        let created =
            served.answer(|| served.create(By::of(request), parent.0, name.as_bytes(), (mode, umask), flags));
        match created {
            Ok((found, handle)) => {
                let ttl = served.manners.names.min(served.manners.attributes);
                reply.created(&ttl, &found, GENERATION, FileHandle(handle), contents::CACHED);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (served, _turn) = self.turn();
        match served.answer(|| served.open(ino.0, flags.0)) {
            Ok((handle, how)) => reply.opened(FileHandle(handle), how),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let (served, _turn) = self.turn();
        contents::with_buffer(size, |buffer| {
            match served.answer(|| served.read(fh.0, buffer, offset)) {
                Ok(len) => reply.data(buffer.get(..len).unwrap_or_default()),
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn write(
        &self,
        _: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let (served, _turn) = self.turn();
        let kill = write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        match served.answer(|| served.write(fh.0, data, offset, kill)) {
            Ok(len) => reply.written(len),
            Err(errno) => reply.error(errno),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // What was written is Linux's already; the kernel does not ask again.
        reply.error(fuser::Errno::ENOSYS);
    }

    fn release(
        &self,
        _: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let (served, _turn) = self.turn();
        reply.ok();
        let _ = served.answer(|| {
            served.files.close(fh.0);
            Ok(())
        });
    }

    fn fsync(&self, _: &Request, _: INodeNo, fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        let (served, _turn) = self.turn();
        let done = served.answer(|| served.sync(&*served.files.get(fh.0)?, datasync));
        self.empty(done, reply);
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let (served, _turn) = self.turn();
        match served.answer(|| served.open_folder(ino.0)) {
            Ok(handle) => {
                let flags = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR;
                reply.opened(FileHandle(handle), flags);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn readdir(&self, _: &Request, _: INodeNo, fh: FileHandle, mut offset: u64, mut reply: ReplyDirectory) {
        let (served, _turn) = self.turn();
        match served.answer(|| served.list(fh.0, &mut offset, &mut reply)) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdirplus(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        mut offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let (served, _turn) = self.turn();
        match served.answer(|| served.list_with_attributes(ino.0, fh.0, &mut offset, &mut reply)) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        let (served, _turn) = self.turn();
        reply.ok();
        let _ = served.answer(|| {
            served.folders.close(fh.0);
            Ok(())
        });
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        let (served, _turn) = self.turn();
        let done = served.answer(|| served.sync(&*served.folders.get(fh.0)?, datasync));
        self.empty(done, reply);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let (served, _turn) = self.turn();
        match served.answer(|| served.node(crate::nodes::ROOT)?.1.statfs()) {
            Ok(found) => reply.statfs(
                found.blocks,
                found.blocks_free,
                found.blocks_available,
                found.files,
                found.files_free,
                u32::try_from(found.block_size).unwrap_or(4096),
                u32::try_from(found.name_max).unwrap_or(255),
                u32::try_from(found.fragment_size).unwrap_or(4096),
            ),
            Err(errno) => reply.error(errno),
        }
    }

    fn setxattr(
        &self,
        _: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let (served, _turn) = self.turn();
        let done = served.answer(|| served.set_value(ino.0, name.as_bytes(), value, flags));
        self.empty(done, reply);
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let (served, _turn) = self.turn();
        let value = served.answer(|| served.value(ino.0, name.as_bytes()));
        values::reply(value, size, reply);
    }

    fn listxattr(&self, _: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let (served, _turn) = self.turn();
        values::reply(served.answer(|| served.value_names(ino.0)), size, reply);
    }

    fn removexattr(&self, _: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (served, _turn) = self.turn();
        self.empty(
            served.answer(|| served.remove_value(ino.0, name.as_bytes())),
            reply,
        );
    }

    fn ioctl(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        flags: IoctlFlags,
        cmd: u32,
        in_data: &[u8],
        out_size: u32,
        reply: ReplyIoctl,
    ) {
        let (served, _turn) = self.turn();
        let is_folder = flags.contains(IoctlFlags::FUSE_IOCTL_DIR);
        match served.answer(|| served.flags((ino.0, fh.0, is_folder), cmd, in_data)) {
            Ok(answer) => {
                let wanted = usize::try_from(out_size).unwrap_or(0);
                reply.ioctl(0, answer.get(..wanted).unwrap_or(&answer));
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let (served, _turn) = self.turn();
        self.empty(
            served.answer(|| served.allocate(fh.0, offset, length, mode)),
            reply,
        );
    }

    fn lseek(&self, _: &Request, _ino: INodeNo, fh: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let (served, _turn) = self.turn();
        match served.answer(|| served.seek(fh.0, offset, whence)) {
            Ok(place) => reply.offset(place),
            Err(errno) => reply.error(errno),
        }
    }

    fn copy_file_range(
        &self,
        _: &Request,
        _ino_in: INodeNo,
        fh_in: FileHandle,
        offset_in: u64,
        _ino_out: INodeNo,
        fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let (served, _turn) = self.turn();
        let copied = served.answer(|| served.copy((fh_in.0, offset_in), (fh_out.0, offset_out), len));
        match copied {
            Ok(len) => reply.written(len),
            Err(errno) => reply.error(errno),
        }
    }
}

/// Whether an error says that there is no such entry, which the kernel may remember.
fn is_missing<T>(found: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}
