//! Callers' buffers. What the core writes to is memory that is locked and mapped into system space, so that no page
//! of it can go away and nothing faults; only locking it can fault, and that happens under [`crate::fault`].
//
// UNSAFETY: MDLs of callers' memory.

use crate::fault;
use crate::irp::Irp;
use crate::nt::{
    self, _LOCK_OPERATION, IoAllocateMdl, IoFreeMdl, MDL_MAPPED_TO_SYSTEM_VA, MDL_SOURCE_IS_NONPAGED_POOL,
    MmProbeAndLockPages, PMDL, PVOID,
};
use core::ptr::null_mut;
use lkl_host_ntk::memory::map_mdl;
use lklfs_fsd::Requestor;
use lklfs_nt::NtStatus;

/// Locks the caller's buffer for writing, unless the IRP has an MDL already. The I/O manager unlocks it when the IRP
/// completes. Must run in the caller's thread.
///
/// IRQL: <= APC_LEVEL.
pub fn lock(irp: &mut Irp, length: u32) -> Result<(), NtStatus> {
    if length == 0 || !irp.mdl().is_null() {
        return Ok(());
    }
    let buffer = irp.user_buffer();
    if buffer.is_null() {
        return Err(NtStatus::INVALID_USER_BUFFER);
    }
    let mode = match irp.context().requestor {
        Requestor::User => nt::USER_MODE,
        Requestor::Kernel => nt::KERNEL_MODE,
    };
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

/// The system address of an MDL's memory (`MmGetSystemAddressForMdlSafe`); `None` when there is no room to map it.
fn system_address(mdl: PMDL) -> Option<PVOID> {
    // SAFETY: the MDL belongs to an IRP of ours.
    let flags = u32::from(unsafe { (*mdl).MdlFlags }.cast_unsigned());
    let address = if flags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL) != 0 {
        // SAFETY: as above; the flags say that the address is there.
        unsafe { (*mdl).MappedSystemVa }
    } else {
        // SAFETY: the pages of an IRP's MDL are locked.
        unsafe { map_mdl(mdl) }
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

/// Writes `bytes` to the buffer that [`lock`] locked, from `offset` on.
pub fn write(irp: &mut Irp, offset: u32, bytes: &[u8]) -> Result<(), NtStatus> {
    let end = offset.saturating_add(bytes.len() as u32);
    let place = self::bytes(irp, end)?;
    place
        .get_mut(offset as usize..)
        .ok_or(NtStatus::INVALID_USER_BUFFER)?
        .copy_from_slice(bytes);
    Ok(())
}

/// The first address that no user memory has. (MmUserProbeAddress; the same on every x64 NT.)
pub fn highest_user_address() -> usize {
    0x7fff_ffff_0000
}
