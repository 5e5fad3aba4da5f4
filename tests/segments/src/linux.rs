//! The carried Linux of a process: booted once, by a thread of its own, which runs the scripts that others ask for.

use crate::run::{self, Settings};
use crate::script::{Fault, Script};
use lkl::{BootConfig, Halt};
use lkl_host_virtual::{Start, boot};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// One script to be run.
struct Job {
    script: Script,
    settings: Settings,
    folder: PathBuf,
    answer: Sender<Result<(), Fault>>,
}

/// Linux in virtual time.
pub struct Linux {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

/// What random numbers begin with, so that each run is the same.
const SEED: &str = "6c6b6c6673207463702073637269707473206f66207365676d656e747320213f";

impl Linux {
    /// Boots it.
    pub fn boot() -> Result<Linux, String> {
        let (jobs, received) = channel();
        let (booted, is_up) = channel();
        let thread = std::thread::spawn(move || serve(&received, &booted));
        match is_up.recv() {
            Ok(result) => result?,
            Err(_) => return Err("Linux does not boot".into()),
        }
        Ok(Linux {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Runs a script; one at a time.
    ///
    /// # Errors
    /// Those of [`run::run`], or that Linux is dead.
    pub fn run(&self, script: &Script, settings: Settings, folder: impl Into<PathBuf>) -> Result<(), Fault> {
        let (answer, answered) = channel();
        let job = Job {
            script: script.clone(),
            settings,
            folder: folder.into(),
            answer,
        };
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        let answer = if sent { answered.recv().ok() } else { None };
        answer.unwrap_or_else(|| {
            Err(Fault {
                place: Default::default(),
                what: "Linux is dead".into(),
            })
        })
    }

    /// Halts it.
    ///
    /// # Errors
    /// When it has died before, or something of it is left.
    pub fn halt(mut self) -> Result<(), String> {
        drop(self.jobs.take());
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            _ => Err("the thread of Linux's has panicked".into()),
        }
    }
}

fn serve(jobs: &Receiver<Job>, booted: &Sender<Result<(), String>>) -> Result<(), String> {
    let command_line = format!("loglevel=4 lkl_seed={SEED}");
    let config = BootConfig {
        pool_size: 256 << 20,
        command_line: &command_line,
    };
    let (kernel, world) = match boot(Default::default(), Start::default(), &config) {
        Ok(both) => both,
        Err(error) => {
            let _ = booted.send(Err(error.to_string()));
            return Ok(());
        }
    };
    let _ = booted.send(Ok(()));
    while let Ok(job) = world.outside(|| jobs.recv()) {
        let result = run::run(&kernel, &world, &job.script, job.settings, &job.folder);
        let dead = kernel.is_dead();
        let _ = job.answer.send(match result {
            Err(fault) if dead => Err(Fault {
                what: format!("Linux has died: {}", fault.what),
                ..fault
            }),
            result => result,
        });
        if dead {
            return Err("Linux has died".into());
        }
    }
    match kernel.halt() {
        Halt::Whole => Ok(()),
        other => Err(format!("Linux did not halt whole: {other:?}")),
    }
}
