//! lklsim: how it grows with the number of nodes, what a Linux for each node costs, and the same dumbbell in ns-3 where Debian's libns3-dev is
//! installed.
//!
//! Networks are fat trees whose routers have as many ports as makes about so many nodes, with 16 bulk flows between pods whatever the size. One
//! run of each, in order of size; a size that the machine has no memory for is said to be left out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::trees::median;

/// Ports of a router, and simulated seconds: fewer for what takes long.
const SIZES: [(usize, u32); 4] = [(2, 10), (6, 10), (14, 4), (32, 1)];
const FLOWS: usize = 16;
const ROUNDS: usize = 3;
const DUMBBELL_SECONDS: u32 = 60;

/// Measures and prints.
pub fn run(lklsim: &Path, place: &Path) -> Result<()> {
    growth(lklsim, place)?;
    isolation(lklsim, place)?;
    beside_ns3(lklsim, place)
}

/// A fat tree of routers with so many ports.
fn fat_tree(ports: usize, seconds: u32) -> (String, usize) {
    let half = ports / 2;
    let mut nodes = Vec::new();
    let mut links = String::new();
    let mut link = |one: &str, two: &str| {
        links += &format!(
            "[[link]]\nends = [\"{one}\", \"{two}\"]\nrate = \"100mbit\"\ndelay = \"50us\"\nqueue = 100\n"
        );
    };
    let mut hosts = Vec::new();
    nodes.extend((0..half * half).map(|core| ("router", format!("core{core}"))));
    for pod in 0..ports {
        for number in 0..half {
            let [upper, lower] = ["agg", "edge"].map(|kind| format!("{kind}{pod}-{number}"));
            for other in 0..half {
                link(&upper, &format!("core{}", number * half + other));
                link(&upper, &format!("edge{pod}-{other}"));
                let host = format!("host{pod}-{number}-{other}");
                link(&lower, &host);
                hosts.push(host);
            }
            nodes.extend([("router", upper), ("router", lower)]);
        }
    }
    let mut text = format!("[simulation]\nduration = \"{seconds}s\"\ncapture = false\n");
    for (kind, name) in nodes
        .iter()
        .map(|(kind, name)| (*kind, name))
        .chain(hosts.iter().map(|name| ("host", name)))
    {
        text += &format!("[[node]]\nname = \"{name}\"\nkind = \"{kind}\"\n");
    }
    text += &links;
    let pairs = FLOWS.min(hosts.len() / 2);
    for flow in 0..pairs {
        let from = flow * hosts.len() / 2 / pairs;
        let to = from + hosts.len() / 2;
        text += &format!(
            "[[flow]]\nname = \"f{flow}\"\nkind = \"tcp\"\nfrom = \"{}\"\nto = \"{}\"\n",
            hosts[from], hosts[to]
        );
    }
    (text, nodes.len() + hosts.len())
}

/// What lklsim says of a run.
struct Said {
    events: f64,
    /// Seconds that the simulation took.
    wall: f64,
    /// Seconds that all of it took.
    all: f64,
    kib_a_node: f64,
    /// The most memory that the program had at a time, in MiB; of a run with a process for each node, without these.
    peak: f64,
}

/// The number in front of or behind a word of the last line.
fn number(words: &[&str], at: impl Fn(&[&str]) -> bool, place: usize) -> Result<f64> {
    let found = words.windows(3).find(|three| at(three));
    found
        .and_then(|three| three[place].parse().ok())
        .context("lklsim's summary is another one")
}

/// The most memory that a process has had so far, in MiB.
fn peak(child: &Child) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

fn simulate(lklsim: &Path, topology: &Path, out: &Path, further: &[&str]) -> Result<Said> {
    let began = Instant::now();
    let mut child = Command::new(lklsim)
        .arg("run")
        .arg(topology)
        .arg("--out")
        .arg(out)
        .args(further)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut most: f64 = 0.0;
    // What it says is less than a pipe holds.
    while child.try_wait()?.is_none() {
        most = most.max(peak(&child).unwrap_or(0.0));
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output()?;
    let all = began.elapsed().as_secs_f64();
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", error.trim());
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().context("lklsim says nothing")?;
    let words: Vec<&str> = last.split_whitespace().collect();
    Ok(Said {
        events: number(&words, |three| three[1] == "events;", 0)?,
        wall: number(&words, |three| three[0] == "in" && three[2] == "s:", 1)?,
        kib_a_node: number(&words, |three| three[1] == "KiB", 0)?,
        peak: most,
        all,
    })
}

fn growth(lklsim: &Path, place: &Path) -> Result<()> {
    println!(
        "{:>8}{:>22}{:>16}{:>14}{:>16}{:>14}",
        "nodes", "simulated s a second", "events/s", "KiB a node", "s until it runs", "MiB at most"
    );
    for (ports, seconds) in SIZES {
        let (text, nodes) = fat_tree(ports, seconds);
        let topology = place.join(format!("fat{ports}.toml"));
        fs::write(&topology, text)?;
        let out = place.join(format!("fat{ports}"));
        match simulate(lklsim, &topology, &out, &[]) {
            Ok(said) => println!(
                "{nodes:>8}{:>22.3}{:>16.0}{:>14.0}{:>16.1}{:>14.0}",
                f64::from(seconds) / said.wall,
                said.events / said.wall,
                said.kib_a_node,
                said.all - said.wall,
                said.peak,
            ),
            Err(error) => println!("{nodes:>8} left out: {error:#}"),
        }
    }
    println!();
    Ok(())
}

/// The dumbbell as the README has it, but for the captures.
fn dumbbell(place: &Path) -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("../../linux/apps/sim/topologies/dumbbell.toml"))?;
    let topology = place.join("dumbbell.toml");
    let text = text.replacen("[simulation]\n", "[simulation]\ncapture = false\n", 1);
    fs::write(&topology, text)?;
    Ok(topology)
}

/// All nodes in one Linux beside a Linux for each, in turns.
fn isolation(lklsim: &Path, place: &Path) -> Result<()> {
    const PORTS: usize = 4;
    const SECONDS: u32 = 10;
    let (text, nodes) = fat_tree(PORTS, SECONDS);
    let tree = place.join("tree.toml");
    fs::write(&tree, text)?;
    let rows = [
        ("dumbbell".to_owned(), dumbbell(place)?, DUMBBELL_SECONDS),
        (format!("fat tree of {nodes}"), tree, SECONDS),
    ];
    println!(
        "{:<16}{:>22}{:>14}{:>26}{:>14}{:>10}",
        "", "simulated s a second", "KiB a node", "a Linux for each node", "KiB a node", "ratio"
    );
    for (name, topology, seconds) in rows {
        let mut said = [Vec::new(), Vec::new()];
        for round in 0..ROUNDS {
            for (said, further) in said.iter_mut().zip([&[][..], &["--isolate"]]) {
                let out = place.join(format!("{name}{round}{}", further.concat()).replace(' ', "-"));
                said.push(simulate(lklsim, &topology, &out, further)?);
            }
        }
        let of = |said: &[Said], pick: fn(&Said) -> f64| median(said.iter().map(pick));
        let [one, each] = said.map(|said| {
            let wall = of(&said, |said| said.wall);
            (f64::from(seconds) / wall, of(&said, |said| said.kib_a_node))
        });
        println!(
            "{name:<16}{:>22.2}{:>14.0}{:>26.2}{:>14.0}{:>10.3}",
            one.0,
            one.1,
            each.0,
            each.1,
            each.0 / one.0
        );
    }
    println!();
    Ok(())
}

/// Goodput of each flow, in Mbit/s.
fn goodputs(out: &Path) -> Result<Vec<f64>> {
    let text = fs::read_to_string(out.join("flows.json"))?;
    let json: serde_json::Value = serde_json::from_str(&text)?;
    let flows = json["flows"].as_array().context("no flows")?;
    Ok(flows
        .iter()
        .filter_map(|flow| Some(flow["goodput_bit"].as_f64()? / 1e6))
        .collect())
}

/// The sum, and Jain's index of fairness.
fn shares(flows: &[f64]) -> (f64, f64) {
    let sum: f64 = flows.iter().sum();
    let squares: f64 = flows.iter().map(|flow| flow * flow).sum();
    (sum, sum * sum / (squares * flows.len() as f64))
}

fn beside_ns3(lklsim: &Path, place: &Path) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ns3 = match build_ns3(&root.join("ns3/dumbbell.cc"), &place.join("ns3")) {
        Ok(program) => program,
        Err(error) => {
            println!("ns-3 is left out: {error:#}");
            return Ok(());
        }
    };
    // ns-3 writes no packets either.
    let topology = dumbbell(place)?;
    let seconds = f64::from(DUMBBELL_SECONDS);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut flows = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let out = place.join(format!("dumbbell{round}"));
        ours.push(simulate(lklsim, &topology, &out, &[])?);
        flows[0] = goodputs(&out)?;
        let output = Command::new(&ns3).arg(DUMBBELL_SECONDS.to_string()).output()?;
        ensure!(output.status.success(), "ns-3 failed");
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        let figures: Vec<f64> = line
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        ensure!(figures.len() > 2, "ns-3 says {line:?}");
        theirs.push((figures[0], figures[1]));
        flows[1] = figures[2..].to_vec();
    }
    println!(
        "{:<8}{:>22}{:>16}{:>16}{:>12}",
        "", "simulated s a second", "events/s", "goodput Mbit/s", "fairness"
    );
    let of = |pick: &dyn Fn(usize) -> f64| median((0..ROUNDS).map(pick));
    let rows = [
        (
            "lklsim",
            of(&|round| seconds / ours[round].wall),
            of(&|round| ours[round].events / ours[round].wall),
        ),
        (
            "ns-3",
            of(&|round| seconds / theirs[round].1),
            of(&|round| theirs[round].0 / theirs[round].1),
        ),
    ];
    let mut sums = Vec::new();
    for ((name, speed, events), flows) in rows.iter().zip(&flows) {
        let (sum, fairness) = shares(flows);
        println!("{name:<8}{speed:>22.2}{events:>16.0}{sum:>16.3}{fairness:>12.3}");
        sums.push(sum);
    }
    println!(
        "lklsim : ns-3: speed {:.2}, goodput {:.3}",
        rows[0].1 / rows[1].1,
        sums[0] / sums[1]
    );
    Ok(())
}

/// Compiles the dumbbell for ns-3.
fn build_ns3(source: &Path, program: &Path) -> Result<PathBuf> {
    let packages = [
        "ns3-applications",
        "ns3-internet",
        "ns3-point-to-point",
        "ns3-traffic-control",
    ];
    let flags = Command::new("pkg-config")
        .args(["--cflags", "--libs"])
        .args(packages)
        .output()
        .context("there is no pkg-config")?;
    ensure!(flags.status.success(), "there is no libns3-dev");
    let flags = String::from_utf8_lossy(&flags.stdout).into_owned();
    let compiled = Command::new("g++")
        .args(["-O2", "-o"])
        .arg(program)
        .arg(source)
        .args(flags.split_whitespace())
        .output()
        .context("there is no g++")?;
    let error = String::from_utf8_lossy(&compiled.stderr);
    ensure!(compiled.status.success(), "{}", error.trim());
    Ok(program.to_path_buf())
}
