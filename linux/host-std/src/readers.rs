//! Threads that finish reads which would make Linux's only CPU wait.
//!
//! They start on demand, a few at most, and end with the [`Readers`]: what was handed over before is finished first.

use lkl::{Errno, ReadRequest};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A request and how many of its bytes are there already.
#[derive(Debug)]
pub struct Job {
    /// The request.
    pub request: ReadRequest,
    /// Bytes of it that are done.
    pub done: usize,
}

/// Reads the rest of a job, waiting for the device.
pub trait Finish: Send + Sync + 'static {
    /// Fills everything from `job.done` on.
    fn finish(&self, job: &mut Job) -> Result<(), Errno>;
}

/// The threads of one disk.
#[derive(Debug)]
pub struct Readers<F> {
    shared: Arc<Shared<F>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    most: usize,
}

#[derive(Debug)]
struct Shared<F> {
    finish: F,
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Job>,
    idle: usize,
    readers: usize,
    ending: bool,
}

impl<F: Finish> Readers<F> {
    /// No threads yet; `most` at most.
    pub fn new(finish: F, most: usize) -> Readers<F> {
        let shared = Shared {
            finish,
            queue: Mutex::new(Queue::default()),
            more: Condvar::new(),
        };
        Readers {
            shared: Arc::new(shared),
            threads: Mutex::new(Vec::new()),
            most,
        }
    }

    /// What the readers read from.
    pub fn source(&self) -> &F {
        &self.shared.finish
    }

    /// Gives a job to a reader, starting one if all are busy. Does not wait. When no thread can be had, the job's
    /// request is dropped, which is an I/O error.
    pub fn hand_over(&self, job: Job) {
        let mut queue = self.shared.lock();
        queue.waiting.push_back(job);
        if queue.idle >= queue.waiting.len() || queue.readers >= self.most {
            drop(queue);
            self.shared.more.notify_one();
            return;
        }
        queue.readers += 1;
        drop(queue);
        let shared = Arc::clone(&self.shared);
        match std::thread::Builder::new()
            .name("lkl-disk".into())
            .spawn(move || shared.serve())
        {
            Ok(thread) => self
                .threads
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(thread),
            Err(_) => {
                let mut queue = self.shared.lock();
                queue.readers -= 1;
                if queue.readers == 0 {
                    // Nobody will come: an error for each, by dropping them.
                    let orphans = std::mem::take(&mut queue.waiting);
                    drop(queue);
                    drop(orphans);
                }
            }
        }
    }
}

impl<F> Drop for Readers<F> {
    fn drop(&mut self) {
        self.shared.lock().ending = true;
        self.shared.more.notify_all();
        let threads = self.threads.get_mut().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // The last reference to a disk may be one that a request holds: then a reader drops it.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl<F> Shared<F> {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Finish> Shared<F> {
    /// A reader's life. Ends when the disk does and nothing waits any more.
    fn serve(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(mut job) = queue.waiting.pop_front() {
                drop(queue);
                let result = self.finish.finish(&mut job);
                job.request.complete(result);
                queue = self.lock();
            } else if queue.ending {
                return;
            } else {
                queue.idle += 1;
                queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
            }
        }
    }
}
