//! Packets between Linux and something of the host's that is read and written without waiting.
//!
//! Linux's packets are written by the thread that sends them; those that the medium does not take at once wait for the pump's
//! own thread, which reads, too: as many packets as there are, each straight into a buffer of Linux's, and gives them to Linux
//! at once.

use lkl_netdev::{Backend, Buffer, Buffers, Cable, Header, MacAddress, Offloads, Packet, Packets, Received};
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// What packets are read from and written to. Nothing here waits: `WouldBlock` says that it would.
pub(crate) trait Medium: Send + Sync + 'static {
    /// What it does for Linux.
    fn offloads(&self) -> Offloads {
        Offloads::NONE
    }

    /// The hardware address whose frames alone it passes.
    fn hardware(&self) -> Option<MacAddress> {
        None
    }

    /// Has `registry` tell when it can be read or written again.
    fn register(&self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()>;

    /// Writes a packet, whole.
    fn send(&self, packet: &Packet) -> io::Result<()>;

    /// Writes what it has kept of a packet that it has taken: it can be written again.
    fn finish(&self) -> io::Result<()> {
        Ok(())
    }

    /// Reads a packet, whole: how long it is. `UnexpectedEof` says that the other end is gone, for good.
    fn receive(&self, buffer: &mut Buffer) -> io::Result<(usize, Header)>;
}

const MEDIUM: Token = Token(0);
const WAKER: Token = Token(1);
/// The most packets that are given to Linux at once.
const BATCH: usize = 64;
/// With so many bytes they are given to Linux though there may be more. Linux then works on them while the next are read, with buffers that
/// it has not lent; and what it copies on is in the processor's caches still.
const ENOUGH: usize = 128 << 10;

#[derive(Default)]
struct State {
    /// The interface is up: buffers may be kept.
    up: bool,
    /// The medium may have packets for which there was no buffer.
    starved: bool,
    ended: bool,
    buffers: VecDeque<Buffer>,
}

struct Shared<M> {
    medium: M,
    state: Mutex<State>,
    /// Packets that the medium did not take yet.
    unsent: Mutex<VecDeque<Packet>>,
    waker: Waker,
    end: Mutex<End>,
}

/// What is known of the other end.
#[derive(Default)]
struct End {
    gone: bool,
    cable: Option<Cable>,
}

/// The end of an interface that is `M`.
pub(crate) struct Pump<M: Medium> {
    shared: Arc<Shared<M>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<M: Medium> Pump<M> {
    /// Starts its thread.
    pub(crate) fn new(medium: M) -> io::Result<Pump<M>> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        medium.register(poll.registry(), MEDIUM, Interest::READABLE | Interest::WRITABLE)?;
        let shared = Arc::new(Shared {
            medium,
            state: Mutex::default(),
            unsent: Mutex::default(),
            waker,
            end: Mutex::default(),
        });
        let mine = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("lkl-link".into())
            .spawn(move || mine.run(poll))?;
        Ok(Pump {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }
}

impl<M: Medium> Shared<M> {
    fn run(&self, mut poll: Poll) {
        let mut events = Events::with_capacity(8);
        loop {
            match poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
                Ok(()) => {}
            }
            let mut readable = false;
            for event in &events {
                if event.token() == MEDIUM {
                    readable |= event.is_readable() || event.is_error();
                    if event.is_writable() {
                        self.send_unsent();
                    }
                }
            }
            let starved = {
                let mut state = locked(&self.state);
                if state.ended {
                    return;
                }
                std::mem::take(&mut state.starved)
            };
            if readable || starved {
                self.drain();
            }
        }
    }

    /// Writes what the medium takes, from the first on.
    fn send_unsent(&self) {
        let mut unsent = locked(&self.unsent);
        // What fails here fails for the next packet, too, and is told there.
        if self.medium.finish().is_err() {
            return;
        }
        while let Some(packet) = unsent.pop_front() {
            if let Err(packet) = self.send(packet) {
                unsent.push_front(packet);
                return;
            }
        }
    }

    /// Writes a packet; it comes back if the medium would have had it wait.
    fn send(&self, packet: Packet) -> Result<(), Packet> {
        loop {
            match self.medium.send(&packet) {
                Ok(()) => packet.sent(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(packet),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Lost, as on a wire; Linux counts it.
                Err(_) => drop(packet),
            }
            return Ok(());
        }
    }

    /// The other end is gone: Linux's cable is out, and what it still has to send is lost.
    fn gone(&self) {
        let cable = {
            let mut end = locked(&self.end);
            if std::mem::replace(&mut end.gone, true) {
                return;
            }
            end.cable.clone()
        };
        if let Some(cable) = cable {
            cable.carrier(false);
        }
        let unsent = std::mem::take(&mut *locked(&self.unsent));
        drop(unsent);
    }

    /// Reads until there is nothing more, or no buffer.
    fn drain(&self) {
        loop {
            let mut batch: VecDeque<Buffer> = {
                let mut state = locked(&self.state);
                let now = state.buffers.len().min(BATCH);
                if state.ended {
                    return;
                }
                if now == 0 {
                    state.starved = true;
                    return;
                }
                state.buffers.drain(..now).collect()
            };
            let mut received = Received::default();
            let mut more = true;
            let (mut bytes, mut turns) = (0usize, 0usize);
            // A turn without a packet counts, so that a peer that sends nothing but nonsense does not keep the interface from going down.
            while more
                && bytes < ENOUGH
                && turns < BATCH
                && let Some(mut buffer) = batch.pop_front()
            {
                turns = turns.saturating_add(1);
                match self.medium.receive(&mut buffer) {
                    Ok((len, header)) => {
                        bytes = bytes.saturating_add(len);
                        // One that is longer than any that may come is lost.
                        let _ = received.push(buffer, len, header);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => batch.push_front(buffer),
                    Err(error) => {
                        batch.push_front(buffer);
                        more = passes(&error);
                        if error.kind() == io::ErrorKind::UnexpectedEof {
                            self.gone();
                        }
                    }
                }
            }
            received.deliver();
            let mut state = locked(&self.state);
            if state.up {
                batch
                    .into_iter()
                    .rev()
                    .for_each(|buffer| state.buffers.push_front(buffer));
            }
            if !more {
                return;
            }
        }
    }
}

/// Whether there may be packets behind what could not be received: one that is none, or news of one that was sent.
fn passes(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, InvalidData};
    matches!(error.kind(), InvalidData | ConnectionRefused | ConnectionReset)
}

impl<M: Medium> Backend for Pump<M> {
    fn offloads(&self) -> Offloads {
        self.shared.medium.offloads()
    }

    fn hardware(&self) -> Option<MacAddress> {
        self.shared.medium.hardware()
    }

    fn attached(&self, cable: Cable) {
        let gone = {
            let mut end = locked(&self.shared.end);
            end.cable = Some(cable.clone());
            end.gone
        };
        if gone {
            cable.carrier(false);
        }
    }

    fn transmit(&self, packets: Packets) {
        let mut unsent = locked(&self.shared.unsent);
        for packet in packets {
            if !unsent.is_empty() {
                unsent.push_back(packet);
            } else if let Err(packet) = self.shared.send(packet) {
                unsent.push_back(packet);
            }
        }
    }

    fn receive(&self, buffers: Buffers) {
        let mut state = locked(&self.shared.state);
        state.up = true;
        state.buffers.extend(buffers);
        if state.starved {
            drop(state);
            // What fails here fails for want of memory; the next packet, or buffer, tries again.
            let _ = self.shared.waker.wake();
        }
    }

    fn stop(&self) {
        let mut state = locked(&self.shared.state);
        state.up = false;
        let buffers = std::mem::take(&mut state.buffers);
        drop(state);
        drop(buffers);
        let unsent = std::mem::take(&mut *locked(&self.shared.unsent));
        drop(unsent);
    }
}

impl<M: Medium> Drop for Pump<M> {
    fn drop(&mut self) {
        locked(&self.shared.state).ended = true;
        if self.shared.waker.wake().is_ok()
            && let Some(thread) = locked(&self.thread).take()
            // The last reference may have been what the thread itself gave back to Linux: it ends by itself then.
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}
