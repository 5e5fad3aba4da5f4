//! A run of the fuzzing program for one target, as often as it takes: it ends with each finding, and when Linux is old.
//!
//! Findings are told apart by the top of their stack in Linux ([`Verdict::kind`]); of each kind one is kept, made smaller, and shown to
//! be a finding by itself, in a program that has seen nothing else.

use crate::strands;
use crate::target::Target;
use crate::verdict::Verdict;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, iter};

/// What the program ends with when it is to be started again (`death::FRESH`).
const FRESH: i32 = 88;
/// Executions of one program.
const EXECUTIONS: u64 = 20_000;
/// Bytes of the longest input, seconds of the longest execution, and MiB of memory. No weights by the rarity of what an input reaches: with
/// so many features an execution, keeping them takes longer than Linux does.
const LIMITS: [&str; 6] = [
    "-entropic=0",
    "-max_len=2048",
    "-len_control=0",
    "-timeout=60",
    "-rss_limit_mb=4096",
    "-detect_leaks=0",
];
/// How long a finding is made smaller for.
const SMALLER: Duration = Duration::from_secs(60);
/// Seeds that a finding of calls side by side is tried with.
const SEEDS: u32 = 200;

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// When so much time has passed.
    Time(Duration),
    /// After so many executions.
    Runs(u64),
    /// With the first finding, or when so much time has passed.
    Finding(Duration),
    /// With the first finding, or after so many executions.
    Search(u64),
}

/// A kind of finding.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Of what Linux died.
    pub verdict: Verdict,
    /// The input, made smaller.
    pub input: PathBuf,
    /// It is a finding by itself.
    pub alone: bool,
    /// How often its kind came.
    pub times: u64,
    /// How long it took.
    pub after: Duration,
}

/// How it went.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Executions.
    pub runs: u64,
    /// What they took.
    pub time: Duration,
    /// Edges reached, as libFuzzer counts them.
    pub edges: u64,
    /// Programs that were started.
    pub programs: u64,
    /// Inputs that were ended because they took too long.
    pub slow: u64,
    /// By kind.
    pub findings: BTreeMap<String, Finding>,
    /// Of each folder of Linux's: edges reached and edges in all.
    pub folders: Vec<(String, u64, u64)>,
}

/// What is run, and where things are kept.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The fuzzing program.
    pub program: PathBuf,
    /// What is fuzzed.
    pub target: Target,
    /// The volume; empty for a target without one.
    pub volume: String,
    /// The planted bug that is awake; 0 for none.
    pub bug: u32,
    /// The processor that it runs on; `None`: the one where it is started.
    pub processor: Option<usize>,
    /// A folder for inputs that reach something, for findings, and for which edges were reached.
    pub place: PathBuf,
    /// Where chance begins.
    pub seed: u32,
}

impl Campaign {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(processor) = self.processor {
            command.env("LKLFS_FUZZ_PROCESSOR", processor.to_string());
        }
        command
            .env("LKLFS_FUZZ_TARGET", self.target.name())
            .env("LKLFS_FUZZ_VOLUME", &self.volume)
            .env("LKLFS_FUZZ_BUG", self.bug.to_string())
            .env("LKLFS_FUZZ_EDGES", self.place.join("edges"))
            .env("LKLFS_FUZZ_EXECUTIONS", EXECUTIONS.to_string())
            .args(LIMITS)
            .stdin(Stdio::null());
        command
    }

    /// Gives one input to a program of its own. What it died of, if it did.
    ///
    /// # Errors
    /// The program does not run.
    pub fn once(&self, input: &Path) -> io::Result<Option<Verdict>> {
        let output = self.command().arg(input).output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        match (output.status.success(), Verdict::read(&text)) {
            (true, _) => Ok(None),
            (false, Some(verdict)) => Ok(Some(verdict)),
            (false, None) => Err(ended_oddly(&text)),
        }
    }

    /// What an execution takes whose Linux is booted for it: the mean of some, of the input that is empty.
    ///
    /// # Errors
    /// The program does not run, or the sound volume is a finding.
    pub fn with_boot(&self) -> io::Result<Duration> {
        const BOOTS: u32 = 3;
        fs::create_dir_all(&self.place)?;
        let empty = self.place.join("empty");
        fs::write(&empty, [])?;
        let start = Instant::now();
        for _ in 0..BOOTS {
            if let Some(verdict) = self.once(&empty)? {
                return Err(io::Error::other(format!(
                    "the empty input is a finding: {}",
                    verdict.what
                )));
            }
        }
        Ok(start.elapsed() / BOOTS)
    }

    /// Fuzzes.
    ///
    /// # Errors
    /// The program does not run, or ends without a word of why.
    pub fn run(&self, limit: Limit) -> io::Result<Outcome> {
        let [learned, findings] = ["learned", "findings"].map(|name| self.place.join(name));
        fs::create_dir_all(&learned)?;
        fs::create_dir_all(&findings)?;
        let start = Instant::now();
        let mut outcome = Outcome::default();
        // What is made of a finding afterwards is not fuzzing.
        let mut fuzzing = Duration::ZERO;
        loop {
            let left = match limit {
                Limit::Time(time) | Limit::Finding(time) => format!(
                    "-max_total_time={}",
                    time.saturating_sub(fuzzing).as_secs().max(1)
                ),
                Limit::Runs(runs) | Limit::Search(runs) => format!("-runs={}", runs - outcome.runs),
            };
            let seed = self
                .seed
                .wrapping_add(u32::try_from(outcome.programs).unwrap_or(0));
            let began = Instant::now();
            let output = self
                .command()
                .arg(left)
                .arg(format!("-seed={}", seed.max(1)))
                .arg(format!("-artifact_prefix={}/", findings.display()))
                .arg("-print_final_stats=1")
                .env("LKLFS_FUZZ_SLOW", self.place.join("slow"))
                .arg(&learned)
                .output()?;
            fuzzing += began.elapsed();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            outcome.programs += 1;
            outcome.slow += u64::from(text.contains("FRESH: an input was too slow"));
            outcome.runs += executed(&text).max(1);
            outcome.edges = outcome.edges.max(last(&text, "cov: ").unwrap_or(0));
            if !output.status.success() && output.status.code() != Some(FRESH) {
                let verdict = Verdict::read(&text).ok_or_else(|| ended_oddly(&text))?;
                self.keep(verdict, &text, start.elapsed(), &mut outcome)?;
            }
            let over = match limit {
                Limit::Time(time) => fuzzing >= time,
                Limit::Finding(time) => fuzzing >= time || !outcome.findings.is_empty(),
                Limit::Runs(runs) => outcome.runs >= runs,
                Limit::Search(runs) => outcome.runs >= runs || !outcome.findings.is_empty(),
            };
            if over {
                break;
            }
        }
        outcome.time = fuzzing;
        outcome.folders = self.folders()?;
        Ok(outcome)
    }

    fn keep(&self, verdict: Verdict, text: &str, after: Duration, outcome: &mut Outcome) -> io::Result<()> {
        let kind = verdict.kind();
        if let Some(finding) = outcome.findings.get_mut(&kind) {
            finding.times += 1;
            return Ok(());
        }
        // The last one: slow units come before, and the program goes on.
        let artifact = text
            .lines()
            .rev()
            .find_map(|line| line.split_once("Test unit written to "));
        let artifact = PathBuf::from(artifact.map_or("", |(_, path)| path.trim()));
        let scratch = artifact.with_extension("try");
        let input = self.found_alone(fs::read(&artifact)?, &scratch, |again| again.kind() == kind)?;
        let alone = input.is_some();
        let mut path = artifact.clone();
        if let Some(input) = input {
            let start = Instant::now();
            let small = self.target.smaller(&input, |input| {
                let tried = start.elapsed() < SMALLER && fs::write(&scratch, input).is_ok();
                tried
                    && self
                        .once(&scratch)
                        .is_ok_and(|again| again.is_some_and(|again| again.kind() == kind))
            });
            let _ = fs::remove_file(&scratch);
            path = artifact.with_extension("small");
            fs::write(&path, small)?;
        }
        outcome.findings.insert(
            kind,
            Finding {
                verdict,
                input: path,
                alone,
                times: 1,
                after,
            },
        );
        Ok(())
    }

    /// The input if it is a finding in a program of its own as well. What is side by side may meet otherwise there, where nothing has
    /// filled Linux's caches before: then the same calls under another seed.
    fn found_alone(
        &self,
        input: Vec<u8>,
        scratch: &Path,
        is_it: impl Fn(&Verdict) -> bool,
    ) -> io::Result<Option<Vec<u8>>> {
        let seeds = match self.target {
            Target::Schedules => 0..SEEDS,
            _ => 0..0,
        };
        let others = seeds.map(|seed| strands::with_seed(&input, seed));
        for input in iter::once(input.clone()).chain(others) {
            fs::write(scratch, &input)?;
            if self.once(scratch)?.is_some_and(|again| is_it(&again)) {
                return Ok(Some(input));
            }
        }
        Ok(None)
    }

    /// Asks the program for the table.
    fn folders(&self) -> io::Result<Vec<(String, u64, u64)>> {
        let output = self.command().env("LKLFS_FUZZ_FOLDERS", "1").output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let row = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let (reached, all) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some((words.next()?.to_owned(), reached, all))
        };
        Ok(text.lines().filter_map(row).collect())
    }
}

fn ended_oddly(text: &str) -> io::Error {
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(30)..].join("\n");
    io::Error::other(format!("the fuzzing program ended without a finding:\n{tail}"))
}

/// How many executions there were: by its own summary, else by its last line of status.
fn executed(text: &str) -> u64 {
    let summary = text
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let summary = summary.and_then(|number| number.trim().parse().ok());
    let status = || {
        let numbers = text
            .lines()
            .filter_map(|line| line.strip_prefix('#')?.split_whitespace().next()?.parse().ok());
        numbers.max().unwrap_or(0)
    };
    summary.unwrap_or_else(status)
}

/// The number behind a word, in the last line of status that has it.
fn last(text: &str, word: &str) -> Option<u64> {
    let lines = text.lines().filter(|line| line.starts_with('#'));
    let mut numbers =
        lines.filter_map(|line| line.split_once(word)?.1.split_whitespace().next()?.parse().ok());
    numbers.next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_is_read() {
        let text = "#2\tINITED cov: 97 ft: 301\n#512\tNEW    cov: 99 ft: 303\nFRESH: enough executions\n";
        assert_eq!((executed(text), last(text, "cov: ")), (512, Some(99)));
        let done = format!("{text}stat::number_of_executed_units: 900\n");
        assert_eq!(executed(&done), 900);
        assert_eq!(last("", "cov: "), None);
    }
}
