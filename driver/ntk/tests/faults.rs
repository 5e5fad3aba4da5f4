//! A fault of the processor in Linux's code is Linux's end, and nothing more: the volume whose request met it goes offline, all others
//! live on in another Linux, and the driver can be unloaded with nothing left behind. When the next Linuxes die too, requests end with
//! errors.
//!
//! One comes from an image: a UFS whose superblock makes Linux divide by zero. The others are put into Linux's own code in
//! the loaded image, at the place where each system call passes, so that every kind is met in the image that is shipped.
//! What NT makes no exception of stops the machine; such a case runs in a process of its own.

#![cfg(target_os = "linux")]

mod moments;
mod support;

use lklfs_control::Request;
use lklfs_control::reply::status_flags;
use lklfs_nt::LogEvent;
use moments::{data, disk, folder, on, other_disk, path, run};
use ntos::disk::{Completion, DiskConfig};
use ntos::io::errorlog;
use ntos::nt::*;
use ntos::user::{Machine, OpenAs};
use ntos::verifier::hang;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::faulty::{CONTAINED, break_linux};
use support::{Control, selftest};

const LIMIT: Duration = Duration::from_secs(20);
/// What each read of a slow disk takes.
const SLOW: Duration = Duration::from_millis(30);
/// Names the kind of fault that a child process has.
const KIND: &str = "LKLFS_FAULT_KIND";

/// What stops the machine, the code for it, and the rule that it is stopped under.
const FATAL: &[(&str, &[u8], &str)] = &[
    // mov rax, 0xffff800012345678; mov rax, [rax]
    (
        "kernel-half",
        &[
            0x48, 0xb8, 0x78, 0x56, 0x34, 0x12, 0x00, 0x80, 0xff, 0xff, 0x48, 0x8b, 0x00,
        ],
        "InvalidKernelAddress",
    ),
    // call itself
    ("endless", &[0xe8, 0xfb, 0xff, 0xff, 0xff], "StackOverflow"),
];

/// Puts back what was there, when so many Linuxes have died of what [`break_linux`] has put there: the last one that was started
/// meets it in a thread of its own.
fn mend_linux(machine: &Machine, sound: &[u8], deaths: usize) {
    let died = || {
        let lines = ntos::rtl::print::last_lines(usize::MAX);
        lines
            .iter()
            .filter(|line| line.starts_with("lklfs: Linux died: "))
            .count()
    };
    while died() < deaths {
        std::thread::sleep(Duration::from_millis(1));
    }
    break_linux(machine, sound);
}

/// What Linux has said of its end.
fn last_words() -> String {
    ntos::rtl::print::last_lines(16).join("\n")
}

fn read_at(machine: &Machine, disk: &ntos::disk::Disk, name: &str) -> Result<Vec<u8>, NTSTATUS> {
    machine
        .open(&path(disk, name), OpenAs::read().uncached())?
        .read(Some(0), 4096)
        .into_result()
}

/// Reads a file of a volume that Linux has died of. It goes offline in a moment, and its next open mounts it afresh.
fn read_afresh(machine: &Machine, disk: &ntos::disk::Disk, name: &str) -> Vec<u8> {
    let _watch = hang::watch("a volume that is mounted afresh", LIMIT);
    loop {
        match read_at(machine, disk, name) {
            Err(STATUS_NO_SUCH_DEVICE) => std::thread::sleep(Duration::from_millis(1)),
            read => return read.expect("mounted afresh"),
        }
    }
}

#[test]
fn every_kind_of_fault_is_contained() {
    for (what, code, words) in CONTAINED {
        println!("{what}");
        on(3, &[disk(), disk()], |machine| {
            let disks = [0, 1].map(|at| Arc::clone(&machine.disks()[at]));
            let start = Instant::now();
            assert!(read_at(machine, &disks[1], "data.bin").expect("sound") == data()[..4096]);
            let first = start.elapsed();
            assert!(read_at(machine, &disks[0], "data.bin").expect("sound") == data()[..4096]);
            let [handle, other] = [0, 1].map(|at| {
                machine
                    .open(&path(&disks[at], "data.bin"), OpenAs::read().uncached())
                    .expect("opens")
            });
            let sound = break_linux(machine, code);
            let _watch = hang::watch(what, LIMIT);
            let read = handle.read(Some(8192), 4096);
            assert_eq!(
                read.status,
                STATUS_NO_SUCH_DEVICE,
                "{what}: {}",
                name(read.status)
            );
            mend_linux(machine, &sound, 2);
            let said = last_words();
            assert!(
                said.contains("Linux died: ") && said.contains(&format!("fault in Linux: {words}")),
                "{what}: {said}"
            );
            // The other volume's handle lives on in another Linux.
            let start = Instant::now();
            let bytes = other.read(Some(8192), 4096).into_result();
            let next = start.elapsed();
            println!(
                "  the next answer takes {:.2} of the first one, with its boot and its mount",
                next.as_secs_f64() / first.as_secs_f64()
            );
            assert!(next < Duration::from_secs(1), "{what}: {next:?}");
            assert!(bytes.expect("lives on") == data()[8192..12288], "{what}");
            // The handle of the volume that Linux died of does not; a new one has it mounted afresh.
            let again = handle.read(Some(8192), 4096);
            assert_eq!(
                again.status,
                STATUS_NO_SUCH_DEVICE,
                "{what}: {}",
                name(again.status)
            );
            assert!(read_afresh(machine, &disks[0], "data.bin") == data()[..4096]);
            let said = last_words();
            assert!(
                said.contains("is offline: Linux has died of it"),
                "{what}: {said}"
            );
            let logged = errorlog::events();
            // The next Linux may have met the fault, too, with nothing to mount.
            let offline: Vec<_> = logged
                .iter()
                .filter(|event| event.id != LogEvent::LinuxEnded.id())
                .collect();
            let [event] = offline[..] else {
                panic!("{what}: {logged:?}")
            };
            let volume = format!(
                "The volume on {} (ext4) is offline: Linux",
                disks[0].volumes()[0].path()
            );
            assert_eq!(event.id, LogEvent::VolumeOffline.id(), "{what}");
            assert!(event.text.starts_with(&volume), "{what}: {}", event.text);
            assert_eq!(event.status, STATUS_NO_SUCH_DEVICE, "{what}");
            let kept = Control::open(machine).log();
            assert!(
                kept.contains(&format!("fault in Linux: {words}")),
                "{what}: {kept}"
            );
            // Whoever asks the driver itself is answered.
            assert!(Control::status(machine).ask(Request::Status).is_ok());
        });
    }
}

/// Each Linux dies at its first call: requests end with errors, and after some deaths no other is booted.
#[test]
fn a_storm_of_faults_ends_in_errors() {
    on(8, &[disk(), disk()], |machine| {
        let disks = [0, 1].map(|at| Arc::clone(&machine.disks()[at]));
        for disk in &disks {
            assert!(read_at(machine, disk, "data.bin").is_ok());
        }
        let (_, code, _) = CONTAINED[1];
        let sound = break_linux(machine, code);
        let _watch = hang::watch("a storm", LIMIT * 2);
        for _ in 0..12 {
            for disk in &disks {
                let read = read_at(machine, disk, "data.bin");
                assert!(read.is_err(), "{read:?}");
            }
        }
        let said = ntos::rtl::print::last_lines(200).join("\n");
        assert!(
            said.contains("it is not started again until the driver is"),
            "{said}"
        );
        let numbers: Vec<u32> = errorlog::events().iter().map(|event| event.id).collect();
        let (last, before) = numbers.split_last().expect("an administrator is told");
        assert_eq!(*last, LogEvent::LinuxNotStarted.id());
        assert!(
            !before.is_empty() && before.iter().all(|id| *id != *last),
            "{numbers:x?}"
        );
        mend_linux(machine, &sound, 8);
        assert!(read_at(machine, &disks[0], "data.bin").is_err());
        assert!(Control::status(machine).ask(Request::Status).is_ok());
    });
}

/// The next Linux dies of another volume while it mounts this one: no request of this one's fails for that.
#[test]
fn a_volume_lives_on_when_the_next_linux_dies_of_another_one_while_it_is_mounted() {
    let slow = disk().completion(Completion::Queued).delay(SLOW);
    let machine = selftest::machine_with([slow, other_disk(1), other_disk(2)]);
    let _watch = hang::watch("two deaths of two volumes", LIMIT);
    for disk in machine.disks() {
        assert!(read_at(&machine, disk, "data.bin").expect("sound") == data()[..4096]);
    }
    let guilty = [1, 2].map(|at| Arc::clone(&machine.disks()[at]));
    let [first, second] = [0, 1].map(|at| selftest::volume_on(&machine, &guilty[at]).expect("mounted"));
    let innocent = machine
        .open(&path(&machine.disks()[0], "data.bin"), OpenAs::read().uncached())
        .expect("opens");
    let control = selftest::control(&machine);
    let died = selftest::ask_for(&control, selftest::PANIC, 0, first);
    assert_eq!(died, STATUS_NO_SUCH_DEVICE);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| innocent.read(Some(8192), 4096).into_result());
        // It mounts a volume whose disk takes its time.
        while support::status(&machine).flags.get() & status_flags::LINUX_RUNNING == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let died = selftest::ask_for(&control, selftest::PANIC, 0, second);
        assert_eq!(died, STATUS_NO_SUCH_DEVICE);
        assert!(!reader.is_finished(), "it was mounted before");
        let read = reader.join().expect("it reads");
        assert!(read.expect("lives on") == data()[8192..12288]);
    });
    assert_eq!(support::status(&machine).linux_panics.get(), 2);
    for disk in &guilty {
        assert!(read_afresh(&machine, disk, "data.bin") == data()[..4096]);
    }
    drop((innocent, control));
    let report = machine.unload();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_fault_on_the_thread_of_a_control_request_is_contained() {
    on(4, &[disk()], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        assert!(read_at(machine, &disk, "data.bin").is_ok());
        let (_, code, _) = CONTAINED[0];
        let sound = break_linux(machine, code);
        let _watch = hang::watch("a control request", LIMIT);
        // Linux's figures are asked for on this thread.
        let _ = Control::status(machine).ask(Request::Status);
        let said = last_words();
        assert!(said.contains("fault in Linux: arithmetic fault"), "{said}");
        mend_linux(machine, &sound, 1);
        assert!(read_at(machine, &disk, "data.bin").expect("lives on") == data()[..4096]);
    });
}

#[test]
fn a_fault_on_a_thread_that_linux_made_is_contained() {
    let machine = selftest::machine(disk());
    let disk = Arc::clone(&machine.disks()[0]);
    assert!(read_at(&machine, &disk, "data.bin").is_ok());
    let _watch = hang::watch("a fault of a thread of Linux's", LIMIT);
    let control = selftest::control(&machine);
    // The thread is started; its fault comes when it runs.
    let _ = selftest::ask(&control, selftest::FAULT, 0);
    while !last_words().contains("Linux died: ") {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(
        last_words().contains("fault in Linux: bad access"),
        "{}",
        last_words()
    );
    // Of the disk that had answered last.
    assert_eq!(read_at(&machine, &disk, "mapped.bin"), Err(STATUS_NO_SUCH_DEVICE));
    read_afresh(&machine, &disk, "mapped.bin");
    drop(control);
    let report = machine.unload();
    assert!(report.is_clean(), "{report}");
}

/// An overrun of Linux's that leaves its memory by less than the guards around it harms no other memory, and the machine goes on.
#[test]
fn what_linux_writes_just_beyond_its_memory_reaches_no_other() {
    let machine = selftest::machine(disk());
    let disk = Arc::clone(&machine.disks()[0]);
    assert!(read_at(&machine, &disk, "data.bin").is_ok());
    let _watch = hang::watch("an overrun", LIMIT);
    let control = selftest::control(&machine);
    assert_eq!(selftest::ask(&control, selftest::BEYOND, 4096), STATUS_SUCCESS);
    assert!(read_at(&machine, &disk, "data.bin").expect("lives on") == data()[..4096]);
    // With its end it is told.
    let _ = selftest::ask(&control, selftest::PANIC, 0);
    read_afresh(&machine, &disk, "data.bin");
    let said = ntos::rtl::print::last_lines(usize::MAX).join("\n");
    assert!(said.contains("Linux has written beyond its memory"), "{said}");
    drop(control);
    let report = machine.unload();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn an_image_that_makes_linux_divide_by_zero_ends_linux_and_not_the_machine() {
    let folder = folder();
    std::fs::create_dir_all(folder.join("one")).expect("writable");
    std::fs::write(folder.join("one/f"), "hi\n").expect("writable");
    run(
        "makefs",
        &["-t", "ffs", "-o", "version=1", "-s", "1m", "sound.img", "one"],
        folder,
    );
    let mut image = std::fs::read(folder.join("sound.img")).expect("made");
    // fs_fpg, the fragments of a cylinder group.
    image[8312..8316].fill(0);
    std::fs::write(folder.join("divides.img"), image).expect("writable");

    // The recipe's image is read when nothing is changed.
    let sound = DiskConfig::image(folder.join("sound.img"));
    on(5, &[disk(), sound], |machine| {
        let ufs = Arc::clone(&machine.disks()[1]);
        let handle = machine.open(&path(&ufs, "f"), OpenAs::read()).expect("opens");
        assert_eq!(handle.read(Some(0), 16).bytes, b"hi\n");
    });

    let broken = DiskConfig::image(folder.join("divides.img"));
    on(6, &[disk(), broken], |machine| {
        let [sound, broken] = [0, 1].map(|at| Arc::clone(&machine.disks()[at]));
        assert!(read_at(machine, &sound, "data.bin").expect("sound") == data()[..4096]);
        let _watch = hang::watch("a mount that makes Linux divide by zero", LIMIT);
        // No word that leaves the volume to another file system.
        let opened = machine.open(&path(&broken, "f"), OpenAs::read()).map(drop);
        assert_eq!(opened, Err(STATUS_NO_SUCH_DEVICE));
        let said = last_words();
        assert!(said.contains("fault in Linux: arithmetic fault"), "{said}");
        assert!(read_at(machine, &sound, "mapped.bin").is_ok());
        // Once more, and then only an administrator has it mounted.
        let opened = machine.open(&path(&broken, "f"), OpenAs::read()).map(drop);
        assert_eq!(opened, Err(STATUS_NO_SUCH_DEVICE));
        assert!(read_at(machine, &sound, "mapped.bin").is_ok());
        let opened = machine.open(&path(&broken, "f"), OpenAs::read()).map(drop);
        assert_eq!(opened, Err(STATUS_DISK_CORRUPT_ERROR));
        let logged = errorlog::events();
        let volume = format!(
            "The volume on {} (ufs) is not mounted: Linux",
            broken.volumes()[0].path()
        );
        assert!(
            logged.len() == 2
                && logged.iter().all(|event| {
                    event.id == LogEvent::VolumeNotMounted.id() && event.text.starts_with(&volume)
                }),
            "{logged:?}"
        );
        assert!(
            last_words().contains("Linux has died of it before"),
            "{}",
            last_words()
        );
        assert!(read_at(machine, &sound, "data.bin").expect("sound") == data()[..4096]);
    });
}

#[test]
fn what_nt_makes_no_exception_of_stops_the_machine() {
    for (kind, _, rule) in FATAL {
        let report = folder().join(format!("{kind}.json"));
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", "child", "--nocapture"])
            .env(KIND, kind)
            .env("NTOS_REPORT", &report)
            .output()
            .expect("this program runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(ntos::verifier::EXIT_CODE),
            "{kind}: {text}"
        );
        let report = std::fs::read_to_string(&report).expect("a report");
        assert!(report.contains(&format!("\"{rule}\"")), "{kind}: {report}");
    }
}

/// Run by the test above in a process of its own.
#[test]
#[ignore = "runs only as a child"]
fn child() {
    let Ok(kind) = std::env::var(KIND) else { return };
    let (_, code, _) = FATAL.iter().find(|(each, ..)| *each == kind).expect("a kind");
    on(7, &[disk()], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        let handle = machine
            .open(&path(&disk, "data.bin"), OpenAs::read().uncached())
            .expect("opens");
        break_linux(machine, code);
        let read = handle.read(Some(8192), 4096);
        panic!("the machine goes on: {}", name(read.status));
    });
}
