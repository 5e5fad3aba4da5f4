//! What the I/O side uses of the kernel: events, spin locks, calls into a driver, system memory.
//!
//! Thin names over `ke` and `mm` in the form in which this side needs them.

use crate::mm::pool;
use crate::nt::*;
use crate::{ke, ps};
use std::sync::{Condvar, Mutex, PoisonError};

/// Nonpaged memory of the double's own, not counted as the driver's. Null never comes.
pub fn take(size: usize, tag: u32) -> *mut u8 {
    pool::allocate(pool::Kind::NonPaged, size, tag, pool::Owner::Double)
}

/// Bytes of the pool block that starts at `block`; 0 when none does.
pub fn size_of_block(block: *mut u8) -> usize {
    pool::block_at(block as usize).map_or(0, |(size, _, _)| size)
}

/// Copies between kernel memory and memory that may be a user's. False: it faulted.
///
/// # Safety
/// Each side is valid memory or user memory, `len` bytes long.
pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) -> bool {
    // SAFETY: by contract.
    unsafe { ke::guarded_copy(to, from, len).is_ok() }
}

/// # Safety
/// `event` is writable.
pub unsafe fn event_init(event: PKEVENT, kind: EVENT_TYPE, signalled: bool) {
    // SAFETY: by contract.
    unsafe { ke::event::KeInitializeEvent(event, kind as i32, signalled.into()) }
}

/// # Safety
/// `event` is an event.
pub unsafe fn event_set(event: PKEVENT) {
    // SAFETY: by contract.
    unsafe { ke::event::KeSetEvent(event, 0, 0) };
}

/// # Safety
/// `event` is an event.
pub unsafe fn event_wait(event: PKEVENT) {
    ke::wait::wait(event.cast(), false, None);
}

/// # Safety
/// `event` is an event.
pub unsafe fn event_is_set(event: PKEVENT) -> bool {
    // SAFETY: by contract.
    unsafe { ke::event::KeReadStateEvent(event) != 0 }
}

/// Takes a spin lock of the double's own and returns the level before.
pub fn lock_acquire(lock: *mut usize) -> KIRQL {
    // SAFETY: the lock is a static of the double.
    unsafe { ke::spin::KeAcquireSpinLockRaiseToDpc(lock.cast()) }
}

/// Releases it to level `old`.
pub fn lock_release(lock: *mut usize, old: KIRQL) {
    // SAFETY: the lock is a static of the double.
    unsafe { ke::spin::KeReleaseSpinLock(lock.cast(), old) };
}

unsafe extern "C" {
    /// Where this program's own code begins and ends, by the linker.
    safe static __executable_start: u8;
    safe static etext: u8;
}

/// `function` is a routine of the double's own, such as a cancel routine of FsRtl's.
fn is_own(function: *const ()) -> bool {
    ((&raw const __executable_start) as usize..(&raw const etext) as usize).contains(&(function as usize))
}

/// Calls a routine that a driver, or the double, registered. A driver's runs on the kernel stack and is
/// checked; see [`ke::call_driver`].
///
/// # Safety
/// As there; a routine of the double's own takes at most four arguments.
pub unsafe fn call<const N: usize>(function: *const (), arguments: [usize; N]) -> usize {
    // SAFETY: by contract.
    unsafe {
        if is_own(function) {
            call_own(function, &arguments)
        } else {
            checked(function, arguments)
        }
    }
}

/// # Safety
/// As [`ke::call_driver`].
unsafe fn checked<const N: usize>(function: *const (), arguments: [usize; N]) -> usize {
    // SAFETY: by contract.
    unsafe { ke::call_driver(function, arguments.map(|argument| argument as u64)) as usize }
}

/// # Safety
/// `function` takes at most four integers by Microsoft's convention.
unsafe fn call_own(function: *const (), arguments: &[usize]) -> usize {
    let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: by contract; arguments that the function does not have are ignored by the convention.
    unsafe {
        let function: unsafe extern "win64" fn(usize, usize, usize, usize) -> usize =
            std::mem::transmute(function);
        function(argument(0), argument(1), argument(2), argument(3))
    }
}

/// Calls a cancel routine: it comes with the cancel spin lock held and returns without.
///
/// # Safety
/// `routine` is a cancel routine and the cancel spin lock is held.
pub unsafe fn call_cancel(routine: *const (), device: PDEVICE_OBJECT, packet: PIRP) {
    // SAFETY: by contract.
    unsafe {
        if is_own(routine) {
            call_own(routine, &[device as usize, packet as usize]);
        } else {
            let thread = ps::current();
            ke::gate::call(
                thread,
                routine,
                &[device as u64, packet as u64],
                thread.kernel_rsp.get(),
            );
        }
    }
}

/// Takes a resource shared. False: it would have to wait.
///
/// # Safety
/// `resource` is an initialised ERESOURCE.
pub unsafe fn resource_shared(resource: PERESOURCE, wait: bool) -> bool {
    // SAFETY: by contract.
    unsafe {
        call_import(
            "ExAcquireResourceSharedLite",
            resource as usize,
            usize::from(wait),
        ) as u8
            != 0
    }
}

/// Takes a resource exclusive, waiting.
///
/// # Safety
/// `resource` is an initialised ERESOURCE.
pub unsafe fn resource_exclusive(resource: PERESOURCE) {
    // SAFETY: by contract.
    unsafe { call_import("ExAcquireResourceExclusiveLite", resource as usize, 1) };
}

/// Gives a resource back.
///
/// # Safety
/// This thread holds it.
pub unsafe fn resource_release(resource: PERESOURCE) {
    // SAFETY: by contract.
    unsafe { call_import("ExReleaseResourceLite", resource as usize, 0) };
}

/// # Safety
/// The import takes these arguments.
unsafe fn call_import(name: &str, first: usize, second: usize) -> usize {
    use crate::imports::{Target, find};
    match find(name).map(|import| import.target) {
        // SAFETY: by contract.
        Some(Target::Function(function)) => unsafe { call_own(function, &[first, second]) },
        _ => crate::verifier::fail!(Unmodelled, "{name}"),
    }
}

/// Enters a critical region.
pub fn enter_critical_region() {
    // SAFETY: no precondition.
    unsafe { ke::irql::KeEnterCriticalRegion() };
}

/// Leaves it.
pub fn leave_critical_region() {
    // SAFETY: it was entered.
    unsafe { ke::irql::KeLeaveCriticalRegion() };
}

/// The calling thread, as an IRP names it.
pub fn current_thread() -> PETHREAD {
    ps::current().object().cast()
}

/// A counting semaphore between host threads of the double.
pub struct HostSemaphore {
    count: Mutex<usize>,
    more: Condvar,
}

impl Default for HostSemaphore {
    fn default() -> HostSemaphore {
        HostSemaphore::new()
    }
}

impl HostSemaphore {
    /// At zero.
    pub const fn new() -> HostSemaphore {
        HostSemaphore {
            count: Mutex::new(0),
            more: Condvar::new(),
        }
    }

    /// One more.
    pub fn up(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.more.notify_one();
    }

    /// Waits until there is one and takes it.
    pub fn down(&self) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        while *count == 0 {
            count = self.more.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
        *count -= 1;
    }
}
