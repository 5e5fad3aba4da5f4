//! The command line: `lklsim check` and `lklsim run`.

use crate::plan::Plan;
use crate::quantity::{Network, Time};
use crate::simulation;
use clap::{Parser, Subcommand, ValueHint};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lkl_session::exit::{Exit, Failure, reason, stdout_failure};
use lkl_session::program::Program;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const NAME: &str = "lklsim";

const ABOUT: &str = "\
Simulates a network in which every node has Linux's whole network stack: its TCP, its queues, its bridge, its routing.

One Linux runs inside of this program, with a network name space a node, in virtual time: the clock jumps to the next event whenever \
Linux is idle. Nothing depends on the machine's speed, and the same topology and seed give the same packets, to the byte. No rights are \
needed, and the machine's own network is not touched.";

const HELP: &str = "\
A topology is a file of TOML:
  [simulation]                       duration = \"10s\"; seed, capture = false, snaplen, ipv6 = true
  [[node]]                           name, kind = \"host\", \"router\", \"firewall\" or \"switch\"; stp, routes = \"static\", route, rule, sysctls
  [[link]]                           ends = [\"a\", \"b\"]; name, addresses, addresses6, rate, delay, jitter, loss, queue, forward, back
  [[flow]]                           name, kind = \"ping\", \"tcp\", \"udp\" or \"http\", from, to; ip = 6, start, duration, ...
  [[event]]                          at = \"3s\", and down, up, crash, change or route
  [[program]]                        name, node, run = [\"PROGRAM\", \"ARGUMENT\", ...]; start, stop, expect = 0: a program of this machine
                                     on the node's network, with --realtime only

For example:
  [simulation]
  duration = \"10s\"
  [[node]]
  name = \"a\"
  kind = \"host\"
  [[node]]
  name = \"b\"
  kind = \"host\"
  [[link]]
  ends = [\"a\", \"b\"]
  rate = \"10mbit\"
  delay = \"20ms\"
  queue = 50
  [[flow]]
  name = \"bulk\"
  kind = \"tcp\"
  from = \"a\"
  to = \"b\"
  congestion = \"bbr\"

Results: flows.csv and flows.json (a flow each), series.csv (each 100 ms), goodput.svg, cwnd.svg, links/NAME.pcapng, programs.csv, \
programs/NAME.out and .err.

Exit codes:
  0    everything was done
  1    Linux refuses something that the topology asks for, or a program did not end as it should
  2    the command line or the topology is wrong; for the latter the line says where
  3    the topology cannot be read
  7    Linux stopped (a kernel panic, contained in this process)
  8    the results cannot be written, or the folder holds something already";

/// Simulates a network in which every node has Linux's whole network stack
#[derive(Parser, Debug)]
#[command(name = NAME, version, long_about = ABOUT, after_long_help = HELP, subcommand_required = true,
          arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Check a topology, and show the addresses that its nodes get
    Check {
        /// The topology
        #[arg(value_name = "TOPOLOGY.toml", value_hint = ValueHint::FilePath)]
        topology: PathBuf,
    },
    /// Run a topology
    Run {
        /// The topology
        #[arg(value_name = "TOPOLOGY.toml", value_hint = ValueHint::FilePath)]
        topology: PathBuf,
        /// The folder of the results; it is made, or must be empty
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: PathBuf,
        /// What chance follows from [default: the topology's, or 1]
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        /// Take the machine's own time instead of virtual time: no two runs are the same, and a busy machine delays packets
        #[arg(long)]
        realtime: bool,
        /// Give each node a process with a Linux of its own, instead of a name space of one Linux
        #[arg(long, conflicts_with = "realtime")]
        isolate: bool,
        /// Memory for Linux [default: 96, and 1 a node, and 12 a flow; with --isolate, of each node: 64, and 12 for each of its flows]
        #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(32..=65_536))]
        memory: Option<u32>,
        /// Print no table and no progress
        #[arg(short, long)]
        quiet: bool,
    },
    /// The process of a node, which a run with --isolate starts
    #[command(hide = true)]
    Node {
        /// Which one it is, for lists of processes
        name: String,
        /// The folder of the results
        folder: PathBuf,
    },
}

/// The program, from beginning to end.
pub fn main() -> ExitCode {
    Program::new(NAME).main(run)
}

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Check { topology } => {
            let (plan, _) = read(&topology)?;
            print(&description(&topology, &plan))
        }
        Command::Run {
            topology,
            out,
            seed,
            realtime,
            isolate,
            memory,
            quiet,
        } => {
            let (mut plan, text) = read(&topology)?;
            plan.seed = seed.unwrap_or(plan.seed);
            if let (Some(program), false) = (plan.programs.first(), realtime) {
                let (file, name) = (topology.display(), &program.name);
                return Err(Failure::new(
                    Exit::Usage,
                    format_args!(
                        "{file}: program {name} runs in the machine's own time alone; say --realtime"
                    ),
                ));
            }
            empty_folder(&out)?;
            let bar = bar(plan.duration, quiet);
            let mut progress = |time: Time| bar.set_position(time.0 / 1_000_000);
            let outcome = match isolate {
                true => simulation::run_isolated(&plan, &text, memory, &out, &mut progress),
                false => simulation::run(&plan, realtime, memory, &out, &mut progress),
            };
            bar.finish_and_clear();
            let outcome = outcome?;
            outcome.write(&out, plan.seed, plan.duration)?;
            if !quiet {
                print(&outcome.summary(plan.nodes.len(), plan.duration))?;
            }
            outcome.judge()
        }
        Command::Node { folder, name: _ } => simulation::run_node(&folder),
    }
}

/// Reads a topology, and gives its text besides.
fn read(path: &Path) -> Result<(Plan, String), Failure> {
    let file = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| {
        let why = reason(&error);
        Failure::new(
            Exit::Image,
            format_args!("{file}: {why}; name a topology, see {NAME} --help"),
        )
    })?;
    match Plan::parse(&text) {
        Ok(plan) => Ok((plan, text)),
        Err(problem) => Err(Failure::new(Exit::Usage, problem.line(&file, &text))),
    }
}

/// Makes the folder of the results.
fn empty_folder(path: &Path) -> Result<(), Failure> {
    let failed = |why: String| {
        let path = path.display();
        Err(Failure::new(Exit::Destination, format_args!("{path}: {why}")))
    };
    match fs::create_dir_all(path).and_then(|()| fs::read_dir(path)) {
        Err(error) => failed(format!("{}; name a folder that you may write to", reason(&error))),
        Ok(mut entries) => match entries.next() {
            Some(_) => failed("there are files in it already; name another folder".to_owned()),
            None => Ok(()),
        },
    }
}

/// The progress, in milliseconds of virtual time; hidden where standard error is no terminal.
fn bar(duration: Time, quiet: bool) -> ProgressBar {
    let target = match std::io::stderr().is_terminal() && !quiet {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(duration.0 / 1_000_000), target);
    // A template that were wrong would leave the default one.
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} ms  {elapsed}, {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| stdout_failure(&error))
}

/// What a topology comes to.
fn description(path: &Path, plan: &Plan) -> String {
    let mut text = format!(
        "{}: {} nodes, {} links, {} flows, {} events, {} programs; {}\n",
        path.display(),
        plan.nodes.len(),
        plan.links.len(),
        plan.flows.len(),
        plan.events.len(),
        plan.programs.len(),
        plan.duration,
    );
    for node in &plan.nodes {
        for interface in &node.interfaces {
            let addresses: Vec<String> = interface.addresses.iter().map(Network::to_string).collect();
            let address = match addresses.is_empty() {
                true => "-".to_owned(),
                false => addresses.join(" "),
            };
            let link = &plan.links[interface.link].name;
            text += &format!("{} {} {address} {link}\n", node.name, interface.name);
        }
    }
    text
}
