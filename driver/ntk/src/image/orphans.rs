//! Threads of image disks that wait for a file system that answers no more. Each keeps its image until it comes back; it is
//! joined when it has ended, or by the unload.

use alloc::sync::Arc;
use alloc::vec::Vec;
use lklfs_kernel::sync::{Event, SpinLock};
use lklfs_kernel::thread::Thread;

/// Threads that did not come back, each of which keeps its disk, with what they set at their end.
static STRANDED: SpinLock<Vec<(Arc<Event>, Thread)>> = SpinLock::new(Vec::new());

/// Waits for all threads that are stranded: until whatever they wait for has an end.
///
/// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
pub fn join_all() {
    loop {
        let next = STRANDED.lock().pop();
        let Some((_, thread)) = next else { break };
        thread.join();
    }
    // The memory of the list itself, which outlives no unload.
    let list = core::mem::take(&mut *STRANDED.lock());
    drop(list);
}

/// Keeps a thread that did not come back; without memory for that, it is waited for.
///
/// IRQL: PASSIVE_LEVEL; blocks then.
pub fn keep(ended: &Arc<Event>, thread: Thread) {
    let mut list = STRANDED.lock();
    if list.try_reserve(1).is_ok() {
        list.push((Arc::clone(ended), thread));
        return;
    }
    drop(list);
    thread.join();
}

/// Whether a thread has not come back yet.
///
/// IRQL: PASSIVE_LEVEL.
pub fn are_left() -> bool {
    !STRANDED.lock().is_empty()
}

/// Joins those that have ended meanwhile.
///
/// IRQL: PASSIVE_LEVEL.
pub fn join_ended() {
    loop {
        let next = {
            let mut list = STRANDED.lock();
            let at = list.iter().position(|(ended, _)| ended.wait_for(0));
            at.map(|at| list.swap_remove(at))
        };
        let Some((_, thread)) = next else { break };
        thread.join();
    }
}
