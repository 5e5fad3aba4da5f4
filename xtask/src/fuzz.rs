//! `cargo xtask fuzz`: coverage-guided fuzzing.
//!
//! The targets of `tests/fuzz` give bytes to parsers of ours, in one program that libFuzzer drives ([`parsers`]). A target is a
//! file there, whose first line says what it is of. The targets of `linux/apps/fuzz` are of Linux itself ([`linux`]).
//!
//! The compiler on the machine is the stable one: libFuzzer's counters of edges are put in by LLVM's own pass, which stable
//! compilers take by `-C passes`, into a target folder of its own.

mod findings;
mod linux;
mod parsers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xshell::Shell;

use crate::{repo, setup};

/// What is asked.
#[derive(clap::Args)]
pub struct Options {
    /// The target; all are listed when left out
    target: Option<String>,
    /// The volume, for the targets `image` and `calls`
    #[arg(long, value_name = "VOLUME", default_value = "ext4")]
    fs: String,
    /// For so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    time: u64,
    /// Where chance begins
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u32,
    /// Give this file to the target, once, instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["time", "seed", "merge"])]
    input: Option<PathBuf>,
    /// Of the target `calls`: make them in two to four tasks side by side, as a seed in the input says
    #[arg(long)]
    schedule: bool,
    /// Keep of the target's corpus, and of what was found on this machine, the least that reaches as much
    #[arg(long, conflicts_with_all = ["time", "seed"])]
    merge: bool,
}

/// A target.
struct Target {
    name: String,
    about: String,
}

/// Does what is asked; the exit code is not 0 on a finding.
pub fn run(sh: &Shell, options: &Options) -> Result<ExitCode> {
    let targets = targets(&repo::root())?;
    let Some(name) = &options.target else {
        for Target { name, about } in &targets {
            println!("{name:<12} {about}");
        }
        for (name, about) in linux::TARGETS.iter().chain([&linux::PLANTED]) {
            println!("{name:<12} {about}");
        }
        println!("{:<12} {}", "volumes:", linux::volumes()?.join(", "));
        return Ok(ExitCode::SUCCESS);
    };
    if options.schedule || linux::has(name) || name == linux::PLANTED.0 {
        return of_linux(sh, name, options);
    }
    if !targets.iter().any(|target| target.name == *name) {
        bail!("there is no target \"{name}\"; `cargo xtask fuzz` lists them");
    }
    let program = parsers::build(sh)?;
    if let Some(input) = &options.input {
        return match parsers::once(&program, name, input)? {
            None => {
                println!("{name}: no finding");
                Ok(ExitCode::SUCCESS)
            }
            Some(finding) => {
                println!("{finding}");
                Ok(ExitCode::FAILURE)
            }
        };
    }
    if options.merge {
        parsers::merge(&program, name)?;
        return Ok(ExitCode::SUCCESS);
    }
    let limit = parsers::Limit::Time(Duration::from_secs(options.time));
    let outcome = parsers::fuzz(&program, name, &limit, options.seed)?;
    println!("{outcome}");
    Ok(match outcome.finding {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    })
}

/// Builds what drives the targets.
pub fn build(sh: &Shell) -> Result<()> {
    parsers::build(sh).map(drop)
}

/// The targets that are of Linux itself.
fn of_linux(sh: &Shell, name: &str, options: &Options) -> Result<ExitCode> {
    if options.merge {
        bail!("what is learned of Linux is kept on this machine alone: there is nothing to merge");
    }
    let name = match options.schedule {
        true => linux::scheduled(name).context("--schedule is of the target calls")?,
        false => name,
    };
    let programs = build_linux(sh)?;
    if name == linux::PLANTED.0 {
        return linux::planted(&programs, options.time);
    }
    let order = match &options.input {
        Some(input) => linux::Order::Input(input),
        None => linux::Order::Time(options.time, options.seed),
    };
    linux::run(&programs, name, &options.fs, &order)
}

/// Builds what drives the targets that are of Linux itself, and that Linux.
pub fn build_linux(sh: &Shell) -> Result<linux::Programs> {
    // clang is among the tools for Windows.
    setup::ensure(sh, &[&setup::KERNEL, &setup::WINDOWS])?;
    linux::build(sh)
}

/// The same, and the tests of them, before they are run.
pub fn build_ahead(sh: &Shell) -> Result<()> {
    build_linux(sh)?;
    test_linux(sh, &["--no-run"])
}

fn test_linux(sh: &Shell, more: &[&str]) -> Result<()> {
    sh.cmd("cargo")
        .args(["test", "-q", "-p", "lkl-fuzz", "--features", "libfuzzer"])
        .args(more)
        .run()
        .context("a test of the fuzz targets for Linux failed")
}

/// The targets that are of Linux itself, each for so many executions, and the tests of what they rely on: an error on a finding that is
/// not known.
pub fn bounded_linux(sh: &Shell) -> Result<()> {
    linux::bounded(&build_linux(sh)?)?;
    test_linux(sh, &[])
}

/// All targets for so many executions each, from the corpora that are kept in the tree and with the same seed: an error on a
/// finding.
pub fn bounded(sh: &Shell) -> Result<()> {
    /// Executions of each target: some seconds of the slowest.
    const RUNS: u64 = 5_000;
    let program = parsers::build(sh)?;
    let names: Vec<String> = targets(&repo::root())?
        .into_iter()
        .map(|target| target.name)
        .collect();
    let next = std::sync::Mutex::new(names.iter());
    let take = || next.lock().ok()?.next();
    let work = || -> Result<Vec<parsers::Outcome>> {
        let mut outcomes = Vec::new();
        while let Some(name) = take() {
            outcomes.push(parsers::fuzz(&program, name, &parsers::Limit::Runs(RUNS), 1)?);
        }
        Ok(outcomes)
    };
    let outcomes = std::thread::scope(|scope| -> Result<Vec<parsers::Outcome>> {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().ok().context("a thread of ours panicked")??);
        }
        Ok(all)
    })?;
    let mut findings = 0;
    for outcome in &outcomes {
        println!("{outcome}");
        findings += usize::from(outcome.finding.is_some());
    }
    if findings > 0 {
        bail!("{findings} of {} targets have a finding", outcomes.len());
    }
    Ok(())
}

/// The targets, by their files.
fn targets(root: &Path) -> Result<Vec<Target>> {
    let folder = root.join("tests/fuzz/src/targets");
    let mut targets = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name == "mod" || path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let about = text.lines().next().and_then(|line| line.strip_prefix("//! "));
        targets.push(Target {
            name: name.to_owned(),
            about: about
                .context("a target whose first line does not say what it is of")?
                .to_owned(),
        });
    }
    targets.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_says_what_it_is_of_and_has_a_corpus() {
        let root = repo::root();
        let targets = targets(&root).unwrap();
        assert!(targets.len() > 10);
        for Target { name, about } in targets {
            assert!(about.len() > 20, "{name}: {about}");
            let corpus = root.join("tests/fuzz/corpora").join(&name);
            let files = fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(files.count() > 0, "{name} has an empty corpus");
        }
    }
}
