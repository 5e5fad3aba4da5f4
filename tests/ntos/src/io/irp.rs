//! I/O request packets: allocation, initialisation, freeing, and access to their stack locations.
//!
//! An IRP is one pool block: the `IRP` itself, then its stack locations. The block lies against a guard page
//! like every pool block of the double and is unmapped when it is freed, so touching an IRP after its
//! completion faults at once. The ledger ([`super::ledger`]) knows every IRP by its address.

use super::kernel;
use super::ledger::{self, Owner};
use crate::nt::*;
use crate::{
    mm::pool,
    verifier::{fail, fault},
};
use std::mem::size_of;
use std::ptr;

/// `IO_TYPE_IRP`.
const TYPE_IRP: CSHORT = 6;
/// Pool tag of IRPs.
const TAG: u32 = u32::from_le_bytes(*b"Irp ");

/// `IoSizeOfIrp`: bytes of an IRP with `stack_size` locations.
pub fn size_of_irp(stack_size: i8) -> usize {
    size_of::<IRP>() + usize::try_from(stack_size).unwrap_or(0) * size_of::<IO_STACK_LOCATION>()
}

/// A new IRP with `stack_size` locations, or null when pool is exhausted (or made to fail).
pub fn allocate(stack_size: i8, owner: Owner) -> PIRP {
    let size = size_of_irp(stack_size);
    let irp: PIRP = kernel::take(size, TAG).cast();
    if !irp.is_null() {
        // SAFETY: the block is ours and `size` bytes long.
        unsafe { initialize(irp, size as u16, stack_size) };
        ledger::allocated(irp, owner);
    }
    irp
}

/// Sets up the memory at `irp`.
///
/// # Safety
/// `irp` points to `size` writable bytes, at least [`size_of_irp`] of `stack_size`.
unsafe fn initialize(irp: PIRP, size: u16, stack_size: i8) {
    // SAFETY: the caller gives `size` bytes; the first location follows the IRP.
    unsafe {
        ptr::write_bytes(irp.cast::<u8>(), 0, usize::from(size));
        (*irp).Type = TYPE_IRP;
        (*irp).Size = size;
        (*irp).StackCount = stack_size;
        (*irp).CurrentLocation = stack_size + 1;
        (*irp).ApcEnvironment = 0;
        init_list(&raw mut (*irp).ThreadListEntry);
        set_current(
            irp,
            first_location(irp).add(usize::try_from(stack_size).unwrap_or(0)),
        );
    }
}

/// Makes `list` an empty list head.
///
/// # Safety
/// `list` is writable.
pub unsafe fn init_list(list: *mut LIST_ENTRY) {
    // SAFETY: by contract.
    unsafe {
        (*list).Flink = list;
        (*list).Blink = list;
    }
}

/// The lowest stack location, which is the last driver's.
///
/// # Safety
/// `irp` is an IRP.
pub unsafe fn first_location(irp: PIRP) -> PIO_STACK_LOCATION {
    // SAFETY: locations follow the IRP in its block.
    unsafe { irp.add(1).cast() }
}

/// `IoGetCurrentIrpStackLocation`.
///
/// # Safety
/// `irp` is a live IRP.
pub unsafe fn current(irp: PIRP) -> PIO_STACK_LOCATION {
    // SAFETY: by contract.
    unsafe {
        (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation
    }
}

/// Sets the current stack location pointer.
///
/// # Safety
/// `irp` is a live IRP and `location` one of its locations, or one past the last.
pub unsafe fn set_current(irp: PIRP, location: PIO_STACK_LOCATION) {
    // SAFETY: by contract.
    unsafe {
        (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation = location
    }
}

/// `IoGetNextIrpStackLocation`.
///
/// # Safety
/// `irp` is a live IRP with a location left.
pub unsafe fn next(irp: PIRP) -> PIO_STACK_LOCATION {
    // SAFETY: by contract.
    unsafe { current(irp).sub(1) }
}

/// Sets `status` and `information`.
///
/// # Safety
/// `irp` is a live IRP.
pub unsafe fn set_status(irp: PIRP, status: NTSTATUS, information: usize) {
    // SAFETY: by contract.
    unsafe {
        (*irp).IoStatus.__bindgen_anon_1.Status = status;
        (*irp).IoStatus.Information = information as ULONG_PTR;
    }
}

/// The status in `block`.
pub fn status_of(block: &IO_STATUS_BLOCK) -> NTSTATUS {
    // SAFETY: both members of the union are plain data and the status lies within it.
    unsafe { block.__bindgen_anon_1.Status }
}

/// A status block.
pub fn status_block(status: NTSTATUS, information: usize) -> IO_STATUS_BLOCK {
    // SAFETY: an IO_STATUS_BLOCK of zeroes is valid.
    let mut block: IO_STATUS_BLOCK = unsafe { std::mem::zeroed() };
    block.__bindgen_anon_1.Status = status;
    block.Information = information as ULONG_PTR;
    block
}

/// Frees an IRP that is not on its way to or from a driver.
///
/// # Safety
/// Nothing uses `irp` afterwards.
pub unsafe fn free(irp: PIRP) {
    match ledger::freed(irp) {
        Ok(Owner::Embedded) => fail!(
            Irp,
            "IoFreeIrp of {irp:p}, which IoInitializeIrp made in other memory"
        ),
        Ok(_) => pool::free(irp.cast(), TAG),
        Err(fault) => fail!(Irp, "IoFreeIrp: {fault}"),
    }
}

/// `IoAllocateIrp`.
pub unsafe extern "win64" fn IoAllocateIrp(stack_size: CCHAR, _charge_quota: BOOLEAN) -> PIRP {
    if stack_size < 1 {
        fail!(Irp, "IoAllocateIrp with {stack_size} stack locations");
    }
    if fault::should_fail(fault::Site::Irp) {
        return ptr::null_mut();
    }
    allocate(stack_size, Owner::Driver)
}

/// `IoFreeIrp`.
pub unsafe extern "win64" fn IoFreeIrp(irp: PIRP) {
    // SAFETY: the driver gives up the IRP; the ledger checks that it may.
    unsafe { free(irp) }
}

/// `IoInitializeIrp`, over memory of the driver's own.
pub unsafe extern "win64" fn IoInitializeIrp(irp: PIRP, packet_size: USHORT, stack_size: CCHAR) {
    if usize::from(packet_size) < size_of_irp(stack_size) {
        fail!(
            Irp,
            "IoInitializeIrp: {packet_size} bytes are too few for {stack_size} locations"
        );
    }
    if ledger::owner(irp).is_ok_and(|owner| owner != Owner::Embedded) {
        fail!(
            Irp,
            "IoInitializeIrp on {irp:p}, which IoAllocateIrp made; IoReuseIrp is meant"
        );
    }
    // SAFETY: the driver says that `packet_size` bytes are there, and it is enough.
    unsafe { initialize(irp, packet_size, stack_size) };
    ledger::allocated(irp, Owner::Embedded);
}

/// `IoReuseIrp`.
pub unsafe extern "win64" fn IoReuseIrp(irp: PIRP, status: NTSTATUS) {
    match ledger::owner(irp) {
        Ok(Owner::Manager) => fail!(Irp, "IoReuseIrp on {irp:p}, which the driver did not allocate"),
        Err(fault) => fail!(Irp, "IoReuseIrp: {fault}"),
        Ok(_) => {}
    }
    if let Err(fault) = ledger::reused(irp) {
        fail!(Irp, "IoReuseIrp: {fault}");
    }
    // SAFETY: the ledger knows the IRP, so its block and header are intact.
    unsafe {
        let (size, stack_size, allocation) = ((*irp).Size, (*irp).StackCount, (*irp).AllocationFlags);
        initialize(irp, size, stack_size);
        (*irp).AllocationFlags = allocation;
        set_status(irp, status, 0);
    }
}

/// `IoMakeAssociatedIrp`.
pub unsafe extern "win64" fn IoMakeAssociatedIrp(master: PIRP, stack_size: CCHAR) -> PIRP {
    if fault::should_fail(fault::Site::Irp) {
        return ptr::null_mut();
    }
    let irp = allocate(stack_size, Owner::Manager);
    if !irp.is_null() {
        // SAFETY: both IRPs are live; the caller of this function owns the master.
        unsafe {
            (*irp).Flags |= IRP_ASSOCIATED_IRP;
            (*irp).AssociatedIrp.MasterIrp = master;
            (*irp).Tail.Overlay.Thread = (*master).Tail.Overlay.Thread;
        }
    }
    irp
}

crate::table! {
    /// IRPs themselves.
    pub static IMPORTS = {
        IoAllocateIrp <= DISPATCH;
        IoFreeIrp <= DISPATCH;
        IoInitializeIrp <= DISPATCH;
        IoReuseIrp <= DISPATCH;
        IoMakeAssociatedIrp <= DISPATCH;
    }
}
