//! Names: the mapping is a bijection, and finding by name follows it.

mod support;

use lklfs_fsd::{
    Wait,
    memory::MemoryVolume,
    namesup::{find, to_linux, to_windows},
};
use lklfs_nt::NtStatus;
use proptest::prelude::*;
use support::utf16;

fn windows(name: impl AsRef<[u8]>) -> String {
    String::from_utf16(&to_windows(name.as_ref()).unwrap()).unwrap()
}

#[test]
fn what_windows_allows_stays_as_it_is() {
    for name in [
        "a",
        "Größe.txt",
        "日本語",
        "🎉",
        ".hidden",
        "a.b.c",
        "a b",
        "...x",
        "CONSOLE",
        "com0",
        "com10",
        "nul_",
    ] {
        assert_eq!(windows(name), name);
    }
}

#[test]
fn what_windows_forbids_goes_to_private_use() {
    for (linux, expected) in [
        (&b"a:b"[..], "a\u{F03A}b"),
        (b"a\\b", "a\u{F05C}b"),
        (
            b"\x01*?\"<>|",
            "\u{F001}\u{F02A}\u{F03F}\u{F022}\u{F03C}\u{F03E}\u{F07C}",
        ),
        (b"end.", "end\u{F02E}"),
        (b"end..", "end.\u{F02E}"),
        (b"end ", "end\u{F020}"),
        (b" ", "\u{F020}"),
        (b"...", "..\u{F02E}"),
        (b"caf\xe9", "caf\u{F0E9}"),
        (b"\xff\xfe", "\u{F0FF}\u{F0FE}"),
        // A surrogate in UTF-8, and an overlong form, are no UTF-8.
        (b"\xed\xa0\x80", "\u{F0ED}\u{F0A0}\u{F080}"),
        (b"\xc0\xaf", "\u{F0C0}\u{F0AF}"),
        // The private-use characters themselves.
        ("a\u{F03A}b".as_bytes(), "a\u{F0EF}\u{F080}\u{F0BA}b"),
        ("\u{F100}".as_bytes(), "\u{F100}"),
    ] {
        assert_eq!(windows(linux), expected, "{}", linux.escape_ascii());
    }
}

#[test]
fn device_names_are_no_devices() {
    for (linux, expected) in [
        ("CON", "CO\u{F04E}"),
        ("nul", "nu\u{F06C}"),
        ("Aux.txt", "Au\u{F078}.txt"),
        ("prn.a.b", "pr\u{F06E}.a.b"),
        ("COM1", "CO\u{F04D}1"),
        ("lpt9.log", "lp\u{F074}9.log"),
        ("COM²", "CO\u{F04D}²"),
        ("CON .txt", "CO\u{F04E} .txt"),
        ("CONIN$", "CO\u{F04E}IN$"),
        ("conout$.x", "co\u{F06E}out$.x"),
    ] {
        assert_eq!(windows(linux), expected, "{linux}");
    }
}

#[test]
fn names_that_are_the_form_of_nothing_are_refused() {
    for (name, status) in [
        ("", NtStatus::OBJECT_NAME_INVALID),
        (".", NtStatus::OBJECT_NAME_INVALID),
        ("..", NtStatus::OBJECT_NAME_INVALID),
        ("a/b", NtStatus::OBJECT_NAME_INVALID),
        ("a*", NtStatus::OBJECT_NAME_INVALID),
        ("a\0", NtStatus::OBJECT_NAME_INVALID),
        // Spellings that are not the canonical ones.
        ("NUL", NtStatus::OBJECT_NAME_NOT_FOUND),
        ("a.", NtStatus::OBJECT_NAME_NOT_FOUND),
        ("a\u{F061}", NtStatus::OBJECT_NAME_NOT_FOUND),
        ("\u{F02E}", NtStatus::OBJECT_NAME_NOT_FOUND),
        (".\u{F02E}", NtStatus::OBJECT_NAME_NOT_FOUND),
        ("a\u{F02F}b", NtStatus::OBJECT_NAME_NOT_FOUND),
        ("a\u{F000}b", NtStatus::OBJECT_NAME_NOT_FOUND),
        ("\u{F0C3}\u{F0A9}", NtStatus::OBJECT_NAME_NOT_FOUND),
    ] {
        assert_eq!(to_linux(&utf16(name)), Err(status), "{name:?}");
    }
    assert_eq!(to_linux(&[0xD800]), Err(NtStatus::OBJECT_NAME_NOT_FOUND));
}

fn linux_name() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => (1u8..=255).prop_filter("no slash", |byte| *byte != b'/'),
        2 => prop::sample::select(b" .:\\*conCONnulNUL123\xef\x80\xba\xc3\xa9".to_vec()),
    ];
    prop::collection::vec(byte, 1..40).prop_filter("a name", |name| name != b"." && name != b"..")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn every_linux_name_comes_back(name in linux_name()) {
        let windows = to_windows(&name).unwrap();
        prop_assert!(windows.len() <= name.len());
        prop_assert!(!windows.is_empty());
        let forbidden = |unit: &u16| matches!(*unit, 0..=0x1F | 0x22 | 0x2A | 0x2F | 0x3A | 0x3C | 0x3E | 0x3F | 0x5C | 0x7C);
        prop_assert!(!windows.iter().any(forbidden));
        prop_assert!(!matches!(windows.last(), Some(0x20 | 0x2E)));
        prop_assert!(String::from_utf16(&windows).is_ok());
        prop_assert_eq!(to_linux(&windows), Ok(name));
    }

    #[test]
    fn a_windows_name_is_the_form_of_one_linux_name_or_of_none(
        name in prop::collection::vec(prop_oneof![0xF000u16..0xF100, 0x20u16..0x7F, 0u16..=u16::MAX], 1..20)
    ) {
        match to_linux(&name) {
            Ok(linux) => {
                prop_assert!(!linux.is_empty() && linux != b"." && linux != b"..");
                prop_assert!(!linux.contains(&b'/') && !linux.contains(&0));
                prop_assert_eq!(to_windows(&linux).unwrap(), name);
            }
            Err(status) => prop_assert!(
                status == NtStatus::OBJECT_NAME_INVALID || status == NtStatus::OBJECT_NAME_NOT_FOUND
            ),
        }
    }

    #[test]
    fn every_entry_is_found_by_its_own_name_and_by_any_case_of_it(
        names in prop::collection::btree_set(linux_name(), 1..12)
    ) {
        let mut volume = MemoryVolume::new();
        for name in &names {
            volume.file([b"/", &name[..]].concat(), b"");
        }
        for name in &names {
            let exact = to_windows(name).unwrap();
            let found = find(&volume, &0, &exact, true, Wait::Allowed).unwrap().unwrap();
            prop_assert_eq!(&found.linux, name);
            let upper: Vec<u16> = exact.iter().map(|unit| lklfs_nt::utf16::upcase(*unit)).collect();
            let found = find(&volume, &0, &upper, false, Wait::Allowed).unwrap().unwrap();
            prop_assert!(lklfs_nt::utf16::equal(&found.windows, &exact, false));
            prop_assert_eq!(to_windows(&found.linux).unwrap(), found.windows);
        }
    }
}

#[test]
fn without_case_the_first_by_bytes_is_found_whatever_the_order() {
    for order in [["/aB", "/AB", "/ab"], ["/ab", "/AB", "/aB"]] {
        let mut volume = MemoryVolume::new();
        for name in order {
            volume.file(name, b"");
        }
        let found = find(&volume, &0, &utf16("Ab"), false, Wait::Allowed)
            .unwrap()
            .unwrap();
        assert_eq!(found.linux, b"AB");
        assert!(
            find(&volume, &0, &utf16("Ab"), true, Wait::Allowed)
                .unwrap()
                .is_none()
        );
        assert!(
            find(&volume, &0, &utf16("Abc"), false, Wait::Allowed)
                .unwrap()
                .is_none()
        );
    }
}
