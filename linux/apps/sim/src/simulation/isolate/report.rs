//! What a node's process says when its network is there, and at its end.

use crate::plan::Plan;
use crate::results::{RuleResult, Sample};
use crate::simulation::capture::Captured;
use crate::simulation::flow::FlowPart;
use lkl_session::exit::{Exit, Failure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Which node a process is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// The topology, as its file has it.
    pub(super) topology: String,
    pub(super) seed: u64,
    pub(super) node: usize,
    /// Its routes: where to, and through which neighbour. They are computed once for all nodes.
    pub(super) routes: Vec<(String, IpAddr)>,
    /// Memory for its Linux, in MiB.
    pub(super) memory: Option<u32>,
}

/// How often a rule has fitted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Fitted {
    chain: String,
    number: usize,
    packets: u64,
    bytes: u64,
}

/// What came of a node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) parts: Vec<FlowPart>,
    pub(super) samples: Vec<Sample>,
    /// Events that did not go well, by their numbers.
    pub(super) notes: Vec<(usize, String)>,
    pub(super) rules: Vec<Fitted>,
    pub(super) captured: Captured,
    pub(super) events: u64,
}

/// A failure, on its way to the coordinator.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Fault {
    code: u8,
    message: String,
}

impl From<&Failure> for Fault {
    fn from(failure: &Failure) -> Fault {
        Fault {
            code: failure.exit as u8,
            message: failure.message.clone(),
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        let exit = Exit::from_code(fault.code.into()).unwrap_or(Exit::Other);
        Failure::new(exit, fault.message)
    }
}

impl From<RuleResult> for Fitted {
    fn from(rule: RuleResult) -> Fitted {
        Fitted {
            chain: rule.chain,
            number: rule.number,
            packets: rule.packets,
            bytes: rule.bytes,
        }
    }
}

/// The rules of a node, each with what it does, which the plan knows.
pub(super) fn rules(plan: &Plan, node: usize, fitted: Vec<Fitted>) -> Vec<RuleResult> {
    let node = &plan.nodes[node];
    let chains = node.filter.iter().flat_map(|table| &table.chains);
    let actions = chains.flat_map(|chain| chain.rules.iter().map(|rule| rule.action));
    let both = actions.zip(fitted);
    both.map(|(action, fitted)| RuleResult {
        node: node.name.clone(),
        chain: fitted.chain,
        number: fitted.number,
        action,
        packets: fitted.packets,
        bytes: fitted.bytes,
    })
    .collect()
}

/// The samples of all flows, of both of their ends, by time. A flow is sampled for as long as its first end says.
pub(super) fn samples(plan: &Plan, reports: &mut [Report]) -> Vec<Sample> {
    let (mut firsts, mut seconds) = (BTreeMap::new(), BTreeMap::new());
    for (node, report) in reports.iter_mut().enumerate() {
        for sample in std::mem::take(&mut report.samples) {
            let first = plan.flows[sample.flow].from == node;
            let place = if first { &mut firsts } else { &mut seconds };
            place.insert((sample.time, sample.flow), sample);
        }
    }
    let joined = firsts.into_iter().map(|(key, first)| match seconds.remove(&key) {
        Some(second) => Sample {
            received: first.received.saturating_add(second.received),
            goodput: first.goodput + second.goodput,
            tcp: first.tcp.or(second.tcp),
            ..first
        },
        None => first,
    });
    joined.collect()
}
