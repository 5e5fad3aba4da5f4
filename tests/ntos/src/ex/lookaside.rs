//! Lookaside lists and interlocked singly linked lists.
//!
//! A lookaside list of the double never keeps anything (its depth is 0), as under Driver Verifier: each block comes from
//! pool and goes back to it, so that a use after the free is seen. The macros of NT's headers that work on the list
//! inside the driver find the struct as they expect it, with gates of the double as its functions.

#![allow(non_snake_case)]

use crate::{
    imports,
    ke::gate,
    nt::*,
    verifier::ledger::{self, Kind as Held},
};
use std::sync::Mutex;

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        ExInitializeNPagedLookasideList <= DISPATCH;
        ExInitializePagedLookasideList <= APC;
        ExDeleteNPagedLookasideList <= DISPATCH;
        ExDeletePagedLookasideList <= APC;
        ExAllocateFromPagedLookasideList <= APC;
        ExFreeToPagedLookasideList <= APC;
        ExInitializeLookasideListEx <= DISPATCH since Nt60;
        ExDeleteLookasideListEx <= DISPATCH since Nt60;
        ExpLookasideAllocateEx <= DISPATCH;
        ExpLookasideFreeEx <= DISPATCH;
        InitializeSListHead <= HIGH;
        ExpInterlockedPopEntrySList <= HIGH;
        ExpInterlockedPushEntrySList <= HIGH;
        ExpInterlockedFlushSList <= HIGH;
        InterlockedPopEntrySList = ExpInterlockedPopEntrySList, <= HIGH;
        InterlockedPushEntrySList = ExpInterlockedPushEntrySList, <= HIGH;
        ExQueryDepthSList <= HIGH;
    }
}

/// The gate of an import of ours, for a list's function pointers.
fn gate_of(name: &str) -> *const () {
    gate::entry_of(name, imports::find(name)) as *const ()
}

/// Fills in the part that all kinds have in common.
unsafe fn initialize(list: *mut Lookaside, pool_type: POOL_TYPE, size: SIZE_T, tag: ULONG) {
    if size == 0 || tag == 0 {
        crate::fail!(PoolRequest, "a lookaside list for {size} bytes with tag {tag:#x}");
    }
    if !(list as usize).is_multiple_of(16) {
        crate::fail!(
            BadObject,
            "a lookaside list at {list:p}, which is not aligned to 16 bytes"
        );
    }
    // SAFETY: the driver passes memory for a list.
    unsafe {
        list.write_bytes(0, 1);
        (*list).MaximumDepth = 256;
        (*list).Type = pool_type;
        (*list).Tag = tag;
        (*list).Size = size as u32;
        let entry = &raw mut (*list).ListEntry;
        (*entry).Flink = entry;
        (*entry).Blink = entry;
    }
    ledger::add(
        Held::Lookaside,
        list as usize,
        format!("lookaside list, tag {}", crate::mm::pool::tag_name(tag)),
    );
}

/// Fills in the functions of the older kinds: the driver's, or pool's.
unsafe fn set_functions(list: *mut Lookaside, allocate: PVOID, free: PVOID) {
    let or = |given: PVOID, name: &str| {
        if given.is_null() {
            gate_of(name)
        } else {
            given as *const ()
        }
    };
    let (allocate, free) = (or(allocate, "ExAllocatePoolWithTag"), or(free, "ExFreePool"));
    // SAFETY: the driver passed memory for a list.
    unsafe {
        (*list).Allocate = allocate;
        (*list).Free = free;
    }
}

fn functions(list: *const Lookaside) -> (*const (), *const ()) {
    if !ledger::holds(Held::Lookaside, list as usize) {
        crate::fail!(BadObject, "{list:p} is no initialised lookaside list");
    }
    // SAFETY: an initialised list, see above.
    unsafe { ((*list).Allocate, (*list).Free) }
}

fn delete(list: *mut Lookaside) {
    functions(list);
    ledger::remove(Held::Lookaside, list as usize);
}

unsafe extern "win64" fn ExInitializeNPagedLookasideList(
    list: *mut Lookaside,
    allocate: PVOID,
    free: PVOID,
    flags: ULONG,
    size: SIZE_T,
    tag: ULONG,
    _depth: USHORT,
) {
    // SAFETY: passed on from the driver.
    unsafe {
        // POOL_NX_ALLOCATION and POOL_RAISE_IF_ALLOCATION_FAILURE come in the flags.
        initialize(list, flags & 0x210, size, tag);
        set_functions(list, allocate, free);
    }
}

unsafe extern "win64" fn ExInitializePagedLookasideList(
    list: *mut Lookaside,
    allocate: PVOID,
    free: PVOID,
    flags: ULONG,
    size: SIZE_T,
    tag: ULONG,
    _depth: USHORT,
) {
    // SAFETY: passed on from the driver.
    unsafe {
        initialize(list, 1 | (flags & 0x10), size, tag);
        set_functions(list, allocate, free);
    }
}

unsafe extern "win64" fn ExDeleteNPagedLookasideList(list: *mut Lookaside) {
    delete(list);
}

unsafe extern "win64" fn ExDeletePagedLookasideList(list: *mut Lookaside) {
    delete(list);
}

unsafe extern "win64" fn ExAllocateFromPagedLookasideList(list: *mut Lookaside) -> PVOID {
    let (allocate, _) = functions(list);
    // SAFETY: the function is a gate of ours or the driver's own; both take type, size and tag.
    unsafe {
        (*list).TotalAllocates += 1;
        let arguments = [
            (*list).Type as u64,
            u64::from((*list).Size),
            u64::from((*list).Tag),
        ];
        crate::ke::call_driver(allocate, arguments) as PVOID
    }
}

unsafe extern "win64" fn ExFreeToPagedLookasideList(list: *mut Lookaside, entry: PVOID) {
    let (_, free) = functions(list);
    // SAFETY: the function is a gate of ours or the driver's own; both take the block.
    unsafe {
        (*list).TotalFrees += 1;
        crate::ke::call_driver(free, [entry as u64]);
    }
}

unsafe extern "win64" fn ExInitializeLookasideListEx(
    list: *mut Lookaside,
    allocate: PVOID,
    free: PVOID,
    pool_type: POOL_TYPE,
    flags: ULONG,
    size: SIZE_T,
    tag: ULONG,
    _depth: USHORT,
) -> NTSTATUS {
    if flags & !3 != 0 {
        return STATUS_INVALID_PARAMETER_5;
    }
    let or = |given: PVOID, name: &str| {
        if given.is_null() {
            gate_of(name) as PVOID
        } else {
            given
        }
    };
    // SAFETY: passed on from the driver.
    unsafe {
        initialize(list, pool_type, size, tag);
        set_functions(
            list,
            or(allocate, "ExpLookasideAllocateEx"),
            or(free, "ExpLookasideFreeEx"),
        );
    }
    STATUS_SUCCESS
}

unsafe extern "win64" fn ExDeleteLookasideListEx(list: *mut Lookaside) {
    delete(list);
}

/// The default function of a list of the newer kind.
unsafe extern "win64" fn ExpLookasideAllocateEx(
    pool_type: POOL_TYPE,
    size: SIZE_T,
    tag: ULONG,
    _list: PVOID,
) -> PVOID {
    // SAFETY: passed on from the list's macro.
    unsafe { crate::mm::pool_imports::ExAllocatePoolWithTag(pool_type, size, tag) }
}

unsafe extern "win64" fn ExpLookasideFreeEx(entry: PVOID, _list: PVOID) {
    // SAFETY: passed on from the list's macro.
    unsafe { crate::mm::pool_imports::ExFreePoolWithTag(entry, 0) };
}

/// Guards all interlocked lists.
static LISTS: Mutex<()> = Mutex::new(());

/// A list's two words: depth in the low 16 bits of the first, the first entry in the second.
fn words<R>(head: PSLIST_HEADER, act: impl FnOnce(&mut [usize; 2]) -> R) -> R {
    if !(head as usize).is_multiple_of(16) {
        crate::fail!(
            BadObject,
            "a list head at {head:p}, which is not aligned to 16 bytes"
        );
    }
    let _guard = LISTS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    // SAFETY: the driver passes a list head; a bad pointer faults and is reported.
    act(unsafe { &mut *head.cast::<[usize; 2]>() })
}

unsafe extern "win64" fn InitializeSListHead(head: PSLIST_HEADER) {
    words(head, |words| *words = [0, 0]);
}

unsafe extern "win64" fn ExpInterlockedPopEntrySList(head: PSLIST_HEADER) -> *mut usize {
    words(head, |words| {
        let first = words[1] as *mut usize;
        if !first.is_null() {
            // SAFETY: entries of a list are the driver's and live.
            words[1] = unsafe { *first };
            words[0] -= 1;
        }
        first
    })
}

unsafe extern "win64" fn ExpInterlockedPushEntrySList(head: PSLIST_HEADER, entry: *mut usize) -> *mut usize {
    words(head, |words| {
        let first = words[1] as *mut usize;
        // SAFETY: the driver passes an entry of its own.
        unsafe { *entry = first as usize };
        words[1] = entry as usize;
        words[0] += 1;
        first
    })
}

unsafe extern "win64" fn ExpInterlockedFlushSList(head: PSLIST_HEADER) -> *mut usize {
    words(head, |words| {
        let first = words[1] as *mut usize;
        *words = [0, 0];
        first
    })
}

unsafe extern "win64" fn ExQueryDepthSList(head: PSLIST_HEADER) -> USHORT {
    words(head, |words| words[0] as u16)
}
