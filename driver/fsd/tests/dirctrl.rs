//! DIRECTORY_CONTROL: what listings hold, in which shape, and how they go on.

mod support;

use std::collections::BTreeSet;

use lklfs_fsd::{
    Errno, Outcome,
    dirctrl::{self, NotifyPlan, Query},
    memory::MemoryVolume,
};
use lklfs_nt::{FileAttributes, FileInformationClass as Class, NtStatus};
use proptest::prelude::*;
use support::{Handle, Session, open, text, u32_at, u64_at, utf16};

/// (class, offset of the name's length, offset of the name).
const SHAPES: [(Class, usize, usize); 12] = [
    (Class::FileDirectoryInformation, 60, 64),
    (Class::FileFullDirectoryInformation, 60, 68),
    (Class::FileBothDirectoryInformation, 60, 94),
    (Class::FileNamesInformation, 8, 12),
    (Class::FileIdBothDirectoryInformation, 60, 104),
    (Class::FileIdFullDirectoryInformation, 60, 80),
    (Class::FileIdExtdDirectoryInformation, 60, 88),
    (Class::FileIdExtdBothDirectoryInformation, 60, 114),
    (Class::FileId64ExtdDirectoryInformation, 60, 80),
    (Class::FileId64ExtdBothDirectoryInformation, 60, 106),
    (Class::FileIdAllExtdDirectoryInformation, 60, 96),
    (Class::FileIdAllExtdBothDirectoryInformation, 60, 122),
];

fn session() -> Session {
    let mut volume = MemoryVolume::new();
    volume
        .directory("/d")
        .file("/d/one.txt", b"1")
        .file("/d/Two.TXT", b"22")
        .directory("/d/three")
        .symlink("/d/link", "three")
        .file("/d/a:b.", b"")
        .directory("/empty");
    Session::new(volume)
}

fn query(class: Class) -> Query<'static> {
    Query {
        class,
        pattern: None,
        restart: false,
        single: false,
        index: None,
    }
}

/// The entries of an answer, each as its bytes from its start to the next.
fn entries(answer: &[u8]) -> Vec<&[u8]> {
    let mut entries = Vec::new();
    let mut rest = answer;
    loop {
        let next = u32_at(rest, 0) as usize;
        if next == 0 {
            entries.push(rest);
            return entries;
        }
        assert_eq!(next % 8, 0, "entries begin at multiples of 8");
        entries.push(&rest[..next]);
        rest = &rest[next..];
    }
}

fn names_in(answer: &[u8], class: Class) -> Vec<String> {
    let (_, length_at, name_at) = *SHAPES.iter().find(|(shape, ..)| *shape == class).unwrap();
    let name = |entry: &&[u8]| text(&entry[name_at..][..u32_at(entry, length_at) as usize]);
    entries(answer).iter().map(name).collect()
}

/// All names that a listing gives with buffers of `length` bytes.
fn list_all(session: &Session, handle: &mut Handle, query: &Query<'_>, length: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut query = *query;
    loop {
        match session.list(handle, &query, length) {
            (NtStatus::SUCCESS, answer) => all.extend(names_in(&answer, query.class)),
            (status, _) => {
                let expected = if all.is_empty() {
                    NtStatus::NO_SUCH_FILE
                } else {
                    NtStatus::NO_MORE_FILES
                };
                assert_eq!(status, expected);
                assert_eq!(
                    session
                        .list(
                            handle,
                            &Query {
                                restart: false,
                                ..query
                            },
                            length
                        )
                        .0,
                    NtStatus::NO_MORE_FILES
                );
                return all;
            }
        }
        query.restart = false;
    }
}

const ALL: [&str; 7] = [
    ".",
    "..",
    "one.txt",
    "Two.TXT",
    "three",
    "link",
    "a\u{F03A}b\u{F02E}",
];

#[test]
fn every_class_lists_every_name_whatever_the_buffer() {
    let mut session = session();
    for (class, _, name_at) in SHAPES {
        for length in [name_at + 16, 200, 300, 1000, 65536] {
            let mut handle = session.open_name("\\d");
            assert_eq!(
                list_all(&session, &mut handle, &query(class), length),
                ALL,
                "{class} {length}"
            );
        }
    }
}

#[test]
fn the_root_has_no_dots_and_an_empty_directory_has_them() {
    let mut session = session();
    let mut root = session.open_name("\\");
    assert_eq!(
        list_all(&session, &mut root, &query(Class::FileNamesInformation), 4096),
        ["d", "empty"]
    );
    let mut empty = session.open_name("\\empty");
    assert_eq!(
        list_all(&session, &mut empty, &query(Class::FileNamesInformation), 4096),
        [".", ".."]
    );
}

#[test]
fn an_entry_says_what_a_query_of_the_file_says() {
    let mut session = session();
    let mut handle = session.open_name("\\d");
    let (_, answer) = session.list(
        &mut handle,
        &query(Class::FileIdExtdBothDirectoryInformation),
        4096,
    );
    for (entry, name) in entries(&answer).iter().zip(ALL) {
        let path = match name {
            "." => "\\d".into(),
            ".." => "\\".into(),
            name => format!("\\d\\{name}"),
        };
        let file = session.open(&open(&path).link());
        let (_, basic) = session.query(&file, Class::FileBasicInformation, 40);
        let (_, standard) = session.query(&file, Class::FileStandardInformation, 24);
        let (_, tag) = session.query(&file, Class::FileAttributeTagInformation, 8);
        let (_, id) = session.query(&file, Class::FileIdInformation, 24);
        assert_eq!(entry[8..40], basic[..32], "times of {name}");
        assert_eq!(entry[40..48], standard[8..16], "end of {name}");
        assert_eq!(entry[48..56], standard[..8], "allocation of {name}");
        assert_eq!(entry[56..60], tag[..4], "attributes of {name}");
        assert_eq!(entry[68..72], tag[4..8], "tag of {name}");
        assert_eq!(entry[72..88], id[8..24], "identity of {name}");
        assert_eq!(entry[88], 0, "no short name");
    }
    let link = entries(&answer)[5];
    let attributes = FileAttributes(u32_at(link, 56));
    assert_eq!(
        attributes,
        FileAttributes::REPARSE_POINT | FileAttributes::DIRECTORY
    );
    // In the classes without a place for it, the tag stands for the size of the attributes.
    let mut again = session.open_name("\\d");
    let (_, answer) = session.list(&mut again, &query(Class::FileBothDirectoryInformation), 4096);
    assert_eq!(u32_at(entries(&answer)[5], 64), 0xA000_000C);
    assert_eq!(u32_at(entries(&answer)[2], 64), 0);
    assert_eq!(u64_at(entries(&answer)[3], 40), 2);
}

#[test]
fn patterns_choose_among_the_entries() {
    let mut session = session();
    for (pattern, names) in [
        ("*.txt", &["one.txt", "Two.TXT"][..]),
        ("t*", &["Two.TXT", "three"]),
        ("ONE.TXT", &["one.txt"]),
        ("<.txt", &["one.txt", "Two.TXT"]),
        ("???", &[]),
        ("*", &ALL),
        (".", &["."]),
        ("..", &[".."]),
        ("nothing", &[]),
        ("no|name", &[]),
        ("a\u{F03A}b\u{F02E}", &["a\u{F03A}b\u{F02E}"]),
    ] {
        let mut handle = session.open_name("\\d");
        let pattern = utf16(pattern);
        let query = Query {
            pattern: Some(&pattern),
            ..query(Class::FileBothDirectoryInformation)
        };
        assert_eq!(
            list_all(&session, &mut handle, &query, 4096),
            names,
            "{}",
            String::from_utf16_lossy(&pattern)
        );
    }
    let mut exact = session.open(&open("\\d").case_sensitive());
    let pattern = utf16("T*");
    let query = Query {
        pattern: Some(&pattern),
        ..query(Class::FileNamesInformation)
    };
    assert_eq!(list_all(&session, &mut exact, &query, 4096), ["Two.TXT"]);
}

#[test]
fn the_first_pattern_stays_until_a_restart_brings_another() {
    let mut session = session();
    let mut handle = session.open_name("\\d");
    let (txt, three) = (utf16("*.txt"), utf16("three"));
    let names = query(Class::FileNamesInformation);
    let first = Query {
        pattern: Some(&txt),
        single: true,
        ..names
    };
    let (_, answer) = session.list(&mut handle, &first, 100);
    assert_eq!(names_in(&answer, names.class), ["one.txt"]);
    let other = Query {
        pattern: Some(&three),
        ..names
    };
    let (_, answer) = session.list(&mut handle, &other, 100);
    assert_eq!(names_in(&answer, names.class), ["Two.TXT"]);
    let (_, answer) = session.list(
        &mut handle,
        &Query {
            restart: true,
            ..names
        },
        100,
    );
    assert_eq!(names_in(&answer, names.class), ["one.txt", "Two.TXT"]);
    let (_, answer) = session.list(
        &mut handle,
        &Query {
            restart: true,
            ..other
        },
        100,
    );
    assert_eq!(names_in(&answer, names.class), ["three"]);
    assert_eq!(session.list(&mut handle, &names, 100).0, NtStatus::NO_MORE_FILES);
}

#[test]
fn a_listing_goes_on_after_an_index() {
    let mut session = session();
    let mut handle = session.open_name("\\d");
    let all = query(Class::FileNamesInformation);
    let (_, answer) = session.list(&mut handle, &all, 4096);
    let indexes: Vec<u32> = entries(&answer).iter().map(|entry| u32_at(entry, 4)).collect();
    assert!(indexes.is_sorted_by(|a, b| a < b));
    for (at, index) in indexes.iter().enumerate() {
        let (status, answer) = session.list(
            &mut handle,
            &Query {
                index: Some(*index),
                ..all
            },
            4096,
        );
        if at + 1 == ALL.len() {
            assert_eq!(status, NtStatus::NO_MORE_FILES);
        } else {
            assert_eq!(names_in(&answer, all.class), ALL[at + 1..], "{index}");
        }
    }
}

#[test]
fn one_long_name_is_cut_and_the_listing_goes_on() {
    let mut volume = MemoryVolume::new();
    let long = "x".repeat(200);
    volume.file(format!("/{long}"), b"").file("/y", b"");
    let mut session = Session::new(volume);
    let mut root = session.open_name("\\");
    let names = query(Class::FileNamesInformation);
    let (status, answer) = session.list(&mut root, &names, 33);
    assert_eq!(
        (status, answer.len(), u32_at(&answer, 8)),
        (NtStatus::BUFFER_OVERFLOW, 32, 400)
    );
    assert_eq!(text(&answer[12..]), "x".repeat(10));
    let (status, answer) = session.list(&mut root, &names, 33);
    assert_eq!(
        (status, names_in(&answer, names.class)),
        (NtStatus::SUCCESS, vec!["y".into()])
    );
}

#[test]
fn buffers_without_room_for_a_record_are_refused() {
    let mut session = session();
    for (class, _, name_at) in SHAPES {
        let mut handle = session.open_name("\\d");
        for length in 0..name_at {
            assert_eq!(
                session.list(&mut handle, &query(class), length).0,
                NtStatus::INFO_LENGTH_MISMATCH,
                "{class}"
            );
        }
        let (status, answer) = session.list(&mut handle, &query(class), name_at);
        assert_eq!(
            (status, answer.len()),
            (NtStatus::BUFFER_OVERFLOW, name_at),
            "{class}"
        );
    }
    let mut handle = session.open_name("\\d");
    for class in [
        Class::FileBasicInformation,
        Class(0),
        Class::FileReparsePointInformation,
    ] {
        assert_eq!(
            session.list(&mut handle, &query(class), 4096).0,
            NtStatus::INVALID_INFO_CLASS
        );
    }
    for name in ["\\d\\one.txt", "\\d\\link", ""] {
        let mut handle = session.open(&open(name).link());
        let status = session
            .list(&mut handle, &query(Class::FileNamesInformation), 4096)
            .0;
        assert_eq!(status, NtStatus::INVALID_PARAMETER, "{name}");
    }
}

#[test]
fn one_damaged_inode_does_not_hide_the_rest() {
    let mut volume = MemoryVolume::new();
    volume
        .file("/a", b"1")
        .directory("/bad")
        .file("/c", b"2")
        .fail("/bad", Errno::EUCLEAN);
    let mut session = Session::new(volume);
    let mut root = session.open_name("\\");
    let (status, answer) = session.list(&mut root, &query(Class::FileIdBothDirectoryInformation), 4096);
    assert_eq!(status, NtStatus::SUCCESS);
    assert_eq!(
        names_in(&answer, Class::FileIdBothDirectoryInformation),
        ["a", "bad", "c"]
    );
    let bad = entries(&answer)[1];
    assert_eq!((u32_at(bad, 56), u64_at(bad, 40), u64_at(bad, 96)), (0x10, 0, 0));
}

#[test]
fn a_directory_that_cannot_be_read_says_why() {
    let mut volume = MemoryVolume::new();
    volume.directory("/d");
    let mut session = Session::new(volume.clone());
    let mut handle = session.open_name("\\d");
    volume.fail("/d", Errno::EIO);
    let session = Session::new(volume);
    let names = Query {
        pattern: Some(&utf16("x*")),
        ..query(Class::FileNamesInformation)
    };
    assert_eq!(
        session.list(&mut handle, &names, 4096).0,
        NtStatus::IO_DEVICE_ERROR
    );
    assert_eq!(
        session.list(&mut handle, &names, 4096).0,
        NtStatus::IO_DEVICE_ERROR
    );
}

#[test]
fn a_directory_that_goes_in_a_circle_ends_as_damaged() {
    for count in [1usize, 5, 123, 128, 400] {
        let mut volume = MemoryVolume::new();
        volume.directory("/d");
        for number in 0..count {
            volume.file(format!("/d/f{number}"), b"");
        }
        volume.circle("/d");
        let mut session = Session::new(volume);
        let mut handle = session.open_name("\\d");
        for length in [200, 4096, 65536] {
            let mut listed = Vec::new();
            let mut names = Query {
                restart: true,
                ..query(Class::FileNamesInformation)
            };
            let end = loop {
                match session.list(&mut handle, &names, length) {
                    (NtStatus::SUCCESS, answer) => listed.extend(names_in(&answer, names.class)),
                    (status, _) => break status,
                }
                names.restart = false;
                assert!(listed.len() < 8 * count + 300, "{count} names come for ever");
            };
            assert_eq!(end, NtStatus::FILE_CORRUPT_ERROR);
            // And again: the end is not forgotten.
            assert_eq!(session.list(&mut handle, &names, length).0, end);
            let all: BTreeSet<String> = listed.into_iter().collect();
            assert_eq!(all.len(), count + 2, "what is there is shown");
        }
        let none = utf16("no*such");
        let none = Query {
            pattern: Some(&none),
            restart: true,
            ..query(Class::FileNamesInformation)
        };
        assert_eq!(
            session.list(&mut handle, &none, 4096).0,
            NtStatus::FILE_CORRUPT_ERROR,
            "a search comes back"
        );
        assert_eq!(
            session.refused(&open("\\d\\NoSuchName")),
            NtStatus::FILE_CORRUPT_ERROR,
            "an open by a name that is not there comes back"
        );
    }
}

#[test]
fn notifications_wait_on_directories_only() {
    let mut session = session();
    let directory = session.open_name("\\d");
    assert_eq!(dirctrl::notify(&directory.fcb, &directory.ccb), NotifyPlan::Pend);
    let file = session.open_name("\\d\\one.txt");
    let refused = NotifyPlan::Done(Outcome::failed(NtStatus::INVALID_PARAMETER));
    assert_eq!(dirctrl::notify(&file.fcb, &file.ccb), refused);
}

#[test]
fn many_entries_come_once_each_in_linuxs_order() {
    let mut volume = MemoryVolume::new();
    let names: Vec<String> = (0..1000)
        .map(|at| format!("f{:04}-{}", at * 7919 % 1000, "n".repeat(at % 40)))
        .collect();
    for name in &names {
        volume.file(format!("/{name}"), b"");
    }
    let mut session = Session::new(volume);
    for length in [220, 512, 4096, 65536] {
        let mut root = session.open_name("\\");
        assert_eq!(
            list_all(
                &session,
                &mut root,
                &query(Class::FileIdBothDirectoryInformation),
                length
            ),
            names
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Whatever the sizes of the buffers, the single-entry flags and the classes on the way, every name comes once.
    #[test]
    fn a_listing_survives_any_sequence_of_queries(
        count in 0usize..40,
        steps in prop::collection::vec((140usize..700, any::<bool>(), 0usize..12), 100)
    ) {
        let mut volume = MemoryVolume::new();
        for at in 0..count {
            volume.file(format!("/name-{at}"), b"");
        }
        let mut session = Session::new(volume);
        let mut root = session.open_name("\\");
        let mut seen = Vec::new();
        for (length, single, class) in steps {
            let query = Query { single, ..query(SHAPES[class].0) };
            match session.list(&mut root, &query, length) {
                (NtStatus::SUCCESS, answer) => {
                    let names = names_in(&answer, query.class);
                    prop_assert!(!single || names.len() == 1);
                    seen.extend(names);
                }
                (status, _) => {
                    prop_assert!(matches!(status, NtStatus::NO_MORE_FILES | NtStatus::NO_SUCH_FILE));
                    break;
                }
            }
        }
        let set: BTreeSet<_> = seen.iter().cloned().collect();
        prop_assert_eq!(set.len(), seen.len());
        prop_assert_eq!(seen.len(), count);
    }
}
