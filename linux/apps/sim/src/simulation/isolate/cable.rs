//! The ends of a node's interfaces in its process, and the clock that the coordinator drives.
//!
//! What Linux sends is kept until nothing goes on in it; the coordinator gets all of it then, and says what Linux receives.
//! Buffers of Linux's that are free are kept, and frames for which there is none.

use super::wire::{Frame, Go, Idle, Kind, Wire};
use lkl_host_virtual::{Conductor, Step};
use lkl_netdev::{Backend, Buffer, Buffers, Header, Packets, Received};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The frames of an interface that wait for buffers at most, as many as Linux's own interfaces keep.
const MOST_WAITING: usize = 1000;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All interfaces of a node.
pub(super) struct Cables {
    wire: Mutex<Wire>,
    ports: Vec<Arc<Port>>,
    sent: Arc<Sent>,
    /// The node's flows have come to their ends.
    done: AtomicBool,
    /// What becomes of it when everything is over.
    over: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// What Linux has sent since the coordinator has heard of it last.
#[derive(Default)]
struct Sent {
    frames: Mutex<Vec<Frame>>,
    /// Whether there is something to tell.
    due: AtomicBool,
    /// Whether frames go anywhere: they do once time has begun.
    plugged: AtomicBool,
}

/// The other end of one interface.
pub(super) struct Port {
    number: u16,
    sent: Arc<Sent>,
    room: Mutex<Room>,
}

#[derive(Default)]
struct Room {
    buffers: VecDeque<Buffer>,
    frames: VecDeque<Vec<u8>>,
}

impl Port {
    /// Has Linux receive what waits, as far as there are buffers.
    fn deliver(&self) {
        let mut received = Received::default();
        {
            let mut room = locked(&self.room);
            while !room.frames.is_empty()
                && let Some(mut buffer) = room.buffers.pop_front()
                && let Some(frame) = room.frames.pop_front()
            {
                let len = buffer.copy_from(&frame);
                // One that is too long for the interface is lost, as Linux's own interfaces lose it.
                if len == frame.len() {
                    let _ = received.push(buffer, len, Header::default());
                }
            }
        }
        received.deliver();
    }
}

impl Backend for Port {
    fn transmit(&self, packets: Packets) {
        if !self.sent.plugged.load(Ordering::Relaxed) {
            packets.for_each(lkl_netdev::Packet::sent);
            return;
        }
        let mut frames = locked(&self.sent.frames);
        for packet in packets {
            frames.push(Frame {
                interface: self.number,
                bytes: packet.to_vec(),
            });
            packet.sent();
        }
        self.sent.due.store(true, Ordering::Relaxed);
    }

    fn receive(&self, buffers: Buffers) {
        locked(&self.room).buffers.extend(buffers);
        self.deliver();
    }

    fn stop(&self) {
        let room = std::mem::take(&mut *locked(&self.room));
        drop(room);
    }
}

impl Cables {
    /// Those of a node with so many interfaces.
    pub(super) fn new(wire: Wire, interfaces: usize) -> Cables {
        let sent = Arc::new(Sent::default());
        let port = |number| {
            Arc::new(Port {
                number,
                sent: Arc::clone(&sent),
                room: Mutex::default(),
            })
        };
        Cables {
            wire: Mutex::new(wire),
            ports: (0..).map(port).take(interfaces).collect(),
            sent: Arc::clone(&sent),
            done: AtomicBool::new(false),
            over: OnceLock::new(),
        }
    }

    /// The other ends, in the order of the interfaces.
    pub(super) fn ports(&self) -> Vec<Arc<dyn Backend>> {
        let ports = self.ports.iter();
        ports
            .map(|port| Arc::<Port>::clone(port) as Arc<dyn Backend>)
            .collect()
    }

    /// From now on frames go to the other nodes; `over` is called when the coordinator says that everything is over.
    pub(super) fn plug_in(&self, over: impl Fn() + Send + Sync + 'static) {
        // It is there once.
        let _ = self.over.set(Box::new(over));
        self.sent.plugged.store(true, Ordering::Relaxed);
    }

    /// Tells the coordinator, with what is told next, that the node's flows have come to their ends.
    pub(super) fn done(&self) {
        self.done.store(true, Ordering::Relaxed);
        self.sent.due.store(true, Ordering::Relaxed);
    }

    /// The socket, while nobody else says anything.
    pub(super) fn wire(&self) -> MutexGuard<'_, Wire> {
        locked(&self.wire)
    }

    fn turn(&self, now: u64, next: Option<u64>) -> io::Result<Go> {
        let mut wire = self.wire();
        self.sent.due.store(false, Ordering::Relaxed);
        wire.say_idle(&Idle {
            now,
            next: next.unwrap_or(u64::MAX),
            done: self.done.load(Ordering::Relaxed),
            frames: std::mem::take(&mut *locked(&self.sent.frames)),
        })?;
        match wire.hear()? {
            (Kind::Go, message) => Go::parse(&message),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Conductor for Cables {
    fn is_due(&self) -> bool {
        self.sent.due.load(Ordering::Relaxed)
    }

    fn next(&self, now: u64, next: Option<u64>) -> Option<Step> {
        let Ok(go) = self.turn(now, next) else {
            // Without the coordinator there is nothing to simulate: it has ended, and says why if anyone does.
            std::process::exit(1);
        };
        for Frame { interface, bytes } in go.frames {
            if let Some(port) = self.ports.get(usize::from(interface)) {
                let mut room = locked(&port.room);
                if room.frames.len() < MOST_WAITING {
                    room.frames.push_back(bytes);
                }
            }
        }
        self.ports.iter().for_each(|port| port.deliver());
        if go.over {
            self.sent.plugged.store(false, Ordering::Relaxed);
            if let Some(over) = self.over.get() {
                over();
            }
            return None;
        }
        Some(Step {
            now: go.now,
            limit: go.limit,
        })
    }
}
