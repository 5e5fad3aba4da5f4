//! [`NtkHost`]: `lkl::Host` for the NT kernel, made of this crate's parts.
//
// UNSAFETY: `lkl::Host` has two unsafe methods; the panic note is printed through a variadic function.

use crate::memory::Pages;
use crate::nt::{
    APC, DbgPrintEx, KERNEL_MODE, KeDelayExecutionThread, KeEnterCriticalRegion, KeLeaveCriticalRegion, NO,
    PASSIVE, large,
};
use crate::sync::{Event, Semaphore};
use crate::thread::Thread;
use crate::timer::Timer;
use crate::{clock, memory, pool, routines, thread};
use alloc::boxed::Box;
use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use lkl::{Alarm, ThreadBody};

/// `DPFLTR_IHVDRIVER_ID`: the component of third-party drivers, silent unless a debugger asks for it.
const DPFLTR_IHVDRIVER_ID: u32 = 77;
const DPFLTR_ERROR_LEVEL: u32 = 0;
const DPFLTR_INFO_LEVEL: u32 = 3;

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

/// Passes text to the kernel debugger, a line or a part of one at a time. Any IRQL.
fn debug_print(level: u32, text: &[u8]) {
    for piece in text.chunks(120) {
        let mut line = [0u8; 128];
        for (place, byte) in line.iter_mut().zip(piece) {
            *place = *byte;
        }
        // SAFETY: "%s" takes a NUL-terminated string; the last bytes of `line` are NUL.
        unsafe { DbgPrintEx(DPFLTR_IHVDRIVER_ID, level, c"%s".as_ptr(), line.as_ptr()) };
    }
}

impl lkl::Host for NtkHost {
    type Semaphore = Semaphore;
    type Thread = Thread;
    type Timer = Timer;

    fn print(&self, text: &[u8]) {
        debug_print(DPFLTR_INFO_LEVEL, text);
    }

    fn panicked(&self, why: &[u8]) {
        self.died.store(true, Ordering::Release);
        self.death.set();
        debug_print(DPFLTR_ERROR_LEVEL, b"lklfs: Linux died: ");
        debug_print(DPFLTR_ERROR_LEVEL, why);
        debug_print(DPFLTR_ERROR_LEVEL, b"\n");
    }

    fn semaphore(&self, count: u32) -> Option<Box<Semaphore>> {
        Semaphore::new(count)
    }

    fn thread(&self, body: ThreadBody) -> Option<Box<Thread>> {
        Thread::spawn(body)
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

    fn stuck(&self) {
        if let Some(act) = self.on_stuck {
            act();
        }
        debug_print(
            DPFLTR_ERROR_LEVEL,
            b"lklfs: a thread is in a loop inside Linux and cannot be stopped: the driver stays until the machine restarts\n",
        );
    }

    fn pool_alloc(&self, size: usize) -> Option<NonNull<u8>> {
        self.pages.allocate(size)
    }

    unsafe fn pool_free(&self, _pool: NonNull<u8>, _size: usize) {
        // SAFETY: promised by the caller.
        if !unsafe { self.pages.free() } {
            debug_print(
                DPFLTR_ERROR_LEVEL,
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
        memory::machine_bytes() / 4
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

/// Tells the kernel debugger a line of the driver's own, ended by a NUL or by the slice's end. Any IRQL.
pub fn print_line(text: &[u8]) {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    debug_print(DPFLTR_ERROR_LEVEL, text.get(..end).unwrap_or(&[]));
    debug_print(DPFLTR_ERROR_LEVEL, b"\n");
}
