//! Failing on demand: each place where NT may fail a call asks here first.
//!
//! Every question has a number, counted from the arming on. In counting mode nothing fails and the count is the plan;
//! armed with `n`, the question number `n` is answered with a failure. So a scenario is run once to count and then once
//! for each index, and an index that is never reached shows that the run differed.
//!
//! [`arm`] fails one question; a shortage that lasts is [`fail_from`].

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Most failures that [`disarm`] tells of: a shortage that lasts may be met often.
const MOST_HITS: usize = 64;

/// A place that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Site {
    /// Pool allocation.
    Pool,
    /// IoAllocateIrp and the builders.
    Irp,
    /// IoAllocateMdl.
    Mdl,
    /// Mapping of an MDL into system space.
    Mapping,
    /// Pages for an MDL.
    Pages,
    /// PsCreateSystemThread.
    Thread,
    /// Work items.
    WorkItem,
    /// Expanded stacks.
    Stack,
    /// Device creation.
    Device,
    /// Cache manager.
    Cache,
    /// A disk request.
    Disk,
}

#[derive(Default)]
struct Plan {
    counting: bool,
    /// None: all.
    only: Vec<Site>,
    count: u64,
    fail_at: Option<u64>,
    /// Everything after `fail_at` fails as well, for so long; `Some(None)` is until disarmed.
    lasting: Option<Option<Duration>>,
    began: Option<Instant>,
    hits: Vec<(u64, Site, usize)>,
}

static PLAN: Mutex<Option<Plan>> = Mutex::new(None);

fn set(plan: Option<Plan>) -> Option<Plan> {
    std::mem::replace(
        &mut *PLAN.lock().unwrap_or_else(|poisoned| poisoned.into_inner()),
        plan,
    )
}

/// Starts counting questions (of one site, or of all) without failing any.
pub fn count(only: Option<Site>) {
    set(Some(Plan {
        counting: true,
        only: only.into_iter().collect(),
        ..Plan::default()
    }));
}

/// Fails question number `index` (from 0) of those that [`count`] would count.
pub fn arm(only: Option<Site>, index: u64) {
    set(Some(Plan {
        only: only.into_iter().collect(),
        fail_at: Some(index),
        ..Plan::default()
    }));
}

/// Fails question number `index` (from 0) of those of `sites`, all of them when there are none, and each one after it: for
/// `lasting`, or until disarmed.
pub fn fail_from(sites: &[Site], index: u64, lasting: Option<Duration>) {
    set(Some(Plan {
        only: sites.to_vec(),
        fail_at: Some(index),
        lasting: Some(lasting),
        ..Plan::default()
    }));
}

/// Ends counting or arming. Returns how many questions were asked and what failed, the first of it: number, site, place in the driver.
pub fn disarm() -> (u64, Vec<(u64, Site, String)>) {
    let plan = set(None).unwrap_or_default();
    let hits = plan
        .hits
        .iter()
        .map(|&(n, site, place)| (n, site, crate::loader::describe(place)))
        .collect();
    (plan.count, hits)
}

/// True: the caller must fail as NT would fail it for lack of resources. Only questions that come from a driver's call
/// count.
pub fn should_fail(site: Site) -> bool {
    let mut plan = PLAN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let Some(plan) = plan.as_mut() else { return false };
    let place = crate::ke::gate::caller();
    if !(plan.only.is_empty() || plan.only.contains(&site)) || place == 0 {
        return false;
    }
    let number = plan.count;
    plan.count += 1;
    let fails = !plan.counting
        && match (plan.fail_at, plan.lasting) {
            (Some(first), None) => number == first,
            (Some(first), Some(lasting)) if number >= first => {
                let began = *plan.began.get_or_insert_with(Instant::now);
                lasting.is_none_or(|lasting| began.elapsed() < lasting)
            }
            _ => false,
        };
    if fails && plan.hits.len() < MOST_HITS {
        plan.hits.push((number, site, place));
    }
    fails
}
