//! Names that Windows can hold for names that Linux can hold.
//!
//! `cp` on Windows writes the names that the driver shows (`lklfs_nt::names`), so that a copy looks like the volume and no
//! two names become one. On Linux names are taken as they are.

/// `name` as Windows shows it.
pub fn windows_name(name: &[u8]) -> String {
    match lklfs_nt::names::to_windows(name) {
        // The mapping makes characters of Unicode and of its private use; nothing is lost.
        Ok(units) => String::from_utf16_lossy(&units),
        // For lack of memory only; whatever is done next lacks it as well.
        Err(_) => String::new(),
    }
}

/// `name` for this system: its bytes on Linux, [`windows_name`] on Windows.
#[cfg(unix)]
pub fn native_name(name: &[u8]) -> std::ffi::OsString {
    std::os::unix::ffi::OsStringExt::from_vec(name.to_vec())
}

/// `name` for this system: its bytes on Linux, [`windows_name`] on Windows.
#[cfg(windows)]
pub fn native_name(name: &[u8]) -> std::ffi::OsString {
    windows_name(name).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_windows_forbids_is_mapped() {
        for (name, mapped) in [
            ("plain.txt", "plain.txt"),
            ("a:b", "a\u{f03a}b"),
            ("back\\slash", "back\u{f05c}slash"),
            ("dot.", "dot\u{f02e}"),
            ("con", "co\u{f06e}"),
            ("Nul.txt", "Nu\u{f06c}.txt"),
            ("COM10", "COM10"),
            ("grüße", "grüße"),
        ] {
            assert_eq!(windows_name(name.as_bytes()), mapped);
        }
        assert_eq!(windows_name(b"\xff"), "\u{f0ff}");
        assert_eq!(windows_name("\u{f0ff}".as_bytes()), "\u{f0ef}\u{f083}\u{f0bf}");
    }

    proptest! {
        #[test]
        fn every_name_is_legal_and_no_two_are_alike(
            a in proptest::collection::vec(1..=255u8, 1..12),
            b in proptest::collection::vec(1..=255u8, 1..12),
        ) {
            let (first, second) = (windows_name(&a), windows_name(&b));
            prop_assert!(!first.contains(['"', '*', ':', '<', '>', '?', '|', '\\']));
            prop_assert!(!first.chars().any(|character| character < ' '));
            prop_assert!(!first.ends_with([' ', '.']));
            prop_assert_eq!(a == b, first == second);
        }
    }
}
