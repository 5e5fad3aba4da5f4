//! [`Readiness`]: a socket, and what it is ready for, as tasks see it; what `tokio::io::unix::AsyncFd` is for the host's.

use super::reactor::Reactor;
use crate::poll::Events;
use crate::socket::Socket;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

/// What a task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Data, a connection, the end of the stream, an error.
    Read,
    /// Room, the end of connecting, an error.
    Write,
}

/// One direction of a socket.
#[derive(Default)]
struct Side {
    ready: bool,
    /// Linux is gone: ready for ever, since each call says so.
    for_good: bool,
    /// Counts events: readiness is taken back only if none has come since the call that found it gone.
    event: u64,
    wakers: Vec<Waker>,
}

impl Side {
    fn set(&mut self) -> Vec<Waker> {
        self.ready = true;
        self.event = self.event.wrapping_add(1);
        std::mem::take(&mut self.wakers)
    }
}

/// What the reactor has seen of a socket.
#[derive(Default)]
pub(super) struct State {
    read: Mutex<Side>,
    write: Mutex<Side>,
}

impl State {
    fn side(&self, direction: Direction) -> std::sync::MutexGuard<'_, Side> {
        let side = match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        };
        side.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something has come. Wakers are called when nothing is locked.
    pub(super) fn set(&self, events: Events) {
        let both = Events::ERROR | Events::HANG_UP;
        if events.any(Events::READ | Events::READ_HANG_UP | Events::URGENT | both) {
            let wakers = self.side(Direction::Read).set();
            wakers.into_iter().for_each(Waker::wake);
        }
        if events.any(Events::WRITE | both) {
            let wakers = self.side(Direction::Write).set();
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    pub(super) fn set_for_good(&self) {
        for direction in [Direction::Read, Direction::Write] {
            self.side(direction).for_good = true;
        }
        self.set(Events::ERROR);
    }

    /// Ready, and by which event; or the waker is left.
    fn poll(&self, direction: Direction, context: &mut Context<'_>) -> Poll<u64> {
        let mut side = self.side(direction);
        if side.ready {
            return Poll::Ready(side.event);
        }
        if !side.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            side.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }

    fn clear(&self, direction: Direction, event: u64) {
        let mut side = self.side(direction);
        if side.event == event && !side.for_good {
            side.ready = false;
        }
    }
}

/// A socket that does not block, and its readiness. Any number of tasks may wait for it.
pub struct Readiness {
    socket: Socket,
    state: Arc<State>,
    token: u64,
    reactor: Arc<Reactor>,
}

impl Readiness {
    /// Makes the socket nonblocking and waits for it.
    ///
    /// # Errors
    /// ENODEV when Linux is dead; EPERM for what cannot be waited for; EEXIST when there is one for this socket already.
    pub fn new(socket: Socket) -> io::Result<Readiness> {
        if !socket.is_nonblocking() {
            socket.set_nonblocking(true)?;
        }
        let reactor = Reactor::of(&socket)?;
        let state = Arc::new(State::default());
        let token = reactor.add(&socket, &state)?;
        Ok(Readiness {
            socket,
            state,
            token,
            reactor,
        })
    }

    /// The socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Makes a call that does not wait, as soon and as often as it takes until it says something else than `WouldBlock`.
    pub fn poll_io<T>(
        &self,
        direction: Direction,
        context: &mut Context<'_>,
        mut act: impl FnMut(&Socket) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            let event = ready!(self.state.poll(direction, context));
            match act(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.state.clear(direction, event),
                done => return Poll::Ready(done),
            }
        }
    }

    /// The same for a task that waits for it.
    pub async fn io<T>(
        &self,
        direction: Direction,
        mut act: impl FnMut(&Socket) -> io::Result<T>,
    ) -> io::Result<T> {
        poll_fn(|context| self.poll_io(direction, context, &mut act)).await
    }

    /// Makes the call once. What it says of readiness is kept.
    pub fn try_io<T>(
        &self,
        direction: Direction,
        act: impl FnOnce(&Socket) -> io::Result<T>,
    ) -> io::Result<T> {
        let event = self.state.side(direction).event;
        let done = act(&self.socket);
        if matches!(&done, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.state.clear(direction, event);
        }
        done
    }

    /// Waits until it is ready. It may be so no more when the caller looks.
    pub async fn ready(&self, direction: Direction) {
        poll_fn(|context| self.state.poll(direction, context).map(drop)).await;
    }

    /// As [`Readiness::ready`], for a `poll` function.
    pub fn poll_ready(&self, direction: Direction, context: &mut Context<'_>) -> Poll<()> {
        self.state.poll(direction, context).map(drop)
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.reactor.remove(&self.socket, self.token);
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}
