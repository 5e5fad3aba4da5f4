//! Image files as disks, through the real `lklfs.sys` in the NT kernel double: mounted by a request to the control
//! device from a file on drive C:, given a letter by the mount manager, read, and taken away again.
//!
//! Every scenario ends with an unload that must leave no pool, thread, handle, link or open file behind.

#![cfg(target_os = "linux")]

mod support;

use lklfs_control::reply::{self, status_flags, volume_flags};
use lklfs_control::{Code, LogSource, Request};
use ntos::nt::*;
use ntos::user::{Machine, OpenAs, cancel_synchronous};
use ntos::verifier::hang;
use ntos::{hostfs, mountmgr};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use support::{Asked, Control, driver, exists, read, run};

/// The length of `data.bin`: not a multiple of anything.
const DATA: usize = 765_432;

/// The bytes of `data.bin`: a position decides each, so that a wrong place shows.
fn data() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let mut state = 1u32;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..DATA).map(next).collect()
    })
}

/// A folder with one ext4 volume in every kind of image, and with files that are none. Made once.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let at = folder.path();
            std::fs::create_dir(at.join("tree")).expect("writable");
            std::fs::write(at.join("tree/data.bin"), data()).expect("writable");
            std::fs::write(at.join("tree/hello.txt"), "hello\n").expect("writable");
            run(
                "mkfs.ext4",
                &["-q", "-F", "-L", "Image", "-d", "tree", "ext4.img", "12M"],
                at,
            );
            for (format, options, name) in [
                ("qcow2", "compat=1.1", "ext4.qcow2"),
                ("qcow2", "compat=0.10", "old.qcow2"),
                ("vhdx", "subformat=dynamic", "ext4.vhdx"),
                ("vpc", "subformat=dynamic,force_size=on", "ext4.vhd"),
            ] {
                run(
                    "qemu-img",
                    &["convert", "-O", format, "-o", options, "ext4.img", name],
                    at,
                );
            }
            run(
                "qemu-img",
                &["convert", "-c", "-O", "qcow2", "ext4.img", "packed.qcow2"],
                at,
            );
            std::fs::create_dir(at.join("child")).expect("writable");
            let parent = [
                "create",
                "-f",
                "qcow2",
                "-b",
                "../ext4.vhdx",
                "-F",
                "vhdx",
                "child/child.qcow2",
            ];
            run("qemu-img", &parent, at);
            partitioned(at);
            installed(at);
            let volume = std::fs::read(at.join("ext4.img")).expect("readable");
            std::fs::write(at.join("cut.img"), &volume[..volume.len() - (1 << 20)]).expect("writable");
            let disk = std::fs::read(at.join("parts.img")).expect("readable");
            std::fs::write(at.join("cut-parts.img"), &disk[..disk.len() - (1 << 20)]).expect("writable");
            std::fs::write(at.join("text.txt"), "not a disk\n".repeat(1000)).expect("writable");
            let whole = std::fs::read(at.join("ext4.qcow2")).expect("readable");
            std::fs::write(at.join("cut.qcow2"), &whole[..whole.len() / 2]).expect("writable");
            folder
        })
        .path()
}

/// `parts.img`: an MBR whose first partition holds nothing and whose second holds the volume.
fn partitioned(at: &Path) {
    let volume = std::fs::read(at.join("ext4.img")).expect("readable");
    let mut disk = vec![0u8; 2 << 20];
    disk.extend_from_slice(&volume);
    for (slot, (start, sectors)) in [(2048u32, 2048u32), (4096, (volume.len() / 512) as u32)]
        .into_iter()
        .enumerate()
    {
        let entry = &mut disk[446 + slot * 16..][..16];
        entry[4] = 0x83;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..16].copy_from_slice(&sectors.to_le_bytes());
    }
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(at.join("parts.img"), disk).expect("writable");
}

/// `installed.img`: as an installer leaves a disk: what boots it, then the volume. `native.img`: the same, counted in sectors
/// of 4096 bytes.
fn installed(at: &Path) {
    let volume = std::fs::read(at.join("ext4.img")).expect("readable");
    let boot = std::fs::File::create(at.join("boot.img")).expect("writable");
    boot.set_len(4 << 20).expect("writable");
    run("/usr/sbin/mkfs.vfat", &["boot.img"], at);
    let boot = std::fs::read(at.join("boot.img")).expect("readable");
    for (name, unit) in [("installed.img", 512), ("native.img", 4096)] {
        let mut disk = vec![0u8; 1 << 20];
        for (slot, (kind, content)) in [(0xef, &boot), (0x83, &volume)].into_iter().enumerate() {
            let (start, sectors) = ((disk.len() / unit) as u32, (content.len() / unit) as u32);
            let entry = &mut disk[446 + slot * 16..][..16];
            entry[4] = kind;
            entry[8..12].copy_from_slice(&start.to_le_bytes());
            entry[12..16].copy_from_slice(&sectors.to_le_bytes());
            disk.extend_from_slice(content);
        }
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        std::fs::write(at.join(name), disk).expect("writable");
    }
}

/// Runs `act` on a machine with the folder as C:, then unloads and looks at what is left.
fn on(manager: Option<bool>, act: impl FnOnce(&Machine)) {
    let mut builder = Machine::builder().drive_c(folder());
    if let Some(automount) = manager {
        builder = builder.mount_manager(automount);
    }
    let mut machine = builder.start().expect("nothing can go wrong");
    machine.load_driver(&driver()).expect("the driver loads");
    act(&machine);
    assert_eq!(mountmgr::volumes(), [], "the mount manager knows volumes still");
    let report = machine.unload();
    assert!(report.is_clean(), "left behind:\n{report}");
}

fn mount(
    control: &Control,
    path: &str,
    partition: Option<u32>,
    letter: Option<char>,
) -> Result<reply::Mounted, NTSTATUS> {
    let asked = Asked {
        partition,
        letter,
        ..Asked::default()
    };
    control.mount_as(path, &asked)
}

fn letter(reply: &reply::Mounted) -> char {
    char::from_u32(reply.letter.get().into())
        .filter(char::is_ascii_uppercase)
        .expect("it has a letter")
}

#[test]
fn an_image_of_every_format_gets_a_letter_and_gives_its_bytes() {
    on(Some(true), |machine| {
        let control = Control::open(machine);
        for name in [
            "ext4.img",
            "ext4.qcow2",
            "old.qcow2",
            "packed.qcow2",
            "ext4.vhdx",
            "ext4.vhd",
            "child\\child.qcow2",
            "parts.img",
        ] {
            let reply = mount(&control, &format!("\\??\\C:\\{name}"), None, None)
                .unwrap_or_else(|status| panic!("{name}: {}", ntos::nt::name(status)));
            let letter = letter(&reply);
            assert_eq!(
                read(machine, letter, "hello.txt").expect("reads"),
                b"hello\n",
                "{name}"
            );
            assert!(
                read(machine, letter, "data.bin").expect("reads") == data(),
                "{name}"
            );
            assert_eq!(control.unmount(Some(reply.volume.get()), false), Ok(()), "{name}");
            assert!(!exists(letter), "{name} keeps its letter");
            machine.settle();
            assert_eq!(hostfs::open_files(), 0, "{name} is open still");
        }
    });
}

#[test]
fn a_partition_is_chosen_by_number() {
    on(Some(true), |machine| {
        let control = Control::open(machine);
        let path = "\\??\\C:\\parts.img";
        let reply = mount(&control, path, Some(2), Some('P')).expect("mounts");
        assert_eq!(letter(&reply), 'P');
        assert!(read(machine, 'P', "data.bin").expect("reads") == data());
        assert_eq!(control.unmount(Some(reply.volume.get()), false), Ok(()));
        assert_eq!(
            mount(&control, path, Some(1), None),
            Err(STATUS_UNRECOGNIZED_VOLUME)
        );
        assert_eq!(mount(&control, path, Some(3), None), Err(STATUS_NO_SUCH_DEVICE));
        assert_eq!(
            mount(&control, path, Some(0), None),
            Err(STATUS_UNRECOGNIZED_VOLUME)
        );
    });
}

#[test]
fn without_a_number_the_root_is_mounted_and_not_what_boots_it() {
    on(Some(true), |machine| {
        let control = Control::open(machine);
        for name in ["installed.img", "native.img"] {
            let path = format!("\\??\\C:\\{name}");
            let reply = mount(&control, &path, None, None)
                .unwrap_or_else(|status| panic!("{name}: {}", ntos::nt::name(status)));
            let at = letter(&reply);
            assert_eq!(
                read(machine, at, "hello.txt").expect("reads"),
                b"hello\n",
                "{name}"
            );
            assert_eq!(control.unmount(Some(reply.volume.get()), false), Ok(()));
            // By its number what boots it can be had.
            let reply = mount(&control, &path, Some(1), None).expect("mounts");
            assert_eq!(control.unmount(Some(reply.volume.get()), false), Ok(()));
        }
    });
}

#[test]
fn an_image_that_was_cut_off_gives_what_it_has_with_a_table_and_without() {
    on(Some(true), |machine| {
        let control = Control::open(machine);
        for name in ["cut.img", "cut-parts.img"] {
            let reply = mount(&control, &format!("\\??\\C:\\{name}"), None, None)
                .unwrap_or_else(|status| panic!("{name}: {}", ntos::nt::name(status)));
            let at = letter(&reply);
            assert_eq!(
                read(machine, at, "hello.txt").expect("reads"),
                b"hello\n",
                "{name}"
            );
            // What is missing is an error, never zeros.
            let bytes = read(machine, at, "data.bin");
            assert!(
                bytes.is_err() || bytes.is_ok_and(|bytes| bytes == data()),
                "{name}: invented bytes"
            );
            assert_eq!(control.unmount(Some(reply.volume.get()), false), Ok(()));
        }
    });
}

#[test]
fn what_cannot_be_mounted_says_why_and_leaves_nothing() {
    on(Some(true), |machine| {
        let control = Control::open(machine);
        hostfs::lock("old.qcow2");
        for (name, status) in [
            ("missing.img", STATUS_OBJECT_NAME_NOT_FOUND),
            ("missing\\ext4.img", STATUS_OBJECT_PATH_NOT_FOUND),
            ("old.qcow2", STATUS_SHARING_VIOLATION),
            ("text.txt", STATUS_UNRECOGNIZED_VOLUME),
            ("tree", STATUS_FILE_IS_A_DIRECTORY),
        ] {
            let mounted = mount(&control, &format!("\\??\\C:\\{name}"), None, None);
            assert_eq!(mounted, Err(status), "{name}");
        }
        // Of an image that is cut off, what is missing is an error, never zeros.
        if let Ok(reply) = mount(&control, "\\??\\C:\\cut.qcow2", None, None) {
            let bytes = read(machine, letter(&reply), "data.bin");
            assert!(
                bytes.is_err() || bytes.is_ok_and(|bytes| bytes == data()),
                "invented bytes"
            );
            assert_eq!(control.unmount(Some(reply.volume.get()), false), Ok(()));
            machine.settle();
        }
        assert_eq!(hostfs::open_files(), 0);
        assert!(control.volumes().is_empty());
        assert_eq!(
            control.unmount(Some(77), false),
            Err(STATUS_OBJECT_NAME_NOT_FOUND)
        );
    });
}

#[test]
fn a_letter_that_is_taken_stays_with_its_owner() {
    on(Some(true), |machine| {
        let control = Control::open(machine);
        let first = mount(&control, "\\??\\C:\\ext4.img", None, Some('Q')).expect("mounts");
        assert_eq!(
            mount(&control, "\\??\\C:\\ext4.vhdx", None, Some('Q')),
            Err(STATUS_OBJECT_NAME_COLLISION)
        );
        assert_eq!(hostfs::open_files(), 1);
        assert_eq!(read(machine, 'Q', "hello.txt").expect("reads"), b"hello\n");
        // The same volume twice, in two images: both have a letter.
        let second = mount(&control, "\\??\\C:\\ext4.vhdx", None, None).expect("mounts");
        assert_ne!(letter(&second), 'Q');
        assert_eq!(
            read(machine, letter(&second), "hello.txt").expect("reads"),
            b"hello\n"
        );
        assert_eq!(control.unmount(Some(first.volume.get()), false), Ok(()));
        assert_eq!(
            read(machine, letter(&second), "hello.txt").expect("reads"),
            b"hello\n"
        );
        assert_eq!(control.unmount(Some(second.volume.get()), false), Ok(()));
    });
}

#[test]
fn letters_are_given_without_a_mount_manager() {
    on(None, |machine| {
        let control = Control::open(machine);
        let wanted = mount(&control, "\\??\\C:\\ext4.img", None, Some('L')).expect("mounts");
        let any = mount(&control, "\\??\\C:\\ext4.qcow2", None, None).expect("mounts");
        assert_eq!(letter(&wanted), 'L');
        assert_eq!(letter(&any), 'D');
        assert_eq!(read(machine, 'L', "hello.txt").expect("reads"), b"hello\n");
        assert_eq!(read(machine, 'D', "hello.txt").expect("reads"), b"hello\n");
        assert_eq!(control.unmount(Some(wanted.volume.get()), false), Ok(()));
        assert_eq!(control.unmount(Some(any.volume.get()), false), Ok(()));
        assert!(!exists('L') && !exists('D'));
    });
}

#[test]
fn an_image_in_use_is_unmounted_by_force_only() {
    on(Some(true), |machine| {
        let control = Control::open(machine);
        let reply = mount(&control, "\\??\\C:\\ext4.img", None, Some('F')).expect("mounts");
        let handle = machine
            .open("\\??\\F:\\data.bin", OpenAs::read().uncached())
            .expect("opens");
        assert_eq!(
            control.unmount(Some(reply.volume.get()), false),
            Err(STATUS_ACCESS_DENIED)
        );
        assert_eq!(handle.read(Some(0), 512).status, STATUS_SUCCESS);
        assert_eq!(control.unmount(Some(reply.volume.get()), true), Ok(()));
        assert!(!exists('F'));
        assert!(
            !nt_success(handle.read(Some(4096), 512).status),
            "a dismounted volume is read"
        );
        drop(handle);
        machine.settle();
        assert_eq!(hostfs::open_files(), 0);
    });
}

#[test]
fn an_image_whose_server_is_gone_fails_and_can_be_unmounted() {
    on(Some(true), |machine| {
        let control = Control::open(machine);
        let reply = mount(&control, "\\??\\C:\\ext4.img", None, Some('G')).expect("mounts");
        hostfs::vanish();
        let started = std::time::Instant::now();
        assert!(read(machine, 'G', "data.bin").is_err(), "bytes from nowhere");
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
        assert_eq!(control.unmount(Some(reply.volume.get()), true), Ok(()));
        assert!(!exists('G'));
    });
}

#[test]
fn volumes_are_listed_with_their_images() {
    on(Some(true), |machine| {
        let control = Control::open(machine);
        assert!(control.volumes().is_empty());
        let one = mount(&control, "\\??\\C:\\ext4.img", None, None).expect("mounts");
        let two = mount(&control, "\\??\\C:\\parts.img", None, None).expect("mounts");
        let listed = control.volumes();
        let numbers: Vec<u64> = listed.iter().map(|volume| volume.record.volume.get()).collect();
        assert_eq!(numbers, [one.volume.get(), two.volume.get()]);
        for (volume, (reply, path)) in listed.iter().zip([(&one, "ext4.img"), (&two, "parts.img")]) {
            let record = &volume.record;
            assert_eq!(
                (volume.fs_name.as_str(), volume.label.as_str()),
                ("ext4", "Image")
            );
            assert_eq!(volume.source, format!("\\??\\C:\\{path}"));
            assert_eq!(record.letter, reply.letter);
            assert_eq!(record.flags.get(), volume_flags::IMAGE);
            let total = record.total.get();
            assert!(total > 8 << 20 && total <= 12 << 20, "{total}");
            assert!(record.bytes_read.get() > 0);
        }
        // A list that is longer than the room goes on behind the last volume.
        let short = control
            .ask_for(Request::List { after: 0 }, 24 + 200)
            .expect("one fits");
        let (head, _) = reply::volumes(&short).expect("a list");
        assert_eq!((head.count.get(), head.more.get()), (1, 1));
        let rest = control
            .ask(Request::List {
                after: one.volume.get(),
            })
            .expect("lists");
        assert_eq!(reply::volumes(&rest).expect("a list").0.count.get(), 1);
        assert_eq!(control.unmount(None, false), Ok(()));
        assert!(control.volumes().is_empty());
    });
}

#[test]
fn the_status_device_tells_everybody_and_changes_nothing() {
    on(Some(true), |machine| {
        let control = Control::open(machine);
        let mounted = mount(&control, "\\??\\C:\\ext4.img", None, None).expect("mounts");
        let everybody = Control::status(machine);
        let bytes = everybody.ask(Request::Status).expect("tells");
        let (status, _) = reply::read::<reply::Status>(&bytes).expect("a status");
        assert_eq!(status.flags.get(), status_flags::LINUX_RUNNING);
        assert_eq!(status.volumes.get(), 1);
        assert!(status.boot_time.get() > 0 && status.running_time.get() > 0);
        assert!(status.pool_free.get() > 0 && status.pool_free.get() < status.pool_size.get());
        let bytes = everybody.ask(Request::Version).expect("tells");
        let (version, _) = reply::read::<reply::Version>(&bytes).expect("a version");
        assert!(version.linux_release.starts_with(b"6."));
        assert_eq!(everybody.volumes().len(), 1);
        let volume = Some(mounted.volume.get());
        assert_eq!(everybody.unmount(volume, true), Err(STATUS_ACCESS_DENIED));
        let log = Request::Log {
            source: LogSource::Linux,
            position: 0,
        };
        assert_eq!(everybody.ask(log), Err(STATUS_ACCESS_DENIED));
        assert_eq!(control.unmount(volume, false), Ok(()));
    });
}

#[test]
fn the_log_goes_on_where_it_was_left() {
    on(Some(true), |machine| {
        let control = Control::open(machine);
        let read = |position| {
            let log = Request::Log {
                source: LogSource::Linux,
                position,
            };
            let bytes = control.ask_for(log, 512).expect("a log");
            let (head, text) = reply::read::<reply::Log>(&bytes).expect("a log");
            (head.next.get(), head.lost.get(), text.to_vec())
        };
        assert_eq!(read(0), (0, 0, Vec::new()));
        let mounted = mount(&control, "\\??\\C:\\ext4.img", None, None).expect("mounts");
        let (mut position, mut text) = (0, Vec::new());
        loop {
            let (next, lost, piece) = read(position);
            assert_eq!(lost, 0);
            assert_eq!(next, position + piece.len() as u64);
            if piece.is_empty() {
                break;
            }
            text.extend_from_slice(&piece);
            position = next;
        }
        assert!(
            String::from_utf8_lossy(&text).contains('\n'),
            "Linux says nothing at boot"
        );
        assert_eq!(control.unmount(Some(mounted.volume.get()), false), Ok(()));
    });
}

#[test]
fn many_images_at_once_and_an_unload_with_all_of_them() {
    on(None, |machine| {
        let control = Control::open(machine);
        for number in 0..24 {
            let name = if number % 2 == 0 { "ext4.img" } else { "ext4.qcow2" };
            let reply = mount(&control, &format!("\\??\\C:\\{name}"), None, None).expect("mounts");
            // D to Z are 23 letters.
            assert_eq!(reply.letter.get() == 0, number == 23);
            if reply.letter.get() != 0 {
                assert_eq!(
                    read(machine, letter(&reply), "hello.txt").expect("reads"),
                    b"hello\n"
                );
            }
        }
        assert_eq!(control.volumes().len(), 24);
    });
}

#[test]
fn requests_of_every_wrong_shape_are_refused() {
    on(Some(true), |machine| {
        let control = Control::open(machine);
        for code in Code::ALL {
            for length in [0, 1, 15, 16, 17, 24, 32, 44, 48, 4096, 200_000] {
                for fill in [0x00, 0x01, 0xff] {
                    for room in [0, 1, 16, 4096] {
                        let outcome = control.0.ioctl(code.number(), &vec![fill; length], room);
                        assert!(!nt_success(outcome.status), "{code:?} {length} {fill} {room}");
                        assert!(outcome.information <= room);
                    }
                }
            }
        }
        for code in [0, 0x9c4b_3ffc, Code::Mount.number() | 3] {
            let outcome = control.0.ioctl(code, &[0; 64], 64);
            assert_eq!(outcome.status, STATUS_INVALID_DEVICE_REQUEST, "{code:#x}");
        }
        assert!(control.volumes().is_empty());
    });
}

/// How long a request may take to end, by the wall clock, once an image is unmounted by force or its file fails.
const LIMIT: Duration = Duration::from_secs(5);

/// A copy of `ext4.img` under another name in the folder, taken away at the end.
struct Copied(PathBuf);

impl Copied {
    fn new(name: &str) -> Copied {
        let path = folder().join(name);
        std::fs::copy(folder().join("ext4.img"), &path).expect("writable");
        Copied(path)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn an_image_that_is_cut_while_it_is_mounted_fails_behind_the_cut() {
    let image = Copied::new("to be cut.img");
    on(Some(true), |machine| {
        let _limit = hang::watch("an image that was cut", LIMIT * 2);
        let control = Control::open(machine);
        let cut = mount(&control, "\\??\\C:\\to be cut.img", None, None).expect("mounts");
        let whole = mount(&control, "\\??\\C:\\ext4.qcow2", None, None).expect("mounts");
        assert_eq!(
            read(machine, letter(&cut), "hello.txt").expect("reads"),
            b"hello\n"
        );
        let file = std::fs::File::options()
            .write(true)
            .open(&image.0)
            .expect("writable");
        file.set_len(1 << 20).expect("is cut");
        let bytes = read(machine, letter(&cut), "data.bin");
        assert_eq!(bytes, Err(STATUS_IO_DEVICE_ERROR), "invented bytes");
        assert!(read(machine, letter(&whole), "data.bin").expect("reads") == data());
        assert_eq!(control.unmount(Some(cut.volume.get()), false), Ok(()));
        assert_eq!(control.unmount(Some(whole.volume.get()), false), Ok(()));
        machine.settle();
        assert_eq!(hostfs::open_files(), 0);
    });
}

#[test]
fn holes_are_zeros_and_what_is_beyond_the_end_is_not() {
    // The same volume with holes for its zeros, and one whose file ends before the volume does.
    run("cp", &["--sparse=always", "ext4.img", "holes.img"], folder());
    let short = Copied::new("short.img");
    let file = std::fs::File::options()
        .write(true)
        .open(&short.0)
        .expect("writable");
    file.set_len(8 << 20).expect("is cut");
    on(Some(true), |machine| {
        let control = Control::open(machine);
        let reply = mount(&control, "\\??\\C:\\holes.img", None, None).expect("mounts");
        assert!(read(machine, letter(&reply), "data.bin").expect("reads") == data());
        assert_eq!(control.unmount(Some(reply.volume.get()), false), Ok(()));
        // A volume that is larger than its file gives what is there.
        let reply = mount(&control, "\\??\\C:\\short.img", None, None).expect("mounts");
        match read(machine, letter(&reply), "data.bin") {
            Ok(bytes) => assert!(bytes == data(), "invented bytes"),
            Err(status) => assert_eq!(status, STATUS_IO_DEVICE_ERROR),
        }
        assert_eq!(control.unmount(Some(reply.volume.get()), false), Ok(()));
        machine.settle();
        assert_eq!(hostfs::open_files(), 0);
    });
}

#[test]
fn a_backing_file_that_is_lost_fails_what_is_read_from_it() {
    on(Some(true), |machine| {
        let _limit = hang::watch("a lost backing file", LIMIT * 2);
        let control = Control::open(machine);
        let child = mount(&control, "\\??\\C:\\child\\child.qcow2", None, None).expect("mounts");
        let other = mount(&control, "\\??\\C:\\ext4.img", None, None).expect("mounts");
        assert_eq!(hostfs::open_files(), 3);
        hostfs::lose("ext4.vhdx");
        assert!(
            read(machine, letter(&child), "data.bin").is_err(),
            "bytes from nowhere"
        );
        assert!(read(machine, letter(&other), "data.bin").expect("reads") == data());
        assert_eq!(control.unmount(Some(child.volume.get()), false), Ok(()));
        // While its parent is lost, the image cannot be mounted, and says so.
        let again = mount(&control, "\\??\\C:\\child\\child.qcow2", None, None);
        assert_eq!(again, Err(STATUS_IO_DEVICE_ERROR));
        assert_eq!(control.unmount(Some(other.volume.get()), false), Ok(()));
        machine.settle();
        assert_eq!(hostfs::open_files(), 0);
    });
}

#[test]
fn an_image_on_a_server_that_hangs_is_unmounted_by_force() {
    let _image = Copied::new("far.img");
    on(Some(true), |machine| {
        let _limit = hang::watch("an image on a server that hangs", LIMIT * 3);
        let control = Control::open(machine);
        let far = mount(&control, "\\??\\C:\\far.img", None, Some('S')).expect("mounts");
        let near = mount(&control, "\\??\\C:\\ext4.img", None, None).expect("mounts");
        assert_eq!(read(machine, 'S', "hello.txt").expect("reads"), b"hello\n");
        hostfs::hang("far.img");
        std::thread::scope(|scope| {
            // A cached read, one past the cache, and a view.
            let readers = [OpenAs::read(), OpenAs::read().uncached()].map(|how| {
                scope.spawn(move || {
                    let handle = machine.open("\\??\\S:\\data.bin", how)?;
                    handle.read(Some(0), 512 * 1024).into_result()
                })
            });
            while hostfs::held() == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(50));
            // Others are not in the way of it: images that are there, that come, and that go.
            let started = Instant::now();
            assert!(read(machine, letter(&near), "data.bin").expect("reads") == data());
            let third = mount(&control, "\\??\\C:\\ext4.qcow2", None, None).expect("mounts");
            assert!(read(machine, letter(&third), "data.bin").expect("reads") == data());
            assert_eq!(control.unmount(Some(third.volume.get()), false), Ok(()));
            assert_eq!(control.volumes().len(), 2);
            assert!(started.elapsed() < LIMIT);
            let started = Instant::now();
            assert_eq!(control.unmount(Some(far.volume.get()), true), Ok(()));
            let unmounted = started.elapsed();
            for reader in readers {
                let status = reader
                    .join()
                    .expect("ends")
                    .map(|_| ())
                    .expect_err("bytes from nowhere");
                assert!(
                    matches!(status, STATUS_NO_SUCH_DEVICE | STATUS_VOLUME_DISMOUNTED),
                    "{}",
                    ntos::nt::name(status)
                );
            }
            let ended = started.elapsed();
            assert!(
                ended < LIMIT,
                "unmounted in {unmounted:?}, reads ended in {ended:?}"
            );
            println!("figures: an image that hangs was unmounted by force in {unmounted:?}");
        });
        assert!(!exists('S'));
        // The file is open until the server says something; then it is not.
        assert!(hostfs::held() > 0);
        hostfs::answer();
        let started = Instant::now();
        while hostfs::open_files() != 1 {
            assert!(started.elapsed() < LIMIT, "the image is open still");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(control.unmount(Some(near.volume.get()), false), Ok(()));
    });
}

#[test]
fn a_mount_from_a_server_that_hangs_keeps_nobody_else_waiting() {
    let _image = Copied::new("far too.img");
    on(Some(true), |machine| {
        let _limit = hang::watch("a mount from a server that hangs", LIMIT * 2);
        let control = Control::open(machine);
        hostfs::hang("far too.img");
        std::thread::scope(|scope| {
            let mounting = scope.spawn(|| {
                let own = Control::open(machine);
                mount(&own, "\\??\\C:\\far too.img", None, None).map(drop)
            });
            while hostfs::held() == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            let other = mount(&control, "\\??\\C:\\ext4.img", None, None).expect("mounts");
            assert!(read(machine, letter(&other), "data.bin").expect("reads") == data());
            assert_eq!(control.unmount(None, true), Ok(()));
            hostfs::answer();
            let refused = mounting.join().expect("ends");
            assert_eq!(refused, Err(STATUS_IO_DEVICE_ERROR));
        });
        machine.settle();
        assert_eq!(hostfs::open_files(), 0);
    });
}

/// Requests to the driver itself that wait for a server, or for a disk, and are cancelled.
#[test]
fn a_mount_that_nobody_waits_for_any_more_is_taken_back() {
    let _image = Copied::new("far away.img");
    on(Some(true), |machine| {
        let _limit = hang::watch("a cancelled mount", LIMIT * 2);
        let control = Control::open(machine);
        let near = mount(&control, "\\??\\C:\\ext4.img", None, None).expect("mounts");
        // At its first read, and while Linux mounts it; with a server that has lost what it was asked for, and with one that
        // has not, so that the mount succeeds after all.
        for (reads, answer) in [
            (0, hostfs::answer as fn()),
            (0, hostfs::serve),
            (12, hostfs::answer),
            (12, hostfs::serve),
        ] {
            hostfs::hang_after("far away.img", reads);
            std::thread::scope(|scope| {
                let mounting = scope.spawn(|| {
                    let own = Control::open(machine);
                    mount(&own, "\\??\\C:\\far away.img", None, None).map(drop)
                });
                while hostfs::held() == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let started = Instant::now();
                assert_eq!(cancel_synchronous(mounting.thread().id()), 1);
                assert_eq!(mounting.join().expect("ends"), Err(STATUS_CANCELLED));
                assert!(started.elapsed() < Duration::from_secs(1));
            });
            assert!(read(machine, letter(&near), "data.bin").expect("reads") == data());
            answer();
            let started = Instant::now();
            while hostfs::open_files() != 1 || control.volumes().len() != 1 {
                assert!(started.elapsed() < LIMIT, "it is still there");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        assert!(control.log().contains("is not wanted any more"));
        assert_eq!(control.unmount(Some(near.volume.get()), false), Ok(()));
    });
}

#[test]
fn a_look_at_a_superblock_that_waits_is_cancelled() {
    let _image = Copied::new("far off.img");
    on(Some(true), |machine| {
        let _limit = hang::watch("a cancelled look", LIMIT * 2);
        let control = Control::open(machine);
        let far = mount(&control, "\\??\\C:\\far off.img", None, Some('S')).expect("mounts");
        hostfs::hang("far off.img");
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let handle = machine.open("\\??\\S:\\data.bin", OpenAs::read())?;
                handle.read(Some(0), 64 * 1024).into_result()
            });
            while hostfs::held() == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            let looking = scope.spawn(|| {
                Control::open(machine)
                    .superblock("\\Device\\LklfsImage1")
                    .map(drop)
            });
            std::thread::sleep(Duration::from_millis(50));
            assert!(!looking.is_finished(), "the superblock was read");
            let started = Instant::now();
            assert_eq!(cancel_synchronous(looking.thread().id()), 1);
            assert_eq!(looking.join().expect("ends"), Err(STATUS_CANCELLED));
            assert!(started.elapsed() < Duration::from_secs(1));
            hostfs::serve();
            let bytes = reader.join().expect("ends").expect("reads");
            assert!(bytes == data()[..64 * 1024], "what was read meanwhile");
        });
        assert_eq!(control.unmount(Some(far.volume.get()), true), Ok(()));
        machine.settle();
        assert_eq!(hostfs::open_files(), 0);
    });
}
