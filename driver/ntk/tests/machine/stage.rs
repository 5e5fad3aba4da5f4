//! Where a life of the machine takes place: the machine, its disks, who works on them, and what went wrong.

use super::answers::Known;
use super::volumes_on_disk::Volume;
use super::weather::{Moment, Spans, Troubles};
use ntos::disk::Disk;
use ntos::user::Machine;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// A volume's place: the disk that it is on just now.
pub struct Place {
    disk: RwLock<Arc<Disk>>,
    pub spans: Spans,
}

impl Place {
    pub fn disk(&self) -> Arc<Disk> {
        Arc::clone(&self.disk.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The volume is on another disk now.
    pub fn put(&self, disk: Arc<Disk>) {
        *self.disk.write().unwrap_or_else(PoisonError::into_inner) = disk;
    }
}

/// What is known of a thread that sends requests.
#[derive(Default)]
pub struct Sender {
    pub id: Mutex<Option<ThreadId>>,
    /// When what it waits for may be cancelled.
    pub spans: Spans,
    /// Requests that have ended.
    pub done: AtomicU64,
    /// When its present step began, in milliseconds of the stage's; 0 for none.
    since: AtomicU64,
}

/// A life of the machine.
pub struct Stage<'m> {
    pub machine: &'m Machine,
    pub volumes: &'static [Volume],
    pub places: Vec<Place>,
    /// Troubles of all volumes.
    pub everywhere: Spans,
    pub known: &'m Known,
    pub seed: u64,
    pub life: u64,
    pub senders: Vec<Sender>,
    /// One thread only: what happens does not depend on the order in which threads run.
    pub alone: bool,
    pub stop: AtomicBool,
    began: Instant,
    failures: Mutex<Vec<String>>,
}

impl<'m> Stage<'m> {
    pub fn new(
        machine: &'m Machine,
        volumes: &'static [Volume],
        known: &'m Known,
        (seed, life): (u64, u64),
        threads: usize,
    ) -> Stage<'m> {
        let places = machine.disks().iter().map(|disk| Place {
            disk: RwLock::new(Arc::clone(disk)),
            spans: Spans::default(),
        });
        Stage {
            machine,
            volumes,
            places: places.collect(),
            everywhere: Spans::default(),
            known,
            seed,
            life,
            senders: (0..threads).map(|_| Sender::default()).collect(),
            alone: threads == 1,
            stop: AtomicBool::new(false),
            began: Instant::now(),
            failures: Mutex::default(),
        }
    }

    /// Something is wrong: the life ends.
    pub fn fail(&self, what: String) {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(what);
        self.stop.store(true, Ordering::SeqCst);
    }

    pub fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    pub fn failures(&self) -> Vec<String> {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Requests that have ended.
    pub fn done(&self) -> u64 {
        let done = |sender: &Sender| sender.done.load(Ordering::Relaxed);
        self.senders.iter().map(done).sum()
    }

    /// A thread begins a step, or is done with it.
    pub fn working(&self, sender: usize, works: bool) {
        let now = self.began.elapsed().as_millis() as u64 + 1;
        self.senders[sender]
            .since
            .store(if works { now } else { 0 }, Ordering::Relaxed);
    }

    /// The longest that a thread has been at its present step.
    pub fn longest(&self) -> Duration {
        let now = self.began.elapsed().as_millis() as u64 + 1;
        let step = |sender: &Sender| match sender.since.load(Ordering::Relaxed) {
            0 => 0,
            since => now.saturating_sub(since),
        };
        Duration::from_millis(self.senders.iter().map(step).max().unwrap_or(0))
    }
}

/// A moment of all that can excuse an answer: of the volume, of all volumes, of the thread.
#[derive(Clone, Copy, Debug)]
pub struct Moments(Moment, Moment, Moment);

impl Stage<'_> {
    /// This moment, for a request of a thread to a volume.
    pub fn now(&self, place: usize, sender: usize) -> Moments {
        Moments(
            self.places[place].spans.now(),
            self.everywhere.now(),
            self.senders[sender].spans.now(),
        )
    }

    /// What can have hit a request that began at one moment, on a handle that was opened at another.
    pub fn troubles(&self, place: usize, sender: usize, opened: Moments, began: Moments) -> Troubles {
        self.places[place]
            .spans
            .of_request(opened.0, began.0)
            .and(self.everywhere.since(began.1))
            .and(self.senders[sender].spans.since(began.2))
    }
}
