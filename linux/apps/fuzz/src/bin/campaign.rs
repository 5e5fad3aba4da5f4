//! Has the fuzzing program run, and prints what came of it: `cargo xtask fuzz` builds both and calls this.
//!
//! ```text
//! campaign PROGRAM PLACE TARGET VOLUME (time SECONDS SEED | runs NUMBER SEED | input FILE)
//! campaign PROGRAM PLACE planted SECONDS
//! campaign PROGRAM PLACE bounded
//! ```
//!
//! The exit code is 1 on a finding; of `planted` when a bug is not found; of `bounded` on a finding that is not known.

use lkl_fuzz::campaign::{Campaign, Finding, Limit, Outcome};
use lkl_fuzz::planted::{BUGS, Bug};
use lkl_fuzz::target::Target;
use lkl_fuzz::verdict::Verdict;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Frames of a finding that are shown, and lines of Linux's words.
const SHOWN: usize = 12;
/// Programs at a time, each on a processor of its own.
const PROGRAMS: usize = 2;
/// What `bounded` runs: a target, a volume, and how often.
const BOUNDED: [(Target, &str, u64); 8] = [
    (Target::Image, "ext4", 2000),
    (Target::Image, "xfs", 500),
    (Target::Image, "btrfs", 500),
    (Target::Calls, "ext4", 1500),
    (Target::Calls, "vfat", 1500),
    (Target::Schedules, "ext4", 500),
    (Target::Packets, "", 1000),
    (Target::Netlink, "", 1000),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn number(word: &str) -> Result<u32, String> {
    word.parse().map_err(|error| format!("{word}: {error}"))
}

/// Whether all is well.
fn run(words: &[&str]) -> Result<bool, String> {
    let [program, place, order @ ..] = words else {
        return Err("campaign PROGRAM PLACE ...".to_owned());
    };
    let make = |target: Target, volume: &str, folder: &str| Campaign {
        program: PathBuf::from(program),
        target,
        volume: volume.to_owned(),
        bug: 0,
        processor: None,
        place: Path::new(place).join(folder),
        seed: 1,
    };
    match order {
        ["planted", seconds] => planted(&make, Duration::from_secs(number(seconds)?.into())),
        ["bounded"] => bounded(&make),
        [target, volume, order @ ..] => {
            let target = Target::named(target).ok_or_else(|| format!("there is no target {target}"))?;
            let folder = if target.has_volume() {
                volume
            } else {
                target.name()
            };
            let folder = match target {
                Target::Calls | Target::Schedules => format!("{}-{folder}", target.name()),
                _ => (*folder).to_owned(),
            };
            one(make(target, volume, &folder), order)
        }
        _ => Err("what is to be done?".to_owned()),
    }
}

fn one(mut campaign: Campaign, order: &[&str]) -> Result<bool, String> {
    let limit = match order {
        ["input", file] => return once(&campaign, Path::new(file)),
        ["time", seconds, seed] => {
            campaign.seed = number(seed)?;
            Limit::Time(Duration::from_secs(number(seconds)?.into()))
        }
        ["runs", runs, seed] => {
            campaign.seed = number(seed)?;
            Limit::Runs(number(runs)?.into())
        }
        _ => return Err("what is to be done?".to_owned()),
    };
    let outcome = campaign.run(limit).map_err(|error| error.to_string())?;
    tell(&campaign, &outcome);
    let boot = campaign.with_boot().map_err(|error| error.to_string())?;
    println!(
        "  an execution with a boot of its own takes {:.0} times as long",
        boot.as_secs_f64() * rate(&outcome)
    );
    Ok(outcome.findings.is_empty())
}

fn once(campaign: &Campaign, file: &Path) -> Result<bool, String> {
    let verdict = campaign.once(file).map_err(|error| error.to_string())?;
    match &verdict {
        None => println!("{}: no finding", title(campaign)),
        Some(verdict) => print_verdict(verdict),
    }
    Ok(verdict.is_none())
}

/// A target, and its volume.
fn title(campaign: &Campaign) -> String {
    format!("{} {}", campaign.target.name(), campaign.volume)
        .trim_end()
        .to_owned()
}

fn rate(outcome: &Outcome) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let runs = outcome.runs as f64;
    runs / outcome.time.as_secs_f64().max(0.001)
}

fn summary(campaign: &Campaign, outcome: &Outcome) -> String {
    format!(
        "{}: {} executions in {:.0} s, {:.0} a second, by {} programs; {} edges",
        title(campaign),
        outcome.runs,
        outcome.time.as_secs_f64(),
        rate(outcome),
        outcome.programs,
        outcome.edges
    )
}

fn tell(campaign: &Campaign, outcome: &Outcome) {
    println!("{}", summary(campaign, outcome));
    if outcome.slow > 0 {
        let place = campaign.place.join("slow");
        println!(
            "  {} inputs were ended after 5 s; they are in {}",
            outcome.slow,
            place.display()
        );
    }
    let mut folders: Vec<_> = outcome
        .folders
        .iter()
        .filter(|(_, reached, _)| *reached > 0)
        .collect();
    folders.sort_by_key(|(_, reached, _)| std::cmp::Reverse(*reached));
    for (folder, reached, all) in folders {
        println!("  {folder:<20} {reached:>7} of {all:>7} edges");
    }
    for finding in outcome.findings.values() {
        tell_finding(campaign, finding);
    }
}

fn tell_finding(campaign: &Campaign, finding: &Finding) {
    println!(
        "FINDING after {} s, {} times",
        finding.after.as_secs(),
        finding.times
    );
    print_verdict(&finding.verdict);
    if !finding.alone {
        println!("  it does not come again by itself: Linux had a past");
    }
    let fs = match campaign.target.has_volume() {
        true => format!(" --fs {}", campaign.volume),
        false => String::new(),
    };
    println!(
        "  again: cargo xtask fuzz {}{fs} --input {}",
        match campaign.target {
            Target::Schedules => "calls --schedule",
            target => target.name(),
        },
        finding.input.display()
    );
}

fn print_verdict(verdict: &Verdict) {
    println!("  {}", verdict.what);
    for word in verdict.words.iter().take(SHOWN) {
        println!("  | {word}");
    }
    for frame in verdict.frames.iter().take(SHOWN) {
        println!("    {frame}");
    }
}

/// Does the jobs, each once, some at a time; what came of them, in their order.
fn all<T: Sync, R: Send>(jobs: &[T], act: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for processor in 0..PROGRAMS {
            let (next, done, act) = (&next, &done, &act);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(at) else { break };
                    let result = act(processor, job);
                    if let Ok(mut done) = done.lock() {
                        done.push((at, result));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

type Make<'a> = dyn Fn(Target, &str, &str) -> Campaign + Sync + 'a;

/// Has each planted bug found, within a time, from nothing.
fn planted(make: &Make<'_>, time: Duration) -> Result<bool, String> {
    println!("{:>2}  {:<42} {:<14} found", "", "bug", "target");
    let found = all(&BUGS, |processor, bug| {
        let (line, found) = match of_bug(make, time, bug, processor) {
            Ok(Some((runs, outcome))) => {
                let line = format!("after {runs} executions, {} s", outcome.time.as_secs());
                (line, true)
            }
            Ok(None) => (format!("not within {} s", time.as_secs()), false),
            Err(why) => (why, false),
        };
        let target = format!("{} {}", bug.target.name(), bug.volume);
        println!("{:>2}  {:<42} {target:<14} {line}", bug.number, bug.what);
        found
    });
    Ok(found.into_iter().all(|found| found))
}

/// Fuzzes with a bug awake, until it is found or the time is over.
fn of_bug(
    make: &Make<'_>,
    time: Duration,
    bug: &Bug,
    processor: usize,
) -> Result<Option<(u64, Outcome)>, String> {
    let mut campaign = make(bug.target, bug.volume, &format!("planted-{}", bug.number));
    let _ = std::fs::remove_dir_all(&campaign.place);
    campaign.bug = bug.number;
    campaign.processor = Some(processor);
    let (mut runs, mut spent) = (0, Duration::ZERO);
    while spent < time {
        let outcome = campaign
            .run(Limit::Finding(time - spent))
            .map_err(|error| error.to_string())?;
        runs += outcome.runs;
        spent += outcome.time;
        campaign.seed += 1000;
        if outcome
            .findings
            .values()
            .any(|finding| finding.verdict.is_planted())
        {
            let outcome = Outcome {
                time: spent,
                ..outcome
            };
            return Ok(Some((runs, outcome)));
        }
    }
    Ok(None)
}

/// Runs all targets for a while, from nothing and from the same seed.
fn bounded(make: &Make<'_>) -> Result<bool, String> {
    let good = all(&BOUNDED, |processor, (target, volume, runs)| {
        let mut campaign = make(*target, volume, &format!("bounded-{}-{volume}", target.name()));
        let _ = std::fs::remove_dir_all(&campaign.place);
        campaign.processor = Some(processor);
        let outcome = match campaign.run(Limit::Runs(*runs)) {
            Ok(outcome) => outcome,
            Err(error) => {
                println!("{}: {error}", title(&campaign));
                return false;
            }
        };
        println!("{}", summary(&campaign, &outcome));
        outcome
            .findings
            .values()
            .for_each(|finding| tell_finding(&campaign, finding));
        outcome.findings.is_empty()
    });
    Ok(good.into_iter().all(|good| good))
}
