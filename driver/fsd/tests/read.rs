//! READ: the way it goes, how many bytes, and which bytes.

mod support;

use lklfs_fsd::{
    Errno, FcbKind, Outcome,
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
        // The parts of a program begin at multiples of 512 bytes, or anywhere.
        (
            paging(100, 4096),
            Plan::Direct {
                offset: 100,
                length: 4096,
                information: 4096,
            },
        ),
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

/// What a READ has to lead to, from what is documented: MS-FSA 2.1.5.3 has negative offsets and sums beyond 2^63 - 1 first; FAT and
/// NTFS look for the end of the file before they look at sectors; the memory manager may read anywhere.
fn expected(kind: FcbKind, size: u64, sector: u64, request: Request) -> Plan {
    let Request {
        offset,
        length,
        non_cached,
        paging,
    } = request;
    if kind == FcbKind::Directory || kind == FcbKind::Reparse {
        return refused(NtStatus::INVALID_DEVICE_REQUEST);
    }
    if length == 0 {
        return Plan::Done(Outcome::success(0));
    }
    if offset < 0 || offset.checked_add(length.into()).is_none() {
        return refused(NtStatus::INVALID_PARAMETER);
    }
    let offset = offset as u64;
    if offset >= size {
        return refused(NtStatus::END_OF_FILE);
    }
    let whole = offset.is_multiple_of(sector) && u64::from(length).is_multiple_of(sector);
    if !paging && !whole && (non_cached || kind == FcbKind::Volume) {
        return refused(NtStatus::INVALID_PARAMETER);
    }
    let inside = (size - offset).min(length.into()) as u32;
    match kind {
        FcbKind::Volume => Plan::Device {
            offset,
            length: inside,
        },
        _ if non_cached || paging => Plan::Direct {
            offset,
            length,
            information: inside,
        },
        _ if size > (1 << 44) - (1 << 16) => Plan::Direct {
            offset,
            length: inside,
            information: inside,
        },
        _ => Plan::Cached {
            offset,
            length: inside,
        },
    }
}

#[test]
fn every_offset_and_length_near_an_edge_is_answered_in_the_order_of_fat_and_ntfs() {
    const HUGE: u64 = i64::MAX as u64;
    let sizes = [0, 1, 511, 512, 5000, 8192, (1 << 44) - (1 << 16), 1 << 44, HUGE];
    for sector in [512u32, 2048, 4096] {
        let mut volume = MemoryVolume::new();
        volume.directory("/dir").symlink("/link", "file");
        for size in sizes {
            volume.file(format!("/{size}"), b"");
            volume.edit(format!("/{size}"), |metadata| metadata.size = size);
        }
        let mut session = Session::with_sectors(volume, sector);
        let names = sizes.map(|size| format!("\\{size}"));
        let others = ["", "\\dir", "\\link"];
        for name in names.iter().map(String::as_str).chain(others) {
            let handle = session.open(&open(name).link());
            let (kind, size) = (handle.fcb.kind(), handle.fcb.file_size());
            let edges = [0, 512, 4096, size / 2, size, HUGE];
            for edge in edges {
                for step in [-4096i64, -513, -512, -1, 0, 1, 511, 512, 2048, 4096] {
                    let offset = (edge as i64).wrapping_add(step);
                    for length in [0, 1, 511, 512, 2048, 4096, 4097, 1 << 20, u32::MAX] {
                        for (non_cached, paging) in [(false, false), (true, false), (true, true)] {
                            let request = Request {
                                offset,
                                length,
                                non_cached,
                                paging,
                            };
                            let plan = read::plan(&session.vcb, &handle.fcb, &handle.ccb, request);
                            let wanted = expected(kind, size, sector.into(), request);
                            assert_eq!(
                                plan, wanted,
                                "{name:?}, {size} bytes, sectors of {sector}: {request:?}"
                            );
                        }
                    }
                }
            }
        }
    }
}
