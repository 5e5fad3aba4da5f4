//! The driver with the port's self-tests, which make Linux loop or fault on request.

use super::Control;
use ntos::disk::{Disk, DiskConfig};
use ntos::nt::*;
use ntos::user::{Builder, Handle, Machine, OpenAs};
use std::path::PathBuf;

/// `lklfs_ntk::control::selftest::IOCTL_OF`; that crate is empty on this system.
const SELF_TEST: u32 = (0x9c4b << 16) | (2 << 14) | (0x8f1 << 2);

// LKL_SELFTEST_* of host_ops.h.
pub const DEAF: u64 = 1;
pub const RESTLESS: u64 = 2;
pub const THREAD: u64 = 3;
pub const PANIC: u64 = 5;
pub const LIMIT: u64 = 6;
pub const FAULT: u64 = 7;
pub const WAIT: u64 = 9;
pub const LOCK: u64 = 10;
pub const MEMORY: u64 = 11;
pub const BEYOND: u64 = 12;

/// An image of the driver with the feature `selftest`.
pub fn driver() -> PathBuf {
    let path = std::env::var_os("LKLFS_SELFTEST_SYS");
    PathBuf::from(path.expect("LKLFS_SELFTEST_SYS names a driver: run this by `cargo xtask test`"))
}

/// A machine with one disk and this driver, which the caller unloads.
pub fn machine(disk: DiskConfig) -> Machine {
    machine_with([disk])
}

/// The same with several disks.
pub fn machine_with(disks: impl IntoIterator<Item = DiskConfig>) -> Machine {
    let builder = disks.into_iter().fold(Machine::builder(), Builder::disk);
    let mut machine = builder.start().expect("the images are good");
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

/// The number of the volume on a disk, if it is mounted.
pub fn volume_on(machine: &Machine, disk: &Disk) -> Option<u64> {
    let path = disk.volumes()[0].path();
    let volumes = Control::open(machine).volumes();
    let listed = volumes.iter().find(|listed| listed.source == path);
    listed.map(|listed| listed.record.volume.get())
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
