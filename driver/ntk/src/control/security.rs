//! Who may open the driver's devices: security descriptors, set once a device is made and before it is ready.
//
// UNSAFETY: a handle of a device of ours, and the call that takes a descriptor's bytes.

use core::ptr::null_mut;
use lklfs_control::Interface;
use lklfs_kernel::nt::{
    self, HANDLE, OBJ_KERNEL_HANDLE, ObOpenObjectByPointer, PDEVICE_OBJECT, WRITE_DAC, ZwClose,
    ZwSetSecurityObject,
};
use lklfs_nt::NtStatus;

/// `DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION`.
const PROTECTED_DACL: u32 = 0x8000_0004;

/// What precedes the entries of a self-relative descriptor that has nothing but a protected DACL.
const HEAD: [u8; 28] = [
    1, 0, 0x04, 0x90, // revision 1; SE_DACL_PRESENT | SE_DACL_PROTECTED | SE_SELF_RELATIVE
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // no owner, group, system list
    20, 0, 0, 0, // the list's offset
    2, 0, 0, 0, 0, 0, 0, 0, // ACL revision 2; its size and the number of entries are filled in
];
/// `(A;;GA;;;SY)`: S-1-5-18.
const SYSTEM: &[u8] = &[0, 0, 20, 0, 0, 0, 0, 0x10, 1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
/// `(A;;GA;;;BA)`: S-1-5-32-544.
const ADMINISTRATORS: &[u8] = &[
    0, 0, 24, 0, 0, 0, 0, 0x10, 1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0,
];
/// `(A;;GR;;;WD)`: S-1-1-0.
const EVERYBODY_READS: &[u8] = &[0, 0, 20, 0, 0, 0, 0, 0x80, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];

/// `(A;;GX;;;WD)`: look at it, pass through it to what is mounted, and read no sector.
const EVERYBODY_PASSES: &[u8] = &[0, 0, 20, 0, 0, 0, 0, 0x20, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];

/// Whose a device is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    /// Those of one of the control devices.
    Of(Interface),
    /// Everyone may reach what is mounted on a disk; its sectors are administrators' and the system's. So it is with
    /// Windows' own fixed disks, and a disk made of an image would else show what the image file's own descriptor hides.
    Disk,
}

/// A descriptor, aligned as the kernel reads it.
#[repr(align(8))]
struct Descriptor([u8; 96]);

impl Descriptor {
    /// What [`Interface::sddl`] says, in bytes; for a disk `D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GX;;;WD)`.
    fn of(audience: Audience) -> Self {
        let entries: &[&[u8]] = match audience {
            Audience::Of(Interface::Control) => &[SYSTEM, ADMINISTRATORS],
            Audience::Of(Interface::Status) => &[SYSTEM, ADMINISTRATORS, EVERYBODY_READS],
            Audience::Disk => &[SYSTEM, ADMINISTRATORS, EVERYBODY_PASSES],
        };
        let bytes = entries.iter().copied().flatten();
        let mut descriptor = Descriptor([0; 96]);
        for (place, byte) in descriptor.0.iter_mut().zip(HEAD.iter().chain(bytes)) {
            *place = *byte;
        }
        let list = entries
            .iter()
            .map(|entry| entry.len())
            .sum::<usize>()
            .saturating_add(8);
        for (at, number) in [(22, list), (24, entries.len())] {
            if let Some(place) = descriptor.0.get_mut(at) {
                *place = u8::try_from(number).unwrap_or(0);
            }
        }
        descriptor
    }
}

/// Lets only those open a device whose it is.
///
/// IRQL: PASSIVE_LEVEL.
pub fn device(device: PDEVICE_OBJECT, audience: Audience) -> Result<(), NtStatus> {
    let mut handle: HANDLE = null_mut();
    // SAFETY: the device is ours; a null type means "whatever it is", which a kernel-mode caller may say.
    let status = unsafe {
        ObOpenObjectByPointer(
            device.cast(),
            OBJ_KERNEL_HANDLE,
            null_mut(),
            WRITE_DAC,
            null_mut(),
            nt::KERNEL_MODE,
            &mut handle,
        )
    };
    if status < 0 {
        return Err(nt::status(status));
    }
    let mut descriptor = Descriptor::of(audience);
    // SAFETY: the descriptor is well formed and outlives the call.
    let status = unsafe { ZwSetSecurityObject(handle, PROTECTED_DACL, descriptor.0.as_mut_ptr().cast()) };
    // SAFETY: the handle is ours and not used again.
    let _ = unsafe { ZwClose(handle) };
    if status < 0 {
        Err(nt::status(status))
    } else {
        Ok(())
    }
}
