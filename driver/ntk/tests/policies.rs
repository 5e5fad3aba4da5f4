//! What is kept for volumes, and how they are mounted, through the real `lklfs.sys` in the NT kernel double: letters over
//! restarts, policies by UUID, mount options, what the raw file system took before, and what the driver tells of it all.
//!
//! Every scenario ends with an unload that must leave nothing behind.

#![cfg(target_os = "linux")]

mod support;

use lklfs_control::reply::place_flags;
use lklfs_control::{Format, LetterRule};
use ntos::cm::Hive;
use ntos::disk::{Disk, DiskConfig};
use ntos::mountmgr;
use ntos::nt::*;
use ntos::se::token::{self, Token};
use ntos::user::{Machine, OpenAs};
use std::path::Path;
use std::sync::OnceLock;
use support::{Asked, Control, Said, driver, exists, read, run, table};

const UUID: &str = "6b8f3c1e-8d0a-4a6e-9d5c-00000000000a";
const OTHER: &str = "6b8f3c1e-8d0a-4a6e-9d5c-00000000000b";
const VOLUMES: &str = "\\Registry\\Machine\\System\\CurrentControlSet\\Services\\lklfs\\Parameters\\Volumes";
/// FileBasicInformation.
const FILE_INFORMATION_BASIC: i32 = 4;
const IMAGE: &str = "\\??\\C:\\ext4.img";

/// `ext4.img` (UUID, with a private file and a dot-file), `other.img`, `ext2.img`, `iso.img` (Rock Ridge names), `odd.img`
/// (begins like qcow2), `x.qcow2`, `mbr.img` (0x83 with `ext4.img`, 0x07 with FAT, 0x83 with nothing), `one.img` (0x83 with
/// `other.img`). Made once.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let at = folder.path();
            std::fs::create_dir(at.join("tree")).expect("writable");
            for (name, text) in [
                ("hello.txt", "hello\n"),
                (".dot", ""),
                ("Long Name.text", "long\n"),
            ] {
                std::fs::write(at.join("tree").join(name), text).expect("writable");
            }
            std::fs::write(at.join("tree/private"), "private\n").expect("writable");
            run("chmod", &["0600", "tree/private"], at);
            run("chown", &["1000:1000", "tree/private"], at);
            let make = |kind: &str, uuid: &str, label: &str, name: &str| {
                let words = ["-q", "-F", "-U", uuid, "-L", label, "-d", "tree", name, "8M"];
                run(kind, &words, at);
            };
            make("mkfs.ext4", UUID, "Data", "ext4.img");
            make("mkfs.ext4", OTHER, "Other", "other.img");
            make(
                "mkfs.ext2",
                "6b8f3c1e-8d0a-4a6e-9d5c-00000000000c",
                "Old",
                "ext2.img",
            );
            run(
                "genisoimage",
                &["-quiet", "-R", "-V", "CD", "-o", "iso.img", "tree"],
                at,
            );
            let bytes = |name: &str| std::fs::read(at.join(name)).expect("readable");
            let ext4 = bytes("ext4.img");
            let mut odd = ext4.clone();
            odd[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
            std::fs::write(at.join("odd.img"), odd).expect("writable");
            run("qemu-img", &["convert", "-O", "qcow2", "ext4.img", "x.qcow2"], at);
            std::fs::write(at.join("fat.img"), vec![0; 8 << 20]).expect("writable");
            run("mkfs.vfat", &["-i", "1234ABCD", "fat.img"], at);
            let nothing = vec![0; 1 << 20];
            let fat = bytes("fat.img");
            let parts: [(u8, &[u8]); 3] = [(0x83, &ext4), (0x07, &fat), (0x83, &nothing)];
            std::fs::write(at.join("mbr.img"), table(&parts)).expect("writable");
            std::fs::write(at.join("one.img"), table(&[(0x83, &bytes("other.img"))])).expect("writable");
            folder
        })
        .path()
}

/// A machine with a mount manager, drive C: and these disks; the driver is not loaded.
fn machine(hive: &Hive, disks: &[&str]) -> Machine {
    let mut builder = Machine::builder()
        .drive_c(folder())
        .mount_manager(false)
        .raw_file_system()
        .registry(hive.clone());
    for name in disks {
        builder = builder.disk(DiskConfig::image(folder().join(name)));
    }
    builder.start().expect("the images are good")
}

/// The end: nothing may be left.
fn end(machine: Machine) {
    let report = machine.unload();
    assert!(report.is_clean(), "left behind:\n{report}");
}

/// Runs `act` with the driver loaded, then unloads.
fn on(hive: &Hive, disks: &[&str], act: impl FnOnce(&mut Machine, &Control)) {
    let mut machine = machine(hive, disks);
    machine.load_driver(&driver()).expect("the driver loads");
    machine.settle();
    let control = Control::open(&machine);
    act(&mut machine, &control);
    drop(control);
    end(machine);
}

fn letter_of(disk: &Disk, volume: usize) -> Option<char> {
    mountmgr::letter_of(&disk.volumes()[volume].path())
}

fn no_settings<'a>() -> Said<'a> {
    Said::default()
}

#[test]
fn an_image_has_the_same_letter_after_a_restart() {
    let hive = Hive::default();
    let mount = |control: &Control, name: &str| control.mount(name, None, &no_settings()).expect("mounts").1;
    on(&hive, &[], |_, control| {
        assert_eq!(mount(control, "\\??\\C:\\other.img"), Some('D'));
        assert_eq!(mount(control, IMAGE), Some('E'));
        control.unmount(None, false).expect("unmounts");
    });
    assert!(
        hive.values(&format!("{VOLUMES}\\{UUID}"))
            .contains(&"LASTLETTER = E".to_string())
    );
    on(&hive, &[], |machine, control| {
        assert_eq!(mount(control, IMAGE), Some('E'), "not the first that is free");
        assert_eq!(read(machine, 'E', "hello.txt").expect("reads"), b"hello\n");
        assert_eq!(mount(control, "\\??\\C:\\other.img"), Some('D'));
        // While its letter is another's it gets another, and that is remembered.
        let volumes = control.volumes();
        control
            .unmount(Some(volumes[0].record.volume.get()), false)
            .expect("unmounts");
        machine.assign_letter('E', "\\Device\\Nothing");
        assert_eq!(mount(control, IMAGE), Some('F'));
        ntos::io::names::remove_link(&ntos::io::names::wide("\\??\\E:"));
    });
}

#[test]
fn a_partition_gets_the_letter_of_its_policy_or_none() {
    let hive = Hive::default();
    on(&hive, &["mbr.img"], |machine, control| {
        let disk = std::sync::Arc::clone(&machine.disks()[0]);
        assert_eq!(letter_of(&disk, 0), Some('D'));
        control
            .keep(UUID, false, LetterRule::This(b'L'), &no_settings())
            .expect("kept");
        assert_eq!(letter_of(&disk, 0), Some('L'), "at once");
        assert!(!exists('D'), "and not twice");
        assert_eq!(read(machine, 'L', "hello.txt").expect("reads"), b"hello\n");
        control
            .keep(UUID, false, LetterRule::Hidden, &no_settings())
            .expect("kept");
        assert_eq!(letter_of(&disk, 0), None);
        assert_eq!(letter_of(&disk, 1), None, "FAT is none of ours");
    });
    on(&hive, &["mbr.img"], |machine, control| {
        let disk = std::sync::Arc::clone(&machine.disks()[0]);
        assert_eq!(letter_of(&disk, 0), None, "hidden after a restart");
        // Hidden is not forbidden.
        let path = disk.volumes()[0].path();
        let file = machine
            .open(&format!("{path}\\hello.txt"), OpenAs::read())
            .expect("opens");
        drop(file);
        control.forget(UUID).expect("forgotten");
        assert!(letter_of(&disk, 0).is_some(), "as ever");
        assert!(
            control
                .policies()
                .iter()
                .all(|(_, words)| words.starts_with("false Any None"))
        );
    });
}

#[test]
fn a_volume_that_is_never_to_be_mounted_is_left_alone_until_it_is_asked_for() {
    let hive = Hive::default();
    on(&hive, &["mbr.img"], |machine, control| {
        let path = machine.disks()[0].volumes()[0].path();
        let file = format!("{path}\\hello.txt");
        drop(machine.open(&file, OpenAs::read()).expect("opens"));
        control
            .keep(UUID, true, LetterRule::Any, &no_settings())
            .expect("kept");
        machine.trim();
        assert_eq!(letter_of(&machine.disks()[0], 0), None);
        assert!(
            machine.open(&file, OpenAs::read()).is_err(),
            "it is mounted still"
        );
        let place = control.places().remove(0);
        assert_eq!(place.record.flags.get() & place_flags::NEVER, place_flags::NEVER);
        assert_eq!(place.record.volume.get(), 0);
        let (volume, letter) = control.mount(&path, None, &no_settings()).expect("asked for");
        assert!(letter.is_some());
        drop(machine.open(&file, OpenAs::read()).expect("opens"));
        control.unmount(Some(volume), false).expect("unmounts");
        assert!(machine.open(&file, OpenAs::read()).is_err(), "asked for once");
    });
}

#[test]
fn owners_and_modes_decide_when_the_policy_says_so() {
    let user = |machine: &Machine, letter: char| {
        token::set_user(Some(Token::user()));
        let result = read(machine, letter, "private");
        token::set_user(None);
        result
    };
    on(&Hive::default(), &[], |machine, control| {
        let mount = |said: &Said<'_>| control.mount(IMAGE, None, said).expect("mounts");
        let (first, letter) = mount(&no_settings());
        let letter = letter.expect("a letter");
        assert_eq!(user(machine, letter).expect("everyone may"), b"private\n");
        control.unmount(Some(first), true).expect("unmounts");
        let strict = Said {
            everyone: Some(false),
            ..no_settings()
        };
        let (second, letter) = mount(&strict);
        let letter = letter.expect("a letter");
        assert_eq!(user(machine, letter), Err(STATUS_ACCESS_DENIED));
        assert_eq!(
            read(machine, letter, "private").expect("an administrator may"),
            b"private\n"
        );
        control.unmount(Some(second), true).expect("unmounts");
        // The user of the double's token is the volume's user 1000.
        let mapped = Said {
            everyone: Some(false),
            owners: "uid:1000=S-1-5-21-1-2-3-1001",
            ..no_settings()
        };
        let (third, letter) = mount(&mapped);
        assert_eq!(
            user(machine, letter.expect("a letter")).expect("the owner may"),
            b"private\n"
        );
        control.unmount(Some(third), true).expect("unmounts");
        // The same by policy, which is kept by UUID.
        control.keep(UUID, false, LetterRule::Any, &strict).expect("kept");
        let (_, letter) = mount(&no_settings());
        assert_eq!(
            user(machine, letter.expect("a letter")),
            Err(STATUS_ACCESS_DENIED)
        );
    });
}

#[test]
fn a_changed_policy_is_in_force_at_once_unless_files_are_open() {
    on(&Hive::default(), &["mbr.img"], |machine, control| {
        let path = format!("{}\\.dot", machine.disks()[0].volumes()[0].path());
        let hidden = |machine: &Machine| {
            let file = machine.open(&path, OpenAs::look()).expect("opens");
            let basic = file.query_information(FILE_INFORMATION_BASIC, 40).into_result();
            let bytes = basic.expect("answers");
            u32::from_le_bytes(bytes[32..36].try_into().expect("four")) & FILE_ATTRIBUTE_HIDDEN != 0
        };
        assert!(hidden(machine));
        let shown = Said {
            hide_dot_files: Some(false),
            ..no_settings()
        };
        let open = machine.open(&path, OpenAs::read()).expect("opens");
        control.keep(UUID, false, LetterRule::Any, &shown).expect("kept");
        assert!(hidden(machine), "what is in use keeps its ways");
        drop(open);
        machine.settle();
        control.keep(UUID, false, LetterRule::Any, &shown).expect("kept");
        assert!(!hidden(machine));
    });
}

#[test]
fn options_reach_linux_and_those_that_no_reader_may_have_do_not() {
    on(&Hive::default(), &[], |machine, control| {
        let iso = "\\??\\C:\\iso.img";
        let (_, letter) = control.mount(iso, None, &no_settings()).expect("mounts");
        let letter = letter.expect("a letter");
        assert_eq!(
            read(machine, letter, "Long Name.text").expect("Rock Ridge"),
            b"long\n"
        );
        control.unmount(None, true).expect("unmounts");
        let plain = Said {
            options: "norock",
            ..no_settings()
        };
        let (_, letter) = control.mount(iso, None, &plain).expect("mounts");
        assert!(read(machine, letter.expect("a letter"), "Long Name.text").is_err());
        control.unmount(None, true).expect("unmounts");
        for options in [
            "rw",
            "errors=panic",
            "onerror=panic",
            "noload,rw",
            "nosuchoption",
            "data=nonsense",
        ] {
            let said = Said {
                options,
                ..no_settings()
            };
            let refused = control.mount(IMAGE, None, &said).unwrap_err();
            assert_eq!(refused, STATUS_INVALID_PARAMETER, "{options}");
            let kept = control.keep(UUID, false, LetterRule::Any, &said);
            let at_once = ["rw", "errors=panic", "onerror=panic", "noload,rw"].contains(&options);
            assert_eq!(kept.is_err(), at_once, "{options}");
            let _ = control.forget(UUID);
        }
        for owners in ["uid:1", "uid:1=S-1-1-0,uid:1=S-1-1-0"] {
            let said = Said {
                owners,
                ..no_settings()
            };
            assert_eq!(
                control.mount(IMAGE, None, &said),
                Err(STATUS_INVALID_PARAMETER),
                "{owners}"
            );
        }
        // What was unmounted by force lives until the last section of its files goes.
        machine.settle();
        machine.trim();
        assert_eq!(control.volumes().len(), 0);
    });
}

#[test]
fn a_file_system_and_a_format_are_what_the_administrator_says() {
    on(&Hive::default(), &[], |machine, control| {
        let as_ext4 = Said {
            fs_name: "ext4",
            ..no_settings()
        };
        control
            .mount("\\??\\C:\\ext2.img", None, &as_ext4)
            .expect("mounts");
        assert_eq!(control.volumes()[0].fs_name, "ext4");
        control.unmount(None, false).expect("unmounts");
        let as_xfs = Said {
            fs_name: "xfs",
            ..no_settings()
        };
        assert!(control.mount("\\??\\C:\\ext2.img", None, &as_xfs).is_err());
        // A raw disk that begins like a qcow2 image is told by its content, unless one says what it is.
        let odd = "\\??\\C:\\odd.img";
        assert!(control.mount(odd, None, &no_settings()).is_err());
        let (_, letter) = control
            .mount(odd, Some(Format::Raw), &no_settings())
            .expect("mounts");
        assert_eq!(
            read(machine, letter.expect("a letter"), "hello.txt").expect("reads"),
            b"hello\n"
        );
        control.unmount(None, false).expect("unmounts");
        let qcow2 = "\\??\\C:\\x.qcow2";
        control.mount(qcow2, None, &no_settings()).expect("mounts");
        control.unmount(None, false).expect("unmounts");
        let raw = control.mount(qcow2, Some(Format::Raw), &no_settings());
        assert_eq!(raw, Err(STATUS_UNRECOGNIZED_VOLUME));
        assert!(control.mount(IMAGE, Some(Format::Vhdx), &no_settings()).is_err());
    });
}

#[test]
fn what_was_asked_for_outlives_a_dismount_by_others() {
    on(&Hive::default(), &["mbr.img"], |machine, control| {
        let path = machine.disks()[0].volumes()[0].path();
        let shown = Said {
            hide_dot_files: Some(false),
            ..no_settings()
        };
        let (first, _) = control.mount(&path, None, &shown).expect("mounts");
        let volume = machine.open(&path, OpenAs::volume()).expect("opens");
        for code in [FSCTL_LOCK_VOLUME, FSCTL_DISMOUNT_VOLUME] {
            volume.fsctl(code, &[], 0).into_result().expect("dismounts");
        }
        drop(volume);
        let file = machine
            .open(&format!("{path}\\.dot"), OpenAs::look())
            .expect("mounts again");
        let basic = file.query_information(FILE_INFORMATION_BASIC, 40).into_result();
        let attributes = basic.expect("answers")[32];
        assert_eq!(u32::from(attributes) & FILE_ATTRIBUTE_HIDDEN, 0);
        drop(file);
        let now = control.volumes().remove(0);
        assert_ne!(now.record.volume.get(), first, "a new mount has a new number");
        assert_eq!(now.letter(), letter_of(&machine.disks()[0], 0));
        control
            .unmount(Some(now.record.volume.get()), false)
            .expect("unmounts");
        // Mounted in another way while it is mounted: not while it is in use.
        drop(
            machine
                .open(&format!("{path}\\hello.txt"), OpenAs::read())
                .expect("opens"),
        );
        let open = machine
            .open(&format!("{path}\\hello.txt"), OpenAs::read())
            .expect("opens");
        assert_eq!(control.mount(&path, None, &shown), Err(STATUS_ACCESS_DENIED));
        drop(open);
        machine.settle();
        control.mount(&path, None, &shown).expect("mounts");
    });
}

#[test]
fn what_the_raw_file_system_took_is_taken_over_if_nobody_uses_it() {
    let mut machine = machine(&Hive::default(), &["mbr.img", "one.img"]);
    let [free, used] = [0, 1].map(|disk: usize| machine.disks()[disk].volumes()[0].path());
    // Before the driver is there, somebody looks at both volumes; one keeps its handle.
    for path in [&free, &used] {
        drop(machine.open(path, OpenAs::volume()).expect("raw takes it"));
        assert!(
            machine
                .open(&format!("{path}\\hello.txt"), OpenAs::read())
                .is_err()
        );
    }
    let busy = machine.open(&used, OpenAs::volume()).expect("raw has it");
    machine.load_driver(&driver()).expect("the driver loads");
    machine.settle();
    let read = |path: &str| {
        let file = machine.open(&format!("{path}\\hello.txt"), OpenAs::read())?;
        file.read(Some(0), 100).into_result()
    };
    assert_eq!(read(&free).expect("it is ours now"), b"hello\n");
    assert!(read(&used).is_err(), "somebody uses it");
    let control = Control::open(&machine);
    assert!(control.log().contains("is in use as raw"), "{}", control.log());
    assert_eq!(
        control.mount(&used, None, &no_settings()),
        Err(STATUS_ACCESS_DENIED)
    );
    drop(busy);
    control
        .mount(&used, None, &no_settings())
        .expect("nobody uses it any more");
    assert_eq!(read(&used).expect("it is ours now"), b"hello\n");
    drop(control);
    end(machine);
}

#[test]
fn a_volume_that_windows_mounted_is_listed_and_unmounted_as_any_other() {
    on(&Hive::default(), &["mbr.img"], |machine, control| {
        assert_eq!(read(machine, 'D', "hello.txt").expect("reads"), b"hello\n");
        machine.trim();
        let volume = control.volumes().remove(0);
        assert_eq!(volume.letter(), Some('D'));
        assert_eq!(volume.source, machine.disks()[0].volumes()[0].path());
        assert_eq!((volume.uuid.as_str(), volume.label.as_str()), (UUID, "Data"));
        control
            .unmount(Some(volume.record.volume.get()), false)
            .expect("unmounts");
        assert!(!exists('D'), "the letter is there still");
        assert!(control.volumes().is_empty());
        let (_, letter) = control
            .mount(&volume.source, None, &no_settings())
            .expect("mounts");
        assert_eq!(letter, Some('D'), "the one that it had");
        assert_eq!(read(machine, 'D', "hello.txt").expect("reads"), b"hello\n");
    });
}

#[test]
fn letters_go_with_the_driver_and_come_again_with_it() {
    let hive = Hive::default();
    let mut machine = machine(&hive, &["one.img", "mbr.img"]);
    machine.load_driver(&driver()).expect("the driver loads");
    machine.settle();
    let letters = |machine: &Machine| [0, 1].map(|disk: usize| letter_of(&machine.disks()[disk], 0));
    let before = letters(&machine);
    assert!(before.iter().all(Option::is_some));
    let report = machine.unload();
    assert!(report.is_clean(), "left behind:\n{report}");
    assert_eq!(before.map(|letter| letter.is_some_and(exists)), [false; 2]);
    // The other way round, so that the order of arrival is not what decides.
    let mut machine = self::machine(&hive, &["mbr.img", "one.img"]);
    machine.load_driver(&driver()).expect("the driver loads");
    machine.settle();
    let [first, second] = letters(&machine);
    assert_eq!([second, first], before);
    end(machine);
}

#[test]
fn a_letter_that_was_changed_in_windows_is_the_one_that_comes_again() {
    let hive = Hive::default();
    let image = |control: &Control| {
        let (_, letter) = control.mount(IMAGE, None, &no_settings()).expect("mounts");
        let volumes = control.volumes();
        let image = volumes.iter().find(|volume| volume.uuid == UUID);
        let image = image.expect("listed");
        assert_eq!(image.letter(), letter);
        image.record.volume.get()
    };
    let image_letter = || {
        let volumes = mountmgr::volumes();
        let image = volumes.iter().find(|volume| volume.device.contains("Image"));
        mountmgr::letter_of(&image.expect("it has a disk").device)
    };
    let change_images = |control: &Control, to: char| {
        let places = control.places();
        let place = places.iter().find(|place| place.uuid == UUID).expect("a place");
        mountmgr::change_letter(&place.device, to).expect("it is free");
    };
    // The driver is stopped with both mounted.
    on(&hive, &["one.img"], |machine, control| {
        let disk = machine.disks()[0].volumes()[0].path();
        assert_eq!(mountmgr::letter_of(&disk), Some('D'));
        mountmgr::change_letter(&disk, 'M').expect("it is free");
        let number = image(control);
        change_images(control, 'N');
        let volumes = control.volumes();
        let listed = volumes.iter().find(|volume| volume.record.volume.get() == number);
        assert_eq!(listed.expect("listed").letter(), Some('N'), "as it is now");
    });
    // The volumes are unmounted.
    on(&hive, &["one.img"], |machine, control| {
        let disk = machine.disks()[0].volumes()[0].path();
        assert_eq!(mountmgr::letter_of(&disk), Some('M'));
        let number = image(control);
        assert_eq!(image_letter(), Some('N'));
        change_images(control, 'P');
        control.unmount(Some(number), false).expect("unmounts");
        control.mount(&disk, None, &no_settings()).expect("mounts");
        mountmgr::change_letter(&disk, 'Q').expect("it is free");
        machine.trim();
        control.unmount(None, false).expect("unmounts");
        assert_eq!(mountmgr::letter_of(&disk), None);
    });
    on(&hive, &["one.img"], |machine, control| {
        let disk = machine.disks()[0].volumes()[0].path();
        assert_eq!(mountmgr::letter_of(&disk), Some('Q'));
        image(control);
        assert_eq!(image_letter(), Some('P'));
    });
}

#[test]
fn a_letter_that_a_mount_asked_for_or_none_outlives_a_changed_policy() {
    on(&Hive::default(), &[], |_, control| {
        let mounted_with = |asked: Asked<'_>| {
            control.mount_as(IMAGE, &asked).expect("mounts");
            let now = || control.volumes().remove(0).letter();
            let before = now();
            for rule in [LetterRule::Any, LetterRule::This(b'L'), LetterRule::Hidden] {
                control.keep(UUID, false, rule, &no_settings()).expect("kept");
                assert_eq!(now(), before, "{rule:?}");
                assert!(!exists('L'), "{rule:?}");
            }
            control.unmount(None, false).expect("unmounts");
            before
        };
        let none = Asked {
            no_letter: true,
            ..Asked::default()
        };
        assert_eq!(mounted_with(none), None);
        let this = Asked {
            letter: Some('T'),
            ..Asked::default()
        };
        assert_eq!(mounted_with(this), Some('T'));
        // The next mount that asks for nothing follows the policy, at once and later.
        let (_, letter) = control.mount(IMAGE, None, &no_settings()).expect("mounts");
        assert_eq!(letter, None, "hidden");
        let rule = LetterRule::This(b'L');
        control.keep(UUID, false, rule, &no_settings()).expect("kept");
        assert_eq!(control.volumes().remove(0).letter(), Some('L'));
    });
}

#[test]
fn places_and_superblocks_are_told() {
    on(&Hive::default(), &["mbr.img"], |machine, control| {
        control
            .mount("\\??\\C:\\other.img", None, &no_settings())
            .expect("mounts");
        let places = control.places();
        let shown: Vec<_> = places
            .iter()
            .map(|place| {
                let record = &place.record;
                (
                    (record.disk.get(), record.partition.get()),
                    place.kind.as_str(),
                    place.uuid.as_str(),
                    record.flags.get() & place_flags::LINUX != 0,
                )
            })
            .collect();
        let unknown = lklfs_control::reply::UNKNOWN;
        assert_eq!(
            shown,
            [
                ((0, 1), "ext4", UUID, true),
                ((0, 2), "vfat", "1234-ABCD", false),
                ((0, 3), "", "", false),
                ((unknown, 0), "ext4", OTHER, true),
            ]
        );
        assert_eq!(
            (places[0].record.start.get(), places[0].record.bytes.get()),
            (1 << 20, 8 << 20)
        );
        assert_eq!(places[0].letter(), letter_of(&machine.disks()[0], 0));
        assert_ne!(places[3].record.volume.get(), 0, "the image is mounted");
        let (offset, bytes) = control.superblock(&places[0].device).expect("told");
        let image = std::fs::read(folder().join("ext4.img")).expect("readable");
        assert_eq!((offset, bytes.as_slice()), (1024, &image[1024..2048]));
        assert_eq!(
            control.superblock(&places[2].device),
            Err(STATUS_UNRECOGNIZED_VOLUME)
        );
        let everyone = Control::status(machine);
        assert_eq!(everyone.places().len(), 4);
        assert_eq!(everyone.superblock(&places[0].device), Err(STATUS_ACCESS_DENIED));
        assert_eq!(
            everyone.keep(UUID, true, LetterRule::Any, &no_settings()),
            Err(STATUS_ACCESS_DENIED)
        );
        assert!(control.log().lines().all(|line| line.contains("lklfs: ")));
        assert!(control.log().contains("is at"), "{}", control.log());
    });
}

#[test]
fn a_fixed_disk_without_a_table_has_its_file_system_at_a_letter() {
    let hive = Hive::default();
    let file = |machine: &Machine, letter: char| read(machine, letter, "hello.txt");
    let bare = || DiskConfig::image(folder().join("ext4.img")).bare();
    let mut before = None;
    for _ in 0..2 {
        on(&hive, &["one.img"], |machine, control| {
            let disk = machine.attach(bare()).expect("plugs in");
            machine.settle();
            assert!(disk.volumes().is_empty(), "Windows makes no volume of it");
            let place = control.places().remove(1);
            assert_eq!((place.uuid.as_str(), place.record.partition.get()), (UUID, 0));
            let letter = place.letter().expect("a letter");
            assert!(
                before.is_none_or(|before| before == letter),
                "another after a restart"
            );
            before = Some(letter);
            assert_eq!(file(machine, letter).expect("reads"), b"hello\n");
            let volume = control.volumes().remove(0);
            assert_eq!(
                (volume.letter(), volume.source.as_str()),
                (Some(letter), place.device.as_str())
            );
            // By request it is the same volume at the same letter, until it is unmounted.
            let mounted = control
                .mount(&place.device, None, &no_settings())
                .expect("mounts");
            assert_eq!(mounted, (volume.record.volume.get(), Some(letter)));
            machine.trim();
            control.unmount(Some(mounted.0), false).expect("unmounts");
            assert!(!exists(letter));
            let (_, again) = control
                .mount(&place.device, None, &no_settings())
                .expect("mounts");
            assert_eq!(again, Some(letter));
            machine.pull(&disk);
            assert!(!exists(letter), "the letter of a disk that is gone");
            assert_eq!(control.places().len(), 1);
            let disk = machine.attach(bare()).expect("plugs in");
            machine.settle();
            assert_eq!(control.places().remove(1).letter(), Some(letter));
            control
                .keep(UUID, false, LetterRule::This(b'W'), &no_settings())
                .expect("kept");
            assert_eq!(control.places().remove(1).letter(), Some('W'));
            assert!(!exists(letter) && file(machine, 'W').is_ok());
            control
                .keep(UUID, false, LetterRule::Hidden, &no_settings())
                .expect("kept");
            assert!(!exists('W'));
            control.forget(UUID).expect("forgotten");
            control
                .keep(UUID, false, LetterRule::This(letter as u8), &no_settings())
                .expect("kept");
            assert_eq!(control.places().remove(1).letter(), Some(letter));
            machine.pull(&disk);
        });
    }
}
