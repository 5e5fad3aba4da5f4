//! `cargo xtask test machine`: the random machine of the driver's tests, for as long as is wanted.

use std::process::Command;

use anyhow::{Context, Result};
use xshell::Shell;

use crate::driver::{self, Flavour};
use crate::{double, failures, repo, setup};

/// What is run; without any of these, 100,000 requests.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// Of the random machine: how many requests
    #[arg(long)]
    requests: Option<u64>,
    /// Of the random machine: what chooses them
    #[arg(long)]
    seed: Option<u64>,
    /// Of the random machine: how many threads send them; with one, the answers are the same each time
    #[arg(long)]
    threads: Option<u64>,
}

impl Options {
    /// Whether any was given.
    pub fn are_given(&self) -> bool {
        let numbers = [self.requests, self.seed, self.threads];
        numbers.iter().any(Option::is_some)
    }
}

/// Runs the tests that were asked for.
pub fn run(sh: &Shell, options: &Options) -> Result<()> {
    setup::ensure(sh, &[&setup::KERNEL, &setup::WINDOWS, &setup::VOLUMES])?;
    let shipped = driver::build(sh, false)?;
    let self_test = driver::build_flavour(sh, Flavour::SelfTest, false)?;
    let requests = options.requests.unwrap_or(100_000).to_string();
    let mut cmd = Command::new("cargo");
    cmd.args(["test", "-q", "-p", "lklfs-ntk", "--test", "machine", "--"])
        .args(["--exact", "--nocapture"])
        .arg("whatever_happens_each_answer_is_right_or_excused")
        .env(double::DRIVER_VARIABLE, &shipped)
        .env(driver::SELF_TEST_VARIABLE, &self_test)
        .env("LKLFS_MACHINE_REQUESTS", requests)
        .current_dir(repo::root());
    let given = [("SEED", options.seed), ("THREADS", options.threads)];
    for (name, number) in given {
        if let Some(number) = number {
            cmd.env(format!("LKLFS_MACHINE_{name}"), number.to_string());
        }
    }
    failures::run(cmd).context("the random machine found something")
}
