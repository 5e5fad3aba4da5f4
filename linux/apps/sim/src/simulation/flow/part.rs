//! What comes of a flow: of each of its ends by itself, where these are in Linuxes of their own, and of both together.

use crate::plan::{Flow, Plan};
use crate::quantity::{Time, nanoseconds};
use crate::results::{Connection, FlowResult, Sample, Spread};
use crate::topology::FlowKind;
use lkl_session::exit::reason;
use serde::{Deserialize, Serialize};
use std::io;
use std::time::Duration;

/// What the first end of a flow says at its end.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::simulation) struct Told {
    /// Packets or requests.
    pub(super) sent: u64,
    /// When the last of it was where it goes; `None` for a flow that was ended by its end.
    #[serde(with = "end")]
    pub(super) end: Option<Time>,
    pub(super) connection: Option<Connection>,
    pub(super) error: Option<String>,
}

/// A time that may not be there, as its nanoseconds.
mod end {
    use super::{Time, nanoseconds};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Nanoseconds(#[serde(with = "nanoseconds")] Time);

    pub(super) fn serialize<S: Serializer>(time: &Option<Time>, to: S) -> Result<S::Ok, S::Error> {
        time.map(Nanoseconds).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Time>, D::Error> {
        Ok(Option::<Nanoseconds>::deserialize(from)?.map(|time| time.0))
    }
}

impl Told {
    pub(super) fn failed(error: &io::Error) -> Told {
        Told {
            error: Some(reason(error)),
            ..Told::default()
        }
    }
}

/// What comes of the ends of a flow that are in one Linux.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::simulation) struct FlowPart {
    /// The flow's number.
    pub(in crate::simulation) flow: usize,
    /// Of its first end, if that is there.
    pub(super) told: Option<Told>,
    /// How many packets came to where they go, if that is there.
    pub(super) arrived: Option<u64>,
    /// Bytes of content that came to this end.
    pub(super) received: u64,
    /// What was measured here.
    pub(super) measured: Spread,
    /// What the connection was like at its end.
    pub(super) connection: Option<Connection>,
}

impl FlowPart {
    /// Both parts of a flow.
    pub(in crate::simulation) fn with(self, other: FlowPart) -> FlowPart {
        FlowPart {
            flow: self.flow,
            told: self.told.or(other.told),
            arrived: self.arrived.or(other.arrived),
            received: self.received.saturating_add(other.received),
            measured: self.measured.or(other.measured),
            connection: self.connection.or(other.connection),
        }
    }

    /// What results say of the flow. All parts are in this one.
    pub(in crate::simulation) fn result(self, plan: &Plan, samples: &[Sample]) -> FlowResult {
        let flow: &Flow = &plan.flows[self.flow];
        let told = self.told.unwrap_or_default();
        let arrived = self.arrived.unwrap_or(0);
        let [from, to] = [flow.from, flow.to].map(|node| plan.nodes[node].name.clone());
        let end = told.end.unwrap_or(flow.end);
        let length = end.0.saturating_sub(flow.start.0);
        let (bytes, measured) = (self.received, self.measured);
        let (tcp, lossy) = match flow.kind {
            FlowKind::Tcp | FlowKind::Http => (true, false),
            FlowKind::Ping | FlowKind::Udp => (false, true),
        };
        let rtt = match flow.kind {
            FlowKind::Ping => measured,
            _ => round_trips(self.flow, samples, self.connection.as_ref()),
        };
        let only = |kind: FlowKind| {
            if flow.kind == kind {
                measured
            } else {
                Spread::default()
            }
        };
        FlowResult {
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
            retransmits: tcp.then(|| self.connection.map_or(0, |connection| connection.retransmits)),
            error: told.error,
        }
    }
}

/// What a connection's samples, and its last state, say of its round trips.
fn round_trips(number: usize, samples: &[Sample], last: Option<&Connection>) -> Spread {
    let sampled = samples.iter().filter(|sample| sample.flow == number);
    let mut spread = Spread::default();
    for connection in sampled.filter_map(|sample| sample.tcp.as_ref()).chain(last) {
        if !connection.rtt.is_zero() {
            spread.add(nanos(connection.rtt));
        }
        // Linux keeps the least of all, too, and an unsigned -1 before it knows one.
        let least = nanos(connection.least_rtt);
        if (1..4_000_000_000_000).contains(&least) {
            spread.least(least);
        }
    }
    spread
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
