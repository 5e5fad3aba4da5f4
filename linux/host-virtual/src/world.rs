//! The host itself, and threads of the program's that take part.

#![allow(unsafe_code)]

use crate::conductor::Conductor;
use crate::schedule::{self, Schedule, Semaphore, Timer};
use lkl::{Alarm, BootConfig, BootError, Host, Kernel, Semaphore as _, ThreadBody};
use lkl_host_posix::{fault, pool::Pool, thread};
use lkl_host_std::console::{Console, Hooks};
use lkl_host_std::way_back;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// When a simulation begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Seconds since 1970, UTC.
    pub seconds: u64,
}

impl Default for Start {
    /// The first of January, 2000.
    fn default() -> Self {
        Start { seconds: 946_684_800 }
    }
}

/// The clock does not begin at nothing: Linux takes a time of 0 for none.
const MONOTONIC_START: u64 = 1_000_000_000;

/// What Linux and the program's threads share: a clock, and the turn.
#[derive(Debug, Clone)]
pub struct World(Arc<Schedule>);

/// Boots Linux in virtual time, and has the calling thread take part. Its watchdog is off, since it measures time that has
/// passed outside.
///
/// # Errors
/// As [`Kernel::boot`].
pub fn boot(hooks: Hooks, start: Start, config: &BootConfig<'_>) -> Result<(Kernel, World), BootError> {
    fault::install();
    let schedule = Schedule::new(MONOTONIC_START);
    schedule.join_in();
    let host = Arc::new(VirtualHost {
        console: Console::new(hooks),
        pool: Pool::default(),
        schedule: Arc::clone(&schedule),
        start_ns: start.seconds.saturating_mul(1_000_000_000),
    });
    let command_line = format!("{} lkl_watch=0", config.command_line);
    let config = BootConfig {
        pool_size: config.pool_size,
        command_line: &command_line,
    };
    let booted = Kernel::boot(host, &config);
    if booted.is_err() {
        schedule.leave();
    }
    Ok((booted?, World(schedule)))
}

/// A thread of the program's that takes part.
#[derive(Debug)]
pub struct Task<T> {
    thread: std::thread::JoinHandle<T>,
    ended: Arc<Ended>,
}

#[derive(Debug)]
struct Ended(Semaphore);

impl World {
    /// Nanoseconds that have passed since the simulation began.
    pub fn elapsed_ns(&self) -> u64 {
        self.0.now().saturating_sub(MONOTONIC_START)
    }

    /// How many events there have been: Linux's timers that have fired, and sleeps that have ended. It follows from what happens,
    /// as the clock does.
    pub fn events(&self) -> u64 {
        self.0.events()
    }

    /// The calling thread, which takes part, sleeps until so many nanoseconds have passed since the simulation began. It is exact:
    /// the clock says that time when this returns, unless it was over already.
    pub fn sleep_until_ns(&self, elapsed: u64) {
        self.0.sleep_until(elapsed.saturating_add(MONOTONIC_START));
    }

    /// The same, for so long from now on.
    pub fn sleep(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.sleep_until_ns(self.elapsed_ns().saturating_add(nanos));
    }

    /// Has the clock driven from outside from now on: it stands still, even if nothing is ready, until `conductor` says how it goes on.
    pub fn conduct(&self, conductor: Arc<dyn Conductor>) {
        self.0.conduct(conductor);
    }

    /// A bell that has not rung.
    pub fn bell(&self) -> Bell {
        Bell(schedule::Bell::new(&self.0))
    }

    /// Starts a thread that takes part. It begins when its turn comes.
    pub fn spawn<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<Task<T>> {
        let strand = self.0.entrant();
        let ended = Arc::new(Ended(Semaphore::new(&self.0, 0)));
        let (schedule, its_end, its_strand) = (Arc::clone(&self.0), Arc::clone(&ended), Arc::clone(&strand));
        let thread = std::thread::Builder::new().spawn(move || {
            /// Leaves when `act` panics, too.
            struct Leaving(Arc<Schedule>, Arc<Ended>);
            impl Drop for Leaving {
                fn drop(&mut self) {
                    self.1.0.up();
                    self.0.leave();
                }
            }
            schedule.begin(its_strand);
            let _leaving = Leaving(schedule, its_end);
            act()
        });
        match thread {
            Ok(thread) => Ok(Task { thread, ended }),
            Err(error) => {
                self.0.forget(&strand);
                Err(error)
            }
        }
    }

    /// The calling thread takes part no longer: the simulation goes on without it.
    pub fn leave(&self) {
        self.0.leave();
    }

    /// Runs `act`, which may wait for something outside, while others go on.
    pub fn outside<T>(&self, act: impl FnOnce() -> T) -> T {
        self.0.leave();
        let result = act();
        self.0.join_in();
        result
    }
}

/// What a thread that takes part waits for, until a time.
#[derive(Debug)]
pub struct Bell(schedule::Bell);

impl Bell {
    /// Wakes up the thread that waits, or else the next one that would.
    pub fn ring(&self) {
        self.0.ring();
    }

    /// The calling thread, which takes part, waits until it rings, or until so many nanoseconds have passed since the simulation
    /// began, exactly. Others go first unless it has rung already. Whether it has rung since this returned last. One thread at a time waits.
    pub fn wait_until_ns(&self, elapsed: u64) -> bool {
        self.0.wait_until(elapsed.saturating_add(MONOTONIC_START))
    }
}

impl<T> Task<T> {
    /// Waits for its end; what it has returned, or its panic.
    pub fn join(self) -> std::thread::Result<T> {
        self.ended.0.down();
        self.thread.join()
    }
}

/// The host.
struct VirtualHost {
    console: Console,
    pool: Pool,
    schedule: Arc<Schedule>,
    /// What the clock of the day says when the other one says [`MONOTONIC_START`].
    start_ns: u64,
}

/// A thread of Linux's.
pub struct Thread {
    handle: std::thread::JoinHandle<()>,
    ended: Arc<Ended>,
}

impl lkl::Thread for Thread {
    fn join(self: Box<Self>) {
        self.ended.0.down();
        // An error would be a panic in this crate's few lines below.
        let _ = self.handle.join();
    }
}

impl Host for VirtualHost {
    type Semaphore = Semaphore;
    type Thread = Thread;
    type Timer = Timer;

    fn print(&self, text: &[u8]) {
        self.console.print(text);
    }

    fn panicked(&self, why: &[u8]) {
        self.console.panicked(why);
    }

    fn semaphore(&self, count: u32) -> Option<Box<Semaphore>> {
        fallible::try_box(Semaphore::new(&self.schedule, count))
    }

    fn thread(&self, body: ThreadBody) -> Option<Box<Thread>> {
        let ended = Arc::new(Ended(Semaphore::new(&self.schedule, 0)));
        let strand = self.schedule.entrant();
        let (schedule, its_end, its_strand) = (
            Arc::clone(&self.schedule),
            Arc::clone(&ended),
            Arc::clone(&strand),
        );
        let thread = std::thread::Builder::new()
            .name("lkl".into())
            .stack_size(thread::STACK_SIZE)
            .spawn(move || {
                schedule.begin(its_strand);
                fault::mark(true);
                way_back::call(body);
                fault::mark(false);
                its_end.0.up();
                schedule.leave();
            });
        match thread {
            Ok(handle) => fallible::try_box(Thread { handle, ended }),
            Err(_) => {
                self.schedule.forget(&strand);
                None
            }
        }
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

    unsafe fn pool_free(&self, pool: NonNull<u8>, size: usize) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.pool.free(pool, size) }
    }

    fn pages_map(&self, pages: &[usize]) -> Option<NonNull<u8>> {
        self.pool.map(pages)
    }

    unsafe fn pages_unmap(&self, addr: NonNull<u8>, count: usize) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.pool.unmap(addr, count) }
    }

    fn monotonic_ns(&self) -> u64 {
        self.schedule.now()
    }

    fn realtime_ns(&self) -> u64 {
        let passed = self.schedule.now().saturating_sub(MONOTONIC_START);
        self.start_ns.saturating_add(passed)
    }

    fn timer(&self, alarm: Alarm) -> Option<Box<Timer>> {
        Timer::new(&self.schedule, alarm)
    }

    /// Simulations mount nothing that recovers.
    fn overlay_most(&self) -> u64 {
        64 << 20
    }

    fn yield_now(&self) {
        self.schedule.let_others();
    }

    fn enter_linux(&self) {
        fault::mark(true);
        if !self.schedule.takes_part() {
            VISITORS.with(|visits| visits.set(true));
            self.schedule.join_in();
        }
    }

    fn leave_linux(&self) {
        if VISITORS.with(|visits| visits.take()) {
            self.schedule.leave();
        }
        fault::mark(false);
    }
}

thread_local! {
    /// The calling thread takes part for as long as it is inside Linux.
    static VISITORS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}
