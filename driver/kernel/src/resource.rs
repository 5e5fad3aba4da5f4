//! ERESOURCEs: as the bare locks that the cache manager wants to see in an FCB, and as [`Guarded`], a value behind
//! one. What they guard may be worked on at PASSIVE_LEVEL and may wait, which a spin lock does not allow.
//
// UNSAFETY: calls Ex* on resources that it owns.

use crate::nt::{
    self, ERESOURCE, ExAcquireResourceExclusiveLite, ExDeleteResourceLite, ExInitializeResourceLite,
    ExReleaseResourceLite, KeEnterCriticalRegion, KeLeaveCriticalRegion,
};
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::marker::PhantomPinned;
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};

/// An ERESOURCE at a fixed address.
pub struct Resource {
    object: UnsafeCell<ERESOURCE>,
    _pinned: PhantomPinned,
}

// SAFETY: the kernel synchronises every access to a resource.
unsafe impl Send for Resource {}
// SAFETY: as above.
unsafe impl Sync for Resource {}

impl Resource {
    /// A resource, ready for use. `None` for lack of memory.
    pub fn new() -> Option<Box<Self>> {
        // The place first: one that was not initialised must not be dropped.
        let place = fallible::try_box(MaybeUninit::<Resource>::uninit())?;
        let resource = Box::write(
            place,
            Resource {
                object: UnsafeCell::new(ERESOURCE::default()),
                _pinned: PhantomPinned,
            },
        );
        // SAFETY: the object is ours and where it will stay; initialisation cannot fail.
        let _ = unsafe { ExInitializeResourceLite(resource.object.get()) };
        Some(resource)
    }

    /// The kernel's object.
    pub fn as_ptr(&self) -> *mut ERESOURCE {
        self.object.get()
    }

    /// Takes it for the caller alone, waiting if `wait`; whether it was taken. Normal kernel APCs stay off until
    /// [`Resource::release`].
    pub fn acquire_exclusive(&self, wait: bool) -> bool {
        // SAFETY: balanced by release(), or below.
        unsafe { KeEnterCriticalRegion() };
        // SAFETY: initialised by new(), and APCs are off.
        let taken = unsafe { ExAcquireResourceExclusiveLite(self.object.get(), u8::from(wait)) != 0 };
        Self::leave_unless(taken);
        taken
    }

    /// Takes it for a caller who is in a critical region of his own, and stays there until
    /// [`Resource::release_inside_region`].
    pub fn acquire_inside_region(&self) {
        // SAFETY: initialised by new(); the caller has normal kernel APCs off. It waits, so it is taken.
        let _ = unsafe { ExAcquireResourceExclusiveLite(self.object.get(), nt::YES) };
    }

    /// Lets it go for a caller who leaves his critical region himself.
    pub fn release_inside_region(&self) {
        // SAFETY: initialised by new(), and taken by this thread.
        unsafe { ExReleaseResourceLite(self.object.get()) };
    }

    fn leave_unless(taken: bool) {
        if !taken {
            // SAFETY: entered by the caller.
            unsafe { KeLeaveCriticalRegion() };
        }
    }

    /// Lets it go.
    pub fn release(&self) {
        // SAFETY: initialised by new(), and taken by this thread.
        unsafe { ExReleaseResourceLite(self.object.get()) };
        // SAFETY: entered when it was taken.
        unsafe { KeLeaveCriticalRegion() };
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        // SAFETY: initialised by new(); nobody has it any more.
        let _ = unsafe { ExDeleteResourceLite(self.object.get()) };
    }
}

/// A value that one thread at a time works on, at PASSIVE_LEVEL or APC_LEVEL, and may wait meanwhile.
pub struct Guarded<T> {
    resource: Box<Resource>,
    value: UnsafeCell<T>,
}

// SAFETY: the resource hands the value to one thread at a time.
unsafe impl<T: Send> Send for Guarded<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    /// `value` behind a new lock. `None` for lack of memory.
    pub fn new(value: T) -> Option<Self> {
        Some(Guarded {
            resource: Resource::new()?,
            value: UnsafeCell::new(value),
        })
    }

    /// Takes the lock, waiting for it. IRQL: <= APC_LEVEL. Not recursive.
    pub fn lock(&self) -> Guard<'_, T> {
        // Told to wait, it cannot come back without the lock.
        let _ = self.resource.acquire_exclusive(true);
        Guard { owner: self }
    }
}

/// The lock held.
pub struct Guard<'a, T> {
    owner: &'a Guarded<T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard has the lock.
        unsafe { &*self.owner.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard has the lock.
        unsafe { &mut *self.owner.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.owner.resource.release();
    }
}
