//! `lklfs.sys`: the entry point, and what Rust itself needs to live in an NT kernel.
//!
//! Nothing is decided here. [`DriverEntry`] hands over to `lklfs-ntk`; [`panic`] is what a panic would run into;
//! [`runtime`] has the symbols that a Windows compiler expects. Linux is linked in by the root build script.
//!
//! On anything but Windows this crate is empty.
//
// UNSAFETY: exports the driver's entry point under the name that the linker is told.
#![cfg(windows)]
#![no_std]

mod panic;
mod runtime;

use lklfs_kernel::nt::{NTSTATUS, PDRIVER_OBJECT, PUNICODE_STRING};
use lklfs_kernel::pool::NtPool;

/// Memory behind `alloc`: non-paged, non-executable pool.
#[global_allocator]
static POOL: NtPool = NtPool;

/// Where the I/O manager enters the driver.
///
/// # IRQL
/// PASSIVE_LEVEL.
///
/// # Safety
/// Called once by the I/O manager, with a driver object of this image and its key in the registry.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "the linker is told this name, which is NT's")]
pub unsafe extern "system" fn DriverEntry(driver: PDRIVER_OBJECT, registry: PUNICODE_STRING) -> NTSTATUS {
    // SAFETY: the I/O manager's promise is passed on.
    unsafe { lklfs_ntk::driver_entry(driver, registry) }
}
