//! The process of one node: a Linux whose clock goes on in rounds with those of the others.

use super::cable::Cables;
use super::report::{Fault, Order, Report};
use super::rounds::layout;
use super::shared::Shared;
use super::wire::{Kind, Wire};
use crate::plan::{Plan, Route};
use crate::quantity::{Network as IpNetwork, Time};
use crate::simulation::capture::{Capture, Captured};
use crate::simulation::clock::Clock;
use crate::simulation::network::Network;
use crate::simulation::world::World;
use crate::simulation::{FLOW, MIB, flow, joined, start_events, until};
use lkl_host_virtual::{BootConfig, Conductor, Halt, Kernel, Start};
use lkl_session::exit::{Exit, Failure, reason};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Memory for a node's Linux, in MiB, beside that for its flows.
const MEMORY: usize = 64;

fn failed(error: &io::Error) -> Failure {
    Failure::new(Exit::Other, reason(error))
}

/// The process, from beginning to end. Its standard input is the socket to the coordinator, and its standard output the memory of all nodes.
///
/// # Errors
/// There is no coordinator. What else fails the coordinator hears, and tells.
pub fn run(folder: &Path) -> Result<(), Failure> {
    // It ends with the coordinator, whatever that is doing. One that has ended already is noticed by its silence.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let socket = io::stdin().as_fd().try_clone_to_owned();
    let mut wire = Wire::new(socket.map_err(|error| failed(&error))?.into());
    let order: Order = wire.hear_of(Kind::Plan).map_err(|_| {
        let text = "this is how a simulation starts the process of a node; write lklsim run --isolate";
        Failure::new(Exit::Usage, text)
    })?;
    let mut plan = Plan::without_routes(&order.topology)
        .map_err(|problem| Failure::new(Exit::Usage, problem.line("topology", &order.topology)))?;
    plan.seed = order.seed;
    for (to, via) in order.routes {
        let to: IpNetwork = to.parse().map_err(|error| Failure::new(Exit::Usage, error))?;
        plan.nodes[order.node].routes.push(Route { to, via });
    }
    let shared = shared(&plan).map_err(|error| failed(&error))?;
    let cables = Arc::new(Cables::new(&plan, order.node, &Arc::new(shared)));
    let told = match node(&plan, order.node, order.memory, &cables, &mut wire, folder) {
        Ok(report) => wire.say(Kind::Report, &report),
        Err(failure) => wire.say(Kind::Failure, &Fault::from(&failure)),
    };
    // A coordinator that is not there any more has said why, or cannot.
    if told.is_ok() {
        wire.wait_for_end();
    }
    Ok(())
}

/// The memory of all nodes, which is standard output. From then on standard output is nothing: what is written there must not get into the memory.
fn shared(plan: &Plan) -> io::Result<Shared> {
    let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdout(File::create("/dev/null")?)?;
    Shared::of(file, layout(plan))
}

/// A seed of the node's own.
fn seed_of(seed: u64, node: usize) -> u64 {
    let node = u64::try_from(node).unwrap_or(0).wrapping_add(1);
    (seed ^ node.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xd134_2543_de82_ef95)
}

/// Boots Linux and has the node take part. Afterwards Linux is halted, if all went well.
fn node(
    plan: &Plan,
    number: usize,
    memory: Option<u32>,
    cables: &Arc<Cables>,
    wire: &mut Wire,
    folder: &Path,
) -> Result<Report, Failure> {
    let flows = plan.flows.iter();
    let flows = flows
        .filter(|flow| [flow.from, flow.to].contains(&number))
        .count();
    let mib = memory.map_or(MEMORY + FLOW * flows, |memory| {
        usize::try_from(memory).unwrap_or(usize::MAX)
    });
    let seed = format!("{:016x}", seed_of(plan.seed, number)).repeat(4);
    let config = BootConfig {
        pool_size: mib.saturating_mul(MIB),
        command_line: &format!("loglevel=3 lkl_seed={seed}"),
    };
    let booted = lkl_host_virtual::boot(Default::default(), Start::default(), &config);
    let (kernel, world) = booted.map_err(|error| {
        let text = format!("Linux does not boot with {mib} MiB: {error:?}; say another --memory");
        Failure::new(Exit::Kernel, text)
    })?;
    let report = within(plan, number, &kernel, &world, cables, wire, folder);
    let report = report.map_err(|error| crate::simulation::failed(&kernel, &error))?;
    match kernel.halt() {
        Halt::Whole => Ok(report),
        other => Err(Failure::new(
            Exit::Kernel,
            format_args!("Linux did not end as it should ({other:?})"),
        )),
    }
}

fn within(
    plan: &Plan,
    number: usize,
    kernel: &Kernel,
    virtual_world: &lkl_host_virtual::World,
    cables: &Arc<Cables>,
    wire: &mut Wire,
    folder: &Path,
) -> io::Result<Report> {
    let network = Arc::new(Network::build_node(kernel, plan, number, cables.plugs())?);
    wire.say(Kind::Built, &virtual_world.elapsed_ns())?;
    let zero: u64 = wire.hear_of(Kind::Begin)?;
    // What is made before time begins is there for the packets of all nodes.
    let world = World::Virtual(virtual_world.clone());
    let clock = Clock::beginning_at(&world, zero);
    let capture = match plan.capture {
        Some(snaplen) => Capture::start(&world, &clock, &network, plan, snaplen, &folder.join("links"))?,
        None => None,
    };
    let here = plan.flows.iter().zip(0..);
    let here = here.filter(|(flow, _)| [flow.from, flow.to].contains(&number));
    let flows: Vec<flow::Running> = here
        .map(|(flow, number)| flow::start(&world, &clock, &network, plan, flow, number))
        .collect::<io::Result<_>>()?;
    let over = Arc::new(AtomicBool::new(false));
    let sampler = match flows.is_empty() {
        true => None,
        false => Some(flow::sample(&world, &clock, &flows, &over)?),
    };
    let events = start_events(&world, &clock, &network, &plan.events)?;
    let bell = Arc::new(virtual_world.bell());
    let its_bell = Arc::clone(&bell);
    cables.plug_in(virtual_world, move || its_bell.ring());
    virtual_world.conduct(Arc::<Cables>::clone(cables) as Arc<dyn Conductor>);
    clock.sleep_until(Time(0));
    let before = virtual_world.events();
    until(plan.duration, kernel, &clock, &mut |_| ())?;
    over.store(true, Ordering::Release);
    let samples = sampler.map_or(Ok(Vec::new()), joined)?;
    let notes = joined(events)?;
    let parts = flows.into_iter().map(flow::Running::finish);
    let parts = parts.collect::<io::Result<_>>()?;
    let events = virtual_world.events().saturating_sub(before);
    cables.done();
    bell.wait_until_ns(u64::MAX);
    let captured = capture.map_or(Ok(Captured::default()), Capture::stop)?;
    let rules = network.rules()?.into_iter().map(Into::into).collect();
    Ok(Report {
        parts,
        samples,
        notes,
        rules,
        captured,
        events,
    })
}
