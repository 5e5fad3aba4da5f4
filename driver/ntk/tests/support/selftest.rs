//! The driver with the port's self-tests, which make Linux loop or fault on request.

use ntos::disk::DiskConfig;
use ntos::nt::*;
use ntos::user::{Handle, Machine, OpenAs};
use std::path::PathBuf;

/// `lklfs_ntk::selftest::IOCTL_OF`; that crate is empty on this system.
const SELF_TEST: u32 = (0x9c4b << 16) | (2 << 14) | (0x8f1 << 2);

// LKL_SELFTEST_* of host_ops.h.
pub const DEAF: u64 = 1;
pub const RESTLESS: u64 = 2;
pub const THREAD: u64 = 3;
pub const PANIC: u64 = 5;
pub const LIMIT: u64 = 6;
pub const FAULT: u64 = 7;

/// An image of the driver with the feature `selftest`.
pub fn driver() -> PathBuf {
    let path = std::env::var_os("LKLFS_SELFTEST_SYS");
    PathBuf::from(path.expect("LKLFS_SELFTEST_SYS names a driver: run this by `cargo xtask test`"))
}

/// A machine with one disk and this driver, which the caller unloads.
pub fn machine(disk: DiskConfig) -> Machine {
    let mut machine = Machine::builder().disk(disk).start().expect("the image is good");
    machine.load_driver(&driver()).expect("the driver loads");
    machine.settle();
    machine
}

/// The control device, to ask for self-tests.
pub fn control(machine: &Machine) -> Handle {
    let how = OpenAs::read().access(FILE_GENERIC_READ | FILE_GENERIC_WRITE);
    machine
        .open("\\??\\Lklfs", how)
        .expect("the control device opens")
}

/// Runs one of the self-tests for the work of a volume, by its number.
pub fn ask_for(control: &Handle, what: u64, milliseconds: u64, volume: u64) -> NTSTATUS {
    let mut input = (what | milliseconds << 8).to_le_bytes().to_vec();
    input.extend(volume.to_le_bytes());
    control.ioctl(SELF_TEST, &input, 0).status
}

/// Runs one of the self-tests.
pub fn ask(control: &Handle, what: u64, milliseconds: u64) -> NTSTATUS {
    let input = (what | milliseconds << 8).to_le_bytes();
    control.ioctl(SELF_TEST, &input, 0).status
}
