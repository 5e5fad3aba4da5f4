//! The imports that use resources.

use super::{CHANGED, OWNER_POINTER, Request, State, acquire, forget_held, lock, me, release, state};
use crate::{
    ke::{self, irql},
    nt::*,
    ps,
    verifier::{
        ledger::{self, Kind as LedgerKind},
        locks,
    },
};
use std::collections::HashMap;

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        ExInitializeResourceLite <= DISPATCH;
        ExReinitializeResourceLite <= DISPATCH;
        ExDeleteResourceLite <= DISPATCH;
        ExAcquireResourceSharedLite <= APC;
        ExAcquireResourceExclusiveLite <= APC;
        ExTryToAcquireResourceExclusiveLite <= APC;
        ExAcquireSharedStarveExclusive <= APC;
        ExAcquireSharedWaitForExclusive <= APC;
        ExEnterCriticalRegionAndAcquireResourceExclusive <= APC;
        ExEnterCriticalRegionAndAcquireResourceShared <= APC;
        ExEnterCriticalRegionAndAcquireSharedWaitForExclusive <= APC;
        ExReleaseResourceLite <= DISPATCH;
        ExReleaseResourceForThreadLite <= DISPATCH;
        ExReleaseResourceAndLeaveCriticalRegion <= APC;
        ExConvertExclusiveToSharedLite <= DISPATCH;
        ExSetResourceOwnerPointer <= DISPATCH;
        ExIsResourceAcquiredExclusiveLite <= DISPATCH;
        ExIsResourceAcquiredSharedLite <= DISPATCH;
        ExIsResourceAcquiredLite = ExIsResourceAcquiredSharedLite, <= DISPATCH;
        ExGetExclusiveWaiterCount <= DISPATCH;
        ExGetSharedWaiterCount <= DISPATCH;
        ExDisableResourceBoostLite <= DISPATCH;
    }
}

/// `ExInitializeResourceLite`.
pub unsafe extern "win64" fn ExInitializeResourceLite(resource: PERESOURCE) -> NTSTATUS {
    if !(resource as usize).is_multiple_of(8) {
        crate::fail!(BadObject, "a resource at {resource:p}, which is not aligned");
    }
    // SAFETY: the driver passes memory for a resource.
    unsafe {
        resource.write_bytes(0, 1);
        let list = &raw mut (*resource).SystemResourcesList;
        (*list).Flink = list;
        (*list).Blink = list;
    }
    let before = lock()
        .get_or_insert_with(HashMap::new)
        .insert(resource as usize, State::default());
    if before.is_some() {
        crate::fail!(BadObject, "resource {resource:p} is initialised twice");
    }
    ledger::add(LedgerKind::Resource, resource as usize, "resource");
    STATUS_SUCCESS
}

unsafe extern "win64" fn ExReinitializeResourceLite(resource: PERESOURCE) -> NTSTATUS {
    let mut states = lock();
    let s = state(&mut states, resource);
    if s.exclusive.is_some() || !s.shared.is_empty() || !s.queue.is_empty() {
        drop(states);
        crate::fail!(
            LockOwner,
            "resource {resource:p} is initialised again while it is owned"
        );
    }
    STATUS_SUCCESS
}

/// `ExDeleteResourceLite`.
pub unsafe extern "win64" fn ExDeleteResourceLite(resource: PERESOURCE) -> NTSTATUS {
    let mut states = lock();
    let s = state(&mut states, resource);
    if s.exclusive.is_some() || !s.shared.is_empty() || !s.queue.is_empty() {
        drop(states);
        crate::fail!(LockOwner, "resource {resource:p} is deleted while it is owned");
    }
    states
        .get_or_insert_with(HashMap::new)
        .remove(&(resource as usize));
    drop(states);
    ledger::remove(LedgerKind::Resource, resource as usize);
    locks::forget(resource as usize..resource as usize + size_of::<ERESOURCE>());
    STATUS_SUCCESS
}

/// `ExAcquireResourceSharedLite`.
pub unsafe extern "win64" fn ExAcquireResourceSharedLite(resource: PERESOURCE, wait: BOOLEAN) -> BOOLEAN {
    acquire(resource, Request::Shared, wait != 0)
}

/// `ExAcquireResourceExclusiveLite`.
pub unsafe extern "win64" fn ExAcquireResourceExclusiveLite(resource: PERESOURCE, wait: BOOLEAN) -> BOOLEAN {
    acquire(resource, Request::Exclusive, wait != 0)
}

unsafe extern "win64" fn ExTryToAcquireResourceExclusiveLite(resource: PERESOURCE) -> BOOLEAN {
    acquire(resource, Request::Exclusive, false)
}

unsafe extern "win64" fn ExAcquireSharedStarveExclusive(resource: PERESOURCE, wait: BOOLEAN) -> BOOLEAN {
    acquire(resource, Request::StarveExclusive, wait != 0)
}

unsafe extern "win64" fn ExAcquireSharedWaitForExclusive(resource: PERESOURCE, wait: BOOLEAN) -> BOOLEAN {
    acquire(resource, Request::WaitForExclusive, wait != 0)
}

fn enter_and(resource: PERESOURCE, request: Request) -> PVOID {
    // SAFETY: no precondition.
    unsafe { irql::KeEnterCriticalRegion() };
    acquire(resource, request, true);
    std::ptr::null_mut()
}

unsafe extern "win64" fn ExEnterCriticalRegionAndAcquireResourceExclusive(resource: PERESOURCE) -> PVOID {
    enter_and(resource, Request::Exclusive)
}

unsafe extern "win64" fn ExEnterCriticalRegionAndAcquireResourceShared(resource: PERESOURCE) -> PVOID {
    enter_and(resource, Request::Shared)
}

unsafe extern "win64" fn ExEnterCriticalRegionAndAcquireSharedWaitForExclusive(
    resource: PERESOURCE,
) -> PVOID {
    enter_and(resource, Request::WaitForExclusive)
}

/// `ExReleaseResourceLite`.
pub unsafe extern "win64" fn ExReleaseResourceLite(resource: PERESOURCE) {
    if !irql::apcs_disabled() && !ps::current().is_the_doubles_own() {
        crate::fail!(
            ApcsEnabled,
            "resource {resource:p} is released with normal kernel APCs enabled"
        );
    }
    release(resource, me());
}

unsafe extern "win64" fn ExReleaseResourceForThreadLite(resource: PERESOURCE, owner: ERESOURCE_THREAD) {
    release(resource, owner as usize);
}

unsafe extern "win64" fn ExReleaseResourceAndLeaveCriticalRegion(resource: PERESOURCE) {
    release(resource, me());
    // SAFETY: the acquisition entered it.
    unsafe { irql::KeLeaveCriticalRegion() };
}

unsafe extern "win64" fn ExConvertExclusiveToSharedLite(resource: PERESOURCE) {
    let me = me();
    let mut states = lock();
    let s = state(&mut states, resource);
    let Some((_, count)) = s.exclusive.take_if(|(owner, _)| *owner == me) else {
        drop(states);
        crate::fail!(
            LockOwner,
            "resource {resource:p} is converted by a thread that does not own it exclusively"
        );
    };
    s.shared.push((me, count));
    s.show(resource);
    drop(states);
    CHANGED.notify_all();
}

unsafe extern "win64" fn ExSetResourceOwnerPointer(resource: PERESOURCE, owner: PVOID) {
    let (me, owner) = (me(), owner as usize);
    if owner & OWNER_POINTER != OWNER_POINTER {
        crate::fail!(BadArgument, "the owner pointer {owner:#x} lacks its low bits");
    }
    let mut states = lock();
    let s = state(&mut states, resource);
    let renamed = match &mut s.exclusive {
        Some((who, _)) if *who == me => {
            *who = owner;
            true
        }
        _ => match s.shared.iter_mut().find(|(who, _)| *who == me) {
            Some((who, _)) => {
                *who = owner;
                true
            }
            None => false,
        },
    };
    drop(states);
    if !renamed {
        crate::fail!(
            LockOwner,
            "resource {resource:p} is given away by a thread that does not own it"
        );
    }
    forget_held(resource, me);
}

/// `ExIsResourceAcquiredExclusiveLite`: by the current thread.
pub unsafe extern "win64" fn ExIsResourceAcquiredExclusiveLite(resource: PERESOURCE) -> BOOLEAN {
    let me = me();
    let mut states = lock();
    u8::from(
        state(&mut states, resource)
            .exclusive
            .is_some_and(|(owner, _)| owner == me),
    )
}

/// `ExIsResourceAcquiredSharedLite`: how often the current thread has acquired it.
pub unsafe extern "win64" fn ExIsResourceAcquiredSharedLite(resource: PERESOURCE) -> ULONG {
    let me = me();
    let mut states = lock();
    let s = state(&mut states, resource);
    let own = s
        .shared
        .iter()
        .chain(&s.exclusive)
        .find(|(owner, _)| *owner == me);
    own.map_or(0, |(_, count)| *count)
}

unsafe extern "win64" fn ExGetExclusiveWaiterCount(resource: PERESOURCE) -> ULONG {
    let mut states = lock();
    state(&mut states, resource)
        .queue
        .iter()
        .filter(|(_, exclusive)| *exclusive)
        .count() as u32
}

unsafe extern "win64" fn ExGetSharedWaiterCount(resource: PERESOURCE) -> ULONG {
    let mut states = lock();
    state(&mut states, resource)
        .queue
        .iter()
        .filter(|(_, exclusive)| !*exclusive)
        .count() as u32
}

unsafe extern "win64" fn ExDisableResourceBoostLite(resource: PERESOURCE) {
    let mut states = lock();
    state(&mut states, resource);
    drop(states);
    ke::assert_irql_at_most(2, "ExDisableResourceBoostLite");
}
