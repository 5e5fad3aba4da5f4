//! What the I/O manager knows about every IRP, apart from the IRP's own memory.
//!
//! A driver may do anything to an IRP's memory, so the rules are checked against this ledger: an IRP is known
//! from its allocation to its freeing; each call of a dispatch routine is a [`Frame`]; a frame ends when the
//! completion loop passes its stack location. When both the routine's return value and the completion are
//! known, they are compared:
//!
//! - returned `STATUS_PENDING`: the location must have been marked pending;
//! - returned anything else: the location must not be marked, the IRP must have been completed, with that
//!   status.
//!
//! Frames are shared by the caller's stack and the record, because the IRP is usually gone when the routine
//! returns.

use crate::nt::*;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// Who allocated an IRP, which decides who frees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Built by the I/O manager for a request (user API, page fault, `IoBuildSynchronousFsdRequest`): freed
    /// at the end of completion.
    Manager,
    /// `IoAllocateIrp` by a driver: the driver frees it from a completion routine.
    Driver,
    /// `IoInitializeIrp` over the driver's own memory: never freed by us.
    Embedded,
}

/// How far an IRP is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Allocated, never sent, or taken back by a completion routine.
    Idle,
    /// Sent to a driver.
    InFlight,
    /// The completion loop is walking, or has walked, its stack.
    Completing,
}

/// One call of a driver's dispatch routine.
#[derive(Debug)]
pub struct Frame {
    location: i8,
    what: String,
    outcome: Mutex<Outcome>,
}

#[derive(Debug, Default)]
struct Outcome {
    returned: Option<NTSTATUS>,
    completed: Option<(NTSTATUS, bool)>,
}

impl Frame {
    /// The dispatch routine returned `status`.
    pub fn returned(&self, status: NTSTATUS) -> Result<(), String> {
        let mut outcome = lock(&self.outcome);
        outcome.returned = Some(status);
        self.check(&outcome)?;
        if status != STATUS_PENDING && outcome.completed.is_none() {
            return Err(format!(
                "{} returned {} without completing the IRP",
                self.what,
                name(status)
            ));
        }
        Ok(())
    }

    /// Which driver and request this was.
    pub fn what(&self) -> &str {
        &self.what
    }

    fn check(&self, outcome: &Outcome) -> Result<(), String> {
        let (Some(returned), Some((completed, marked))) = (outcome.returned, outcome.completed) else {
            return Ok(());
        };
        let what = &self.what;
        match (returned == STATUS_PENDING, marked) {
            (true, false) => Err(format!(
                "{what} returned STATUS_PENDING but never marked the IRP pending"
            )),
            (false, true) => Err(format!(
                "{what} marked the IRP pending but returned {}",
                name(returned)
            )),
            (false, false) if returned != completed => Err(format!(
                "{what} returned {} for an IRP that was completed with {}",
                name(returned),
                name(completed)
            )),
            _ => Ok(()),
        }
    }
}

#[derive(Debug)]
struct Record {
    owner: Owner,
    state: State,
    /// Distinguishes IRPs that had the same address.
    life: u64,
    frames: Vec<Arc<Frame>>,
    last: String,
}

static LIVES: AtomicU64 = AtomicU64::new(1);
static RECORDS: LazyLock<Mutex<HashMap<usize, Record>>> = LazyLock::new(Mutex::default);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An IRP came into being.
pub fn allocated(irp: PIRP, owner: Owner) {
    let life = LIVES.fetch_add(1, Ordering::Relaxed);
    let record = Record {
        owner,
        state: State::Idle,
        life,
        frames: Vec::new(),
        last: "never sent".into(),
    };
    lock(&RECORDS).insert(irp as usize, record);
}

/// Who allocated `irp`; an error when there is no such IRP.
pub fn owner(irp: PIRP) -> Result<Owner, String> {
    lock(&RECORDS)
        .get(&(irp as usize))
        .map(|record| record.owner)
        .ok_or_else(|| unknown(irp))
}

/// `irp` is passed to a driver at stack location `location`; `what` says to which and for what.
pub fn called(irp: PIRP, location: i8, what: String) -> Result<Arc<Frame>, String> {
    let mut records = lock(&RECORDS);
    let record = records.get_mut(&(irp as usize)).ok_or_else(|| unknown(irp))?;
    if record.state == State::Completing {
        return Err(format!(
            "IRP {irp:p} is sent to {what} after it was completed ({})",
            record.last
        ));
    }
    record.state = State::InFlight;
    record.last.clone_from(&what);
    let frame = Arc::new(Frame {
        location,
        what,
        outcome: Mutex::default(),
    });
    record.frames.push(Arc::clone(&frame));
    Ok(frame)
}

/// Whether a dispatch routine has `irp` at stack location `location`.
pub fn has_frame(irp: PIRP, location: i8) -> bool {
    lock(&RECORDS)
        .get(&(irp as usize))
        .is_some_and(|record| record.frames.iter().any(|frame| frame.location == location))
}

/// `IofCompleteRequest` starts on `irp`.
pub fn completing(irp: PIRP) -> Result<(), String> {
    let mut records = lock(&RECORDS);
    let record = records.get_mut(&(irp as usize)).ok_or_else(|| unknown(irp))?;
    match record.state {
        State::InFlight => {
            record.state = State::Completing;
            Ok(())
        }
        State::Idle => Err(format!(
            "IRP {irp:p} is completed but was not sent to any driver ({})",
            record.last
        )),
        State::Completing => Err(format!("IRP {irp:p} is completed twice ({})", record.last)),
    }
}

/// The completion loop passes `location` with `status`; `marked` is its SL_PENDING_RETURNED.
pub fn passing(irp: PIRP, location: i8, status: NTSTATUS, marked: bool) -> Vec<String> {
    let ended: Vec<Arc<Frame>> = match lock(&RECORDS).get_mut(&(irp as usize)) {
        Some(record) => record
            .frames
            .extract_if(.., |frame| frame.location == location)
            .collect(),
        None => return vec![unknown(irp)],
    };
    let mut faults = Vec::new();
    for frame in ended {
        let mut outcome = lock(&frame.outcome);
        outcome.completed = Some((status, marked));
        faults.extend(frame.check(&outcome).err());
    }
    faults
}

/// A completion routine is about to be called: the driver above owns the IRP and may free it or send it
/// again. The answer tells [`resumed`] which life of the IRP this is.
pub fn offered(irp: PIRP) -> u64 {
    match lock(&RECORDS).get_mut(&(irp as usize)) {
        Some(record) => {
            record.state = if record.frames.is_empty() {
                State::Idle
            } else {
                State::InFlight
            };
            record.life
        }
        None => 0,
    }
}

/// The completion routine returned and did not keep the IRP: the walk goes on.
pub fn resumed(irp: PIRP, life: u64) -> Result<(), String> {
    match lock(&RECORDS).get_mut(&(irp as usize)) {
        Some(record) if record.life == life && record.state != State::Completing => {
            record.state = State::Completing;
            Ok(())
        }
        _ => Err(format!(
            "{irp:p} was freed or sent again, but STATUS_MORE_PROCESSING_REQUIRED was not returned"
        )),
    }
}

/// The driver reuses its IRP from the start.
pub fn reused(irp: PIRP) -> Result<(), String> {
    let mut records = lock(&RECORDS);
    let record = records.get_mut(&(irp as usize)).ok_or_else(|| unknown(irp))?;
    if record.state == State::InFlight {
        return Err(format!(
            "IRP {irp:p} is reused while a driver has it ({})",
            record.last
        ));
    }
    record.state = State::Idle;
    record.frames.clear();
    Ok(())
}

/// `irp` is about to be freed: it must not be on its way.
pub fn freed(irp: PIRP) -> Result<Owner, String> {
    let record = lock(&RECORDS)
        .remove(&(irp as usize))
        .ok_or_else(|| unknown(irp))?;
    if record.state == State::InFlight {
        return Err(format!(
            "IRP {irp:p} is freed while a driver has it ({})",
            record.last
        ));
    }
    Ok(record.owner)
}

/// IRPs that exist now and would be leaks at unload, one line each.
pub fn outstanding() -> Vec<String> {
    lock(&RECORDS)
        .iter()
        .filter(|(_, record)| record.owner != Owner::Embedded || record.state != State::Idle)
        .map(|(irp, record)| {
            format!(
                "IRP {irp:#x} ({:?}, {:?}): {}",
                record.owner, record.state, record.last
            )
        })
        .collect()
}

fn unknown(irp: PIRP) -> String {
    format!("{irp:p} is not an IRP, or one that was freed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fake(address: usize) -> PIRP {
        address as PIRP
    }

    #[test]
    fn an_irp_is_completed_once() {
        let irp = fake(0x1000);
        allocated(irp, Owner::Manager);
        assert!(completing(irp).is_err(), "never sent");
        let frame = called(irp, 1, "read".into()).expect("known");
        completing(irp).expect("in flight");
        assert!(passing(irp, 1, STATUS_SUCCESS, false).is_empty());
        frame.returned(STATUS_SUCCESS).expect("the same status");
        assert!(completing(irp).is_err(), "twice");
        freed(irp).expect("completed");
        assert!(completing(irp).is_err(), "freed");
    }

    #[test]
    fn pending_must_be_marked_and_returned() {
        for (address, returned, marked, good) in [
            (0x2000, STATUS_PENDING, true, true),
            (0x2001, STATUS_PENDING, false, false),
            (0x2002, STATUS_SUCCESS, true, false),
            (0x2003, STATUS_END_OF_FILE, false, false),
        ] {
            let irp = fake(address);
            allocated(irp, Owner::Manager);
            let frame = called(irp, 1, "read".into()).expect("known");
            completing(irp).expect("in flight");
            let _ = passing(irp, 1, STATUS_SUCCESS, marked);
            assert_eq!(frame.returned(returned).is_ok(), good, "{address:#x}");
            freed(irp).expect("completed");
        }
    }

    #[test]
    fn completion_may_come_after_the_return() {
        let irp = fake(0x3000);
        allocated(irp, Owner::Manager);
        let frame = called(irp, 1, "read".into()).expect("known");
        frame.returned(STATUS_PENDING).expect("still open");
        assert!(freed(irp).is_err(), "a driver has it");
        allocated(irp, Owner::Manager);
        let frame = called(irp, 1, "read".into()).expect("known");
        assert!(frame.returned(STATUS_SUCCESS).is_err(), "nobody completed it");
        completing(irp).expect("in flight");
        assert_eq!(passing(irp, 1, STATUS_SUCCESS, false).len(), 0);
        freed(irp).expect("completed");
    }
}
