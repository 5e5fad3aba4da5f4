//! The other majors: controls, cleanup and close, plug and play, refusals.

mod support;

use lklfs_fsd::{
    Errno, Outcome, VolumeState, cleanup, close, devctrl, ea,
    errno::Context,
    flush,
    fsctrl::{self, Plan},
    lockctrl,
    memory::MemoryVolume,
    pnp::{self, Minor},
    ranges, secur, shutdown, write,
};
use lklfs_nt::{AccessMask, ControlCode as Code, NtStatus, ReparseTag, reparse};
use support::{Handle, Session, open, written};

fn session() -> Session {
    let mut volume = MemoryVolume::new();
    volume.file("/file", vec![0; 5000]).symlink("/link", "file");
    Session::new(volume)
}

const REFUSED: fn(NtStatus) -> Plan = |status| Plan::Done(Outcome::failed(status));

fn control(
    handle: &Handle,
    state: &mut VolumeState,
    id: u64,
    code: Code,
    input: &[u8],
    output: &mut [u8],
) -> Plan {
    let mut request = fsctrl::Request {
        code,
        input,
        output,
        handle: id,
    };
    fsctrl::user_request(&handle.fcb, &handle.ccb, state, &mut request)
}

#[test]
fn a_volume_is_locked_by_its_only_handle() {
    let mut session = session();
    let both = AccessMask::FILE_READ_DATA | AccessMask::FILE_WRITE_DATA;
    let volume = session.open(&open("").access(both));
    let file = session.open_name("\\file");
    let mut state = VolumeState {
        handles: 2,
        references: 2,
        ..VolumeState::default()
    };
    let s = &mut state;
    assert_eq!(
        control(&volume, s, 1, Code::FSCTL_LOCK_VOLUME, &[], &mut []),
        REFUSED(NtStatus::ACCESS_DENIED)
    );
    assert_eq!(
        control(&file, s, 2, Code::FSCTL_LOCK_VOLUME, &[], &mut []),
        REFUSED(NtStatus::INVALID_PARAMETER)
    );
    let _ = cleanup::cleanup(&file.fcb, &file.ccb, s, 2);
    assert_eq!(
        control(&volume, s, 1, Code::FSCTL_UNLOCK_VOLUME, &[], &mut []),
        REFUSED(NtStatus::NOT_LOCKED)
    );
    assert_eq!(
        control(&volume, s, 1, Code::FSCTL_LOCK_VOLUME, &[], &mut []),
        Plan::Lock
    );
    assert_eq!(
        control(&volume, s, 1, Code::FSCTL_LOCK_VOLUME, &[], &mut []),
        REFUSED(NtStatus::ACCESS_DENIED)
    );
    assert_eq!(
        control(&volume, s, 9, Code::FSCTL_UNLOCK_VOLUME, &[], &mut []),
        REFUSED(NtStatus::NOT_LOCKED)
    );
    assert_eq!(
        control(&volume, s, 9, Code::FSCTL_DISMOUNT_VOLUME, &[], &mut []),
        REFUSED(NtStatus::ACCESS_DENIED)
    );
    assert_eq!(
        control(&volume, s, 1, Code::FSCTL_DISMOUNT_VOLUME, &[], &mut []),
        Plan::Dismount
    );
    let mounted = control(&volume, s, 1, Code::FSCTL_IS_VOLUME_MOUNTED, &[], &mut []);
    assert_eq!(mounted, REFUSED(NtStatus::VOLUME_DISMOUNTED));
    let plan = cleanup::cleanup(&volume.fcb, &volume.ccb, s, 1);
    assert!(plan.volume_unlocked && s.locked_by.is_none());
    assert_eq!((close::close(s), close::close(s)), (false, true));
}

#[test]
fn a_volume_is_taken_away_by_those_who_may_manage_or_write_it() {
    let mut session = session();
    for (access, manages, may) in [
        (AccessMask::FILE_READ_DATA, false, false),
        (AccessMask::FILE_WRITE_DATA, false, false),
        (AccessMask::FILE_TRAVERSE, false, false),
        (AccessMask::FILE_TRAVERSE, true, true),
        (AccessMask::GENERIC_READ | AccessMask::GENERIC_WRITE, false, true),
    ] {
        let mut volume = session.open(&open("").access(access));
        volume.ccb.manages_volumes = manages;
        for (code, plan) in [
            (Code::FSCTL_LOCK_VOLUME, Plan::Lock),
            (Code::FSCTL_DISMOUNT_VOLUME, Plan::Dismount),
        ] {
            let mut state = VolumeState {
                handles: 1,
                references: 1,
                ..VolumeState::default()
            };
            let wanted = if may {
                plan
            } else {
                REFUSED(NtStatus::ACCESS_DENIED)
            };
            let answer = control(&volume, &mut state, 1, code, &[], &mut []);
            assert_eq!(answer, wanted, "{access:?}, {manages}");
            assert_eq!(
                (state.locked_by.is_some(), state.dismounted),
                match answer {
                    Plan::Lock => (true, false),
                    Plan::Dismount => (false, true),
                    _ => (false, false),
                }
            );
        }
        session.close(volume);
    }
}

#[test]
fn reparse_points_are_read() {
    let mut session = session();
    let link = session.open(&open("\\link").link());
    let file = session.open_name("\\file");
    let mut state = VolumeState::default();
    let mut run = |handle: &Handle, length| {
        written(length, |out| {
            match control(handle, &mut state, 1, Code::FSCTL_GET_REPARSE_POINT, &[], out) {
                Plan::Done(outcome) => outcome,
                plan => panic!("{plan:?}"),
            }
        })
    };
    let (status, bytes) = run(&link, 1000);
    assert_eq!((status, bytes.len()), (NtStatus::SUCCESS, 8 + 12 + 16));
    let parsed = reparse::parse(&bytes).unwrap();
    assert_eq!(
        (parsed.tag, parsed.reserved),
        (ReparseTag::IO_REPARSE_TAG_SYMLINK, 0)
    );
    assert_eq!(run(&link, 20).0, NtStatus::BUFFER_OVERFLOW);
    assert_eq!(run(&link, 7).0, NtStatus::BUFFER_TOO_SMALL);
    assert_eq!(run(&file, 1000).0, NtStatus::NOT_A_REPARSE_POINT);
}

#[test]
fn controls_that_ask_are_answered_and_those_that_change_are_refused() {
    let mut session = session();
    let file = session.open_name("\\file");
    let mut state = VolumeState::default();
    let mut run = |code, input: &[u8], output: &mut [u8]| control(&file, &mut state, 1, code, input, output);
    assert_eq!(
        run(Code::FSCTL_IS_VOLUME_MOUNTED, &[], &mut []),
        Plan::Done(Outcome::success(0))
    );
    let mut out = [9; 4];
    assert_eq!(
        run(Code::FSCTL_IS_VOLUME_DIRTY, &[], &mut out),
        Plan::Done(Outcome::success(4))
    );
    assert_eq!(out, [0; 4]);
    assert_eq!(
        run(Code::FSCTL_IS_VOLUME_DIRTY, &[], &mut [0; 3]),
        REFUSED(NtStatus::BUFFER_TOO_SMALL)
    );
    assert_eq!(
        run(Code::FSCTL_QUERY_ALLOCATED_RANGES, &[], &mut []),
        Plan::AllocatedRanges
    );
    assert_eq!(run(Code::FSCTL_REQUEST_BATCH_OPLOCK, &[], &mut []), Plan::Oplock);
    for code in [
        Code::FSCTL_SET_SPARSE,
        Code::FSCTL_SET_REPARSE_POINT,
        Code::FSCTL_MOVE_FILE,
        Code::FSCTL_SET_ZERO_DATA,
    ] {
        assert_eq!(
            run(code, &[], &mut []),
            REFUSED(NtStatus::MEDIA_WRITE_PROTECTED),
            "{code}"
        );
    }
    for code in [
        Code::FSCTL_GET_RETRIEVAL_POINTERS,
        Code::FSCTL_GET_NTFS_VOLUME_DATA,
        Code(0x9_FFFC),
    ] {
        assert_eq!(
            run(code, &[], &mut []),
            REFUSED(NtStatus::INVALID_DEVICE_REQUEST),
            "{code}"
        );
    }
}

#[test]
fn device_controls_that_could_write_never_reach_the_disk() {
    let mut session = session();
    let volume = session.open_name("");
    let protected = devctrl::Plan::Done(Outcome::failed(NtStatus::MEDIA_WRITE_PROTECTED));
    for (code, plan) in [
        (0x0007_0000, devctrl::Plan::PassDown), // IOCTL_DISK_GET_DRIVE_GEOMETRY
        (0x0007_405C, devctrl::Plan::PassDown), // IOCTL_DISK_GET_LENGTH_INFO
        (0x002D_1400, devctrl::Plan::PassDown), // IOCTL_STORAGE_QUERY_PROPERTY
        (0x002D_4808, devctrl::Plan::PassDown), // IOCTL_STORAGE_EJECT_MEDIA
        (0x0007_C054, protected),               // IOCTL_DISK_SET_DRIVE_LAYOUT_EX
        (0x0007_C018, protected),               // IOCTL_DISK_FORMAT_TRACKS
        (0x002D_9404, protected),               // IOCTL_STORAGE_MANAGE_DATA_SET_ATTRIBUTES
        (0x0004_D004, protected),               // IOCTL_SCSI_PASS_THROUGH
        (0x0004_D014, protected),               // IOCTL_SCSI_PASS_THROUGH_DIRECT
        (0x0004_D02C, protected),               // IOCTL_ATA_PASS_THROUGH
    ] {
        assert_eq!(
            devctrl::device_control(&volume.fcb, Code(code)),
            plan,
            "{code:#x}"
        );
    }
    let file = session.open_name("\\file");
    let refused = devctrl::Plan::Done(Outcome::failed(NtStatus::INVALID_PARAMETER));
    assert_eq!(devctrl::device_control(&file.fcb, Code(0x7_0000)), refused);
}

#[test]
fn everything_that_changes_is_refused() {
    let protected = Outcome::failed(NtStatus::MEDIA_WRITE_PROTECTED);
    assert_eq!(
        (write::write(), ea::set(), secur::set()),
        (protected, protected, protected)
    );
    assert_eq!(flush::flush(), Outcome::success(0));
}

#[test]
fn byte_ranges_are_locked_on_files_only() {
    let mut session = session();
    let file = session.open_name("\\file");
    assert_eq!(lockctrl::lock_control(&file.fcb), lockctrl::Plan::FsRtl);
    let refused = lockctrl::Plan::Done(Outcome::failed(NtStatus::INVALID_PARAMETER));
    for name in ["\\", "", "\\link"] {
        let handle = session.open(&open(name).link());
        assert_eq!(lockctrl::lock_control(&handle.fcb), refused, "{name}");
    }
}

#[test]
fn a_disk_leaves_politely_or_not() {
    let mut state = VolumeState {
        handles: 1,
        references: 1,
        ..VolumeState::default()
    };
    let query = Minor::from_code(1);
    assert_eq!(
        pnp::pnp(&mut state, query),
        pnp::Plan::Done(Outcome::failed(NtStatus::ACCESS_DENIED))
    );
    assert!(!state.dismounted);
    state.handles = 0;
    // Nothing may be opened while it is found out whether only the cache has something still.
    assert_eq!(pnp::pnp(&mut state, query), pnp::Plan::Leave);
    assert_eq!(state.begin_opening(), Err(NtStatus::ACCESS_DENIED));
    assert_eq!(
        pnp::leave(&mut state),
        pnp::Plan::Done(Outcome::failed(NtStatus::ACCESS_DENIED)),
        "a mapped file"
    );
    assert_eq!(state.begin_opening(), Ok(()));
    assert_eq!(
        pnp::pnp(&mut state, query),
        pnp::Plan::Done(Outcome::failed(NtStatus::ACCESS_DENIED)),
        "a file is being opened"
    );
    assert!(!state.end_opening(false));
    let mut polite = state;
    polite.references = 0;
    assert_eq!(pnp::pnp(&mut polite, query), pnp::Plan::Leave);
    assert_eq!(pnp::leave(&mut polite), pnp::Plan::PassDown);
    assert!(polite.is_over());
    // What a program has dismounted stays so, whatever is cancelled.
    assert_eq!(pnp::pnp(&mut polite, Minor::from_code(3)), pnp::Plan::PassDown);
    assert_eq!(polite.refusal(), Some(NtStatus::VOLUME_DISMOUNTED));
    assert_eq!(
        pnp::pnp(&mut state, Minor::from_code(0x17)),
        pnp::Plan::GoneAndPassDown
    );
    assert!(close::close(&mut state));
    let mut other = VolumeState::default();
    assert_eq!(shutdown::shutdown(&mut other), Outcome::success(0));
    assert!(other.dismounted);
}

#[test]
fn every_errno_has_a_status_in_every_context() {
    let contexts = [
        Context::FinalName,
        Context::Walking,
        Context::Mounting,
        Context::Reading,
    ];
    for number in -4096..4096 {
        for context in contexts {
            let status = Errno(number).to_status(context);
            assert!(
                status.is_error() || status == NtStatus::DEVICE_BUSY,
                "{number} {context:?} {status}"
            );
        }
    }
    for (errno, context, status) in [
        (Errno::ENOENT, Context::FinalName, NtStatus::OBJECT_NAME_NOT_FOUND),
        (Errno::ENOENT, Context::Walking, NtStatus::OBJECT_PATH_NOT_FOUND),
        (Errno::ENOENT, Context::Mounting, NtStatus::UNRECOGNIZED_VOLUME),
        (Errno::ENOTDIR, Context::Walking, NtStatus::OBJECT_PATH_NOT_FOUND),
        (Errno::EIO, Context::Reading, NtStatus::IO_DEVICE_ERROR),
        (Errno::EBADMSG, Context::Reading, NtStatus::CRC_ERROR),
        (Errno::EUCLEAN, Context::Mounting, NtStatus::DISK_CORRUPT_ERROR),
        (Errno::ENOMEM, Context::Reading, NtStatus::INSUFFICIENT_RESOURCES),
        (Errno(1234), Context::Reading, NtStatus::UNSUCCESSFUL),
    ] {
        assert_eq!(errno.to_status(context), status, "{errno} {context:?}");
    }
    let mut numbers: Vec<i32> = Errno::NAMED.iter().map(|(errno, _)| errno.0).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), Errno::NAMED.len());
    assert!(numbers.is_sorted());
}

#[test]
fn the_allocated_ranges_of_a_file() {
    const K: u64 = 1024;
    let mut volume = MemoryVolume::new();
    // Data, a hole, data that ends in the middle of a block, a hole to the end.
    let mut data = vec![7; 8 << 10];
    data.extend_from_slice(&[0; 12 << 10]);
    data.extend_from_slice(&[9; 5 << 10]);
    volume
        .file("/file", &data)
        .edit("/file", |metadata| metadata.size = 100 * K)
        .file("/empty", "")
        .directory("/folder");
    let mut session = Session::new(volume);
    let file = session.open_name("\\file");
    let range = |start: u64, length: u64| [start.to_le_bytes(), length.to_le_bytes()].concat();
    let ask = |handle: &Handle, input: &[u8], length| {
        written(length, |out| {
            ranges::allocated(&session.vcb, &handle.fcb, input, out)
        })
    };
    let whole = [range(0, 8 * K), range(20 * K, 5 * K)].concat();
    let (status, bytes) = ask(&file, &range(0, 1 << 40), 64);
    assert_eq!((status, bytes.len()), (NtStatus::SUCCESS, 32));
    assert_eq!(bytes[..24], whole[..24]);
    // The last block counts whole or as far as its data goes, as the file system likes.
    assert!((5 * K..=8 * K).contains(&support::u64_at(&bytes, 24)));
    // Cut to what was asked.
    assert_eq!(
        ask(&file, &range(4 * K + 1, 17 * K), 64),
        (
            NtStatus::SUCCESS,
            [range(4 * K + 1, 4 * K - 1), range(20 * K, K + 1)].concat()
        )
    );
    for (start, length) in [(8 * K, 12 * K), (60 * K, K), (100 * K, 1), (1 << 50, 1), (0, 0)] {
        let nothing = (NtStatus::SUCCESS, Vec::new());
        assert_eq!(ask(&file, &range(start, length), 64), nothing, "{start}");
    }
    // What does not fit.
    let (status, bytes) = ask(&file, &range(0, 100 * K), 31);
    assert_eq!((status, &bytes[..]), (NtStatus::BUFFER_OVERFLOW, &whole[..16]));
    assert_eq!(ask(&file, &range(0, 100 * K), 15).0, NtStatus::BUFFER_TOO_SMALL);
    // What is no question.
    let negative = (-1_i64).to_le_bytes();
    for bad in [
        [negative, 10_i64.to_le_bytes()].concat(),
        [10_i64.to_le_bytes(), negative].concat(),
        vec![0; 15],
    ] {
        assert_eq!(ask(&file, &bad, 64).0, NtStatus::INVALID_PARAMETER, "{bad:?}");
    }
    for other in ["\\folder", ""] {
        let mut session = Session::new(session.vcb.volume().clone());
        let other = session.open_name(other);
        let mut out = [0; 64];
        let outcome = ranges::allocated(&session.vcb, &other.fcb, &range(0, 1), &mut out);
        assert_eq!(outcome, Outcome::failed(NtStatus::INVALID_PARAMETER));
    }
}
