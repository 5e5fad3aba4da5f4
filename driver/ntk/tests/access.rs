//! Who may do what, through the real `lklfs.sys` in the NT kernel double: which rights a handle gets, and what can be done
//! with them.
//!
//! Every scenario ends with an unload that must leave nothing behind.

#![cfg(target_os = "linux")]

mod support;

use lklfs_control::{Code, Interface, Request};
use ntos::cc::segment::Role;
use ntos::disk::DiskConfig;
use ntos::nt::*;
use ntos::se::token::{self, Token, privilege};
use ntos::user::{Machine, OpenAs};
use std::path::Path;
use std::sync::OnceLock;
use support::{Asked, Control, Said, driver, run};

/// All that reading allows.
const READING: u32 = FILE_GENERIC_READ | FILE_GENERIC_EXECUTE;
/// What everyone may do with a file that its modes close.
const STAT: u32 = FILE_READ_ATTRIBUTES | FILE_READ_EA | READ_CONTROL | SYNCHRONIZE;
const FSCTL_LOCK_VOLUME: u32 = 0x0009_0018;
const FSCTL_UNLOCK_VOLUME: u32 = 0x0009_001c;
const FSCTL_DISMOUNT_VOLUME: u32 = 0x0009_0020;
/// The volume itself, without a name below it.
const VOLUME: &str = "\\??\\D:";
const IMAGE: &str = "\\??\\C:\\ext4.img";

/// `ext4.img`: files and directories, root's, whose names are their modes. Made once.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let at = folder.path();
            std::fs::create_dir(at.join("tree")).expect("writable");
            for name in ["0644", "0600", "0755"] {
                std::fs::write(at.join("tree").join(name), name.repeat(1000)).expect("writable");
            }
            for name in ["d0755", "d0700"] {
                let directory = at.join("tree").join(name);
                std::fs::create_dir(&directory).expect("writable");
                std::fs::write(directory.join("open"), "open\n").expect("writable");
            }
            for name in ["0644", "0600", "0755", "d0755", "d0700"] {
                run(
                    "chmod",
                    &[name.trim_start_matches('d'), &format!("tree/{name}")],
                    at,
                );
            }
            let words = ["-q", "-F", "-L", "Access", "-d", "tree", "ext4.img", "8M"];
            run("mkfs.ext4", &words, at);
            folder
        })
        .path()
}

/// Runs `act` with the image mounted at D:, for everyone or as modes say, then unloads.
fn on(everyone: bool, act: impl FnOnce(&Machine)) {
    let mut machine = Machine::builder()
        .drive_c(folder())
        .mount_manager(false)
        .start()
        .expect("the folder is good");
    machine.load_driver(&driver()).expect("the driver loads");
    machine.settle();
    let control = Control::open(&machine);
    let asked = Asked {
        letter: Some('D'),
        said: Said {
            everyone: Some(everyone),
            ..Said::default()
        },
        ..Asked::default()
    };
    control.mount_as(IMAGE, &asked).expect("mounts");
    drop(control);
    act(&machine);
    let report = machine.unload();
    assert!(report.is_clean(), "left behind:\n{report}");
}

/// As somebody else than an administrator.
fn by<R>(token: Token, act: impl FnOnce() -> R) -> R {
    token::set_user(Some(token));
    let result = act();
    token::set_user(None);
    result
}

fn user_with(privileges: &[u32]) -> Token {
    let mut token = Token::user();
    token.privileges = privileges.to_vec();
    token
}

fn path(name: &str) -> String {
    format!("\\??\\D:\\{name}")
}

fn granted(machine: &Machine, name: &str, access: u32) -> Result<u32, NTSTATUS> {
    let handle = machine.open(&path(name), OpenAs::read().access(access))?;
    Ok(handle.granted())
}

#[test]
fn maximum_allowed_is_what_reading_allows_and_no_more() {
    on(true, |machine| {
        for token in [Token::user(), Token::administrator()] {
            by(token, || {
                assert_eq!(granted(machine, "0600", MAXIMUM_ALLOWED), Ok(READING));
                assert_eq!(granted(machine, "d0700", MAXIMUM_ALLOWED), Ok(READING));
                assert_eq!(
                    granted(machine, "0644", MAXIMUM_ALLOWED | FILE_READ_DATA),
                    Ok(READING)
                );
                assert_eq!(granted(machine, "0644", GENERIC_READ), Ok(FILE_GENERIC_READ));
            });
        }
    });
    on(false, |machine| {
        by(Token::user(), || {
            let most = |name| granted(machine, name, MAXIMUM_ALLOWED);
            assert_eq!(most("0644"), Ok(STAT | FILE_READ_DATA));
            assert_eq!(most("0755"), Ok(STAT | FILE_READ_DATA | FILE_EXECUTE));
            assert_eq!(most("0600"), Ok(STAT));
            assert_eq!(most("d0700"), Ok(STAT));
            for access in [FILE_READ_DATA, MAXIMUM_ALLOWED | FILE_READ_DATA, FILE_EXECUTE] {
                assert_eq!(granted(machine, "0600", access), Err(STATUS_ACCESS_DENIED));
            }
            assert_eq!(granted(machine, "0644", FILE_EXECUTE), Err(STATUS_ACCESS_DENIED));
        });
        assert_eq!(
            granted(machine, "0600", MAXIMUM_ALLOWED),
            Ok(READING | ACCESS_SYSTEM_SECURITY)
        );
    });
}

#[test]
fn the_system_list_is_for_those_with_the_privilege() {
    for everyone in [true, false] {
        on(everyone, |machine| {
            let access = ACCESS_SYSTEM_SECURITY | FILE_READ_ATTRIBUTES;
            assert_eq!(granted(machine, "0644", access), Ok(access));
            by(Token::user(), || {
                assert!(granted(machine, "0644", access).is_err());
            });
        });
    }
}

#[test]
fn no_section_of_a_file_can_be_written() {
    on(true, |machine| {
        let read = || {
            let file = machine.open(&path("0644"), OpenAs::read()).expect("opens");
            file.read(Some(0), 4000).bytes
        };
        let before = read();
        for kernel in [false, true] {
            let how = OpenAs {
                kernel,
                ..OpenAs::read().access(MAXIMUM_ALLOWED)
            };
            let file = machine.open(&path("0644"), how).expect("opens");
            for protection in [PAGE_READWRITE, PAGE_EXECUTE_READWRITE] {
                let section = file.map_as(Role::Data, protection);
                // What would be so bad about it: everybody reads what one has written.
                if let Ok(section) = &section {
                    section.write(0, b"changed").expect("is written");
                    assert!(read() == before, "a page of the cache was changed");
                }
                assert_eq!(section.err(), Some(STATUS_ACCESS_DENIED));
            }
            for protection in [
                PAGE_READONLY,
                PAGE_WRITECOPY,
                PAGE_EXECUTE,
                PAGE_EXECUTE_READ,
                PAGE_EXECUTE_WRITECOPY,
            ] {
                for role in [Role::Data, Role::Image] {
                    let section = file.map_as(role, protection).expect("is made");
                    let mut bytes = vec![0; 4000];
                    section.read(0, &mut bytes).expect("reads");
                    assert_eq!(bytes, before);
                }
            }
        }
        // A file that may be read but not run.
        let file = machine.open(&path("0644"), OpenAs::read()).expect("opens");
        let section = file.map_as(Role::Image, PAGE_EXECUTE);
        assert_eq!(section.err(), Some(STATUS_ACCESS_DENIED));
        // Nothing is left locked: the file is opened, read and mapped by others.
        assert_eq!(read(), before);
    });
}

#[test]
fn a_backup_reads_what_its_privilege_allows() {
    on(false, |machine| {
        let open = |access| {
            let how = OpenAs::read().access(access).with(FILE_OPEN_FOR_BACKUP_INTENT);
            machine.open(&path("0600"), how)
        };
        by(Token::user(), || {
            assert_eq!(open(GENERIC_READ).err(), Some(STATUS_ACCESS_DENIED));
        });
        by(user_with(&[privilege::CHANGE_NOTIFY, privilege::BACKUP]), || {
            let file = open(GENERIC_READ).expect("opens");
            assert_eq!(file.granted(), FILE_GENERIC_READ);
            assert_eq!(file.read(Some(0), 4).bytes, b"0600");
            assert_eq!(
                granted(machine, "0600", GENERIC_READ),
                Err(STATUS_ACCESS_DENIED),
                "the intent must be said"
            );
        });
        // What a restore may write elsewhere it may not write here.
        let both = [privilege::CHANGE_NOTIFY, privilege::BACKUP, privilege::RESTORE];
        by(user_with(&both), || {
            let file = open(MAXIMUM_ALLOWED).expect("opens");
            assert_eq!(file.granted(), READING | ACCESS_SYSTEM_SECURITY);
            assert_eq!(open(GENERIC_WRITE).err(), Some(STATUS_MEDIA_WRITE_PROTECTED));
        });
    });
}

#[test]
fn directories_are_passed_through_by_those_who_may() {
    on(false, |machine| {
        let read = |name: &str| granted(machine, name, FILE_READ_DATA).map(|_| ());
        by(Token::user(), || {
            assert_eq!(read("d0755\\open"), Ok(()));
            assert_eq!(
                read("d0700\\open"),
                Ok(()),
                "everyone has the privilege by default"
            );
        });
        by(user_with(&[]), || {
            assert_eq!(read("d0755\\open"), Ok(()));
            assert_eq!(read("d0700\\open"), Err(STATUS_ACCESS_DENIED));
            assert_eq!(read("d0700\\none"), Err(STATUS_ACCESS_DENIED));
            let how = OpenAs::read().access(FILE_READ_ATTRIBUTES);
            let directory = machine
                .open(&path("d0700"), how)
                .expect("its parent may be passed");
            let name: Vec<u16> = "open".encode_utf16().collect();
            let below = directory.open_at(&name, OpenAs::read());
            assert_eq!(below.err(), Some(STATUS_ACCESS_DENIED));
        });
    });
}

#[test]
fn the_sectors_of_an_image_are_not_for_everyone() {
    on(true, |machine| {
        let open = |access| machine.open(VOLUME, OpenAs::read().access(access));
        by(Token::user(), || {
            for access in [
                GENERIC_READ,
                FILE_READ_DATA,
                FILE_WRITE_DATA,
                GENERIC_ALL,
                MAXIMUM_ALLOWED | FILE_READ_DATA,
            ] {
                assert_eq!(open(access).err(), Some(STATUS_ACCESS_DENIED), "{access:#x}");
            }
            // What Explorer does, and all that one may have.
            open(FILE_READ_ATTRIBUTES | SYNCHRONIZE).expect("attributes may be read");
            let most = open(MAXIMUM_ALLOWED).expect("opens");
            assert_eq!(most.granted(), FILE_GENERIC_EXECUTE);
            assert_eq!(most.read(Some(0), 512).status, STATUS_ACCESS_DENIED);
            // By a detour over a handle that may look only.
            let look = open(FILE_READ_ATTRIBUTES | FILE_TRAVERSE).expect("opens");
            let again = look.open_at(&[], OpenAs::read().access(GENERIC_READ));
            assert_eq!(again.err(), Some(STATUS_ACCESS_DENIED));
            // The files are for everyone.
            let file = machine.open(&path("0600"), OpenAs::read()).expect("opens");
            assert_eq!(file.read(Some(0), 4).bytes, b"0600");
        });
        let sectors = open(GENERIC_READ).expect("an administrator may");
        let magic = sectors.read(Some(1024), 512).bytes[0x38..0x3a].to_vec();
        assert_eq!(magic, [0x53, 0xef], "ext4's superblock");
    });
}

/// A control on a handle with these rights: what it ends with.
fn answers(machine: &Machine, name: &str, access: u32, code: u32) -> NTSTATUS {
    let handle = machine.open(name, OpenAs::read().access(access));
    let outcome = handle.expect("opens").fsctl(code, &[], 64);
    outcome.status
}

#[test]
fn a_volume_is_taken_away_by_those_who_may_manage_it() {
    on(true, |machine| {
        let on_volume = |code| answers(machine, VOLUME, FILE_TRAVERSE | SYNCHRONIZE, code);
        by(Token::user(), || {
            assert_eq!(on_volume(FSCTL_LOCK_VOLUME), STATUS_ACCESS_DENIED);
            assert_eq!(on_volume(FSCTL_DISMOUNT_VOLUME), STATUS_ACCESS_DENIED);
            assert_eq!(on_volume(FSCTL_UNLOCK_VOLUME), STATUS_NOT_LOCKED);
            // Neither did anything.
            let file = machine.open(&path("0644"), OpenAs::read()).expect("opens");
            assert_eq!(file.read(Some(0), 4).bytes, b"0644");
            for code in [FSCTL_LOCK_VOLUME, FSCTL_UNLOCK_VOLUME, FSCTL_DISMOUNT_VOLUME] {
                assert_eq!(file.fsctl(code, &[], 0).status, STATUS_INVALID_PARAMETER);
            }
        });
        machine.settle();
        machine.trim();
        by(
            user_with(&[privilege::CHANGE_NOTIFY, privilege::MANAGE_VOLUME]),
            || {
                let how = OpenAs::read().access(FILE_TRAVERSE | SYNCHRONIZE);
                let volume = machine.open(VOLUME, how).expect("opens");
                assert_eq!(volume.fsctl(FSCTL_LOCK_VOLUME, &[], 0).status, STATUS_SUCCESS);
                assert_eq!(volume.fsctl(FSCTL_UNLOCK_VOLUME, &[], 0).status, STATUS_SUCCESS);
            },
        );
        // Read and write access to the volume is as good: here an administrator's without the privilege.
        let mut token = Token::administrator();
        token.privileges = vec![privilege::CHANGE_NOTIFY];
        by(token, || {
            let both = FILE_READ_DATA | FILE_WRITE_DATA | SYNCHRONIZE;
            assert_eq!(
                answers(machine, VOLUME, FILE_READ_DATA, FSCTL_LOCK_VOLUME),
                STATUS_ACCESS_DENIED
            );
            assert_eq!(answers(machine, VOLUME, both, FSCTL_LOCK_VOLUME), STATUS_SUCCESS);
        });
    });
}

#[test]
fn a_standard_user_sends_what_the_table_says_and_nothing_else() {
    on(true, |machine| {
        by(Token::user(), || {
            let volume = |code| answers(machine, VOLUME, FILE_TRAVERSE | SYNCHRONIZE, code);
            let look = |code| answers(machine, &path("0644"), FILE_READ_ATTRIBUTES, code);
            let read = |code| answers(machine, &path("0644"), GENERIC_READ, code);
            // Whoever has the volume or a file open.
            for (code, status) in [
                (0x0009_0028, STATUS_SUCCESS),            // IS_VOLUME_MOUNTED
                (0x0009_002c, STATUS_SUCCESS),            // IS_PATHNAME_VALID
                (0x0009_003c, STATUS_SUCCESS),            // GET_COMPRESSION
                (0x0009_0078, STATUS_SUCCESS),            // IS_VOLUME_DIRTY
                (0x0009_009c, STATUS_OBJECTID_NOT_FOUND), // GET_OBJECT_ID
                (0x0009_00a8, STATUS_NOT_A_REPARSE_POINT),
            ] {
                assert_eq!([look(code), volume(code)], [status; 2], "{code:#x}");
            }
            // Who may read the file's data.
            assert_eq!(look(0x0009_40cf), STATUS_ACCESS_DENIED, "QUERY_ALLOCATED_RANGES");
            assert_ne!(read(0x0009_40cf), STATUS_ACCESS_DENIED);
            // Oplocks: asked for by anyone with a file, granted to nobody.
            assert_eq!(read(0x0009_0004), STATUS_OPLOCK_NOT_GRANTED);
            // What changes something.
            for code in [
                0x0009_0030, // MARK_VOLUME_DIRTY
                0x0009_0074, // MOVE_FILE
                0x0009_0098, // SET_OBJECT_ID
                0x0009_00a0, // DELETE_OBJECT_ID
                0x0009_00a4, // SET_REPARSE_POINT
                0x0009_00ac, // DELETE_REPARSE_POINT
                0x0009_00c0, // CREATE_OR_GET_OBJECT_ID
                0x0009_00c4, // SET_SPARSE
            ] {
                assert_eq!(read(code), STATUS_MEDIA_WRITE_PROTECTED, "{code:#x}");
            }
            for code in [0x0009_c040, 0x0009_80c8, 0x0009_8208] {
                assert_eq!(
                    read(code),
                    STATUS_ACCESS_DENIED,
                    "{code:#x} needs a handle that may write"
                );
            }
            // Linux's own view: who may read attributes.
            for code in [
                lklfs_nt::linux::FSCTL_LKLFS_QUERY_FILE.0,
                lklfs_nt::linux::FSCTL_LKLFS_QUERY_VOLUME.0,
            ] {
                assert_ne!(look(code), STATUS_ACCESS_DENIED);
                let blind = answers(machine, &path("0644"), FILE_EXECUTE, code);
                assert_eq!(blind, STATUS_ACCESS_DENIED, "{code:#x}");
            }
            // Of the disk below: what needs no right goes down, what needs one is not for him.
            let how = OpenAs::read().access(FILE_TRAVERSE | SYNCHRONIZE);
            let handle = machine.open(VOLUME, how).expect("opens");
            let device = |code| handle.ioctl(code, &[], 64).status;
            assert_eq!(
                device(0x0007_0000),
                STATUS_SUCCESS,
                "IOCTL_DISK_GET_DRIVE_GEOMETRY"
            );
            assert_eq!(
                device(0x0007_405c),
                STATUS_ACCESS_DENIED,
                "IOCTL_DISK_GET_LENGTH_INFO"
            );
            assert_eq!(
                device(0x0007_c054),
                STATUS_ACCESS_DENIED,
                "IOCTL_DISK_SET_DRIVE_LAYOUT_EX"
            );
            let file = machine.open(&path("0644"), OpenAs::read()).expect("opens");
            assert_eq!(file.ioctl(0x0007_0000, &[], 64).status, STATUS_INVALID_PARAMETER);
        });
        let how = OpenAs::read().access(GENERIC_READ | GENERIC_WRITE);
        let handle = machine.open(VOLUME, how).expect("an administrator may");
        let device = handle.ioctl(0x0007_c054, &[], 64).status;
        assert_eq!(device, STATUS_MEDIA_WRITE_PROTECTED, "not even an administrator");
    });
}

#[test]
fn the_control_devices_are_for_whom_they_say() {
    on(true, |machine| {
        by(Token::user(), || {
            let open = |interface: Interface, access| {
                machine.open(interface.device_name(), OpenAs::read().access(access))
            };
            for access in [FILE_READ_ATTRIBUTES, GENERIC_READ, GENERIC_WRITE, MAXIMUM_ALLOWED] {
                let control = open(Interface::Control, access);
                assert_eq!(control.err(), Some(STATUS_ACCESS_DENIED), "{access:#x}");
            }
            let status = open(Interface::Status, GENERIC_READ | GENERIC_WRITE);
            assert_eq!(status.err(), Some(STATUS_ACCESS_DENIED));
            let status = open(Interface::Status, GENERIC_READ).expect("everyone may");
            for code in Code::ALL {
                let input = match code {
                    Code::Version => Request::Version.encode(),
                    Code::Status => Request::Status.encode(),
                    Code::Places => Request::Places { after: 0 }.encode(),
                    Code::Policies => Request::Policies { after: 0 }.encode(),
                    _ => Request::List { after: 0 }.encode(),
                };
                let answer = status.ioctl(code.number(), &input.expect("memory"), 4096).status;
                if code.allowed(Interface::Status) {
                    assert_eq!(answer, STATUS_SUCCESS, "{code:?}");
                } else {
                    assert_eq!(answer, STATUS_ACCESS_DENIED, "{code:?}");
                }
            }
        });
    });
}

/// Whether a standard user reads a file that its modes close, on this disk.
fn shows_all(disk: DiskConfig, everyone: Option<bool>) -> bool {
    let mut machine = Machine::builder().disk(disk).start().expect("the image is good");
    machine.load_driver(&driver()).expect("the driver loads");
    machine.settle();
    if everyone.is_some() {
        let control = Control::open(&machine);
        let asked = Asked {
            no_letter: true,
            said: Said {
                everyone,
                ..Said::default()
            },
            ..Asked::default()
        };
        let device = "\\Device\\HarddiskVolume1";
        control.mount_as(device, &asked).expect("mounts");
    }
    let read = |name: &str| {
        let name = format!("\\Device\\HarddiskVolume1\\{name}");
        let file = machine.open(&name, OpenAs::read())?;
        file.read(Some(0), 4).into_result()
    };
    assert_eq!(read("0600").expect("an administrator may"), b"0600");
    let shows = by(Token::user(), || {
        assert_eq!(read("0644").expect("modes allow it"), b"0644");
        match read("0600") {
            Ok(bytes) => bytes == b"0600",
            Err(status) => {
                assert_eq!(status, STATUS_ACCESS_DENIED);
                false
            }
        }
    });
    let report = machine.unload();
    assert!(report.is_clean(), "left behind:\n{report}");
    shows
}

#[test]
fn by_default_modes_count_on_fixed_disks_only() {
    let disk = || DiskConfig::image(folder().join("ext4.img"));
    assert!(!shows_all(disk(), None), "a fixed disk");
    assert!(
        shows_all(disk(), Some(true)),
        "a fixed disk, and an administrator said so"
    );
    for bus in [4, 7, 12, 13] {
        assert!(shows_all(disk().bus(bus), None), "a disk on bus {bus}");
    }
    let removable = || DiskConfig {
        removable: true,
        ..disk()
    };
    assert!(shows_all(removable(), None), "a removable medium");
    assert!(
        !shows_all(removable(), Some(false)),
        "a removable medium that is said to be private"
    );
    for bus in [1, 3, 8, 10, 11, 17] {
        assert!(!shows_all(disk().bus(bus), None), "a disk on bus {bus}");
    }
}

#[test]
fn by_default_an_image_is_for_everyone() {
    let mut machine = Machine::builder()
        .drive_c(folder())
        .mount_manager(false)
        .start()
        .expect("the folder is good");
    machine.load_driver(&driver()).expect("the driver loads");
    machine.settle();
    let control = Control::open(&machine);
    let (_, letter) = control.mount(IMAGE, None, &Said::default()).expect("mounts");
    drop(control);
    by(Token::user(), || {
        let name = format!("\\??\\{}:\\0600", letter.expect("a letter"));
        let file = machine.open(&name, OpenAs::read()).expect("opens");
        assert_eq!(file.read(Some(0), 4).bytes, b"0600");
    });
    let report = machine.unload();
    assert!(report.is_clean(), "left behind:\n{report}");
}
