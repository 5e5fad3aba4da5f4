//! Builds and runs the fuzz targets for Linux itself (`linux/apps/fuzz`).
//!
//! Two programs: one has Linux and libFuzzer in it and dies of each finding; the other one starts it, as often as it takes, and tells
//! what came of it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use std::process::{Command, ExitCode};
use xshell::Shell;

use crate::repo;

/// The targets, and what each is of.
pub const TARGETS: [(&str, &str); 4] = [
    (
        IMAGE,
        "Linux's file systems: a volume with changes (--fs), mounted, walked and unmounted",
    ),
    (
        CALLS,
        "Linux's file systems: system calls on a volume (--fs) that is mounted for writing",
    ),
    (
        "packets",
        "Linux's networks: frames for an interface, and sockets behind it",
    ),
    (
        "netlink",
        "Linux's networks: messages of rtnetlink, nfnetlink and generic netlink",
    ),
];
/// Those of a volume.
const IMAGE: &str = "image";
const CALLS: &str = "calls";
/// What `calls --schedule` is to the programs.
const SCHEDULES: &str = "schedules";
/// Not a target: has each bug found that was planted in the Linux that is fuzzed.
pub const PLANTED: (&str, &str) = (
    "planted",
    "has ten planted bugs found, each within --time, and prints a table",
);

/// What is to be done.
pub enum Order<'a> {
    /// For so many seconds, from a seed.
    Time(u64, u32),
    /// One input, once.
    Input(&'a Path),
}

/// The programs.
pub struct Programs {
    fuzzer: PathBuf,
    campaign: PathBuf,
}

/// The volumes that there are and that the kernel which is fuzzed can mount.
pub fn volumes() -> Result<Vec<String>> {
    let folder = repo::root().join("linux/apps/fuzz/seeds");
    let config = repo::root().join("linux/configs/fuzz.config");
    let config = fs::read_to_string(&config).with_context(|| format!("cannot read {}", config.display()))?;
    let can_mount = |name: &str| {
        let symbol = match name {
            // It comes with what has it found.
            "racy" => "LKL_SCHEDULES".to_owned(),
            name => name.split('-').next().unwrap_or_default().to_uppercase(),
        };
        let lines = [format!("CONFIG_{symbol}=y"), format!("CONFIG_{symbol}_FS=y")];
        config
            .lines()
            .any(|line| lines.iter().any(|wanted| wanted == line))
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| can_mount(name));
    names.sort();
    Ok(names)
}

/// Builds the programs.
pub fn build(sh: &Shell) -> Result<Programs> {
    sh.cmd("cargo")
        .args(["build", "-q", "-p", "lkl-fuzz", "--features", "libfuzzer"])
        .run()
        .context("the fuzz targets for Linux do not build")?;
    let folder = repo::target_dir().join("debug");
    Ok(Programs {
        fuzzer: folder.join("fuzz-linux"),
        campaign: folder.join("fuzz-linux-campaign"),
    })
}

/// Whether Linux's is the target of that name.
pub fn has(target: &str) -> bool {
    TARGETS.iter().any(|(name, _)| *name == target)
}

/// The target whose calls are made side by side, if it is one of calls.
pub fn scheduled(target: &str) -> Option<&'static str> {
    (target == CALLS).then_some(SCHEDULES)
}

/// Does what is ordered with a target, and a volume if it is of one. The exit code is not 0 on a finding.
pub fn run(programs: &Programs, target: &str, volume: &str, order: &Order<'_>) -> Result<ExitCode> {
    let of_volume = [IMAGE, CALLS, SCHEDULES].contains(&target);
    if of_volume && !volumes()?.iter().any(|name| name == volume) {
        bail!(
            "there is no volume \"{volume}\"; there are {}",
            volumes()?.join(", ")
        );
    }
    let mut words = vec![
        target.to_owned(),
        if of_volume {
            volume.to_owned()
        } else {
            String::new()
        },
    ];
    words.extend(match order {
        Order::Time(seconds, seed) => vec!["time".to_owned(), seconds.to_string(), seed.to_string()],
        Order::Input(file) => vec!["input".to_owned(), file.display().to_string()],
    });
    campaign(programs, &words)
}

/// Has each planted bug found within so many seconds.
pub fn planted(programs: &Programs, seconds: u64) -> Result<ExitCode> {
    campaign(programs, &[PLANTED.0.to_owned(), seconds.to_string()])
}

/// All targets for so many executions each, with the same seed: an error on a finding that is not known.
pub fn bounded(programs: &Programs) -> Result<()> {
    if campaign(programs, &["bounded".to_owned()])? != ExitCode::SUCCESS {
        bail!("a target has a finding");
    }
    Ok(())
}

fn campaign(programs: &Programs, words: &[String]) -> Result<ExitCode> {
    let place = repo::target_dir().join("fuzz/linux");
    fs::create_dir_all(&place)?;
    let status = Command::new(&programs.campaign)
        .arg(&programs.fuzzer)
        .arg(&place)
        .args(words)
        .status()
        .context("cannot start the fuzz targets for Linux")?;
    Ok(match status.code() {
        Some(0) => ExitCode::SUCCESS,
        Some(1) => ExitCode::FAILURE,
        _ => bail!("the fuzz targets for Linux did not end as they should"),
    })
}
