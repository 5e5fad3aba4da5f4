//! A run of a script: its events one after the other, each at its time, in virtual time.
//!
//! While the runner waits for an event's time it notes what Linux sends ([`network`]). Whatever Linux sends must be what the script has
//! next, at its time: nothing else, and nothing more. Calls are made by threads of their own ([`program`]), so that one that
//! waits lets the script go on.

mod commands;
mod compare;
mod connections;
mod network;
mod program;
mod settings;

pub use connections::Connections;
pub use settings::{Settings, Version};

use crate::calls::{Effect, Files, Prepared, info, names, prepare, raw, verify};
use crate::script::conditions::Assertion;
use crate::script::packets::{Body, Packet};
use crate::script::values::Call;
use crate::script::{Event, Fault, Place, Script, What, When};
use crate::segment::error_about;
use lkl::Kernel;
use lkl_host_virtual::World;
use network::{Arrival, Network};
use program::Pending;
use std::path::Path;

/// How long a call may take that does not wait: none, but for what reading the clock takes.
const AT_ONCE: u64 = 1_000_000;
/// How long the runner waits for a segment that is late, to tell by how much.
const LATE: u64 = 10_000_000_000;
/// How long it waits for a segment that may come at any time.
const EVER: u64 = 100_000_000_000_000;

/// How long a turn of Linux's wheel of timers is up to its sixth level: 2^15 ticks of 4 ms.
const WHEEL: u64 = 131_072_000_000;

struct Run<'a> {
    kernel: &'a Kernel,
    world: &'a World,
    settings: Settings,
    folder: &'a Path,
    network: Network,
    files: Files,
    connections: Connections,
    /// The world's time at which the script began.
    origin: u64,
    /// The time that relative times are counted from, since the script's start.
    base: u64,
    pending: Option<Pending>,
    /// What no number of the script's stands for any more, to be closed.
    replaced: Vec<i32>,
}

/// Runs a script in a network of its own. `folder` is where files are that it names.
///
/// # Errors
/// What is wrong with the script, or what Linux did that the script does not say.
pub fn run(
    kernel: &Kernel,
    world: &World,
    script: &Script,
    mut settings: Settings,
    folder: &Path,
) -> Result<(), Fault> {
    settings.take(script)?;
    let network = Network::new(kernel, world, &settings).map_err(|error| Fault {
        place: Place { line: 1, column: 1 },
        what: format!("no network: {error}"),
    })?;
    let mut run = Run {
        kernel,
        world,
        settings,
        folder,
        network,
        files: Files::default(),
        connections: Connections::default(),
        // Each script begins at the same place of Linux's wheel of timers, whatever ran before it.
        origin: world.elapsed_ns().next_multiple_of(WHEEL),
        base: 0,
        pending: None,
        replaced: Vec::new(),
    };
    run.wait_until(0);
    let result = run.events(&script.events);
    run.end();
    result
}

/// A time of a script's, in seconds.
fn seconds(nanos: u64) -> String {
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

impl Run<'_> {
    /// The time since the script's start.
    fn now(&self) -> u64 {
        self.world.elapsed_ns().saturating_sub(self.origin)
    }

    fn wait_until(&self, time: u64) {
        let time = self.origin.saturating_add(time);
        while self.network.bell().wait_until_ns(time) {}
        self.settle();
    }

    /// Lets everything happen that happens now.
    fn settle(&self) {
        self.world.sleep_until_ns(self.world.elapsed_ns());
    }

    fn events(&mut self, events: &[Event]) -> Result<(), Fault> {
        for (index, event) in events.iter().enumerate() {
            self.event(event, events.get(index..).unwrap_or(&[]))?;
        }
        let place = events.last().map(|event| event.place).unwrap_or_default();
        self.finish_pending()?;
        self.settle();
        if self.settings.whole
            && let Some(arrival) = self.network.next()
        {
            let what = self.describe(&arrival);
            return Err(Fault {
                place,
                what: format!("the script ends here, and Linux has sent {what}"),
            });
        }
        Ok(())
    }

    /// One event; `rest` is it and what comes after it.
    fn event(&mut self, event: &Event, rest: &[Event]) -> Result<(), Fault> {
        let (from, to) = match event.when {
            When::Within { from, to, relative } | When::Blocking { from, to, relative } => {
                let base = if relative { self.base } else { 0 };
                (base.saturating_add(from), base.saturating_add(to))
            }
            When::Any => (self.now(), self.now().saturating_add(EVER)),
        };
        if let What::Outbound(packet) = &event.what {
            let at = self.outbound(event, packet, from, to)?;
            self.base = if from == to { from } else { at };
            return Ok(());
        }
        self.wait_until(from);
        self.base = from;
        if self.settings.whole {
            self.nothing_missed(event, rest)?;
        }
        match &event.what {
            What::Inbound(packet) => self.inbound(event, packet)?,
            What::Call(call) => match event.when {
                When::Blocking { .. } => self.begin_call(event, call, to)?,
                _ => self.call_at_once(event, call)?,
            },
            What::Command(lines) => {
                commands::run(lines, &self.network, self.folder).map_err(|what| Fault {
                    place: event.place,
                    what,
                })?;
            }
            What::Assertions(assertions) => self.assertions(event, assertions)?,
            What::Outbound(_) => {}
        }
        self.settle();
        self.look_at_pending(false)
    }

    /// What Linux has sent before now must be what the script has next; the next one that it has may not be earlier than now.
    fn nothing_missed(&mut self, event: &Event, rest: &[Event]) -> Result<(), Fault> {
        let next = rest.iter().find_map(|event| match event.what {
            What::Outbound(_) => Some(event.when),
            _ => None,
        });
        if next == Some(When::Any) {
            return Ok(());
        }
        let now = self.now();
        let mut arrivals = self.network.arrivals();
        let missed = arrivals.front().is_some_and(|arrival| {
            let at = arrival.at.saturating_sub(self.origin);
            at.saturating_add(self.settings.tolerance) < now
        });
        let arrival = if missed { arrivals.pop_front() } else { None };
        drop(arrivals);
        match arrival {
            None => Ok(()),
            Some(arrival) => {
                let what = self.describe(&arrival);
                Err(Fault {
                    place: event.place,
                    what: format!("before this Linux has sent {what}, which the script does not have"),
                })
            }
        }
    }

    /// What came and when.
    fn describe(&mut self, arrival: &Arrival) -> String {
        let at = seconds(arrival.at.saturating_sub(self.origin));
        match &arrival.segment {
            Ok(segment) => match self.connections.outbound(segment, None) {
                Some((_, packet)) => format!("'{}' at {at}", compare::shown_packet(&packet)),
                None => format!(
                    "a segment of no connection here (from port {} to {}) at {at}",
                    segment.source, segment.destination
                ),
            },
            Err(what) => format!("a packet at {at}: {what}"),
        }
    }

    /// Waits for the segment that is to come. When it came.
    fn outbound(&mut self, event: &Event, packet: &Packet, from: u64, to: u64) -> Result<u64, Fault> {
        let fault = |what: String| Fault {
            place: event.place,
            what,
        };
        let Body::Tcp(wanted) = &packet.body else {
            return Err(fault("only inbound ICMP errors are in this language".into()));
        };
        let tolerance = self.settings.tolerance;
        let last = to.saturating_add(tolerance).saturating_add(LATE);
        let arrival = loop {
            let arrival = self.network.next();
            match arrival {
                Some(arrival) => break arrival,
                None if self.now() >= last => {
                    let wanted = compare::shown(&packet.ip, wanted, None);
                    return Err(fault(format!(
                        "expected '{wanted}' at {}: Linux has sent nothing until {}",
                        seconds(from),
                        seconds(last)
                    )));
                }
                None => {
                    let _ = self
                        .network
                        .bell()
                        .wait_until_ns(self.origin.saturating_add(last));
                    self.look_at_pending(false)?;
                }
            }
        };
        let arrival = if self.settings.whole {
            arrival
        } else {
            self.gathered(arrival, wanted.range.len.into())
        };
        let at = arrival.at.saturating_sub(self.origin);
        let segment = arrival
            .segment
            .as_ref()
            .map_err(|what| fault(format!("Linux has sent a packet that is wrong in itself: {what}")))?;
        let shown_wanted = compare::shown(&packet.ip, wanted, None);
        let Some((connection, seen)) = self.connections.outbound(segment, Some(wanted)) else {
            let what = self.describe(&arrival);
            return Err(fault(format!(
                "expected '{shown_wanted}', and Linux has sent {what}"
            )));
        };
        let Body::Tcp(tcp) = &seen.body else {
            return Err(fault("no segment".into()));
        };
        let stamps = self.settings.tick == Some(1000);
        let mut differ = compare::differences(packet, &seen, stamps);
        if wanted.ports.is_none()
            && self
                .connections
                .current()
                .is_some_and(|current| current != connection)
        {
            differ.push("the connection");
        }
        if !differ.is_empty() {
            let like = if differ.contains(&"the connection") {
                None
            } else {
                Some(wanted)
            };
            return Err(fault(format!(
                "expected '{shown_wanted}', and Linux has sent '{}' at {}: {} differ(s)",
                compare::shown(&seen.ip, tcp, like),
                seconds(at),
                differ.join(", ")
            )));
        }
        if at.saturating_add(tolerance) < from || at > to.saturating_add(tolerance) {
            let when = if from == to {
                seconds(from)
            } else {
                format!("{} to {}", seconds(from), seconds(to))
            };
            return Err(fault(format!(
                "expected '{shown_wanted}' at {when}: Linux has sent it at {}",
                seconds(at)
            )));
        }
        if let Some(place) = compare::wrong_byte(segment, tcp.range.first) {
            return Err(fault(format!(
                "byte {place} of the stream in '{shown_wanted}' is wrong"
            )));
        }
        Ok(at)
    }

    /// A segment with those behind it that go on where it ends, up to so many bytes.
    fn gathered(&self, first: Arrival, len: usize) -> Arrival {
        let Ok(mut all) = first.segment.clone() else {
            return first;
        };
        let mut at = first.at;
        while !all.payload.is_empty() && all.payload.len() < len {
            self.settle();
            let Some(next) = self.network.next() else { break };
            match &next.segment {
                Ok(more)
                    if more.seq == all.seq.wrapping_add(all.payload.len() as u32)
                        && more.source == all.source
                        && more.ack == all.ack
                        && all.payload.len() + more.payload.len() <= len =>
                {
                    all.payload.extend_from_slice(&more.payload);
                    all.flags.0 |= more.flags.0;
                    at = next.at;
                }
                _ => {
                    self.network.put_back(next);
                    break;
                }
            }
        }
        Arrival { at, segment: Ok(all) }
    }

    fn inbound(&mut self, event: &Event, packet: &Packet) -> Result<(), Fault> {
        let fault = |what: String| Fault {
            place: event.place,
            what,
        };
        let (from, to) = (self.settings.remote_ip, self.settings.local_ip.0);
        let bytes = match &packet.body {
            Body::Tcp(tcp) => self.connections.inbound(tcp).to_packet(from, to, &packet.ip),
            Body::Icmp(icmp) => match self.connections.complained_about(icmp.about) {
                Some(segment) => error_about(&segment, icmp.kind, icmp.mtu.unwrap_or(0), from, to),
                None => Err("there is no connection that this error could be about".into()),
            },
        };
        let injected = self.network.inject(&bytes.map_err(fault)?);
        // What is cut short may not even be taken.
        match injected {
            Err(errno) if packet.ip.truncate.is_none() => {
                Err(fault(format!("the interface does not take this: {errno}")))
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self, event: &Event, call: &Call, until: u64) -> Result<(), Fault> {
        self.finish_pending()?;
        let prepared = prepare(call, &self.files, &self.settings)?;
        if let Some(fd) = prepared.effect.begins()
            && let Some(file) = self.files.get_mut(fd)
            && file.connection.is_none()
        {
            file.connection = Some(self.connections.begin());
        }
        let namespace = (prepared.effect == Effect::Socket).then(|| self.network.namespace().clone());
        let bell = self.network.bell();
        let pending = Pending::start(self.kernel, self.world, bell, prepared, namespace);
        let mut pending = pending.map_err(|error| Fault {
            place: event.place,
            what: format!("no thread for this call: {error}"),
        })?;
        pending.call = Some(call.clone());
        pending.until = until;
        self.pending = Some(pending);
        Ok(())
    }

    fn begin_call(&mut self, event: &Event, call: &Call, until: u64) -> Result<(), Fault> {
        self.start(event, call, until)
    }

    fn call_at_once(&mut self, event: &Event, call: &Call) -> Result<(), Fault> {
        let limit = self.now().saturating_add(AT_ONCE);
        self.start(event, call, limit)?;
        loop {
            if self.pending.as_ref().is_none_or(Pending::is_over) {
                return self.look_at_pending(true);
            }
            if self.now() >= limit {
                return Err(Fault {
                    place: call.place,
                    what: format!("{} waits, and the script gives it no time for that", call.name),
                });
            }
            let _ = self
                .network
                .bell()
                .wait_until_ns(self.origin.saturating_add(limit));
        }
    }

    /// Compares what a call has returned if it has. `any_time`: when it did is of no account.
    fn look_at_pending(&mut self, any_time: bool) -> Result<(), Fault> {
        let Some((prepared, result, at)) = self.pending.as_ref().and_then(Pending::outcome) else {
            return Ok(());
        };
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        let until = pending.until;
        let Some(call) = pending.join() else { return Ok(()) };
        let replaced = verify(
            &call,
            &prepared,
            result,
            &mut self.files,
            &self.connections,
            &self.settings,
        )?;
        self.replaced.extend(replaced);
        let at = at.saturating_sub(self.origin);
        if !any_time && at.abs_diff(until) > self.settings.tolerance {
            return Err(Fault {
                place: call.place,
                what: format!(
                    "{} returned at {}, and not at {}",
                    call.name,
                    seconds(at),
                    seconds(until)
                ),
            });
        }
        Ok(())
    }

    /// Waits for the end of a call that waits.
    fn finish_pending(&mut self) -> Result<(), Fault> {
        let Some(pending) = &self.pending else {
            return Ok(());
        };
        let limit = pending
            .until
            .max(self.now())
            .saturating_add(self.settings.tolerance)
            .saturating_add(LATE);
        while self.pending.is_some() {
            self.look_at_pending(false)?;
            let Some(pending) = &self.pending else { break };
            if self.now() >= limit {
                let (place, name) = pending
                    .call
                    .as_ref()
                    .map_or((Place::default(), ""), |call| (call.place, call.name.as_str()));
                return Err(Fault {
                    place,
                    what: format!("{name} has not returned until {}", seconds(limit)),
                });
            }
            let _ = self
                .network
                .bell()
                .wait_until_ns(self.origin.saturating_add(limit));
        }
        Ok(())
    }

    fn assertions(&mut self, event: &Event, assertions: &[Assertion]) -> Result<(), Fault> {
        self.settle();
        let fault = |what: String| Fault {
            place: event.place,
            what,
        };
        let fd = self
            .connections
            .current()
            .and_then(|connection| self.files.of_connection(connection))
            .ok_or_else(|| fault("there is no socket of the current connection to ask".into()))?;
        let live = self.files.live(fd);
        let mut arguments = [
            raw::Memory::Number(live),
            raw::Memory::Number(libc::SOL_TCP.into()),
            raw::Memory::Number(libc::TCP_INFO.into()),
            raw::Memory::Bytes(vec![0; info::LEN]),
            raw::Memory::Bytes((info::LEN as u32).to_ne_bytes().to_vec()),
        ];
        const GETSOCKOPT: i64 = 55;
        raw::call(self.kernel, None, GETSOCKOPT, &mut arguments)
            .map_err(|errno| fault(format!("TCP_INFO: {errno}")))?;
        let bytes = match &arguments[3] {
            raw::Memory::Bytes(bytes) => bytes.as_slice(),
            _ => &[],
        };
        let defines = &self.settings.defines;
        let names = |name: &str| info::member(bytes, name).or_else(|| names::constant(name, defines));
        assertions
            .iter()
            .try_for_each(|assertion| assertion.check(&names))
    }

    /// Closes everything, and ends calls that wait.
    fn end(mut self) {
        const SHUTDOWN: i64 = 48;
        const CLOSE: i64 = 3;
        let all: Vec<i32> = self.files.all_live().chain(self.replaced.drain(..)).collect();
        let each = |number, how: Option<i64>| {
            for fd in &all {
                let fd = raw::Memory::Number((*fd).into());
                let mut arguments = vec![fd];
                arguments.extend(how.map(raw::Memory::Number));
                // What is no socket cannot be shut down, and what the script has closed is closed.
                let _ = raw::call(self.kernel, None, number, &mut arguments);
            }
        };
        if let Some(pending) = self.pending.take() {
            each(SHUTDOWN, Some(libc::SHUT_RDWR.into()));
            pending.join();
        }
        each(CLOSE, None);
    }
}

/// What a call has come to: what it was made of, what it returned, and when.
type Outcome = (Prepared, Result<u64, lkl::Errno>, u64);
