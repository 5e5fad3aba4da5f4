//! A run in which each node is a process with a Linux of its own.
//!
//! This is the coordinator, which starts the processes and puts their reports together. Virtual time passes in rounds, on which the processes agree
//! by themselves in memory that they share ([`rounds`]): each node goes on as far as nothing can reach it ([`agenda`]), with the frames that come to it
//! until then ([`channel`]). Frames go in the order of their times, their senders'
//! numbers and how they were sent, so that nothing depends on the machine. Between the processes a frame takes the part of its link's delay that
//! all frames have; what else a link does to it netem does at the interface that sends it, as in one Linux.

mod agenda;
mod cable;
mod channel;
mod lookahead;
mod node;
mod process;
mod report;
mod rounds;
mod shared;
mod wire;

pub(super) use lookahead::common;
pub use node::run as run_node;

use crate::plan::Plan;
use crate::quantity::Time;
use crate::results::Outcome;
use crate::simulation::capture::more_descriptors;
use crate::simulation::flow::FlowPart;
use crate::simulation::{PREPARATION, about_event};
use lkl_session::exit::{Exit, Failure, reason};
use process::Processes;
use report::Order;
use shared::Total;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;
use wire::Kind;

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
    let shared = rounds::prepare(plan).map_err(|error| {
        Failure::new(
            Exit::Other,
            format_args!("memory of all nodes: {}", reason(&error)),
        )
    })?;
    let mut processes = Processes::start(plan, &shared, folder, order)?;
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
    let mut reports = processes.reports(&mut || {
        let now = shared.total(Total::Now).load(Ordering::Relaxed);
        progress(Time(now.saturating_sub(zero)));
    })?;
    let wall = started.elapsed();
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
