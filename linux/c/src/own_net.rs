//! A kind of interface that is the program's own: functions that transmit and receive, called by two threads of the library's.
//!
//! None of them may keep Linux waiting, whose only processor gives the packets: a thread has those that Linux sends in a queue and
//! calls `tx`; another one asks `poll` what there is, and calls `rx` with Linux's own buffers as the pieces. A `tx` that is negative
//! means that there is no room: the packet stays the next one until `poll` tells of room.

use crate::netdevs::{Netdev, Operations, Piece};
use lkl::Errno;
use lkl_netdev::{Backend, Buffer, Buffers, Header, Offloads, Packet, Packets, Received};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

const POLL_RX: i32 = 1;
const POLL_TX: i32 = 2;
const POLL_HUP: i32 = 4;
/// The most packets that are given to Linux at once.
const BATCH: usize = 64;

/// The program's structure and its functions.
#[derive(Clone, Copy)]
struct Functions {
    netdev: *mut Netdev,
    tx: unsafe extern "C" fn(*mut Netdev, *mut Piece, i32) -> i32,
    rx: unsafe extern "C" fn(*mut Netdev, *mut Piece, i32) -> i32,
    poll: unsafe extern "C" fn(*mut Netdev) -> i32,
    poll_hup: unsafe extern "C" fn(*mut Netdev),
    /// virtio-net's header, of twelve bytes, is before each packet.
    header: bool,
}

// SAFETY: the program gave the functions to be called from threads of the library's.
unsafe impl Send for Functions {}
// SAFETY: as above.
unsafe impl Sync for Functions {}

#[derive(Default)]
struct State {
    /// The interface is up: buffers may be kept.
    up: bool,
    ended: bool,
    sent: VecDeque<Packet>,
    /// `tx` had no room, and `poll` has not told of any since.
    full: bool,
    buffers: VecDeque<Buffer>,
}

struct Shared {
    functions: Functions,
    state: Mutex<State>,
    /// There is a packet, or room for it, or the end.
    send: Condvar,
    /// There is a buffer, or the end.
    receive: Condvar,
}

/// The end of an interface that is a program's own functions.
pub(crate) struct OwnNet {
    shared: Arc<Shared>,
    offloads: Offloads,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl OwnNet {
    /// Starts the threads.
    ///
    /// # Errors
    /// EINVAL when a function is not there that is needed; ENOMEM.
    ///
    /// # Safety
    /// The structure and what its functions need stay until this is dropped.
    pub(crate) unsafe fn start(netdev: *mut Netdev, offloads: Offloads) -> Result<OwnNet, Errno> {
        // SAFETY: the caller's promise.
        let ops = unsafe { (*netdev).ops };
        // SAFETY: NULL, or the caller's promise.
        let ops: Option<&Operations> = unsafe { ops.as_ref() };
        let Some(Operations {
            tx: Some(tx),
            rx: Some(rx),
            poll: Some(poll),
            poll_hup: Some(poll_hup),
            ..
        }) = ops
        else {
            return Err(Errno::EINVAL);
        };
        // SAFETY: the caller's promise.
        let header = unsafe { (*netdev).flags } & 1 != 0;
        let shared = Arc::new(Shared {
            functions: Functions {
                netdev,
                tx: *tx,
                rx: *rx,
                poll: *poll,
                poll_hup: *poll_hup,
                header,
            },
            state: Mutex::default(),
            send: Condvar::new(),
            receive: Condvar::new(),
        });
        let own = OwnNet {
            shared: Arc::clone(&shared),
            // Without the header there is no place to say that a packet is not complete.
            offloads: if header { offloads.sound() } else { Offloads::NONE },
            threads: Mutex::default(),
        };
        // One that does not start ends the other, when `own` is dropped.
        let sender = Arc::clone(&shared);
        own.run("lkl-net-tx", move || sender.send_all())?;
        own.run("lkl-net-rx", move || shared.poll_all())?;
        Ok(own)
    }

    fn run(&self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Errno> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(body);
        locked(&self.threads).push(thread.map_err(|_| Errno::ENOMEM)?);
        Ok(())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The pieces of something, with the header before them.
fn pieces(header: Option<&mut [u8; Header::LONG]>, rest: impl Iterator<Item = Piece>) -> Vec<Piece> {
    let head = header.map(|header| Piece {
        base: header.as_mut_ptr(),
        len: header.len(),
    });
    head.into_iter().chain(rest).collect()
}

impl Shared {
    /// The thread that sends.
    fn send_all(&self) {
        loop {
            let packet = {
                let state = locked(&self.state);
                let waits = |state: &mut State| !state.ended && (state.full || state.sent.is_empty());
                let mut state = self
                    .send
                    .wait_while(state, waits)
                    .unwrap_or_else(PoisonError::into_inner);
                if state.ended {
                    return;
                }
                // Room that is told of from here on is not missed.
                state.full = true;
                state.sent.pop_front()
            };
            let Some(packet) = packet else {
                locked(&self.state).full = false;
                continue;
            };
            if self.transmit(&packet) {
                packet.sent();
                locked(&self.state).full = false;
                continue;
            }
            let mut state = locked(&self.state);
            if state.up {
                state.sent.push_front(packet);
            }
        }
    }

    fn transmit(&self, packet: &Packet) -> bool {
        let mut header = packet.header().to_bytes();
        let bytes = packet.segments().map(|segment| Piece {
            base: segment.as_ptr().cast_mut(),
            len: segment.len(),
        });
        let mut pieces = pieces(self.functions.header.then_some(&mut header), bytes);
        let count = i32::try_from(pieces.len()).unwrap_or(0);
        let Functions { netdev, tx, .. } = self.functions;
        // SAFETY: a function of the program's, with its structure and pieces that it reads.
        unsafe { tx(netdev, pieces.as_mut_ptr(), count) >= 0 }
    }

    /// The thread that asks, and receives.
    fn poll_all(&self) {
        let Functions { netdev, poll, .. } = self.functions;
        loop {
            // SAFETY: a function of the program's, with its structure.
            let told = unsafe { poll(netdev) };
            if told < 0 || told & POLL_HUP != 0 || locked(&self.state).ended {
                return;
            }
            if told & POLL_TX != 0 {
                locked(&self.state).full = false;
                self.send.notify_one();
            }
            if told & POLL_RX != 0 && !self.receive_all() {
                return;
            }
        }
    }

    /// Receives until there is nothing more; waits for buffers. False at the end.
    fn receive_all(&self) -> bool {
        let mut received = Received::default();
        loop {
            let buffer = locked(&self.state).buffers.pop_front();
            let mut buffer = match buffer {
                Some(buffer) => buffer,
                None => {
                    std::mem::take(&mut received).deliver();
                    match self.next_buffer() {
                        Some(buffer) => buffer,
                        None => return false,
                    }
                }
            };
            match self.take(&mut buffer) {
                Some((len, header)) => {
                    // One that is longer than any that may come is lost.
                    let _ = received.push(buffer, len, header);
                }
                None => {
                    let mut state = locked(&self.state);
                    if state.up {
                        state.buffers.push_front(buffer);
                    }
                    return !state.ended;
                }
            }
            if received.len() >= BATCH {
                std::mem::take(&mut received).deliver();
            }
        }
    }

    /// Waits for a buffer; none at the end.
    fn next_buffer(&self) -> Option<Buffer> {
        let state = locked(&self.state);
        let waits = |state: &mut State| !state.ended && state.buffers.is_empty();
        let mut state = self
            .receive
            .wait_while(state, waits)
            .unwrap_or_else(PoisonError::into_inner);
        if state.ended {
            None
        } else {
            state.buffers.pop_front()
        }
    }

    /// Has the program fill a buffer: how long the packet is.
    fn take(&self, buffer: &mut Buffer) -> Option<(usize, Header)> {
        let mut header = [0; Header::LONG];
        let with = self.functions.header;
        let room = buffer.segments_mut().map(|segment| Piece {
            base: segment.as_mut_ptr(),
            len: segment.len(),
        });
        let mut pieces = pieces(with.then_some(&mut header), room);
        let count = i32::try_from(pieces.len()).unwrap_or(0);
        let Functions { netdev, rx, .. } = self.functions;
        // SAFETY: a function of the program's, with its structure and pieces that it fills.
        let read = unsafe { rx(netdev, pieces.as_mut_ptr(), count) };
        let read = usize::try_from(read).ok()?;
        let head = if with { Header::LONG } else { 0 };
        let len = read.checked_sub(head).filter(|len| *len > 0)?;
        Some((
            len,
            Header::from_bytes(&header).filter(|_| with).unwrap_or_default(),
        ))
    }
}

impl Backend for OwnNet {
    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn transmit(&self, packets: Packets) {
        locked(&self.shared.state).sent.extend(packets);
        self.shared.send.notify_one();
    }

    fn receive(&self, buffers: Buffers) {
        let mut state = locked(&self.shared.state);
        state.up = true;
        state.buffers.extend(buffers);
        drop(state);
        self.shared.receive.notify_one();
    }

    fn stop(&self) {
        let mut state = locked(&self.shared.state);
        state.up = false;
        let left = (
            std::mem::take(&mut state.sent),
            std::mem::take(&mut state.buffers),
        );
        drop(state);
        drop(left);
    }
}

impl OwnNet {
    /// No function of the program's is called any more once this has returned.
    pub(crate) fn end(&self) {
        if std::mem::replace(&mut locked(&self.shared.state).ended, true) {
            return;
        }
        self.shared.send.notify_all();
        self.shared.receive.notify_all();
        let Functions { netdev, poll_hup, .. } = self.shared.functions;
        // SAFETY: a function of the program's, with its structure, which is still there.
        unsafe { poll_hup(netdev) };
        let threads = std::mem::take(&mut *locked(&self.threads));
        let me = std::thread::current().id();
        // A function of the program's that ends its own interface is on one of them.
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != me) {
            let _ = thread.join();
        }
    }
}

impl Drop for OwnNet {
    fn drop(&mut self) {
        self.end();
    }
}
