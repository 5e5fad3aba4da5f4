//! The Linux of this driver: booted with the first mount, halted by the unload, and booted again when it has died.
//!
//! Whoever finds it dead boots the next one ([`Linux::after`]): a mount, or a request for a volume that lives on
//! ([`crate::object::revival`]). The volume that it died of is *condemned*: it does not come into the next one. A volume that two of
//! them have died of is mounted only when an administrator asks for it ([`Linux::is_fatal`]). When Linux dies [`MOST_DEATHS`]
//! times within [`WHILE`], it stays dead until the driver is loaded afresh, and so it does when a thread is in a loop in it that
//! does not end: Linux is linked into the image, and that thread may still use its data.
//!
//! What a disk that hangs still has of a Linux that is gone ([`Remains`]) stays until it is answered: up to [`MOST_REMAINS`] of
//! them, since each keeps its memory.

use crate::eventlog;
use crate::letter::policy::VolumeKey;
use crate::log;
use crate::object::revival;
use crate::state;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU64;
use lkl::{BootConfig, BootError, Deaths, Halt, Kernel, MOST_DEATHS, Remains, WHILE};
use lkl_host_ntk::NtkHost;
use lklfs_kernel::resource::Guarded;
use lklfs_kernel::sync::Event;
use lklfs_kernel::{clock, pool};
use lklfs_nt::{LogEvent, NtStatus};

/// Bytes that Linux manages: its page cache, its slabs, and the overlays of volumes that need a replay (64 MiB each
/// at most, but rarely more than a few).
const POOL_BYTES: usize = 128 << 20;
/// Messages up to and including warnings.
const COMMAND_LINE: &str = "loglevel=5";
const NS_PER_MINUTE: u64 = 60_000_000_000;
/// How many Linuxes that are gone may have requests at disks.
const MOST_REMAINS: usize = 2;
/// Lines of what a Linux that has died said last.
const LAST_WORDS: usize = 4;

/// A boot, in nanoseconds of the clock that never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Boot {
    /// How long it took.
    pub took: u64,
    /// When it ended.
    pub end: u64,
}

struct Running {
    kernel: Kernel,
    host: Arc<NtkHost>,
    boot: Boot,
}

enum Stage {
    Never,
    Running(Running),
    Over(NtStatus),
}

struct State {
    stage: Stage,
    /// Of volumes by their numbers, and by what tells them wherever they are.
    deaths: Deaths<VolumeKey>,
    remains: Vec<Remains>,
}

/// Linux, or what became of it.
pub struct Linux {
    state: Guarded<State>,
}

impl Linux {
    /// Not booted yet. `None` for lack of memory.
    pub fn new() -> Option<Self> {
        Some(Linux {
            state: Guarded::new(State {
                stage: Stage::Never,
                deaths: Deaths::new(),
                remains: Vec::new(),
            })?,
        })
    }

    /// The running kernel, booted if need be.
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
    pub fn get_or_boot(&self) -> Result<(Kernel, Arc<NtkHost>), NtStatus> {
        let mut state = self.state.lock();
        state.bury();
        if state.died() {
            state.end_the_dead()?;
        }
        if let Stage::Never = state.stage {
            match boot() {
                Ok(running) => state.stage = Stage::Running(running),
                // Another mount may find the memory that this one lacks.
                Err(status @ NtStatus::INSUFFICIENT_RESOURCES) => return Err(status),
                Err(status) => {
                    state.note_death();
                    return Err(status);
                }
            }
        }
        match &state.stage {
            Stage::Running(Running { kernel, host, .. }) => Ok((kernel.clone(), Arc::clone(host))),
            Stage::Over(status) => Err(*status),
            Stage::Never => Err(NtStatus::INTERNAL_ERROR),
        }
    }

    /// The kernel that came after one that has died, for a volume that it did not die of.
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks for as long as a boot takes.
    pub fn after(&self, account: NonZeroU64) -> Result<Kernel, NtStatus> {
        let (kernel, _) = self.get_or_boot()?;
        if self.state.lock().deaths.is_condemned(account) {
            return Err(NtStatus::NO_SUCH_DEVICE);
        }
        Ok(kernel.on_account(account))
    }

    /// Whether Linux has died of a volume so often that it is mounted on request only.
    ///
    /// IRQL: <= APC_LEVEL.
    pub fn is_fatal(&self, key: &VolumeKey) -> bool {
        self.state.lock().deaths.is_fatal(key)
    }

    /// An administrator asks for a volume in spite of that.
    ///
    /// IRQL: <= APC_LEVEL.
    pub fn forgive(&self, key: &VolumeKey) {
        self.state.lock().deaths.forgive(key);
    }

    /// Linux has died of a volume. Without memory to remember it, it may be mounted as often as Linux may die.
    ///
    /// IRQL: <= APC_LEVEL.
    pub fn note_fatal(&self, key: &VolumeKey) {
        let mut state = self.state.lock();
        state.deaths.note_of(key, || lklfs_kernel::text::copy(key).ok());
    }

    /// The kernel if it was ever booted, dead or alive.
    pub fn booted(&self) -> Option<Kernel> {
        match &self.state.lock().stage {
            Stage::Running(running) => Some(running.kernel.clone()),
            Stage::Never | Stage::Over(_) => None,
        }
    }

    /// When it was booted last, if ever.
    pub fn boot(&self) -> Option<Boot> {
        match &self.state.lock().stage {
            Stage::Running(running) => Some(running.boot),
            Stage::Never | Stage::Over(_) => None,
        }
    }

    /// How many have died since the driver was loaded, the present one included; and whether none will come after it.
    pub fn deaths(&self) -> (u32, bool) {
        let state = self.state.lock();
        let now = u32::from(state.died());
        (
            state.deaths.count().saturating_add(now),
            matches!(state.stage, Stage::Over(_)),
        )
    }

    /// Stops Linux for good. All of its threads are joined and its memory is given back when this returns. If one is in a
    /// loop that does not end, this does not return either: the image that the thread runs in must not go. (The driver has
    /// no unload routine any more then, so that only an unload that has begun comes here.)
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks, until each disk has answered what it was asked.
    pub fn halt(&self) {
        let (stage, remains) = {
            let mut state = self.state.lock();
            (
                core::mem::replace(&mut state.stage, Stage::Over(NtStatus::NO_SUCH_DEVICE)),
                core::mem::take(&mut state.remains),
            )
        };
        if let Stage::Running(Running { kernel, host, .. }) = stage {
            let never = Event::uninit();
            never.init();
            while kernel.clone().halt() == Halt::Stuck {
                never.wait_for(1000);
            }
            drop((kernel, host));
        }
        for remains in remains {
            remains.wait();
        }
    }

    /// Bytes that Linux manages while it runs.
    pub fn pool_bytes(&self) -> usize {
        POOL_BYTES
    }
}

impl State {
    fn died(&self) -> bool {
        matches!(&self.stage, Stage::Running(running) if running.kernel.is_dead())
    }

    /// Gives back what disks have answered by now.
    fn bury(&mut self) {
        self.remains.retain(|remains| !remains.is_over());
    }

    /// Ends a Linux that has died, so that another may boot.
    fn end_the_dead(&mut self) -> Result<(), NtStatus> {
        let gone = NtStatus::NO_SUCH_DEVICE;
        if self.remains.len() >= MOST_REMAINS || self.remains.try_reserve(1).is_err() {
            // Once a disk has answered.
            return Err(gone);
        }
        let Stage::Running(running) = &self.stage else {
            return Err(gone);
        };
        tell_last_words(&running.kernel);
        let died_of = running.kernel.death_account();
        // One that is in a loop is looked at again with the next request.
        let Some(remains) = running.kernel.clone().abandon() else {
            return Err(gone);
        };
        // There is room.
        self.remains.push(remains);
        self.bury();
        if let Some(account) = died_of {
            self.condemn(account);
        } else {
            eventlog::report(LogEvent::LinuxEnded, NtStatus::SUCCESS, &[]);
        }
        self.stage = Stage::Never;
        self.note_death();
        match self.stage {
            Stage::Over(status) => Err(status),
            _ => Ok(()),
        }
    }

    fn condemn(&mut self, account: NonZeroU64) {
        // Without memory to remember it, the volume lives on once more.
        self.deaths.condemn(account);
        revival::offline(account);
    }

    /// Linux has died, or has not come up: it is not started any more if that happens too often.
    fn note_death(&mut self) {
        if !self.deaths.note(clock::monotonic_ns()) {
            log::line(format_args!(
                "Linux has died {MOST_DEATHS} times within ten minutes: it is not started again until the driver is"
            ));
            eventlog::report(
                LogEvent::LinuxNotStarted,
                NtStatus::NO_SUCH_DEVICE,
                &[&MOST_DEATHS, &(WHILE / NS_PER_MINUTE)],
            );
            self.stage = Stage::Over(NtStatus::NO_SUCH_DEVICE);
        } else {
            log::line(format_args!(
                "Linux has died; the next request starts another one"
            ));
        }
    }
}

/// Keeps what a Linux that has died said last: its log goes with it.
fn tell_last_words(kernel: &Kernel) {
    let text = kernel.log();
    let mut last = [&[][..]; LAST_WORDS];
    let lines = text.rsplit(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    for (place, line) in last.iter_mut().rev().zip(lines) {
        *place = line;
    }
    for line in last.iter().filter(|line| !line.is_empty()) {
        log::line(format_args!("Linux: {}", line.escape_ascii()));
    }
}

fn boot() -> Result<Running, NtStatus> {
    let start = clock::monotonic_ns();
    let host = NtkHost::new().on_stuck(state::stay);
    let host = pool::try_arc(host).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    host.init();
    let config = BootConfig {
        pool_size: POOL_BYTES,
        command_line: COMMAND_LINE,
    };
    match Kernel::boot(Arc::clone(&host), &config) {
        Ok(kernel) => {
            let end = clock::monotonic_ns();
            let boot = Boot {
                took: end.saturating_sub(start),
                end,
            };
            Ok(Running { kernel, host, boot })
        }
        Err(BootError::NoMemory) => Err(NtStatus::INSUFFICIENT_RESOURCES),
        Err(error) => {
            log::line(format_args!("{error}"));
            Err(NtStatus::UNSUCCESSFUL)
        }
    }
}
