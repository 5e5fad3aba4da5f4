//! [`Epoll`]: waits for many sockets at once; [`EpollWaker`] ends such a wait from any thread.

use crate::call::{self, EpollChange, EpollEvent};
use crate::error::io_error;
use crate::namespace::Namespace;
use crate::socket::Socket;
use lkl::{Errno, OwnedFd};
use std::io;
use std::ops::BitOr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is waited for, or has come: `EPOLL*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Events(pub u32);

impl Events {
    /// There is something to read, or a connection to accept.
    pub const READ: Events = Events(0x001);
    /// There is urgent data.
    pub const URGENT: Events = Events(0x002);
    /// There is room to write.
    pub const WRITE: Events = Events(0x004);
    /// Something has gone wrong. Always waited for.
    pub const ERROR: Events = Events(0x008);
    /// Both directions have ended. Always waited for.
    pub const HANG_UP: Events = Events(0x010);
    /// The peer sends no more.
    pub const READ_HANG_UP: Events = Events(0x2000);
    /// One event, then none until it is changed.
    pub const ONE_SHOT: Events = Events(1 << 30);
    /// When something becomes so, not while it is.
    pub const EDGE: Events = Events(1 << 31);

    /// Whether any of the other's bits is here.
    pub fn any(self, other: Events) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Events {
    type Output = Events;

    fn bitor(self, other: Events) -> Events {
        Events(self.0 | other.0)
    }
}

/// One event: the token that the socket was added with, and what has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The caller's own number for the socket.
    pub token: u64,
    /// What has come.
    pub events: Events,
}

/// The waker's own token, which callers cannot use.
const WAKER: u64 = u64::MAX;

/// As long as that is waited for in Linux, before it is looked whether one still may.
const SLICE: Duration = Duration::from_millis(200);

/// Waits for many sockets.
#[derive(Debug)]
pub struct Epoll {
    epoll: OwnedFd,
    waker: Arc<OwnedFd>,
}

impl Epoll {
    /// One that waits for nothing yet.
    pub fn new(by: &Namespace) -> io::Result<Epoll> {
        let epoll = call::epoll(by).map_err(io_error)?;
        let waker = call::eventfd(by).map_err(io_error)?;
        let event = EpollEvent {
            events: Events::READ.0,
            data: WAKER,
        };
        call::epoll_change(&epoll, EpollChange::Add, &waker, event).map_err(io_error)?;
        let waker = Arc::new(waker);
        Ok(Epoll { epoll, waker })
    }

    /// Waits for these events of the socket from now on. `token` is any number but `u64::MAX`.
    pub fn add(&self, socket: &Socket, token: u64, events: Events) -> io::Result<()> {
        self.change(EpollChange::Add, socket.descriptor(), token, events)
    }

    /// Waits for other events of it.
    pub fn modify(&self, socket: &Socket, token: u64, events: Events) -> io::Result<()> {
        self.change(EpollChange::Modify, socket.descriptor(), token, events)
    }

    /// Waits for it no more. A socket that is closed is removed by itself.
    pub fn remove(&self, socket: &Socket) -> io::Result<()> {
        self.change(EpollChange::Remove, socket.descriptor(), 0, Events::default())
    }

    pub(crate) fn change(
        &self,
        change: EpollChange,
        fd: &OwnedFd,
        token: u64,
        events: Events,
    ) -> io::Result<()> {
        if token == WAKER {
            return Err(io_error(Errno::EINVAL));
        }
        let event = EpollEvent {
            events: events.0,
            data: token,
        };
        call::epoll_change(&self.epoll, change, fd, event).map_err(io_error)
    }

    /// What ends a wait from another thread.
    pub fn waker(&self) -> EpollWaker {
        EpollWaker(Arc::clone(&self.waker))
    }

    /// Waits until something comes, or for so long. `found` is emptied and then holds what has come; it is empty when the time is
    /// over or the waker was used. At most 256 at a time.
    ///
    /// # Errors
    /// ENODEV when Linux is dead or halted.
    pub fn wait(&self, found: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        found.clear();
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut room = [EpollEvent::default(); 256];
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let slice = left.unwrap_or(SLICE).min(SLICE);
            let milliseconds = i32::try_from(slice.as_micros().div_ceil(1000)).unwrap_or(0);
            match call::epoll_wait(&self.epoll, &mut room, milliseconds) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(io_error(errno)),
                Ok(0) if left.is_some_and(|left| left <= slice) => return Ok(()),
                Ok(0) => {}
                Ok(count) => {
                    for event in room.iter().take(count) {
                        let (token, events) = (event.data, Events(event.events));
                        if token == WAKER {
                            // It is nonblocking; what matters is that it is empty.
                            let _ = call::read(&self.waker, &mut [0; 8]);
                        } else {
                            found.push(Event { token, events });
                        }
                    }
                    return Ok(());
                }
            }
        }
    }
}

/// Ends a wait of [`Epoll::wait`]'s, the one under way or the next.
#[derive(Debug, Clone)]
pub struct EpollWaker(Arc<OwnedFd>);

impl EpollWaker {
    /// Does so. Of a Linux that is dead there is nothing to wake.
    pub fn wake(&self) {
        // EAGAIN: it was woken 2^64 times already.
        let _ = call::write(&self.0, &1u64.to_ne_bytes());
    }
}
