//! [`NtkHost`]: `lkl::Host` for the NT kernel, made of this crate's parts.
//
// UNSAFETY: `lkl::Host` has two unsafe methods; the panic note is printed through a variadic function.

use crate::memory::Pages;
use crate::semaphore::Tokens;
use crate::thread;
use crate::thread::LinuxThread;
use crate::timer::Timer;
use alloc::boxed::Box;
use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use lkl::{Alarm, ThreadBody};
use lklfs_kernel::debugger::{self, Level};
use lklfs_kernel::machine;
use lklfs_kernel::nt::{
    APC, KERNEL_MODE, KeDelayExecutionThread, KeEnterCriticalRegion, KeLeaveCriticalRegion, NO, PASSIVE,
    large,
};
use lklfs_kernel::sync::Event;
use lklfs_kernel::{clock, pool, routines};

/// The NT kernel as Linux's machine.
pub struct NtkHost {
    pages: Pages,
    died: AtomicBool,
    /// Set when Linux dies.
    death: Event,
    /// Told when a thread is in a loop inside Linux for good.
    on_stuck: Option<fn()>,
}

impl NtkHost {
    /// A host whose pool is not made yet. Call [`NtkHost::init`] once it is where it stays.
    pub fn new() -> Self {
        NtkHost {
            pages: Pages::new(),
            died: AtomicBool::new(false),
            death: Event::uninit(),
            on_stuck: None,
        }
    }

    /// Calls `act` when a thread is found to be in a loop inside Linux that does not end: the image that it runs in must
    /// stay. At PASSIVE_LEVEL, on a thread of Linux's.
    pub fn on_stuck(mut self, act: fn()) -> Self {
        self.on_stuck = Some(act);
        self
    }

    /// Completes the construction in place.
    pub fn init(&self) {
        self.death.init();
    }

    /// Whether Linux has told that it died.
    pub fn died(&self) -> bool {
        self.died.load(Ordering::Acquire)
    }

    /// The pool, for disks that read into it.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }
}

impl Default for NtkHost {
    fn default() -> Self {
        Self::new()
    }
}

impl lkl::Host for NtkHost {
    type Semaphore = Tokens;
    type Thread = LinuxThread;
    type Timer = Timer;

    fn print(&self, text: &[u8]) {
        debugger::print(Level::Info, text);
    }

    fn panicked(&self, why: &[u8]) {
        self.died.store(true, Ordering::Release);
        self.death.set();
        debugger::print(Level::Error, b"lklfs: Linux died: ");
        debugger::print(Level::Error, why);
        debugger::print(Level::Error, b"\n");
    }

    fn semaphore(&self, count: u32) -> Option<Box<Tokens>> {
        Tokens::new(count)
    }

    fn thread(&self, body: ThreadBody) -> Option<Box<LinuxThread>> {
        LinuxThread::spawn(body)
    }

    fn exit_thread(&self) -> ! {
        thread::exit()
    }

    fn thread_self(&self) -> u64 {
        lklfs_kernel::thread::name()
    }

    fn thread_ran_ns(&self, thread: u64) -> Option<u64> {
        lklfs_kernel::thread::ran_ns(thread)
    }

    fn thread_urgent(&self) {
        lklfs_kernel::thread::be_urgent();
    }

    fn stuck(&self) {
        if let Some(act) = self.on_stuck {
            act();
        }
        debugger::print(
            Level::Error,
            b"lklfs: a thread is in a loop inside Linux and cannot be stopped: the driver stays until the machine restarts\n",
        );
    }

    fn pool_alloc(&self, size: usize) -> Option<NonNull<u8>> {
        self.pages.allocate(size)
    }

    unsafe fn pool_free(&self, _pool: NonNull<u8>, _size: usize) {
        // SAFETY: promised by the caller.
        if !unsafe { self.pages.free() } {
            debugger::print(
                Level::Error,
                b"lklfs: Linux has written beyond its memory, where guards lie; no other memory was changed\n",
            );
        }
    }

    fn pages_map(&self, pages: &[usize]) -> Option<NonNull<u8>> {
        self.pages.map(pages)
    }

    unsafe fn pages_unmap(&self, addr: NonNull<u8>, _count: usize) {
        // SAFETY: promised by the caller.
        unsafe { self.pages.unmap(addr) };
    }

    /// A quarter of the machine's memory: all of it is non-paged pool.
    fn overlay_most(&self) -> u64 {
        machine::memory_bytes() / 4
    }

    fn monotonic_ns(&self) -> u64 {
        clock::monotonic_ns()
    }

    fn realtime_ns(&self) -> u64 {
        clock::realtime_ns()
    }

    fn timer(&self, alarm: Alarm) -> Option<Box<Timer>> {
        Timer::new(alarm)
    }

    fn set_aside(&self, layout: Layout) -> bool {
        pool::set_aside_for(layout)
    }

    fn take_back(&self, layout: Layout) {
        pool::take_back(layout);
    }

    /// Normal kernel APCs are off, so that the thread cannot be suspended while it has Linux's CPU.
    fn enter_linux(&self) {
        // SAFETY: IRQL <= APC_LEVEL; balanced by leave_linux().
        unsafe { KeEnterCriticalRegion() };
    }

    fn leave_linux(&self) {
        // SAFETY: entered by enter_linux() on this thread.
        unsafe { KeLeaveCriticalRegion() };
    }

    fn yield_now(&self) {
        let irql = routines::irql();
        if irql == PASSIVE || irql == APC {
            let mut nothing = large(0);
            // SAFETY: kernel mode, not alertable; the interval is readable. A zero interval only gives way.
            let _ = unsafe { KeDelayExecutionThread(KERNEL_MODE, NO, &mut nothing) };
        }
    }
}
