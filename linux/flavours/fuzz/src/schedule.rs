//! System calls side by side, interrupted where a seed says (`linux_schedule()` of asm/host_fuzz.h).

#![allow(unsafe_code)]

use contract::lkl_schedule;
use lkl::{EntryTask, Errno, Kernel};

/// A system call.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Call {
    /// Its number.
    pub number: i64,
    /// Its arguments.
    pub args: [i64; 6],
    /// For each argument 0, or 1 and the index of an earlier call of the same strand whose result it is.
    pub from: [u8; 6],
    /// What came of it.
    pub result: i64,
}

/// Where a task was interrupted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switch {
    /// At which point of the run.
    pub point: u64,
    /// The number of the task.
    pub from: u32,
    /// That of the task that ran instead.
    pub to: u32,
    /// Where: bytes from the beginning of Linux's code on.
    pub place: u64,
}

/// What decides how strands meet.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Where tasks are interrupted, and who runs then.
    pub seed: u64,
    /// A task is interrupted at one point in so many.
    pub one_in: u64,
    /// How many interruptions are kept.
    pub room: usize,
}

/// How they met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Points that there were.
    pub points: u64,
    /// Interruptions that there were.
    pub switches: u64,
    /// Of all interruptions.
    pub digest: u64,
    /// The first ones.
    pub first: Vec<Switch>,
}

/// Runs strands of calls, each as a task of its own that shares files and folders with all others, until all have ended, and says how they
/// met. The result is Linux's, ENODEV when it has died of it.
///
/// # Safety
/// The calls' pointers are valid for what Linux does with them, and no two strands write to the same memory.
pub unsafe fn run(
    kernel: &Kernel,
    schedule: Schedule,
    strands: &mut [Vec<Call>],
) -> (Result<(), Errno>, Trace) {
    with(schedule, strands, |raw| {
        // SAFETY: what the structure points to lives through the call, and the caller promises the rest.
        let call = |task| unsafe { contract::linux_schedule(task, raw) };
        // SAFETY: it makes that one call.
        unsafe { kernel.call_by(call) }
    })
}

/// As [`run`], with files, folders and name spaces of this task.
///
/// # Safety
/// That of [`run`].
pub unsafe fn run_by(
    task: &mut EntryTask,
    schedule: Schedule,
    strands: &mut [Vec<Call>],
) -> (Result<(), Errno>, Trace) {
    with(schedule, strands, |raw| {
        // SAFETY: what the structure points to lives through the call, and the caller promises the rest.
        let call = |task| unsafe { contract::linux_schedule(task, raw) };
        // SAFETY: it makes that one call.
        unsafe { task.call_by(call) }
    })
}

/// Has `run` make the call with what Linux's structure says.
fn with(
    schedule: Schedule,
    strands: &mut [Vec<Call>],
    run: impl FnOnce(*mut lkl_schedule) -> Result<u64, Errno>,
) -> (Result<(), Errno>, Trace) {
    let mut first = vec![Switch::default(); schedule.room];
    let mut raw_strands: Vec<contract::lkl_strand> = strands
        .iter_mut()
        .map(|calls| contract::lkl_strand {
            calls: calls.as_mut_ptr(),
            count: calls.len(),
        })
        .collect();
    let mut raw = contract::lkl_schedule {
        seed: schedule.seed,
        one_in: schedule.one_in,
        strands: raw_strands.as_mut_ptr(),
        strand_count: raw_strands.len(),
        trace: first.as_mut_ptr(),
        room: first.len(),
        points: 0,
        switches: 0,
        digest: 0,
    };
    let result = run(&raw mut raw);
    first.truncate(usize::try_from(raw.switches).unwrap_or(usize::MAX));
    let trace = Trace {
        points: raw.points,
        switches: raw.switches,
        digest: raw.digest,
        first,
    };
    (result.map(|_| ()), trace)
}

/// `host_fuzz.h`.
#[allow(non_camel_case_types)]
mod contract {
    use super::{Call, Switch};
    use lkl::sys::{Long, lkl_task};

    #[repr(C)]
    pub(super) struct lkl_strand {
        pub(super) calls: *mut Call,
        pub(super) count: usize,
    }

    #[repr(C)]
    pub(super) struct lkl_schedule {
        pub(super) seed: u64,
        pub(super) one_in: u64,
        pub(super) strands: *mut lkl_strand,
        pub(super) strand_count: usize,
        pub(super) trace: *mut Switch,
        pub(super) room: usize,
        pub(super) points: u64,
        pub(super) switches: u64,
        pub(super) digest: u64,
    }

    unsafe extern "sysv64" {
        pub(super) fn linux_schedule(task: *mut lkl_task, schedule: *mut lkl_schedule) -> Long;
    }
}
