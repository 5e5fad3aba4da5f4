//! Flows: the threads of each, what they count while they run, and what comes of it.

mod http;
mod ping;
mod tcp;
mod udp;

use super::clock::Clock;
use super::network::Network;
use super::world::{Task, World};
use crate::plan::{Flow, Plan};
use crate::quantity::{Time, Version};
use crate::results::{FlowResult, Sample, Spread};
use crate::topology::FlowKind;
use lkl_net::{Family, Namespace, Socket, TcpInfo};
use lkl_session::exit::reason;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a call waits before it looks at the clock.
const LOOK: Duration = Duration::from_millis(100);
/// From sample to sample.
const SAMPLE: Time = Time(100_000_000);
/// How long what is still on its way may take after a flow's end.
const GRACE: Time = Time(2_000_000_000);
/// The port of the first flow.
const PORT: u16 = 10_000;

/// What a flow's threads know, and what they count.
pub(super) struct Traffic {
    flow: Flow,
    clock: Clock,
    from: Namespace,
    to: Namespace,
    address: SocketAddr,
    /// Bytes of content that have come to where they go, until the flow's end.
    received: AtomicU64,
    /// The first end has no more to do.
    done: AtomicBool,
    /// The connection's end that sends most.
    socket: Mutex<Option<Socket>>,
    /// When times of round trips, ways or answers were measured, and how long each was, in nanoseconds.
    spread: Mutex<Spread>,
}

impl Traffic {
    fn is_over(&self) -> bool {
        self.clock.now() >= self.flow.end
    }

    /// The family of its sockets.
    fn family(&self) -> Family {
        match self.flow.version {
            Version::V4 => Family::IPV4,
            Version::V6 => Family::IPV6,
        }
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    fn count(&self, bytes: usize) {
        if !self.is_over() {
            let bytes = u64::try_from(bytes).unwrap_or(0);
            self.received.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn measured(&self, nanos: u64) {
        self.spread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(nanos);
    }

    fn show(&self, socket: &Socket) {
        *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket.clone());
    }

    fn shown(&self) -> Option<Socket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long until the flow's end; at least a little, since no time at all is no timeout.
    fn left(&self) -> Duration {
        Time(self.flow.end.0.saturating_sub(self.clock.now().0))
            .duration()
            .max(Duration::from_micros(1))
    }
}

/// What the first end of a flow says at its end.
#[derive(Debug, Default)]
struct Told {
    /// Packets or requests.
    sent: u64,
    /// When the last of it was where it goes; `None` for a flow that was ended by its end.
    end: Option<Time>,
    info: Option<TcpInfo>,
    error: Option<String>,
}

impl Told {
    fn failed(error: &io::Error) -> Told {
        Told {
            error: Some(reason(error)),
            ..Told::default()
        }
    }
}

/// A call's time was over.
fn is_timeout(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// A flow whose threads are there.
pub(super) struct Running {
    number: usize,
    traffic: Arc<Traffic>,
    names: [String; 2],
    first: Task<Told>,
    /// How many packets came to where they go; of TCP nothing.
    second: Task<u64>,
}

/// Starts a flow's threads. They wait for its time.
pub(super) fn start(
    world: &World,
    clock: &Clock,
    network: &Network,
    plan: &Plan,
    flow: &Flow,
    number: u16,
) -> io::Result<Running> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("flow {}: {error}", flow.name));
    let ip = plan.nodes[flow.to]
        .address(flow.version)
        .ok_or_else(|| named(io::ErrorKind::AddrNotAvailable.into()))?;
    let traffic = Arc::new(Traffic {
        flow: flow.clone(),
        clock: clock.clone(),
        from: network.namespace(flow.from).clone(),
        to: network.namespace(flow.to).clone(),
        address: SocketAddr::from((ip, PORT.wrapping_add(number))),
        received: AtomicU64::new(0),
        done: AtomicBool::new(false),
        socket: Mutex::new(None),
        spread: Mutex::new(Spread::default()),
    });
    let second = match flow.kind {
        FlowKind::Ping => ping::receive(world, &traffic, number),
        FlowKind::Tcp => tcp::receive(world, &traffic),
        FlowKind::Udp => udp::receive(world, &traffic),
        FlowKind::Http => http::serve(world, &traffic),
    };
    let second = second.map_err(named)?;
    let its = Arc::clone(&traffic);
    let act = move || {
        its.clock.sleep_until(its.flow.start);
        let told = match its.flow.kind {
            FlowKind::Ping => ping::send(&its, number),
            FlowKind::Tcp => tcp::send(&its),
            FlowKind::Udp => udp::send(&its),
            FlowKind::Http => http::ask(&its),
        };
        its.done.store(true, Ordering::Release);
        told.unwrap_or_else(|error| Told::failed(&error))
    };
    Ok(Running {
        number: number.into(),
        traffic,
        names: [flow.from, flow.to].map(|node| plan.nodes[node].name.clone()),
        first: world.spawn(act)?,
        second,
    })
}

/// Samples all flows while they run, all at the same times.
pub(super) fn sample(
    world: &World,
    clock: &Clock,
    flows: &[Running],
    over: &Arc<AtomicBool>,
) -> io::Result<Task<Vec<Sample>>> {
    let (clock, over) = (clock.clone(), Arc::clone(over));
    let mut flows: Vec<_> = flows.iter().map(|flow| (Arc::clone(&flow.traffic), 0)).collect();
    world.spawn(move || {
        let mut samples = Vec::new();
        for number in 1u64.. {
            let time = Time(SAMPLE.0.saturating_mul(number));
            clock.sleep_until(time);
            if over.load(Ordering::Acquire) {
                break;
            }
            for (flow, (traffic, before)) in flows.iter_mut().enumerate() {
                let ended = time.0 > traffic.flow.end.0.saturating_add(SAMPLE.0);
                if time <= traffic.flow.start || ended || (traffic.is_done() && traffic.flow.bytes.is_some())
                {
                    continue;
                }
                let received = traffic.received.load(Ordering::Relaxed);
                let info = traffic.shown().and_then(|socket| socket.tcp_info().ok());
                samples.push(Sample {
                    time,
                    flow,
                    received,
                    goodput: (received.saturating_sub(*before)) as f64 * 8e9 / SAMPLE.0 as f64,
                    tcp: info.filter(|info| info.state == TcpInfo::ESTABLISHED),
                });
                *before = received;
            }
        }
        samples
    })
}

impl Running {
    /// Waits for the flow's end.
    pub(super) fn finish(self, samples: &[Sample]) -> io::Result<FlowResult> {
        let told = super::joined(self.first)?;
        let arrived = super::joined(self.second)?;
        let flow = &self.traffic.flow;
        let [from, to] = self.names;
        let end = told.end.unwrap_or(flow.end);
        let length = end.0.saturating_sub(flow.start.0);
        let bytes = self.traffic.received.load(Ordering::Relaxed);
        let measured = *self.traffic.spread.lock().unwrap_or_else(PoisonError::into_inner);
        let (tcp, lossy) = match flow.kind {
            FlowKind::Tcp | FlowKind::Http => (true, false),
            FlowKind::Ping | FlowKind::Udp => (false, true),
        };
        let rtt = match flow.kind {
            FlowKind::Ping => measured,
            _ => round_trips(self.number, samples, told.info.as_ref()),
        };
        let only = |kind: FlowKind| {
            if flow.kind == kind {
                measured
            } else {
                Spread::default()
            }
        };
        Ok(FlowResult {
            name: flow.name.clone(),
            kind: flow.kind,
            from,
            to,
            congestion: tcp.then(|| flow.congestion.clone()),
            start: flow.start,
            end,
            bytes,
            goodput: match length {
                0 => 0.0,
                length => bytes as f64 * 8e9 / length as f64,
            },
            rtt,
            delay: only(FlowKind::Udp),
            response: only(FlowKind::Http),
            sent: told.sent,
            arrived,
            loss: (lossy && told.sent > 0)
                .then(|| told.sent.saturating_sub(arrived) as f64 / told.sent as f64),
            retransmits: tcp.then(|| told.info.map_or(0, |info| info.total_retransmits)),
            error: told.error,
        })
    }
}

/// What a connection's samples, and its last state, say of its round trips.
fn round_trips(number: usize, samples: &[Sample], last: Option<&TcpInfo>) -> Spread {
    let sampled = samples.iter().filter(|sample| sample.flow == number);
    let mut spread = Spread::default();
    for info in sampled.filter_map(|sample| sample.tcp.as_ref()).chain(last) {
        if !info.rtt.is_zero() {
            spread.add(nanos(info.rtt));
        }
        // Linux keeps the least of all, too, and an unsigned -1 before it knows one.
        let least = nanos(info.min_rtt);
        if (1..4_000_000_000_000).contains(&least) {
            spread.least(least);
        }
    }
    spread
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
