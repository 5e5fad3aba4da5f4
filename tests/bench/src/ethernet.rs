//! An Ethernet between two name spaces of this machine's: a veth pair for the machine's own stack, and a TAP device in the first for
//! the library's. Both carry the same packets: as large, and as incomplete, as is allowed.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::trees::{median, well};

/// How often each measurement is made.
const ROUNDS: usize = 5;
const TAP: &str = "lklbench0";

/// Whose stack is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Native,
    Library,
}

const SUBJECTS: [Subject; 2] = [Subject::Native, Subject::Library];

/// Each of them, in turn.
pub fn turns<T>(name: &str, measure: impl Fn(Subject) -> Result<T>) -> Result<[Vec<T>; 2]> {
    let mut runs = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (subject, runs) in SUBJECTS.into_iter().zip(&mut runs) {
            let run = measure(subject).with_context(|| name.to_owned())?;
            runs.push(run);
        }
    }
    Ok(runs)
}

/// The median of a figure of runs.
pub fn figure<T>(runs: &[T], pick: impl Fn(&T) -> f64) -> f64 {
    median(runs.iter().map(pick))
}

/// The two name spaces, and what is between them. It all goes when this is dropped.
pub struct Ethernet {
    /// With the TAP device.
    near: String,
    far: String,
    mtu: u32,
}

fn ip(arguments: &[&str]) -> Result<()> {
    well(Command::new("ip").args(arguments))
}

impl Ethernet {
    /// Makes it. With `plain` packets are complete: no checksums and no segments are left to the other end.
    pub fn new(mtu: u32, plain: bool) -> Result<Ethernet> {
        let space = |end: &str| format!("lklbench-{}-{end}", std::process::id());
        let made = Ethernet {
            near: space("n"),
            far: space("f"),
            mtu,
        };
        let (near, far, length) = (&made.near, &made.far, mtu.to_string());
        ip(&["netns", "add", near])?;
        ip(&["netns", "add", far])?;
        for space in [near, far] {
            ip(&["-n", space, "link", "set", "lo", "up"])?;
        }
        ip(&[
            "-n",
            near,
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
            far,
        ])?;
        ip(&["-n", near, "tuntap", "add", TAP, "mode", "tap", "vnet_hdr"])?;
        ip(&["-n", near, "link", "set", TAP, "mtu", &length])?;
        for (space, device, address) in [
            (near, TAP, "10.9.1.1/24"),
            (near, "lklbench1", "10.9.2.1/24"),
            (far, "lklbench2", "10.9.2.2/24"),
        ] {
            ip(&["-n", space, "addr", "add", address, "dev", device])?;
            ip(&["-n", space, "link", "set", device, "up"])?;
        }
        if plain {
            for (space, device) in [(near, "lklbench1"), (far, "lklbench2")] {
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
        Ok(made)
    }

    /// The address of the near name space, as that stack sees it.
    pub fn near_address(&self, subject: Subject) -> &'static str {
        match subject {
            Subject::Native => "10.9.2.1",
            Subject::Library => "10.9.1.1",
        }
    }

    /// The address of that stack, as the near name space sees it.
    pub fn far_address(&self, subject: Subject) -> &'static str {
        match subject {
            Subject::Native => "10.9.2.2",
            Subject::Library => "10.9.1.2",
        }
    }

    /// A program in the near name space, on the machine's own stack.
    pub fn near(&self, program: impl AsRef<OsStr>) -> Command {
        within(&self.near, program)
    }

    /// A program where that stack is. That with the library is to be told of it by [`Ethernet::network`].
    pub fn far(&self, subject: Subject, program: impl AsRef<OsStr>) -> Command {
        match subject {
            Subject::Native => within(&self.far, program),
            Subject::Library => within(&self.near, program),
        }
    }

    /// The options of a program that has the library's network.
    pub fn network(&self, command: &mut Command) {
        command.arg("--net").arg(format!("tap:{TAP}"));
        command.args(["--ip", "10.9.1.2/24", "--mtu", &self.mtu.to_string()]);
    }
}

fn within(space: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", space]).arg(program);
    command.stdin(Stdio::null());
    command
}

/// Seconds of CPU time of all children of this process that have ended.
pub fn children_cpu() -> Result<f64> {
    ticks("self", 13)
}

/// Seconds of CPU time of a process.
pub fn cpu(process: u32) -> Result<f64> {
    ticks(&process.to_string(), 11)
}

/// Two fields of a process's times, in seconds.
fn ticks(process: &str, first: usize) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = rest.split_ascii_whitespace().skip(first).take(2);
    Ok(fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0)
}

impl Drop for Ethernet {
    fn drop(&mut self) {
        for space in [&self.near, &self.far] {
            let _ = ip(&["netns", "del", space]);
        }
    }
}
