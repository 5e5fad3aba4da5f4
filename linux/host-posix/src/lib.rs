//! The POSIX host of the Linux kernel library: Linux inside an ordinary process of Linux.
//!
//! [`boot`] is the whole of it for a program; [`PosixHost`] is the [`lkl::Host`] behind it, [`FileDisk`] a disk in
//! a file or block device, and [`WritableFile`] one that Linux may write to. Each module is one part of the contract:
//! [`sem`], [`thread`], [`pool`], [`timer`], [`fault`], [`disk`], [`writable`].
//!
//! What it is made for is a short way between two Linux threads, because each context switch of Linux is an `up` and a
//! `down` here: see [`sem`].
//!
//! Linux itself is linked in by a crate of `linux/flavours`, which a program chooses. Nothing but Linux on x86-64 is supported, and the crate is empty
//! on other systems, so that a workspace can name it anyway.

// UNSAFETY (whole crate): a host is made of raw memory, threads and handlers; its contract is in host_ops.h.

#![cfg(target_os = "linux")]
#![deny(unsafe_code)]

pub mod disk;
pub mod fault;
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
use rustix::time::{ClockId, clock_gettime};
use std::ptr::NonNull;
use std::sync::Arc;

/// The host.
pub struct PosixHost {
    console: Console,
    pool: pool::Pool,
    timers: timer::Timers,
}

impl PosixHost {
    /// A host for one boot.
    pub fn new(hooks: Hooks) -> Arc<PosixHost> {
        Arc::new(PosixHost {
            console: Console::new(hooks),
            pool: pool::Pool::default(),
            timers: timer::Timers::new(timer::FutexSleeper::default()),
        })
    }

    /// Whether Linux has said that it died.
    pub fn has_panicked(&self) -> bool {
        self.console.has_panicked()
    }
}

/// Boots Linux in this process; its console output is only kept in [`Kernel::log`]. Installs handlers for faults
/// ([`fault`]).
pub fn boot(config: &BootConfig<'_>) -> Result<Kernel, BootError> {
    boot_with(Hooks::default(), config)
}

/// As [`boot`], with a say in what is printed.
pub fn boot_with(hooks: Hooks, config: &BootConfig<'_>) -> Result<Kernel, BootError> {
    fault::install();
    Kernel::boot(PosixHost::new(hooks), config)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

impl Host for PosixHost {
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
        fallible::try_box(sem::Semaphore::new(count))
    }

    fn thread(&self, body: ThreadBody) -> Option<Box<thread::Thread>> {
        thread::Thread::start(body).ok().and_then(fallible::try_box)
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

    fn pool_alloc(&self, size: usize) -> Option<NonNull<u8>> {
        self.pool.alloc(size)
    }

    #[allow(unsafe_code)]
    unsafe fn pool_free(&self, pool: NonNull<u8>, size: usize) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.pool.free(pool, size) }
    }

    fn pages_map(&self, pages: &[usize]) -> Option<NonNull<u8>> {
        self.pool.map(pages)
    }

    #[allow(unsafe_code)]
    unsafe fn pages_unmap(&self, addr: NonNull<u8>, count: usize) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.pool.unmap(addr, count) }
    }

    /// Half of the machine's memory.
    fn overlay_most(&self) -> u64 {
        let machine = rustix::system::sysinfo();
        machine.totalram.saturating_mul(machine.mem_unit.into()) / 2
    }

    fn monotonic_ns(&self) -> u64 {
        nanoseconds(ClockId::Monotonic)
    }

    fn realtime_ns(&self) -> u64 {
        nanoseconds(ClockId::Realtime)
    }

    fn timer(&self, alarm: Alarm) -> Option<Box<timer::Timer>> {
        self.timers.timer(alarm).and_then(fallible::try_box)
    }

    fn yield_now(&self) {
        std::thread::yield_now();
    }

    fn enter_linux(&self) {
        fault::mark(true);
    }

    fn leave_linux(&self) {
        fault::mark(false);
    }
}
