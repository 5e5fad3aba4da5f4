//! The ends of a node's interfaces in its process, and the clock that the coordinator drives.
//!
//! What Linux sends is kept, each frame with the time at which it comes to the other node, until Linux has come as far as the coordinator said.
//! The coordinator gets all of it then, and says how far Linux goes next and what it receives until then.
//! Buffers of Linux's that are free are kept, and frames for which there is none.

use super::wire::{Frame, Go, Idle, Kind, Wire};
use crate::simulation::network::Plug;
use lkl_host_virtual::{Conductor, Step, World};
use lkl_netdev::{Backend, Buffer, Buffers, Header, Packets, Received};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The frames of an interface that wait for buffers at most, as many as Linux's own interfaces keep.
const MOST_WAITING: usize = 1000;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All interfaces of a node.
pub(super) struct Cables {
    wire: Mutex<Wire>,
    course: Mutex<Course>,
    ports: Vec<Arc<Port>>,
    sent: Arc<Sent>,
    /// The node's flows have come to their ends.
    done: AtomicBool,
    /// What becomes of it when everything is over.
    over: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// How far Linux goes, and what it receives until then.
#[derive(Default)]
struct Course {
    limit: Option<u64>,
    /// By time, and then in order.
    frames: BTreeMap<(u64, u64), Frame>,
    received: u64,
}

/// What Linux has sent since the coordinator has heard of it last.
#[derive(Default)]
struct Sent {
    frames: Mutex<Vec<Frame>>,
    /// Whether the coordinator hears of it at once.
    stop: AtomicBool,
    /// Whether there is something to tell at once.
    due: AtomicBool,
    /// Whether frames go anywhere: they do once time has begun.
    plugged: AtomicBool,
    clock: OnceLock<World>,
}

/// The other end of one interface.
pub(super) struct Port {
    number: u16,
    sent: Arc<Sent>,
    /// How long a frame then takes to the other node, in nanoseconds.
    delay: Arc<AtomicU64>,
    room: Mutex<Room>,
}

#[derive(Default)]
struct Room {
    /// The interface is up.
    open: bool,
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
        let plugged = self.sent.plugged.load(Ordering::Relaxed);
        let Some(clock) = self.sent.clock.get().filter(|_| plugged) else {
            packets.for_each(lkl_netdev::Packet::sent);
            return;
        };
        let delay = self.delay.load(Ordering::Relaxed);
        let time = clock.elapsed_ns().saturating_add(delay);
        let mut frames = locked(&self.sent.frames);
        for packet in packets {
            let pieces: Vec<&[u8]> = packet.segments().collect();
            frames.push(Frame {
                interface: self.number,
                time,
                bytes: pieces.concat(),
            });
            packet.sent();
        }
        if self.sent.stop.load(Ordering::Relaxed) {
            self.sent.due.store(true, Ordering::Relaxed);
        }
    }

    fn receive(&self, buffers: Buffers) {
        {
            let mut room = locked(&self.room);
            room.open = true;
            room.buffers.extend(buffers);
        }
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
                delay: Arc::default(),
                room: Mutex::default(),
            })
        };
        Cables {
            wire: Mutex::new(wire),
            course: Mutex::default(),
            ports: (0..).map(port).take(interfaces).collect(),
            sent: Arc::clone(&sent),
            done: AtomicBool::new(false),
            over: OnceLock::new(),
        }
    }

    /// The other ends, in the order of the interfaces.
    pub(super) fn plugs(&self) -> Vec<Plug> {
        let ports = self.ports.iter();
        ports
            .map(|port| Plug {
                backend: Arc::<Port>::clone(port),
                delay: Arc::clone(&port.delay),
            })
            .collect()
    }

    /// From now on frames go to the other nodes; `over` is called when the coordinator says that everything is over.
    pub(super) fn plug_in(&self, clock: &World, over: impl Fn() + Send + Sync + 'static) {
        // Both are there once.
        let _ = self.over.set(Box::new(over));
        let _ = self.sent.clock.set(clock.clone());
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

    /// Says how far Linux has come, and hears how far it goes.
    fn turn(&self, next: u64) -> io::Result<Go> {
        let mut wire = self.wire();
        self.sent.due.store(false, Ordering::Relaxed);
        wire.say_idle(&Idle {
            next,
            done: self.done.load(Ordering::Relaxed),
            frames: std::mem::take(&mut *locked(&self.sent.frames)),
        })?;
        match wire.hear()? {
            (Kind::Go, message) => Go::parse(&message),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Hands the frames to Linux that have come until then.
    fn deliver(&self, course: &mut Course, until: u64) {
        let later = course.frames.split_off(&(until.saturating_add(1), 0));
        let frames = std::mem::replace(&mut course.frames, later);
        for Frame { interface, bytes, .. } in frames.into_values() {
            if let Some(port) = self.ports.get(usize::from(interface)) {
                let mut room = locked(&port.room);
                // What comes to an interface that is down is lost.
                if room.open && room.frames.len() < MOST_WAITING {
                    room.frames.push_back(bytes);
                }
            }
        }
        self.ports.iter().for_each(|port| port.deliver());
    }
}

impl Course {
    /// When the next frame comes.
    fn frame(&self) -> Option<u64> {
        self.frames.first_key_value().map(|((time, _), _)| *time)
    }

    fn go(&mut self, go: Go) {
        self.limit = Some(go.limit);
        for frame in go.frames {
            self.frames.insert((frame.time, self.received), frame);
            self.received = self.received.wrapping_add(1);
        }
    }
}

impl Conductor for Cables {
    fn is_due(&self) -> bool {
        self.sent.due.load(Ordering::Relaxed)
    }

    fn next(&self, now: u64, next: Option<u64>) -> Option<Step> {
        let next = next.unwrap_or(u64::MAX);
        let mut course = locked(&self.course);
        loop {
            if let Some(limit) = course.limit.filter(|_| !self.is_due()) {
                // Frames come before timers of the same time.
                if let Some(time) = course.frame().filter(|time| *time <= next.min(limit)) {
                    let now = now.max(time);
                    self.deliver(&mut course, now);
                    let before = course
                        .frame()
                        .map_or(limit, |next| next.saturating_sub(1).min(limit));
                    return Some(Step { now, limit: before });
                }
                if next <= limit {
                    let before = course
                        .frame()
                        .map_or(limit, |next| next.saturating_sub(1).min(limit));
                    return Some(Step { now, limit: before });
                }
            }
            let first = course.frame().map_or(next, |time| time.min(next));
            let Ok(go) = self.turn(first) else {
                // Without the coordinator there is nothing to simulate: it has ended, and says why if anyone does.
                std::process::exit(1);
            };
            if go.over {
                self.sent.plugged.store(false, Ordering::Relaxed);
                if let Some(over) = self.over.get() {
                    over();
                }
                return None;
            }
            self.sent.stop.store(go.stop, Ordering::Relaxed);
            course.go(go);
        }
    }
}
