//! The thread that waits in Linux's epoll for all sockets that tasks use.
//!
//! There is one as long as there is such a socket; it holds the kernel, and lets it go when the last one is dropped. Events are
//! edges: each says that something *became* ready, and is kept in the socket's [`State`] until a call finds that it is so no
//! more. When Linux is dead or halted the thread marks everything as ready and ends: the tasks' next calls then say ENODEV.

use super::readiness::State;
use crate::error::io_error;
use crate::namespace::Namespace;
use crate::poll::{Epoll, EpollWaker, Events};
use crate::socket::Socket;
use lkl::Errno;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};

/// What the thread and the sockets share.
struct Shared {
    epoll: Epoll,
    sockets: Mutex<Table>,
    over: AtomicBool,
}

#[derive(Default)]
struct Table {
    next: u64,
    states: HashMap<u64, Arc<State>>,
    /// Linux is gone.
    dead: bool,
}

/// The reactor, for as long as sockets hold it.
pub(super) struct Reactor {
    shared: Arc<Shared>,
    waker: EpollWaker,
    thread: Option<JoinHandle<()>>,
}

static REACTOR: Mutex<Weak<Reactor>> = Mutex::new(Weak::new());

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reactor {
    /// The running one, or a new one. A process has one kernel, and so one of these.
    pub(super) fn of(socket: &Socket) -> io::Result<Arc<Reactor>> {
        let mut running = locked(&REACTOR);
        if let Some(reactor) = running.upgrade() {
            return Ok(reactor);
        }
        let kernel = socket.descriptor().kernel();
        let epoll = Epoll::new(&Namespace::initial(kernel))?;
        let waker = epoll.waker();
        let shared = Arc::new(Shared {
            epoll,
            sockets: Mutex::new(Table::default()),
            over: AtomicBool::new(false),
        });
        let waits = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("lkl-reactor".to_owned())
            .spawn(move || waits.run())?;
        let reactor = Arc::new(Reactor {
            shared,
            waker,
            thread: Some(thread),
        });
        *running = Arc::downgrade(&reactor);
        Ok(reactor)
    }

    /// Waits for the socket from now on. Its token.
    pub(super) fn add(&self, socket: &Socket, state: &Arc<State>) -> io::Result<u64> {
        let token = {
            let mut table = locked(&self.shared.sockets);
            if table.dead {
                return Err(io_error(Errno::ENODEV));
            }
            let token = table.next;
            table.next += 1;
            table.states.insert(token, Arc::clone(state));
            token
        };
        let wanted = Events::READ | Events::WRITE | Events::READ_HANG_UP | Events::EDGE;
        let added = self.shared.epoll.add(socket, token, wanted);
        if added.is_err() {
            self.forget(token);
        }
        added.map(|()| token)
    }

    /// Waits for it no more.
    pub(super) fn remove(&self, socket: &Socket, token: u64) {
        // A socket with other handles stays open, and would go on to be reported. ENODEV when Linux is gone.
        let _ = self.shared.epoll.remove(socket);
        self.forget(token);
    }

    fn forget(&self, token: u64) {
        let state = locked(&self.shared.sockets).states.remove(&token);
        // Its wakers may run code of a runtime's, so they go when the table is free.
        drop(state);
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        self.waker.wake();
        // The last socket may be dropped by a waker that this very thread has called.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut found = Vec::new();
        let mut ready = Vec::new();
        while !self.over.load(Ordering::Acquire) {
            if self.epoll.wait(&mut found, None).is_err() {
                return self.die();
            }
            {
                let table = locked(&self.sockets);
                let known =
                    |event: &crate::Event| Some((table.states.get(&event.token)?.clone(), event.events));
                ready.extend(found.iter().filter_map(known));
            }
            for (state, events) in ready.drain(..) {
                state.set(events);
            }
        }
    }

    fn die(&self) {
        let states: Vec<Arc<State>> = {
            let mut table = locked(&self.sockets);
            table.dead = true;
            table.states.values().cloned().collect()
        };
        for state in states {
            state.set_for_good();
        }
    }
}
