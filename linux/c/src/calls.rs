//! System calls by number, in the name of the calling thread's task, and the few that helpers make.

use crate::{Long, life, result};
use lkl::{EntryTask, Errno};
use std::cell::RefCell;
use std::ffi::{CStr, CString};

thread_local! {
    /// The task of this thread, from its first call to its end.
    static TASK: RefCell<ThreadTask> = const { RefCell::new(ThreadTask(None)) };
}

/// A thread's task, or none yet.
struct ThreadTask(Option<EntryTask>);

impl Drop for ThreadTask {
    fn drop(&mut self) {
        // When the process ends, Windows ends all other threads first, wherever they are, and Linux's among them: nothing
        // may wait for them any more. What is left goes with the process.
        #[cfg(windows)]
        if lkl_host_nt::thread::process_is_ending() {
            std::mem::forget(self.0.take());
        }
    }
}

/// The calling thread has no further call to make, unless it makes one.
pub(crate) fn forget_task() {
    let taken = TASK.try_with(|slot| slot.try_borrow_mut().ok().and_then(|mut slot| slot.0.take()));
    drop(taken);
}

/// A system call.
///
/// # Safety
/// The arguments are right for the call.
pub(crate) unsafe fn syscall(number: Long, args: &[Long; 6]) -> Result<u64, Errno> {
    let called = TASK.try_with(|slot| {
        // A handler of a signal that came in the middle of a call has no task to call with.
        let mut slot = slot.try_borrow_mut().map_err(|_| Errno::EBUSY)?;
        // Of a Linux that has gone there may be one still, and another Linux run now.
        let task = match slot.0.take().filter(|task| !task.kernel().has_gone()) {
            Some(task) => slot.0.insert(task),
            None => slot.0.insert(life::kernel()?.entry_task()?),
        };
        // SAFETY: the caller's promise.
        unsafe { task.syscall(number, args) }
    });
    // The thread is ending, and its task with it.
    called.unwrap_or(Err(Errno::ESRCH))
}

/// `long lkl_syscall(long number, long *params)`
///
/// # Safety
/// Six parameters that are right for the call.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_syscall(number: Long, params: *mut Long) -> Long {
    // SAFETY: the caller's promise.
    let args = unsafe { params.cast::<[Long; 6]>().read() };
    // SAFETY: as above.
    result(unsafe { syscall(number, &args) })
}

const OPEN: Long = 2;
const CLOSE: Long = 3;
const READ: Long = 0;
const WRITE: Long = 1;
const LSEEK: Long = 8;
const MKDIR: Long = 83;
const RMDIR: Long = 84;
const MKNOD: Long = 133;
const MOUNT: Long = 165;
const UMOUNT2: Long = 166;
const GETDENTS64: Long = 217;
const PRLIMIT64: Long = 302;
const SOCKET: Long = 41;
const STATX: Long = 332;

/// A pointer as an argument.
fn word<T>(pointer: *const T) -> Long {
    pointer.expose_provenance().cast_signed() as Long
}

pub(crate) fn open(path: &CStr, flags: i32) -> Result<i32, Errno> {
    // SAFETY: a string.
    let fd = unsafe { syscall(OPEN, &[word(path.as_ptr()), flags.into(), 0, 0, 0, 0]) }?;
    i32::try_from(fd).map_err(|_| Errno::EOVERFLOW)
}

pub(crate) fn close(fd: i32) -> Result<u64, Errno> {
    // SAFETY: no pointers.
    unsafe { syscall(CLOSE, &[fd.into(), 0, 0, 0, 0, 0]) }
}

pub(crate) fn read(fd: i32, buffer: &mut [u8]) -> Result<usize, Errno> {
    let len = buffer.len() as Long;
    // SAFETY: Linux writes so many bytes at most.
    let read = unsafe { syscall(READ, &[fd.into(), word(buffer.as_mut_ptr()), len, 0, 0, 0]) }?;
    usize::try_from(read).map_err(|_| Errno::EOVERFLOW)
}

pub(crate) fn write(fd: i32, bytes: &[u8]) -> Result<u64, Errno> {
    let len = bytes.len() as Long;
    // SAFETY: Linux reads so many bytes.
    unsafe { syscall(WRITE, &[fd.into(), word(bytes.as_ptr()), len, 0, 0, 0]) }
}

pub(crate) fn rewind(fd: i32) -> Result<u64, Errno> {
    // SAFETY: no pointers.
    unsafe { syscall(LSEEK, &[fd.into(), 0, 0, 0, 0, 0]) }
}

/// Whole entries of a folder; 0 at its end.
pub(crate) fn entries(fd: i32, buffer: &mut [u64]) -> Result<usize, Errno> {
    let len = size_of_val(buffer) as Long;
    // SAFETY: Linux writes so many bytes at most.
    let read = unsafe { syscall(GETDENTS64, &[fd.into(), word(buffer.as_mut_ptr()), len, 0, 0, 0]) }?;
    usize::try_from(read).map_err(|_| Errno::EOVERFLOW)
}

/// A folder that is there afterwards.
pub(crate) fn make_folder(path: &CStr) -> Result<(), Errno> {
    // SAFETY: a string.
    match unsafe { syscall(MKDIR, &[word(path.as_ptr()), 0o755, 0, 0, 0, 0]) } {
        Ok(_) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

pub(crate) fn remove_folder(path: &CStr) -> Result<u64, Errno> {
    // SAFETY: a string.
    unsafe { syscall(RMDIR, &[word(path.as_ptr()), 0, 0, 0, 0, 0]) }
}

/// A node of a block device that is there afterwards.
pub(crate) fn make_block_node(path: &CStr, number: u32) -> Result<(), Errno> {
    const BLOCK: Long = 0o060_600;
    // SAFETY: a string.
    match unsafe { syscall(MKNOD, &[word(path.as_ptr()), BLOCK, number.into(), 0, 0, 0]) } {
        Ok(_) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

pub(crate) fn mount(
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: Long,
    options: Option<&CStr>,
) -> Result<u64, Errno> {
    let options = options.map_or(0, |options| word(options.as_ptr()));
    let args = [
        word(source.as_ptr()),
        word(target.as_ptr()),
        word(kind.as_ptr()),
        flags,
        options,
        0,
    ];
    // SAFETY: strings, and none.
    unsafe { syscall(MOUNT, &args) }
}

/// Whether something is mounted there.
pub(crate) fn is_mount_point(path: &CStr) -> Result<bool, Errno> {
    const BASIC: Long = 0x7ff;
    const MOUNT_ROOT: u64 = 0x2000;
    // struct statx, of whose words the second is stx_attributes.
    let mut statx = [0u64; 32];
    let args = [0, word(path.as_ptr()), 0, BASIC, word(statx.as_mut_ptr()), 0];
    // SAFETY: a string, and a structure that Linux fills.
    unsafe { syscall(STATX, &args) }?;
    Ok(statx[1] & MOUNT_ROOT != 0)
}

pub(crate) fn unmount(path: &CStr, flags: i32) -> Result<u64, Errno> {
    // SAFETY: a string.
    unsafe { syscall(UMOUNT2, &[word(path.as_ptr()), flags.into(), 0, 0, 0, 0]) }
}

/// RLIMIT_NOFILE, soft and hard.
pub(crate) fn limit_files(most: u64) -> Result<u64, Errno> {
    const NOFILE: Long = 7;
    let limit = [most, most];
    // SAFETY: Linux reads the structure and writes no other.
    unsafe { syscall(PRLIMIT64, &[0, NOFILE, word(limit.as_ptr()), 0, 0, 0]) }
}

/// A socket of rtnetlink's, in the network that this thread is in.
pub(crate) fn netlink_socket() -> Result<i32, Errno> {
    const AF_NETLINK: Long = 16;
    const RAW_CLOEXEC: Long = 0o2_000_003;
    // SAFETY: no pointers.
    let fd = unsafe { syscall(SOCKET, &[AF_NETLINK, RAW_CLOEXEC, 0, 0, 0, 0]) }?;
    i32::try_from(fd).map_err(|_| Errno::EOVERFLOW)
}

/// A path for Linux.
pub(crate) fn path(text: &str) -> Result<CString, Errno> {
    CString::new(text).map_err(|_| Errno::EINVAL)
}
