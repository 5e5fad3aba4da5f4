//! Whose a volume is, when it cannot be looked at: to the I/O manager UNRECOGNIZED_VOLUME alone leaves a volume to the next
//! file system. So that is what the driver says of whatever goes wrong before it has recognised a volume; unless there is
//! no device or no medium, where no file system can find anything. What is wrong with a volume that Linux knows is told as
//! what it is, and no other file system gets it.
//!
//! The other file system of these machines takes any volume that it is asked for.

#![cfg(target_os = "linux")]

mod moments;

use moments::*;
use ntos::disk::{Disk, DiskConfig, Fault, FaultKind};
use ntos::io::{mount, other};
use ntos::nt::*;
use ntos::user::{Machine, OpenAs};
use ntos::verifier::fault;
use std::sync::Arc;

const OURS: &str = "\\FileSystem\\lklfs";

/// A machine with this disk and the other file system. `act` gets both before anything is mounted.
fn with_other(disk: DiskConfig, before: impl FnOnce(&Disk), act: impl FnOnce(&mut Machine, &Arc<Disk>)) {
    let mut machine = Machine::builder()
        .seed(11)
        .disk(disk)
        .start()
        .expect("the image is good");
    let disk = Arc::clone(&machine.disks()[0]);
    before(&disk);
    machine.load_driver(&driver()).expect("the driver loads");
    machine.start_other_file_system();
    machine.settle();
    act(&mut machine, &disk);
    let report = machine.unload();
    assert!(report.is_clean(), "left behind:\n{report}");
}

/// What has mounted the disk's volume.
fn mounted_by(disk: &Disk) -> Option<String> {
    mount::mounted_by(disk.volumes()[0].device())
}

/// With what the driver has refused the disk's volume last.
fn refusals(disk: &Disk) -> Vec<NTSTATUS> {
    mount::refusals(disk.volumes()[0].device())
}

/// Opens the volume itself.
fn open_volume(machine: &Machine, disk: &Disk) -> Result<(), NTSTATUS> {
    let volume = disk.volumes()[0].path();
    machine.open(&volume, OpenAs::volume()).map(drop)
}

fn is_the_others(machine: &Machine, disk: &Disk) {
    assert_eq!(open_volume(machine, disk), Ok(()));
    assert_eq!(mounted_by(disk).as_deref(), Some(other::NAME));
    assert_eq!(refusals(disk), [STATUS_UNRECOGNIZED_VOLUME]);
}

#[test]
fn a_volume_of_linux_is_not_the_other_file_systems() {
    with_other(
        disk(),
        |_| (),
        |machine, disk| {
            assert_eq!(open_volume(machine, disk), Ok(()));
            assert_eq!(mounted_by(disk).as_deref(), Some(OURS));
            assert_eq!(use_all(machine, disk), Ok(()));
        },
    );
}

#[test]
fn a_disk_with_an_unreadable_first_sector_is_left_to_the_next_file_system() {
    for status in [
        STATUS_DEVICE_DATA_ERROR,
        STATUS_CRC_ERROR,
        STATUS_IO_DEVICE_ERROR,
        STATUS_IO_TIMEOUT,
        STATUS_INVALID_PARAMETER,
        STATUS_INSUFFICIENT_RESOURCES,
    ] {
        with_other(
            disk(),
            |disk| disk.fail(Fault::from(1, FaultKind::Error(status))),
            is_the_others_mut,
        );
    }
}

fn is_the_others_mut(machine: &mut Machine, disk: &Arc<Disk>) {
    is_the_others(machine, disk);
}

#[test]
fn a_disk_whose_sectors_linux_cannot_have_is_left_to_the_next_file_system() {
    with_other(disk().sector(8192), |_| (), is_the_others_mut);
}

#[test]
fn what_fails_before_a_volume_is_recognised_leaves_it_to_the_next_file_system() {
    let mut recognised = 0usize;
    let mut left = 0;
    for number in 0..200 {
        with_other(
            disk(),
            |_| (),
            |machine, disk| {
                fault::arm(None, number);
                let opened = open_volume(machine, disk);
                fault::disarm();
                let (by, refused) = (mounted_by(disk), refusals(disk));
                match (opened, by.as_deref()) {
                    (Ok(()), Some(other::NAME)) => {
                        assert_eq!(refused, [STATUS_UNRECOGNIZED_VOLUME], "allocation {number}");
                        assert_eq!(recognised, 0, "allocation {number}: after the recognition");
                        left += 1;
                    }
                    // The driver can do without, or it is none of the mount's.
                    (Ok(()), Some(OURS)) => assert_eq!(use_all(machine, disk), Ok(())),
                    (Err(status), None) => {
                        assert_eq!(status, STATUS_INSUFFICIENT_RESOURCES, "allocation {number}");
                        // A request of the I/O manager's own is none of the driver's refusals.
                        recognised += usize::from(refused == [STATUS_INSUFFICIENT_RESOURCES]);
                        // Linux may have begun to boot: it does so once more.
                        assert_eq!(use_all(machine, disk), Ok(()), "after allocation {number} failed");
                    }
                    (opened, by) => panic!("allocation {number}: {opened:?}, {by:?}"),
                }
            },
        );
    }
    assert!(left > 2, "{left} allocations before the recognition are no test");
    assert!(recognised > 5, "{recognised} allocations after it");
}

#[test]
fn a_volume_that_linux_knows_and_cannot_mount_is_no_other_file_systems() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let image = folder.path().join("strange.img");
    let make = ["-q", "-F", "-O", "^metadata_csum", "strange.img", "12M"];
    run("mkfs.ext4", &make, folder.path());
    let mut bytes = std::fs::read(&image).expect("it was made");
    // A bit of s_feature_incompat that no Linux knows.
    bytes[1024 + 0x63] |= 0x40;
    std::fs::write(&image, bytes).expect("writable");
    with_other(
        DiskConfig::image(&image),
        |_| (),
        |machine, disk| {
            assert_eq!(open_volume(machine, disk), Err(STATUS_UNKNOWN_REVISION));
            assert_eq!(refusals(disk), [STATUS_UNKNOWN_REVISION]);
            assert_eq!(mounted_by(disk), None);
        },
    );
}

#[test]
fn an_empty_drive_and_a_disk_that_is_gone_are_no_file_systems() {
    let removable = DiskConfig {
        removable: true,
        ..disk()
    };
    with_other(
        removable,
        |disk| disk.change_medium(None).expect("it is taken out"),
        |machine, disk| {
            assert_eq!(open_volume(machine, disk), Err(STATUS_NO_MEDIA_IN_DEVICE));
            assert_eq!(refusals(disk), [STATUS_NO_MEDIA_IN_DEVICE]);
            assert_eq!(mounted_by(disk), None);
        },
    );
    with_other(
        disk(),
        |_| (),
        |machine, disk| {
            disk.remove();
            assert_eq!(open_volume(machine, disk), Err(STATUS_NO_SUCH_DEVICE));
            assert_eq!(mounted_by(disk), None);
        },
    );
}
