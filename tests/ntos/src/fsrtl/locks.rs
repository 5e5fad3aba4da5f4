//! Byte-range locks, as `LockFile` takes them and readers are bound by them.
//!
//! A lock belongs to file object, process and key. Exclusive locks exclude every other owner, shared ones
//! exclude exclusive ones; two exclusive locks conflict even for the same owner, as NT has it. A request that
//! conflicts fails or, unless it must not wait, pends until an unlock lets it pass, in order of arrival. The
//! last byte of a lock may lie beyond the end of the file.

use crate::io::{complete, irp, kernel};
use crate::mm::pool;
use crate::nt::*;
use crate::verifier::fail;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

const TAG: u32 = u32::from_le_bytes(*b"FsLk");

/// Whose lock it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    file_object: usize,
    process: usize,
    key: u32,
}

#[derive(Clone, Copy, Debug)]
struct Lock {
    owner: Owner,
    start: u64,
    len: u64,
    exclusive: bool,
}

impl Lock {
    fn overlaps(&self, start: u64, len: u64) -> bool {
        let end = |start: u64, len: u64| u128::from(start) + u128::from(len);
        len != 0
            && self.len != 0
            && u128::from(start) < end(self.start, self.len)
            && u128::from(self.start) < end(start, len)
    }

    fn excludes(&self, wanted: &Lock) -> bool {
        (self.exclusive || wanted.exclusive) && self.overlaps(wanted.start, wanted.len)
    }
}

struct Waiting {
    packet: usize,
    context: usize,
    lock: Lock,
}

#[derive(Default)]
struct Record {
    granted: Vec<Lock>,
    waiting: Vec<Waiting>,
}

static RECORDS: LazyLock<Mutex<HashMap<usize, Record>>> = LazyLock::new(Mutex::default);

fn with<T>(file_lock: PFILE_LOCK, act: impl FnOnce(&mut Record) -> T) -> T {
    let mut records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
    match records.get_mut(&(file_lock as usize)) {
        Some(record) => {
            let result = act(record);
            let busy = !record.granted.is_empty() || !record.waiting.is_empty();
            // SAFETY: an initialised lock is live until it is uninitialised.
            unsafe {
                (*file_lock).FastIoIsQuestionable = busy.into();
                (*file_lock).LockInformation = if busy {
                    file_lock.cast()
                } else {
                    std::ptr::null_mut()
                };
            }
            result
        }
        None => fail!(FsRtl, "the file lock {file_lock:p} is not initialised"),
    }
}

/// `FsRtlInitializeFileLock`.
pub unsafe extern "win64" fn FsRtlInitializeFileLock(
    file_lock: PFILE_LOCK,
    complete: PCOMPLETE_LOCK_IRP_ROUTINE,
    unlock: PUNLOCK_ROUTINE,
) {
    // SAFETY: the file system gives memory for the lock.
    unsafe {
        file_lock.write_bytes(0, 1);
        (*file_lock).CompleteLockIrpRoutine = complete;
        (*file_lock).UnlockRoutine = unlock;
    }
    let mut records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
    if records
        .insert(file_lock as usize, Record::default())
        .is_some_and(|old| !old.granted.is_empty())
    {
        fail!(FsRtl, "FsRtlInitializeFileLock on {file_lock:p}, which has locks");
    }
}

/// `FsRtlUninitializeFileLock`.
pub unsafe extern "win64" fn FsRtlUninitializeFileLock(file_lock: PFILE_LOCK) {
    let record = RECORDS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&(file_lock as usize));
    for waiting in record.into_iter().flat_map(|record| record.waiting) {
        // SAFETY: a waiting IRP is FsRtl's.
        unsafe { end(file_lock, &waiting, STATUS_RANGE_NOT_LOCKED) };
    }
}

/// `FsRtlAllocateFileLock`.
pub unsafe extern "win64" fn FsRtlAllocateFileLock(
    complete: PCOMPLETE_LOCK_IRP_ROUTINE,
    unlock: PUNLOCK_ROUTINE,
) -> PFILE_LOCK {
    let file_lock = kernel::take(size_of::<FILE_LOCK>(), TAG).cast();
    // SAFETY: the block is new and large enough.
    unsafe { FsRtlInitializeFileLock(file_lock, complete, unlock) };
    file_lock
}

/// `FsRtlFreeFileLock`.
pub unsafe extern "win64" fn FsRtlFreeFileLock(file_lock: PFILE_LOCK) {
    // SAFETY: it came from FsRtlAllocateFileLock.
    unsafe { FsRtlUninitializeFileLock(file_lock) };
    pool::free(file_lock.cast(), TAG);
}

/// Hands a lock request back: through the file system's routine, or by completing it. What the routine answers; a lock
/// that it does not agree to is to be taken back.
///
/// # Safety
/// The IRP is FsRtl's.
unsafe fn end(file_lock: PFILE_LOCK, waiting: &Waiting, status: NTSTATUS) -> NTSTATUS {
    let packet = waiting.packet as PIRP;
    // SAFETY: by contract.
    unsafe {
        cancel_routine(packet, 0);
        irp::set_status(packet, status, 0);
        match (*file_lock).CompleteLockIrpRoutine {
            Some(routine) => {
                kernel::call(routine as *const (), [waiting.context, waiting.packet]) as NTSTATUS
            }
            None => {
                complete::complete(packet);
                status
            }
        }
    }
}

/// Takes back a lock that was just granted.
fn take_back(file_lock: PFILE_LOCK, lock: &Lock) {
    with(file_lock, |record| {
        let same = |held: &Lock| {
            held.owner == lock.owner
                && (held.start, held.len, held.exclusive) == (lock.start, lock.len, lock.exclusive)
        };
        if let Some(at) = record.granted.iter().rposition(same) {
            record.granted.remove(at);
        }
    });
}

/// `IoSetCancelRoutine`.
///
/// # Safety
/// `packet` is live.
unsafe fn cancel_routine(packet: PIRP, routine: usize) -> usize {
    // SAFETY: by contract; the field is written atomically by everybody.
    unsafe {
        AtomicUsize::from_ptr((&raw mut (*packet).CancelRoutine).cast()).swap(routine, Ordering::SeqCst)
    }
}

/// Grants what waits and no longer conflicts.
fn wake(file_lock: PFILE_LOCK) {
    loop {
        let granted = with(file_lock, |record| {
            let free = |waiting: &Waiting| !record.granted.iter().any(|held| held.excludes(&waiting.lock));
            let at = record.waiting.iter().position(free)?;
            let waiting = record.waiting.remove(at);
            record.granted.push(waiting.lock);
            Some(waiting)
        });
        let Some(waiting) = granted else { return };
        // SAFETY: the IRP was taken off the list, so nobody else ends it.
        let agreed = unsafe { end(file_lock, &waiting, STATUS_SUCCESS) };
        if !nt_success(agreed) {
            take_back(file_lock, &waiting.lock);
        }
    }
}

/// The cancel routine of waiting lock requests.
unsafe extern "win64" fn cancelled(_device: PDEVICE_OBJECT, packet: PIRP) {
    // SAFETY: called by IoCancelIrp with the cancel spin lock held.
    unsafe { crate::io::cancel::IoReleaseCancelSpinLock((*packet).CancelIrql) };
    let found = {
        let mut records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter_mut().find_map(|(file_lock, record)| {
            let at = record
                .waiting
                .iter()
                .position(|waiting| waiting.packet == packet as usize)?;
            Some((*file_lock, record.waiting.remove(at)))
        })
    };
    if let Some((file_lock, waiting)) = found {
        // SAFETY: it was taken off the list.
        unsafe { end(file_lock as PFILE_LOCK, &waiting, STATUS_CANCELLED) };
    }
}

/// The owner that an IRP stands for.
///
/// # Safety
/// `packet` is live.
unsafe fn owner_of(packet: PIRP, file_object: PFILE_OBJECT, key: u32) -> Owner {
    // SAFETY: by contract.
    let process = unsafe { crate::io::misc::IoGetRequestorProcess(packet) };
    Owner {
        file_object: file_object as usize,
        process: process as usize,
        key,
    }
}

/// Takes a lock, or says that it has to wait or fail.
fn take(file_lock: PFILE_LOCK, lock: Lock) -> bool {
    with(file_lock, |record| {
        let free = !record.granted.iter().any(|held| held.excludes(&lock));
        if free {
            record.granted.push(lock);
        }
        free
    })
}

/// Releases the locks that `wanted` picks; says how many.
fn release(file_lock: PFILE_LOCK, wanted: impl Fn(&Lock) -> bool, only_one: bool) -> usize {
    let released = with(file_lock, |record| {
        let mut count = 0;
        record.granted.retain(|held| {
            let go = wanted(held) && !(only_one && count > 0);
            count += usize::from(go);
            !go
        });
        count
    });
    wake(file_lock);
    released
}

/// `FsRtlProcessFileLock`: carries out an IRP_MJ_LOCK_CONTROL and completes it, now or later.
pub unsafe extern "win64" fn FsRtlProcessFileLock(
    file_lock: PFILE_LOCK,
    packet: PIRP,
    context: PVOID,
) -> NTSTATUS {
    // SAFETY: the file system gives the IRP away.
    unsafe {
        let location = irp::current(packet);
        let file_object = (*location).FileObject;
        let parameters = &(*location).Parameters.LockControl;
        let key = parameters.Key;
        let owner = owner_of(packet, file_object, key);
        let mine =
            |held: &Lock| held.owner.file_object == owner.file_object && held.owner.process == owner.process;
        let start = u64::try_from(parameters.ByteOffset.QuadPart).unwrap_or(0);
        let mut granted = None;
        let status = match u32::from((*location).MinorFunction) {
            IRP_MN_LOCK => {
                let len = u64::try_from((*parameters.Length).QuadPart).unwrap_or(0);
                let flags = u32::from((*location).Flags);
                let lock = Lock {
                    owner,
                    start,
                    len,
                    exclusive: flags & SL_EXCLUSIVE_LOCK != 0,
                };
                (*file_object).LockOperation = 1;
                if take(file_lock, lock) {
                    granted = Some(lock);
                    STATUS_SUCCESS
                } else if flags & SL_FAIL_IMMEDIATELY != 0 {
                    STATUS_LOCK_NOT_GRANTED
                } else {
                    (*location).Control |= SL_PENDING_RETURNED as u8;
                    let waiting = Waiting {
                        packet: packet as usize,
                        context: context as usize,
                        lock,
                    };
                    let cancelled = with(file_lock, |record| {
                        cancel_routine(packet, cancelled as *const () as usize);
                        // Cancelled before the routine was there: whoever swaps it out ends the request.
                        if (*packet).Cancel != 0 && cancel_routine(packet, 0) != 0 {
                            return Some(waiting);
                        }
                        record.waiting.push(waiting);
                        None
                    });
                    if let Some(waiting) = cancelled {
                        end(file_lock, &waiting, STATUS_CANCELLED);
                    }
                    return STATUS_PENDING;
                }
            }
            IRP_MN_UNLOCK_SINGLE => {
                let len = u64::try_from((*parameters.Length).QuadPart).unwrap_or(0);
                let this = |held: &Lock| {
                    mine(held) && held.owner.key == key && held.start == start && held.len == len
                };
                if release(file_lock, this, true) == 0 {
                    STATUS_RANGE_NOT_LOCKED
                } else {
                    STATUS_SUCCESS
                }
            }
            IRP_MN_UNLOCK_ALL => {
                release(file_lock, mine, false);
                STATUS_SUCCESS
            }
            IRP_MN_UNLOCK_ALL_BY_KEY => {
                release(file_lock, |held| mine(held) && held.owner.key == key, false);
                STATUS_SUCCESS
            }
            _ => STATUS_INVALID_DEVICE_REQUEST,
        };
        let done = Waiting {
            packet: packet as usize,
            context: context as usize,
            lock: Lock {
                owner,
                start,
                len: 0,
                exclusive: false,
            },
        };
        let agreed = end(file_lock, &done, status);
        if let Some(lock) = granted.filter(|_| !nt_success(agreed)) {
            take_back(file_lock, &lock);
            wake(file_lock);
        }
        agreed
    }
}

/// The owner may read (or write) the range.
fn may(file_lock: PFILE_LOCK, owner: Owner, start: u64, len: u64, write: bool) -> bool {
    with(file_lock, |record| {
        !record.granted.iter().any(|held| {
            let foreign = held.owner != owner;
            held.overlaps(start, len)
                && (if write {
                    !held.exclusive || foreign
                } else {
                    held.exclusive && foreign
                })
        })
    })
}

/// # Safety
/// `packet` is a read or write.
unsafe fn check(file_lock: PFILE_LOCK, packet: PIRP, write: bool) -> BOOLEAN {
    // SAFETY: by contract.
    unsafe {
        let location = irp::current(packet);
        let parameters = &(*location).Parameters.Read;
        let owner = owner_of(packet, (*location).FileObject, parameters.Key);
        let start = u64::try_from(parameters.ByteOffset.QuadPart).unwrap_or(0);
        may(file_lock, owner, start, u64::from(parameters.Length), write).into()
    }
}

/// `FsRtlCheckLockForReadAccess`.
pub unsafe extern "win64" fn FsRtlCheckLockForReadAccess(file_lock: PFILE_LOCK, packet: PIRP) -> BOOLEAN {
    // SAFETY: the file system's contract is ours.
    unsafe { check(file_lock, packet, false) }
}

/// `FsRtlCheckLockForWriteAccess`.
pub unsafe extern "win64" fn FsRtlCheckLockForWriteAccess(file_lock: PFILE_LOCK, packet: PIRP) -> BOOLEAN {
    // SAFETY: the file system's contract is ours.
    unsafe { check(file_lock, packet, true) }
}

/// `FsRtlFastCheckLockForRead`.
pub unsafe extern "win64" fn FsRtlFastCheckLockForRead(
    file_lock: PFILE_LOCK,
    start: PLARGE_INTEGER,
    len: PLARGE_INTEGER,
    key: ULONG,
    file_object: PFILE_OBJECT,
    process: PVOID,
) -> BOOLEAN {
    let owner = Owner {
        file_object: file_object as usize,
        process: process as usize,
        key,
    };
    // SAFETY: the file system gives both numbers.
    let (start, len) = unsafe { ((*start).QuadPart, (*len).QuadPart) };
    may(
        file_lock,
        owner,
        u64::try_from(start).unwrap_or(0),
        u64::try_from(len).unwrap_or(0),
        false,
    )
    .into()
}

/// `FsRtlFastUnlockAll`.
pub unsafe extern "win64" fn FsRtlFastUnlockAll(
    file_lock: PFILE_LOCK,
    file_object: PFILE_OBJECT,
    process: PEPROCESS,
    _context: PVOID,
) -> NTSTATUS {
    let mine = |held: &Lock| {
        held.owner.file_object == file_object as usize && held.owner.process == process as usize
    };
    match release(file_lock, mine, false) {
        0 => STATUS_RANGE_NOT_LOCKED,
        _ => STATUS_SUCCESS,
    }
}

/// `FsRtlFastUnlockSingle`.
#[allow(clippy::too_many_arguments, reason = "NT's own signature")]
pub unsafe extern "win64" fn FsRtlFastUnlockSingle(
    file_lock: PFILE_LOCK,
    file_object: PFILE_OBJECT,
    start: PLARGE_INTEGER,
    len: PLARGE_INTEGER,
    process: PEPROCESS,
    key: ULONG,
    _context: PVOID,
    _synchronized: BOOLEAN,
) -> NTSTATUS {
    let owner = Owner {
        file_object: file_object as usize,
        process: process as usize,
        key,
    };
    // SAFETY: the file system gives both numbers.
    let (start, len) = unsafe { ((*start).QuadPart, (*len).QuadPart) };
    let this = |held: &Lock| held.owner == owner && held.start as i64 == start && held.len as i64 == len;
    match release(file_lock, this, true) {
        0 => STATUS_RANGE_NOT_LOCKED,
        _ => STATUS_SUCCESS,
    }
}

crate::table! {
    /// Byte-range locks.
    pub static IMPORTS = {
        FsRtlInitializeFileLock <= APC;
        FsRtlUninitializeFileLock <= APC;
        FsRtlAllocateFileLock <= APC;
        FsRtlFreeFileLock <= APC;
        FsRtlProcessFileLock <= APC;
        FsRtlCheckLockForReadAccess <= APC;
        FsRtlCheckLockForWriteAccess <= APC;
        FsRtlFastCheckLockForRead <= APC;
        FsRtlFastUnlockAll <= APC;
        FsRtlFastUnlockSingle <= APC;
    }
}
