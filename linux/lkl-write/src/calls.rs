//! The system calls that change files, with safe arguments: texts that end with a NUL, slices, descriptors.
//!
//! A call is made by a task of Linux's: by one of the kernel's pool, which is root, or by one that has the name of a user
//! ([`crate::User`]). [`Caller`] is either. A place is a folder and a path that begins there ([`At`]); paths of this crate's own,
//! which begin with a slash, have no folder.

#![allow(unsafe_code)]

use lkl::{EntryTask, Errno, Kernel, OwnedFd};
use std::ffi::{CStr, CString};
use std::sync::{Mutex, PoisonError};

mod file;

pub(crate) use file::*;

/// What makes system calls.
pub(crate) trait Caller {
    /// Whose Linux it is.
    fn kernel(&self) -> &Kernel;

    /// A system call.
    ///
    /// # Safety
    /// The arguments are right for the call: pointers among them are valid for what Linux does with them, and of
    /// descriptors it closes none.
    unsafe fn call(&self, number: i64, arguments: [i64; 6]) -> Result<u64, Errno>;
}

impl Caller for Kernel {
    fn kernel(&self) -> &Kernel {
        self
    }

    unsafe fn call(&self, number: i64, arguments: [i64; 6]) -> Result<u64, Errno> {
        // SAFETY: the caller's promise.
        unsafe { self.syscall(number, arguments) }
    }
}

/// A task of a caller's own. One call at a time is made with it.
pub(crate) struct Task {
    kernel: Kernel,
    entry: Mutex<EntryTask>,
}

impl Task {
    /// A new one, root's.
    pub(crate) fn new(kernel: &Kernel) -> Result<Task, Errno> {
        Ok(Task {
            kernel: kernel.clone(),
            entry: Mutex::new(kernel.entry_task()?),
        })
    }
}

impl Caller for Task {
    fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    unsafe fn call(&self, number: i64, arguments: [i64; 6]) -> Result<u64, Errno> {
        let mut entry = self.entry.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the caller's promise.
        unsafe { entry.syscall(number, &arguments) }
    }
}

/// A place: a folder, or none, and a path.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    folder: Option<&'a OwnedFd>,
    path: &'a CStr,
}

impl<'a> At<'a> {
    /// An entry of a folder.
    pub(crate) fn entry(folder: &'a OwnedFd, name: &'a CStr) -> Self {
        let folder = Some(folder);
        At { folder, path: name }
    }

    /// What a descriptor stands for.
    pub(crate) fn file(file: &'a OwnedFd) -> Self {
        At {
            folder: Some(file),
            path: c"",
        }
    }

    /// A path from Linux's root on.
    pub(crate) fn path(path: &'a CStr) -> Self {
        At { folder: None, path }
    }

    fn words(self) -> [i64; 2] {
        const AT_FDCWD: i64 = -100;
        let folder = self.folder.map_or(AT_FDCWD, |folder| folder.raw().into());
        [folder, text(self.path)]
    }
}

/// A path for Linux. EINVAL with a NUL inside.
pub(crate) fn path(bytes: impl Into<Vec<u8>>) -> Result<CString, Errno> {
    CString::new(bytes).map_err(|_| Errno::EINVAL)
}

/// The name of an entry. EINVAL with a slash or a NUL inside, EXDEV for `..`.
pub(crate) fn name(bytes: &[u8]) -> Result<CString, Errno> {
    match bytes {
        b".." => Err(Errno::EXDEV),
        bytes if bytes.contains(&b'/') => Err(Errno::EINVAL),
        bytes => path(bytes),
    }
}

/// The path in `/proc` that leads to what a descriptor stands for, whatever that is and however it was opened.
pub(crate) fn path_of(file: &OwnedFd) -> Result<CString, Errno> {
    path(format!("/proc/self/fd/{}", file.raw()))
}

const SYS_UMASK: i64 = 95;
const SYS_SETFSUID: i64 = 122;
const SYS_SETFSGID: i64 = 123;
const SYS_CAPGET: i64 = 125;
const SYS_CAPSET: i64 = 126;
const SYS_MOUNT: i64 = 165;
const SYS_UMOUNT2: i64 = 166;
const SYS_OPENAT: i64 = 257;
const SYS_MKDIRAT: i64 = 258;
const SYS_MKNODAT: i64 = 259;
const SYS_UNLINKAT: i64 = 263;
const SYS_LINKAT: i64 = 265;
const SYS_SYMLINKAT: i64 = 266;
const SYS_READLINKAT: i64 = 267;
const SYS_RENAMEAT2: i64 = 316;
const SYS_OPENAT2: i64 = 437;

const AT_EMPTY_PATH: i64 = 0x1000;

/// A call none of whose arguments is a pointer, or whose pointers the functions below made of what lives through it.
fn call<const N: usize>(by: &dyn Caller, number: i64, arguments: [i64; N]) -> Result<u64, Errno> {
    let mut words = [0; 6];
    for (word, argument) in words.iter_mut().zip(arguments) {
        *word = argument;
    }
    // SAFETY: see above; none of the functions below closes a descriptor.
    unsafe { by.call(number, words) }
}

fn text(text: &CStr) -> i64 {
    address(text.as_ptr())
}

fn address<T>(pointer: *const T) -> i64 {
    pointer.expose_provenance().cast_signed() as i64
}

fn size(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

fn offset(at: u64) -> Result<i64, Errno> {
    i64::try_from(at).map_err(|_| Errno::EINVAL)
}

fn amount(result: Result<u64, Errno>) -> Result<usize, Errno> {
    usize::try_from(result?).map_err(|_| Errno::EOVERFLOW)
}

fn descriptor(by: &dyn Caller, opened: Result<u64, Errno>) -> Result<OwnedFd, Errno> {
    let number = i32::try_from(opened?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the call has just opened it, and no other code knows it.
    Ok(unsafe { OwnedFd::from_raw(by.kernel(), number) })
}

// Mounts.

pub(crate) fn mount(
    kernel: &Kernel,
    device: &CStr,
    at: &CStr,
    fs: &CStr,
    flags: i64,
    options: &CStr,
) -> Result<(), Errno> {
    let arguments = [text(device), text(at), text(fs), flags, text(options)];
    call(kernel, SYS_MOUNT, arguments).map(drop)
}

pub(crate) fn unmount(kernel: &Kernel, at: &CStr) -> Result<(), Errno> {
    call(kernel, SYS_UMOUNT2, [text(at), 0]).map(drop)
}

/// What is taken from the modes of new files, in all tasks that share the current folder.
pub(crate) fn umask(kernel: &Kernel, mask: u32) -> Result<(), Errno> {
    call(kernel, SYS_UMASK, [mask.into()]).map(drop)
}

// Entries.

/// Opens a path of this crate's own; no link at its end is followed but those of `/proc`.
pub(crate) fn open(by: &dyn Caller, at: At<'_>, flags: i64, mode: u32) -> Result<OwnedFd, Errno> {
    let [folder, path] = at.words();
    descriptor(by, call(by, SYS_OPENAT, [folder, path, flags, mode.into()]))
}

/// Opens an entry of a folder, or makes it there.
pub(crate) fn open_entry(by: &dyn Caller, at: At<'_>, flags: i64, mode: u32) -> Result<OwnedFd, Errno> {
    const RESOLVE_NO_XDEV: i64 = 1;
    const RESOLVE_NO_MAGICLINKS: i64 = 2;
    const RESOLVE_NO_SYMLINKS: i64 = 4;
    const RESOLVE_BENEATH: i64 = 8;
    let resolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;
    // struct open_how
    let how = [flags, mode.into(), resolve];
    let [folder, name] = at.words();
    loop {
        let arguments = [folder, name, address(how.as_ptr()), size(size_of_val(&how))];
        match call(by, SYS_OPENAT2, arguments) {
            // A rename raced with RESOLVE_BENEATH, as in crate lkl.
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            opened => return descriptor(by, opened),
        }
    }
}

pub(crate) fn mkdir(by: &dyn Caller, at: At<'_>, mode: u32) -> Result<(), Errno> {
    let [folder, path] = at.words();
    call(by, SYS_MKDIRAT, [folder, path, mode.into()]).map(drop)
}

pub(crate) fn mknod(by: &dyn Caller, at: At<'_>, mode: u32, device: u32) -> Result<(), Errno> {
    let [folder, path] = at.words();
    call(by, SYS_MKNODAT, [folder, path, mode.into(), device.into()]).map(drop)
}

pub(crate) fn unlink(by: &dyn Caller, at: At<'_>, is_folder: bool) -> Result<(), Errno> {
    const AT_REMOVEDIR: i64 = 0x200;
    let flags = if is_folder { AT_REMOVEDIR } else { 0 };
    let [folder, path] = at.words();
    call(by, SYS_UNLINKAT, [folder, path, flags]).map(drop)
}

pub(crate) fn rename(by: &dyn Caller, from: At<'_>, to: At<'_>, flags: u32) -> Result<(), Errno> {
    let ([from_folder, from], [to_folder, to]) = (from.words(), to.words());
    let arguments = [from_folder, from, to_folder, to, flags.into()];
    call(by, SYS_RENAMEAT2, arguments).map(drop)
}

pub(crate) fn link(by: &dyn Caller, from: At<'_>, to: At<'_>) -> Result<(), Errno> {
    let flags = if from.path.is_empty() { AT_EMPTY_PATH } else { 0 };
    let ([from_folder, from], [to_folder, to]) = (from.words(), to.words());
    call(by, SYS_LINKAT, [from_folder, from, to_folder, to, flags]).map(drop)
}

pub(crate) fn symlink(by: &dyn Caller, target: &CStr, at: At<'_>) -> Result<(), Errno> {
    let [folder, path] = at.words();
    call(by, SYS_SYMLINKAT, [text(target), folder, path]).map(drop)
}

pub(crate) fn readlink(by: &dyn Caller, at: At<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    let (place, len) = (address(buffer.as_mut_ptr().cast_const()), size(buffer.len()));
    let [folder, path] = at.words();
    amount(call(by, SYS_READLINKAT, [folder, path, place, len]))
}

// Whose name a task has.

/// The user whose files a task makes, and the group. The calls have no errors: for an ID that is none they do nothing.
pub(crate) fn set_fs_ids(by: &dyn Caller, uid: u32, gid: u32) -> Result<(), Errno> {
    call(by, SYS_SETFSGID, [gid.into()])?;
    call(by, SYS_SETFSUID, [uid.into()]).map(drop)
}

/// Gives a task back the rights that it lost when it took a user's name: all that it may have.
pub(crate) fn keep_rights(by: &dyn Caller) -> Result<(), Errno> {
    // struct __user_cap_header_struct: the version, and 0 for the task itself.
    let header = [0x2008_0522u32, 0];
    // struct __user_cap_data_struct, twice: effective, permitted, inheritable.
    let mut sets = [[0u32; 3]; 2];
    let (version, place) = (address(header.as_ptr()), address(sets.as_mut_ptr().cast_const()));
    call(by, SYS_CAPGET, [version, place])?;
    for [effective, permitted, _] in &mut sets {
        *effective = *permitted;
    }
    call(by, SYS_CAPSET, [version, address(sets.as_ptr())]).map(drop)
}
