//! A list of steps that goes on after a failure and ends with a summary.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How a step ended.
enum Outcome {
    Passed(Duration),
    Failed(Duration, String),
    Skipped(String),
}

/// The steps that have run so far.
#[derive(Default)]
pub struct Steps {
    done: Vec<(String, Outcome)>,
}

impl Steps {
    /// Runs one step and keeps its result; what it returns is there for later steps that need it.
    pub fn run<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T>) -> Option<T> {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let result = step();
        let took = start.elapsed();
        match result {
            Ok(value) => {
                self.done.push((name.to_owned(), Outcome::Passed(took)));
                Some(value)
            }
            Err(error) => {
                let text = format!("{error:#}");
                eprintln!("== {name} FAILED: {text}");
                self.done.push((name.to_owned(), Outcome::Failed(took, text)));
                None
            }
        }
    }

    /// Notes a step that cannot run because of an earlier one.
    pub fn skip(&mut self, name: &str, reason: &str) {
        self.done
            .push((name.to_owned(), Outcome::Skipped(reason.to_owned())));
    }

    /// Prints one line a step and a closing line; an error unless every step passed.
    pub fn finish(self) -> Result<()> {
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        println!("\nsummary");
        for (name, outcome) in &self.done {
            match outcome {
                Outcome::Passed(took) => {
                    passed += 1;
                    println!("  ok       {:>6.1} s  {name}", took.as_secs_f64());
                }
                Outcome::Failed(took, text) => {
                    failed += 1;
                    let mut lines = text.lines();
                    let first = lines.next().unwrap_or_default();
                    println!("  FAILED   {:>6.1} s  {name}: {first}", took.as_secs_f64());
                    for line in lines {
                        println!("             {line}");
                    }
                }
                Outcome::Skipped(reason) => {
                    skipped += 1;
                    println!("  skipped           {name}: {reason}");
                }
            }
        }
        println!("steps: {passed} passed, {failed} failed, {skipped} skipped");
        if failed + skipped > 0 {
            bail!("{} of {} steps did not pass", failed + skipped, self.done.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_or_skip_fails_the_whole() {
        let mut steps = Steps::default();
        assert_eq!(steps.run("good", || Ok(7)), Some(7));
        assert!(steps.finish().is_ok());

        let mut steps = Steps::default();
        assert_eq!(steps.run("bad", || -> Result<()> { bail!("broken") }), None);
        assert_eq!(steps.run("after", || Ok(())), Some(()));
        assert!(steps.finish().is_err());

        let mut steps = Steps::default();
        steps.skip("late", "the driver did not build");
        assert!(steps.finish().is_err());
    }
}
