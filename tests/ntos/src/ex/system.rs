//! Questions about the machine.

#![allow(non_snake_case)]

use crate::nt::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `SystemBasicInformation`.
const BASIC: u32 = 0;
/// Bytes of memory that a machine says it has when its builder names none.
const USUAL: usize = 4 << 30;
const PAGE: usize = 4096;

/// Bytes of memory that the machine says it has.
static MEMORY: AtomicUsize = AtomicUsize::new(USUAL);

/// The machine says from now on that it has so many bytes of memory; `None`: the usual 4 GiB. Nothing makes it run short
/// of memory there.
pub fn set_memory(bytes: Option<usize>) {
    MEMORY.store(bytes.unwrap_or(USUAL), Ordering::Relaxed);
}

/// `SYSTEM_BASIC_INFORMATION` on x64.
#[repr(C)]
struct Basic {
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

const _: () = assert!(size_of::<Basic>() == 64);

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        ZwQuerySystemInformation <= PASSIVE;
    }
}

/// `ZwQuerySystemInformation`, of the basic class only.
unsafe extern "win64" fn ZwQuerySystemInformation(
    class: u32,
    information: PVOID,
    length: ULONG,
    returned: *mut ULONG,
) -> NTSTATUS {
    if class != BASIC {
        crate::fail!(Unmodelled, "ZwQuerySystemInformation of class {class}");
    }
    if length as usize != size_of::<Basic>() {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    let pages = (MEMORY.load(Ordering::Relaxed) / PAGE) as u32;
    let basic = Basic {
        reserved: 0,
        timer_resolution: 156_250,
        page_size: PAGE as u32,
        physical_pages: pages,
        lowest_page: 1,
        highest_page: pages,
        address_granularity: 0x1_0000,
        least_address: 0x1_0000,
        most_address: 0x7fff_fffe_ffff,
        processors_mask: 3,
        processors: 2,
    };
    // SAFETY: the driver passes a buffer of `length` bytes, which is the record's, and a pointer for the length or none.
    unsafe {
        information.cast::<Basic>().write_unaligned(basic);
        if let Some(returned) = returned.as_mut() {
            *returned = length;
        }
    }
    STATUS_SUCCESS
}
