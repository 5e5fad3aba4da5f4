//! A run in which each node is a process with a Linux of its own.
//!
//! This is the coordinator, which keeps virtual time. A node's process runs its Linux until nothing goes on in it, and says what it has sent and when
//! its next timer fires; the coordinator hands frames over, and has the node go on whose next event, a timer or a frame, is the earliest.
//! Of those at the same time the one with the lowest number goes first, and frames go in the order of their times, their senders'
//! numbers and how they were sent. So one node runs at a time, and nothing depends on the machine. Between the processes frames take no time: what a link
//! does to them netem does at the interface that sends them, as in one Linux.
//!
//! A node that the coordinator has gone on need not ask again before another node has something to do, unless it sends something.

mod cable;
mod node;
mod process;
mod report;
mod wire;

pub use node::run as run_node;

use crate::plan::Plan;
use crate::quantity::Time;
use crate::results::Outcome;
use crate::simulation::capture::more_descriptors;
use crate::simulation::flow::FlowPart;
use crate::simulation::{PREPARATION, STEPS, about_event};
use lkl_session::exit::Failure;
use process::Processes;
use report::{Order, Report};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;
use wire::{Frame, Go, Idle, Kind};

/// A frame's time, its sender, and how many were sent before.
type Place = (u64, usize, u64);

/// When each node has something to do.
#[derive(Default)]
struct Agenda {
    /// By time and node.
    order: BTreeSet<(u64, usize)>,
    /// What each node waits for.
    nodes: Vec<Waiting>,
    /// How many nodes have flows that go on.
    open: usize,
    sent: u64,
}

#[derive(Default)]
struct Waiting {
    /// The node's next timer.
    next: u64,
    frames: BTreeMap<Place, Frame>,
    done: bool,
}

impl Waiting {
    fn time(&self) -> u64 {
        let frame = self.frames.first_key_value();
        self.next.min(frame.map_or(u64::MAX, |((time, ..), _)| *time))
    }
}

impl Agenda {
    fn new(count: usize) -> Agenda {
        let mut nodes = Vec::new();
        nodes.resize_with(count, Waiting::default);
        Agenda {
            nodes,
            open: count,
            ..Agenda::default()
        }
    }

    /// Changes what a node waits for.
    fn change(&mut self, node: usize, act: impl FnOnce(&mut Waiting)) {
        let waiting = &mut self.nodes[node];
        self.order.remove(&(waiting.time(), node));
        act(waiting);
        self.order.insert((waiting.time(), node));
    }

    /// A node has nothing to do now.
    fn idle(&mut self, plan: &Plan, node: usize, idle: Idle) {
        if idle.done && !self.nodes[node].done {
            self.open = self.open.saturating_sub(1);
        }
        self.change(node, |waiting| {
            waiting.next = idle.next;
            waiting.done |= idle.done;
        });
        for frame in idle.frames {
            // One of an interface that the node does not have is no one's.
            let Some(interface) = plan.nodes[node].interfaces.get(usize::from(frame.interface)) else {
                continue;
            };
            let [one, two] = plan.links[interface.link].ends;
            let here = (node, usize::from(frame.interface));
            let (peer, there) = if one == here { two } else { one };
            let place = (idle.now, node, self.sent);
            self.sent += 1;
            let frame = Frame {
                interface: u16::try_from(there).unwrap_or(u16::MAX),
                ..frame
            };
            self.change(peer, |waiting| {
                waiting.frames.insert(place, frame);
            });
        }
    }

    /// The node that goes on, and how; `None` when the flows of all have come to their ends.
    fn next(&mut self) -> Option<(usize, Go)> {
        if self.open == 0 {
            return None;
        }
        let mut order = self.order.iter().copied();
        let (now, node) = order.next()?;
        let limit = match order.next() {
            Some((time, other)) if node < other => time,
            Some((time, _)) => time.saturating_sub(1),
            None => u64::MAX,
        };
        let mut frames = Vec::new();
        let mut limit = limit.max(now);
        self.change(node, |waiting| {
            let later = waiting.frames.split_off(&(now.saturating_add(1), 0, 0));
            frames.extend(std::mem::replace(&mut waiting.frames, later).into_values());
            // What it is sent meanwhile comes before its timers of the same time.
            if let Some(((time, ..), _)) = waiting.frames.first_key_value() {
                limit = limit.min(time.saturating_sub(1));
            }
            waiting.next = u64::MAX;
        });
        let go = Go {
            now,
            limit,
            over: false,
            frames,
        };
        Some((node, go))
    }
}

/// Runs a plan, of which `topology` is the text, each node in a process.
///
/// # Errors
/// As in one Linux; and when a process of a node ends.
pub fn run(
    plan: &Plan,
    topology: &str,
    memory: Option<u32>,
    folder: &Path,
    progress: &mut dyn FnMut(Time),
) -> Result<Outcome, Failure> {
    more_descriptors();
    let began = Instant::now();
    let order = |node: usize| Order {
        topology: topology.to_owned(),
        seed: plan.seed,
        node,
        routes: plan.nodes[node]
            .routes
            .iter()
            .map(|route| (route.to.to_string(), route.via))
            .collect(),
        memory,
    };
    let mut processes = Processes::start(plan, folder, order)?;
    let mut zero = 0;
    for node in 0..plan.nodes.len() {
        let elapsed: u64 = processes.hear(node, Kind::Built)?;
        zero = zero.max(elapsed.saturating_add(PREPARATION));
    }
    let memory_a_node = processes.memory() / u64::try_from(plan.nodes.len().max(1)).unwrap_or(1);
    let (build, started) = (began.elapsed(), Instant::now());
    for node in 0..plan.nodes.len() {
        processes.say(node, Kind::Begin, &zero)?;
    }
    conduct(plan, &mut processes, zero, progress)?;
    let wall = started.elapsed();
    let mut reports = Vec::new();
    for node in 0..plan.nodes.len() {
        reports.push(processes.hear::<Report>(node, Kind::Report)?);
    }
    processes.end();
    let samples = report::samples(plan, &mut reports);
    let mut outcome = Outcome {
        flows: Vec::new(),
        programs: Vec::new(),
        rules: Vec::new(),
        samples,
        notes: Vec::new(),
        packets: 0,
        missed: 0,
        build,
        wall,
        events: Some(reports.iter().map(|report| report.events).sum()),
        memory_a_node,
    };
    let mut flows: BTreeMap<usize, FlowPart> = BTreeMap::new();
    // Both ends of a link may have failed to do the same.
    let mut notes = BTreeSet::new();
    for (node, report) in reports.into_iter().enumerate() {
        outcome.packets += report.captured.packets;
        outcome.missed += report.captured.missed;
        outcome.rules.extend(report::rules(plan, node, report.rules));
        notes.extend(report.notes);
        for part in report.parts {
            let whole = match flows.remove(&part.flow) {
                Some(other) => other.with(part),
                None => part,
            };
            flows.insert(whole.flow, whole);
        }
    }
    let notes = notes.into_iter();
    outcome.notes = notes
        .map(|(event, why)| about_event(&plan.events[event], &why))
        .collect();
    let flows = flows.into_values();
    outcome.flows = flows.map(|part| part.result(plan, &outcome.samples)).collect();
    Ok(outcome)
}

/// Has the nodes go on, one at a time, until their flows have come to their ends.
fn conduct(
    plan: &Plan,
    processes: &mut Processes,
    zero: u64,
    progress: &mut dyn FnMut(Time),
) -> Result<(), Failure> {
    let count = plan.nodes.len();
    let mut agenda = Agenda::new(count);
    for node in 0..count {
        agenda.idle(plan, node, processes.hear_idle(node)?);
    }
    let step = (plan.duration.0 / STEPS).max(1);
    let mut told = zero;
    let mut last = zero;
    while let Some((node, go)) = agenda.next() {
        last = last.max(go.now);
        if last >= told {
            progress(Time(last - zero));
            told = last.saturating_add(step);
        }
        processes.say_go(node, &go)?;
        agenda.idle(plan, node, processes.hear_idle(node)?);
    }
    let over = Go {
        now: last,
        limit: last,
        over: true,
        frames: Vec::new(),
    };
    (0..count).try_for_each(|node| processes.say_go(node, &over))
}
