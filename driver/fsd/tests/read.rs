//! READ: the way it goes, how many bytes, and which bytes.

mod support;

use lklfs_fsd::{
    Errno, Outcome,
    memory::MemoryVolume,
    read::{self, Plan, Request},
};
use lklfs_nt::NtStatus;
use support::{Session, UNTOUCHED, open};

const SIZE: u32 = 5000;

fn data() -> Vec<u8> {
    (0..SIZE).map(|at| (at % 251) as u8).collect()
}

fn session() -> Session {
    let mut volume = MemoryVolume::new();
    volume
        .file("/file", data())
        .file("/hole", b"head")
        .edit("/hole", |metadata| metadata.size = 5 << 30)
        .file("/bad", data())
        .directory("/dir")
        .symlink("/link", "file")
        .short_reads(700);
    Session::new(volume)
}

fn cached(offset: i64, length: u32) -> Request {
    Request {
        offset,
        length,
        non_cached: false,
        paging: false,
    }
}

fn refused(status: NtStatus) -> Plan {
    Plan::Done(Outcome::failed(status))
}

#[test]
fn cached_reads_end_with_the_file() {
    let mut session = session();
    let file = session.open_name("\\file");
    for (request, plan) in [
        (
            cached(0, 100),
            Plan::Cached {
                offset: 0,
                length: 100,
            },
        ),
        (
            cached(4990, 100),
            Plan::Cached {
                offset: 4990,
                length: 10,
            },
        ),
        (
            cached(4999, 1),
            Plan::Cached {
                offset: 4999,
                length: 1,
            },
        ),
        (cached(5000, 1), refused(NtStatus::END_OF_FILE)),
        (cached(1 << 40, 1), refused(NtStatus::END_OF_FILE)),
        (cached(0, 0), Plan::Done(Outcome::success(0))),
        (cached(9999, 0), Plan::Done(Outcome::success(0))),
        (
            cached(0, u32::MAX),
            Plan::Cached {
                offset: 0,
                length: SIZE,
            },
        ),
        (cached(-1, 1), refused(NtStatus::INVALID_PARAMETER)),
        (cached(i64::MAX, 1), refused(NtStatus::INVALID_PARAMETER)),
    ] {
        assert_eq!(
            read::plan(&session.vcb, &file.fcb, &file.ccb, request),
            plan,
            "{request:?}"
        );
    }
}

#[test]
fn non_cached_reads_are_whole_sectors() {
    let mut session = session();
    let file = session.open_name("\\file");
    let non_cached = |offset, length| Request {
        non_cached: true,
        ..cached(offset, length)
    };
    let paging = |offset, length| Request {
        paging: true,
        ..non_cached(offset, length)
    };
    for (request, plan) in [
        (
            non_cached(512, 1024),
            Plan::Direct {
                offset: 512,
                length: 1024,
                information: 1024,
            },
        ),
        (
            non_cached(4608, 1024),
            Plan::Direct {
                offset: 4608,
                length: 1024,
                information: 392,
            },
        ),
        (non_cached(100, 512), refused(NtStatus::INVALID_PARAMETER)),
        (non_cached(512, 100), refused(NtStatus::INVALID_PARAMETER)),
        (non_cached(5120, 512), refused(NtStatus::END_OF_FILE)),
        (
            paging(4096, 4096),
            Plan::Direct {
                offset: 4096,
                length: 4096,
                information: 904,
            },
        ),
        (
            paging(4096, 904),
            Plan::Direct {
                offset: 4096,
                length: 904,
                information: 904,
            },
        ),
        (paging(8192, 4096), refused(NtStatus::END_OF_FILE)),
        (paging(100, 4096), refused(NtStatus::INVALID_PARAMETER)),
    ] {
        assert_eq!(
            read::plan(&session.vcb, &file.fcb, &file.ccb, request),
            plan,
            "{request:?}"
        );
    }
}

#[test]
fn only_files_and_the_volume_are_read() {
    let mut session = session();
    for name in ["\\dir", "\\link"] {
        let handle = session.open(&open(name).link());
        let plan = read::plan(&session.vcb, &handle.fcb, &handle.ccb, cached(0, 1));
        assert_eq!(plan, refused(NtStatus::INVALID_DEVICE_REQUEST), "{name}");
        let outcome = read::direct(&session.vcb, &handle.fcb, 0, &mut [0; 512]);
        assert_eq!(
            outcome,
            Outcome::failed(NtStatus::INVALID_DEVICE_REQUEST),
            "{name}"
        );
    }
    let volume = session.open_name("");
    for (request, plan) in [
        (
            cached(1024, 512),
            Plan::Device {
                offset: 1024,
                length: 512,
            },
        ),
        (
            cached((1 << 30) - 512, 1024),
            Plan::Device {
                offset: (1 << 30) - 512,
                length: 512,
            },
        ),
        (cached(1 << 30, 512), refused(NtStatus::END_OF_FILE)),
        (cached(1, 512), refused(NtStatus::INVALID_PARAMETER)),
    ] {
        assert_eq!(
            read::plan(&session.vcb, &volume.fcb, &volume.ccb, request),
            plan,
            "{request:?}"
        );
    }
}

#[test]
fn direct_reads_bring_the_bytes_and_zeros_after_them() {
    let mut session = session();
    let file = session.open_name("\\file");
    for (offset, length) in [
        (0u32, 5000u32),
        (0, 8192),
        (512, 512),
        (4096, 4096),
        (4608, 512),
        (0, 0),
    ] {
        let mut out = vec![UNTOUCHED; length as usize];
        let inside = (SIZE - offset).min(length) as usize;
        let outcome = read::direct(&session.vcb, &file.fcb, offset.into(), &mut out);
        assert_eq!(outcome, Outcome::success(inside), "{offset} {length}");
        assert_eq!(out[..inside], data()[offset as usize..][..inside]);
        assert!(out[inside..].iter().all(|byte| *byte == 0));
    }
    let outcome = read::direct(&session.vcb, &file.fcb, 8192, &mut [0; 512]);
    assert_eq!(outcome, Outcome::failed(NtStatus::END_OF_FILE));
}

#[test]
fn offsets_beyond_four_gigabytes_stay_whole() {
    let mut session = session();
    let hole = session.open_name("\\hole");
    let mut out = [UNTOUCHED; 1024];
    let outcome = read::direct(&session.vcb, &hole.fcb, (5 << 30) - 512, &mut out);
    assert_eq!(outcome, Outcome::success(512));
    assert_eq!(out, [0; 1024]);
    // The same low 32 bits as the file's head, which has data.
    let outcome = read::direct(&session.vcb, &hole.fcb, 4 << 30, &mut out);
    assert_eq!((outcome, out), (Outcome::success(1024), [0; 1024]));
    let request = cached((4 << 30) + 1, 10);
    let plan = read::plan(&session.vcb, &hole.fcb, &hole.ccb, request);
    assert_eq!(
        plan,
        Plan::Cached {
            offset: (4 << 30) + 1,
            length: 10
        }
    );
}

#[test]
fn an_error_leaves_no_half_data() {
    let mut volume = MemoryVolume::new();
    volume.file("/file", data());
    let mut session = Session::new(volume);
    let file = session.open_name("\\file");
    let mut broken = session.vcb.into_volume();
    broken.fail("/file", Errno::EIO);
    let session = Session::new(broken);
    let mut out = [UNTOUCHED; 512];
    let outcome = read::direct(&session.vcb, &file.fcb, 0, &mut out);
    assert_eq!(
        (outcome, out),
        (Outcome::failed(NtStatus::IO_DEVICE_ERROR), [0; 512])
    );
}
