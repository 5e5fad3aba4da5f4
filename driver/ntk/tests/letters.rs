//! Drive letters and the mount manager, which gives a volume one on arrival and refuses it a second: through the real
//! `lklfs.sys` in the NT kernel double.
//!
//! Every scenario ends with an unload that must leave nothing behind.

#![cfg(target_os = "linux")]

mod support;

use lklfs_control::LetterRule;
use ntos::cm::Hive;
use ntos::disk::DiskConfig;
use ntos::nt::*;
use ntos::user::Machine;
use ntos::{io::names, mountmgr};
use std::path::Path;
use std::sync::OnceLock;
use support::{Asked, Control, Said, driver, exists, read, run, table};

const UUID: &str = "6b8f3c1e-8d0a-4a6e-9d5c-00000000000a";
const OTHER: &str = "6b8f3c1e-8d0a-4a6e-9d5c-00000000000b";
const IMAGE: &str = "\\??\\C:\\ext4.img";
const COPY: &str = "\\??\\C:\\copy.img";

/// `ext4.img` and its copy `copy.img`, and two disks with a partition: `windows.img` (0x07, so that Windows gives it a letter
/// on arrival; ext4 with another UUID) and `linux.img` (0x83, ext4 with a third).
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let at = folder.path();
            std::fs::create_dir(at.join("tree")).expect("writable");
            std::fs::write(at.join("tree/hello.txt"), "hello\n").expect("writable");
            let make = |uuid: &str, name: &str| {
                run(
                    "mkfs.ext4",
                    &["-q", "-F", "-U", uuid, "-d", "tree", name, "8M"],
                    at,
                );
            };
            make(UUID, "ext4.img");
            make(OTHER, "other.img");
            make("6b8f3c1e-8d0a-4a6e-9d5c-00000000000c", "third.img");
            let bytes = |name: &str| std::fs::read(at.join(name)).expect("readable");
            std::fs::write(at.join("copy.img"), bytes("ext4.img")).expect("writable");
            std::fs::write(at.join("windows.img"), table(&[(0x07, &bytes("other.img"))])).expect("writable");
            std::fs::write(at.join("linux.img"), table(&[(0x83, &bytes("third.img"))])).expect("writable");
            folder
        })
        .path()
}

/// Runs `act` with the driver loaded on a machine whose mount manager gives letters on arrival if `automount` (`mountvol /E`
/// and `/N`), then unloads.
fn on(hive: &Hive, automount: bool, disks: &[&str], act: impl FnOnce(&mut Machine, &Control)) {
    let mut builder = Machine::builder()
        .drive_c(folder())
        .mount_manager(automount)
        .registry(hive.clone());
    for name in disks {
        builder = builder.disk(DiskConfig::image(folder().join(name)));
    }
    let mut machine = builder.start().expect("the images are good");
    machine.load_driver(&driver()).expect("the driver loads");
    machine.settle();
    let control = Control::open(&machine);
    act(&mut machine, &control);
    drop(control);
    let report = machine.unload();
    assert!(report.is_clean(), "left behind:\n{report}");
}

fn at(letter: char) -> Asked<'static> {
    Asked {
        letter: Some(letter),
        ..Asked::default()
    }
}

/// All the letters from D on that stand for anything.
fn letters() -> String {
    ('D'..='Z').filter(|letter| exists(*letter)).collect()
}

fn reads(machine: &Machine, letter: char) {
    assert_eq!(read(machine, letter, "hello.txt").expect("reads"), b"hello\n");
}

fn mount(control: &Control, name: &str, asked: &Asked<'_>) -> Result<(u64, Option<char>), NTSTATUS> {
    let mounted = control.mount_as(name, asked)?;
    let letter = char::from_u32(mounted.letter.get().into()).filter(char::is_ascii_uppercase);
    Ok((mounted.volume.get(), letter))
}

/// A letter that is none of the mount manager's stands for something else.
struct Foreign(char);

impl Foreign {
    fn new(machine: &Machine, letter: char) -> Self {
        machine.assign_letter(letter, "\\Device\\Nothing");
        Foreign(letter)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        names::remove_link(&names::wide(&format!("\\??\\{}:", self.0)));
    }
}

#[test]
fn an_image_has_the_letter_that_its_mount_asks_for_and_no_other() {
    for automount in [true, false] {
        on(&Hive::default(), automount, &[], |machine, control| {
            // The second time the mount manager may know the image.
            for letter in ['L', 'L', 'M'] {
                let (volume, given) = mount(control, IMAGE, &at(letter)).expect("mounts");
                assert_eq!(given, Some(letter));
                assert_eq!(letters(), letter.to_string());
                reads(machine, letter);
                control.unmount(Some(volume), false).expect("unmounts");
                assert_eq!(letters(), "");
            }
        });
    }
}

#[test]
fn an_image_that_the_mount_manager_remembers_at_another_letter_has_the_one_that_is_asked_for() {
    let hive = Hive::default();
    // Windows stops without the driver having been asked to: what the mount manager knew stays in its database.
    on(&hive, true, &[], |_, control| {
        mount(control, IMAGE, &at('E')).expect("mounts");
        mountmgr::keep_database();
    });
    on(&hive, true, &[], |machine, control| {
        let (_, letter) = mount(control, IMAGE, &at('L')).expect("mounts");
        assert_eq!(letter, Some('L'));
        assert_eq!(letters(), "L", "E: went");
        reads(machine, 'L');
    });
}

#[test]
fn a_partition_has_the_letter_that_its_mount_asks_for_in_place_of_the_one_that_it_got_on_arrival() {
    for automount in [true, false] {
        on(
            &Hive::default(),
            automount,
            &["windows.img"],
            |machine, control| {
                let path = machine.disks()[0].volumes()[0].path();
                assert_eq!(letters(), "D", "on arrival");
                let (volume, letter) = mount(control, &path, &at('L')).expect("mounts");
                assert_eq!(letter, Some('L'));
                assert_eq!(letters(), "L");
                reads(machine, 'L');
                assert_eq!(control.volumes().remove(0).letter(), Some('L'));
                machine.trim();
                control.unmount(Some(volume), false).expect("unmounts");
                assert_eq!(letters(), "");
                // The mount manager has noted that it wants no letter, and it gets one all the same.
                let (_, letter) = mount(control, &path, &Asked::default()).expect("mounts");
                assert_eq!(letter, Some('L'), "the one that it had");
            },
        );
    }
}

#[test]
fn a_letter_that_another_volume_has_is_refused_and_the_old_one_stays() {
    on(
        &Hive::default(),
        true,
        &["windows.img", "linux.img"],
        |machine, control| {
            let [first, second] = [0, 1].map(|disk: usize| machine.disks()[disk].volumes()[0].path());
            let (mine, others) = (mountmgr::letter_of(&first), mountmgr::letter_of(&second));
            let (mine, others) = (mine.expect("a letter"), others.expect("a letter"));
            assert_eq!(
                mount(control, &first, &at(others)),
                Err(STATUS_OBJECT_NAME_COLLISION)
            );
            assert_eq!(
                mount(control, IMAGE, &at(others)),
                Err(STATUS_OBJECT_NAME_COLLISION)
            );
            // And one that the mount manager knows nothing of: the old letter goes and comes back.
            let foreign = Foreign::new(machine, 'T');
            assert_eq!(
                mount(control, &first, &at('T')),
                Err(STATUS_OBJECT_NAME_COLLISION)
            );
            assert_eq!(mount(control, IMAGE, &at('T')), Err(STATUS_OBJECT_NAME_COLLISION));
            drop(foreign);
            assert_eq!(mountmgr::letter_of(&first), Some(mine));
            assert_eq!(mountmgr::letter_of(&second), Some(others));
            assert_eq!(letters(), "DE");
            reads(machine, mine);
            reads(machine, others);
            machine.settle();
            assert_eq!(ntos::hostfs::open_files(), 0, "the image is open still");
        },
    );
}

#[test]
fn two_copies_of_an_image_have_a_letter_each() {
    for automount in [true, false] {
        on(&Hive::default(), automount, &[], |machine, control| {
            let (one, first) = mount(control, IMAGE, &at('Q')).expect("mounts");
            let (two, second) = mount(control, COPY, &Asked::default()).expect("the copy mounts");
            let second = second.expect("it has a letter");
            assert_eq!(first, Some('Q'));
            assert_eq!(letters(), format!("{second}Q"));
            reads(machine, 'Q');
            reads(machine, second);
            control.unmount(Some(one), false).expect("unmounts");
            assert_eq!(letters(), second.to_string());
            // What comes again asks for the letter that the last one had, which the copy has.
            let (_, third) = mount(control, IMAGE, &Asked::default()).expect("mounts");
            assert!(third.is_some_and(|third| third != second));
            control.unmount(Some(two), false).expect("unmounts");
        });
    }
}

#[test]
fn a_policy_that_names_a_letter_is_in_force_at_once_or_says_that_it_is_not() {
    let none = Said::default();
    for automount in [true, false] {
        on(
            &Hive::default(),
            automount,
            &["windows.img"],
            |machine, control| {
                let path = machine.disks()[0].volumes()[0].path();
                mount(control, IMAGE, &Asked::default()).expect("mounts");
                assert_eq!(letters(), "DE");
                let keep =
                    |uuid: &str, letter: u8| control.keep(uuid, false, LetterRule::This(letter), &none);
                assert_eq!(keep(OTHER, b'S'), Ok(()));
                assert_eq!(keep(UUID, b'U'), Ok(()));
                assert_eq!(letters(), "SU", "a partition's and an image's");
                reads(machine, 'S');
                reads(machine, 'U');
                assert_eq!(keep(OTHER, b'U'), Err(STATUS_OBJECT_NAME_COLLISION));
                assert_eq!(keep(UUID, b'S'), Err(STATUS_OBJECT_NAME_COLLISION));
                let foreign = Foreign::new(machine, 'T');
                assert_eq!(keep(UUID, b'T'), Err(STATUS_OBJECT_NAME_COLLISION));
                drop(foreign);
                assert_eq!(letters(), "SU", "as they were");
                assert_eq!(mountmgr::letter_of(&path), Some('S'));
                // It is kept all the same, for when the letter is free.
                assert!(
                    control
                        .policies()
                        .iter()
                        .any(|(uuid, words)| uuid == UUID && words.contains("This(84)"))
                );
                control.unmount(None, true).expect("unmounts");
                let (_, letter) = mount(control, IMAGE, &Asked::default()).expect("mounts");
                assert_eq!(letter, Some('T'));
            },
        );
    }
}

#[test]
fn a_volume_whose_letter_was_taken_away_gets_one_when_it_is_asked_for() {
    on(&Hive::default(), true, &["linux.img"], |machine, control| {
        let path = machine.disks()[0].volumes()[0].path();
        let letter = mountmgr::letter_of(&path).expect("a letter");
        mountmgr::take_letter(letter).expect("it has it");
        // While another has the one that is remembered, the mount manager would give it none.
        let foreign = Foreign::new(machine, letter);
        let (_, given) = mount(control, &path, &Asked::default()).expect("mounts");
        let given = given.expect("a letter");
        assert_ne!(given, letter);
        reads(machine, given);
        drop(foreign);
    });
}

#[test]
fn letters_come_again_after_a_restart_although_the_mount_manager_has_noted_that_none_is_wanted() {
    let hive = Hive::default();
    let mut before = None;
    for _ in 0..2 {
        on(&hive, true, &["windows.img", "linux.img"], |machine, _| {
            let now =
                [0, 1].map(|disk: usize| mountmgr::letter_of(&machine.disks()[disk].volumes()[0].path()));
            assert!(now.iter().all(Option::is_some), "{now:?}");
            assert!(before.is_none_or(|before| before == now), "{before:?}, {now:?}");
            before = Some(now);
        });
    }
}
