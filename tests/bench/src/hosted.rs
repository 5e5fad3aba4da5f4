//! Unmodified programs on the library's stack, by lklrun, beside themselves on the machine's own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::ethernet::{Ethernet, Subject, children_cpu, cpu, figure, turns};

/// Seconds of an iperf3 and of a wrk, and requests of a redis-benchmark.
const SECONDS: &str = "3";
const REQUESTS: &str = "100000";
const NEW_CONNECTIONS: &str = "10000";
const CLIENTS: &str = "50";
/// How long a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);
const WEB: &str = "require('http').createServer((q, a) => a.end('x'.repeat(1000))).listen(7300)";

/// What one run was: bits or requests a second, and CPU time of both ends for each 2^30 bytes.
struct Run {
    rate: f64,
    cost: f64,
}

/// Measures, and prints rows of the table.
pub fn run(lklrun: &Path) -> Result<()> {
    for mtu in [1500, 9000] {
        let ethernet = Ethernet::new(mtu, false)?;
        let mut near = ethernet.near("iperf3");
        near.args(["-s", "-p", "7001"]).stdout(Stdio::null());
        let server = Running::start(&mut near)?;
        comes_up(|| {
            let mut client = ethernet.near("bash");
            client.args(["-c", "exec 3<>/dev/tcp/127.0.0.1/7001"]);
            client
        })?;
        for (what, options) in [
            ("iperf3 sends", &[][..]),
            ("iperf3 receives", &["-R"][..]),
            ("iperf3 sends, 8 streams", &["-P", "8"][..]),
            ("iperf3 receives, 8 streams", &["-P", "8", "-R"][..]),
        ] {
            let name = format!("{what}, {mtu}");
            let measure = |subject| iperf(&ethernet, lklrun, subject, options, server.0.id());
            let [native, library] = turns(&name, measure)?;
            let rate = |runs: &[Run]| figure(runs, |run| run.rate);
            let cost = |runs: &[Run]| figure(runs, |run| run.cost);
            println!(
                "{name:<34}{:>16}{:>10}{:>22}",
                format!("{:.0} MiB/s", rate(&native) / 8.0 / 1048576.0),
                format!("{:.2} x", rate(&library) / rate(&native)),
                format!("{:.2} ({:.2})", cost(&native), cost(&library)),
            );
        }
    }
    let ethernet = Ethernet::new(1500, false)?;
    for (what, server, load) in [
        ("redis, GET", Server::Redis, &["-t", "get", "-n", REQUESTS][..]),
        ("redis, SET", Server::Redis, &["-t", "set", "-n", REQUESTS][..]),
        (
            "redis, a connection a request",
            Server::Redis,
            &["-t", "get", "-n", NEW_CONNECTIONS, "-k", "0"][..],
        ),
        ("Node.js, HTTP", Server::Node, &[][..]),
    ] {
        let measure = |subject| server.measure(&ethernet, lklrun, subject, load);
        let [native, library] = turns(what, measure)?;
        let rate = |runs: &[f64]| figure(runs, |rate| *rate);
        println!(
            "{what:<34}{:>16}{:>10}",
            format!("{:.0} /s", rate(&native)),
            format!("{:.2} x", rate(&library) / rate(&native)),
        );
    }
    Ok(())
}

/// A program that is ended when this is dropped, as a user ends it.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Result<Running> {
        let name = format!("{command:?}");
        Ok(Running(command.spawn().context(name)?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let process = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

/// A program on that stack.
fn on(ethernet: &Ethernet, lklrun: &Path, subject: Subject, program: &[&str]) -> Command {
    match subject {
        Subject::Native => {
            let mut command = ethernet.far(subject, program[0]);
            command.args(&program[1..]);
            command
        }
        Subject::Library => {
            let mut command = ethernet.far(subject, lklrun);
            ethernet.network(&mut command);
            command.arg("--").args(program);
            command
        }
    }
}

/// What a program prints.
fn output(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let (out, said) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure!(output.status.success(), "{command:?}: {out}{said}");
    Ok(out)
}

fn iperf(ethernet: &Ethernet, lklrun: &Path, subject: Subject, options: &[&str], server: u32) -> Result<Run> {
    let mut program = vec!["iperf3", "-c", ethernet.near_address(subject)];
    program.extend(["-p", "7001", "-J", "-t", SECONDS]);
    program.extend(options);
    let before = children_cpu()? + cpu(server)?;
    let out = output(&mut on(ethernet, lklrun, subject, &program))?;
    let used = children_cpu()? + cpu(server)? - before;
    let report: serde_json::Value = serde_json::from_str(&out)?;
    let received = &report["end"]["sum_received"];
    let (rate, bytes) = (&received["bits_per_second"], &received["bytes"]);
    let (Some(rate), Some(bytes)) = (rate.as_f64(), bytes.as_f64()) else {
        bail!("no result: {out}");
    };
    let cost = used / (bytes / f64::from(1 << 30));
    Ok(Run { rate, cost })
}

/// A server that is under load from the other end.
#[derive(Clone, Copy)]
enum Server {
    Redis,
    Node,
}

impl Server {
    /// Requests a second.
    fn measure(self, ethernet: &Ethernet, lklrun: &Path, subject: Subject, load: &[&str]) -> Result<f64> {
        let address = ethernet.far_address(subject);
        let program: &[&str] = match self {
            Server::Redis => &[
                "redis-server",
                "--save",
                "",
                "--protected-mode",
                "no",
                "--port",
                "7200",
            ],
            Server::Node => &["node", "-e", WEB],
        };
        let mut command = on(ethernet, lklrun, subject, program);
        let _server = Running::start(command.stdout(Stdio::null()))?;
        let url = format!("http://{address}:7300/");
        match self {
            Server::Redis => {
                comes_up(|| {
                    let mut client = ethernet.near("redis-cli");
                    client.args(["-h", address, "-p", "7200", "ping"]);
                    client
                })?;
                let mut client = ethernet.near("redis-benchmark");
                client.args(["-h", address, "-p", "7200", "-c", CLIENTS, "--csv"]);
                let out = output(client.args(load))?;
                // "GET","52192.07",... below a line of headings.
                let line = out.lines().last().unwrap_or("");
                let rate = line.split(',').nth(1).map(|field| field.trim_matches('"'));
                number(rate, &out)
            }
            Server::Node => {
                comes_up(|| {
                    let mut client = ethernet.near("curl");
                    client.args(["-s", "-o", "/dev/null", &url]);
                    client
                })?;
                let mut client = ethernet.near("wrk");
                client.args(["-t", "1", "-c", CLIENTS, "-d", SECONDS, &url]);
                let out = output(&mut client)?;
                let line = out.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
                number(line, &out)
            }
        }
    }
}

fn number(field: Option<&str>, all: &str) -> Result<f64> {
    let rate = field.and_then(|field| field.trim().parse().ok());
    rate.with_context(|| format!("no result: {all}"))
}

/// Waits until a server answers.
fn comes_up(client: impl Fn() -> Command) -> Result<()> {
    let start = Instant::now();
    while !client()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?
        .success()
    {
        ensure!(start.elapsed() < PATIENCE, "{:?}: no answer", client());
        sleep(Duration::from_millis(50));
    }
    Ok(())
}
