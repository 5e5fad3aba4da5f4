//! Sleep and hibernation, Fast Startup's included: another system may have had the disks meanwhile.
//!
//! A drive with removable media asks for a verification by itself, a fixed disk does not: to Windows it is the same disk as
//! before. So whenever the machine leaves its working state, and again when it is back in it, every volume of this driver is
//! made to want a verification ([`crate::object::verify`]) before its next request is served. An unchanged volume goes on with one
//! look at its superblock; a changed one is given up, and what is there now is mounted afresh.
//
// UNSAFETY: a callback object of the kernel's, and flags of the devices below volumes.

use crate::log;
use crate::state::{self, Driver};
use crate::workque::deferred::{self, Act, Room};
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use lklfs_kernel::name::Name;
use lklfs_kernel::nt::{
    DO_VERIFY_VOLUME, ExCreateCallback, ExRegisterCallback, ExUnregisterCallback, NO, OBJ_CASE_INSENSITIVE,
    OBJECT_ATTRIBUTES, ObfDereferenceObject, PASSIVE, PCALLBACK_OBJECT, PVOID, YES,
};
use lklfs_kernel::sync::SpinLock;
use lklfs_kernel::{routines, stack};

/// The kernel's callback object for changes of the machine's power state.
const POWER_STATE: &str = "\\Callback\\PowerState";
/// `PO_CB_SYSTEM_STATE_LOCK`: the machine is about to leave its working state, or is back in it.
const SYSTEM_STATE_LOCK: usize = 3;

/// The driver's ear for sleep.
pub struct Power {
    object: AtomicPtr<c_void>,
    registration: AtomicPtr<c_void>,
    /// Volumes have to be verified, and no thread has begun with that.
    is_due: AtomicBool,
    /// For the work that does it when the callback comes at DISPATCH_LEVEL.
    room: SpinLock<Option<Room<Doubt>>>,
}

impl Power {
    /// Not listening yet.
    pub const fn new() -> Self {
        Power {
            object: AtomicPtr::new(null_mut()),
            registration: AtomicPtr::new(null_mut()),
            is_due: AtomicBool::new(false),
            room: SpinLock::new(None),
        }
    }

    /// Sees to it that there is room for the work.
    ///
    /// IRQL: PASSIVE_LEVEL; waits for memory.
    fn make_room(&self) {
        loop {
            if let Some(room) = Room::reserve() {
                *self.room.lock() = Some(room);
                return;
            }
            deferred::pause();
        }
    }

    /// Listens from now on. A kernel without that callback leaves volumes unverified after a sleep, which is said.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn listen(driver: &Driver) {
        let mut name = Name::new(POWER_STATE);
        let mut string = name.string();
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
            ObjectName: &raw mut string,
            Attributes: OBJ_CASE_INSENSITIVE,
            ..Default::default()
        };
        let mut object: PCALLBACK_OBJECT = null_mut();
        // SAFETY: all pointers outlive the call; an object that is not there is not made.
        let status = unsafe { ExCreateCallback(&mut object, &mut attributes, NO, YES) };
        if status < 0 {
            log::line(format_args!("the machine's sleep is not heard of: {status:#x}"));
            return;
        }
        driver.power.object.store(object.cast(), Ordering::Release);
        driver.power.make_room();
        // SAFETY: the object is referenced; the routine belongs to the image, which stays until the end of listening.
        let registration = unsafe { ExRegisterCallback(object, Some(changed), null_mut()) };
        driver.power.registration.store(registration, Ordering::Release);
        if registration.is_null() {
            log::line(format_args!("the machine's sleep is not heard of"));
        }
    }

    /// Listens no more.
    ///
    /// IRQL: PASSIVE_LEVEL; waits for a callback that runs.
    pub fn stop(&self) {
        let registration = self.registration.swap(null_mut(), Ordering::AcqRel);
        if !registration.is_null() {
            // SAFETY: registered by listen().
            unsafe { ExUnregisterCallback(registration) };
        }
        let object = self.object.swap(null_mut(), Ordering::AcqRel);
        if !object.is_null() {
            // SAFETY: referenced by ExCreateCallback().
            let _ = unsafe { ObfDereferenceObject(object) };
        }
    }
}

impl Default for Power {
    fn default() -> Self {
        Power::new()
    }
}

/// The kernel's callback.
unsafe extern "C" fn changed(_context: PVOID, what: PVOID, _back: PVOID) {
    if what.addr() != SYSTEM_STATE_LOCK {
        return;
    }
    // At DISPATCH_LEVEL, where the last count of a volume must not be dropped, a worker does it.
    if routines::irql() == PASSIVE {
        stack::insist(doubt_all);
        return;
    }
    let Some(driver) = state::driver() else { return };
    driver.power.is_due.store(true, Ordering::Release);
    // Where there is no room, the work is queued or under way already, and looks again at its end.
    if let Some(room) = driver.power.room.lock().take() {
        room.queue(Doubt);
    }
}

/// The work that is queued when all volumes have to be verified.
struct Doubt;

impl Act for Doubt {
    fn act(&mut self) {
        let Some(driver) = state::driver() else { return };
        while driver.power.is_due.swap(false, Ordering::AcqRel) {
            doubt_all();
        }
        driver.power.make_room();
        // What came before there was room again.
        while driver.power.is_due.swap(false, Ordering::AcqRel) {
            doubt_all();
        }
    }
}

/// Every volume has to be verified before its next request is served. Takes no memory: it must not be left undone.
fn doubt_all() {
    let Some(driver) = state::driver() else { return };
    let mut place = usize::MAX;
    while let Some((at, volume)) = driver.volumes.before(place) {
        place = at;
        if volume.refusal().is_some() {
            continue;
        }
        // SAFETY: referenced by the volume; file systems set this flag, too.
        if let Some(real) = unsafe { volume.mounted_on.as_ptr().as_mut() } {
            // A disk of ours is an image, whose file this machine holds open.
            if real.DriverObject != driver.object() {
                real.Flags |= DO_VERIFY_VOLUME;
            }
        }
    }
}
