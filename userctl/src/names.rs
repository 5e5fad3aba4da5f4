//! Names that Windows can hold for names that Linux can hold.
//!
//! `cp` on Windows writes names that Win32 accepts: a character that it forbids (`" * : < > ? | \` and those below
//! 0x20), a space or dot at the end, and the first character of a reserved device name (CON, NUL, COM1, ...) become
//! U+F000 + code in the private-use area, the mapping that WSL and Cygwin use; so does each byte that is no UTF-8.
//! A character that is already there (U+F001 to U+F0FF) is written as its three bytes in the same way, so that two
//! different names never become one. On Linux names are taken as they are.

/// `name` as Win32 accepts it.
pub fn windows_name(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '*' | ':' | '<' | '>' | '?' | '|' | '\\' | '\u{1}'..='\u{1f}' => {
                    text.push(private(u32::from(character)));
                }
                '\u{f001}'..='\u{f0ff}' => {
                    let mut buffer = [0; 4];
                    let bytes = character.encode_utf8(&mut buffer).bytes();
                    text.extend(bytes.map(|byte| private(u32::from(byte))));
                }
                other => text.push(other),
            }
        }
        text.extend(chunk.invalid().iter().map(|&byte| private(u32::from(byte))));
    }
    if let Some(last @ (' ' | '.')) = text.chars().next_back() {
        text.pop();
        text.push(private(u32::from(last)));
    }
    if is_reserved(&text)
        && let Some(first) = text.chars().next()
    {
        text.replace_range(
            ..first.len_utf8(),
            private(u32::from(first)).encode_utf8(&mut [0; 4]),
        );
    }
    text
}

/// U+F000 + `code`; `code` is below 0x100.
fn private(code: u32) -> char {
    char::from_u32(0xf000 + code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Whether Win32 takes `name` for a device: the part before the first dot, blanks at its end aside.
fn is_reserved(name: &str) -> bool {
    let stem = name
        .split('.')
        .next()
        .unwrap_or("")
        .trim_end()
        .to_ascii_uppercase();
    match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" => true,
        _ => match stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT")) {
            Some(number) => matches!(number, "¹" | "²" | "³") || matches!(number.as_bytes(), [b'0'..=b'9']),
            None => false,
        },
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
            ("blank ", "blank\u{f020}"),
            ("con", "\u{f063}on"),
            ("Nul.txt", "\u{f04e}ul.txt"),
            ("COM1", "\u{f043}OM1"),
            ("COM10", "COM10"),
            ("console", "console"),
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
            prop_assert!(!is_reserved(&first));
            prop_assert_eq!(a == b, first == second);
        }
    }
}
