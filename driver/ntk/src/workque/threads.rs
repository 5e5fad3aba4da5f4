//! The driver's own worker threads, for what [`crate::workque::request`] posts. The system's are few and everybody's, and these may wait
//! for as long as a disk does not answer. They are started as they are needed, and stay until the unload.
//
// UNSAFETY: the threads reach the list that they are in by its address.

use crate::workque::deferred;
use crate::workque::request::{Scratch, Task};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use lklfs_kernel::nt::{KeEnterCriticalRegion, KeLeaveCriticalRegion};
use lklfs_kernel::sync::Semaphore;
use lklfs_kernel::sync::SpinLock;
use lklfs_kernel::thread::Thread;

struct State {
    ready: VecDeque<Task>,
    /// Threads that wait and were not woken.
    idle: u32,
    threads: Vec<Thread>,
    /// Threads that are being started; the list has room for them.
    starting: usize,
    stopping: bool,
}

/// The threads, and what they are to do.
pub struct Workers {
    state: SpinLock<State>,
    wake: Box<Semaphore>,
}

/// What a new thread begins with.
struct Start {
    workers: *const Workers,
    task: Task,
}

// SAFETY: the workers are shared by all threads, and outlive each: the unload joins it.
unsafe impl Send for Start {}

impl Workers {
    /// No thread yet. `None` for lack of memory.
    pub fn new() -> Option<Self> {
        Some(Workers {
            state: SpinLock::new(State {
                ready: VecDeque::new(),
                idle: 0,
                threads: Vec::new(),
                starting: 0,
                stopping: false,
            }),
            wake: Semaphore::new(0)?,
        })
    }

    /// Has a thread do a task, at once: one that is idle, or a new one. The task comes back when there is none to be had.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn start(&self, task: Task) -> Result<(), Task> {
        {
            let mut state = self.state.lock();
            if state.idle > 0 && state.ready.try_reserve(1).is_ok() {
                state.idle = state.idle.saturating_sub(1);
                state.ready.push_back(task);
                drop(state);
                self.wake.up();
                return Ok(());
            }
            let starting = state.starting.saturating_add(1);
            if state.threads.try_reserve(starting).is_err() {
                return Err(task);
            }
            state.starting = starting;
        }
        let started = self.start_thread(task);
        let mut state = self.state.lock();
        state.starting = state.starting.saturating_sub(1);
        match started {
            Ok(thread) => {
                // There is room: see above.
                state.threads.push(thread);
                Ok(())
            }
            Err(task) => Err(task),
        }
    }

    fn start_thread(&self, task: Task) -> Result<Thread, Task> {
        let start = Start { workers: self, task };
        Thread::spawn_with(start, serve).map_err(|start| start.task)
    }

    /// What a thread does next. `None`: it ends.
    fn next(&self) -> Option<Task> {
        loop {
            {
                let mut state = self.state.lock();
                if let Some(task) = state.ready.pop_front() {
                    return Some(task);
                }
                if state.stopping {
                    return None;
                }
                state.idle = state.idle.saturating_add(1);
            }
            self.wake.down();
        }
    }

    /// Ends all threads, once they have done what they are doing.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks until the disks that they wait for have answered.
    pub fn stop(&self) {
        let (idle, threads) = {
            let mut state = self.state.lock();
            state.stopping = true;
            (
                core::mem::take(&mut state.idle),
                core::mem::take(&mut state.threads),
            )
        };
        for _ in 0..idle {
            self.wake.up();
        }
        for thread in threads {
            thread.join();
        }
    }
}

fn serve(Start { workers, task }: Start) {
    // SAFETY: the workers outlive their threads.
    let workers = unsafe { &*workers };
    let mut scratch = Scratch::new();
    let mut next = Some(task);
    while let Some(task) = next {
        serve_posts(task, &mut scratch);
        next = workers.next();
    }
}

/// Does a task, and then those that wait for a worker of the same posts.
fn serve_posts(task: Task, scratch: &mut Scratch) {
    let posts = Arc::clone(task.request.posts());
    let mut next = Some(task);
    while let Some(mut task) = next {
        let volume = task.volume.take();
        match volume {
            Some(_) => inside_file_system(|| task.perform(scratch)),
            None => task.perform(scratch),
        }
        // A page that was on its way has kept the cache from letting go of its file when the volume was given up.
        if let Some(volume) = volume.as_ref().filter(|volume| volume.refusal().is_some()) {
            volume.purge();
        }
        // This may be the last count, and then Linux unmounts.
        drop(volume);
        next = posts.next();
    }
}

/// As [`crate::dispatch::inside_file_system`], for a thread that is the file system's own.
fn inside_file_system(act: impl FnOnce()) {
    // SAFETY: balanced below.
    unsafe { KeEnterCriticalRegion() };
    deferred::inside(act);
    // SAFETY: entered above.
    unsafe { KeLeaveCriticalRegion() };
}
