//! What Linux needs from the machine below it: the [`Host`] trait, one method for each operation of `host_ops.h`.
//!
//! A host hands out [`Semaphore`]s, [`Thread`]s and [`Timer`]s as boxes and gets them back when Linux frees them, so
//! that dropping the box is the whole of "free". The C table in front of these methods is made by [`crate::ops`];
//! no host writes a callback by hand. Disks are not part of the host: see [`crate::Disk`].
//!
//! "Any context" below means that the call may come from a context that must neither block nor allocate: an NT DPC
//! (IRQL <= DISPATCH_LEVEL), a timer thread.
//!
//! `tests/conformance` holds the scenarios that every implementation passes.

// UNSAFETY: the pool and the disk requests are raw memory that host and Linux share.

use crate::sys::Entry;
use alloc::boxed::Box;
use core::alloc::Layout;
use core::ffi::c_void;
use core::ptr::NonNull;

/// A counting semaphore with no upper limit but the width of the counter.
pub trait Semaphore: Send + Sync {
    /// Adds one, waking one waiter. Any context.
    fn up(&self);
    /// Waits until the count is above zero and takes one. Blocks (IRQL: PASSIVE_LEVEL, or APC_LEVEL).
    fn down(&self);
}

/// A thread that was created by [`Host::thread`].
pub trait Thread: Send {
    /// Waits for the thread's end and frees what belonged to it.
    fn join(self: Box<Self>);
}

/// A one-shot timer. Dropping it disarms it, and returns only when no fire is under way any more.
pub trait Timer: Send + Sync {
    /// Fires once, not earlier than `delta_ns` nanoseconds from now. Arming an armed timer moves it. Any context,
    /// also from inside the fire itself.
    fn arm(&self, delta_ns: u64);
}

/// The machine below Linux.
///
/// All of it is called from Linux's threads and from threads that are inside a system call, at any time between
/// [`crate::Kernel::boot`] and the end of [`crate::Kernel::halt`].
pub trait Host: Send + Sync + 'static {
    /// See [`Semaphore`].
    type Semaphore: Semaphore;
    /// See [`Thread`].
    type Thread: Thread;
    /// See [`Timer`].
    type Timer: Timer;

    /// Console output: bytes, not always whole lines. Any context. What Linux prints is also kept in
    /// [`crate::Kernel::log`], so a host may ignore it.
    fn print(&self, text: &[u8]) {
        let _ = text;
    }

    /// Linux has died and `why` says of what. Called once; must not call into Linux. Any context.
    fn panicked(&self, why: &[u8]);

    /// After [`Host::panicked`]: the thread that was in a loop still is, and cannot be stopped. What it uses stays:
    /// [`crate::Kernel::halt`] says [`crate::Halt::Stuck`]. Called once at most, by a thread of Linux's; must not call
    /// into Linux.
    fn stuck(&self) {}

    /// A semaphore that starts at `count`. `None` for lack of memory.
    fn semaphore(&self, count: u32) -> Option<Box<Self::Semaphore>>;

    /// A new thread that calls [`ThreadBody::run`], with at least 64 KiB of stack. `None` when there is none.
    fn thread(&self, body: ThreadBody) -> Option<Box<Self::Thread>>;

    /// Ends the calling thread, which is one of [`Host::thread`]'s, from any depth of its stack. Frames below are
    /// abandoned without being unwound; none of them holds anything that must be dropped.
    fn exit_thread(&self) -> !;

    /// A name for the calling thread: a number that no other thread has, not 0. Called at each entry into Linux.
    fn thread_self(&self) -> u64;

    /// For how many nanoseconds the thread of that name has run on a processor; what it sleeps, is stopped or waits for a
    /// processor does not count. As coarse as a clock tick, perhaps. `None` when it cannot be told. Called by threads of
    /// [`Host::thread`]'s only (IRQL: PASSIVE_LEVEL).
    fn thread_ran_ns(&self, thread: u64) -> Option<u64>;

    /// The calling thread, one of [`Host::thread`]'s, is to run before threads that are in a loop, if the host's
    /// scheduler would let them keep it from running.
    fn thread_urgent(&self) {}

    /// `size` bytes (a multiple of 4096), page-aligned, zero-filled; called once per boot.
    fn pool_alloc(&self, size: usize) -> Option<NonNull<u8>>;

    /// Gives the pool back.
    ///
    /// # Safety
    /// `pool` and `size` are those of the last `pool_alloc`, and nothing uses the memory any more.
    #[allow(unsafe_code)]
    unsafe fn pool_free(&self, pool: NonNull<u8>, size: usize);

    /// Maps pages of the pool, named by their index in it, side by side and readable and writable, in addition to
    /// where they are. `None` when it cannot be done; Linux then does without.
    fn pages_map(&self, pages: &[usize]) -> Option<NonNull<u8>>;

    /// Undoes a `pages_map` of `count` pages.
    ///
    /// # Safety
    /// `addr` came from `pages_map` with `count` pages, and nothing uses that range any more.
    #[allow(unsafe_code)]
    unsafe fn pages_unmap(&self, addr: NonNull<u8>, count: usize);

    /// Nanoseconds of a clock that never goes back and never stops. Any context.
    fn monotonic_ns(&self) -> u64;

    /// Nanoseconds since 1970, UTC. Any context.
    fn realtime_ns(&self) -> u64;

    /// A timer that is not armed and rings `alarm`. `None` for lack of memory.
    fn timer(&self, alarm: Alarm) -> Option<Box<Self::Timer>>;

    /// How many bytes of the machine's memory may hold what file systems write while they recover, for all disks together.
    /// Asked once per boot; taken from the global allocator, block by block, as it is needed. IRQL: PASSIVE_LEVEL.
    fn overlay_most(&self) -> u64;

    /// Linux is spinning: let other threads run.
    fn yield_now(&self);

    /// Sets a block aside for the next allocation of this layout by the calling thread, for the global allocator to hand out;
    /// false when there is none. A host whose allocator never fails does nothing.
    fn set_aside(&self, layout: Layout) -> bool {
        let _ = layout;
        true
    }

    /// Takes back what was set aside for this layout by the calling thread, if it is there still.
    fn take_back(&self, layout: Layout) {
        let _ = layout;
    }

    /// The calling thread, which Linux did not make, is about to go into Linux: for a system call, to boot or to halt it.
    /// Until [`Host::leave_linux`] other threads may wait for what it has (a task, the lock around the making of tasks,
    /// the CPU), so a host whose threads can be suspended from outside forbids that here. Never nested. IRQL: <=
    /// APC_LEVEL.
    fn enter_linux(&self) {}

    /// The calling thread is back from Linux, and has nothing that others wait for.
    fn leave_linux(&self) {}
}

/// What a new thread has to do.
#[derive(Debug)]
pub struct ThreadBody {
    entry: Entry,
    arg: *mut c_void,
    /// Calls `entry(arg)`, with what a fault in it needs.
    run: Runner,
}

/// Calls an entry with its argument.
type Runner = unsafe fn(Entry, *mut c_void);

#[allow(unsafe_code)]
unsafe fn run_plain(entry: Entry, arg: *mut c_void) {
    // SAFETY: promised by the caller.
    unsafe { entry(arg) }
}

// SAFETY: the contract of thread_create: entry(arg) is meant to be called on another thread, once.
#[allow(unsafe_code)]
unsafe impl Send for ThreadBody {}

impl ThreadBody {
    /// A body that runs `entry(arg)`.
    ///
    /// # Safety
    /// `entry` may be called with `arg` once, on any thread, and ends by [`Host::exit_thread`] (or returns, which
    /// Linux never does but tests may: a host treats a return like an exit).
    #[allow(unsafe_code)]
    pub unsafe fn new(entry: Entry, arg: *mut c_void) -> Self {
        ThreadBody {
            entry,
            arg,
            run: run_plain,
        }
    }

    /// As [`ThreadBody::new`], for code of Linux's: a fault in it is contained, where that is not the host's matter.
    ///
    /// # Safety
    /// As [`ThreadBody::new`].
    #[allow(unsafe_code)]
    pub(crate) unsafe fn of_linux(entry: Entry, arg: *mut c_void) -> Self {
        #[cfg(windows)]
        let run: Runner = crate::seh::run_thread;
        #[cfg(not(windows))]
        let run: Runner = run_plain;
        ThreadBody { entry, arg, run }
    }

    /// Does it. A body of Linux's never returns: it ends in [`Host::exit_thread`].
    #[allow(unsafe_code)]
    pub fn run(self) {
        // SAFETY: promised to `new`; `self` is consumed, so this is the only call.
        unsafe { (self.run)(self.entry, self.arg) }
    }
}

/// What a timer does when its time has come.
#[derive(Debug)]
pub struct Alarm {
    fire: Entry,
    arg: *mut c_void,
}

// SAFETY: the contract of timer_alloc: fire(arg) may be called in any context.
#[allow(unsafe_code)]
unsafe impl Send for Alarm {}
// SAFETY: as above; two threads do not ring at the same time because a timer is one-shot and hosts do not overlap
// fires, but Linux' fire would bear it: it only raises an interrupt.
#[allow(unsafe_code)]
unsafe impl Sync for Alarm {}

impl Alarm {
    /// An alarm that calls `fire(arg)`.
    ///
    /// # Safety
    /// `fire` may be called with `arg` in any context, until the timer is dropped.
    #[allow(unsafe_code)]
    pub unsafe fn new(fire: Entry, arg: *mut c_void) -> Self {
        Alarm { fire, arg }
    }

    /// Calls Linux. Short; neither blocks nor allocates. Any context.
    #[allow(unsafe_code)]
    pub fn ring(&self) {
        // SAFETY: promised to `new`; the timer that owns this is still there.
        unsafe { (self.fire)(self.arg) }
    }
}
