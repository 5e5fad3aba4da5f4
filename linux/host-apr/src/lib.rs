//! The Apache Portable Runtime host of the Linux kernel library: Linux wherever libapr runs.
//!
//! Of the system below it uses libapr and nothing else: threads, mutexes, condition variables, shared memory, the clock and files.
//! [`boot`] is the whole of it for a program; [`AprHost`] is the [`lkl::Host`] behind it, and [`FileDisk`] a disk in a file.
//! Each module is one part of the contract: [`sem`], [`thread`], [`pool`], [`clock`], [`timer`], [`disk`]; [`region`] is libapr's
//! memory, on which all of its objects are. Timers' order and disks' queues are those of `lkl-host-std`.
//!
//! The crate is empty unless its feature `apr` is on: README.md says why, and what this host cannot do.

// UNSAFETY (whole crate): a host is made of raw memory and threads; its contract is in host_ops.h, and libapr is a library in C.

#![cfg(all(target_os = "linux", feature = "apr"))]
#![deny(unsafe_code)]

mod apr;
pub mod clock;
pub mod disk;
pub mod pool;
pub mod region;
pub mod sem;
pub mod thread;
pub mod timer;

pub use disk::FileDisk;
pub use lkl::{BootConfig, BootError, Kernel};
pub use lkl_host_std::console::{Hooks, TextHook};

use lkl::{Alarm, Host, ThreadBody};
use lkl_host_std::console::Console;
use lkl_host_std::way_back;
use std::ptr::NonNull;
use std::sync::Arc;

/// Bytes of what recovery writes that are kept at most. libapr cannot tell how much memory the machine has.
const OVERLAY_MOST: u64 = 1 << 30;

/// The host.
#[derive(Debug)]
pub struct AprHost {
    console: Console,
    pool: pool::Pool,
    clock: Arc<clock::Clock>,
    timers: timer::Timers,
}

impl AprHost {
    /// A host for one boot. `None` for lack of memory, or when libapr does not start.
    pub fn new(hooks: Hooks) -> Option<Arc<AprHost>> {
        let clock = Arc::new(clock::Clock::default());
        let sleeper = timer::CondSleeper::new(Arc::clone(&clock))?;
        Some(Arc::new(AprHost {
            console: Console::new(hooks),
            pool: pool::Pool::default(),
            clock,
            timers: timer::Timers::with_threads(sleeper, thread::start_worker),
        }))
    }

    /// Whether Linux has said that it died.
    pub fn has_panicked(&self) -> bool {
        self.console.has_panicked()
    }
}

/// Boots Linux in this process; its console output is only kept in [`Kernel::log`].
pub fn boot(config: &BootConfig<'_>) -> Result<Kernel, BootError> {
    boot_with(Hooks::default(), config)
}

/// As [`boot`], with a say in what is printed.
pub fn boot_with(hooks: Hooks, config: &BootConfig<'_>) -> Result<Kernel, BootError> {
    Kernel::boot(AprHost::new(hooks).ok_or(BootError::NoMemory)?, config)
}

impl Host for AprHost {
    type Semaphore = sem::Semaphore;
    type Thread = thread::Thread;
    type Timer = timer::Timer;

    fn print(&self, text: &[u8]) {
        self.console.print(text);
    }

    fn panicked(&self, why: &[u8]) {
        self.console.panicked(why);
    }

    fn semaphore(&self, count: u32) -> Option<Box<sem::Semaphore>> {
        sem::Semaphore::new(count).and_then(fallible::try_box)
    }

    fn thread(&self, body: ThreadBody) -> Option<Box<thread::Thread>> {
        thread::Thread::start(Box::new(move || way_back::call(body))).and_then(fallible::try_box)
    }

    fn exit_thread(&self) -> ! {
        way_back::exit()
    }

    fn thread_self(&self) -> u64 {
        thread::name()
    }

    /// libapr has no clock of threads.
    fn thread_ran_ns(&self, _thread: u64) -> Option<u64> {
        None
    }

    fn pool_alloc(&self, size: usize) -> Option<NonNull<u8>> {
        self.pool.alloc(size)
    }

    #[allow(unsafe_code)]
    unsafe fn pool_free(&self, _pool: NonNull<u8>, _size: usize) {
        self.pool.free();
    }

    /// libapr chooses where it maps: it cannot put pages side by side.
    fn pages_map(&self, _pages: &[usize]) -> Option<NonNull<u8>> {
        None
    }

    #[allow(unsafe_code)]
    unsafe fn pages_unmap(&self, _addr: NonNull<u8>, _count: usize) {}

    fn overlay_most(&self) -> u64 {
        OVERLAY_MOST
    }

    fn monotonic_ns(&self) -> u64 {
        self.clock.monotonic_ns()
    }

    fn realtime_ns(&self) -> u64 {
        clock::realtime_ns()
    }

    fn timer(&self, alarm: Alarm) -> Option<Box<timer::Timer>> {
        self.timers.timer(alarm).and_then(fallible::try_box)
    }

    fn yield_now(&self) {
        thread::yield_now();
    }
}
