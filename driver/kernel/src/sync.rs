//! NT's dispatcher objects and spin locks as Rust types: [`Semaphore`], [`Event`], [`SpinLock`].
//!
//! The kernel links dispatcher objects into its own lists by address, so they must not move: each is pinned by being used
//! behind a shared reference only after its `init`, where it stays.
//
// UNSAFETY: calls Ke* on objects that it owns.

use crate::nt::{
    _EVENT_TYPE, _KWAIT_REASON, KERNEL_MODE, KEVENT, KIRQL, KSEMAPHORE, KSPIN_LOCK,
    KeAcquireSpinLockRaiseToDpc, KeClearEvent, KeInitializeEvent, KeInitializeSemaphore, KeReleaseSemaphore,
    KeReleaseSpinLock, KeSetEvent, KeWaitForSingleObject, LARGE_INTEGER, LONG, NO, PVOID,
};
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::marker::PhantomPinned;
use core::ops::{Deref, DerefMut};

/// `STATUS_TIMEOUT`, which a wait returns as a success.
const STATUS_TIMEOUT: i32 = 0x102;

/// Waits for a dispatcher object without limit, in kernel mode, not alertable.
///
/// IRQL: <= APC_LEVEL.
///
/// # Safety
/// `object` is an initialised dispatcher object and stays one during the wait.
pub unsafe fn wait(object: PVOID) {
    // SAFETY: promised by the caller.
    let _ = unsafe {
        KeWaitForSingleObject(
            object,
            _KWAIT_REASON::Executive,
            KERNEL_MODE,
            NO,
            core::ptr::null_mut(),
        )
    };
}

/// `KSEMAPHORE` with the largest limit there is, so that no release is ever lost.
pub struct Semaphore {
    object: UnsafeCell<KSEMAPHORE>,
    _pinned: PhantomPinned,
}

// SAFETY: the kernel synchronises every access to a dispatcher object.
unsafe impl Send for Semaphore {}
// SAFETY: as above.
unsafe impl Sync for Semaphore {}

impl Semaphore {
    /// A semaphore that is not usable before [`Semaphore::init`].
    pub fn uninit() -> Self {
        Semaphore {
            object: UnsafeCell::new(KSEMAPHORE::default()),
            _pinned: PhantomPinned,
        }
    }

    /// Makes the semaphore usable, with `count` tokens in it. It must not move any more. IRQL: any.
    pub fn init(&self, count: u16) {
        // SAFETY: the object is ours; no thread waits for a semaphore that was not initialised.
        unsafe { KeInitializeSemaphore(self.object.get(), LONG::from(count), LONG::MAX) };
    }

    /// A semaphore in a box of its own, with `count` tokens in it; `None` for lack of memory.
    ///
    /// IRQL: <= DISPATCH_LEVEL.
    pub fn new(count: u16) -> Option<Box<Self>> {
        let semaphore = fallible::try_box(Semaphore::uninit())?;
        semaphore.init(count);
        Some(semaphore)
    }

    /// Puts a token in. IRQL: <= DISPATCH_LEVEL.
    pub fn up(&self) {
        // SAFETY: initialised before it was shared. The limit cannot be reached: there are far fewer tokens than 2^31.
        unsafe { KeReleaseSemaphore(self.object.get(), 0, 1, NO) };
    }

    /// Takes a token, waiting for one. IRQL: <= APC_LEVEL.
    pub fn down(&self) {
        // SAFETY: initialised before it was shared, and borrowed for the wait.
        unsafe { wait(self.object.get().cast()) };
    }
}

/// A notification event: once set it stays set.
pub struct Event {
    object: UnsafeCell<KEVENT>,
    _pinned: PhantomPinned,
}

// SAFETY: the kernel synchronises every access to a dispatcher object.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// An event that is not usable before [`Event::init`].
    pub fn uninit() -> Self {
        Event {
            object: UnsafeCell::new(KEVENT::default()),
            _pinned: PhantomPinned,
        }
    }

    /// Makes the event usable, not set. It must not move any more.
    pub fn init(&self) {
        // SAFETY: the object is ours; nobody waits on an event that was not initialised.
        unsafe { KeInitializeEvent(self.object.get(), _EVENT_TYPE::NotificationEvent, NO) };
    }

    /// Sets it and wakes everybody. IRQL: <= DISPATCH_LEVEL.
    pub fn set(&self) {
        // SAFETY: initialised before it was shared.
        unsafe { KeSetEvent(self.object.get(), 0, NO) };
    }

    /// Takes the mark back. IRQL: <= DISPATCH_LEVEL.
    pub fn clear(&self) {
        // SAFETY: initialised before it was shared.
        unsafe { KeClearEvent(self.object.get()) };
    }

    /// Waits until it is set. IRQL: <= APC_LEVEL.
    pub fn wait(&self) {
        // SAFETY: initialised before it was shared, and borrowed for the wait.
        unsafe { wait(self.object.get().cast()) };
    }

    /// Waits until it is set, for `milliseconds` at most; whether it was set. IRQL: <= APC_LEVEL.
    pub fn wait_for(&self, milliseconds: u32) -> bool {
        let mut due = LARGE_INTEGER {
            QuadPart: i64::from(milliseconds).saturating_mul(-10_000),
        };
        // SAFETY: as for wait(); the time is readable.
        let status = unsafe {
            KeWaitForSingleObject(
                self.object.get().cast(),
                _KWAIT_REASON::Executive,
                KERNEL_MODE,
                NO,
                &mut due,
            )
        };
        status != STATUS_TIMEOUT
    }

    /// The kernel's object, for calls that take one.
    pub fn as_ptr(&self) -> *mut KEVENT {
        self.object.get()
    }
}

/// A value behind a spin lock. The lock raises to DISPATCH_LEVEL: what it guards is short work in non-paged memory.
pub struct SpinLock<T> {
    lock: UnsafeCell<KSPIN_LOCK>,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands the value to one processor at a time.
unsafe impl<T: Send> Send for SpinLock<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// A free lock around `value`. (`KeInitializeSpinLock` stores 0.)
    pub const fn new(value: T) -> Self {
        SpinLock {
            lock: UnsafeCell::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock. IRQL: <= DISPATCH_LEVEL; DISPATCH_LEVEL until the guard is dropped. Not recursive.
    pub fn lock(&self) -> SpinGuard<'_, T> {
        // SAFETY: the lock is ours and initialised.
        let irql = unsafe { KeAcquireSpinLockRaiseToDpc(self.lock.get()) };
        SpinGuard { owner: self, irql }
    }
}

/// The lock held.
pub struct SpinGuard<'a, T> {
    owner: &'a SpinLock<T>,
    irql: KIRQL,
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard has the lock.
        unsafe { &*self.owner.value.get() }
    }
}

impl<T> DerefMut for SpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard has the lock.
        unsafe { &mut *self.owner.value.get() }
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: taken by lock() at the IRQL that is restored here.
        unsafe { KeReleaseSpinLock(self.owner.lock.get(), self.irql) };
    }
}
