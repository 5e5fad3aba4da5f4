//! Linux's network stack as a library beside this machine's own, over an Ethernet between two name spaces of this machine's.
//!
//! The server is the machine's own stack, in a name space. The library's end is a TAP device of that name space; the machine's end, with
//! which it is compared, is another name space at the other end of a veth pair. Both carry the same packets: as large, and as
//! incomplete, as is allowed.
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

use crate::trees::{median, well};

/// How often each measurement is made.
const ROUNDS: usize = 5;
/// MiB of one stream, and of each of eight.
const ONE: u64 = 2048;
const EIGHT: u64 = 256;
/// MiB when each packet is complete, and round trips.
const PLAIN: u64 = 256;
const TRIPS: u64 = 20_000;
const PORT: u16 = 7000;
const TAP: &str = "lklbench0";

/// The programs that are measured.
pub struct Programs<'a> {
    pub peer: &'a Path,
    pub lklget: &'a Path,
}

/// Who is a client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    Native,
    Library,
}

const SUBJECTS: [Subject; 2] = [Subject::Native, Subject::Library];

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
    Ok(())
}

/// Each of them, in turn.
fn turns(name: &str, measure: impl Fn(Subject) -> Result<Run>) -> Result<[Vec<Run>; 2]> {
    let mut runs = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (subject, runs) in SUBJECTS.into_iter().zip(&mut runs) {
            let run = measure(subject).with_context(|| name.to_owned())?;
            runs.push(run);
        }
    }
    Ok(runs)
}

fn figure(runs: &[Run], pick: impl Fn(&Run) -> f64) -> f64 {
    median(runs.iter().map(pick))
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

/// The two name spaces, what is between them, and the server. It all goes when this is dropped.
struct World {
    server_space: String,
    client_space: String,
    mtu: u32,
    plain: bool,
    server: Option<Child>,
}

fn ip(arguments: &[&str]) -> Result<()> {
    well(Command::new("ip").args(arguments))
}

impl World {
    fn new(peer: &Path, mtu: u32, plain: bool) -> Result<World> {
        let space = |end: &str| format!("lklbench-{}-{end}", std::process::id());
        let mut world = World {
            server_space: space("s"),
            client_space: space("c"),
            mtu,
            plain,
            server: None,
        };
        let (server, client, length) = (&world.server_space, &world.client_space, mtu.to_string());
        ip(&["netns", "add", server])?;
        ip(&["netns", "add", client])?;
        for space in [server, client] {
            ip(&["-n", space, "link", "set", "lo", "up"])?;
        }
        ip(&[
            "-n",
            server,
            "link",
            "add",
            "lklbench1",
            "mtu",
            &length,
            "type",
            "veth",
            "peer",
            "name",
            "lklbench2",
            "mtu",
            &length,
            "netns",
            client,
        ])?;
        ip(&["-n", server, "tuntap", "add", TAP, "mode", "tap", "vnet_hdr"])?;
        ip(&["-n", server, "link", "set", TAP, "mtu", &length])?;
        for (space, device, address) in [
            (server, TAP, "10.9.1.1/24"),
            (server, "lklbench1", "10.9.2.1/24"),
            (client, "lklbench2", "10.9.2.2/24"),
        ] {
            ip(&["-n", space, "addr", "add", address, "dev", device])?;
            ip(&["-n", space, "link", "set", device, "up"])?;
        }
        if plain {
            for (space, device) in [(server, "lklbench1"), (client, "lklbench2")] {
                let off = ["tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off"];
                let ethtool = ["netns", "exec", space, "ethtool", "-K", device];
                well(
                    Command::new("ip")
                        .args(ethtool)
                        .args(off)
                        .stdout(Stdio::null())
                        .stderr(Stdio::null()),
                )?;
            }
        }
        let mut child = Command::new("ip")
            .args(["netns", "exec", &world.server_space])
            .arg(peer)
            .args(["serve", &format!("0.0.0.0:{PORT}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("no output")?;
        world.server = Some(child);
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        ensure!(line.starts_with("listening"), "the server says {line:?}");
        Ok(world)
    }

    /// The server's address for that client.
    fn address(&self, subject: Subject) -> String {
        let network = match subject {
            Subject::Native => 2,
            Subject::Library => 1,
        };
        format!("10.9.{network}.1:{PORT}")
    }

    /// A program where it is to run, with the options of the library's network.
    fn command(&self, subject: Subject, program: &Path) -> Command {
        let space = match subject {
            Subject::Native => &self.client_space,
            Subject::Library => &self.server_space,
        };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", space]).arg(program);
        command.stdin(Stdio::null());
        command
    }

    fn network(&self, command: &mut Command) {
        let net = format!("tap:{TAP}");
        command.args([
            "--net",
            &net,
            "--ip",
            "10.9.1.2/24",
            "--mtu",
            &self.mtu.to_string(),
        ]);
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
        Ok(ticks("self", 13)? + self.server_cpu()?)
    }

    fn server_cpu(&self) -> Result<f64> {
        let server = self.server.as_ref().context("no server")?.id();
        ticks(&server.to_string(), 11)
    }

    fn peer(&self, peer: &Path, subject: Subject, what: &str, count: u64) -> Result<Run> {
        let mut command = self.command(subject, peer);
        command.args(["measure", what, &self.address(subject), &count.to_string()]);
        if subject == Subject::Native {
            command.arg("--native");
        } else {
            self.network(&mut command);
            command.args(self.plain.then_some("--plain"));
        }
        let before = self.server_cpu()?;
        let output = command.output()?;
        ensure!(
            output.status.success(),
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let server = self.server_cpu()? - before;
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
                let mut command = self.command(subject, Path::new("curl"));
                command.arg("-s");
                command
            }
            Subject::Library => {
                let mut command = self.command(subject, lklget);
                command.args(["-q", "--http1", "-o", "-"]);
                self.network(&mut command);
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
                let mut command = self.command(subject, Path::new("curl"));
                command.args(["-s", "-Z", "--parallel-immediate"]);
                for (number, url) in urls.enumerate() {
                    command.arg("-o").arg(folder.join(number.to_string())).arg(url);
                }
                command
            }
            Subject::Library => {
                let mut command = self.command(subject, lklget);
                command.args(["-q", "--http1", "-j", "8", "-o"]).arg(folder);
                self.network(&mut command);
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

/// Two fields of a process's times, in seconds.
fn ticks(process: &str, first: usize) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = rest.split_ascii_whitespace().skip(first).take(2);
    Ok(fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0)
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
        for space in [&self.server_space, &self.client_space] {
            let _ = ip(&["netns", "del", space]);
        }
    }
}
