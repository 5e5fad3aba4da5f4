//! The supervisor: all proxies, and the threads that serve them.
//!
//! One thread answers the program's calls; none of them waits. One waits for the program's ends of the proxies, one for
//! Linux's sockets, and both move bytes. A call that has to wait is kept with its proxy, tried again when something happens there, and
//! forgotten when the thread that made it has been interrupted or killed.

use crate::calls::Answer;
use crate::linux::{self, Epoll, Event, WOKEN};
use crate::notify::{Call, Notifier};
use crate::proxy::{Carries, Phase, Proxy, Waiting};
use lkl::{Errno, Kernel};
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// `EPOLL*`, which the machine's Linux and the one that is carried have in common.
pub const IN: u32 = 0x1;
pub const OUT: u32 = 0x4;
pub const ERR: u32 = 0x8;
pub const HUP: u32 = 0x10;
pub const RDHUP: u32 = 0x2000;
const EDGE: u32 = 1 << 31;

/// How often waiting calls are looked after.
const SWEEP: Duration = Duration::from_millis(100);
/// The most bytes that are moved by one call.
const PIECE: usize = 256 << 10;

pub struct Supervisor {
    pub kernel: Kernel,
    pub notifier: Notifier,
    /// A socket of Linux's for what is asked of any socket.
    pub control: lkl::OwnedFd,
    proxies: Mutex<HashMap<u64, Arc<Proxy>>>,
    host: OwnedFd,
    linux: Epoll,
    waiting: AtomicUsize,
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
    pub fn new(kernel: &Kernel, notifier: Notifier) -> io::Result<Supervisor> {
        let linux_error = |errno: Errno| io::Error::from_raw_os_error(i32::from(errno.number()));
        Ok(Supervisor {
            kernel: kernel.clone(),
            notifier,
            control: linux::socket(kernel, libc::AF_INET, libc::SOCK_DGRAM, 0).map_err(linux_error)?,
            proxies: Mutex::default(),
            host: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            linux: Epoll::new(kernel).map_err(linux_error)?,
            waiting: AtomicUsize::new(0),
        })
    }

    /// Starts the threads, which end with the process. `ended` is called when Linux dies.
    pub fn start(self: &Arc<Self>, died: impl Fn() + Send + 'static) -> io::Result<()> {
        let start = |name: &str, act: Box<dyn FnOnce(&Supervisor) + Send>| {
            let me = Arc::clone(self);
            thread::Builder::new()
                .name(name.into())
                .spawn(move || act(&me))
                .map(drop)
        };
        start("calls", Box::new(Supervisor::answer_calls))?;
        start("program", Box::new(Supervisor::watch_program))?;
        start(
            "linux",
            Box::new(move |me| {
                me.watch_linux();
                if me.kernel.is_dead() {
                    died();
                }
            }),
        )?;
        start("sweep", Box::new(Supervisor::sweep))
    }

    /// Linux is to be halted: no thread may be inside.
    pub fn stop(&self) {
        self.linux.wake();
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

    /// Gives an answer, or keeps the call.
    fn finish(&self, call: &Call, answer: Answer) {
        match answer {
            Answer::Value(value) => self.notifier.succeed(call, value),
            Answer::Fail(errno) => self.notifier.fail(call, errno),
            Answer::Pass => self.notifier.pass(call),
            Answer::Done => {}
            Answer::Wait(proxy, patience) => {
                let until = patience.map(|patience| Instant::now() + patience);
                self.keep(&proxy, Waiting { call: *call, until });
                // It may have happened meanwhile.
                self.retry(&proxy);
            }
        }
    }

    fn keep(&self, proxy: &Proxy, waiting: Waiting) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        proxy.state().waiting.push(waiting);
    }

    /// Tries the calls that wait for a proxy once more.
    pub fn retry(&self, proxy: &Proxy) {
        // One thread does it at a time, once more for each that came meanwhile.
        if proxy.attempts.fetch_add(1, Ordering::AcqRel) != 0 {
            return;
        }
        loop {
            let seen = proxy.attempts.load(Ordering::Acquire);
            let waiting = std::mem::take(&mut proxy.state().waiting);
            for mut waiting in waiting {
                self.waiting.fetch_sub(1, Ordering::AcqRel);
                if !self.notifier.is_waiting(&waiting.call) {
                    continue;
                }
                waiting.call.again = true;
                match self.answer(&waiting.call) {
                    Answer::Wait(..) if waiting.until.is_some_and(|until| until <= Instant::now()) => {
                        let errno = match waiting.call.number {
                            libc::SYS_connect => libc::EINPROGRESS,
                            _ => libc::EAGAIN,
                        };
                        self.notifier.fail(&waiting.call, errno);
                    }
                    Answer::Wait(..) => self.keep(proxy, waiting),
                    answer => self.finish(&waiting.call, answer),
                }
            }
            if proxy.attempts.fetch_sub(seen, Ordering::AcqRel) == seen {
                return;
            }
        }
    }

    /// Forgets calls of threads that do not wait any more, and ends those whose time is over.
    fn sweep(&self) {
        loop {
            thread::sleep(SWEEP);
            if self.waiting.load(Ordering::Acquire) == 0 {
                continue;
            }
            let all: Vec<Arc<Proxy>> = self.proxies().values().cloned().collect();
            for proxy in all {
                let now = Instant::now();
                let mut over = false;
                let mut gone = 0;
                proxy.state().waiting.retain(|waiting| {
                    over |= waiting.until.is_some_and(|until| until <= now);
                    let waits = self.notifier.is_waiting(&waiting.call);
                    gone += usize::from(!waits);
                    waits
                });
                self.waiting.fetch_sub(gone, Ordering::AcqRel);
                if over {
                    self.retry(&proxy);
                }
            }
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
                let (token, bits) = (event.token, event.events);
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
