//! Failing on demand: each place where NT may fail a call asks here first.
//!
//! Every question has a number, counted from the arming on. In counting mode nothing fails and the count is the plan;
//! armed with `n`, the question number `n` is answered with a failure. So a scenario is run once to count and then once
//! for each index, and an index that is never reached shows that the run differed.

use std::sync::Mutex;

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
    only: Option<Site>,
    count: u64,
    fail_at: Option<u64>,
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
        only,
        ..Plan::default()
    }));
}

/// Fails question number `index` (from 0) of those that [`count`] would count.
pub fn arm(only: Option<Site>, index: u64) {
    set(Some(Plan {
        only,
        fail_at: Some(index),
        ..Plan::default()
    }));
}

/// Ends counting or arming. Returns how many questions were asked and what failed: number, site, place in the driver.
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
    if plan.only.is_some_and(|only| only != site) || place == 0 {
        return false;
    }
    let number = plan.count;
    plan.count += 1;
    let fails = !plan.counting && plan.fail_at == Some(number);
    if fails {
        plan.hits.push((number, site, place));
    }
    fails
}
