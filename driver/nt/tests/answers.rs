//! What programs read of a driver's answers: whole or refused, whatever the bytes are.

use lklfs_nt::{
    FileInformationClass, NtStatus,
    dirinfo::{self, Entry},
    linux::{HAS_BIRTH, LinuxFile, LinuxVolume, ROOM, STALE, VolumeTexts},
    record::Field,
    writer::{EntryList, Pushed},
};
use proptest::prelude::*;

fn file() -> LinuxFile {
    LinuxFile {
        size_of_all: 0,
        fixed: 0,
        name_length: 0,
        target_length: 0,
        mode: 0o120_777,
        uid: 1000,
        gid: u32::MAX - 1,
        links: 2,
        device_major: 8,
        device_minor: 1,
        inode: 1 << 40,
        device: 8 << 32 | 2,
        size: u64::MAX,
        allocated: 4096,
        accessed: -1,
        modified: i64::MIN,
        changed: 3,
        born: 4,
        accessed_ns: 999_999_999,
        modified_ns: 1,
        changed_ns: 2,
        born_ns: 3,
        flags: HAS_BIRTH,
    }
}

fn volume() -> LinuxVolume {
    LinuxVolume {
        size_of_all: 0,
        fixed: 0,
        fs_name_length: 0,
        label_length: 0,
        uuid_length: 0,
        flags: STALE,
        unit: 1024,
        blocks: 12 << 10,
        blocks_free: 7,
        block_size: 4096,
        inodes: 3072,
        inodes_free: 3000,
        name_max: 255,
    }
}

const TEXTS: VolumeTexts<'_> = VolumeTexts {
    fs_name: b"ext4",
    label: b"a label of more than thirty-two bytes",
    uuid: b"1234-ABCD",
};

#[test]
fn a_file_survives_its_answer() {
    let mut out = [0x5A; ROOM];
    let length = file().write(b"na\xffme", b"../target", &mut out).unwrap();
    assert_eq!(length, LinuxFile::SIZE + 14);
    assert_eq!(out[length], 0x5A, "more was written than said");
    let (read, name, target) = LinuxFile::read(&out[..length]).unwrap();
    assert_eq!((name, target), (&b"na\xffme"[..], &b"../target"[..]));
    let lengths = LinuxFile {
        size_of_all: length as u32,
        fixed: LinuxFile::SIZE as u32,
        name_length: 5,
        target_length: 9,
        ..file()
    };
    assert_eq!(read, lengths);
}

#[test]
fn a_volume_survives_its_answer() {
    let mut out = [0; ROOM];
    let length = volume().write(TEXTS, &mut out).unwrap();
    let (read, texts) = LinuxVolume::read(&out[..length]).unwrap();
    assert_eq!(texts, TEXTS);
    assert_eq!((read.blocks, read.inodes, read.flags), (12 << 10, 3072, STALE));
}

#[test]
fn an_answer_is_whole_or_not_there() {
    let mut whole = [0; ROOM];
    let length = file().write(b"name", b"target", &mut whole).unwrap();
    for room in 0..length {
        let mut out = vec![0x5A; room];
        let written = file().write(b"name", b"target", &mut out);
        assert_eq!(written, Err(NtStatus::BUFFER_TOO_SMALL));
        assert!(out.iter().all(|byte| *byte == 0x5A));
        assert_eq!(LinuxFile::read(&whole[..room]), None, "{room}");
    }
    let length = volume().write(TEXTS, &mut whole).unwrap();
    for room in 0..length {
        assert_eq!(LinuxVolume::read(&whole[..room]), None, "{room}");
    }
}

#[test]
fn a_longer_record_of_a_newer_driver_is_read() {
    let mut out = [0; ROOM];
    let length = file().write(b"name", b"target", &mut out).unwrap();
    let fixed = LinuxFile::SIZE;
    let mut newer = out[..fixed].to_vec();
    newer.extend_from_slice(&[7; 16]);
    newer.extend_from_slice(&out[fixed..length]);
    newer[..4].copy_from_slice(&(length as u32 + 16).to_le_bytes());
    newer[4..8].copy_from_slice(&(fixed as u32 + 16).to_le_bytes());
    let (_, name, target) = LinuxFile::read(&newer).unwrap();
    assert_eq!((name, target), (&b"name"[..], &b"target"[..]));
}

fn listing(wanted: &[Vec<u16>]) -> Vec<u8> {
    let mut out = vec![0; 1 << 16];
    let mut list = EntryList::new(&mut out, 8);
    for name in wanted {
        let class = FileInformationClass::FileNamesInformation;
        assert_eq!(
            dirinfo::push(&mut list, class, &Entry::default(), name),
            Some(Pushed::Whole)
        );
    }
    let length = list.written();
    out.truncate(length);
    out
}

#[test]
fn damaged_listings_are_refused() {
    let wanted = [vec![0x61; 3], vec![0x62; 2], vec![0x63]];
    let answer = listing(&wanted);
    let read = |answer: &[u8]| {
        let mut names = Vec::new();
        dirinfo::names(answer, &mut names).map(|()| names)
    };
    assert_eq!(read(&answer).as_deref(), Ok(&wanted[..]));
    for length in 0..answer.len() {
        assert!(read(&answer[..length]).is_err(), "{length}");
    }
    for (at, byte, what) in [
        (0, 12, "the next entry overlaps the name"),
        (0, 26, "the next entry is at an odd place"),
        (8, 5, "a name of two and a half units"),
    ] {
        let mut damaged = answer.clone();
        damaged[at] = byte;
        assert!(read(&damaged).is_err(), "{what}");
    }
}

proptest! {
    #[test]
    fn names_come_back(wanted in prop::collection::vec(prop::collection::vec(any::<u16>(), 1..40), 1..40)) {
        let mut names = Vec::new();
        dirinfo::names(&listing(&wanted), &mut names).unwrap();
        prop_assert_eq!(names, wanted);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut names = Vec::new();
        let _ = dirinfo::names(&bytes, &mut names);
        prop_assert!(names.iter().map(Vec::len).sum::<usize>() * 2 <= bytes.len());
        if let Some((_, name, target)) = LinuxFile::read(&bytes) {
            prop_assert!(LinuxFile::SIZE + name.len() + target.len() <= bytes.len());
        }
        let _ = LinuxVolume::read(&bytes);
    }

    #[test]
    fn a_file_with_one_wrong_byte_keeps_within_its_bytes(at in 0usize..200, byte: u8) {
        let mut out = [0; ROOM];
        let length = file().write(b"some name", b"some target", &mut out).unwrap();
        out[at % length] = byte;
        if let Some((_, name, target)) = LinuxFile::read(&out[..length]) {
            prop_assert!(LinuxFile::SIZE + name.len() + target.len() <= length);
        }
    }
}
