//! The processes of the nodes, as the coordinator has them. None of them outlives this.
//!
//! A thread waits for the first process to end before its time. It then shuts all sockets down, so that the coordinator, which waits for them,
//! notices it.

use super::report::{Fault, Order, Report};
use super::shared::Shared;
use super::wire::{Kind, Wire};
use crate::plan::Plan;
use lkl_session::exit::{Exit, Failure, reason};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus, waitid};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// How long the thread that waits may take to say which process has ended, when a socket says that one has.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often one looks how far the simulation is.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

struct Process {
    name: String,
    child: Child,
    wire: Wire,
}

/// All of them.
pub(super) struct Processes {
    all: Vec<Process>,
    /// Which process has ended before its time, and how.
    ended: Receiver<(usize, String)>,
}

fn failed(what: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Other, format_args!("{what}: {}", reason(error)))
}

impl Processes {
    /// Starts one for each node, and tells it its order.
    pub(super) fn start(
        plan: &Plan,
        shared: &Shared,
        folder: &Path,
        order: impl Fn(usize) -> Order,
    ) -> Result<Processes, Failure> {
        let program = std::env::current_exe().map_err(|error| failed("lklsim's own file", &error))?;
        let (ends, ended) = mpsc::channel();
        let mut processes = Processes {
            all: Vec::new(),
            ended,
        };
        for node in &plan.nodes {
            let process = one(&program, shared, folder, &node.name);
            processes
                .all
                .push(process.map_err(|error| failed(&node.name, &error))?);
        }
        let watched = processes.all.iter().map(|process| {
            let pid = i32::try_from(process.child.id()).ok().and_then(Pid::from_raw);
            Ok((pid, process.wire.socket().try_clone()?))
        });
        let watched: Vec<_> = watched
            .collect::<io::Result<_>>()
            .map_err(|error| failed("processes of nodes", &error))?;
        std::thread::spawn(move || watch(&watched, &ends));
        for node in 0..processes.all.len() {
            processes.say(node, Kind::Plan, &order(node))?;
        }
        Ok(processes)
    }

    /// The failure that it is when a node's process says nothing, or no sense.
    fn lost(&mut self, node: usize, error: &io::Error) -> Failure {
        match self.ended.recv_timeout(PATIENCE) {
            Ok((ended, how)) => {
                let name = &self.all[ended].name;
                Failure::new(Exit::Other, format_args!("node {name}: its process {how}"))
            }
            Err(_) => failed(&format!("node {}", self.all[node].name), error),
        }
    }

    /// Tells a node something.
    pub(super) fn say(&mut self, node: usize, kind: Kind, what: &impl Serialize) -> Result<(), Failure> {
        let said = self.all[node].wire.say(kind, what);
        said.map_err(|error| self.lost(node, &error))
    }

    fn message(&mut self, node: usize, kind: Kind) -> Result<Vec<u8>, Failure> {
        match self.all[node].wire.hear() {
            Ok((heard, message)) if heard == kind => Ok(message),
            Ok((Kind::Failure, message)) => {
                let fault: Result<Fault, _> = serde_json::from_slice(&message);
                let fault = fault.map_err(|error| self.lost(node, &error.into()))?;
                let failure = Failure::from(fault);
                let (name, why) = (&self.all[node].name, &failure.message);
                // What Linux refuses is named after the node already.
                Err(match why.starts_with(&format!("{name}: ")) {
                    true => failure,
                    false => Failure::new(failure.exit, format_args!("{name}: {why}")),
                })
            }
            Ok(_) => Err(self.lost(node, &io::ErrorKind::InvalidData.into())),
            Err(error) => Err(self.lost(node, &error)),
        }
    }

    /// Waits for what a node says.
    pub(super) fn hear<T: DeserializeOwned>(&mut self, node: usize, kind: Kind) -> Result<T, Failure> {
        let message = self.message(node, kind)?;
        serde_json::from_slice(&message).map_err(|error| self.lost(node, &error.into()))
    }

    /// Waits for the reports of all nodes. Meanwhile `look` is called now and then.
    pub(super) fn reports(&mut self, look: &mut dyn FnMut()) -> Result<Vec<Report>, Failure> {
        let mut reports: Vec<Option<Report>> = Vec::new();
        reports.resize_with(self.all.len(), || None);
        while reports.iter().any(Option::is_none) {
            let waiting: Vec<usize> = (0..self.all.len())
                .filter(|node| reports[*node].is_none())
                .collect();
            let sockets = waiting
                .iter()
                .map(|node| PollFd::new(self.all[*node].wire.socket(), PollFlags::IN));
            let mut sockets: Vec<PollFd<'_>> = sockets.collect();
            match poll(&mut sockets, Some(&LOOK)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(failed("processes of nodes", &error.into())),
            }
            let told: Vec<bool> = sockets
                .iter()
                .map(|socket| !socket.revents().is_empty())
                .collect();
            for (node, _) in waiting.into_iter().zip(told).filter(|(_, told)| *told) {
                reports[node] = Some(self.hear(node, Kind::Report)?);
            }
            look();
        }
        Ok(reports.into_iter().flatten().collect())
    }

    /// The memory of all of them, in bytes: pages that several processes have are divided between these.
    pub(super) fn memory(&self) -> u64 {
        let one = |process: &Process| {
            let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.child.id())).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
            Some(kib.saturating_mul(1024))
        };
        self.all.iter().filter_map(one).sum()
    }

    /// Lets all of them end, which have said everything.
    pub(super) fn end(mut self) {
        for process in &self.all {
            // One that is gone has no other end.
            let _ = process.wire.socket().shutdown(Shutdown::Both);
        }
        for process in &mut self.all {
            let _ = process.child.wait();
        }
        self.all.clear();
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for process in &mut self.all {
            // It may have ended already.
            let _ = process.child.kill();
        }
        for process in &mut self.all {
            let _ = process.child.wait();
        }
    }
}

fn one(program: &Path, shared: &Shared, folder: &Path, name: &str) -> io::Result<Process> {
    let (here, there) = UnixStream::pair()?;
    let child = Command::new(program)
        .args(["node", name])
        .arg(folder)
        .stdin(Stdio::from(OwnedFd::from(there)))
        .stdout(Stdio::from(shared.file().try_clone()?))
        .spawn()?;
    Ok(Process {
        name: name.to_owned(),
        child,
        wire: Wire::new(here),
    })
}

/// Waits for the first process that ends, says which one it is, and shuts all sockets down.
fn watch(all: &[(Option<Pid>, UnixStream)], ends: &Sender<(usize, String)>) {
    // The status is left for those who wait for their own child.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    if !matches!(waitid(WaitId::All, options), Ok(Some(_))) {
        return;
    }
    for (number, (pid, _)) in all.iter().enumerate() {
        let status = pid.map(|pid| waitid(WaitId::Pid(pid), options | WaitIdOptions::NOHANG));
        if let Some(Ok(Some(status))) = status {
            // Nobody may listen any more.
            let _ = ends.send((number, description(&status)));
        }
    }
    for (_, socket) in all {
        let _ = socket.shutdown(Shutdown::Both);
    }
}

/// How a process has ended.
fn description(status: &WaitIdStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
