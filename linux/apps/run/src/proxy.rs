//! A proxy: what the program has of a socket of Linux's.
//!
//! The program's descriptor is one end of a pair of UNIX sockets of the machine's, so that it can be polled, copied, inherited, passed on and
//! written to as any descriptor. The supervisor has the other end, and Linux's socket. The proxy is known by the number of the inode of
//! the program's end, which is the same in all processes and under all descriptor numbers. When the program has closed all of its
//! copies, the supervisor's end hangs up, and the socket goes.

use crate::linux::{Address, Envelope};
use crate::notify::Call;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{OFlags, fcntl_setfl, fstat};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair, sockopt};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much may be between the program and the supervisor.
const BETWEEN: usize = 1 << 20;

/// What a socket carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carries {
    /// Bytes in order.
    Stream,
    /// Messages, each with a sender.
    Messages,
}

/// What has become of it.
pub enum Phase {
    /// Neither connected nor listening.
    Fresh,
    /// Its connection is under way. The program's end is full, so that it cannot be written to yet.
    Connecting {
        /// A copy of the program's end.
        near: OwnedFd,
        /// How many bytes fill it.
        filling: usize,
    },
    /// Bytes are moved; for messages: it has a peer.
    Connected,
    /// It takes connections.
    Listening,
}

/// A connection that the program has not accepted yet.
pub struct Arrived {
    pub proxy: Arc<Proxy>,
    /// What will be the program's end.
    pub near: OwnedFd,
    pub from: Address,
}

/// A call of the program's that waits for this socket.
pub struct Waiting {
    pub call: Call,
    pub until: Option<Instant>,
}

/// What calls look at and change.
pub struct State {
    pub phase: Phase,
    /// An error that was not told yet.
    pub error: Option<i32>,
    pub waiting: Vec<Waiting>,
    /// The thread that got the program's end, and the number there.
    pub home: Option<(u32, i32)>,
    /// `SO_RCVTIMEO`, `SO_SNDTIMEO`
    pub read_timeout: Option<Duration>,
    pub write_timeout: Option<Duration>,
    /// How many connections are taken before the program accepts them.
    pub backlog: usize,
    pub arrived: VecDeque<Arrived>,
    /// Control messages were asked for.
    pub controls: bool,
}

/// One direction.
#[derive(Default)]
pub struct Flow {
    /// What was read and could not be written yet, from `at` on.
    pub rest: Vec<u8>,
    pub at: usize,
    /// Nothing more comes.
    pub ended: bool,
    /// Of messages: what belongs to `rest`.
    pub rest_envelope: Option<Envelope>,
    /// Of messages: what belongs to the one that the program has not read yet. One message at a time is between, unless `wide`.
    pub envelope: Option<Envelope>,
    /// Each message comes from the peer, so that many may be between.
    pub wide: bool,
    /// Of messages: how many empty ones are between that stand for an error.
    pub marks: usize,
}

impl Flow {
    /// What could not be written yet.
    pub fn pending(&self) -> &[u8] {
        self.rest.get(self.at..).unwrap_or(&[])
    }

    /// So much of it was written.
    pub fn advance(&mut self, len: usize) {
        self.at += len;
        if self.at >= self.rest.len() {
            self.rest = Vec::new();
            self.at = 0;
        }
    }

    /// Keeps what could not be written.
    pub fn keep(&mut self, bytes: &[u8]) {
        self.rest = bytes.to_vec();
        self.at = 0;
    }
}

pub struct Proxy {
    /// What it is known by.
    pub inode: u64,
    pub carries: Carries,
    /// `AF_*`
    pub family: i32,
    /// Linux's socket.
    pub socket: lkl::OwnedFd,
    /// The supervisor's end.
    pub host: OwnedFd,
    /// The program has no end any more, or has shut it down.
    pub hung_up: AtomicBool,
    /// The way to Linux, or from it, waits until there is room.
    pub up_blocked: AtomicBool,
    pub down_blocked: AtomicBool,
    /// How often its waiting calls are to be tried.
    pub attempts: AtomicU32,
    state: Mutex<State>,
    up: Mutex<Flow>,
    down: Mutex<Flow>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// A proxy of `socket`, and the program's end.
    pub fn new(
        socket: lkl::OwnedFd,
        family: i32,
        carries: Carries,
        phase: Phase,
    ) -> rustix::io::Result<(Arc<Proxy>, OwnedFd)> {
        let kind = match carries {
            Carries::Stream => SocketType::STREAM,
            // Unlike SOCK_DGRAM, its end is told to the other side.
            Carries::Messages => SocketType::SEQPACKET,
        };
        let (host, near) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        fcntl_setfl(&host, OFlags::NONBLOCK)?;
        for end in [&host, &near] {
            widen(end.as_fd());
        }
        let proxy = Proxy {
            inode: fstat(&near)?.st_ino,
            carries,
            family,
            socket,
            host,
            hung_up: AtomicBool::new(false),
            up_blocked: AtomicBool::new(false),
            down_blocked: AtomicBool::new(false),
            attempts: AtomicU32::new(0),
            state: Mutex::new(State {
                phase,
                error: None,
                waiting: Vec::new(),
                home: None,
                read_timeout: None,
                write_timeout: None,
                backlog: 0,
                arrived: VecDeque::new(),
                controls: false,
            }),
            up: Mutex::default(),
            down: Mutex::default(),
        };
        Ok((Arc::new(proxy), near))
    }

    /// Lock order: `up`, `down`, `state`.
    pub fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// From the program to Linux.
    pub fn up(&self) -> MutexGuard<'_, Flow> {
        locked(&self.up)
    }

    /// From Linux to the program.
    pub fn down(&self) -> MutexGuard<'_, Flow> {
        locked(&self.down)
    }
}

/// Gives an end as much room as it may have; more than the machine's limit as root.
pub fn widen(end: BorrowedFd<'_>) {
    if sockopt::set_socket_send_buffer_size_force(end, BETWEEN).is_err() {
        // With less it works as well.
        let _ = sockopt::set_socket_send_buffer_size(end, BETWEEN);
    }
}
