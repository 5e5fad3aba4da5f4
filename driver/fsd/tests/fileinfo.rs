//! QUERY_INFORMATION and SET_INFORMATION: status, Information and bytes of each class.

mod support;

use lklfs_fsd::{
    Outcome, UnixTime,
    fileinfo::{self, SetPlan},
    memory::MemoryVolume,
};
use lklfs_nt::{
    AccessMask, CreateOptions, FileAttributes as A, FileInformationClass as Class, NtStatus, NtTime,
};
use support::{Session, open, text, u16_at, u32_at, u64_at};

const BIRTH: UnixTime = UnixTime {
    seconds: -1,
    nanoseconds: 500_000_000,
};
const MTIME: UnixTime = UnixTime {
    seconds: 16_725_225_600,
    nanoseconds: 123_456_789,
};

fn session() -> Session {
    let mut volume = MemoryVolume::new();
    volume
        .directory("/dir")
        .file("/dir/naïve.txt", vec![1; 5000])
        .edit("/dir/naïve.txt", |metadata| {
            metadata.btime = Some(BIRTH);
            metadata.mtime = MTIME;
            metadata.nlink = 3;
        })
        .set_xattr("/dir/naïve.txt", "user.a", b"value")
        .set_xattr("/dir/naïve.txt", "security.selinux", b"hidden")
        .set_xattr("/dir/naïve.txt", "user.bc", b"")
        .file("/.hidden", b"")
        .file("/sparse", b"")
        .edit("/sparse", |metadata| {
            (metadata.size, metadata.allocated) = (1 << 20, 4096)
        })
        .file("/packed", b"")
        .edit("/packed", |metadata| {
            (metadata.size, metadata.allocated) = (1 << 20, 4096);
            metadata.flags.compressed = true;
        })
        .file("/locked", b"")
        .edit("/locked", |metadata| metadata.flags.encrypted = true)
        .symlink("/to-dir", "dir")
        .symlink("/.to-file", "sparse");
    Session::new(volume)
}

fn times() -> [i64; 4] {
    let made = NtTime::from_unix(1_700_000_000, 123_456_700).0;
    [
        NtTime::from_unix(-1, 500_000_000).0,
        made,
        NtTime::from_unix(16_725_225_600, 123_456_700).0,
        made,
    ]
}

#[test]
fn basic_standard_and_network_open_tell_times_sizes_and_kind() {
    let mut session = session();
    let file = session.open_name("\\dir\\naïve.txt");
    let (status, bytes) = session.query(&file, Class::FileBasicInformation, 100);
    assert_eq!((status, bytes.len()), (NtStatus::SUCCESS, 40));
    for (at, time) in times().into_iter().enumerate() {
        assert_eq!(u64_at(&bytes, at * 8) as i64, time, "{at}");
    }
    assert_eq!(u64_at(&bytes, 32), u64::from(A::NORMAL.0));
    let (status, bytes) = session.query(&file, Class::FileStandardInformation, 24);
    assert_eq!(
        (status, u64_at(&bytes, 0), u64_at(&bytes, 8)),
        (NtStatus::SUCCESS, 8192, 5000)
    );
    assert_eq!((u32_at(&bytes, 16), &bytes[20..]), (3, &[0, 0, 0, 0][..]));
    let (status, bytes) = session.query(&file, Class::FileNetworkOpenInformation, 56);
    assert_eq!(
        (status, u64_at(&bytes, 32), u64_at(&bytes, 40)),
        (NtStatus::SUCCESS, 8192, 5000)
    );
    let directory = session.open_name("\\dir");
    let (_, bytes) = session.query(&directory, Class::FileStandardInformation, 24);
    assert_eq!((u64_at(&bytes, 0), u64_at(&bytes, 8), bytes[21]), (0, 0, 1));
}

#[test]
fn attributes_follow_the_kind() {
    let mut session = session();
    for (name, attributes) in [
        ("\\", A::DIRECTORY),
        ("\\dir", A::DIRECTORY),
        ("\\.hidden", A::HIDDEN),
        ("\\sparse", A::SPARSE_FILE),
        ("\\packed", A::COMPRESSED),
        ("\\locked", A::ENCRYPTED),
        ("\\to-dir", A::REPARSE_POINT | A::DIRECTORY),
        ("\\.to-file", A::REPARSE_POINT | A::HIDDEN),
    ] {
        let handle = session.open(&open(name).link());
        let (_, bytes) = session.query(&handle, Class::FileAttributeTagInformation, 8);
        assert_eq!(A(u32_at(&bytes, 0)), attributes, "{name}");
        let tag = if attributes.contains(A::REPARSE_POINT) {
            0xA000_000C
        } else {
            0
        };
        assert_eq!(u32_at(&bytes, 4), tag, "{name}");
    }
    let options = lklfs_fsd::VolumeOptions {
        hide_dot_files: false,
        ..Default::default()
    };
    let mut volume = MemoryVolume::new();
    volume.file("/.hidden", b"");
    let mut session = Session::with_options(volume, options);
    let handle = session.open_name("\\.hidden");
    let (_, bytes) = session.query(&handle, Class::FileAttributeTagInformation, 8);
    assert_eq!(A(u32_at(&bytes, 0)), A::NORMAL);
}

#[test]
fn every_fixed_class_has_its_length_and_refuses_less() {
    let mut session = session();
    let file = session.open_name("\\dir\\naïve.txt");
    for (class, length) in [
        (Class::FileBasicInformation, 40),
        (Class::FileStandardInformation, 24),
        (Class::FileInternalInformation, 8),
        (Class::FileEaInformation, 4),
        (Class::FileAccessInformation, 4),
        (Class::FilePositionInformation, 8),
        (Class::FileModeInformation, 4),
        (Class::FileAlignmentInformation, 4),
        (Class::FileCompressionInformation, 16),
        (Class::FileNetworkOpenInformation, 56),
        (Class::FileAttributeTagInformation, 8),
        (Class::FileStandardLinkInformation, 12),
        (Class::FileIdInformation, 24),
        (Class::FileStatInformation, 72),
        (Class::FileStatLxInformation, 96),
        (Class::FileStatBasicInformation, 104),
    ] {
        for given in [length, length + 1, length + 100] {
            let (status, bytes) = session.query(&file, class, given);
            assert_eq!(
                (status, bytes.len()),
                (NtStatus::SUCCESS, length),
                "{class} {given}"
            );
        }
        for given in 0..length {
            assert_eq!(
                session.query(&file, class, given).0,
                NtStatus::INFO_LENGTH_MISMATCH,
                "{class} {given}"
            );
        }
    }
}

#[test]
fn a_name_is_cut_where_the_buffer_ends() {
    let mut session = session();
    let file = session.open_name("\\DIR\\NAÏVE.TXT");
    let name = "\\dir\\naïve.txt";
    let whole = name.encode_utf16().count() * 2;
    for class in [
        Class::FileNameInformation,
        Class::FileNormalizedNameInformation,
        Class::FileAllInformation,
    ] {
        let head = if class == Class::FileAllInformation {
            100
        } else {
            4
        };
        for length in 0..head + whole + 4 {
            let (status, bytes) = session.query(&file, class, length);
            if length < head {
                assert_eq!(status, NtStatus::INFO_LENGTH_MISMATCH, "{class} {length}");
                continue;
            }
            assert_eq!(u32_at(&bytes, head - 4) as usize, whole, "{class} {length}");
            let got = &bytes[head..];
            if length < head + whole {
                assert_eq!(status, NtStatus::BUFFER_OVERFLOW, "{class} {length}");
                assert_eq!(got.len(), (length - head) / 2 * 2);
            } else {
                assert_eq!(
                    (status, got.len()),
                    (NtStatus::SUCCESS, whole),
                    "{class} {length}"
                );
            }
            assert!(name.starts_with(&text(got)), "{class} {length}");
        }
    }
    let root = session.open_name("\\");
    let (_, bytes) = session.query(&root, Class::FileNameInformation, 64);
    assert_eq!(text(&bytes[4..]), "\\");
}

#[test]
fn all_is_the_sum_of_its_parts() {
    let mut session = session();
    let file = session.open_name("\\dir\\naïve.txt");
    let (_, all) = session.query(&file, Class::FileAllInformation, 400);
    let mut at = 0;
    for (class, length) in [
        (Class::FileBasicInformation, 40),
        (Class::FileStandardInformation, 24),
        (Class::FileInternalInformation, 8),
        (Class::FileEaInformation, 4),
        (Class::FileAccessInformation, 4),
        (Class::FilePositionInformation, 8),
        (Class::FileModeInformation, 4),
        (Class::FileAlignmentInformation, 4),
    ] {
        let (_, part) = session.query(&file, class, length);
        assert_eq!(all[at..at + length], part, "{class}");
        at += length;
    }
    let (_, name) = session.query(&file, Class::FileNameInformation, 400);
    assert_eq!(all[at..], name);
    assert_eq!((u64_at(&all, 80), u32_at(&all, 88)), (77, 0x20));
    assert_eq!(u32_at(&all, 76), AccessMask::FILE_GENERIC_READ.0);
}

#[test]
fn streams_and_links_are_the_one_that_exists() {
    let mut session = session();
    let file = session.open_name("\\dir\\naïve.txt");
    let (status, bytes) = session.query(&file, Class::FileStreamInformation, 38);
    assert_eq!(
        (status, bytes.len(), u32_at(&bytes, 0), u32_at(&bytes, 4)),
        (NtStatus::SUCCESS, 38, 0, 14)
    );
    assert_eq!((u64_at(&bytes, 8), u64_at(&bytes, 16)), (5000, 8192));
    assert_eq!(text(&bytes[24..]), "::$DATA");
    assert_eq!(
        session.query(&file, Class::FileStreamInformation, 37),
        (NtStatus::BUFFER_OVERFLOW, vec![])
    );
    let directory = session.open_name("\\dir");
    assert_eq!(
        session.query(&directory, Class::FileStreamInformation, 38),
        (NtStatus::SUCCESS, vec![])
    );

    let (status, bytes) = session.query(&file, Class::FileHardLinkInformation, 100);
    assert_eq!((status, bytes.len()), (NtStatus::SUCCESS, 8 + 20 + 18));
    assert_eq!((u32_at(&bytes, 0), u32_at(&bytes, 4)), (46, 1));
    let (_, parent) = session.query(&directory, Class::FileInternalInformation, 8);
    assert_eq!((&bytes[16..24], u32_at(&bytes, 24)), (&parent[..], 9));
    assert_eq!(text(&bytes[28..]), "naïve.txt");
    let (status, bytes) = session.query(&file, Class::FileHardLinkInformation, 45);
    assert_eq!(
        (status, u32_at(&bytes, 0), u32_at(&bytes, 4)),
        (NtStatus::BUFFER_OVERFLOW, 46, 0)
    );
}

#[test]
fn extended_attributes_are_counted_as_a_list_would_have_them() {
    let mut session = session();
    let file = session.open_name("\\dir\\naïve.txt");
    let (_, bytes) = session.query(&file, Class::FileEaInformation, 4);
    // user.a with 5 bytes: 8 + 6 + 1 + 5 = 20; user.bc: 8 + 7 + 1 = 16.
    assert_eq!(u32_at(&bytes, 0), 36);
}

#[test]
fn classes_that_have_no_answer_say_so() {
    let mut session = session();
    let file = session.open_name("\\dir\\naïve.txt");
    let directory = session.open_name("\\dir");
    let volume = session.open_name("");
    for (handle, class, status) in [
        (
            &file,
            Class::FileAlternateNameInformation,
            NtStatus::OBJECT_NAME_NOT_FOUND,
        ),
        (
            &file,
            Class::FileRemoteProtocolInformation,
            NtStatus::INVALID_PARAMETER,
        ),
        (
            &file,
            Class::FileCaseSensitiveInformation,
            NtStatus::INVALID_PARAMETER,
        ),
        (&directory, Class::FileCaseSensitiveInformation, NtStatus::SUCCESS),
        (
            &file,
            Class::FileDirectoryInformation,
            NtStatus::INVALID_INFO_CLASS,
        ),
        (&file, Class(0), NtStatus::INVALID_INFO_CLASS),
        (&file, Class(999), NtStatus::INVALID_INFO_CLASS),
        (&volume, Class::FileBasicInformation, NtStatus::INVALID_PARAMETER),
        (&volume, Class::FilePositionInformation, NtStatus::SUCCESS),
    ] {
        assert_eq!(session.query(handle, class, 200).0, status, "{class}");
    }
}

#[test]
fn identities_agree_between_classes() {
    let mut session = session();
    let file = session.open_name("\\dir\\naïve.txt");
    let (_, internal) = session.query(&file, Class::FileInternalInformation, 8);
    let (_, id) = session.query(&file, Class::FileIdInformation, 24);
    let (_, stat) = session.query(&file, Class::FileStatInformation, 72);
    let (_, basic) = session.query(&file, Class::FileStatBasicInformation, 104);
    assert_eq!(id[8..16], internal[..]);
    assert_eq!(stat[..8], internal[..]);
    assert_eq!(
        (&basic[..8], &basic[80..88], &basic[88..]),
        (&internal[..], &id[..8], &id[8..])
    );
    assert_ne!(u64_at(&id, 16), 0, "the device is part of the identity");
    assert_eq!(u16_at(&stat, 56), A::NORMAL.0 as u16);
}

#[test]
fn the_position_alone_can_be_set() {
    let mut session = session();
    let file = session.open_name("\\dir\\naïve.txt");
    let set = |handle: &support::Handle, class, input: &[u8]| {
        fileinfo::set(&session.vcb, &handle.fcb, &handle.ccb, class, input)
    };
    let refused = |status| SetPlan::Done(Outcome::failed(status));
    let position = Class::FilePositionInformation;
    assert_eq!(
        set(&file, position, &(5i64 << 32).to_le_bytes()),
        SetPlan::Position(5 << 32)
    );
    assert_eq!(
        set(&file, position, &(-1i64).to_le_bytes()),
        refused(NtStatus::INVALID_PARAMETER)
    );
    assert_eq!(
        set(&file, position, &[0; 7]),
        refused(NtStatus::INFO_LENGTH_MISMATCH)
    );
    for class in [
        Class::FileBasicInformation,
        Class::FileEndOfFileInformation,
        Class::FileDispositionInformationEx,
    ] {
        assert_eq!(
            set(&file, class, &[0; 40]),
            refused(NtStatus::MEDIA_WRITE_PROTECTED)
        );
    }
    let unbuffered = open("\\dir\\naïve.txt").options(CreateOptions::FILE_NO_INTERMEDIATE_BUFFERING);
    let mut other = self::session();
    let unbuffered = other.open(&unbuffered);
    assert_eq!(
        set(&unbuffered, position, &511i64.to_le_bytes()),
        refused(NtStatus::INVALID_PARAMETER)
    );
    assert_eq!(
        set(&unbuffered, position, &512i64.to_le_bytes()),
        SetPlan::Position(512)
    );
}
