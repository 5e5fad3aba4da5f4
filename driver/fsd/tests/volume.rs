//! QUERY_VOLUME_INFORMATION: status, Information and bytes of each class.

mod support;

use lklfs_fsd::{memory::MemoryVolume, volinfo};
use lklfs_nt::{FsInformationClass as Class, NtStatus, NtTime};
use support::{Session, text, u32_at, u64_at};

#[test]
fn the_volume_tells_label_serial_and_birth() {
    let session = Session::new(MemoryVolume::new());
    let (status, bytes) = session.query_volume(Class::FileFsVolumeInformation, 100);
    assert_eq!((status, bytes.len()), (NtStatus::SUCCESS, 26));
    assert_eq!(
        u64_at(&bytes, 0) as i64,
        NtTime::from_unix(1_700_000_000, 123_456_789).0
    );
    // 01234567 ^ 89abcdef ^ 10325476 ^ 98badcfe.
    assert_eq!(
        u32_at(&bytes, 8),
        0x0123_4567 ^ 0x89AB_CDEF ^ 0x1032_5476 ^ 0x98BA_DCFE
    );
    assert_eq!((u32_at(&bytes, 12), bytes[16]), (8, 0));
    assert_eq!(text(&bytes[18..]), "Test");
    let (status, bytes) = session.query_volume(Class::FileFsVolumeInformation, 23);
    assert_eq!(
        (status, text(&bytes[18..])),
        (NtStatus::BUFFER_OVERFLOW, "Te".into())
    );
    assert_eq!(
        session.query_volume(Class::FileFsVolumeInformation, 17).0,
        NtStatus::INFO_LENGTH_MISMATCH
    );
}

#[test]
fn a_volume_without_uuid_has_a_serial_that_depends_on_it() {
    let serial = |label: &str| {
        let mut volume = MemoryVolume::new();
        volume.edit_info(|info| (info.uuid, info.label) = ([0; 16], label.into()));
        let session = Session::new(volume);
        assert_eq!(
            session.query_volume(Class::FileFsObjectIdInformation, 64).0,
            NtStatus::OBJECTID_NOT_FOUND
        );
        volinfo::serial_32(&session.vcb)
    };
    assert_ne!(serial("a"), serial("b"));
    assert_ne!(serial("a"), 0);
}

#[test]
fn labels_of_any_bytes_fit_the_volume_label() {
    let mut volume = MemoryVolume::new();
    volume.edit_info(|info| info.label = [&[b'x'; 31][..], "🎉".as_bytes()].concat());
    let session = Session::new(volume);
    assert_eq!(
        volinfo::label(&session.vcb).unwrap(),
        [0x78; 31],
        "a pair is not cut in two"
    );
    let mut volume = MemoryVolume::new();
    volume.edit_info(|info| info.label = b"caf\xe9".to_vec());
    let session = Session::new(volume);
    assert_eq!(
        String::from_utf16(&volinfo::label(&session.vcb).unwrap()).unwrap(),
        "caf\u{FFFD}"
    );
}

#[test]
fn sizes_are_told_in_units_of_sectors() {
    let session = Session::new(MemoryVolume::new());
    let (_, bytes) = session.query_volume(Class::FileFsSizeInformation, 24);
    assert_eq!(
        (
            u64_at(&bytes, 0),
            u64_at(&bytes, 8),
            u32_at(&bytes, 16),
            u32_at(&bytes, 20)
        ),
        (1000, 500, 8, 512)
    );
    let (_, bytes) = session.query_volume(Class::FileFsFullSizeInformation, 32);
    assert_eq!(
        (u64_at(&bytes, 0), u64_at(&bytes, 8), u64_at(&bytes, 16)),
        (1000, 500, 600)
    );
    let (_, bytes) = session.query_volume(Class::FileFsFullSizeInformationEx, 96);
    assert_eq!(
        (u64_at(&bytes, 48), u64_at(&bytes, 56), u32_at(&bytes, 88)),
        (400, 100, 8)
    );
    let mut volume = MemoryVolume::new();
    volume.edit_info(|info| info.block_size = 1000);
    let session = Session::new(volume);
    let (_, bytes) = session.query_volume(Class::FileFsSizeInformation, 24);
    assert_eq!(
        (u32_at(&bytes, 16), u32_at(&bytes, 20)),
        (1, 1000),
        "blocks that are no multiple of sectors"
    );
}

#[test]
fn the_file_system_says_what_it_can_do() {
    let session = Session::new(MemoryVolume::new());
    let (status, bytes) = session.query_volume(Class::FileFsAttributeInformation, 100);
    assert_eq!(
        (status, u32_at(&bytes, 4), u32_at(&bytes, 8)),
        (NtStatus::SUCCESS, 255, 12)
    );
    // Search with case, case kept, Unicode, sparse, reparse points, read-only, hard links, extended attributes.
    assert_eq!(
        u32_at(&bytes, 0),
        0x1 | 0x2 | 0x4 | 0x40 | 0x80 | 0x8_0000 | 0x40_0000 | 0x80_0000
    );
    assert_eq!(text(&bytes[12..]), "memory");
    let (status, bytes) = session.query_volume(Class::FileFsAttributeInformation, 16);
    assert_eq!(
        (status, text(&bytes[12..])),
        (NtStatus::BUFFER_OVERFLOW, "me".into())
    );
    let (_, bytes) = session.query_volume(Class::FileFsDeviceInformation, 8);
    assert_eq!((u32_at(&bytes, 0), u32_at(&bytes, 4)), (7, 0x23));
    let (_, bytes) = session.query_volume(Class::FileFsSectorSizeInformation, 28);
    assert_eq!((u32_at(&bytes, 0), u32_at(&bytes, 4)), (512, 4096));
}

#[test]
fn sectors_are_the_devices_own() {
    let geometry = lklfs_fsd::Geometry {
        physical_sector_size: 16384,
        ..support::GEOMETRY
    };
    let Ok(vcb) = lklfs_fsd::Vcb::new(MemoryVolume::new(), geometry, Default::default()) else {
        panic!()
    };
    let mut out = [0; 28];
    let outcome = volinfo::query(&vcb, Class::FileFsSectorSizeInformation, &mut out);
    assert_eq!(outcome, lklfs_fsd::Outcome::success(28));
    let fields: Vec<u32> = (0..7).map(|at| u32_at(&out, at * 4)).collect();
    assert_eq!(fields, [512, 16384, 16384, 4096, 3, u32::MAX, u32::MAX]);
}

#[test]
fn every_fixed_class_has_its_length_and_refuses_less() {
    let session = Session::new(MemoryVolume::new());
    for (class, length) in [
        (Class::FileFsSizeInformation, 24),
        (Class::FileFsDeviceInformation, 8),
        (Class::FileFsControlInformation, 48),
        (Class::FileFsFullSizeInformation, 32),
        (Class::FileFsObjectIdInformation, 64),
        (Class::FileFsSectorSizeInformation, 28),
        (Class::FileFsFullSizeInformationEx, 96),
    ] {
        let (status, bytes) = session.query_volume(class, length + 9);
        assert_eq!((status, bytes.len()), (NtStatus::SUCCESS, length), "{class}");
        for given in 0..length {
            assert_eq!(
                session.query_volume(class, given).0,
                NtStatus::INFO_LENGTH_MISMATCH,
                "{class} {given}"
            );
        }
    }
    for class in [
        Class::FileFsLabelInformation,
        Class::FileFsDriverPathInformation,
        Class(0),
        Class(77),
    ] {
        assert_eq!(
            session.query_volume(class, 100).0,
            NtStatus::INVALID_INFO_CLASS,
            "{class}"
        );
    }
    assert_eq!(
        volinfo::set(Class::FileFsLabelInformation).status,
        NtStatus::MEDIA_WRITE_PROTECTED
    );
}
