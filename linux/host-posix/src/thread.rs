//! Linux's threads: each is a thread of this process.
//!
//! How it ends from deep inside its own stack is [`way_back`]'s.

#![allow(unsafe_code)]

use crate::fault;
use lkl::ThreadBody;
use lkl_host_std::way_back;
use std::cell::Cell;
use std::io;

/// Stack of a thread, bytes. Linux's own frames need under 16 KiB; the rest is room for the host's callbacks
/// (standard library, a print hook) and for a fault handler's trampoline.
pub const STACK_SIZE: usize = 256 * 1024;

/// A running thread.
#[derive(Debug)]
pub struct Thread {
    handle: std::thread::JoinHandle<()>,
}

impl Thread {
    /// Starts a thread that runs `body`.
    pub fn start(body: ThreadBody) -> io::Result<Thread> {
        let handle = std::thread::Builder::new()
            .name("lkl".into())
            .stack_size(STACK_SIZE)
            .spawn(move || {
                fault::mark(true);
                way_back::call(body);
                fault::mark(false);
            })?;
        Ok(Thread { handle })
    }
}

impl lkl::Thread for Thread {
    fn join(self: Box<Self>) {
        // An error would be a panic in this crate's few lines above.
        let _ = self.handle.join();
    }
}

/// Ends the calling thread, which runs inside [`Thread::start`].
pub fn exit() -> ! {
    way_back::exit()
}

thread_local! {
    /// The calling thread's number; asked for once.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

/// The number of the calling thread.
pub fn name() -> u64 {
    match NUMBER.get() {
        0 => {
            // SAFETY: always works.
            let number = unsafe { libc::gettid() };
            NUMBER.set(u64::try_from(number).unwrap_or(0));
            NUMBER.get()
        }
        number => number,
    }
}

/// What the thread of that number, one of this process, has run.
pub fn ran_ns(number: u64) -> Option<u64> {
    // The clock of one thread, as the kernel's ABI has it (CPUCLOCK_PERTHREAD, CPUCLOCK_SCHED).
    let clock = (!libc::clockid_t::try_from(number).ok()? << 3) | 0b110;
    let mut ran = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: room for the time. A thread that is gone is an error.
    if unsafe { libc::clock_gettime(clock, &mut ran) } != 0 {
        return None;
    }
    let seconds = u64::try_from(ran.tv_sec).ok()?;
    seconds
        .checked_mul(1_000_000_000)?
        .checked_add(u64::try_from(ran.tv_nsec).ok()?)
}
