//! Several things are wrong with a request at once: it is told the one that NTFS, FAT and CDFS look at first. Each test makes
//! every combination of what can be wrong.

mod support;

use lklfs_fsd::{
    VolumeState,
    dirctrl::{self, NotifyPlan},
    fileinfo::{self, SetPlan},
    fsctrl::{self, Plan},
    lockctrl,
    memory::MemoryVolume,
    read,
};
use lklfs_nt::{AccessMask, ControlCode, CreateOptions, FileInformationClass as Class, NtStatus};
use support::{Handle, Session, open};

fn session() -> Session {
    let mut volume = MemoryVolume::new();
    volume
        .file("/file", vec![1; 5000])
        .directory("/dir")
        .file("/dir/entry", b"e")
        .symlink("/link", "file");
    Session::new(volume)
}

/// Calls `ask` with every combination of `faults`, each with the status that it leads to, and expects that of the first in
/// the combination; SUCCESS of the one without any.
fn first_fault_wins<const N: usize>(faults: [NtStatus; N], mut ask: impl FnMut([bool; N]) -> NtStatus) {
    for combination in 0..1u32 << N {
        let has = std::array::from_fn(|at| combination & 1 << at != 0);
        let first = faults.iter().zip(has).find(|(_, has)| *has);
        let expected = first.map_or(NtStatus::SUCCESS, |(status, _)| *status);
        assert_eq!(ask(has), expected, "{has:?}");
    }
}

#[test]
fn a_read_looks_at_kind_then_offset_then_end_then_sectors() {
    let mut session = session();
    let [file, directory] = ["\\file", "\\dir"].map(|name| session.open_name(name));
    first_fault_wins(
        [
            NtStatus::INVALID_DEVICE_REQUEST,
            NtStatus::INVALID_PARAMETER,
            NtStatus::END_OF_FILE,
            NtStatus::INVALID_PARAMETER,
        ],
        |[directory_asked, negative, behind, unaligned]| {
            let handle = if directory_asked { &directory } else { &file };
            let mut offset = if behind { 1 << 20 } else { 512 };
            offset += i64::from(unaligned);
            let request = read::Request {
                offset: if negative { -offset } else { offset },
                length: 512,
                non_cached: true,
                paging: false,
            };
            match read::plan(&session.vcb, &handle.fcb, &handle.ccb, request) {
                read::Plan::Done(outcome) => outcome.status,
                _ => NtStatus::SUCCESS,
            }
        },
    );
}

#[test]
fn nothing_is_wrong_with_a_read_of_no_bytes_but_its_kind() {
    let mut session = session();
    let [file, directory] = ["\\file", "\\dir"].map(|name| session.open_name(name));
    for offset in [i64::MIN, -1, 0, 3, 5000, i64::MAX] {
        for (handle, status) in [
            (&file, NtStatus::SUCCESS),
            (&directory, NtStatus::INVALID_DEVICE_REQUEST),
        ] {
            let request = read::Request {
                offset,
                length: 0,
                non_cached: true,
                paging: false,
            };
            let plan = read::plan(&session.vcb, &handle.fcb, &handle.ccb, request);
            assert!(
                matches!(plan, read::Plan::Done(outcome) if outcome.status == status && outcome.information == 0),
                "{offset}: {plan:?}"
            );
        }
    }
}

#[test]
fn a_listing_looks_at_kind_then_class_then_room() {
    let mut session = session();
    first_fault_wins(
        [
            NtStatus::INVALID_PARAMETER,
            NtStatus::INVALID_INFO_CLASS,
            NtStatus::INFO_LENGTH_MISMATCH,
        ],
        |[file, unknown, small]| {
            let mut handle = session.open_name(if file { "\\file" } else { "\\dir" });
            let query = dirctrl::Query {
                class: if unknown {
                    Class(0xFFF)
                } else {
                    Class::FileDirectoryInformation
                },
                pattern: None,
                restart: false,
                single: false,
                index: None,
            };
            session.list(&mut handle, &query, if small { 8 } else { 4096 }).0
        },
    );
}

#[test]
fn a_notification_and_a_lock_look_at_kind_alone() {
    let mut session = session();
    let handles = ["\\file", "\\dir", ""].map(|name| session.open_name(name));
    let notified = handles
        .each_ref()
        .map(|handle| dirctrl::notify(&handle.fcb, &handle.ccb));
    let is_pended = notified.map(|plan| plan == NotifyPlan::Pend);
    assert_eq!(is_pended, [false, true, false]);
    let locked = handles
        .each_ref()
        .map(|handle| lockctrl::lock_control(&handle.fcb));
    let is_passed = locked.map(|plan| plan == lockctrl::Plan::FsRtl);
    assert_eq!(is_passed, [true, false, false]);
}

#[test]
fn a_query_of_a_file_looks_at_kind_then_class_then_room() {
    let mut session = session();
    let [file, volume] = ["\\file", ""].map(|name| session.open_name(name));
    first_fault_wins(
        [
            NtStatus::INVALID_PARAMETER,
            NtStatus::INVALID_INFO_CLASS,
            NtStatus::INFO_LENGTH_MISMATCH,
        ],
        |[volume_asked, unknown, small]| {
            let handle = if volume_asked { &volume } else { &file };
            let class = if unknown {
                Class(0xFFF)
            } else {
                Class::FileBasicInformation
            };
            session.query(handle, class, if small { 8 } else { 4096 }).0
        },
    );
}

#[test]
fn a_change_of_the_position_looks_at_class_then_kind_then_room_then_number() {
    let mut session = session();
    let unbuffered = |session: &mut Session, name| {
        let options = CreateOptions::FILE_NO_INTERMEDIATE_BUFFERING;
        session.open(&open(name).options(options))
    };
    let file = unbuffered(&mut session, "\\file");
    let directory = session.open_name("\\dir");
    first_fault_wins(
        [
            NtStatus::MEDIA_WRITE_PROTECTED,
            NtStatus::INVALID_PARAMETER,
            NtStatus::INFO_LENGTH_MISMATCH,
            NtStatus::INVALID_PARAMETER,
        ],
        |[other_class, directory_asked, short, odd]| {
            let class = if other_class {
                Class::FileBasicInformation
            } else {
                Class::FilePositionInformation
            };
            let handle = if directory_asked { &directory } else { &file };
            let bytes = (512 + i64::from(odd)).to_le_bytes();
            let input = if short { &bytes[..4] } else { &bytes[..] };
            match fileinfo::set(&session.vcb, &handle.fcb, &handle.ccb, class, input) {
                SetPlan::Position(position) => {
                    assert_eq!(position, 512);
                    NtStatus::SUCCESS
                }
                SetPlan::Done(outcome) => outcome.status,
            }
        },
    );
}

#[test]
fn a_volume_lock_looks_at_kind_then_right_then_use() {
    let mut session = session();
    let both = AccessMask::FILE_READ_DATA | AccessMask::FILE_WRITE_DATA;
    let file = session.open_name("\\file");
    let [mighty, weak] =
        [both, AccessMask::FILE_READ_DATA].map(|access| session.open(&open("").access(access)));
    for code in [ControlCode::FSCTL_LOCK_VOLUME, ControlCode::FSCTL_DISMOUNT_VOLUME] {
        first_fault_wins(
            [
                NtStatus::INVALID_PARAMETER,
                NtStatus::ACCESS_DENIED,
                NtStatus::ACCESS_DENIED,
            ],
            |[no_volume, without_right, locked]| {
                let handle: &Handle = match (no_volume, without_right) {
                    (true, _) => &file,
                    (false, true) => &weak,
                    (false, false) => &mighty,
                };
                let mut state = VolumeState {
                    handles: 1,
                    references: 1,
                    locked_by: locked.then_some(7),
                    ..VolumeState::default()
                };
                let mut request = fsctrl::Request {
                    code,
                    input: &[],
                    output: &mut [],
                    handle: 1,
                };
                match fsctrl::user_request(&handle.fcb, &handle.ccb, &mut state, &mut request) {
                    Plan::Done(outcome) => outcome.status,
                    Plan::Lock | Plan::Dismount => NtStatus::SUCCESS,
                    other => panic!("{other:?}"),
                }
            },
        );
    }
}
