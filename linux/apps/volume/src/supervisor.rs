//! Linux for a program that outlives it: booted again when it has died.
//!
//! The request that finds it dead has it ended and another booted ([`Supervisor::after`]), and mounts its own volume there
//! ([`crate::Lasting`]); a volume that nothing is asked of costs nothing. How often that goes on, and with which volumes, [`Deaths`]
//! decides. Of each death the operator is told in one line.
//!
//! A thread that is in a loop in Linux may still use its data: until it has left the loop there is no other Linux, and requests
//! fail.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lkl::{Deaths, Errno, Kernel, Remains};
use lkl_session::exit::{Exit, Failure};
use lkl_session::program::Program;
use lkl_session::session::{self, last_words};

/// How many Linuxes that are gone may have requests at disks. Each keeps its memory.
const MOST_REMAINS: usize = 2;
/// How long a volume is offline when Linux has died of it: who reads it for a program (a kernel that reads ahead, a client with
/// several connections) tries again at once, and would kill the next Linux for the same request.
const OFFLINE: Duration = Duration::from_secs(1);

/// Takes a line for the operator.
type Tell = Box<dyn Fn(&str) + Send + Sync>;

/// The Linux of this process, and those after it.
#[derive(Clone)]
pub struct Supervisor(Arc<Shared>);

struct Shared {
    program: Program,
    /// MiB for each.
    memory: u32,
    tell: Tell,
    started: Instant,
    state: Mutex<State>,
}

struct State {
    /// The one that runs, or has died and has not been ended.
    kernel: Option<Kernel>,
    remains: Vec<Remains>,
    deaths: Deaths<NonZeroU64>,
    /// By their accounts.
    volumes: Vec<Known>,
    /// The last boot has failed, which was told.
    fails: bool,
    is_over: bool,
}

/// What is known of a volume.
#[derive(Default)]
struct Known {
    /// What messages call it.
    name: String,
    /// When Linux has died of it last.
    died: Option<Instant>,
}

impl Supervisor {
    /// Boots the first one, with so many MiB of memory. `tell` takes a line for the operator.
    pub fn boot(
        program: Program,
        memory: u32,
        tell: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Supervisor, Failure> {
        let kernel = session::boot(&program, memory)?;
        Ok(Supervisor(Arc::new(Shared {
            program,
            memory,
            tell: Box::new(tell),
            started: Instant::now(),
            state: Mutex::new(State {
                kernel: Some(kernel),
                remains: Vec::new(),
                deaths: Deaths::new(),
                volumes: Vec::new(),
                fails: false,
                is_over: false,
            }),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The program, for messages.
    pub(crate) fn program(&self) -> Program {
        self.0.program
    }

    /// Says something to the operator.
    pub(crate) fn tell(&self, line: &str) {
        (self.0.tell)(line);
    }

    /// The one that runs, or ran last.
    pub fn kernel(&self) -> Option<Kernel> {
        self.state().kernel.clone()
    }

    /// How many have died.
    pub fn deaths(&self) -> u32 {
        let state = self.state();
        let now = state.kernel.as_ref().is_some_and(Kernel::is_dead);
        state.deaths.count().saturating_add(now.into())
    }

    /// The account of a new volume, and Linux for its work.
    pub(crate) fn account(&self) -> Result<(NonZeroU64, Kernel), Failure> {
        let mut state = self.state();
        state.volumes.push(Known::default());
        let account = u64::try_from(state.volumes.len()).ok().and_then(NonZeroU64::new);
        let gone = || Failure::new(Exit::Kernel, "Linux has stopped");
        let kernel = state.kernel.as_ref().filter(|kernel| !kernel.is_dead());
        let (account, kernel) = account.zip(kernel).ok_or_else(gone)?;
        Ok((account, kernel.on_account(account)))
    }

    /// What messages call the volume of an account.
    pub(crate) fn name(&self, account: NonZeroU64, name: String) {
        if let Some(known) = known(&mut self.state().volumes, account) {
            known.name = name;
        }
    }

    /// Linux for a volume's work, when the one that it was mounted in has died. Blocks for as long as a boot takes.
    ///
    /// # Errors
    /// ENODEV when the volume is offline, for now or for ever, or there is no Linux.
    pub(crate) fn after(&self, account: NonZeroU64) -> Result<Kernel, Errno> {
        let mut state = self.state();
        self.end_the_dead(&mut state)?;
        let died = known(&mut state.volumes, account).and_then(|known| known.died);
        let is_offline = died.is_some_and(|died| died.elapsed() < OFFLINE);
        if state.is_over || is_offline || state.deaths.is_fatal(&account) {
            return Err(Errno::ENODEV);
        }
        if state.kernel.is_none() {
            match session::boot(&self.0.program, self.0.memory) {
                Ok(kernel) => state.kernel = Some(kernel),
                Err(failure) => {
                    // Each request tries again: memory that is short now may be there then.
                    if !state.fails {
                        self.tell(&failure.message);
                    }
                    state.fails = true;
                    return Err(Errno::ENODEV);
                }
            }
        }
        state.fails = false;
        let kernel = state.kernel.as_ref().ok_or(Errno::ENODEV)?;
        Ok(kernel.on_account(account))
    }

    /// Whether the volume of an account stays offline.
    pub(crate) fn is_over(&self, account: NonZeroU64) -> bool {
        let state = self.state();
        state.is_over || state.deaths.is_fatal(&account)
    }

    /// Whether `dead`, which has died, died of another account's work. Blocks until it has ended.
    pub(crate) fn is_innocent(&self, dead: &Kernel, account: NonZeroU64) -> bool {
        let ended = self.end_the_dead(&mut self.state());
        ended.is_ok() && dead.death_account() != Some(account)
    }

    /// Ends the one that has died, if there is one, and says so.
    fn end_the_dead(&self, state: &mut State) -> Result<(), Errno> {
        state.remains.retain(|remains| !remains.is_over());
        let Some(kernel) = state.kernel.clone().filter(Kernel::is_dead) else {
            return Ok(());
        };
        if state.remains.len() >= MOST_REMAINS {
            // Once a disk has answered.
            return Err(Errno::ENODEV);
        }
        let words = last_words(&kernel.log());
        // One that is in a loop is looked at again with the next request.
        let remains = kernel.clone().abandon().ok_or(Errno::ENODEV)?;
        state.remains.push(remains);
        state.kernel = None;
        let now = u64::try_from(self.0.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        state.is_over = !state.deaths.note(now);
        let line = match kernel.death_account() {
            Some(account) => {
                state.deaths.note_of(&account, || Some(account));
                let name = known(&mut state.volumes, account).map_or("an image", |known| {
                    known.died = Some(Instant::now());
                    &known.name
                });
                match state.deaths.is_fatal(&account) {
                    false => format!(
                        "{name}: Linux has died of it{words}: it is offline until it is asked for again; repair a copy of it"
                    ),
                    true => format!(
                        "{name}: Linux has died of it again{words}: it stays offline; repair a copy of it"
                    ),
                }
            }
            None => format!("Linux has died{words}, of no image that is known; all of them go on"),
        };
        self.tell(&line);
        if state.is_over {
            let (most, name) = (lkl::MOST_DEATHS, self.0.program.name);
            self.tell(&format!(
                "Linux has died {most} times within ten minutes and is not started again, so that every request fails; end {name}, and leave out what it died of"
            ));
        }
        Ok(())
    }

    /// Stops Linux. Volumes go first.
    ///
    /// # Errors
    /// If one has died.
    pub fn end(&self) -> Result<(), Failure> {
        let mut state = self.state();
        let kernel = state.kernel.take();
        let now = u32::from(kernel.as_ref().is_some_and(Kernel::is_dead));
        let count = state.deaths.count().saturating_add(now);
        state.is_over = true;
        state.remains.clear();
        drop(state);
        // A thread that is stuck in Linux ends with the process.
        let _ = kernel.map(Kernel::halt);
        match count {
            0 => Ok(()),
            1 => Err(Failure::new(
                Exit::Kernel,
                "Linux has died once meanwhile; repair a copy of what it died of",
            )),
            count => Err(Failure::new(
                Exit::Kernel,
                format_args!("Linux has died {count} times meanwhile; repair copies of what it died of"),
            )),
        }
    }
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").finish_non_exhaustive()
    }
}

fn known(volumes: &mut [Known], account: NonZeroU64) -> Option<&mut Known> {
    let index = usize::try_from(account.get()).ok()?.checked_sub(1)?;
    volumes.get_mut(index)
}
