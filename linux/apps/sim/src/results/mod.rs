//! What comes of a run, and the files that say it.
//!
//! Files have what follows from the topology and the seed alone. How long the run took, and how much memory, is said on the
//! terminal only.

mod plot;
mod program;
mod table;

pub use program::ProgramResult;

use crate::quantity::Time;
use crate::topology::FlowKind;
use lkl_net::TcpInfo;
use lkl_net::config::Action;
use lkl_session::exit::{Exit, Failure, reason};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The least, the mean and the most of what was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    count: u64,
    least: u64,
    most: u64,
    sum: u128,
}

impl Spread {
    /// One more, in nanoseconds.
    pub fn add(&mut self, nanos: u64) {
        self.least = match self.count {
            0 => nanos,
            _ => self.least.min(nanos),
        };
        self.most = self.most.max(nanos);
        self.sum += u128::from(nanos);
        self.count += 1;
    }

    /// It was less once.
    pub fn least(&mut self, nanos: u64) {
        if self.count > 0 {
            self.least = self.least.min(nanos);
        }
    }

    /// The one that has something, where the other has nothing.
    pub fn or(self, other: Spread) -> Spread {
        if self.count > 0 { self } else { other }
    }

    /// All three, in milliseconds; `None` if nothing was measured.
    pub fn milliseconds(&self) -> Option<[f64; 3]> {
        let mean = self.sum.checked_div(self.count.into())?;
        Some([self.least as f64, mean as f64, self.most as f64].map(|nanos| nanos / 1e6))
    }
}

/// What came of a flow.
#[derive(Clone, Debug)]
pub struct FlowResult {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: FlowKind,
    /// The node that began.
    pub from: String,
    /// The other one.
    pub to: String,
    /// Of TCP and HTTP.
    pub congestion: Option<String>,
    /// When it began.
    pub start: Time,
    /// When it ended.
    pub end: Time,
    /// Bytes of content that came where they go, before the end.
    pub bytes: u64,
    /// Bits a second, of these.
    pub goodput: f64,
    /// Round trips: of ping each, of TCP as Linux smooths them.
    pub rtt: Spread,
    /// One way, of UDP.
    pub delay: Spread,
    /// From a request to the end of its answer.
    pub response: Spread,
    /// Packets or requests.
    pub sent: u64,
    /// How many of them arrived, or were answered.
    pub arrived: u64,
    /// Which part did not.
    pub loss: Option<f64>,
    /// Segments that TCP has sent again.
    pub retransmits: Option<u32>,
    /// Why it did not end as it should.
    pub error: Option<String>,
}

/// How often a node's rule fitted.
#[derive(Clone, Debug)]
pub struct RuleResult {
    /// The node.
    pub node: String,
    /// The chain that the rule is in.
    pub chain: String,
    /// Its place there, from 1.
    pub number: usize,
    /// What became of the packets.
    pub action: Action,
    /// How many there were. A rule that translates sees the first packet of a connection alone.
    pub packets: u64,
    /// Their bytes, with the header of IP.
    pub bytes: u64,
}

/// What Linux says of a connection, as far as results have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Whether it is established.
    pub established: bool,
    /// The congestion window, in segments.
    pub window: u32,
    /// Above which that grows slowly.
    pub threshold: u32,
    /// The round trip, as Linux smooths it; zero before it knows one.
    pub rtt: Duration,
    /// The least of all.
    pub least_rtt: Duration,
    /// Segments that are not acknowledged.
    pub in_flight: u32,
    /// Segments that are.
    pub delivered: u32,
    /// Segments that were sent again.
    pub retransmits: u32,
    /// Bytes a second; `None` without pacing.
    pub pacing: Option<u64>,
}

impl From<TcpInfo> for Connection {
    fn from(info: TcpInfo) -> Connection {
        Connection {
            established: info.state == TcpInfo::ESTABLISHED,
            window: info.send_cwnd,
            threshold: info.send_ssthresh,
            rtt: info.rtt,
            least_rtt: info.min_rtt,
            in_flight: info.unacked,
            delivered: info.delivered,
            retransmits: info.total_retransmits,
            // Without pacing it has no rate, which is all ones.
            pacing: (info.pacing_rate != u64::MAX).then_some(info.pacing_rate),
        }
    }
}

/// What a flow was like at a time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// When.
    #[serde(with = "crate::quantity::nanoseconds")]
    pub time: Time,
    /// The flow's number.
    pub flow: usize,
    /// Bytes of content that have come where they go.
    pub received: u64,
    /// Bits a second since the sample before.
    pub goodput: f64,
    /// What Linux says of the connection.
    pub tcp: Option<Connection>,
}

/// What comes of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Of each flow.
    pub flows: Vec<FlowResult>,
    /// Of each rule, node by node.
    pub rules: Vec<RuleResult>,
    /// Of each program.
    pub programs: Vec<ProgramResult>,
    /// Of all flows, by time.
    pub samples: Vec<Sample>,
    /// Events that did not go well.
    pub notes: Vec<String>,
    /// Packets in captures.
    pub packets: u64,
    /// Packets that are missing there.
    pub missed: u64,
    /// How long it took to make the network, outside.
    pub build: Duration,
    /// How long the simulation took, outside.
    pub wall: Duration,
    /// Timers that fired and sleeps that ended meanwhile, in virtual time.
    pub events: Option<u64>,
    /// Bytes of Linux's memory that a node takes, with its links, before anything happens.
    pub memory_a_node: u64,
}

const COLUMNS: &str = "flow,kind,from,to,congestion,start_s,end_s,bytes,goodput_mbit,\
rtt_min_ms,rtt_mean_ms,rtt_max_ms,delay_min_ms,delay_mean_ms,delay_max_ms,\
response_min_ms,response_mean_ms,response_max_ms,sent,arrived,loss,retransmits,error\n";

fn spread_fields(spread: &Spread) -> String {
    match spread.milliseconds() {
        Some([least, mean, most]) => format!("{least:.6},{mean:.6},{most:.6}"),
        None => ",,".to_owned(),
    }
}

fn or_nothing(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A text as CSV has it: in quotes, if it must be.
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

fn flows_csv(flows: &[FlowResult]) -> String {
    let mut text = COLUMNS.to_owned();
    for flow in flows {
        let spreads = [flow.rtt, flow.delay, flow.response].map(|spread| spread_fields(&spread));
        // Writing into a text does not fail.
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{},{:.6},{},{},{},{},{},{}",
            flow.name,
            flow.kind.name(),
            flow.from,
            flow.to,
            or_nothing(flow.congestion.as_ref()),
            flow.start.seconds(),
            flow.end.seconds(),
            flow.bytes,
            flow.goodput / 1e6,
            spreads.join(","),
            flow.sent,
            flow.arrived,
            or_nothing(flow.loss),
            or_nothing(flow.retransmits),
            quoted(flow.error.as_deref().unwrap_or("")),
        );
    }
    text
}

fn spread_json(spread: &Spread) -> Value {
    match spread.milliseconds() {
        Some([min, mean, max]) => json!({ "min_ms": min, "mean_ms": mean, "max_ms": max }),
        None => Value::Null,
    }
}

fn flows_json(seed: u64, duration: Time, outcome: &Outcome) -> Value {
    let flows = outcome.flows.iter().map(|flow| {
        json!({
            "flow": flow.name,
            "kind": flow.kind.name(),
            "from": flow.from,
            "to": flow.to,
            "congestion": flow.congestion,
            "start_s": flow.start.seconds(),
            "end_s": flow.end.seconds(),
            "bytes": flow.bytes,
            "goodput_bit": flow.goodput,
            "rtt": spread_json(&flow.rtt),
            "delay": spread_json(&flow.delay),
            "response": spread_json(&flow.response),
            "sent": flow.sent,
            "arrived": flow.arrived,
            "loss": flow.loss,
            "retransmits": flow.retransmits,
            "error": flow.error,
        })
    });
    json!({
        "seed": seed,
        "duration_s": duration.seconds(),
        "packets": outcome.packets,
        "flows": flows.collect::<Vec<_>>(),
        "notes": outcome.notes,
    })
}

/// What a rule does, as a topology has it.
fn action_name(action: Action) -> &'static str {
    match action {
        Action::Accept => "accept",
        Action::Drop => "drop",
        Action::Reject => "reject",
        Action::Reset => "reset",
        Action::Count => "count",
        Action::Masquerade => "masquerade",
        Action::SourceNat(..) => "snat",
        Action::DestinationNat(..) => "dnat",
    }
}

fn rules_csv(rules: &[RuleResult]) -> String {
    let mut text = "node,chain,rule,action,packets,bytes\n".to_owned();
    for rule in rules {
        let action = action_name(rule.action);
        let _ = writeln!(
            text,
            "{},{},{},{action},{},{}",
            rule.node, rule.chain, rule.number, rule.packets, rule.bytes
        );
    }
    text
}

fn series_csv(outcome: &Outcome) -> String {
    let mut text = "time_s,flow,received_bytes,goodput_mbit,cwnd,ssthresh,rtt_ms,in_flight,delivered,retransmits,pacing_mbit\n"
        .to_owned();
    for sample in &outcome.samples {
        let name = &outcome.flows[sample.flow].name;
        let (time, received, goodput) = (sample.time.seconds(), sample.received, sample.goodput / 1e6);
        let _ = write!(text, "{time},{name},{received},{goodput:.6},");
        let _ = match &sample.tcp {
            Some(tcp) => writeln!(
                text,
                "{},{},{:.3},{},{},{},{:.3}",
                tcp.window,
                tcp.threshold,
                tcp.rtt.as_nanos() as f64 / 1e6,
                tcp.in_flight,
                tcp.delivered,
                tcp.retransmits,
                tcp.pacing.unwrap_or(0) as f64 * 8.0 / 1e6,
            ),
            None => writeln!(text, ",,,,,,"),
        };
    }
    text
}

impl Outcome {
    /// Writes all files but the captures, which are there.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, folder: &Path, seed: u64, duration: Time) -> Result<(), Failure> {
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|error| {
                let (path, why) = (path.display(), reason(&error));
                Failure::new(
                    Exit::Destination,
                    format_args!("{path}: {why}; free space there, or name another --out"),
                )
            })
        };
        write("flows.csv", flows_csv(&self.flows))?;
        let json = flows_json(seed, duration, self);
        write("flows.json", format!("{json:#}\n"))?;
        write("series.csv", series_csv(self))?;
        if !self.rules.is_empty() {
            write("rules.csv", rules_csv(&self.rules))?;
        }
        if !self.programs.is_empty() {
            write("programs.csv", program::csv(&self.programs))?;
        }
        for (name, text) in plot::all(self, duration)? {
            write(name, text)?;
        }
        Ok(())
    }

    /// Whether all programs have ended as they should.
    ///
    /// # Errors
    /// The first that has not.
    pub fn judge(&self) -> Result<(), Failure> {
        let complaints = self.programs.iter().filter_map(ProgramResult::complaint);
        let complaints: Vec<String> = complaints.collect();
        match &complaints[..] {
            [] => Ok(()),
            [one] => Err(Failure::new(Exit::Other, one)),
            [one, others @ ..] => {
                let count = others.len();
                Err(Failure::new(Exit::Other, format_args!("{one}; and {count} more")))
            }
        }
    }

    /// The table of all flows, and what the run took.
    pub fn summary(&self, nodes: usize, duration: Time) -> String {
        table::summary(self, nodes, duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_least_the_mean_and_the_most() {
        let mut spread = Spread::default();
        assert_eq!(spread.milliseconds(), None);
        for nanos in [3_000_000, 1_000_000, 2_000_000] {
            spread.add(nanos);
        }
        assert_eq!(spread.milliseconds(), Some([1.0, 2.0, 3.0]));
        spread.least(500_000);
        assert_eq!(spread.milliseconds(), Some([0.5, 2.0, 3.0]));
    }

    #[test]
    fn a_text_with_a_comma_is_quoted() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a, \"b\""), "\"a, \"\"b\"\"\"");
    }
}
