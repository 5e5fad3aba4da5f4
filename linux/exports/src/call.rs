//! The system calls that servers are set up with, with safe arguments: texts that end with a NUL, slices, open descriptors.
//!
//! A path that begins with a slash begins at Linux's own root, a folder in memory that no program on the host sees.

// UNSAFETY: passes pointers to Linux.

#![allow(unsafe_code)]

use std::ffi::CStr;

use lkl::{Errno, Kernel, OwnedFd};

const SYS_READ: i64 = 0;
const SYS_WRITE: i64 = 1;
const SYS_POLL: i64 = 7;
const SYS_UMOUNT2: i64 = 166;
const SYS_OPENAT: i64 = 257;
const SYS_MKDIRAT: i64 = 258;
const SYS_EVENTFD2: i64 = 290;
const SYS_MOVE_MOUNT: i64 = 429;
const SYS_FSOPEN: i64 = 430;
const SYS_FSCONFIG: i64 = 431;
const SYS_FSMOUNT: i64 = 432;
const SYS_FSPICK: i64 = 433;
const SYS_MOUNT_SETATTR: i64 = 442;

const AT_FDCWD: i64 = -100;
const O_CLOEXEC: i64 = 0o2_000_000;
const O_NONBLOCK: i64 = 0o4000;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    ReadWrite,
}

fn address<T: ?Sized>(place: *const T) -> i64 {
    place.cast::<u8>().expose_provenance().cast_signed() as i64
}

fn length(bytes: &[u8]) -> i64 {
    bytes.len().cast_signed() as i64
}

/// A call whose pointers the functions below made of what lives through it.
fn call<const N: usize>(kernel: &Kernel, number: i64, arguments: [i64; N]) -> Result<u64, Errno> {
    let mut words = [0; 6];
    for (word, argument) in words.iter_mut().zip(arguments) {
        *word = argument;
    }
    // SAFETY: see above; none of the functions below closes a descriptor.
    unsafe { kernel.syscall(number, words) }
}

fn opened(kernel: &Kernel, number: i64, arguments: [i64; 4]) -> Result<OwnedFd, Errno> {
    let value = call(kernel, number, arguments)?;
    let fd = i32::try_from(value).map_err(|_| Errno::EBADF)?;
    // SAFETY: Linux has just opened it, for this caller.
    Ok(unsafe { OwnedFd::from_raw(kernel, fd) })
}

/// Makes a folder. One that is there already is as good.
pub(crate) fn make_folder(kernel: &Kernel, path: &CStr) -> Result<(), Errno> {
    match call(kernel, SYS_MKDIRAT, [AT_FDCWD, address(path.as_ptr()), 0o755]) {
        Ok(_) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// `MOUNT_ATTR_*`: no set-user-id, no devices, no execution.
const CAREFUL: i64 = 0x2 | 0x4 | 0x8;

/// A file system of the kernel's own that needs no device, mounted nowhere: its root.
pub(crate) fn file_system(kernel: &Kernel, name: &CStr) -> Result<OwnedFd, Errno> {
    file_system_with(kernel, name, &[])
}

/// The same with options, each with a value.
pub(crate) fn file_system_with(
    kernel: &Kernel,
    name: &CStr,
    options: &[(&CStr, &CStr)],
) -> Result<OwnedFd, Errno> {
    const CLOEXEC: i64 = 1;
    const FSCONFIG_SET_STRING: i64 = 1;
    const FSCONFIG_CMD_CREATE: i64 = 6;
    let fs = opened(kernel, SYS_FSOPEN, [address(name.as_ptr()), CLOEXEC, 0, 0])?;
    for (key, value) in options {
        let (key, value) = (address(key.as_ptr()), address(value.as_ptr()));
        let arguments = [fs.raw().into(), FSCONFIG_SET_STRING, key, value];
        call(kernel, SYS_FSCONFIG, arguments)?;
    }
    call(kernel, SYS_FSCONFIG, [fs.raw().into(), FSCONFIG_CMD_CREATE])?;
    opened(kernel, SYS_FSMOUNT, [fs.raw().into(), CLOEXEC, CAREFUL, 0])
}

/// Makes a file system that is mounted on a folder for reading one for writing, in which symbolic links are followed.
pub(crate) fn make_writable(kernel: &Kernel, folder: &CStr) -> Result<(), Errno> {
    /// `struct mount_attr`
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        users: u64,
    }
    const CLOEXEC: i64 = 1;
    const FSCONFIG_SET_FLAG: i64 = 0;
    const FSCONFIG_CMD_RECONFIGURE: i64 = 7;
    const READ_ONLY: u64 = 0x1;
    const NO_LINKS: u64 = 0x20_0000;
    let folder = address(folder.as_ptr());
    let fs = opened(kernel, SYS_FSPICK, [AT_FDCWD, folder, CLOEXEC, 0])?;
    let writing = [fs.raw().into(), FSCONFIG_SET_FLAG, address(c"rw".as_ptr())];
    call(kernel, SYS_FSCONFIG, writing)?;
    call(kernel, SYS_FSCONFIG, [fs.raw().into(), FSCONFIG_CMD_RECONFIGURE])?;
    let attributes = Attributes {
        set: 0,
        clear: READ_ONLY | NO_LINKS,
        propagation: 0,
        users: 0,
    };
    let size = size_of::<Attributes>().cast_signed() as i64;
    let arguments = [AT_FDCWD, folder, 0, address(&raw const attributes), size];
    call(kernel, SYS_MOUNT_SETATTR, arguments).map(drop)
}

/// Moves what is mounted on a folder to another one.
pub(crate) fn move_mount(kernel: &Kernel, from: &CStr, to: &CStr) -> Result<(), Errno> {
    let (from, to) = (address(from.as_ptr()), address(to.as_ptr()));
    call(kernel, SYS_MOVE_MOUNT, [AT_FDCWD, from, AT_FDCWD, to]).map(drop)
}

/// Puts a mount, whose root this is, on a folder.
pub(crate) fn attach(root: &OwnedFd, folder: &CStr) -> Result<(), Errno> {
    const FROM_EMPTY_PATH: i64 = 4;
    let arguments = [
        root.raw().into(),
        address(c"".as_ptr()),
        AT_FDCWD,
        address(folder.as_ptr()),
        FROM_EMPTY_PATH,
    ];
    call(root.kernel(), SYS_MOVE_MOUNT, arguments).map(drop)
}

/// Takes a mount away from its folder. It ends with the last descriptor of it.
pub(crate) fn detach(kernel: &Kernel, folder: &CStr) -> Result<(), Errno> {
    const MNT_DETACH: i64 = 2;
    call(kernel, SYS_UMOUNT2, [address(folder.as_ptr()), MNT_DETACH]).map(drop)
}

/// Opens a file of a folder.
pub(crate) fn open(folder: &OwnedFd, path: &CStr, access: Access) -> Result<OwnedFd, Errno> {
    let access = match access {
        Access::Read => 0,
        Access::Write => 1,
        Access::ReadWrite => 2,
    };
    let arguments = [folder.raw().into(), address(path.as_ptr()), access | O_CLOEXEC, 0];
    opened(folder.kernel(), SYS_OPENAT, arguments)
}

/// Reads as many bytes as there are at once.
pub(crate) fn read(file: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let len = length(buffer);
    let arguments = [file.raw().into(), address(buffer.as_mut_ptr()), len];
    let read = call(file.kernel(), SYS_READ, arguments)?;
    usize::try_from(read).map_err(|_| Errno::EIO)
}

/// Writes all of it in one call; EIO when Linux takes less.
pub(crate) fn write(file: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    let arguments = [file.raw().into(), address(bytes.as_ptr()), length(bytes)];
    match call(file.kernel(), SYS_WRITE, arguments)? {
        written if usize::try_from(written) == Ok(bytes.len()) => Ok(()),
        _ => Err(Errno::EIO),
    }
}

/// A counter that can be waited for, and is nonzero once eight bytes were written to it.
pub(crate) fn counter(kernel: &Kernel) -> Result<OwnedFd, Errno> {
    opened(kernel, SYS_EVENTFD2, [0, O_CLOEXEC | O_NONBLOCK, 0, 0])
}

/// Waits, without an end, until one of them can be read. Which ones can.
///
/// # Errors
/// ENODEV when Linux has died or was halted.
pub(crate) fn wait_readable<const N: usize>(files: [&OwnedFd; N]) -> Result<[bool; N], Errno> {
    #[repr(C)]
    struct PollFd {
        fd: i32,
        events: i16,
        seen: i16,
    }
    const POLLIN: i16 = 1;
    /// Milliseconds after which it is looked whether Linux still runs; a halt waits for calls.
    const SLICE: i64 = 200;
    let Some(kernel) = files.first().map(|file| file.kernel()) else {
        return Err(Errno::EINVAL);
    };
    loop {
        let mut entries = files.map(|file| PollFd {
            fd: file.raw(),
            events: POLLIN,
            seen: 0,
        });
        let place = address(entries.as_mut_ptr());
        let count = entries.len().cast_signed() as i64;
        match call(kernel, SYS_POLL, [place, count, SLICE]) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(entries.map(|entry| entry.seen != 0)),
            Err(errno) => return Err(errno),
        }
    }
}
