//! Builds and runs the program with the targets of `tests/fuzz`.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xshell::Shell;

use super::findings::{Finding, Stack};
use crate::repo;

/// What names the target to the program.
const VARIABLE: &str = "LKLFS_FUZZ_TARGET";
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// A counter for each edge, a table of where they are, and what is compared with what.
const FLAGS: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // Branches that are merged are edges that are not seen.
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "--cfg=fuzzing",
];
/// Bytes of the longest input, seconds of the longest execution, and MiB of memory.
const LIMITS: [&str; 3] = ["-max_len=8192", "-timeout=10", "-rss_limit_mb=1024"];
/// Seconds that an input is made smaller for.
const MINIMISE: u32 = 10;

/// When to stop.
pub enum Limit {
    Time(Duration),
    Runs(u64),
}

/// How a run went.
pub struct Outcome {
    target: String,
    runs: u64,
    per_second: u64,
    edges: u64,
    /// What it found.
    pub finding: Option<Finding>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} executions, {} a second, {} edges covered",
            self.target, self.runs, self.per_second, self.edges
        )?;
        match &self.finding {
            None => f.write_str(", no finding"),
            Some(finding) => write!(f, "\n{finding}"),
        }
    }
}

/// Where everything that is made here goes.
fn place() -> PathBuf {
    repo::target_dir().join("fuzz")
}

/// The corpus that is kept in the tree.
fn corpus(target: &str) -> PathBuf {
    repo::root().join("tests/fuzz/corpora").join(target)
}

/// Builds the program, and says where it is.
pub fn build(sh: &Shell) -> Result<PathBuf> {
    sh.cmd("cargo")
        .args(["build", "-q", "--profile", "fuzz", "-p", "fuzz-targets"])
        .args(["--features", "libfuzzer", "--target", TRIPLE])
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"))
        .env("CARGO_TARGET_DIR", place())
        .run()
        .context("the fuzz targets do not build")?;
    Ok(place().join(TRIPLE).join("fuzz/fuzz"))
}

fn command(program: &Path, target: &str) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(repo::root())
        .env(VARIABLE, target)
        .env("RUST_BACKTRACE", "1")
        .args(LIMITS)
        .stdin(Stdio::null());
    command
}

/// Fuzzes a target. For a time: what was learned is kept on this machine for the next run. For a number of runs: from the corpus
/// in the tree alone.
pub fn fuzz(program: &Path, target: &str, limit: &Limit, seed: u32) -> Result<Outcome> {
    let scratch = tempfile::tempdir()?;
    let learned = match limit {
        Limit::Time(_) => place().join("learned").join(target),
        Limit::Runs(_) => scratch.path().join("learned"),
    };
    fs::create_dir_all(&learned)?;
    let artifacts = place().join("findings").join(target);
    fs::create_dir_all(&artifacts)?;
    let mut command = command(program, target);
    command
        .arg(match limit {
            Limit::Time(time) => format!("-max_total_time={}", time.as_secs()),
            Limit::Runs(runs) => format!("-runs={runs}"),
        })
        .arg(format!("-seed={seed}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1")
        .arg(&learned)
        .arg(corpus(target));
    let said = run(command)?;
    let mut outcome = Outcome {
        target: target.to_owned(),
        runs: number_after(&said.lines, "stat::number_of_executed_units:").unwrap_or(0),
        per_second: number_after(&said.lines, "stat::average_exec_per_sec:").unwrap_or(0),
        edges: said
            .lines
            .iter()
            .filter_map(|line| status(line, "cov: "))
            .next_back()
            .unwrap_or(0),
        finding: None,
    };
    if !said.success {
        let artifact = artifact(&said.lines).with_context(|| {
            let last = said.lines.iter().rev().take(20).rev().cloned();
            format!(
                "the fuzzer ended with no finding:\n{}",
                last.collect::<Vec<_>>().join("\n")
            )
        })?;
        let smaller = minimised(program, target, &artifact)?;
        outcome.finding = Some(Finding::new(target, Stack::read(&said.lines), smaller));
    }
    Ok(outcome)
}

/// Gives one input to a target.
pub fn once(program: &Path, target: &str, input: &Path) -> Result<Option<Finding>> {
    let input = &fs::canonicalize(input).with_context(|| format!("cannot read {}", input.display()))?;
    let mut command = command(program, target);
    command.arg(input);
    let said = run(command)?;
    Ok((!said.success).then(|| Finding::new(target, Stack::read(&said.lines), input.to_owned())))
}

/// A smaller input with the same end, if one is found in time.
fn minimised(program: &Path, target: &str, artifact: &Path) -> Result<PathBuf> {
    let smaller = artifact.with_file_name(format!(
        "{}-small",
        artifact.file_name().unwrap_or_default().display()
    ));
    let mut command = command(program, target);
    command
        .args(["-minimize_crash=1", &format!("-max_total_time={MINIMISE}")])
        .arg(format!("-exact_artifact_path={}", smaller.display()))
        .arg(artifact);
    run(command)?;
    // What was left when the time was over need not be a finding.
    let found = fs::metadata(&smaller).is_ok() && once(program, target, &smaller)?.is_some();
    Ok(if found { smaller } else { artifact.to_owned() })
}

/// Makes the corpus in the tree the least that reaches what it and what was learned here reach.
pub fn merge(program: &Path, target: &str) -> Result<()> {
    let (kept, learned) = (corpus(target), place().join("learned").join(target));
    fs::create_dir_all(&kept)?;
    fs::create_dir_all(&learned)?;
    let scratch = tempfile::tempdir()?;
    let mut command = command(program, target);
    command
        .args(["-merge=1", "-set_cover_merge=0"])
        .arg(scratch.path())
        .arg(&kept)
        .arg(&learned);
    let said = run(command)?;
    if !said.success {
        bail!("the corpora cannot be merged:\n{}", said.lines.join("\n"));
    }
    let before = names(&kept)?.len();
    for path in names(&kept)? {
        fs::remove_file(path)?;
    }
    let after = names(scratch.path())?;
    for path in &after {
        fs::copy(path, kept.join(path.file_name().unwrap_or_default()))?;
    }
    println!("{target}: {before} files, and {} now", after.len());
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

/// What a run of the program said.
struct Said {
    success: bool,
    lines: Vec<String>,
}

fn run(mut command: Command) -> Result<Said> {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the fuzzer")?;
    let errors = child.stderr.take().context("the fuzzer's output is no pipe")?;
    let mut lines = Vec::new();
    for line in BufReader::new(errors).split(b'\n') {
        lines.push(String::from_utf8_lossy(&line?).into_owned());
    }
    let success = child.wait()?.success();
    Ok(Said { success, lines })
}

/// The number behind a word at the start of a line.
fn number_after(lines: &[String], word: &str) -> Option<u64> {
    lines
        .iter()
        .find_map(|line| line.strip_prefix(word)?.trim().parse().ok())
}

/// The number behind a word of a line of status.
fn status(line: &str, word: &str) -> Option<u64> {
    let rest = line.strip_prefix('#')?.split_once(word)?.1;
    rest.split_whitespace().next()?.parse().ok()
}

/// The file that libFuzzer says it has written an input to.
fn artifact(lines: &[String]) -> Option<PathBuf> {
    let line = lines
        .iter()
        .find_map(|line| line.split_once("Test unit written to "))?;
    Some(PathBuf::from(line.1.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_is_read() {
        let lines: Vec<String> = [
            "#512\tpulse  cov: 97 ft: 301 corp: 12/1b exec/s: 170 rss: 40Mb",
            "#900\tDONE   cov: 101 ft: 333 corp: 14/1b exec/s: 180 rss: 40Mb",
            "stat::number_of_executed_units: 900",
            "stat::average_exec_per_sec:     180",
            "artifact_prefix='/x/'; Test unit written to /x/crash-1",
        ]
        .map(String::from)
        .to_vec();
        assert_eq!(number_after(&lines, "stat::number_of_executed_units:"), Some(900));
        assert_eq!(number_after(&lines, "stat::average_exec_per_sec:"), Some(180));
        let edges: Vec<u64> = lines.iter().filter_map(|line| status(line, "cov: ")).collect();
        assert_eq!(edges, [97, 101]);
        assert_eq!(artifact(&lines), Some(PathBuf::from("/x/crash-1")));
    }
}
