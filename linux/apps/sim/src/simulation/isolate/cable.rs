//! The ends of a node's interfaces in its process, and the clock that the rounds of all nodes drive.
//!
//! What Linux sends is kept, each frame with the time at which it comes to the other node, until Linux has come as far as it may. Then all of it
//! goes into the channels to the other nodes, and when the node goes on it takes what came from them.
//! Buffers of Linux's that are free are kept, and frames for which there is none.

use super::channel::{Frame, Incoming, Outgoing};
use super::rounds::Rounds;
use super::shared::Shared;
use crate::plan::Plan;
use crate::simulation::network::Plug;
use lkl_host_virtual::{Conductor, Step, World};
use lkl_netdev::{Backend, Buffer, Buffers, Header, Packets, Received};
use lkl_session::exit::reason;
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
    course: Mutex<Course>,
    ports: Vec<Arc<Port>>,
    sent: Arc<Sent>,
    /// The node's flows have come to their ends.
    done: AtomicBool,
    /// What becomes of it when everything is over.
    over: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// How far Linux goes, and what it receives until then.
struct Course {
    rounds: Rounds,
    limit: Option<u64>,
    /// What is on its way to the node and comes later: by time, sender, and how the sender has sent it.
    coming: BTreeMap<(u64, usize, u64), Arrival>,
    /// What comes until the limit, in order.
    arrivals: BTreeMap<(u64, u64), Arrival>,
    received: u64,
    /// Of each interface.
    lines: Vec<Line>,
    /// How many frames the node has sent.
    count: u64,
}

/// A frame, and the interface that it comes to.
struct Arrival {
    interface: usize,
    bytes: Vec<u8>,
}

/// What is between an interface and that of another node.
struct Line {
    peer: usize,
    outgoing: Outgoing,
    incoming: Incoming,
}

/// What Linux has sent since the other nodes have heard of it last.
#[derive(Default)]
struct Sent {
    frames: Mutex<Vec<Departure>>,
    /// Whether the others hear of it at once.
    stop: AtomicBool,
    /// Whether there is something to tell at once.
    due: AtomicBool,
    /// Whether frames go anywhere: they do once time has begun.
    plugged: AtomicBool,
    clock: OnceLock<World>,
}

/// A frame, the interface that it has left by, and when it comes to the other node.
struct Departure {
    interface: usize,
    time: u64,
    bytes: Vec<u8>,
}

/// The other end of one interface.
pub(super) struct Port {
    number: usize,
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
            frames.push(Departure {
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
    /// Those of a node of a plan.
    pub(super) fn new(plan: &Plan, node: usize, shared: &Arc<Shared>) -> Cables {
        let sent = Arc::new(Sent::default());
        let interfaces = &plan.nodes[node].interfaces;
        let port = |number| {
            Arc::new(Port {
                number,
                sent: Arc::clone(&sent),
                delay: Arc::default(),
                room: Mutex::default(),
            })
        };
        let line = |(number, link): (usize, usize)| {
            let [one, two] = plan.links[link].ends;
            let (first, second) = (2 * link, 2 * link + 1);
            let ((peer, _), out, into) = match one == (node, number) {
                true => (two, first, second),
                false => (one, second, first),
            };
            Line {
                peer,
                outgoing: Outgoing::new(shared, out),
                incoming: Incoming::new(shared, into),
            }
        };
        let links = interfaces.iter().map(|interface| interface.link);
        let course = Course {
            rounds: Rounds::new(shared, node),
            limit: None,
            coming: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            received: 0,
            lines: links.enumerate().map(line).collect(),
            count: 0,
        };
        Cables {
            course: Mutex::new(course),
            ports: (0..interfaces.len()).map(port).collect(),
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

    /// From now on frames go to the other nodes; `over` is called when everything is over.
    pub(super) fn plug_in(&self, clock: &World, over: impl Fn() + Send + Sync + 'static) {
        // Both are there once.
        let _ = self.over.set(Box::new(over));
        let _ = self.sent.clock.set(clock.clone());
        self.sent.plugged.store(true, Ordering::Relaxed);
    }

    /// Tells the others, with what is told next, that the node's flows have come to their ends.
    pub(super) fn done(&self) {
        self.done.store(true, Ordering::Relaxed);
        self.sent.due.store(true, Ordering::Relaxed);
    }

    /// Says how far Linux has come, and hears whether it goes on.
    fn turn(&self, course: &mut Course, next: u64) -> io::Result<bool> {
        self.sent.due.store(false, Ordering::Relaxed);
        let frames = std::mem::take(&mut *locked(&self.sent.frames));
        course.send(frames)?;
        let coming = course.coming.first_key_value();
        let next = coming.map_or(next, |((time, ..), _)| next.min(*time));
        let Some(leave) = course.rounds.turn(next, self.done.load(Ordering::Relaxed)) else {
            return Ok(false);
        };
        self.sent.stop.store(leave.stop, Ordering::Relaxed);
        course.limit = Some(leave.limit);
        course.receive(leave.limit)?;
        Ok(true)
    }

    /// Hands the frames to Linux that have come until then.
    fn deliver(&self, course: &mut Course, until: u64) {
        let later = course.arrivals.split_off(&(until.saturating_add(1), 0));
        let arrivals = std::mem::replace(&mut course.arrivals, later);
        for Arrival { interface, bytes } in arrivals.into_values() {
            if let Some(port) = self.ports.get(interface) {
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
        self.arrivals.first_key_value().map(|((time, _), _)| *time)
    }

    /// Sends frames to the nodes that they go to.
    fn send(&mut self, frames: Vec<Departure>) -> io::Result<()> {
        for Departure {
            interface,
            time,
            bytes,
        } in frames
        {
            let number = self.count;
            self.count = self.count.wrapping_add(1);
            if let Some(line) = self.lines.get_mut(interface) {
                line.outgoing.add(&Frame { time, number, bytes });
                self.rounds.sent(line.peer, time);
            }
        }
        self.lines.iter_mut().try_for_each(|line| line.outgoing.send())
    }

    /// Takes what was sent to the node. What comes until the limit comes now.
    fn receive(&mut self, limit: u64) -> io::Result<()> {
        for (interface, line) in self.lines.iter_mut().enumerate() {
            for Frame { time, number, bytes } in line.incoming.receive()? {
                let place = (time, line.peer, number);
                self.coming.insert(place, Arrival { interface, bytes });
            }
        }
        let later = self.coming.split_off(&(limit.saturating_add(1), 0, 0));
        for ((time, ..), arrival) in std::mem::replace(&mut self.coming, later) {
            self.arrivals.insert((time, self.received), arrival);
            self.received = self.received.wrapping_add(1);
        }
        Ok(())
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
            match self.turn(&mut course, first) {
                Ok(true) => {}
                Ok(false) => {
                    self.sent.plugged.store(false, Ordering::Relaxed);
                    if let Some(over) = self.over.get() {
                        over();
                    }
                    return None;
                }
                Err(error) => {
                    // The coordinator says which process has ended.
                    eprintln!("lklsim: frames between nodes: {}", reason(&error));
                    std::process::exit(1);
                }
            }
        }
    }
}
