//! A run: one Linux, in virtual time or in the machine's own, in which a plan's network, flows and events are.
//!
//! Each part of a flow is a thread, which takes part in virtual time; so are the events, the sampler and the capture. The thread that
//! runs the simulation sleeps through it, and tells how far it is.

mod capture;
mod clock;
mod flow;
mod isolate;
mod network;
mod programs;
mod world;

use crate::plan::{Event, Plan};
use crate::quantity::Time;
use crate::results::{Outcome, ProgramResult};
use capture::{Capture, Captured};
use clock::Clock;
pub use isolate::{run as run_isolated, run_node};
use linux_full as _;
use lkl_host_virtual::{BootConfig, Halt, Kernel};
use lkl_session::exit::{Exit, Failure, reason};
use lkl_session::program::Program;
use lklrun::Launcher;
use network::Network;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use world::{Task, World};

/// How often the progress is told.
const STEPS: u64 = 200;

/// From when the network is there to when the simulation begins, in nanoseconds.
const PREPARATION: u64 = 20_000_000;

const MIB: usize = 1 << 20;

/// Memory for Linux, in MiB: for itself, and for a node.
const MEMORY: [usize; 2] = [96, 1];

/// And for a flow or a program.
const FLOW: usize = 12;

/// What could not be done, of the simulation as a whole.
fn failed(kernel: &Kernel, error: &io::Error) -> Failure {
    if kernel.is_dead() {
        return Failure::new(
            Exit::Kernel,
            format_args!(
                "Linux stopped during the simulation; say what the topology is when you report this ({error})"
            ),
        );
    }
    let advice = match error.kind() {
        io::ErrorKind::OutOfMemory => "; give Linux more memory with --memory",
        io::ErrorKind::NotFound => "; is the name right?",
        _ => "",
    };
    Failure::new(Exit::Other, format_args!("{}{advice}", reason(error)))
}

/// Runs a plan, in virtual time or in the machine's own, which programs need. Captures go into `folder`; `progress` is told how far
/// it is. This process has one thread yet if there are programs.
///
/// # Errors
/// Linux does not boot, has no memory, or refuses a setting; a file cannot be written.
pub fn run(
    plan: &Plan,
    real: bool,
    memory: Option<u32>,
    folder: &Path,
    progress: &mut dyn FnMut(Time),
) -> Result<Outcome, Failure> {
    let launcher = launcher(plan)?;
    let [own, node] = MEMORY;
    let guess = own + node * plan.nodes.len() + FLOW * (plan.flows.len() + plan.programs.len());
    let mib = memory.map_or(guess, |memory| usize::try_from(memory).unwrap_or(usize::MAX));
    let command_line = format!("loglevel=3 lkl_seed={}", format!("{:016x}", plan.seed).repeat(4));
    let config = BootConfig {
        pool_size: mib.saturating_mul(MIB),
        command_line: &command_line,
    };
    let (kernel, world) = world::boot(real, &config).map_err(|error| {
        let text = format!("Linux does not boot with {mib} MiB: {error:?}; say another --memory");
        Failure::new(Exit::Kernel, text)
    })?;
    let done = within(plan, launcher, &kernel, &world, folder, progress);
    let done = done.map_err(|error| failed(&kernel, &error));
    let halted = kernel.halt();
    let outcome = done?;
    match halted {
        Halt::Whole => Ok(outcome),
        other => Err(Failure::new(
            Exit::Kernel,
            format_args!("Linux did not end as it should ({other:?}); the results are written"),
        )),
    }
}

/// What starts programs, if there are any. There are no threads yet.
fn launcher(plan: &Plan) -> Result<Option<Launcher>, Failure> {
    if plan.programs.is_empty() {
        return Ok(None);
    }
    let started = Launcher::start(Program::new("lklsim"));
    let failed = |error| Failure::new(Exit::Other, format_args!("processes: {}", reason(&error)));
    started.map(Some).map_err(failed)
}

fn within(
    plan: &Plan,
    launcher: Option<Launcher>,
    kernel: &Kernel,
    world: &World,
    folder: &Path,
    progress: &mut dyn FnMut(Time),
) -> io::Result<Outcome> {
    let began = Instant::now();
    let free = |kernel: &Kernel| kernel.free_bytes().map_err(lkl_net::io_error);
    let before = free(kernel)?;
    let network = Arc::new(Network::build(kernel, plan)?);
    // What Linux does by itself about it, it does now.
    world.sleep_until_ns(world.elapsed_ns().saturating_add(PREPARATION));
    let after = free(kernel)?;
    let build = began.elapsed();
    let clock = Clock::new(world);
    let capture = match plan.capture {
        Some(snaplen) => {
            let links = folder.join("links");
            Capture::start(world, &clock, &network, plan, snaplen, &links)?
        }
        None => None,
    };
    let flows: Vec<flow::Running> = plan
        .flows
        .iter()
        .zip(0..)
        .map(|(flow, number)| flow::start(world, &clock, &network, plan, flow, number))
        .collect::<io::Result<_>>()?;
    let over = Arc::new(AtomicBool::new(false));
    let sampler = flow::sample(world, &clock, &flows, &over)?;
    let programs = match launcher {
        Some(launcher) => programs::start(launcher, world, &clock, &network, plan, folder)?,
        None => Vec::new(),
    };
    let events = start_events(world, &clock, &network, &plan.events)?;
    let (started, events_before) = (Instant::now(), world.events());
    until(plan.duration, kernel, &clock, progress)?;
    let programs: Vec<ProgramResult> = programs
        .into_iter()
        .map(|task| joined(task)?)
        .collect::<io::Result<_>>()?;
    over.store(true, Ordering::Release);
    let samples = joined(sampler)?;
    let notes = joined(events)?;
    let results = flows
        .into_iter()
        .map(|flow| Ok(flow.finish()?.result(plan, &samples)))
        .collect::<io::Result<_>>()?;
    let captured = capture.map_or(Ok(Captured::default()), Capture::stop)?;
    Ok(Outcome {
        flows: results,
        programs,
        rules: network.rules()?,
        samples,
        notes: notes
            .into_iter()
            .map(|(event, why)| about_event(&plan.events[event], &why))
            .collect(),
        packets: captured.packets,
        missed: captured.missed,
        build,
        wall: started.elapsed(),
        events: world
            .events()
            .zip(events_before)
            .map(|(now, before)| now.saturating_sub(before)),
        memory_a_node: before.saturating_sub(after) / u64::try_from(plan.nodes.len().max(1)).unwrap_or(1),
    })
}

/// Sleeps until the simulation is over, unless Linux has stopped.
fn until(duration: Time, kernel: &Kernel, clock: &Clock, progress: &mut dyn FnMut(Time)) -> io::Result<()> {
    for step in 1..=STEPS {
        let time = Time(duration.0 / STEPS * step);
        clock.sleep_until(time);
        progress(time);
        if kernel.is_dead() {
            return Err(io::Error::other("ENODEV"));
        }
    }
    clock.sleep_until(duration);
    Ok(())
}

fn joined<T>(task: Task<T>) -> io::Result<T> {
    task.join()
        .map_err(|_| io::Error::other("a thread of the simulation has panicked"))
}

/// What results say of an event that did not go well.
fn about_event(event: &Event, why: &str) -> String {
    format!("event at {}: {why}", event.at)
}

/// Has the events happen, each at its time. What did not go well is told, with the number of the event.
fn start_events(
    world: &World,
    clock: &Clock,
    network: &Arc<Network>,
    events: &[Event],
) -> io::Result<Task<Vec<(usize, String)>>> {
    let (clock, network, events) = (clock.clone(), Arc::clone(network), events.to_vec());
    world.spawn(move || {
        let mut notes = Vec::new();
        for (number, event) in events.into_iter().enumerate() {
            clock.sleep_until(event.at);
            if let Err(error) = network.happen(&event.kind) {
                notes.push((number, reason(&error)));
            }
        }
        notes
    })
}
