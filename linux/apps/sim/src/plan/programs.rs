//! Programs in nodes: that there is a node, something to run, and a time for it.

use super::Plan;
use super::names::{find, new_name, numbers};
use crate::quantity::Time;
use crate::topology::{self, Problem, Spanned, Topology};
use std::collections::BTreeMap;

/// The most threads of flows and programs that may be inside Linux at a time, where there is room for 1,024 with the others.
const MOST_THREADS: usize = 960;

/// How many of a flow's and of a program's may be there.
const THREADS: [usize; 2] = [2, 4];

/// A program that runs in a node.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// The node.
    pub node: usize,
    /// The program and its arguments.
    pub words: Vec<String>,
    /// When it begins.
    pub start: Time,
    /// When it is stopped.
    pub stop: Time,
    /// The exit status that it must have.
    pub expect: Option<u8>,
}

/// Adds the programs.
pub(super) fn add(plan: &mut Plan, topology: &Topology) -> Result<(), Problem> {
    let nodes = numbers(plan.nodes.iter().map(|node| &*node.name));
    let mut names = BTreeMap::new();
    let [of_flow, of_program] = THREADS;
    let taken = plan.flows.len().saturating_mul(of_flow);
    let most = MOST_THREADS.saturating_sub(taken) / of_program;
    for (number, program) in topology.program.iter().enumerate() {
        let name = new_name("program", &program.name, &mut names, number)?;
        if number >= most {
            let text = format!(
                "there are at most {most} programs beside {} flows",
                plan.flows.len()
            );
            return Err(Problem::at(&program.name, text));
        }
        let node = find("node", &program.node, &nodes)?;
        let (start, stop) = times(&name, program, plan.duration)?;
        plan.programs.push(Program {
            words: words(&name, program)?,
            name,
            node,
            start,
            stop,
            expect: program.expect.as_ref().map(|status| *status.get_ref()),
        });
    }
    Ok(())
}

/// Its command.
fn words(name: &str, program: &topology::Program) -> Result<Vec<String>, Problem> {
    let words = program.run.get_ref();
    if words.first().is_none_or(|word| word.get_ref().is_empty()) {
        let text = format!("{name}: there is no command; write run = [\"PROGRAM\", \"ARGUMENT\", ...]");
        return Err(Problem::at(&program.run, text));
    }
    if let Some(word) = words.iter().find(|word| word.get_ref().contains('\0')) {
        let text = format!("{name}: an argument cannot have a NUL in it");
        return Err(Problem::at(word, text));
    }
    Ok(words.iter().map(|word| word.get_ref().clone()).collect())
}

/// When it begins and is stopped.
fn times(name: &str, program: &topology::Program, duration: Time) -> Result<(Time, Time), Problem> {
    let given =
        |time: &Option<Spanned<Time>>, default: Time| time.as_ref().map_or(default, |time| *time.get_ref());
    let (start, stop) = (given(&program.start, Time(0)), given(&program.stop, duration));
    match (&program.start, &program.stop) {
        (Some(place), _) if start >= duration => Err(Problem::at(
            place,
            format_args!("{name}: the simulation is over at {duration}"),
        )),
        (_, Some(place)) if stop > duration => Err(Problem::at(
            place,
            format_args!("{name}: the simulation is over at {duration}"),
        )),
        (_, Some(place)) if stop <= start => Err(Problem::at(
            place,
            format_args!("{name}: it begins at {start}, and cannot be stopped before it has begun"),
        )),
        _ => Ok((start, stop)),
    }
}
