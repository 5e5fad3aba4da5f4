//! Connections of a run, and the numbers in which a script and the wire differ: a script counts sequence numbers from each end's
//! first one, and has time stamps of its own.

use super::settings::PORT;
use crate::script::packets::{Body, Ecn};
use crate::script::packets::{Flags, IpMarks, Packet, Range, Tcp, TcpOption};
use crate::segment::{Segment, bytes_from};
use std::collections::BTreeMap;

/// The port of the first client.
const FIRST_CLIENT: u16 = 40000;

/// A connection between Linux and the script's other end.
#[derive(Debug, Default)]
pub struct Connection {
    /// Linux's port, as soon as it is known.
    local_port: Option<u16>,
    remote_port: u16,
    /// Linux's first sequence number.
    local_first: Option<u32>,
    /// The other end's first one.
    remote_first: Option<u32>,
    /// The number of the last SYN that the other end has sent.
    last_syn: Option<u32>,
    /// A script's time stamps of Linux's clock, and what they were on the wire.
    stamps: BTreeMap<u32, u32>,
    /// The first of them.
    first_stamp: Option<(u32, u32)>,
    /// Where in the other end's stream the urgent bytes are.
    urgent: Vec<u32>,
}

/// All of a run's.
#[derive(Debug, Default)]
pub struct Connections {
    all: Vec<Connection>,
    current: Option<usize>,
}

impl Connections {
    /// The one that segments without ports belong to.
    pub fn current(&self) -> Option<usize> {
        self.current
    }

    /// The one whose other end has this port.
    pub fn of_remote_port(&self, port: u16) -> Option<usize> {
        self.all
            .iter()
            .rposition(|connection| connection.remote_port == port)
    }

    /// The places of urgent bytes in what the other end has sent.
    pub fn urgent(&self, connection: usize) -> Vec<u32> {
        self.all
            .get(connection)
            .map(|connection| connection.urgent.clone())
            .unwrap_or_default()
    }

    fn add(&mut self, connection: Connection) -> usize {
        self.all.push(connection);
        let index = self.all.len() - 1;
        self.current = Some(index);
        index
    }

    /// A socket begins to connect.
    pub fn begin(&mut self) -> usize {
        self.add(Connection {
            remote_port: PORT,
            ..Connection::default()
        })
    }

    /// Which connection an inbound segment is of. A SYN begins a new one, unless the current one waits for a SYN or is not beyond it.
    fn of_inbound(&mut self, tcp: &Tcp) -> usize {
        let syn = tcp.flags.has(Flags::SYN) && !tcp.flags.has(Flags::ACK);
        let found = match tcp.ports {
            Some((source, destination)) => self.all.iter().rposition(|connection| {
                connection.remote_port == source && connection.local_port == Some(destination)
            }),
            None => self.current.filter(|current| {
                self.all.get(*current).is_some_and(|connection| {
                    let waits = connection.remote_first.is_none();
                    let again =
                        connection.local_first.is_none() && connection.last_syn == Some(tcp.range.first);
                    !syn || waits || again
                })
            }),
        };
        if let Some(found) = found {
            self.current = Some(found);
            return found;
        }
        let next = FIRST_CLIENT.wrapping_add(u16::try_from(self.all.len()).unwrap_or(0));
        let (source, destination) = tcp.ports.unwrap_or((next, PORT));
        self.add(Connection {
            local_port: Some(destination),
            remote_port: source,
            ..Connection::default()
        })
    }

    /// The segment on the wire that an inbound one of a script is.
    pub fn inbound(&mut self, tcp: &Tcp) -> Segment {
        let index = self.of_inbound(tcp);
        let connection = &mut self.all[index];
        let syn = tcp.flags.has(Flags::SYN);
        let first = tcp.range.first;
        if syn {
            connection.last_syn = Some(first);
            connection.remote_first.get_or_insert(first);
        }
        let seq = if syn {
            first
        } else {
            connection.remote_first.unwrap_or(0).wrapping_add(first)
        };
        let place = if syn { 0 } else { first.wrapping_sub(1) };
        let local = connection.local_first.unwrap_or(0);
        if tcp.flags.has(Flags::URG)
            && let Some(urgent) = tcp.urgent
        {
            connection
                .urgent
                .push(place.wrapping_add(urgent.into()).wrapping_sub(1));
        }
        let options = tcp.options.iter().flatten().map(|option| match option {
            TcpOption::Timestamp { val, ecr } => TcpOption::Timestamp {
                val: *val,
                ecr: connection.stamps.get(ecr).copied().unwrap_or(*ecr),
            },
            TcpOption::Sack(blocks) => TcpOption::Sack(
                blocks
                    .iter()
                    .map(|(from, to)| (local.wrapping_add(*from), local.wrapping_add(*to)))
                    .collect(),
            ),
            other => other.clone(),
        });
        Segment {
            options: options.collect(),
            source: connection.remote_port,
            destination: connection.local_port.unwrap_or(PORT),
            flags: tcp.flags,
            seq,
            ack: tcp.ack.map_or(0, |ack| local.wrapping_add(ack)),
            window: tcp.window.unwrap_or(0),
            urgent: tcp.urgent.unwrap_or(0),
            payload: bytes_from(place, tcp.range.len.into()),
            ecn: Ecn::None,
        }
    }

    /// The segment of Linux's on the wire that an ICMP error is about.
    pub fn complained_about(&self, about: Range) -> Option<Segment> {
        let connection = self.all.get(self.current?)?;
        Some(Segment {
            source: connection.local_port?,
            destination: connection.remote_port,
            flags: Flags(Flags::ACK),
            seq: connection.local_first?.wrapping_add(about.first),
            ack: connection.remote_first.map_or(0, |first| first.wrapping_add(1)),
            window: 0,
            urgent: 0,
            options: Vec::new(),
            payload: bytes_from(about.first.wrapping_sub(1), about.len.into()),
            ecn: Ecn::None,
        })
    }

    /// Which connection a segment of Linux's is of.
    fn of_outbound(&mut self, segment: &Segment) -> Option<usize> {
        let known = self.all.iter().rposition(|connection| {
            connection.remote_port == segment.destination && connection.local_port == Some(segment.source)
        });
        known.or_else(|| {
            // One that has just begun to connect has got its port.
            let new = self.all.iter().rposition(|connection| {
                connection.local_port.is_none() && connection.remote_port == segment.destination
            })?;
            self.all[new].local_port = Some(segment.source);
            Some(new)
        })
    }

    /// A segment of Linux's with a script's numbers. `wanted` is what the script has in its place: its time stamp stands for the
    /// wire's from now on. `None`: it is of no connection of this run's.
    pub fn outbound(&mut self, segment: &Segment, wanted: Option<&Tcp>) -> Option<(usize, Packet)> {
        let index = self.of_outbound(segment)?;
        let connection = &mut self.all[index];
        if segment.flags.has(Flags::SYN) {
            // An end that was closed may begin again, for a new SYN of the other end's.
            let new = connection.last_syn.filter(|syn| {
                segment.flags.has(Flags::ACK)
                    && segment.ack == syn.wrapping_add(1)
                    && connection.remote_first != Some(*syn)
            });
            if let Some(syn) = new {
                connection.remote_first = Some(syn);
                connection.local_first = None;
                connection.first_stamp = None;
            }
            connection.local_first.get_or_insert(segment.seq);
        }
        let local = connection.local_first.unwrap_or(0);
        let remote = connection.remote_first.unwrap_or(0);
        let wanted_val = wanted.and_then(|tcp| {
            tcp.options.as_ref()?.iter().find_map(|option| match option {
                TcpOption::Timestamp { val, .. } => Some(*val),
                _ => None,
            })
        });
        let options = segment.options.iter().map(|option| match option {
            TcpOption::Timestamp { val, ecr } => {
                if let Some(wanted) = wanted_val {
                    connection.stamps.insert(wanted, *val);
                    connection.first_stamp.get_or_insert((wanted, *val));
                }
                let shown = connection
                    .first_stamp
                    .map_or(*val, |(script, wire)| script.wrapping_add(val.wrapping_sub(wire)));
                TcpOption::Timestamp {
                    val: shown,
                    ecr: *ecr,
                }
            }
            TcpOption::Sack(blocks) => TcpOption::Sack(
                blocks
                    .iter()
                    .map(|(from, to)| (from.wrapping_sub(remote), to.wrapping_sub(remote)))
                    .collect(),
            ),
            other => other.clone(),
        });
        let tcp = Tcp {
            options: Some(options.collect()),
            ports: Some((segment.source, segment.destination)),
            flags: segment.flags,
            range: Range {
                first: segment.seq.wrapping_sub(local),
                len: u16::try_from(segment.payload.len()).unwrap_or(u16::MAX),
            },
            ack: segment
                .flags
                .has(Flags::ACK)
                .then(|| segment.ack.wrapping_sub(remote)),
            window: Some(segment.window),
            urgent: segment.flags.has(Flags::URG).then_some(segment.urgent),
        };
        let ip = IpMarks {
            ecn: Some(segment.ecn),
            ..IpMarks::default()
        };
        let body = Body::Tcp(tcp);
        Some((index, Packet { ip, body }))
    }
}
