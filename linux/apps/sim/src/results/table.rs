//! The summary for people: a table of flows, and what the run took.

use super::{FlowResult, Outcome, Spread};
use crate::quantity::Time;

const HEAD: [&str; 8] = [
    "flow",
    "kind",
    "from",
    "to",
    "goodput",
    "time min/mean/max",
    "lost",
    "again",
];

/// How many columns, from the left, have words and not numbers.
const WORDS: usize = 4;

fn rate(bits: f64) -> String {
    match bits {
        bits if bits >= 1e9 => format!("{:.3} Gbit/s", bits / 1e9),
        bits if bits >= 1e6 => format!("{:.3} Mbit/s", bits / 1e6),
        bits => format!("{:.3} kbit/s", bits / 1e3),
    }
}

fn row(flow: &FlowResult) -> [String; 8] {
    let spreads: [&Spread; 3] = [&flow.response, &flow.delay, &flow.rtt];
    let measured = spreads.into_iter().find_map(|spread| spread.milliseconds());
    [
        flow.name.clone(),
        match &flow.congestion {
            Some(congestion) => format!("{} {congestion}", flow.kind.name()),
            None => flow.kind.name().to_owned(),
        },
        flow.from.clone(),
        flow.to.clone(),
        match flow.bytes {
            0 => "-".to_owned(),
            _ => rate(flow.goodput),
        },
        measured.map_or("-".to_owned(), |[least, mean, most]| {
            format!("{least:.2}/{mean:.2}/{most:.2} ms")
        }),
        flow.loss
            .map_or("-".to_owned(), |loss| format!("{:.2} %", loss * 100.0)),
        flow.retransmits
            .map_or("-".to_owned(), |retransmits| retransmits.to_string()),
    ]
}

/// The table, and a line below it for what went wrong and for what the run took.
pub(super) fn summary(outcome: &Outcome, nodes: usize, duration: Time) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(outcome.flows.iter().map(row));
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| match column {
            0..WORDS => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    for flow in &outcome.flows {
        if let Some(error) = &flow.error {
            text += &format!("{}: {error}\n", flow.name);
        }
    }
    for note in &outcome.notes {
        text += &format!("{note}\n");
    }
    if outcome.missed > 0 {
        text += &format!("{} packets are missing in the captures\n", outcome.missed);
    }
    let wall = outcome.wall.as_secs_f64().max(1e-9);
    let (packets, memory) = (outcome.packets, outcome.memory_a_node / 1024);
    text += &match outcome.events {
        Some(events) => format!(
            "{nodes} nodes, {packets} packets captured, {events} events; {duration} in {wall:.2} s: {:.2} simulated seconds a second; {memory} KiB of memory a node\n",
            duration.seconds() / wall,
        ),
        None => format!(
            "{nodes} nodes, {packets} packets captured; {duration} of the machine's own time; {memory} KiB of memory a node\n"
        ),
    };
    text
}
