//! `cargo xtask test machine`: the random machine of the driver's tests, for as long as is wanted.

use std::process::Command;

use anyhow::{Context, Result, ensure};
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
    /// Of the random machine: kill Linux at so many points of a scenario, or at `all`
    #[arg(long, value_name = "COUNT|all")]
    points: Option<String>,
    /// Of the random machine: mount and unmount so often
    #[arg(long, value_name = "COUNT")]
    mounts: Option<u64>,
}

impl Options {
    /// Whether any was given.
    pub fn are_given(&self) -> bool {
        let numbers = [self.requests, self.seed, self.threads, self.mounts];
        self.points.is_some() || numbers.iter().any(Option::is_some)
    }
}

/// Runs the tests that were asked for.
pub fn run(sh: &Shell, options: &Options) -> Result<()> {
    setup::ensure(sh, &[&setup::KERNEL, &setup::WINDOWS, &setup::VOLUMES])?;
    let shipped = driver::build(sh, false)?;
    let self_test = driver::build_flavour(sh, Flavour::SelfTest, false)?;
    let mut tests = Vec::new();
    if options.points.is_some() {
        tests.push("points::linux_dies_at_any_point_and_three_of_four_volumes_stay_right");
    }
    if options.mounts.is_some() {
        tests.push("mounts::mounts_and_unmounts_end_where_they_began");
    }
    if tests.is_empty() || options.requests.is_some() {
        tests.push("whatever_happens_each_answer_is_right_or_excused");
    }
    let requests = options.requests.unwrap_or(100_000).to_string();
    let mut cmd = Command::new("cargo");
    cmd.args(["test", "-q", "-p", "lklfs-ntk", "--test", "machine", "--"])
        .args(["--exact", "--nocapture", "--include-ignored"])
        .args(&tests)
        .env(double::DRIVER_VARIABLE, &shipped)
        .env(driver::SELF_TEST_VARIABLE, &self_test)
        .env("LKLFS_MACHINE_REQUESTS", requests)
        .current_dir(repo::root());
    let given = [
        ("SEED", options.seed),
        ("THREADS", options.threads),
        ("MOUNTS", options.mounts),
    ];
    for (name, number) in given {
        if let Some(number) = number {
            cmd.env(format!("LKLFS_MACHINE_{name}"), number.to_string());
        }
    }
    if let Some(points) = &options.points {
        ensure!(
            points == "all" || points.parse::<usize>().is_ok(),
            "--points takes a number or `all`"
        );
        cmd.env("LKLFS_MACHINE_POINTS", points);
    }
    failures::run(cmd).context("the random machine found something")
}
