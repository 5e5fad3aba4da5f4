//! ERESOURCE: locks that are shared or exclusive, recursive, and owned by threads or by owner pointers.
//!
//! Who owns and who waits is kept here by the resource's address; in the driver's memory only what NT's own macros read
//! is kept up to date. Waiters are served in the order of arrival, with NT's three policies for a shared request while
//! others wait for exclusive access.

#![allow(non_snake_case)]

use crate::{
    ke::{gate, irql},
    nt::*,
    ps,
    verifier::locks::{self, Held, LockKind},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard},
};

mod imports;

pub use imports::*;

/// The flag ResourceOwnedExclusive.
const OWNED_EXCLUSIVE: u16 = 0x80;
/// Low bits that tell an owner pointer from a thread.
const OWNER_POINTER: usize = 3;

#[derive(Default)]
struct State {
    /// The exclusive owner and how often it took the resource.
    exclusive: Option<(usize, u32)>,
    /// Shared owners and how often each took it.
    shared: Vec<(usize, u32)>,
    /// Waiters: ticket, and whether it is for exclusive access.
    queue: VecDeque<(u64, bool)>,
}

static STATES: Mutex<Option<HashMap<usize, State>>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();
static TICKETS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

type States = MutexGuard<'static, Option<HashMap<usize, State>>>;

fn lock() -> States {
    STATES.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn state(states: &mut States, resource: PERESOURCE) -> &mut State {
    match states
        .get_or_insert_with(HashMap::new)
        .get_mut(&(resource as usize))
    {
        Some(state) => state,
        None => {
            let story = crate::mm::pool::explain(resource as usize);
            crate::fail!(BadObject, "{resource:p} is no initialised resource: {story}")
        }
    }
}

/// How a request for shared access treats those who wait for exclusive access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Exclusive,
    /// Waits behind them, unless it owns the resource already.
    Shared,
    /// Goes before them.
    StarveExclusive,
    /// Waits behind them even as an owner.
    WaitForExclusive,
}

impl State {
    /// The request may be granted now. `before` are the waiters that came earlier.
    fn grants(&self, me: usize, request: Request, before: &[(u64, bool)]) -> bool {
        let owns_shared = self.shared.iter().any(|(owner, _)| *owner == me);
        match self.exclusive {
            Some((owner, _)) => owner == me,
            None if request == Request::Exclusive => self.shared.is_empty() && before.is_empty(),
            None => {
                let exclusive_first = before.iter().any(|(_, exclusive)| *exclusive);
                match request {
                    Request::StarveExclusive => true,
                    Request::Shared => owns_shared || !exclusive_first,
                    _ => !exclusive_first,
                }
            }
        }
    }

    fn grant(&mut self, me: usize, request: Request) {
        if let Some((_, count)) = &mut self.exclusive {
            *count += 1;
        } else if request == Request::Exclusive {
            self.exclusive = Some((me, 1));
        } else {
            match self.shared.iter_mut().find(|(owner, _)| *owner == me) {
                Some((_, count)) => *count += 1,
                None => self.shared.push((me, 1)),
            }
        }
    }

    /// Writes what NT's macros read.
    fn show(&self, resource: PERESOURCE) {
        // SAFETY: the resource is initialised, so it is memory of the driver's.
        let r = unsafe { &mut *resource };
        r.ActiveCount = if self.exclusive.is_some() {
            1
        } else {
            self.shared.len() as i16
        };
        r.Flag = if self.exclusive.is_some() {
            OWNED_EXCLUSIVE
        } else {
            0
        };
        r.NumberOfExclusiveWaiters = self.queue.iter().filter(|(_, exclusive)| *exclusive).count() as u32;
        r.NumberOfSharedWaiters = self.queue.iter().filter(|(_, exclusive)| !*exclusive).count() as u32;
    }
}

fn me() -> usize {
    ps::current().object() as usize
}

fn acquire(resource: PERESOURCE, request: Request, wait: bool) -> BOOLEAN {
    let thread = ps::current();
    if !irql::apcs_disabled() && !thread.is_the_doubles_own() {
        crate::fail!(
            ApcsEnabled,
            "resource {resource:p} is acquired with normal kernel APCs enabled"
        );
    }
    let me = me();
    let mut states = lock();
    let s = state(&mut states, resource);
    let exclusive = request == Request::Exclusive;
    let held_before =
        s.exclusive.is_some_and(|(owner, _)| owner == me) || s.shared.iter().any(|(owner, _)| *owner == me);
    if exclusive && wait && s.exclusive.is_none() && held_before {
        drop(states);
        crate::fail!(
            LockOwner,
            "resource {resource:p} is wanted exclusively by a thread that shares it: a deadlock"
        );
    }
    if wait && !held_before {
        drop(states);
        let held = thread.held().clone();
        locks::before_acquire(&held, LockKind::Resource, resource as usize);
        states = lock();
    }
    let s = state(&mut states, resource);
    let arrivals: Vec<_> = s.queue.iter().copied().collect();
    if !s.grants(me, request, &arrivals) {
        if !wait {
            return 0;
        }
        let ticket = TICKETS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        s.queue.push_back((ticket, exclusive));
        s.show(resource);
        loop {
            states = CHANGED
                .wait(states)
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            let s = state(&mut states, resource);
            let before: Vec<_> = s
                .queue
                .iter()
                .copied()
                .take_while(|(other, _)| *other != ticket)
                .collect();
            if s.grants(me, request, &before) {
                s.queue.retain(|(other, _)| *other != ticket);
                break;
            }
        }
        // The next in the queue may be able to share.
        CHANGED.notify_all();
    }
    let s = state(&mut states, resource);
    s.grant(me, request);
    s.show(resource);
    drop(states);
    if !held_before {
        let address = resource as usize;
        thread.held().push(Held {
            kind: LockKind::Resource,
            address,
            exclusive,
            place: gate::caller(),
        });
    }
    1
}

/// Gives one acquisition of `owner` back.
fn release(resource: PERESOURCE, owner: usize) {
    let mut states = lock();
    let s = state(&mut states, resource);
    let last = if let Some((_, count)) = s.exclusive.as_mut().filter(|(who, _)| *who == owner) {
        *count -= 1;
        let last = *count == 0;
        if last {
            s.exclusive = None;
        }
        last
    } else if let Some(index) = s.shared.iter().position(|(who, _)| *who == owner) {
        let count = &mut s.shared[index].1;
        *count -= 1;
        let last = *count == 0;
        if last {
            s.shared.remove(index);
        }
        last
    } else {
        drop(states);
        crate::fail!(
            LockOwner,
            "resource {resource:p} is released by {owner:#x}, which does not own it"
        );
    };
    s.show(resource);
    drop(states);
    if last {
        forget_held(resource, owner);
        CHANGED.notify_all();
    }
}

/// Takes the resource off the list of the thread that held it.
fn forget_held(resource: PERESOURCE, owner: usize) {
    if owner & OWNER_POINTER == 0 {
        ps::with_thread(owner, |thread| {
            thread.held().retain(|lock| lock.address != resource as usize)
        });
    }
}
