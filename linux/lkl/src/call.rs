//! Calls into Linux: each `linux_*` function and each system call that this crate makes, with safe arguments.
//!
//! A system call here takes slices and plain numbers, so that the pointers that Linux gets are right by construction,
//! and file descriptors as numbers: a wrong one is an error, not undefined behaviour. Numbers are x86-64's.

// UNSAFETY: calls Linux's functions across the seam.

#![allow(unsafe_code)]

use crate::disk::{DiskLink, DiskStats};
use crate::errno::Errno;
use crate::extend::{Announce, RequestGate};
use crate::kernel::{DiskParams, Kernel};
use crate::stat::{RawStatFs, RawStatx};
use crate::sys::{self, Long, lkl_host_ops, lkl_task};
use alloc::sync::Arc;
use core::ptr::{NonNull, null, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};
use zerocopy::{FromZeros, Immutable, IntoBytes};

/// A file descriptor of Linux.
pub(crate) type Fd = i32;

/// "The current directory" of the *at calls; used with absolute paths only.
pub(crate) const AT_FDCWD: Fd = -100;

const SYS_CLOSE: Long = 3;
const SYS_LSEEK: Long = 8;
const SYS_IOCTL: Long = 16;
const SYS_PREAD64: Long = 17;
const SYS_READ: Long = 0;
const SYS_FSTATFS: Long = 138;
const SYS_SYSINFO: Long = 99;
const SYS_UNAME: Long = 63;
const SYS_GETXATTR: Long = 191;
const SYS_LISTXATTR: Long = 194;
const SYS_GETDENTS64: Long = 217;
const SYS_OPENAT: Long = 257;
const SYS_READLINKAT: Long = 267;
const SYS_PRLIMIT64: Long = 302;
const SYS_STATX: Long = 332;
const SYS_FSOPEN: Long = 430;
const SYS_FSCONFIG: Long = 431;
const SYS_FSMOUNT: Long = 432;
const SYS_OPENAT2: Long = 437;

/// A NUL-terminated string for Linux, in a buffer of its own: names and short paths.
pub(crate) struct CName([u8; 256]);

impl CName {
    /// ENAMETOOLONG beyond 255 bytes; EINVAL with a NUL inside.
    pub(crate) fn new(name: &[u8]) -> Result<Self, Errno> {
        let mut bytes = [0; 256];
        if name.len() >= bytes.len() {
            return Err(Errno::ENAMETOOLONG);
        }
        if name.contains(&0) {
            return Err(Errno::EINVAL);
        }
        for (place, byte) in bytes.iter_mut().zip(name) {
            *place = *byte;
        }
        Ok(CName(bytes))
    }
}

/// `struct open_how` of linux/openat2.h.
#[derive(Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct OpenHow {
    pub(crate) flags: u64,
    pub(crate) mode: u64,
    pub(crate) resolve: u64,
}

/// An argument of a system call.
trait Arg {
    fn word(self) -> Long;
}
impl Arg for i32 {
    fn word(self) -> Long {
        Long::from(self)
    }
}
impl Arg for u32 {
    fn word(self) -> Long {
        Long::from(self)
    }
}
impl Arg for u64 {
    fn word(self) -> Long {
        self.cast_signed()
    }
}
impl Arg for usize {
    #[allow(clippy::as_conversions)] // sys.rs asserts that usize has the width of Long
    fn word(self) -> Long {
        self as Long
    }
}
impl<T> Arg for *const T {
    fn word(self) -> Long {
        self.expose_provenance().word()
    }
}
impl<T> Arg for *mut T {
    fn word(self) -> Long {
        self.expose_provenance().word()
    }
}

macro_rules! syscall {
    ($kernel:expr, $number:expr $(, $arg:expr)*) => {{
        let mut args: [Long; 6] = [0; 6];
        for (place, word) in args.iter_mut().zip([$(Arg::word($arg)),*]) {
            *place = word;
        }
        raw($kernel, $number, &args)
    }};
}

/// A system call on this thread, with a task of the pool.
///
/// # Safety
/// The arguments are right for the call: its pointers are valid for what Linux does with them.
pub(crate) unsafe fn raw(kernel: &Kernel, number: Long, args: &[Long; 6]) -> Result<u64, Errno> {
    with_task(kernel, |task| {
        // SAFETY: the task is lent to this thread; the arguments are the caller's promise.
        Errno::check(unsafe { sys::linux_syscall(task.as_ptr(), number, args) })
    })
}

/// A system call on this thread, with a task of the caller's.
///
/// # Safety
/// As [`raw`]; and `task` is one of [`task_new`]'s that no other thread uses.
pub(crate) unsafe fn as_task(
    kernel: &Kernel,
    task: NonNull<lkl_task>,
    number: Long,
    args: &[Long; 6],
) -> Result<u64, Errno> {
    inside(kernel, || {
        // SAFETY: the caller's promise.
        contained(|| Errno::check(unsafe { sys::linux_syscall(task.as_ptr(), number, args) }))
    })
}

/// A task that does not belong to the pool.
pub(crate) fn task_new(kernel: &Kernel) -> Result<NonNull<lkl_task>, Errno> {
    inside(kernel, || kernel.inner.tasks.with_parent(new_task))
}

/// Ends a task of [`task_new`]'s that no thread uses. Of a Linux that is gone there is nothing to end.
pub(crate) fn task_free(kernel: &Kernel, task: NonNull<lkl_task>) {
    let ended = |parent: NonNull<lkl_task>| {
        contained(|| {
            // SAFETY: the pool lets one thread at a time use the parent; the task is the caller's, who gives it up.
            unsafe { sys::linux_task_free(parent.as_ptr(), task.as_ptr()) };
            Ok(())
        })
    };
    // It ends with Linux at the latest.
    let _ = inside(kernel, || kernel.inner.tasks.with_parent(ended));
}

/// A call of an added part's, with a task of the pool.
pub(crate) fn by_task(kernel: &Kernel, act: impl FnOnce(*mut lkl_task) -> Long) -> Result<u64, Errno> {
    with_task(kernel, |task| Errno::check(act(task.as_ptr())))
}

/// A call of an added part's, with a task that no other thread uses.
pub(crate) fn by_this(
    kernel: &Kernel,
    task: NonNull<lkl_task>,
    act: impl FnOnce(*mut lkl_task) -> Long,
) -> Result<u64, Errno> {
    inside(kernel, || contained(|| Errno::check(act(task.as_ptr()))))
}

/// Runs `act` with a task of the pool.
fn with_task<T>(
    kernel: &Kernel,
    act: impl FnOnce(NonNull<lkl_task>) -> Result<T, Errno>,
) -> Result<T, Errno> {
    inside(kernel, || {
        kernel.inner.tasks.take(new_task).and_then(|lent| {
            // Whose work it was that Linux died of stays noted: a task that comes back after that is charged to no other.
            if !kernel.inner.shared.has_died() {
                kernel.inner.tasks.charge(&lent, kernel.account);
            }
            let result = contained(|| act(lent.task));
            kernel.inner.tasks.give_back(lent);
            result
        })
    })
}

/// Runs `act` inside Linux's door: told to the host, counted at the gate.
///
/// Linux's file systems make EIO of a page or a block that did not come, for whatever reason. When the host or a disk had no
/// memory meanwhile, that is told instead: ENOMEM, after which one tries again.
fn inside<T>(kernel: &Kernel, act: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let inner = &*kernel.inner;
    inner.marks().enter_linux();
    let result = if inner.shared.calls.enter() {
        let before = inner.shared.shortages();
        let result = match act() {
            Err(Errno::EIO) if inner.shared.shortages() != before => Err(Errno::ENOMEM),
            result => result,
        };
        inner.shared.calls.leave();
        result
    } else {
        Err(Errno::ENODEV)
    };
    inner.marks().leave_linux();
    result
}

/// Calls Linux. Where a host cannot send a thread that has faulted there away by itself, as it does with a signal, the fault
/// ends the call and Linux.
fn contained<T>(act: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    #[cfg(windows)]
    return crate::seh::contain(act).unwrap_or(Err(Errno::ENODEV));
    #[cfg(not(windows))]
    act()
}

fn new_task(parent: NonNull<lkl_task>) -> Result<NonNull<lkl_task>, Errno> {
    let mut child = null_mut();
    // SAFETY: the pool lets one thread at a time use the parent.
    contained(|| Errno::check(unsafe { sys::linux_task_new(parent.as_ptr(), &mut child) }))?;
    NonNull::new(child).ok_or(Errno::EAGAIN)
}

/// `command_line` ends with a NUL. The table, and what it points to, stay until [`halt`] has returned.
pub(crate) fn boot(
    table: &lkl_host_ops,
    pool_size: usize,
    command_line: &[u8],
) -> Result<NonNull<lkl_task>, Errno> {
    let params = sys::lkl_boot_params {
        pool_size,
        command_line: command_line.as_ptr().cast(),
    };
    let mut first = null_mut();
    // SAFETY: all three live through the call, and the table for as long as the kernel (see Inner).
    Errno::check(unsafe { sys::linux_boot(table, &params, &mut first) })?;
    NonNull::new(first).ok_or(Errno::EIO)
}

/// Only when no thread is inside Linux and none can enter. False when one of Linux's own is in a loop that does not end:
/// nothing was freed then.
pub(crate) fn halt() -> bool {
    // SAFETY: Inner has closed both gates, or nobody has entered yet.
    unsafe { sys::linux_halt() == 0 }
}

pub(crate) fn is_dead() -> bool {
    // SAFETY: callable in any context.
    unsafe { sys::linux_is_dead() != 0 }
}

/// Tells Linux that this thread, which was running Linux code, has faulted. For a host's fault handler only. Does
/// not return if the thread was inside Linux.
pub fn fault(why: &core::ffi::CStr) {
    // SAFETY: `why` is a string; callable by any thread.
    unsafe { sys::linux_fault(why.as_ptr()) }
}

pub(crate) fn self_test(kernel: &Kernel, what: u64) -> Result<u64, Errno> {
    with_task(kernel, |task| {
        // SAFETY: the task is lent.
        Errno::check(unsafe { sys::linux_selftest(task.as_ptr(), what) })
    })
}

pub(crate) fn disk_add(
    kernel: &Kernel,
    disk: NonNull<DiskLink>,
    link: &Arc<DiskLink>,
    params: &DiskParams,
    by: Option<&dyn Announce>,
) -> Result<sys::lkl_disk_info, Errno> {
    let params = sys::lkl_disk_params {
        disk: disk.as_ptr().cast(),
        size: params.size,
        block_size: params.block_size,
        queue_depth: params.queue_depth,
        overlay_limit: params.overlay_limit,
        padding: params.padding,
    };
    let mut info = sys::lkl_disk_info::default();
    with_task(kernel, |task| {
        let task = task.as_ptr();
        Errno::check(match by {
            // SAFETY: the structures live through the call; the link is kept by Inner until it is removed.
            None => unsafe { sys::linux_disk_add(task, &params, &mut info) },
            // SAFETY: the same.
            Some(by) => unsafe { by.announce(task, &params, &mut info, RequestGate::new(link.shared())) },
        })
    })?;
    Ok(info)
}

pub(crate) fn disk_remove(kernel: &Kernel, major: u32, minor: u32) -> Result<(), Errno> {
    with_task(kernel, |task| {
        // SAFETY: the task is lent.
        Errno::check(unsafe { sys::linux_disk_remove(task.as_ptr(), major, minor) })
    })?;
    Ok(())
}

pub(crate) fn disk_gone(major: u32, minor: u32) {
    // SAFETY: callable in any context while Linux is there, which callers see to.
    unsafe { sys::linux_disk_gone(major, minor) }
}

pub(crate) fn disk_stats(kernel: &Kernel, major: u32, minor: u32) -> Result<DiskStats, Errno> {
    let mut stats = sys::lkl_disk_stats::default();
    with_task(kernel, |task| {
        // SAFETY: the structure lives through the call.
        Errno::check(unsafe { sys::linux_disk_stats(task.as_ptr(), major, minor, &mut stats) })
    })?;
    Ok(DiskStats {
        reads: stats.reads,
        read_bytes: stats.read_bytes,
        overlay_bytes: stats.overlay_bytes,
        writes_refused: stats.writes_refused,
    })
}

/// Drops the count that a slot of the kernel's table of disks owned.
pub(crate) fn drop_link(pointer: *mut DiskLink) {
    if !pointer.is_null() {
        // SAFETY: the caller has just taken the pointer, and the count with it, out of a slot (or never put it in).
        drop(unsafe { Arc::from_raw(pointer.cast_const()) });
    }
}

/// The device numbers of the link in a slot. Only for halt: nobody else removes disks then.
pub(crate) fn peek_link(slot: &AtomicPtr<DiskLink>) -> Option<(u32, u32)> {
    let pointer = NonNull::new(slot.load(Ordering::Acquire))?;
    // SAFETY: the slot owns a count.
    unsafe { pointer.as_ref() }.device()
}

// System calls.

/// Lets the host have as many descriptors open as Linux ever allows (fs.nr_open) instead of the 1024 of a process.
pub(crate) fn raise_descriptor_limit(kernel: &Kernel) -> Result<(), Errno> {
    const RLIMIT_NOFILE: i32 = 7;
    const NR_OPEN: u64 = 1 << 20;
    // struct rlimit64: soft and hard limit.
    let limit = [NR_OPEN, NR_OPEN];
    // SAFETY: Linux reads the structure and writes no other.
    unsafe {
        syscall!(
            kernel,
            SYS_PRLIMIT64,
            0i32,
            RLIMIT_NOFILE,
            limit.as_ptr(),
            null::<u64>()
        )
    }
    .map(drop)
}

pub(crate) fn close(kernel: &Kernel, fd: Fd) -> Result<(), Errno> {
    // SAFETY: no pointers.
    unsafe { syscall!(kernel, SYS_CLOSE, fd) }.map(drop)
}

pub(crate) fn openat(kernel: &Kernel, dir: Fd, name: &CName, flags: i32) -> Result<Fd, Errno> {
    // SAFETY: a NUL-terminated string.
    descriptor(unsafe { syscall!(kernel, SYS_OPENAT, dir, name.0.as_ptr(), flags, 0i32) })
}

pub(crate) fn openat2(kernel: &Kernel, dir: Fd, name: &CName, how: &OpenHow) -> Result<Fd, Errno> {
    let how = how.as_bytes();
    // SAFETY: a NUL-terminated string, and a structure with its size.
    descriptor(unsafe { syscall!(kernel, SYS_OPENAT2, dir, name.0.as_ptr(), how.as_ptr(), how.len()) })
}

pub(crate) fn read(kernel: &Kernel, fd: Fd, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: Linux writes at most len bytes.
    amount(unsafe { syscall!(kernel, SYS_READ, fd, buffer.as_mut_ptr(), buffer.len()) })
}

pub(crate) fn pread(kernel: &Kernel, fd: Fd, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    // SAFETY: Linux writes at most len bytes.
    amount(unsafe { syscall!(kernel, SYS_PREAD64, fd, buffer.as_mut_ptr(), buffer.len(), offset) })
}

/// Sets a file position, counted from the start.
pub(crate) fn seek(kernel: &Kernel, fd: Fd, position: u64) -> Result<(), Errno> {
    const SEEK_SET: i32 = 0;
    // SAFETY: no pointers.
    unsafe { syscall!(kernel, SYS_LSEEK, fd, position, SEEK_SET) }.map(drop)
}

/// Bytes of a file or a block device; the file position moves there.
pub(crate) fn seek_end(kernel: &Kernel, fd: Fd) -> Result<u64, Errno> {
    const SEEK_END: i32 = 2;
    // SAFETY: no pointers.
    unsafe { syscall!(kernel, SYS_LSEEK, fd, 0u64, SEEK_END) }
}

/// Where the next data, or the next hole, begins at or after a position. ENXIO when there is none.
pub(crate) fn seek_next(kernel: &Kernel, fd: Fd, position: u64, hole: bool) -> Result<u64, Errno> {
    const SEEK_DATA: i32 = 3;
    const SEEK_HOLE: i32 = 4;
    let what = if hole { SEEK_HOLE } else { SEEK_DATA };
    // SAFETY: no pointers.
    unsafe { syscall!(kernel, SYS_LSEEK, fd, position, what) }
}

pub(crate) fn getdents64(kernel: &Kernel, fd: Fd, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: Linux writes at most len bytes.
    amount(unsafe { syscall!(kernel, SYS_GETDENTS64, fd, buffer.as_mut_ptr(), buffer.len()) })
}

/// statx of the descriptor itself.
pub(crate) fn statx(kernel: &Kernel, fd: Fd, mask: u32) -> Result<RawStatx, Errno> {
    const AT_EMPTY_PATH: i32 = 0x1000;
    let mut raw = RawStatx::new_zeroed();
    let empty = c"".as_ptr();
    let place: *mut RawStatx = &mut raw;
    // SAFETY: a NUL-terminated string, and room for the structure.
    unsafe { syscall!(kernel, SYS_STATX, fd, empty, AT_EMPTY_PATH, mask, place) }?;
    Ok(raw)
}

/// statx of an entry of a folder; a link at its end is not followed.
pub(crate) fn statx_at(kernel: &Kernel, folder: Fd, name: &CName, mask: u32) -> Result<RawStatx, Errno> {
    const AT_SYMLINK_NOFOLLOW: i32 = 0x100;
    const AT_NO_AUTOMOUNT: i32 = 0x800;
    let flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
    let mut raw = RawStatx::new_zeroed();
    let name = name.0.as_ptr();
    let place: *mut RawStatx = &mut raw;
    // SAFETY: a NUL-terminated string, and room for the structure.
    unsafe { syscall!(kernel, SYS_STATX, folder, name, flags, mask, place) }?;
    Ok(raw)
}

pub(crate) fn fstatfs(kernel: &Kernel, fd: Fd) -> Result<RawStatFs, Errno> {
    let mut raw = RawStatFs::new_zeroed();
    let place: *mut RawStatFs = &mut raw;
    // SAFETY: room for the structure.
    unsafe { syscall!(kernel, SYS_FSTATFS, fd, place) }?;
    Ok(raw)
}

/// `struct new_utsname`: six texts, of which the third is the release.
#[derive(FromZeros)]
#[repr(C)]
pub(crate) struct RawNames(pub(crate) [[u8; 65]; 6]);

pub(crate) fn uname(kernel: &Kernel) -> Result<RawNames, Errno> {
    let mut raw = RawNames::new_zeroed();
    let place: *mut RawNames = &mut raw;
    // SAFETY: room for the structure.
    unsafe { syscall!(kernel, SYS_UNAME, place) }?;
    Ok(raw)
}

/// `struct sysinfo`, 112 bytes. Memory is counted in bytes, since the pool is smaller than what a long holds.
#[derive(FromZeros)]
#[repr(C)]
pub(crate) struct RawSysinfo {
    _uptime_and_loads: [u64; 4],
    _total: u64,
    pub(crate) free: u64,
    _behind: [u64; 8],
}
const _: () = assert!(size_of::<RawSysinfo>() == 112);

pub(crate) fn sysinfo(kernel: &Kernel) -> Result<RawSysinfo, Errno> {
    let mut raw = RawSysinfo::new_zeroed();
    let place: *mut RawSysinfo = &mut raw;
    // SAFETY: room for the structure.
    unsafe { syscall!(kernel, SYS_SYSINFO, place) }?;
    Ok(raw)
}

/// readlinkat of the descriptor itself. Bytes written, at most the buffer's length: a full buffer may mean more.
pub(crate) fn readlink(kernel: &Kernel, fd: Fd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let empty = c"".as_ptr();
    // SAFETY: a NUL-terminated string; Linux writes at most len bytes.
    amount(unsafe {
        syscall!(
            kernel,
            SYS_READLINKAT,
            fd,
            empty,
            buffer.as_mut_ptr(),
            buffer.len()
        )
    })
}

/// With an empty buffer: the size that is wanted.
pub(crate) fn listxattr(kernel: &Kernel, path: &CName, buffer: &mut [u8]) -> Result<usize, Errno> {
    let path = path.0.as_ptr();
    // SAFETY: a NUL-terminated string; Linux writes at most len bytes.
    amount(unsafe { syscall!(kernel, SYS_LISTXATTR, path, buffer.as_mut_ptr(), buffer.len()) })
}

/// With an empty buffer: the size that is wanted.
pub(crate) fn getxattr(
    kernel: &Kernel,
    path: &CName,
    name: &CName,
    buffer: &mut [u8],
) -> Result<usize, Errno> {
    let (path, name) = (path.0.as_ptr(), name.0.as_ptr());
    // SAFETY: NUL-terminated strings; Linux writes at most len bytes.
    amount(unsafe {
        syscall!(
            kernel,
            SYS_GETXATTR,
            path,
            name,
            buffer.as_mut_ptr(),
            buffer.len()
        )
    })
}

/// Bytes of the record that a request has, as its number says (`_IOC_SIZE`).
pub(crate) fn ioctl_size(request: u32) -> usize {
    usize::try_from((request >> 16) & 0x3fff).unwrap_or(usize::MAX)
}

/// A request whose argument is a record that holds no pointers, which Linux reads, writes or both. EINVAL when the record
/// has not the size that the request's number says.
pub(crate) fn ioctl(kernel: &Kernel, fd: Fd, request: u32, record: &mut [u8]) -> Result<(), Errno> {
    if record.len() != ioctl_size(request) {
        return Err(Errno::EINVAL);
    }
    // SAFETY: the record is as long as Linux takes it for.
    unsafe { syscall!(kernel, SYS_IOCTL, fd, request, record.as_mut_ptr()) }.map(drop)
}

pub(crate) fn fsopen(kernel: &Kernel, fs_name: &CName) -> Result<Fd, Errno> {
    const FSOPEN_CLOEXEC: u32 = 1;
    // SAFETY: a NUL-terminated string.
    descriptor(unsafe { syscall!(kernel, SYS_FSOPEN, fs_name.0.as_ptr(), FSOPEN_CLOEXEC) })
}

pub(crate) fn fsconfig_flag(kernel: &Kernel, fs: Fd, key: &CName) -> Result<(), Errno> {
    const FSCONFIG_SET_FLAG: u32 = 0;
    // SAFETY: a NUL-terminated string.
    unsafe {
        syscall!(
            kernel,
            SYS_FSCONFIG,
            fs,
            FSCONFIG_SET_FLAG,
            key.0.as_ptr(),
            null::<u8>(),
            0i32
        )
    }
    .map(drop)
}

pub(crate) fn fsconfig_string(kernel: &Kernel, fs: Fd, key: &CName, value: &CName) -> Result<(), Errno> {
    const FSCONFIG_SET_STRING: u32 = 1;
    let (key, value) = (key.0.as_ptr(), value.0.as_ptr());
    // SAFETY: NUL-terminated strings.
    unsafe { syscall!(kernel, SYS_FSCONFIG, fs, FSCONFIG_SET_STRING, key, value, 0i32) }.map(drop)
}

/// Makes the superblock. EBUSY when there is one already that Linux would share, and EOPNOTSUPP where that cannot be asked
/// for: by Linux 6.1, and for file systems of the old mount API, which share one for the same disk only.
pub(crate) fn fsconfig_create_new(kernel: &Kernel, fs: Fd) -> Result<(), Errno> {
    const FSCONFIG_CMD_CREATE_EXCL: u32 = 8;
    fsconfig_command(kernel, fs, FSCONFIG_CMD_CREATE_EXCL)
}

/// Makes the superblock, or shares one.
pub(crate) fn fsconfig_create(kernel: &Kernel, fs: Fd) -> Result<(), Errno> {
    const FSCONFIG_CMD_CREATE: u32 = 6;
    fsconfig_command(kernel, fs, FSCONFIG_CMD_CREATE)
}

fn fsconfig_command(kernel: &Kernel, fs: Fd, command: u32) -> Result<(), Errno> {
    // SAFETY: no pointers but null.
    unsafe {
        syscall!(
            kernel,
            SYS_FSCONFIG,
            fs,
            command,
            null::<u8>(),
            null::<u8>(),
            0i32
        )
    }
    .map(drop)
}

pub(crate) fn fsmount(kernel: &Kernel, fs: Fd, attributes: u32) -> Result<Fd, Errno> {
    const FSMOUNT_CLOEXEC: u32 = 1;
    // SAFETY: no pointers.
    descriptor(unsafe { syscall!(kernel, SYS_FSMOUNT, fs, FSMOUNT_CLOEXEC, attributes) })
}

fn descriptor(value: Result<u64, Errno>) -> Result<Fd, Errno> {
    Fd::try_from(value?).map_err(|_| Errno::EBADF)
}

fn amount(value: Result<u64, Errno>) -> Result<usize, Errno> {
    usize::try_from(value?).map_err(|_| Errno::EOVERFLOW)
}
