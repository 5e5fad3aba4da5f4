//! Flows: the threads of each, what they count while they run, and what comes of it.

mod http;
mod part;
mod ping;
mod tcp;
mod udp;

use super::clock::Clock;
use super::network::Network;
use super::world::{Task, World};
use crate::plan::{Flow, Plan};
use crate::quantity::{Time, Version};
use crate::results::{Connection, Sample, Spread};
use crate::topology::FlowKind;
use lkl_net::{Family, Namespace, Socket};
pub(super) use part::{FlowPart, Told};
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
    /// The networks of its nodes, as far as they are in this Linux.
    ends: [Option<Namespace>; 2],
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

    /// The network of the node that begins.
    fn from(&self) -> io::Result<&Namespace> {
        self.ends[0]
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The other one.
    fn to(&self) -> io::Result<&Namespace> {
        self.ends[1]
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Whether its first end has no more to do. An end that is in another Linux has not before the flow is over.
    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire) || (self.ends[0].is_none() && self.is_over())
    }

    /// What Linux says of the connection.
    fn connection(&self) -> Option<Connection> {
        Some(self.shown()?.tcp_info().ok()?.into())
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

/// A call's time was over.
fn is_timeout(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// A flow whose threads are there, as far as its ends are in this Linux.
pub(super) struct Running {
    number: usize,
    traffic: Arc<Traffic>,
    first: Option<Task<Told>>,
    /// How many packets came to where they go; of TCP nothing.
    second: Option<Task<u64>>,
}

/// Starts a flow's threads, those of ends that are in this Linux. They wait for its time.
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
        ends: [flow.from, flow.to].map(|node| network.namespace(node).cloned()),
        address: SocketAddr::from((ip, PORT.wrapping_add(number))),
        received: AtomicU64::new(0),
        done: AtomicBool::new(false),
        socket: Mutex::new(None),
        spread: Mutex::new(Spread::default()),
    });
    let [first_here, second_here] = [0, 1].map(|end: usize| traffic.ends[end].is_some());
    let second = match flow.kind {
        FlowKind::Ping if first_here => ping::receive(world, &traffic, number).map(Some),
        FlowKind::Tcp if second_here => tcp::receive(world, &traffic).map(Some),
        FlowKind::Udp if second_here => udp::receive(world, &traffic).map(Some),
        FlowKind::Http if second_here => http::serve(world, &traffic).map(Some),
        _ => Ok(None),
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
        first: first_here.then(|| world.spawn(act)).transpose()?,
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
    let flows = flows.iter();
    let mut flows: Vec<_> = flows
        .map(|flow| (flow.number, Arc::clone(&flow.traffic), 0))
        .collect();
    world.spawn(move || {
        let mut samples = Vec::new();
        for number in 1u64.. {
            let time = Time(SAMPLE.0.saturating_mul(number));
            clock.sleep_until(time);
            if over.load(Ordering::Acquire) {
                break;
            }
            for (flow, traffic, before) in &mut flows {
                let ended = time.0 > traffic.flow.end.0.saturating_add(SAMPLE.0);
                if time <= traffic.flow.start || ended || (traffic.is_done() && traffic.flow.bytes.is_some())
                {
                    continue;
                }
                let received = traffic.received.load(Ordering::Relaxed);
                samples.push(Sample {
                    time,
                    flow: *flow,
                    received,
                    goodput: (received.saturating_sub(*before)) as f64 * 8e9 / SAMPLE.0 as f64,
                    tcp: traffic.connection().filter(|connection| connection.established),
                });
                *before = received;
            }
        }
        samples
    })
}

impl Running {
    /// Waits for the end of what is here of the flow.
    pub(super) fn finish(self) -> io::Result<FlowPart> {
        let told = self.first.map(super::joined).transpose()?;
        let arrived = self.second.map(super::joined).transpose()?;
        let traffic = &self.traffic;
        Ok(FlowPart {
            flow: self.number,
            connection: match &told {
                Some(told) => told.connection,
                // The end that answers knows what its side of the connection was like.
                None => traffic.connection(),
            },
            told,
            arrived,
            received: traffic.received.load(Ordering::Relaxed),
            measured: *traffic.spread.lock().unwrap_or_else(PoisonError::into_inner),
        })
    }
}
