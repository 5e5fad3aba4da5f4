//! Callers' buffers. What the core writes to is memory that is locked and mapped into system space, so that no page
//! of it can go away and nothing faults; only locking it can fault, and that happens under [`lklfs_kernel::fault`].
//!
//! A caller may offer any amount of memory, and locked memory is everybody's loss. So no more than [`MOST_LOCKED`] of a buffer
//! is locked for the whole request; what is written beyond that is locked piece by piece, for the moment of the copy, in the
//! address space of the process that sent the request. It is there then: a process goes when its requests have ended.
//
// UNSAFETY: MDLs of callers' memory.

use crate::irp::Irp;
use core::ptr::null_mut;
use lklfs_fsd::Requestor;
use lklfs_kernel::fault;
use lklfs_kernel::mdl;
use lklfs_kernel::nt::{
    self, _LOCK_OPERATION, IoAllocateMdl, IoFreeMdl, IoGetRequestorProcess, MDL_MAPPED_TO_SYSTEM_VA,
    MDL_SOURCE_IS_NONPAGED_POOL, MmProbeAndLockPages, MmProbeAndLockProcessPages, MmUnlockPages, PMDL, PVOID,
};
use lklfs_nt::NtStatus;

/// The most of a buffer that is locked for the whole request, bytes.
pub const MOST_LOCKED: u32 = 8 << 20;

/// Locks the caller's buffer for writing, or its first [`MOST_LOCKED`] bytes, unless the IRP has an MDL already. The I/O manager
/// unlocks it when the IRP completes. Must run in the caller's thread.
///
/// IRQL: <= APC_LEVEL.
pub fn lock(irp: &mut Irp, length: u32) -> Result<(), NtStatus> {
    let length = length.min(MOST_LOCKED);
    if length == 0 || !irp.mdl().is_null() {
        return Ok(());
    }
    let buffer = irp.user_buffer();
    if buffer.is_null() {
        return Err(NtStatus::INVALID_USER_BUFFER);
    }
    let mode = mode_of(irp);
    // SAFETY: only describes the range; the IRP gets it once the pages are locked.
    let mdl = unsafe { IoAllocateMdl(buffer, length, nt::NO, nt::NO, null_mut()) };
    if mdl.is_null() {
        return Err(NtStatus::INSUFFICIENT_RESOURCES);
    }
    let act = || {
        // SAFETY: the MDL is ours; the probe is what the mode asks for.
        unsafe { MmProbeAndLockPages(mdl, mode, _LOCK_OPERATION::IoWriteAccess) }
    };
    // SAFETY: one NT call that raises for a bad buffer and then has locked nothing.
    let locked = unsafe { fault::guarded(act) };
    match locked {
        Ok(()) => {
            irp.set_mdl(mdl);
            Ok(())
        }
        Err(code) => {
            // SAFETY: the MDL is ours and locks nothing.
            unsafe { IoFreeMdl(mdl) };
            Err(if code < 0 {
                nt::status(code)
            } else {
                NtStatus::INVALID_USER_BUFFER
            })
        }
    }
}

fn mode_of(irp: &Irp) -> nt::KPROCESSOR_MODE {
    match irp.context().requestor {
        Requestor::User => nt::USER_MODE,
        Requestor::Kernel => nt::KERNEL_MODE,
    }
}

/// The system address of an MDL's memory (`MmGetSystemAddressForMdlSafe`); `None` when there is no room to map it.
fn system_address(mdl: PMDL) -> Option<PVOID> {
    // SAFETY: the MDL belongs to an IRP of ours.
    let flags = u32::from(unsafe { (*mdl).MdlFlags }.cast_unsigned());
    let address = if flags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL) != 0 {
        // SAFETY: as above; the flags say that the address is there.
        unsafe { (*mdl).MappedSystemVa }
    } else {
        // SAFETY: the pages of an IRP's MDL are locked.
        unsafe { mdl::map(mdl) }
    };
    if address.is_null() { None } else { Some(address) }
}

/// The address in system space of the buffer that [`lock`] locked.
pub fn address(irp: &Irp) -> Result<PVOID, NtStatus> {
    let mdl = irp.mdl();
    if mdl.is_null() {
        return Err(NtStatus::INVALID_USER_BUFFER);
    }
    system_address(mdl).ok_or(NtStatus::INSUFFICIENT_RESOURCES)
}

/// The first `length` bytes of the buffer that [`lock`] locked, or that came locked. A user program may change them
/// at any time: they are only written here, never read back.
pub fn bytes(irp: &mut Irp, length: u32) -> Result<&mut [u8], NtStatus> {
    if length == 0 {
        return Ok(&mut []);
    }
    let mdl = irp.mdl();
    if mdl.is_null() {
        return Err(NtStatus::INVALID_USER_BUFFER);
    }
    // SAFETY: the MDL belongs to the IRP.
    if unsafe { (*mdl).ByteCount } < length {
        return Err(NtStatus::INVALID_USER_BUFFER);
    }
    let address = system_address(mdl).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    // SAFETY: `length` bytes from there on are locked, mapped and writable until the IRP completes, and `irp` is
    // borrowed mutably. Other mappings of the same pages belong to other address spaces.
    Ok(unsafe { core::slice::from_raw_parts_mut(address.cast::<u8>(), length as usize) })
}

/// Writes `bytes` to the caller's buffer, from `offset` on.
///
/// IRQL: <= APC_LEVEL; what [`lock`] did not lock may have to be read from a paging file first.
pub fn write(irp: &mut Irp, offset: u32, bytes: &[u8]) -> Result<(), NtStatus> {
    let end = offset.saturating_add(bytes.len() as u32);
    // SAFETY: the MDL belongs to the IRP.
    let locked = unsafe { irp.mdl().as_ref() }.map_or(0, |mdl| mdl.ByteCount);
    if end > locked && !bytes.is_empty() && !irp.user_buffer().is_null() {
        return write_unlocked(irp, offset, bytes);
    }
    let place = self::bytes(irp, end)?;
    place
        .get_mut(offset as usize..)
        .ok_or(NtStatus::INVALID_USER_BUFFER)?
        .copy_from_slice(bytes);
    Ok(())
}

/// Locks a piece of the caller's buffer, writes to it, and lets it go.
fn write_unlocked(irp: &Irp, offset: u32, bytes: &[u8]) -> Result<(), NtStatus> {
    let place = irp.user_buffer().wrapping_byte_add(offset as usize);
    // SAFETY: only describes the range.
    let mdl = unsafe { IoAllocateMdl(place, bytes.len() as u32, nt::NO, nt::NO, null_mut()) };
    if mdl.is_null() {
        return Err(NtStatus::INSUFFICIENT_RESOURCES);
    }
    let mode = mode_of(irp);
    // SAFETY: the IRP is ours.
    let process = unsafe { IoGetRequestorProcess(irp.as_ptr()) };
    let act = || {
        // SAFETY: the MDL is ours; the process lives as long as its request.
        unsafe { MmProbeAndLockProcessPages(mdl, process, mode, _LOCK_OPERATION::IoWriteAccess) }
    };
    // SAFETY: one NT call that raises for a bad buffer and then has locked nothing.
    let locked = unsafe { fault::guarded(act) };
    let written = match locked {
        Ok(()) => {
            let mapped = system_address(mdl).ok_or(NtStatus::INSUFFICIENT_RESOURCES);
            let written = mapped.map(|address| {
                // SAFETY: so many bytes from there on are locked, mapped and writable.
                unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), address.cast::<u8>(), bytes.len()) };
            });
            // SAFETY: locked above; this unmaps it as well.
            unsafe { MmUnlockPages(mdl) };
            written
        }
        Err(code) if code < 0 => Err(nt::status(code)),
        Err(_) => Err(NtStatus::INVALID_USER_BUFFER),
    };
    // SAFETY: the MDL is ours and locks nothing.
    unsafe { IoFreeMdl(mdl) };
    written
}

/// The first address that no user memory has. (MmUserProbeAddress; the same on every x64 NT.)
pub fn highest_user_address() -> usize {
    0x7fff_ffff_0000
}
