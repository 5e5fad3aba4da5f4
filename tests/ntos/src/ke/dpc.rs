//! Deferred procedure calls: a queue, and one thread at DISPATCH_LEVEL that works it off.

#![allow(non_snake_case)]

use crate::{
    ke,
    nt::*,
    ps,
    verifier::ledger::{self, Kind as Held},
};
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, Once},
};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        KeInitializeDpc <= HIGH;
        KeInitializeThreadedDpc = KeInitializeDpc, <= HIGH;
        KeInsertQueueDpc <= HIGH;
        KeRemoveQueueDpc <= HIGH;
        KeFlushQueuedDpcs <= APC;
        KeSetImportanceDpc <= HIGH;
        KeSetTargetProcessorDpc <= HIGH;
    }
}

/// A KDPC's type.
const DPC: u8 = 19;

struct Queue {
    waiting: VecDeque<usize>,
    running: Option<usize>,
    /// Counts finished calls, for flushing.
    finished: u64,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    waiting: VecDeque::new(),
    running: None,
    finished: 0,
});
static CHANGED: Condvar = Condvar::new();

fn lock() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn start_thread() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        ps::spawn_system("DPC", run);
    });
}

/// The thread that works the queue off.
fn run() {
    loop {
        let mut queue = lock();
        let dpc = loop {
            match queue.waiting.pop_front() {
                Some(dpc) => break dpc as *mut KDPC,
                None => {
                    queue = CHANGED
                        .wait(queue)
                        .unwrap_or_else(|poisoned| poisoned.into_inner())
                }
            }
        };
        queue.running = Some(dpc as usize);
        // SAFETY: a queued DPC is alive; the driver may free or queue it again from here on, so it is read now.
        let (routine, arguments) = unsafe {
            let d = &mut *dpc;
            d.DpcData = std::ptr::null_mut();
            (
                d.DeferredRoutine,
                [d.DeferredContext, d.SystemArgument1, d.SystemArgument2],
            )
        };
        drop(queue);
        ledger::remove(Held::Dpc, dpc as usize);
        if let Some(routine) = routine {
            ke::raise_irql(2);
            let [context, first, second] = arguments;
            let arguments = [dpc as u64, context as u64, first as u64, second as u64];
            // SAFETY: the driver put the routine and its arguments into the DPC.
            unsafe { ke::call_driver(routine as *const (), arguments) };
            ke::lower_irql(0);
        }
        let mut queue = lock();
        queue.running = None;
        queue.finished += 1;
        CHANGED.notify_all();
    }
}

fn expect(dpc: PRKDPC) {
    // SAFETY: the driver passes a DPC; a bad pointer faults and is reported.
    let found = unsafe { (*dpc).Type };
    if found != DPC {
        crate::fail!(BadObject, "{dpc:p} is no DPC (type {found:#x})");
    }
}

/// The DPC is queued, or its routine runs.
pub(crate) fn is_busy(dpc: usize) -> bool {
    let queue = lock();
    queue.running == Some(dpc) || queue.waiting.contains(&dpc)
}

/// `KeInitializeDpc`.
pub unsafe extern "win64" fn KeInitializeDpc(dpc: PRKDPC, routine: PKDEFERRED_ROUTINE, context: PVOID) {
    if ledger::holds(Held::Dpc, dpc as usize) {
        crate::fail!(Timer, "DPC {dpc:p} is initialised while it is queued");
    }
    // SAFETY: the driver passes memory for a DPC.
    unsafe {
        dpc.write_bytes(0, 1);
        (*dpc).Type = DPC;
        (*dpc).Importance = 1;
        (*dpc).DeferredRoutine = routine;
        (*dpc).DeferredContext = context;
    }
}

/// Queues a DPC. False: it was queued already.
pub(crate) fn insert(dpc: PRKDPC, first: PVOID, second: PVOID) -> bool {
    expect(dpc);
    start_thread();
    let mut queue = lock();
    // SAFETY: a DPC by its type, changed under the queue's lock.
    unsafe {
        if !(*dpc).DpcData.is_null() {
            return false;
        }
        (*dpc).DpcData = (&raw const QUEUE).cast_mut().cast();
        (*dpc).SystemArgument1 = first;
        (*dpc).SystemArgument2 = second;
    }
    ledger::add(Held::Dpc, dpc as usize, "queued DPC");
    queue.waiting.push_back(dpc as usize);
    CHANGED.notify_all();
    true
}

unsafe extern "win64" fn KeInsertQueueDpc(dpc: PRKDPC, first: PVOID, second: PVOID) -> BOOLEAN {
    u8::from(insert(dpc, first, second))
}

unsafe extern "win64" fn KeRemoveQueueDpc(dpc: PRKDPC) -> BOOLEAN {
    expect(dpc);
    let mut queue = lock();
    let before = queue.waiting.len();
    queue.waiting.retain(|waiting| *waiting != dpc as usize);
    if queue.waiting.len() == before {
        return 0;
    }
    // SAFETY: a DPC by its type, changed under the queue's lock.
    unsafe { (*dpc).DpcData = std::ptr::null_mut() };
    ledger::remove(Held::Dpc, dpc as usize);
    1
}

/// `KeFlushQueuedDpcs`: returns when the DPCs that were queued at the call have run.
pub unsafe extern "win64" fn KeFlushQueuedDpcs() {
    let mut queue = lock();
    let ahead = queue.waiting.len() as u64 + u64::from(queue.running.is_some());
    let until = queue.finished + ahead;
    while queue.finished < until && (queue.running.is_some() || !queue.waiting.is_empty()) {
        queue = CHANGED
            .wait(queue)
            .unwrap_or_else(|poisoned| poisoned.into_inner());
    }
}

unsafe extern "win64" fn KeSetImportanceDpc(dpc: PRKDPC, importance: i32) {
    expect(dpc);
    // SAFETY: a DPC by its type.
    unsafe { (*dpc).Importance = importance as u8 };
}

unsafe extern "win64" fn KeSetTargetProcessorDpc(dpc: PRKDPC, number: i8) {
    expect(dpc);
    // SAFETY: a DPC by its type.
    unsafe { (*dpc).Number = number.cast_unsigned().into() };
}
