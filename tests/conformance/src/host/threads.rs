//! Threads.

use super::act::{failed, join, semaphore, spawn, spawn_returning};
use crate::{Outcome, ensure};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use lkl::{Host, Semaphore, ThreadBody};

/// Recurses, so that exit_thread leaves from many frames down.
#[inline(never)]
fn deep(levels: u32, act: &mut dyn FnMut()) -> u32 {
    let mut frame = [levels; 16];
    core::hint::black_box(&mut frame);
    if levels == 0 {
        act();
        return frame[3];
    }
    deep(levels - 1, act).wrapping_add(core::hint::black_box(frame[7]))
}

/// What [`leave`] works on: it owns nothing, since the frames of a thread that exits are abandoned.
struct Leaver<'h, H> {
    host: &'h H,
    before: AtomicU32,
    after: AtomicU32,
}

unsafe extern "sysv64" fn leave<H: Host>(arg: *mut c_void) {
    // SAFETY: the scenario keeps it until it has joined this thread.
    let leaver = unsafe { &*arg.cast::<Leaver<'_, H>>().cast_const() };
    deep(50, &mut || {
        leaver.before.fetch_add(1, SeqCst);
        leaver.host.exit_thread();
    });
    leaver.after.fetch_add(1, SeqCst);
}

pub(super) fn exits_from_deep_inside<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    let leaver = Leaver {
        host: &**host,
        before: AtomicU32::new(0),
        after: AtomicU32::new(0),
    };
    for _ in 0..10 {
        let arg = core::ptr::from_ref(&leaver).cast_mut().cast();
        // SAFETY: `leave` takes a Leaver, which is there until the join below.
        let body = unsafe { ThreadBody::new(leave::<H>, arg) };
        join([host.thread(body).ok_or_else(|| failed("no thread"))?]);
    }
    let (before, after) = (leaver.before.into_inner(), leaver.after.into_inner());
    ensure!(
        before == 10 && after == 0,
        "{before} of 10 threads got to their exit, {after} came back from it"
    );
    Ok(0)
}

pub(super) fn ends_by_returning<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    let ran = Arc::new(AtomicU32::new(0));
    let thread = spawn_returning(host, {
        let ran = Arc::clone(&ran);
        move || {
            ran.fetch_add(1, SeqCst);
        }
    })?;
    join([thread]);
    ensure!(ran.load(SeqCst) == 1, "the body ran {} times", ran.load(SeqCst));
    Ok(0)
}

#[inline(never)]
fn touch_stack() -> u8 {
    let mut stack = [0u8; 48 * 1024];
    for (index, byte) in stack.iter_mut().enumerate() {
        *byte = index as u8;
    }
    core::hint::black_box(&mut stack)[4097]
}

pub(super) fn has_stack<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    let sum = Arc::new(AtomicU32::new(0));
    let thread = spawn(host, {
        let sum = Arc::clone(&sum);
        move || {
            sum.store(u32::from(touch_stack()), SeqCst);
        }
    })?;
    join([thread]);
    ensure!(
        sum.load(SeqCst) == 1,
        "the stack does not hold what was written to it"
    );
    Ok(0)
}

pub(super) fn a_thousand<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    let ran = Arc::new(AtomicU32::new(0));
    let start = host.monotonic_ns();
    for _ in 0..1000 {
        let ran = Arc::clone(&ran);
        let thread = spawn(host, move || {
            ran.fetch_add(1, SeqCst);
        })?;
        join([thread]);
    }
    let spent = host.monotonic_ns().saturating_sub(start);
    ensure!(
        ran.load(SeqCst) == 1000,
        "{} of 1000 threads ran before their join returned",
        ran.load(SeqCst)
    );
    ensure!(
        Arc::strong_count(&ran) == 1,
        "{} threads still hold on",
        Arc::strong_count(&ran) - 1
    );
    Ok(spent / 1000)
}

pub(super) fn many_at_once<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    const THREADS: u32 = 64;
    let (here, go) = (semaphore(host, 0)?, semaphore(host, 0)?);
    let mut threads = Vec::new();
    for _ in 0..THREADS {
        threads.push(spawn(host, {
            let (here, go) = (Arc::clone(&here), Arc::clone(&go));
            move || {
                here.up();
                go.down();
            }
        })?);
    }
    // All of them are inside at the same time.
    (0..THREADS).for_each(|_| here.down());
    (0..THREADS).for_each(|_| go.up());
    // Joined in another order than they were made.
    threads.reverse();
    join(threads);
    Ok(0)
}
