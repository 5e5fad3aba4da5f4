//! Many volumes at once in one Linux, and copies of one volume side by side: what they take, and that each shows its own
//! files. Prints figures: `cargo test -p lklfs-ntk --test many -- --nocapture`; `LKLFS_MANY` says how many volumes of the
//! larger kinds.

#![cfg(target_os = "linux")]

mod moments;

use lklfs_control::{Code, Interface, Mount, Request, Settings, Source, Text, reply, utf16};
use moments::*;
use ntos::disk::{Disk, DiskConfig};
use ntos::mountmgr;
use ntos::nt::*;
use ntos::rtl::print;
use ntos::user::{Handle, Machine, OpenAs};
use ntos::verifier::{self, hang, ledger};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of each volume's own file.
const OWN: usize = 300_000;

/// The file of one volume: no two are alike anywhere.
fn own(number: usize) -> Vec<u8> {
    (0..OWN)
        .map(|at| (at / 7 + number * 31 + at * number) as u8)
        .collect()
}

/// Makes a volume in `at`, whose only file is volume `number`'s own.
fn make(at: &Path, kind: &str, number: usize, uuid: &str) -> PathBuf {
    let tree = at.join("tree");
    std::fs::create_dir_all(&tree).expect("writable");
    std::fs::write(tree.join("own.bin"), own(number)).expect("writable");
    let image = at.join(format!("{kind}-{number}.img"));
    let path = image.to_str().expect("UTF-8");
    let empty = |mib: u64| {
        let file = std::fs::File::create(&image).expect("writable");
        file.set_len(mib << 20).expect("writable");
    };
    match kind {
        "ext4" => run(
            "mkfs.ext4",
            &["-q", "-F", "-U", uuid, "-d", "tree", path, "4M"],
            at,
        ),
        "btrfs" => {
            empty(128);
            run("mkfs.btrfs", &["-q", "-U", uuid, "-r", "tree", path], at);
        }
        "xfs" => {
            empty(300);
            let files = "/\n0 0\nd--755 0 0\nown.bin ---644 0 0 tree/own.bin\n$\n";
            std::fs::write(at.join("proto"), files).expect("writable");
            let uuid = format!("uuid={uuid}");
            run("mkfs.xfs", &["-q", "-m", &uuid, "-p", "proto", path], at);
        }
        other => panic!("nothing makes {other}"),
    }
    image
}

/// An UUID for volume `number`.
fn uuid(number: usize) -> String {
    format!("0fb64e3a-54a3-4b0f-a4a1-{number:012x}")
}

/// The status that the driver tells.
fn status(machine: &Machine) -> reply::Status {
    let device = machine
        .open(Interface::Status.device_name(), OpenAs::read())
        .expect("everybody may read");
    let request = Request::Status.encode().expect("encodes");
    let bytes = device
        .ioctl(Code::Status.number(), &request, 256)
        .into_result()
        .expect("tells");
    reply::read::<reply::Status>(&bytes).expect("a status").0
}

/// Bytes of Linux's pool in use, and of NT's pool that the driver holds.
fn memory(machine: &Machine) -> (u64, usize) {
    let status = status(machine);
    let pool = ledger::totals(ledger::Kind::Pool).0.1;
    (status.pool_size.get() - status.pool_free.get(), pool)
}

fn read_own(machine: &Machine, disk: &Disk, number: usize) {
    for how in [OpenAs::read().uncached(), OpenAs::read()] {
        let handle = machine.open(&path(disk, "own.bin"), how).expect("opens");
        let bytes = handle
            .read(Some(0), OWN.next_multiple_of(512))
            .into_result()
            .expect("reads");
        assert!(bytes == own(number), "volume {number} shows another's bytes");
    }
}

/// Mounts `count` volumes of a kind beside one that is there, reads all of them, and pulls every other one out.
fn many(kind: &str, count: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let images: Vec<PathBuf> = (0..count)
        .map(|number| make(folder.path(), kind, number, &uuid(number)))
        .collect();
    on(1, &[], |machine| {
        let limit = hang::watch("many volumes at once", Duration::from_secs(60));
        // The first boots Linux.
        let first = machine.attach(disk()).expect("plugs in");
        assert_eq!(list(machine, &first), Ok(()));
        machine.settle();
        let (mut before, mut took) = (memory(machine), Vec::new());
        let start = before;
        let mut disks = Vec::new();
        for (number, image) in images.iter().enumerate() {
            let attached = machine.attach(DiskConfig::image(image)).expect("plugs in");
            machine.settle();
            let mounting = Instant::now();
            let root = machine.open(&path(&attached, ""), OpenAs::read());
            assert!(
                root.is_ok(),
                "volume {number}: {:?}",
                root.map(drop).map_err(name)
            );
            took.push(mounting.elapsed());
            disks.push(attached);
            if number == 0 {
                before = memory(machine);
            }
        }
        let mounted = memory(machine);
        for (number, disk) in disks.iter().enumerate() {
            read_own(machine, disk, number);
        }
        let read = memory(machine);
        assert_eq!(status(machine).volumes.get() as usize, count + 1);
        took.sort();
        let each = |now: (u64, usize), than: (u64, usize), count: usize| {
            let count = count as i64;
            (
                (now.0 as i64 - than.0 as i64) / count / 1024,
                (now.1 as i64 - than.1 as i64) / count / 1024,
            )
        };
        let (linux, nt) = each(mounted, before, count - 1);
        println!(
            "figures: {count} {kind} volumes mounted: {linux} KiB of Linux's pool and {nt} KiB of NT's pool each"
        );
        let (linux, nt) = each(read, mounted, count);
        println!(
            "figures: after reading {} KiB of each: {linux} KiB and {nt} KiB more each",
            OWN / 1024
        );
        println!(
            "figures: Linux's pool has {} KiB, of which {} KiB are in use with one volume and {} KiB with {}",
            status(machine).pool_size.get() / 1024,
            start.0 / 1024,
            read.0 / 1024,
            count + 1
        );
        println!(
            "figures: a mount took {:?} in the middle, {:?} at most",
            took[count / 2],
            took[count - 1]
        );
        let letters = disks
            .iter()
            .filter_map(|disk| mountmgr::letter_of(&disk.volumes()[0].path()))
            .count();
        // D to Z, of which the first disk has one.
        assert_eq!(letters, count.min(22));
        // One half is pulled out; the other goes on.
        for disk in disks.iter().step_by(2) {
            machine.pull(disk);
        }
        machine.settle();
        for (number, disk) in disks.iter().enumerate().skip(1).step_by(2) {
            read_own(machine, disk, number);
        }
        drop(limit);
        for thread in verifier::report().stack_high_water {
            assert!(thread.1 < 24 << 10, "{thread:?}");
        }
    });
}

#[test]
fn sixty_four_volumes_at_once() {
    many("ext4", 64);
}

#[test]
fn eight_volumes_of_the_larger_kinds_at_once() {
    let count = std::env::var("LKLFS_MANY").map_or(8, |text| text.parse().expect("a number"));
    many("btrfs", count);
    many("xfs", count);
}

#[test]
fn letters_come_and_go_in_time() {
    on(2, &[], |machine| {
        let (mut come, mut go) = (Vec::new(), Vec::new());
        for round in 0..24 {
            let started = Instant::now();
            let attached = machine.attach(disk()).expect("plugs in");
            let path = attached.volumes()[0].path();
            while mountmgr::letter_of(&path).is_none() {
                assert!(
                    started.elapsed() < Duration::from_secs(1),
                    "no letter within a second"
                );
                std::thread::sleep(Duration::from_micros(100));
            }
            come.push(started.elapsed());
            if round % 2 == 0 {
                assert_eq!(use_all(machine, &attached), Ok(()));
            }
            let started = Instant::now();
            machine.pull(&attached);
            assert_eq!(mountmgr::letter_of(&path), None);
            go.push(started.elapsed());
        }
        come.sort();
        go.sort();
        println!(
            "figures: from a disk's arrival to its letter {:?} in the middle, {:?} at most",
            come[12], come[23]
        );
        println!(
            "figures: from its removal until the letter is gone {:?} in the middle, {:?} at most",
            go[12], go[23]
        );
        assert!(come[23] <= Duration::from_secs(1) && go[23] <= Duration::from_millis(500));
    });
}

/// Two volumes of each kind with one UUID, and different files.
fn twins() -> (tempfile::TempDir, Vec<[PathBuf; 2]>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let twins =
        ["ext4", "btrfs", "xfs"].map(|kind| [1, 2].map(|number| make(folder.path(), kind, number, &uuid(0))));
    (folder, twins.to_vec())
}

#[test]
fn two_disks_with_one_uuid_both_show_their_own_files() {
    let (_folder, twins) = twins();
    for [one, other] in twins {
        on(3, &[], |machine| {
            let disks: Vec<Arc<Disk>> = [&one, &other]
                .map(|image| machine.attach(DiskConfig::image(image)).expect("plugs in"))
                .to_vec();
            machine.settle();
            let letter = |disk: &Disk| mountmgr::letter_of(&disk.volumes()[0].path());
            let letters: Vec<_> = disks.iter().map(|disk| letter(disk).expect("a letter")).collect();
            assert_ne!(letters[0], letters[1]);
            for round in 0..3 {
                read_own(machine, &disks[0], 1);
                read_own(machine, &disks[1], 2);
                assert_eq!(
                    letter(&disks[0]),
                    Some(letters[0]),
                    "a letter flaps in round {round}"
                );
                assert_eq!(
                    letter(&disks[1]),
                    Some(letters[1]),
                    "a letter flaps in round {round}"
                );
            }
            let said = |line: &String| line.contains("a copy of volume") && line.contains(&uuid(0));
            assert!(
                print::last_lines(400).iter().any(said),
                "nobody says that they are copies"
            );
            // One goes; the other is still itself, and stays so when the first comes back.
            machine.pull(&disks[0]);
            read_own(machine, &disks[1], 2);
            let again = machine.attach(DiskConfig::image(&one)).expect("plugs in");
            machine.settle();
            read_own(machine, &again, 1);
            read_own(machine, &disks[1], 2);
            assert_eq!(letter(&disks[1]), Some(letters[1]));
            assert_ne!(letter(&again).expect("a letter"), letters[1]);
        });
    }
}

/// Mounts an image and says which number and letter it has.
fn mount(control: &Handle, path: &str) -> (u64, char) {
    let path = utf16(path).expect("no NUL");
    let request = Request::Mount(Mount {
        source: Source::Image(Text::new(&path).expect("UTF-16")),
        partition: None,
        letter: None,
        format: None,
        no_letter: false,
        settings: Settings::default(),
    });
    let input = request.encode().expect("encodes");
    let bytes = control
        .ioctl(request.code().number(), &input, 256)
        .into_result()
        .expect("mounts");
    let reply = reply::read::<reply::Mounted>(&bytes).expect("a whole reply").0;
    let letter = char::from_u32(reply.letter.get().into()).filter(char::is_ascii_uppercase);
    (reply.volume.get(), letter.expect("it has a letter"))
}

fn unmount(control: &Handle, volume: u64) {
    let request = Request::Unmount {
        volume: Some(volume),
        force: false,
    };
    let input = request.encode().expect("encodes");
    let outcome = control.ioctl(request.code().number(), &input, 256);
    assert_eq!(outcome.status, STATUS_SUCCESS);
}

fn own_by_letter(machine: &Machine, letter: char) -> Vec<u8> {
    let path = format!("\\??\\{letter}:\\own.bin");
    let handle = machine.open(&path, OpenAs::read()).expect("opens");
    handle.read(Some(0), OWN).into_result().expect("reads")
}

#[test]
fn two_images_with_one_uuid_have_letters_that_do_not_flap() {
    let (folder, twins) = twins();
    let name = |image: &Path| {
        format!(
            "\\??\\C:\\{}",
            image.file_name().and_then(|name| name.to_str()).expect("UTF-8")
        )
    };
    for [one, other] in twins {
        let builder = Machine::builder().drive_c(folder.path()).mount_manager(true);
        let mut machine = builder.start().expect("nothing can go wrong");
        machine.load_driver(&driver()).expect("the driver loads");
        let how = OpenAs::read().access(FILE_GENERIC_READ | FILE_GENERIC_WRITE);
        let control = machine
            .open(Interface::Control.device_name(), how)
            .expect("an administrator may");
        let (first, letter) = mount(&control, &name(&one));
        let mut last = None;
        for _ in 0..4 {
            let (second, twin) = mount(&control, &name(&other));
            assert_ne!(twin, letter);
            assert_eq!(*last.get_or_insert(twin), twin, "a copy's letter flaps");
            assert!(own_by_letter(&machine, letter) == own(1));
            assert!(own_by_letter(&machine, twin) == own(2));
            unmount(&control, second);
        }
        unmount(&control, first);
        drop(control);
        let report = machine.unload();
        assert!(report.is_clean(), "left behind:\n{report}");
    }
}
