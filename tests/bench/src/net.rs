//! Linux's network stack as a library beside this machine's own, over an Ethernet between two name spaces of this machine's.
//!
//! The server is the machine's own stack, in the near name space ([`crate::ethernet`]); the client is the library, or the far one.
//!
//! `peer`, an example of `lkl-net-setup`, measures single connections: bulk both ways and round trips. `lklget` and `curl` are
//! programs as users run them, start included. Subjects take turns, several rounds of them, and medians count. CPU time is that of the
//! client and the server together, since it is not fixed which of two processes pays for a packet on its way.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::ethernet::{Ethernet, Subject, children_cpu, cpu, figure, turns};
use crate::hosted;
use crate::trees::well;

/// MiB of one stream, and of each of eight.
const ONE: u64 = 2048;
const EIGHT: u64 = 256;
/// MiB when each packet is complete, and round trips.
const PLAIN: u64 = 256;
const TRIPS: u64 = 20_000;
const PORT: u16 = 7000;

/// The programs that are measured.
pub struct Programs<'a> {
    pub peer: &'a Path,
    pub lklget: &'a Path,
    pub lklrun: &'a Path,
}

/// What one run was.
#[derive(Clone, Copy)]
struct Run {
    seconds: f64,
    /// Of CPU time, client and server.
    cpu: f64,
}

/// Measures and prints the tables.
pub fn run(programs: &Programs<'_>) -> Result<()> {
    // What is fetched goes into memory.
    let place = PathBuf::from(format!("/dev/shm/lklbench-{}", std::process::id()));
    println!(
        "{:<34}{:>16}{:>10}{:>22}",
        "", "native", "library", "CPU s/GiB (lib)"
    );
    for mtu in [1500, 9000] {
        for plain in [false, true] {
            let world = World::new(programs.peer, mtu, plain)?;
            let name = |what: &str| {
                let packets = if plain { "complete" } else { "offloads" };
                format!("{what}, {mtu}, {packets}")
            };
            let mebibytes = if plain { PLAIN } else { ONE };
            for (what, word) in [
                ("bulk to the server", "send"),
                ("bulk from the server", "receive"),
            ] {
                let runs = turns(&name(what), |who| world.peer(programs.peer, who, word, mebibytes))?;
                row(&name(what), runs, mebibytes);
            }
            let trips = turns(&name("round trip"), |who| {
                world.peer(programs.peer, who, "trip", TRIPS)
            })?;
            trip(&name("round trip"), trips);
            if plain {
                continue;
            }
            let one = turns(&name("one URL"), |who| world.fetch_one(programs.lklget, who))?;
            row(&name("one URL"), one, ONE);
            let eight = turns(&name("eight URLs"), |who| {
                world.fetch_eight(programs.lklget, who, &place)
            })?;
            row(&name("eight URLs"), eight, 8 * EIGHT);
        }
    }
    hosted::run(programs.lklrun)
}

/// MiB a second, how many times that the library does, and what it costs.
fn row(name: &str, [native, library]: [Vec<Run>; 2], mebibytes: u64) {
    let time = |runs: &[Run]| figure(runs, |run| run.seconds);
    let cost = |runs: &[Run]| figure(runs, |run| run.cpu) * 1024.0 / mebibytes as f64;
    println!(
        "{name:<34}{:>16}{:>10}{:>22}",
        format!("{:.0} MiB/s", mebibytes as f64 / time(&native)),
        format!("{:.2} x", time(&native) / time(&library)),
        format!("{:.2} ({:.2})", cost(&native), cost(&library)),
    );
}

/// Microseconds, and how many times as fast the library is.
fn trip(name: &str, [native, library]: [Vec<Run>; 2]) {
    let time = |runs: &[Run]| figure(runs, |run| run.seconds) / TRIPS as f64 * 1e6;
    println!(
        "{name:<34}{:>16}{:>10}",
        format!("{:.1} us", time(&native)),
        format!("{:.2} x", time(&native) / time(&library)),
    );
}

/// An Ethernet with a server on the machine's own stack.
struct World {
    ethernet: Ethernet,
    plain: bool,
    server: Child,
}

impl World {
    fn new(peer: &Path, mtu: u32, plain: bool) -> Result<World> {
        let ethernet = Ethernet::new(mtu, plain)?;
        let mut command = ethernet.near(peer);
        command.args(["serve", &format!("0.0.0.0:{PORT}")]);
        let mut server = command.stdout(Stdio::piped()).spawn()?;
        let out = server.stdout.take().context("no output")?;
        let world = World {
            ethernet,
            plain,
            server,
        };
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        ensure!(line.starts_with("listening"), "the server says {line:?}");
        Ok(world)
    }

    /// The server's address for that client.
    fn address(&self, subject: Subject) -> String {
        format!("{}:{PORT}", self.ethernet.near_address(subject))
    }

    /// Runs it: how long it took, and what it and the server used.
    fn timed(&self, command: &mut Command) -> Result<Run> {
        let before = self.cpu()?;
        let start = Instant::now();
        well(command)?;
        Ok(Run {
            seconds: start.elapsed().as_secs_f64(),
            cpu: self.cpu()? - before,
        })
    }

    /// Seconds of all clients that have ended, and of the server.
    fn cpu(&self) -> Result<f64> {
        Ok(children_cpu()? + cpu(self.server.id())?)
    }

    fn peer(&self, peer: &Path, subject: Subject, what: &str, count: u64) -> Result<Run> {
        let mut command = self.ethernet.far(subject, peer);
        command.args(["measure", what, &self.address(subject), &count.to_string()]);
        if subject == Subject::Native {
            command.arg("--native");
        } else {
            self.ethernet.network(&mut command);
            command.args(self.plain.then_some("--plain"));
        }
        let before = cpu(self.server.id())?;
        let output = command.output()?;
        ensure!(
            output.status.success(),
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let server = cpu(self.server.id())? - before;
        // The client tells its own, without what its start took.
        let text = String::from_utf8(output.stdout)?;
        let figures = text.split_ascii_whitespace().map(str::parse::<f64>);
        let figures = figures.collect::<Result<Vec<f64>, _>>()?;
        let [seconds, client] = *figures else {
            anyhow::bail!("no result: {text}");
        };
        Ok(Run {
            seconds,
            cpu: server + client,
        })
    }

    fn fetch_one(&self, lklget: &Path, subject: Subject) -> Result<Run> {
        let url = format!("http://{}/{ONE}/", self.address(subject));
        let mut command = match subject {
            Subject::Native => {
                let mut command = self.ethernet.far(subject, "curl");
                command.arg("-s");
                command
            }
            Subject::Library => {
                let mut command = self.ethernet.far(subject, lklget);
                command.args(["-q", "--http1", "-o", "-"]);
                self.ethernet.network(&mut command);
                command
            }
        };
        self.timed(command.arg(url).stdout(Stdio::null()))
    }

    /// Eight at once, into files in memory.
    fn fetch_eight(&self, lklget: &Path, subject: Subject, folder: &Path) -> Result<Run> {
        fs::create_dir_all(folder)?;
        let urls = (0..8).map(|number| format!("http://{}/{EIGHT}/{number}", self.address(subject)));
        let mut command = match subject {
            Subject::Native => {
                let mut command = self.ethernet.far(subject, "curl");
                command.args(["-s", "-Z", "--parallel-immediate"]);
                for (number, url) in urls.enumerate() {
                    command.arg("-o").arg(folder.join(number.to_string())).arg(url);
                }
                command
            }
            Subject::Library => {
                let mut command = self.ethernet.far(subject, lklget);
                command.args(["-q", "--http1", "-j", "8", "-o"]).arg(folder);
                self.ethernet.network(&mut command);
                command.args(urls);
                command
            }
        };
        let run = self.timed(&mut command);
        let whole = fs::read_dir(folder)?
            .flatten()
            .filter_map(|entry| entry.metadata().ok());
        let whole = whole.filter(|file| file.len() == EIGHT << 20).count();
        fs::remove_dir_all(folder)?;
        ensure!(whole == 8, "{whole} of 8 files are whole");
        run
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
