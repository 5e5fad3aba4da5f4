//! The NT user-mode host of the Linux kernel library: Linux inside an ordinary Windows process.
//!
//! [`boot`] is the whole of it for a program; [`NtHost`] is the [`lkl::Host`] behind it, [`FileDisk`] a disk in a
//! file or volume, and [`WritableFile`] one that Linux may write to. Each module is one part of the contract: [`sem`],
//! [`thread`], [`pool`], [`timer`], [`disk`], [`writable`], the last two by [`overlapped`] I/O. Timers' order and disks' threads are those of `lkl-host-std`.
//!
//! It runs on every 64-bit Windows. Two things depend on the system:
//! - pages are mapped side by side from Windows 10 1803 on ([`pool`]); before, file systems that need it refuse with an
//!   error (compressed EROFS, XFS with folder blocks larger than a page);
//! - timers are exact to 100 ns from Windows 10 1803 on, and to the system's tick (up to 15.6 ms, never early) before.
//!
//! A fault in Linux code is contained by `lkl` itself: NT's exceptions serve for that. Linux itself is linked in by a crate of
//! `linux/flavours`, which a program chooses. The crate is empty on other systems, so that a workspace can name it anyway.

// UNSAFETY (whole crate): a host is made of raw memory, threads and handles; its contract is in host_ops.h.

#![cfg(windows)]
#![deny(unsafe_code)]

pub mod clock;
pub mod disk;
pub mod overlapped;
pub mod pool;
pub mod sem;
pub mod thread;
pub mod timer;
pub mod writable;

#[cfg(test)]
use linux_driver as _;

pub use disk::FileDisk;
pub use lkl::{BootConfig, BootError, Kernel};
pub use lkl_host_std::console::{Hooks, TextHook};
pub use writable::WritableFile;

use lkl::{Alarm, Host, ThreadBody};
use lkl_host_std::console::Console;
use std::ptr::NonNull;
use std::sync::Arc;

/// The host.
pub struct NtHost {
    console: Console,
    pool: pool::Pool,
    clock: clock::Clock,
    timers: timer::Timers,
}

impl NtHost {
    /// A host for one boot. `None` when the system has no timer object to give.
    pub fn new(hooks: Hooks) -> Option<Arc<NtHost>> {
        let clock = clock::Clock::new();
        let timers = timer::Timers::new(timer::WaitableSleeper::new(clock)?);
        let pool = pool::Pool::default();
        Some(Arc::new(NtHost {
            console: Console::new(hooks),
            pool,
            clock,
            timers,
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
    Kernel::boot(NtHost::new(hooks).ok_or(BootError::NoMemory)?, config)
}

impl Host for NtHost {
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
        thread::Thread::start(body).and_then(fallible::try_box)
    }

    fn exit_thread(&self) -> ! {
        thread::exit()
    }

    fn thread_self(&self) -> u64 {
        thread::name()
    }

    fn thread_ran_ns(&self, thread: u64) -> Option<u64> {
        thread::ran_ns(thread)
    }

    fn thread_urgent(&self) {
        thread::be_urgent();
    }

    fn pool_alloc(&self, size: usize) -> Option<NonNull<u8>> {
        self.pool.alloc(size)
    }

    #[allow(unsafe_code)]
    unsafe fn pool_free(&self, pool: NonNull<u8>, _size: usize) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.pool.free(pool) }
    }

    fn pages_map(&self, pages: &[usize]) -> Option<NonNull<u8>> {
        self.pool.map(pages)
    }

    #[allow(unsafe_code)]
    unsafe fn pages_unmap(&self, addr: NonNull<u8>, _count: usize) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.pool.unmap(addr) }
    }

    /// Half of the machine's memory.
    fn overlay_most(&self) -> u64 {
        pool::machine_bytes() / 2
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
        std::thread::yield_now();
    }
}
