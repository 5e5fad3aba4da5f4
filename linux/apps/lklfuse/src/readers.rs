//! Which threads wait for the kernel's requests.
//!
//! The kernel wakes waiting threads in turn. With four of them each request finds another thread, another processor and cold caches,
//! and removing files takes three times as long as with one. So one thread waits and answers, and the others rest. One of those takes
//! over when the thread that answers is held up: it says so itself before it waits for a disk while further requests are there
//! ([`Readers::held_up`]), or the lookout, a thread besides, sees that a request has taken longer than a moment.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// How long a request may take before another thread waits for the next.
const MOMENT: Duration = Duration::from_millis(2);
/// Moments without a request after which the lookout sleeps until there is one, or the mount ends.
const QUIET: u32 = 25;

/// The threads that serve a mount.
#[derive(Debug)]
pub struct Readers {
    /// Threads that wait for a request, or are about to.
    waiting: AtomicUsize,
    resting: AtomicUsize,
    /// Requests that were begun.
    begun: AtomicU64,
    rest: Mutex<Rest>,
    called: Condvar,
    /// The lookout sleeps.
    naps: AtomicBool,
    watched: OnceLock<Watched>,
}

#[derive(Debug)]
struct Rest {
    /// Resting threads that are to wait for requests again.
    calls: usize,
    /// No thread rests: there is no lookout yet, or the mount has ended.
    is_over: bool,
}

/// What the lookout sleeps over.
#[derive(Debug)]
struct Watched {
    /// What requests are read from. It says by an error that the mount has ended.
    device: OwnedFd,
    rouse: OwnedFd,
}

/// A request under way on this thread. Dropped when it is answered.
#[derive(Debug)]
pub struct Turn<'a>(&'a Readers);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let taken = self
            .0
            .waiting
            .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire);
        if taken.is_err() {
            self.0.rest();
        }
    }
}

impl Readers {
    /// So many threads, all waiting.
    pub fn new(threads: usize) -> Readers {
        Readers {
            waiting: AtomicUsize::new(threads),
            resting: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            rest: Mutex::new(Rest {
                calls: 0,
                is_over: true,
            }),
            called: Condvar::new(),
            naps: AtomicBool::new(false),
            watched: OnceLock::new(),
        }
    }

    /// This thread has a request.
    pub fn turn(&self) -> Turn<'_> {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        self.begun.fetch_add(1, Ordering::SeqCst);
        if self.naps.load(Ordering::SeqCst) && self.naps.swap(false, Ordering::SeqCst) {
            self.rouse();
        }
        Turn(self)
    }

    fn rouse(&self) {
        if let Some(watched) = self.watched.get() {
            let _ = rustix::io::write(&watched.rouse, &1u64.to_ne_bytes());
        }
    }

    /// The request of this thread may have to wait. If others are there, another thread is to answer them.
    pub fn held_up(&self) {
        let is_alone = self.waiting.load(Ordering::Acquire) == 0 && self.resting.load(Ordering::Acquire) > 0;
        if is_alone && self.is_asked() {
            self.call();
        }
    }

    /// Whether requests are there.
    fn is_asked(&self) -> bool {
        let watched = self.watched.get();
        watched.is_some_and(|watched| asks(&watched.device, PollFlags::IN).contains(PollFlags::IN))
    }

    fn lock(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a resting thread wait for requests.
    fn call(&self) {
        let mut rest = self.lock();
        if rest.calls < self.resting.load(Ordering::Acquire) {
            rest.calls += 1;
            self.called.notify_one();
        }
    }

    fn rest(&self) {
        let mut rest = self.lock();
        self.resting.fetch_add(1, Ordering::AcqRel);
        while !rest.is_over && rest.calls == 0 {
            // The thread that waited may have taken a request just now, and be held up by it: the lookout sees to that.
            rest = self.called.wait(rest).unwrap_or_else(PoisonError::into_inner);
        }
        rest.calls = rest.calls.saturating_sub(1);
        self.resting.fetch_sub(1, Ordering::AcqRel);
        self.waiting.fetch_add(1, Ordering::AcqRel);
    }

    /// The mount has ended: no thread rests any more, and the lookout's work is done.
    pub fn end(&self) {
        self.lock().is_over = true;
        self.called.notify_all();
        self.rouse();
    }

    /// Has a thread look out until the mount that `device` is read for ends, and do `each_moment` besides. Without one, no thread
    /// rests.
    pub fn begin(
        self: &Arc<Self>,
        device: OwnedFd,
        each_moment: impl FnMut() + Send + 'static,
    ) -> std::io::Result<std::thread::JoinHandle<()>> {
        let rouse = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let _ = self.watched.set(Watched { device, rouse });
        self.lock().is_over = false;
        let readers = Arc::clone(self);
        let lookout = std::thread::Builder::new().name("lookout".to_owned());
        let lookout = lookout.spawn(move || readers.look_out(each_moment));
        if lookout.is_err() {
            self.end();
        }
        lookout
    }

    fn look_out(&self, mut each_moment: impl FnMut()) {
        let (mut seen, mut quiet) = (0, 0);
        let Some(watched) = self.watched.get() else { return };
        loop {
            let begun = self.begun.load(Ordering::SeqCst);
            if begun != seen {
                (seen, quiet) = (begun, 0);
            } else if self.waiting.load(Ordering::Acquire) > 0 {
                quiet += 1;
            } else {
                self.call();
            }
            each_moment();
            if asks(&watched.device, PollFlags::empty()).contains(PollFlags::ERR) {
                self.end();
            }
            if self.lock().is_over {
                return;
            }
            if quiet < QUIET {
                std::thread::sleep(MOMENT);
                continue;
            }
            self.naps.store(true, Ordering::SeqCst);
            // A request that has begun before that does not rouse the lookout.
            if self.begun.load(Ordering::SeqCst) == seen {
                watched.nap();
            }
            self.naps.store(false, Ordering::SeqCst);
            quiet = 0;
        }
    }
}

impl Watched {
    /// Sleeps until the lookout is roused or the mount ends.
    fn nap(&self) {
        let mut asked = [
            PollFd::from_borrowed_fd(self.device.as_fd(), PollFlags::empty()),
            PollFd::from_borrowed_fd(self.rouse.as_fd(), PollFlags::IN),
        ];
        let _ = poll(&mut asked, None);
        let _ = rustix::io::read(&self.rouse, &mut [0u8; 8]);
    }
}

/// What of this a descriptor says at once.
fn asks(device: &OwnedFd, flags: PollFlags) -> PollFlags {
    const AT_ONCE: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut asked = [PollFd::from_borrowed_fd(device.as_fd(), flags)];
    match poll(&mut asked, Some(&AT_ONCE)) {
        Ok(1..) => asked[0].revents(),
        _ => PollFlags::empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    /// Threads that serve what a channel brings, each request in a turn.
    fn serve(
        readers: &Arc<Readers>,
        threads: usize,
    ) -> (std::sync::mpsc::Sender<Request>, Vec<std::thread::JoinHandle<()>>) {
        let (sender, requests) = channel::<Request>();
        let requests = Arc::new(Mutex::new(requests));
        let threads = (0..threads)
            .map(|_| {
                let (readers, requests) = (Arc::clone(readers), Arc::clone(&requests));
                std::thread::spawn(move || {
                    loop {
                        let request = requests.lock().unwrap().recv();
                        let Ok(request) = request else { return };
                        let _turn = readers.turn();
                        request();
                    }
                })
            })
            .collect();
        (sender, threads)
    }

    type Request = Box<dyn FnOnce() + Send>;

    /// A request that is answered when the other end is dropped or sends, and a word that it was begun.
    fn slow() -> (Request, std::sync::mpsc::Sender<()>, Receiver<()>) {
        let (go, wait) = channel::<()>();
        let (begun, is_begun) = channel();
        let request = move || {
            begun.send(()).unwrap();
            let _ = wait.recv();
        };
        (Box::new(request), go, is_begun)
    }

    #[test]
    fn a_request_that_is_held_up_does_not_hold_up_the_next_and_all_threads_end() {
        let readers = Arc::new(Readers::new(3));
        let (send, threads) = serve(&readers, 3);
        let (end, device) = rustix::pipe::pipe().unwrap();
        let lookout = readers.begin(device, || ()).unwrap();
        // All but one come to rest.
        for _ in 0..20 {
            let (request, go, begun) = slow();
            send.send(request).unwrap();
            begun.recv().unwrap();
            drop(go);
        }
        let all: Vec<_> = (0..3)
            .map(|_| {
                let (request, go, begun) = slow();
                send.send(request).unwrap();
                // It begins although those before it have not been answered.
                begun.recv().unwrap();
                go
            })
            .collect();
        drop(all);
        drop(send);
        // The mount ends: the device says so.
        drop(end);
        for thread in threads {
            thread.join().unwrap();
        }
        lookout.join().unwrap();
        assert_eq!(readers.resting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn one_thread_waits_while_requests_are_short() {
        let readers = Arc::new(Readers::new(4));
        let (send, threads) = serve(&readers, 4);
        let (end, device) = rustix::pipe::pipe().unwrap();
        let lookout = readers.begin(device, || ()).unwrap();
        while readers.resting.load(Ordering::Relaxed) < 3 {
            send.send(Box::new(|| ())).unwrap();
            std::thread::yield_now();
        }
        assert!(readers.waiting.load(Ordering::Relaxed) <= 1);
        drop(send);
        drop(end);
        for thread in threads {
            thread.join().unwrap();
        }
        lookout.join().unwrap();
    }
}
