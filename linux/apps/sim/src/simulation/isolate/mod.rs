//! A run in which each node is a process with a Linux of its own.
//!
//! This is the coordinator, which keeps virtual time. In each round it tells nodes how far they go ([`agenda`]), with the frames that come to them
//! until then; each says what it has sent meanwhile, and when it has something to do next. Frames go in the order of their times, their senders'
//! numbers and how they were sent, so that nothing depends on the machine. Between the processes a frame takes the part of its link's delay that
//! all frames have; what else a link does to it netem does at the interface that sends it, as in one Linux.

mod agenda;
mod cable;
mod lookahead;
mod node;
mod process;
mod report;
mod wire;

pub(super) use lookahead::common;
pub use node::run as run_node;

use crate::plan::Plan;
use crate::quantity::Time;
use crate::results::Outcome;
use crate::simulation::capture::more_descriptors;
use crate::simulation::flow::FlowPart;
use crate::simulation::{PREPARATION, STEPS, about_event};
use agenda::Agenda;
use lkl_session::exit::Failure;
use process::Processes;
use report::{Order, Report};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;
use wire::{Go, Kind};

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

/// Has the nodes go on, until their flows have come to their ends.
fn conduct(
    plan: &Plan,
    processes: &mut Processes,
    zero: u64,
    progress: &mut dyn FnMut(Time),
) -> Result<(), Failure> {
    let count = plan.nodes.len();
    let mut agenda = Agenda::new(plan);
    for node in 0..count {
        agenda.idle(plan, node, processes.hear_idle(node)?);
    }
    let step = (plan.duration.0 / STEPS).max(1);
    let mut told = zero;
    while let Some((now, going)) = agenda.next() {
        if now >= told {
            progress(Time(now - zero));
            told = now.saturating_add(step);
        }
        for (node, go) in &going {
            processes.say_go(*node, go)?;
        }
        for (node, _) in going {
            agenda.idle(plan, node, processes.hear_idle(node)?);
        }
    }
    let over = Go {
        over: true,
        ..Go::default()
    };
    (0..count).try_for_each(|node| processes.say_go(node, &over))
}
