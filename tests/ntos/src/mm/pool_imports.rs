//! The imports that allocate and free pool.

#![allow(non_snake_case)]

use crate::{
    ke,
    loader::hvci,
    mm::pool::{self, Kind, Owner},
    nt::*,
};
use std::ptr::null_mut;

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        ExAllocatePool <= DISPATCH;
        ExAllocatePoolWithTag <= DISPATCH;
        ExAllocatePoolWithQuotaTag <= DISPATCH;
        ExAllocatePoolWithTagPriority <= DISPATCH;
        FsRtlAllocatePoolWithTag <= DISPATCH;
        FsRtlAllocatePool <= DISPATCH;
        FsRtlAllocatePoolWithQuotaTag <= DISPATCH;
        ExAllocatePool2 <= DISPATCH since Nt10;
        ExFreePool <= DISPATCH;
        ExFreePoolWithTag <= DISPATCH;
        ExFreePool2 <= DISPATCH since Nt10;
    }
}

/// `POOL_QUOTA_FAIL_INSTEAD_OF_RAISE`.
const QUOTA_FAIL_INSTEAD_OF_RAISE: u32 = 8;
/// `POOL_RAISE_IF_ALLOCATION_FAILURE`.
const RAISE_IF_ALLOCATION_FAILURE: u32 = 16;
/// `POOL_NX_ALLOCATION`, the bit that makes NonPagedPool NonPagedPoolNx.
const NX_ALLOCATION: u32 = 512;
/// The tag of blocks allocated without one.
const NO_TAG: u32 = u32::from_le_bytes(*b"None");

/// What the low bits of a POOL_TYPE mean.
fn kind(pool_type: POOL_TYPE) -> Kind {
    if pool_type & 1 == 1 {
        Kind::Paged
    } else {
        Kind::NonPaged
    }
}

fn check_request(kind: Kind, size: usize, tag: u32) {
    if size == 0 {
        crate::fail!(
            PoolRequest,
            "an allocation of 0 bytes, tag {}",
            pool::tag_name(tag)
        );
    }
    if tag == 0 {
        crate::fail!(PoolRequest, "an allocation of {size} bytes with tag 0");
    }
    if kind == Kind::Paged && ke::irql() > 1 {
        crate::fail!(
            PoolRequest,
            "paged pool at IRQL {}, tag {}",
            ke::irql(),
            pool::tag_name(tag)
        );
    }
}

fn allocate(pool_type: POOL_TYPE, size: SIZE_T, tag: ULONG) -> PVOID {
    let (kind, size) = (kind(pool_type), size as usize);
    check_request(kind, size, tag);
    if kind == Kind::NonPaged && pool_type & NX_ALLOCATION == 0 && hvci() {
        crate::fail!(
            ExecutablePool,
            "NonPagedPool is executable, tag {}",
            pool::tag_name(tag)
        );
    }
    let block = pool::allocate(kind, size, tag, Owner::Driver);
    if block.is_null() && pool_type & RAISE_IF_ALLOCATION_FAILURE != 0 {
        ke::raise(STATUS_INSUFFICIENT_RESOURCES);
    }
    block.cast()
}

unsafe extern "win64" fn ExAllocatePool(pool_type: POOL_TYPE, size: SIZE_T) -> PVOID {
    allocate(pool_type, size, NO_TAG)
}

/// `ExAllocatePoolWithTag`.
pub unsafe extern "win64" fn ExAllocatePoolWithTag(pool_type: POOL_TYPE, size: SIZE_T, tag: ULONG) -> PVOID {
    allocate(pool_type, size, tag)
}

unsafe extern "win64" fn ExAllocatePoolWithQuotaTag(pool_type: POOL_TYPE, size: SIZE_T, tag: ULONG) -> PVOID {
    let fails = pool_type & QUOTA_FAIL_INSTEAD_OF_RAISE != 0;
    allocate(
        if fails {
            pool_type
        } else {
            pool_type | RAISE_IF_ALLOCATION_FAILURE
        },
        size,
        tag,
    )
}

unsafe extern "win64" fn ExAllocatePoolWithTagPriority(
    pool_type: POOL_TYPE,
    size: SIZE_T,
    tag: ULONG,
    _priority: i32,
) -> PVOID {
    allocate(pool_type, size, tag)
}

unsafe extern "win64" fn FsRtlAllocatePoolWithTag(pool_type: POOL_TYPE, size: ULONG, tag: ULONG) -> PVOID {
    allocate(pool_type | RAISE_IF_ALLOCATION_FAILURE, size.into(), tag)
}

unsafe extern "win64" fn FsRtlAllocatePool(pool_type: POOL_TYPE, size: ULONG) -> PVOID {
    allocate(pool_type | RAISE_IF_ALLOCATION_FAILURE, size.into(), NO_TAG)
}

unsafe extern "win64" fn FsRtlAllocatePoolWithQuotaTag(
    pool_type: POOL_TYPE,
    size: ULONG,
    tag: ULONG,
) -> PVOID {
    allocate(pool_type | RAISE_IF_ALLOCATION_FAILURE, size.into(), tag)
}

unsafe extern "win64" fn ExAllocatePool2(flags: PoolFlags, size: SIZE_T, tag: ULONG) -> PVOID {
    let kind = match flags & (POOL_FLAG_NON_PAGED | POOL_FLAG_NON_PAGED_EXECUTE | POOL_FLAG_PAGED) {
        POOL_FLAG_NON_PAGED => Kind::NonPaged,
        POOL_FLAG_PAGED => Kind::Paged,
        POOL_FLAG_NON_PAGED_EXECUTE => {
            crate::fail!(
                ExecutablePool,
                "POOL_FLAG_NON_PAGED_EXECUTE, tag {}",
                pool::tag_name(tag)
            )
        }
        // NT fails the call when not exactly one kind is asked for.
        _ => return null_mut(),
    };
    let size = size as usize;
    check_request(kind, size, tag);
    let block = pool::allocate(kind, size, tag, Owner::Driver);
    if block.is_null() {
        if flags & POOL_FLAG_RAISE_ON_FAILURE != 0 {
            ke::raise(STATUS_INSUFFICIENT_RESOURCES);
        }
        return null_mut();
    }
    if flags & POOL_FLAG_UNINITIALIZED == 0 {
        // SAFETY: the block is new and `size` bytes long.
        unsafe { std::ptr::write_bytes(block, 0, size) };
    }
    block.cast()
}

fn free(block: PVOID, tag: u32) {
    if block.is_null() {
        crate::fail!(BadFree, "free of NULL");
    }
    if pool::kind_of(block as usize) == Some(Kind::Paged) && ke::irql() > 1 {
        crate::fail!(PoolRequest, "paged pool freed at IRQL {}", ke::irql());
    }
    pool::free(block.cast(), tag);
}

unsafe extern "win64" fn ExFreePool(block: PVOID) {
    free(block, 0);
}

/// `ExFreePoolWithTag`.
pub unsafe extern "win64" fn ExFreePoolWithTag(block: PVOID, tag: ULONG) {
    free(block, tag);
}

unsafe extern "win64" fn ExFreePool2(block: PVOID, tag: ULONG, _parameters: PVOID, count: ULONG) {
    if count != 0 {
        crate::fail!(BadArgument, "ExFreePool2 with {count} extended parameters");
    }
    free(block, tag);
}
