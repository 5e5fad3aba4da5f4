//! What the machine is.
//
// UNSAFETY: one call of ZwQuerySystemInformation.

use crate::nt::{ULONG, ZwQuerySystemInformation};
use core::ptr::null_mut;

/// `SYSTEM_BASIC_INFORMATION`.
#[repr(C)]
#[derive(Default)]
struct SystemBasicInformation {
    reserved: u32,
    timer_resolution: u32,
    page_size: u32,
    physical_pages: u32,
    lowest_page: u32,
    highest_page: u32,
    address_granularity: u32,
    least_address: usize,
    most_address: usize,
    processors_mask: usize,
    processors: u8,
}

const _: () = assert!(size_of::<SystemBasicInformation>() == 64);

/// Bytes of memory that the machine has; 0 when the kernel does not tell.
///
/// IRQL: PASSIVE_LEVEL.
pub fn memory_bytes() -> u64 {
    const SYSTEM_BASIC_INFORMATION: u32 = 0;
    let mut basic = SystemBasicInformation::default();
    let length = size_of::<SystemBasicInformation>() as ULONG;
    // SAFETY: the record is as long as it is said to be.
    let status = unsafe {
        ZwQuerySystemInformation(
            SYSTEM_BASIC_INFORMATION,
            (&raw mut basic).cast(),
            length,
            null_mut(),
        )
    };
    if status < 0 {
        return 0;
    }
    u64::from(basic.physical_pages).saturating_mul(basic.page_size.into())
}
