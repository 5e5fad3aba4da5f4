//! A volume of FAT cannot live on in another Linux, since its files have no numbers to be told by. It ends with its Linux, and its
//! next open mounts it afresh, although files of the old one are open still. (It stayed where it was: each open ended with
//! NO_SUCH_DEVICE for as long as one file was open.)

use super::support::{Control, selftest};
use super::volumes_on_disk::{self, Node, Volume};
use super::world::disk_of;
use ntos::nt::*;
use ntos::user::{Machine, OpenAs};
use ntos::verifier::hang;
use std::time::Duration;

const SMALL: &str = "sizes\\4097";

fn named(kind: &str) -> &'static Volume {
    let mut volumes = volumes_on_disk::all().iter();
    volumes
        .find(|volume| volume.kind.name == kind)
        .expect("it is made")
}

#[test]
fn a_volume_of_fat_is_mounted_afresh_while_its_old_files_are_open() {
    let builder = ["ext4", "vfat32"]
        .iter()
        .fold(Machine::builder().seed(3), |builder, kind| {
            builder.disk(disk_of(named(kind)))
        });
    let mut machine = builder.start().expect("the images are good");
    machine
        .load_driver(&selftest::driver())
        .expect("the driver loads");
    machine.settle();
    let open = |disk: usize| {
        let path = machine.disks()[disk].volumes()[0].path();
        machine.open(&format!("{path}\\{SMALL}"), OpenAs::read().uncached())
    };
    let right = |kind: &str| {
        let volume = named(kind);
        match &volume.items[volume.find(SMALL)].node {
            Node::File(file) => file.at(0, 4096),
            _ => panic!("it is a file"),
        }
    };
    let [ext4, fat] = [0, 1].map(|disk| open(disk).expect("opens"));
    let path = machine.disks()[0].volumes()[0].path();
    let volumes = Control::open(&machine).volumes();
    let victim = volumes.iter().find(|listed| listed.source == path);
    let victim = victim.expect("it is listed").record.volume.get();
    let status = selftest::ask_for(&selftest::control(&machine), selftest::PANIC, 0, victim);
    assert_eq!(status, STATUS_NO_SUCH_DEVICE);
    let _watch = hang::watch("volumes that are mounted afresh", Duration::from_secs(30));
    for (disk, kind, old) in [(0, "ext4", &ext4), (1, "vfat32", &fat)] {
        let read = loop {
            match open(disk).and_then(|file| file.read(Some(0), 4096).into_result()) {
                Err(STATUS_NO_SUCH_DEVICE) => std::thread::sleep(Duration::from_millis(1)),
                read => break read,
            }
        };
        assert!(read.expect("is mounted afresh") == right(kind), "{kind}");
        assert_eq!(old.read(Some(0), 4096).status, STATUS_NO_SUCH_DEVICE, "{kind}");
    }
    drop((ext4, fat));
    let report = machine.unload();
    assert!(report.is_clean(), "left behind:\n{report}");
}
