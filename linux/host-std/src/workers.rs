//! Threads that do for a disk what would make Linux's only CPU wait.
//!
//! They start on demand, a few at most, and end with the [`Workers`]: what was handed over before is done first.

use crate::spawn::{self, Running, Start};
use lkl::ReadRequest;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A read and how many of its bytes are there already.
#[derive(Debug)]
pub struct Reading {
    /// The request.
    pub request: ReadRequest,
    /// Bytes of it that are done.
    pub done: usize,
}

/// What a disk's threads do.
pub trait Serve: Send + Sync + 'static {
    /// What is handed over: a request, with what was done of it. Dropping it is an answer, an error.
    type Job: Send + std::fmt::Debug + 'static;

    /// Does a job and answers it, waiting for the device.
    fn serve(&self, job: Self::Job);
}

/// The threads of one disk.
#[derive(Debug)]
pub struct Workers<S: Serve> {
    shared: Arc<Shared<S>>,
    threads: Mutex<Vec<Box<dyn Running>>>,
    start: Start,
    most: usize,
}

#[derive(Debug)]
struct Shared<S: Serve> {
    device: S,
    queue: Mutex<Queue<S::Job>>,
    more: Condvar,
}

#[derive(Debug)]
struct Queue<J> {
    waiting: VecDeque<J>,
    idle: usize,
    workers: usize,
    ending: bool,
}

impl<S: Serve> Workers<S> {
    /// No threads yet; `most` at most.
    pub fn new(device: S, most: usize) -> Workers<S> {
        Workers::with_threads(device, most, spawn::start)
    }

    /// As [`Workers::new`], with threads that `start` starts.
    pub fn with_threads(device: S, most: usize, start: Start) -> Workers<S> {
        let queue = Queue {
            waiting: VecDeque::new(),
            idle: 0,
            workers: 0,
            ending: false,
        };
        let shared = Shared {
            device,
            queue: Mutex::new(queue),
            more: Condvar::new(),
        };
        Workers {
            shared: Arc::new(shared),
            threads: Mutex::new(Vec::new()),
            start,
            most,
        }
    }

    /// What the threads work on.
    pub fn device(&self) -> &S {
        &self.shared.device
    }

    /// Gives a job to a thread, starting one if all are busy. Does not wait. When no thread can be had, the job is
    /// dropped, which is an I/O error.
    pub fn hand_over(&self, job: S::Job) {
        let mut queue = self.shared.lock();
        queue.waiting.push_back(job);
        if queue.idle >= queue.waiting.len() || queue.workers >= self.most {
            drop(queue);
            self.shared.more.notify_one();
            return;
        }
        queue.workers += 1;
        drop(queue);
        let shared = Arc::clone(&self.shared);
        match (self.start)("lkl-disk", Box::new(move || shared.work())) {
            Some(thread) => self
                .threads
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(thread),
            None => {
                let mut queue = self.shared.lock();
                queue.workers -= 1;
                if queue.workers == 0 {
                    // Nobody will come: an error for each, by dropping them.
                    let orphans = std::mem::take(&mut queue.waiting);
                    drop(queue);
                    drop(orphans);
                }
            }
        }
    }
}

impl<S: Serve> Drop for Workers<S> {
    fn drop(&mut self) {
        self.shared.lock().ending = true;
        self.shared.more.notify_all();
        let threads = self.threads.get_mut().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // The last reference to a disk may be one that a request holds: then one of its threads drops it.
            if !thread.is_current() {
                thread.join();
            }
        }
    }
}

impl<S: Serve> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, Queue<S::Job>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life. Ends when the disk does and nothing waits any more.
    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.waiting.pop_front() {
                drop(queue);
                self.device.serve(job);
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
