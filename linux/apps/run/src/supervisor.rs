//! The supervisor: all proxies, and the threads that serve them.
//!
//! One thread answers the program's calls; none of them waits. One waits for the program's ends of the proxies, one for
//! Linux's sockets, and both move bytes. A call that has to wait is kept with its proxy, tried again when something happens there, and
//! forgotten when the thread that made it has been interrupted or killed.

mod waiting;

use crate::linux::{self, Epoll, Event, WOKEN};
use crate::notify::Notifier;
use crate::proxy::{Carries, Phase, Proxy};
use lkl::Errno;
use lkl_net::Namespace;
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fd::OwnedFd;
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// `EPOLL*`, which the machine's Linux and the one that is carried have in common.
pub const IN: u32 = 0x1;
pub const OUT: u32 = 0x4;
pub const ERR: u32 = 0x8;
pub const HUP: u32 = 0x10;
pub const RDHUP: u32 = 0x2000;
const EDGE: u32 = 1 << 31;

/// The most bytes that are moved by one call.
const PIECE: usize = 256 << 10;

pub struct Supervisor {
    /// What new sockets belong to.
    pub namespace: Namespace,
    pub notifier: Notifier,
    /// A socket of Linux's for what is asked of any socket.
    pub control: lkl::OwnedFd,
    proxies: Mutex<HashMap<u64, Arc<Proxy>>>,
    host: OwnedFd,
    linux: Epoll,
    waiting: AtomicUsize,
    /// Wakes the thread that waits for the program.
    waker: OwnedFd,
    stopped: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

thread_local! {
    static PIECES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends this thread's buffer.
pub fn with_buffer<T>(act: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut buffer = PIECES.take();
    buffer.resize(PIECE, 0);
    let result = act(&mut buffer);
    PIECES.set(buffer);
    result
}

impl Supervisor {
    pub fn new(namespace: &Namespace, notifier: Notifier) -> io::Result<Supervisor> {
        let linux_error = |errno: Errno| io::Error::from_raw_os_error(i32::from(errno.number()));
        let host = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let waker = eventfd(0, EventfdFlags::CLOEXEC)?;
        epoll::add(
            &host,
            &waker,
            epoll::EventData::new_u64(WOKEN),
            epoll::EventFlags::IN,
        )?;
        Ok(Supervisor {
            namespace: namespace.clone(),
            notifier,
            control: linux::socket(namespace, libc::AF_INET, libc::SOCK_DGRAM, 0).map_err(linux_error)?,
            proxies: Mutex::default(),
            host,
            linux: Epoll::new(namespace).map_err(linux_error)?,
            waiting: AtomicUsize::new(0),
            waker,
            stopped: AtomicBool::new(false),
            threads: Mutex::default(),
        })
    }

    /// Starts the threads. `died` is called when Linux dies.
    pub fn start(self: &Arc<Self>, died: impl Fn() + Send + 'static) -> io::Result<()> {
        let start = |name: &str, act: Box<dyn FnOnce(&Supervisor) + Send>| {
            let me = Arc::clone(self);
            let thread = thread::Builder::new().name(name.into()).spawn(move || act(&me))?;
            self.threads().push(thread);
            Ok(())
        };
        start("calls", Box::new(Supervisor::answer_calls))?;
        start("program", Box::new(Supervisor::watch_program))?;
        start(
            "linux",
            Box::new(move |me| {
                me.watch_linux();
                if me.namespace.kernel().is_dead() {
                    died();
                }
            }),
        )?;
        start("sweep", Box::new(Supervisor::sweep))
    }

    /// Ends the threads, so that none is inside Linux, and lets all sockets go. The program and all that it has started are gone.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.linux.wake();
        // It is there for as long as this is.
        let _ = rustix::io::write(&self.waker, &1u64.to_ne_bytes());
        for thread in std::mem::take(&mut *self.threads()) {
            thread.thread().unpark();
            // One that has panicked has said so.
            let _ = thread.join();
        }
        self.proxies().clear();
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn proxies(&self) -> MutexGuard<'_, HashMap<u64, Arc<Proxy>>> {
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The proxy whose program's end has this inode.
    pub fn proxy(&self, inode: u64) -> Option<Arc<Proxy>> {
        self.proxies().get(&inode).cloned()
    }

    /// Whether there is any.
    pub fn is_idle(&self) -> bool {
        self.proxies().is_empty()
    }

    /// Serves it from now on.
    pub fn add(&self, proxy: &Arc<Proxy>) -> Result<(), i32> {
        self.proxies().insert(proxy.inode, Arc::clone(proxy));
        let data = epoll::EventData::new_u64(proxy.inode);
        let flags = IN
            | RDHUP
            | EDGE
            | match proxy.carries {
                Carries::Stream => 0,
                // That the program has read a message.
                Carries::Messages => OUT,
            };
        let added = epoll::add(
            &self.host,
            &proxy.host,
            data,
            epoll::EventFlags::from_bits_retain(flags),
        )
        .map_err(|errno| errno.raw_os_error())
        .and_then(|()| {
            let flags = IN | OUT | RDHUP | EDGE;
            self.linux
                .add(&proxy.socket, proxy.inode, flags)
                .map_err(|errno| i32::from(errno.number()))
        });
        if added.is_err() {
            self.remove(proxy);
        }
        added
    }

    /// Has this told, or not told any more, when the program has read something.
    pub fn watch_room(&self, proxy: &Proxy, on: bool) {
        if proxy.carries == Carries::Messages || proxy.down_blocked.swap(on, Ordering::AcqRel) == on {
            return;
        }
        let flags = IN | RDHUP | EDGE | if on { OUT } else { 0 };
        let data = epoll::EventData::new_u64(proxy.inode);
        // It is there; that there is no memory for a change of a few bits does not happen.
        let _ = epoll::modify(
            &self.host,
            &proxy.host,
            data,
            epoll::EventFlags::from_bits_retain(flags),
        );
    }

    /// Has both threads told again what it is ready for.
    pub fn tell_again(&self, proxy: &Proxy) {
        let data = epoll::EventData::new_u64(proxy.inode);
        let flags = epoll::EventFlags::from_bits_retain(IN | RDHUP | EDGE);
        proxy.down_blocked.store(false, Ordering::Release);
        // Both fail when it has been removed meanwhile.
        let _ = epoll::modify(&self.host, &proxy.host, data, flags);
        let _ = self
            .linux
            .modify(&proxy.socket, proxy.inode, IN | OUT | RDHUP | EDGE);
    }

    /// Lets it go. Linux's socket is closed with the last who uses it.
    pub fn remove(&self, proxy: &Proxy) {
        let removed = self.proxies().remove(&proxy.inode);
        let waiting = std::mem::take(&mut proxy.state().waiting);
        self.waiting.fetch_sub(waiting.len(), Ordering::AcqRel);
        for waiting in waiting {
            self.notifier.fail(&waiting.call, libc::EBADF);
        }
        drop(removed);
    }

    /// The thread of calls.
    fn answer_calls(&self) {
        while let Ok(Some(call)) = self.notifier.receive() {
            let answer = self.answer(&call);
            self.finish(&call, answer);
        }
    }

    /// The thread that waits for the program.
    fn watch_program(&self) {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(64);
        let mut unfinished: VecDeque<Arc<Proxy>> = VecDeque::new();
        let at_once = rustix::event::Timespec::default();
        loop {
            events.clear();
            let timeout = (!unfinished.is_empty()).then_some(&at_once);
            match epoll::wait(&self.host, rustix::buffer::spare_capacity(&mut events), timeout) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return,
                Ok(_) => {}
            }
            for proxy in std::mem::take(&mut unfinished) {
                if self.pump(&proxy) {
                    unfinished.push_back(proxy);
                }
            }
            for event in &events {
                let (flags, data) = (event.flags, event.data);
                let bits = flags.bits();
                if data.u64() == WOKEN {
                    return;
                }
                let Some(proxy) = self.proxy(data.u64()) else {
                    continue;
                };
                if self.program_did(&proxy, bits) {
                    unfinished.push_back(proxy);
                }
            }
        }
    }

    /// Whether there may be more from it at once.
    fn program_did(&self, proxy: &Arc<Proxy>, bits: u32) -> bool {
        if bits & HUP != 0 {
            proxy.hung_up.store(true, Ordering::Release);
            if proxy.carries == Carries::Stream && !matches!(proxy.state().phase, Phase::Connected) {
                self.remove(proxy);
                return false;
            }
        }
        let mut more = false;
        if bits & OUT != 0 {
            more = self.pump_down(proxy);
            if self.waiting.load(Ordering::Acquire) != 0 {
                self.retry(proxy);
            }
        }
        if bits & (IN | HUP | RDHUP | ERR) != 0 {
            more |= self.pump_up(proxy);
        }
        more
    }

    /// The thread that waits for Linux. It ends when Linux has died or was halted.
    fn watch_linux(&self) {
        let mut events = [Event::default(); 64];
        let mut unfinished: VecDeque<Arc<Proxy>> = VecDeque::new();
        loop {
            // Linux is not halted while a call is inside; so each is short.
            let milliseconds = if unfinished.is_empty() { 200 } else { 0 };
            let Ok(count) = self.linux.wait(&mut events, milliseconds) else {
                return;
            };
            for proxy in std::mem::take(&mut unfinished) {
                if self.pump(&proxy) {
                    unfinished.push_back(proxy);
                }
            }
            for event in events.iter().take(count) {
                let (token, bits) = (event.data, event.events);
                if token == WOKEN {
                    return;
                }
                let Some(proxy) = self.proxy(token) else {
                    continue;
                };
                if self.linux_did(&proxy, bits) {
                    unfinished.push_back(proxy);
                }
            }
        }
    }

    fn linux_did(&self, proxy: &Arc<Proxy>, bits: u32) -> bool {
        let mut more = false;
        if proxy.carries == Carries::Stream {
            self.look_at_connection(proxy);
            self.take_connections(proxy);
        }
        if bits & (IN | RDHUP | HUP | ERR) != 0 {
            more = self.pump_down(proxy);
        }
        if bits & OUT != 0 && proxy.up_blocked.load(Ordering::Acquire) {
            more |= self.pump_up(proxy);
        }
        if self.waiting.load(Ordering::Acquire) != 0 {
            self.retry(proxy);
        }
        more
    }

    /// Moves what there is, either way. Whether there may be more at once.
    fn pump(&self, proxy: &Arc<Proxy>) -> bool {
        self.pump_up(proxy) | self.pump_down(proxy)
    }

    /// Moves what the program has written. Whether there may be more at once.
    pub fn pump_up(&self, proxy: &Arc<Proxy>) -> bool {
        match proxy.carries {
            Carries::Stream => self.pump_stream_up(proxy),
            Carries::Messages => self.pump_messages_up(proxy),
        }
    }

    /// Moves what Linux has received. Whether there may be more at once.
    pub fn pump_down(&self, proxy: &Arc<Proxy>) -> bool {
        match proxy.carries {
            Carries::Stream => self.pump_stream_down(proxy),
            Carries::Messages => self.pump_messages_down(proxy),
        }
    }
}
