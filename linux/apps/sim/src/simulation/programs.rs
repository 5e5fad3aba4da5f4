//! Unmodified programs in nodes, in the machine's own time: each has a thread that starts it, stops it, and says how it has ended.

use super::clock::Clock;
use super::network::Network;
use super::world::{Task, World};
use crate::plan::{Plan, Program};
use crate::quantity::Time;
use crate::results::ProgramResult;
use lkl_net::Namespace;
use lkl_session::exit::reason;
use lklrun::{Job, Launcher, Running, names};
use rustix::process::Signal;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// From the wish that a program ends until it is killed.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a program is waited for before the clock is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Name servers that nodes know. There is none: a name that no node has is unknown at once.
const NO_SERVERS: &str = "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n";

/// Starts the threads of the programs, which wait for their times. Output goes into `folder`.
pub(super) fn start(
    launcher: Launcher,
    world: &World,
    clock: &Clock,
    network: &Network,
    plan: &Plan,
    folder: &Path,
) -> io::Result<Vec<Task<io::Result<ProgramResult>>>> {
    let folder = folder.join("programs");
    fs::create_dir_all(&folder)?;
    let launcher = Arc::new(launcher);
    let hosts = hosts(plan);
    let threads = plan.programs.iter().map(|program| {
        let file = |kind: &str| {
            let path = folder.join(format!("{}.{kind}", program.name));
            File::create(&path).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {}", path.display(), reason(&error)))
            })
        };
        let job = Job {
            output: Some([file("out")?, file("err")?]),
            files: vec![
                (names::HOSTS.into(), hosts.clone()),
                (names::SERVERS.into(), NO_SERVERS.to_owned()),
            ],
            ..program.words.iter().collect()
        };
        let of_node = network.namespace(program.node).cloned();
        let one = One {
            launcher: Arc::clone(&launcher),
            clock: clock.clone(),
            network: of_node.ok_or(io::ErrorKind::NotFound)?,
            node: plan.nodes[program.node].name.clone(),
            program: program.clone(),
        };
        world.spawn(move || {
            let name = one.program.name.clone();
            one.run(job)
                .map_err(|error| io::Error::new(error.kind(), format!("program {name}: {}", reason(&error))))
        })
    });
    threads.collect()
}

/// Every node's name, with all of its addresses.
fn hosts(plan: &Plan) -> String {
    names::hosts(plan.nodes.iter().flat_map(|node| {
        let addresses = node.interfaces.iter().flat_map(|interface| &interface.addresses);
        addresses.map(|address| (&*node.name, address.ip()))
    }))
}

/// A program, and what its thread needs.
struct One {
    launcher: Arc<Launcher>,
    clock: Clock,
    network: Namespace,
    node: String,
    program: Program,
}

impl One {
    /// Its life.
    fn run(self, job: Job) -> io::Result<ProgramResult> {
        self.clock.sleep_until(self.program.start);
        let (start, began) = (self.clock.now(), Instant::now());
        let running = self.launcher.run(&job, &self.network)?;
        while running.wait_timeout(LOOK.min(self.left())).is_none() && !self.left().is_zero() {}
        let in_time = running.end().is_some();
        if running.wait_timeout(Duration::ZERO).is_none() {
            stop(&running);
        }
        let end = running.wait();
        let length = running
            .end()
            .map(|(_, when)| when.saturating_duration_since(began));
        let length = u64::try_from(length.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
        Ok(ProgramResult {
            name: self.program.name,
            node: self.node,
            command: self.program.words.first().cloned().unwrap_or_default(),
            start,
            end: Time(start.0.saturating_add(length)),
            how: end,
            stopped: !in_time,
            expect: self.program.expect,
        })
    }

    /// How long until it is stopped.
    fn left(&self) -> Duration {
        let now = self.clock.now();
        Time(self.program.stop.0.saturating_sub(now.0)).duration()
    }
}

/// Asks it to end, and kills what is left then.
fn stop(running: &Running) {
    running.signal(Signal::TERM);
    if running.wait_timeout(PATIENCE).is_none() {
        running.kill();
    }
}
