//! Answers never exceed their buffer, and say exactly what they wrote.

use lklfs_nt::{
    FileInformationClass, NtStatus,
    dirinfo::{self, Entry},
    fileinfo::{FileInternalInformation, FileNameInformation, FileStatLxInformation, FileStreamInformation},
    fsinfo::FileFsVolumeInformation,
    record::{Field, Record},
    writer::{EntryList, Pushed, fixed, named},
};
use proptest::prelude::*;

const MARK: u8 = 0x5A;

fn untouched(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == MARK)
}

#[test]
fn a_fixed_record_is_whole_or_not_there() {
    let record = FileInternalInformation {
        index_number: 0x0102_0304_0506_0708,
    };
    for length in 0..20 {
        let mut out = vec![MARK; length];
        let (status, written) = fixed(&mut out, &record);
        if length < 8 {
            assert_eq!((status, written), (NtStatus::INFO_LENGTH_MISMATCH, 0));
            assert!(untouched(&out));
        } else {
            assert_eq!((status, written), (NtStatus::SUCCESS, 8));
            assert_eq!(out[..8], [8, 7, 6, 5, 4, 3, 2, 1]);
            assert!(untouched(&out[8..]));
        }
    }
}

#[test]
fn padding_inside_and_at_the_end_is_zero() {
    let volume = FileFsVolumeInformation {
        volume_creation_time: lklfs_nt::NtTime(-1),
        volume_serial_number: u32::MAX,
        volume_label_length: 0,
        supports_objects: true,
    };
    let mut out = [MARK; 24];
    assert_eq!(fixed(&mut out, &volume), (NtStatus::SUCCESS, 24));
    assert_eq!(out[16..], [1, 0, 0, 0, 0, 0, 0, 0]);
}

fn every_class() -> Vec<FileInformationClass> {
    (0..100)
        .map(FileInformationClass)
        .filter(|class| dirinfo::is_directory_class(*class))
        .collect()
}

#[test]
fn twelve_classes_list_directories() {
    assert_eq!(every_class().len(), 12);
    for class in 0..100 {
        let class = FileInformationClass(class);
        let mut out = [0; 200];
        let pushed = dirinfo::push(&mut EntryList::new(&mut out, 8), class, &Entry::default(), &[]);
        assert_eq!(pushed.is_some(), dirinfo::is_directory_class(class), "{class}");
    }
}

proptest! {
    #[test]
    fn records_come_back(bytes in prop::collection::vec(any::<u8>(), 96)) {
        let record = FileStatLxInformation::get(&bytes).unwrap();
        let mut out = [0; 96];
        record.put(&mut out);
        prop_assert_eq!(&out[..], &bytes[..]);
        prop_assert_eq!(FileStatLxInformation::get(&bytes[..95]), None);
    }

    #[test]
    fn a_name_is_cut_between_units(name in prop::collection::vec(any::<u16>(), 0..40), length in 0usize..100) {
        let record = FileNameInformation { file_name_length: u32::try_from(name.len() * 2).unwrap() };
        let mut out = vec![MARK; length];
        let (status, written) = named(&mut out, &record, &name);
        prop_assert!(untouched(&out[written..]));
        if length < FileNameInformation::NAME_OFFSET {
            prop_assert_eq!((status, written), (NtStatus::INFO_LENGTH_MISMATCH, 0));
        } else {
            let fits = ((length - 4) / 2).min(name.len());
            prop_assert_eq!(written, 4 + fits * 2);
            prop_assert_eq!(status == NtStatus::SUCCESS, fits == name.len());
            let bytes: Vec<u8> = name[..fits].iter().flat_map(|unit| unit.to_le_bytes()).collect();
            prop_assert_eq!(&out[4..written], &bytes[..]);
        }
    }

    /// Whatever is pushed, the list is well linked, and what did not fit left no trace.
    #[test]
    fn lists_are_linked_and_bounded(
        length in 0usize..2000,
        pushes in prop::collection::vec((0usize..12, 0usize..60), 0..30)
    ) {
        let classes = every_class();
        let mut out = vec![MARK; length];
        let mut list = EntryList::new(&mut out, 8);
        let mut whole = Vec::new();
        for (index, (class, name)) in pushes.into_iter().enumerate() {
            let entry = Entry { file_index: u32::try_from(index).unwrap(), ..Entry::default() };
            let name = vec![u16::try_from(index).unwrap(); name];
            let before = list.written();
            match dirinfo::push(&mut list, classes[class], &entry, &name).unwrap() {
                Pushed::Whole => whole.push(index),
                Pushed::Cut => {
                    prop_assert_eq!(before, 0);
                    whole.push(index);
                    break;
                }
                Pushed::Full | Pushed::TooSmall => prop_assert_eq!(list.written(), before),
            }
        }
        let written = list.written();
        prop_assert!(untouched(&out[written..]));
        let mut at = 0;
        let mut seen = Vec::new();
        while !whole.is_empty() {
            prop_assert_eq!(at % 8, 0);
            seen.push(u32::get(&out[at + 4..]).unwrap() as usize);
            match u32::get(&out[at..]).unwrap() as usize {
                0 => break,
                next => at += next,
            }
            prop_assert!(at < written);
        }
        prop_assert_eq!(seen, whole);
    }
}

#[test]
fn streams_and_names_begin_where_c_has_them() {
    assert_eq!(
        (
            FileStreamInformation::NAME_OFFSET,
            FileFsVolumeInformation::NAME_OFFSET
        ),
        (24, 18)
    );
}
