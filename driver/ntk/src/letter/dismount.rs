//! The end of a mount, asked for as a program would: a volume is locked and dismounted by the controls that every file
//! system has. That goes for volumes of this driver, and for what the raw file system has taken.
//
// UNSAFETY: sends controls by a handle.

use crate::device::{DeviceRef, Mounter};
use crate::letter::letters::Opened;
use core::ptr::null_mut;
use lklfs_kernel::nt::{self, FILE_READ_DATA, IO_STATUS_BLOCK, ZwFsControlFile};
use lklfs_nt::{ControlCode, NtStatus};

fn control(volume: &Opened, code: ControlCode) -> Result<(), NtStatus> {
    let mut block = IO_STATUS_BLOCK::default();
    // SAFETY: the handle is open; there are no buffers.
    let status = unsafe {
        ZwFsControlFile(
            volume.handle(),
            null_mut(),
            None,
            null_mut(),
            &mut block,
            code.0,
            null_mut(),
            0,
            null_mut(),
            0,
        )
    };
    if status < 0 {
        Err(nt::status(status))
    } else {
        Ok(())
    }
}

/// Locks and dismounts what is mounted on the device. With `force` it is dismounted although files are open, which fail
/// from then on; and without waiting for what is under way.
///
/// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
pub fn dismount(device: &[u16], force: bool) -> Result<(), NtStatus> {
    let volume = match Opened::open(device, FILE_READ_DATA) {
        Ok(volume) => volume,
        // Nothing is mounted, or nobody knows what is there any more.
        Err(_) if force => return Ok(()),
        Err(status) => return Err(status),
    };
    if !force {
        control(&volume, ControlCode::FSCTL_LOCK_VOLUME)?;
    }
    control(&volume, ControlCode::FSCTL_DISMOUNT_VOLUME)
}

/// What the raw file system has taken, because this driver was not there when it was first opened, is let go of, if
/// nobody uses it. Whether something was.
///
/// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
pub fn take_over(real: &DeviceRef, device: &[u16]) -> Result<bool, NtStatus> {
    if real.mounter() != Mounter::Raw {
        return Ok(false);
    }
    dismount(device, false)?;
    Ok(true)
}
