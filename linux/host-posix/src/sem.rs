//! Counting semaphores on a futex.
//!
//! Linux switches context by an `up` for the next thread and a `down` for itself, so these two are the hottest path
//! of the host. Count and number of waiters share one 64-bit word: an `up` is one atomic addition, and calls the
//! kernel only if someone sleeps; a `down` that finds a count is one exchange.
//!
//! Before it sleeps, a `down` spins a little, since the other side often answers at once from the other processor.
//! How long pays off is learnt per semaphore, within a bound of about a microsecond; a machine with one processor
//! never spins.
//!
//! After its addition, `up` does not touch the memory again (a futex wake only names the address), so a waiter may
//! free the semaphore the moment its `down` returns.

#![allow(unsafe_code)]

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// One waiter, in the upper half of the word; the lower half is the count.
const WAITER: u64 = 1 << 32;
const COUNT: u64 = WAITER - 1;

/// Rounds of spinning at most; a round is some 40 to 140 cycles.
const SPIN_MOST: u32 = 32;
/// The least, so that a semaphore can learn again.
const SPIN_LEAST: u32 = 2;

static PROCESSORS: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));

/// A counting semaphore: up to 2^32 - 1 counts, up to 2^32 - 1 waiters.
#[derive(Debug)]
#[repr(C, align(8))]
pub struct Semaphore {
    state: AtomicU64,
    /// Rounds that the next `down` spins.
    spin: AtomicU32,
}

impl Semaphore {
    /// A semaphore that starts at `count`.
    pub fn new(count: u32) -> Semaphore {
        let spin = if *PROCESSORS > 1 { SPIN_MOST / 2 } else { 0 };
        Semaphore {
            state: AtomicU64::new(u64::from(count)),
            spin: AtomicU32::new(spin),
        }
    }

    /// The half of the word that the futex looks at: the count. x86 is little-endian.
    fn count_word(&self) -> *const u32 {
        self.state.as_ptr().cast_const().cast()
    }

    fn try_down(&self) -> bool {
        let mut seen = self.state.load(Ordering::Relaxed);
        while seen & COUNT != 0 {
            match self
                .state
                .compare_exchange_weak(seen, seen - 1, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Spins; true when it got a count.
    fn spin_down(&self) -> bool {
        let rounds = self.spin.load(Ordering::Relaxed);
        for _ in 0..rounds {
            std::hint::spin_loop();
            if self.try_down() {
                self.spin.store((rounds + 1).min(SPIN_MOST), Ordering::Relaxed);
                return true;
            }
        }
        if rounds > SPIN_LEAST {
            self.spin.store(rounds - 1, Ordering::Relaxed);
        }
        false
    }

    fn sleep_down(&self) {
        let mut seen = self.state.fetch_add(WAITER, Ordering::Relaxed) + WAITER;
        loop {
            while seen & COUNT != 0 {
                let taken = seen - 1 - WAITER;
                match self
                    .state
                    .compare_exchange_weak(seen, taken, Ordering::Acquire, Ordering::Relaxed)
                {
                    Ok(_) => return,
                    Err(now) => seen = now,
                }
            }
            futex(self.count_word(), libc::FUTEX_WAIT, 0);
            seen = self.state.load(Ordering::Relaxed);
        }
    }
}

impl lkl::Semaphore for Semaphore {
    fn up(&self) {
        let word = self.count_word();
        if self.state.fetch_add(1, Ordering::Release) >= WAITER {
            futex(word, libc::FUTEX_WAKE, 1);
        }
    }

    fn down(&self) {
        if !self.try_down() && !self.spin_down() {
            self.sleep_down();
        }
    }
}

/// FUTEX_WAIT while the word is `value`, or FUTEX_WAKE of `value` waiters. What it returns does not matter: a waiter
/// looks again, and a wake-up of nobody is one that nobody needs.
fn futex(word: *const u32, operation: i32, value: u32) {
    let operation = operation | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: a futex call reads the word only to compare it (WAIT, where the semaphore is borrowed), and takes its
    // address as a name (WAKE).
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word,
            operation,
            value,
            std::ptr::null::<libc::timespec>(),
        )
    };
}
