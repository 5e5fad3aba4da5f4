//! The machine's own network by user-mode NAT, without root: libslirp, in this process, ends the connections that Linux makes and
//! makes ones of the machine's in their place. What it knows of the other side is IPv4 only.
//!
//! libslirp is one thread's: [`Slirp`] lives on a thread of the interface's. Packets that Linux sends wait for it in a queue; those
//! that libslirp sends are copied into Linux's buffers there, and given to Linux as many at once as there are.

use crate::error::{Kind, LinkError};
use crate::slirp::{Outlet, Slirp};
use lkl_netdev::{Backend, Buffer, Buffers, Header, Packet, Packets, Received};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

/// Starts it, in the machine's network that the calling thread is in.
///
/// # Errors
/// That there are too few descriptors or threads.
pub fn nat() -> Result<Arc<dyn Backend>, LinkError> {
    match start() {
        Ok(nat) => Ok(Arc::new(nat)),
        Err(error) => Err(LinkError::new(Kind::Listener, "user-mode NAT", error)),
    }
}

/// The most packets that are given to Linux at once.
const BATCH: usize = 64;
/// Bytes that wait for buffers of Linux's at most; what comes then is lost, as on a wire.
const BACKLOG: usize = 8 << 20;

#[derive(Default)]
struct State {
    up: bool,
    ended: bool,
    /// Those that Linux has sent, and that libslirp has not taken yet.
    sent: VecDeque<Packet>,
    buffers: VecDeque<Buffer>,
}

struct Shared {
    state: Mutex<State>,
    /// Wakes the thread.
    bell: OwnedFd,
    /// The thread looks for work before it sleeps: nothing has to wake it.
    awake: AtomicBool,
}

struct Nat {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start() -> io::Result<Nat> {
    let shared = Arc::new(Shared {
        state: Mutex::default(),
        bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        awake: AtomicBool::new(true),
    });
    let mine = Arc::clone(&shared);
    let (tell, told) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("lkl-nat".into())
        .spawn(move || {
            let inlet = Inlet {
                shared: Arc::clone(&mine),
                received: Received::default(),
                backlog: VecDeque::new(),
                waiting: 0,
            };
            let slirp = Slirp::new(inlet);
            let made = slirp.is_some();
            if tell.send(made).is_ok()
                && let Some(slirp) = slirp
            {
                mine.run(slirp);
            }
        })?;
    if !told.recv().unwrap_or(false) {
        return Err(io::Error::other("libslirp refuses its own configuration"));
    }
    Ok(Nat {
        shared,
        thread: Mutex::new(Some(thread)),
    })
}

impl Shared {
    fn ring(&self) {
        if !self.awake.swap(true, Ordering::SeqCst) {
            // A counter that is full wakes as well.
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }

    fn run(&self, mut slirp: Slirp<Inlet>) {
        let mut bytes = Vec::new();
        loop {
            self.awake.store(false, Ordering::SeqCst);
            let sent = {
                let mut state = locked(&self.state);
                if state.ended {
                    return;
                }
                std::mem::take(&mut state.sent)
            };
            for packet in sent {
                bytes.clear();
                packet.segments().for_each(|piece| bytes.extend_from_slice(piece));
                packet.sent();
                slirp.input(&bytes);
            }
            slirp.outlet().give();
            match slirp.wait(self.bell.as_fd()) {
                Ok(true) => {
                    let mut count = [0; 8];
                    // Nothing to read: it was woken twice.
                    let _: Result<usize, Errno> = rustix::io::read(&self.bell, &mut count);
                }
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

/// What libslirp sends.
struct Inlet {
    shared: Arc<Shared>,
    received: Received,
    /// What there was no buffer for.
    backlog: VecDeque<Box<[u8]>>,
    /// Bytes of it.
    waiting: usize,
}

impl Inlet {
    /// Puts a packet into a buffer of Linux's. False: there is none.
    fn put(&mut self, bytes: &[u8]) -> bool {
        let Some(mut buffer) = locked(&self.shared.state).buffers.pop_front() else {
            return false;
        };
        // One that is longer than any that may come is lost.
        if buffer.copy_from(bytes) == bytes.len() {
            let _ = self.received.push(buffer, bytes.len(), Header::default());
        }
        if self.received.len() >= BATCH {
            self.deliver();
        }
        true
    }

    fn deliver(&mut self) {
        std::mem::take(&mut self.received).deliver();
    }

    /// What waits goes into the buffers that there are now, and all of it to Linux.
    fn give(&mut self) {
        while let Some(bytes) = self.backlog.pop_front() {
            if !self.put(&bytes) {
                self.backlog.push_front(bytes);
                break;
            }
            self.waiting = self.waiting.saturating_sub(bytes.len());
        }
        self.deliver();
        if !locked(&self.shared.state).up {
            self.backlog.clear();
            self.waiting = 0;
        }
    }
}

impl Outlet for Inlet {
    fn packet(&mut self, bytes: &[u8]) {
        let waits = !self.backlog.is_empty() || !self.put(bytes);
        let waiting = self.waiting.saturating_add(bytes.len());
        if waits && waiting <= BACKLOG {
            self.backlog.push_back(bytes.into());
            self.waiting = waiting;
        }
    }
}

impl Backend for Nat {
    fn transmit(&self, packets: Packets) {
        locked(&self.shared.state).sent.extend(packets);
        self.shared.ring();
    }

    fn receive(&self, buffers: Buffers) {
        {
            let mut state = locked(&self.shared.state);
            state.up = true;
            state.buffers.extend(buffers);
        }
        self.shared.ring();
    }

    fn stop(&self) {
        let (sent, buffers) = {
            let mut state = locked(&self.shared.state);
            state.up = false;
            (
                std::mem::take(&mut state.sent),
                std::mem::take(&mut state.buffers),
            )
        };
        drop((sent, buffers));
        self.shared.ring();
    }
}

impl Drop for Nat {
    fn drop(&mut self) {
        locked(&self.shared.state).ended = true;
        let _ = rustix::io::write(&self.shared.bell, &1u64.to_ne_bytes());
        if let Some(thread) = locked(&self.thread).take()
            // The last reference may have been what the thread itself gave back to Linux: it ends by itself then.
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}
