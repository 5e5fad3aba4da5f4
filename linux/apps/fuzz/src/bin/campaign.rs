//! Has the fuzzing program run, and prints what came of it: `cargo xtask fuzz image` builds both and calls this.
//!
//! `campaign PROGRAM VOLUME PLACE (time SECONDS SEED | runs NUMBER SEED | input FILE)`. The exit code is 1 on a finding.

use lkl_fuzz::campaign::{Campaign, Finding, Limit, Outcome};
use lkl_fuzz::verdict::Verdict;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Frames of a finding that are shown, and lines of Linux's words.
const SHOWN: usize = 12;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[&str]) -> Result<ExitCode, String> {
    let [program, volume, place, order @ ..] = words else {
        return Err("campaign PROGRAM VOLUME PLACE ...".to_owned());
    };
    let number = |word: &str| word.parse::<u32>().map_err(|error| format!("{word}: {error}"));
    let mut campaign = Campaign {
        program: PathBuf::from(program),
        volume: (*volume).to_owned(),
        place: PathBuf::from(place),
        seed: 1,
    };
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
    tell(volume, &outcome);
    Ok(match outcome.findings.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn once(campaign: &Campaign, file: &Path) -> Result<ExitCode, String> {
    let verdict = campaign.once(file).map_err(|error| error.to_string())?;
    Ok(match verdict {
        None => {
            println!("image {}: no finding", campaign.volume);
            ExitCode::SUCCESS
        }
        Some(verdict) => {
            print_verdict(&verdict);
            ExitCode::FAILURE
        }
    })
}

fn tell(volume: &str, outcome: &Outcome) {
    let seconds = outcome.time.as_secs_f64().max(0.001);
    #[allow(clippy::cast_precision_loss)]
    let rate = outcome.runs as f64 / seconds;
    println!(
        "image {volume}: {} executions in {seconds:.0} s, {rate:.0} a second, by {} programs; {} edges",
        outcome.runs, outcome.programs, outcome.edges
    );
    let mut folders: Vec<_> = outcome
        .folders
        .iter()
        .filter(|(_, reached, _)| *reached > 0)
        .collect();
    folders.sort_by_key(|(_, reached, _)| std::cmp::Reverse(*reached));
    for (folder, reached, all) in folders {
        println!("  {folder:<20} {reached:>7} of {all:>7} edges");
    }
    for Finding {
        verdict,
        input,
        alone,
        times,
        after,
    } in outcome.findings.values()
    {
        println!("FINDING after {} s, {times} times", after.as_secs());
        print_verdict(verdict);
        if !alone {
            println!("  it does not come again by itself: Linux had a past");
        }
        println!(
            "  again: cargo xtask fuzz image --fs {volume} --input {}",
            input.display()
        );
    }
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
