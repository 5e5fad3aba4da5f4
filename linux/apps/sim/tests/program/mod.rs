//! The program, run on a topology, and what its files say.

// Each test target uses a part of it.
#![allow(dead_code)]

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_lklsim");

/// A run that has ended.
pub struct Run {
    folder: TempDir,
    pub stdout: String,
}

/// No run takes so long.
const LONGEST: Duration = Duration::from_secs(300);

/// Runs the program, for so long at most.
pub fn lklsim(arguments: &[&str]) -> processes::Run {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdin(Stdio::null());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    processes::Run::of(child.unwrap(), LONGEST)
}

/// Runs a topology, which goes well.
pub fn run(topology: &str, arguments: &[&str]) -> Run {
    let (run, code, stderr) = attempt(topology, arguments);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    run
}

/// Runs a topology: what came of it, the exit code, and what was said of it.
pub fn attempt(topology: &str, arguments: &[&str]) -> (Run, Option<i32>, String) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("topology.toml");
    fs::write(&file, topology).unwrap();
    let out = folder.path().join("out");
    let [file, out] = [&file, &out].map(|path| path.to_str().unwrap());
    let output = lklsim(&[&["run", file, "--out", out], arguments].concat());
    let run = Run {
        folder,
        stdout: output.out,
    };
    (run, output.code, output.err)
}

/// One of the topologies that the README shows.
pub fn topology(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies");
    fs::read_to_string(folder.join(name)).unwrap()
}

/// A sample of a flow: when, its goodput in Mbit/s, and its congestion window.
pub struct Sample {
    pub time: f64,
    pub goodput: f64,
    pub window: Option<f64>,
}

impl Run {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    /// What `flows.json` says of a flow.
    pub fn flow(&self, name: &str) -> Value {
        let json: Value = serde_json::from_slice(&fs::read(self.path("flows.json")).unwrap()).unwrap();
        let flows = json["flows"].as_array().unwrap();
        flows.iter().find(|flow| flow["flow"] == name).unwrap().clone()
    }

    /// A flow's goodput, in Mbit/s.
    pub fn goodput(&self, name: &str) -> f64 {
        self.flow(name)["goodput_bit"].as_f64().unwrap() / 1e6
    }

    /// A flow's samples.
    pub fn samples(&self, name: &str) -> Vec<Sample> {
        let text = fs::read_to_string(self.path("series.csv")).unwrap();
        let rows = text
            .lines()
            .skip(1)
            .map(|line| line.split(',').collect::<Vec<_>>());
        rows.filter(|row| row[1] == name)
            .map(|row| Sample {
                time: row[0].parse().unwrap(),
                goodput: row[3].parse().unwrap(),
                window: row[4].parse().ok(),
            })
            .collect()
    }

    /// The mean goodput of a flow between two times, in Mbit/s.
    pub fn between(&self, name: &str, from: f64, to: f64) -> f64 {
        let samples = self.samples(name);
        let there: Vec<f64> = samples
            .iter()
            .filter(|sample| sample.time > from && sample.time <= to)
            .map(|sample| sample.goodput)
            .collect();
        assert!(
            !there.is_empty(),
            "{name} has samples between {from} s and {to} s"
        );
        there.iter().sum::<f64>() / there.len() as f64
    }

    /// What a file says.
    pub fn text(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// How a program has ended: what `programs.csv` says after its name.
    pub fn program(&self, name: &str) -> Vec<String> {
        let text = self.text("programs.csv");
        let mut rows = text
            .lines()
            .map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
        rows.find(|row| row[0] == name).unwrap().split_off(1)
    }

    /// All files, by their names.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for folder in ["", "links"] {
            for entry in fs::read_dir(self.path(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    let name = path.strip_prefix(self.path("")).unwrap().display().to_string();
                    files.insert(name, fs::read(path).unwrap());
                }
            }
        }
        files
    }
}

/// `[[node]]` of that name and kind, for each.
pub fn nodes(kind: &str, names: &[&str]) -> String {
    let one = |name: &&str| format!("[[node]]\nname = \"{name}\"\nkind = \"{kind}\"\n");
    names.iter().map(one).collect()
}

/// `[[link]]` between two nodes, with further lines.
pub fn link(one: &str, two: &str, further: &str) -> String {
    format!("[[link]]\nends = [\"{one}\", \"{two}\"]\n{further}\n")
}

/// `[[flow]]` from `a` to `b`, with further lines.
pub fn flow(kind: &str, further: &str) -> String {
    format!("[[flow]]\nname = \"{kind}\"\nkind = \"{kind}\"\nfrom = \"a\"\nto = \"b\"\n{further}\n")
}

/// `[simulation]` of so many seconds.
pub fn seconds(seconds: u32) -> String {
    format!("[simulation]\nduration = \"{seconds}s\"\n")
}

/// `[[program]]` in a node, with further lines. The last of the words is a script of the shell's.
pub fn program(name: &str, node: &str, script: &str, further: &str) -> String {
    let run = format!("run = [\"sh\", \"-c\", '''{script}''']");
    format!("[[program]]\nname = \"{name}\"\nnode = \"{node}\"\n{run}\n{further}\n")
}
