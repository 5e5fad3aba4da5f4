//! lklsim: how it grows with the number of nodes, and the same dumbbell in ns-3 where Debian's libns3-dev is installed.
//!
//! Networks are fat trees whose routers have as many ports as makes about so many nodes, with 16 bulk flows between pods whatever the size. One
//! run of each, in order of size; a size that the machine has no memory for is said to be left out.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

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
}

/// The number in front of or behind a word of the last line.
fn number(words: &[&str], at: impl Fn(&[&str]) -> bool, place: usize) -> Result<f64> {
    let found = words.windows(3).find(|three| at(three));
    found
        .and_then(|three| three[place].parse().ok())
        .context("lklsim's summary is another one")
}

fn simulate(lklsim: &Path, topology: &Path, out: &Path) -> Result<Said> {
    let began = Instant::now();
    let output = Command::new(lklsim)
        .arg("run")
        .arg(topology)
        .arg("--out")
        .arg(out)
        .output()?;
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
        all,
    })
}

fn growth(lklsim: &Path, place: &Path) -> Result<()> {
    println!(
        "{:>8}{:>22}{:>16}{:>14}{:>16}",
        "nodes", "simulated s a second", "events/s", "KiB a node", "s until it runs"
    );
    for (ports, seconds) in SIZES {
        let (text, nodes) = fat_tree(ports, seconds);
        let topology = place.join(format!("fat{ports}.toml"));
        fs::write(&topology, text)?;
        let out = place.join(format!("fat{ports}"));
        match simulate(lklsim, &topology, &out) {
            Ok(said) => println!(
                "{nodes:>8}{:>22.3}{:>16.0}{:>14.0}{:>16.1}",
                f64::from(seconds) / said.wall,
                said.events / said.wall,
                said.kib_a_node,
                said.all - said.wall,
            ),
            Err(error) => println!("{nodes:>8} left out: {error:#}"),
        }
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
    let text = fs::read_to_string(root.join("../../linux/apps/sim/topologies/dumbbell.toml"))?;
    let topology = place.join("dumbbell.toml");
    // ns-3 writes no packets either.
    fs::write(
        &topology,
        text.replacen("[simulation]\n", "[simulation]\ncapture = false\n", 1),
    )?;
    let seconds = f64::from(DUMBBELL_SECONDS);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut flows = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let out = place.join(format!("dumbbell{round}"));
        ours.push(simulate(lklsim, &topology, &out)?);
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
fn build_ns3(source: &Path, program: &Path) -> Result<std::path::PathBuf> {
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
