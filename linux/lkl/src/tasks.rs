//! The pool of entry tasks.
//!
//! A thread that makes a system call needs an entry task of its own for the length of the call. Tasks are made when
//! all are in use and are then kept; the low ones are reused first, so that their state in Linux stays warm. Taking
//! and giving back is one compare-and-swap on a bit: no lock, nothing to block on, no ABA.
//!
//! The task that `linux_boot` returned is never lent: it is the parent that new ones are cloned from, one at a time.
//!
//! When Linux dies, the thread that a waiter waits for may never come back ([`Waits::call_off`]).

use crate::errno::Errno;
use crate::host::Semaphore;
use crate::sys::lkl_task;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// Words of 64 tasks each.
const WORDS: usize = 16;
/// The most entry tasks at a time; a further caller waits until one is free.
pub(crate) const CAPACITY: usize = WORDS * 64;

pub(crate) struct TaskPool {
    parent: AtomicPtr<lkl_task>,
    slots: [AtomicPtr<lkl_task>; CAPACITY],
    /// For whose work each was lent last.
    accounts: [AtomicU64; CAPACITY],
    /// A set bit: the slot holds a task that nobody uses.
    idle: [AtomicU64; WORDS],
    /// Slots that hold a task; only changed with `growing` held.
    made: AtomicUsize,
    /// Callers that found all CAPACITY tasks in use.
    waiting: AtomicUsize,
    waits: Arc<Waits>,
}

/// What callers wait for.
pub(crate) struct Waits {
    /// A mutex around the making of tasks: it goes into Linux with `parent`.
    growing: Box<dyn Semaphore>,
    /// A task has come back that somebody waits for.
    freed: Box<dyn Semaphore>,
    over: AtomicBool,
}

impl Waits {
    /// `growing` starts at one, `freed` at zero.
    pub(crate) fn new(growing: Box<dyn Semaphore>, freed: Box<dyn Semaphore>) -> Self {
        Waits {
            growing,
            freed,
            over: AtomicBool::new(false),
        }
    }

    /// Linux is dead: nobody need wait for a task any more. One of each kind is woken, and wakes the next. Any context.
    pub(crate) fn call_off(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.growing.up();
        self.freed.up();
    }

    /// Waits. ENODEV when that was called off.
    fn down(&self, semaphore: &dyn Semaphore) -> Result<(), Errno> {
        semaphore.down();
        if self.over.load(Ordering::SeqCst) {
            semaphore.up();
            return Err(Errno::ENODEV);
        }
        Ok(())
    }
}

/// A task that is lent to this thread.
pub(crate) struct Lent {
    pub(crate) task: NonNull<lkl_task>,
    slot: usize,
}

impl TaskPool {
    /// None made yet.
    pub(crate) fn new(parent: NonNull<lkl_task>, waits: Arc<Waits>) -> Self {
        TaskPool {
            parent: AtomicPtr::new(parent.as_ptr()),
            slots: [const { AtomicPtr::new(null_mut()) }; CAPACITY],
            accounts: [const { AtomicU64::new(0) }; CAPACITY],
            idle: [const { AtomicU64::new(0) }; WORDS],
            made: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            waits,
        }
    }

    /// Lends a task. `make` clones one from the parent it is given. Blocks only when a task must be made or all are
    /// in use.
    pub(crate) fn take(
        &self,
        make: impl Fn(NonNull<lkl_task>) -> Result<NonNull<lkl_task>, Errno>,
    ) -> Result<Lent, Errno> {
        loop {
            if let Some(lent) = self.try_take() {
                return Ok(lent);
            }
            if self.made.load(Ordering::Acquire) < CAPACITY {
                if let Some(lent) = self.grow(&make)? {
                    return Ok(lent);
                }
            } else {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                // One may have come back before the count was seen; if so the wake-up that is then owed to `waiting`
                // finds it already taken off, or is a spare one that costs the next waiter a round of this loop.
                match self.try_take() {
                    Some(lent) => {
                        self.stop_waiting();
                        return Ok(lent);
                    }
                    None => self.waits.down(&*self.waits.freed)?,
                }
            }
        }
    }

    /// Notes for whose work a task is lent.
    pub(crate) fn charge(&self, lent: &Lent, account: u64) {
        if let Some(place) = self.accounts.get(lent.slot) {
            place.store(account, Ordering::Relaxed);
        }
    }

    /// For whose work this task was lent last; 0 when it is none of the pool's.
    pub(crate) fn account_of(&self, task: *const lkl_task) -> u64 {
        let tasks = self.slots.iter().zip(&self.accounts);
        let mut found = tasks.filter(|(slot, _)| slot.load(Ordering::Acquire).cast_const() == task);
        found
            .next()
            .map_or(0, |(_, account)| account.load(Ordering::Relaxed))
    }

    /// Takes a lent task back.
    pub(crate) fn give_back(&self, lent: Lent) {
        let (word, bit) = place(lent.slot);
        if let Some(idle) = self.idle.get(word) {
            idle.fetch_or(bit, Ordering::SeqCst);
        }
        if self.waiting.load(Ordering::SeqCst) != 0 && self.stop_waiting() {
            self.waits.freed.up();
        }
    }

    /// How many tasks there are to lend.
    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// Takes one off the count of waiters, unless it is zero.
    fn stop_waiting(&self) -> bool {
        self.waiting
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1))
            .is_ok()
    }

    fn try_take(&self) -> Option<Lent> {
        for (word, idle) in self.idle.iter().enumerate() {
            let mut seen = idle.load(Ordering::SeqCst);
            while seen != 0 {
                let bit = seen & seen.wrapping_neg();
                match idle.compare_exchange_weak(seen, seen & !bit, Ordering::SeqCst, Ordering::SeqCst) {
                    Ok(_) => {
                        let slot = slot_of(word, bit);
                        let task = self.slots.get(slot)?.load(Ordering::Acquire);
                        return NonNull::new(task).map(|task| Lent { task, slot });
                    }
                    Err(now) => seen = now,
                }
            }
        }
        None
    }

    /// Lets `act` use the parent, alone.
    pub(crate) fn with_parent<T>(
        &self,
        act: impl FnOnce(NonNull<lkl_task>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        self.waits.down(&*self.waits.growing)?;
        let parent = NonNull::new(self.parent.load(Ordering::Acquire));
        let result = parent.ok_or(Errno::ENODEV).and_then(act);
        self.waits.growing.up();
        result
    }

    /// Makes a task, unless one came back meanwhile or there is no room.
    fn grow(
        &self,
        make: impl Fn(NonNull<lkl_task>) -> Result<NonNull<lkl_task>, Errno>,
    ) -> Result<Option<Lent>, Errno> {
        self.waits.down(&*self.waits.growing)?;
        let grown = self.grow_alone(make);
        self.waits.growing.up();
        grown
    }

    fn grow_alone(
        &self,
        make: impl Fn(NonNull<lkl_task>) -> Result<NonNull<lkl_task>, Errno>,
    ) -> Result<Option<Lent>, Errno> {
        if let Some(lent) = self.try_take() {
            return Ok(Some(lent));
        }
        let slot = self.made.load(Ordering::Acquire);
        let Some(home) = self.slots.get(slot) else {
            return Ok(None);
        };
        let parent = NonNull::new(self.parent.load(Ordering::Acquire)).ok_or(Errno::ENODEV)?;
        let task = make(parent)?;
        home.store(task.as_ptr(), Ordering::Release);
        self.made.store(slot.saturating_add(1), Ordering::Release);
        Ok(Some(Lent { task, slot }))
    }
}

/// Where a slot's bit is.
fn place(slot: usize) -> (usize, u64) {
    (
        slot / 64,
        1u64.wrapping_shl(u32::try_from(slot % 64).unwrap_or(0)),
    )
}

/// The slot of one bit.
fn slot_of(word: usize, bit: u64) -> usize {
    word.saturating_mul(64)
        .saturating_add(usize::try_from(bit.trailing_zeros()).unwrap_or(usize::MAX))
}

#[cfg(test)]
#[path = "tasks_test.rs"]
mod tests;
