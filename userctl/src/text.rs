//! How bytes, modes and times become text. Shared by every command, so that all of them spell alike.
//!
//! Names on a Linux volume are bytes. Two spellings exist: [`escaped`] is pure ASCII without blanks, for machines
//! (manifests and JSON); [`shown`] keeps readable UTF-8, for people, and still lets no control character reach a
//! terminal. Both write a byte that they do not show as `\xNN`, and a backslash too, so both can be undone.

use std::fmt::Write;

use crate::volume::{Kind, Time};

/// `bytes` in ASCII: bytes below 0x21, 0x5c and above 0x7e are written `\xNN` with small hexadecimal digits.
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            0x5c => push_escape(&mut text, byte),
            0x21..=0x7e => text.push(char::from(byte)),
            _ => push_escape(&mut text, byte),
        }
    }
    text
}

/// `bytes` for a person: UTF-8 as it is, everything that is a control character, a separator of lines, a change of
/// writing direction, a backslash or no UTF-8 written `\xNN`.
pub fn shown(bytes: &[u8]) -> String {
    spelled(bytes, |character| character == '\\')
}

/// `bytes` for a person as [`shown`] has them, with backslashes and tabs as they are: lines of a log and paths of
/// Windows, which nobody undoes.
pub fn plain(bytes: &[u8]) -> String {
    spelled(bytes, |_| false).replace("\\x09", "\t")
}

fn spelled(bytes: &[u8], escape: impl Fn(char) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if escape(character) || character.is_control() || is_deceptive(character) {
                let mut buffer = [0; 4];
                character
                    .encode_utf8(&mut buffer)
                    .bytes()
                    .for_each(|byte| push_escape(&mut text, byte));
            } else {
                text.push(character);
            }
        }
        chunk
            .invalid()
            .iter()
            .for_each(|&byte| push_escape(&mut text, byte));
    }
    text
}

fn push_escape(text: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\\x{byte:02x}");
}

/// Characters that make a line read differently from what it holds: line and paragraph separators and the
/// directional marks, embeddings and isolates.
fn is_deceptive(character: char) -> bool {
    matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}

/// Ten characters as `ls -l` writes them, from a kind and `mode & 07777`.
pub fn mode_string(kind: Kind, mode: u32) -> String {
    let mut text = String::with_capacity(10);
    text.push(match kind {
        Kind::File => '-',
        other => other.letter(),
    });
    for (shift, special, set, unset) in [
        (6, 0o4000, 's', 'S'),
        (3, 0o2000, 's', 'S'),
        (0, 0o1000, 't', 'T'),
    ] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => unset,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// A time in UTC with all its nine decimals, as RFC 3339 has it; a year that a calendar does not reach is written as
/// seconds since 1970, `@123.000000000`.
pub fn time(time: Time) -> String {
    let nanoseconds = i32::try_from(time.nanoseconds).ok();
    match nanoseconds.and_then(|nanoseconds| jiff::Timestamp::new(time.seconds, nanoseconds).ok()) {
        // A timestamp's sign covers both parts: a time before 1970 with a fraction counts the fraction back from the
        // next second, which Timestamp::new does by itself.
        Some(timestamp) => format!("{timestamp:.9}"),
        None => format!("@{}.{:09}", time.seconds, time.nanoseconds),
    }
}

/// A size for people: bytes with a binary unit, three significant digits.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "bytes" || value >= 100.0 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// Hexadecimal digits of a digest.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_follow_the_rule_for_every_byte() {
        for byte in 0..=255u8 {
            let text = escaped(&[byte]);
            if byte < 0x21 || byte == 0x5c || byte > 0x7e {
                assert_eq!(text, format!("\\x{byte:02x}"));
            } else {
                assert_eq!(text.as_bytes(), [byte]);
            }
        }
    }

    #[test]
    fn people_read_utf8_but_no_control_characters() {
        assert_eq!(shown("grüße 日本".as_bytes()), "grüße 日本");
        assert_eq!(shown(b"a\x1b[31mb\n\xff\\"), "a\\x1b[31mb\\x0a\\xff\\x5c");
        assert_eq!(shown("a\u{202e}b".as_bytes()), "a\\xe2\\x80\\xaeb");
        assert_eq!(plain(b"C:\\x\t\x1b[31m\xff"), "C:\\x\t\\x1b[31m\\xff");
    }

    #[test]
    fn modes_look_like_ls() {
        assert_eq!(mode_string(Kind::File, 0o644), "-rw-r--r--");
        assert_eq!(mode_string(Kind::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(mode_string(Kind::File, 0o6754), "-rwsr-sr--");
        assert_eq!(mode_string(Kind::Link, 0o7000), "l--S--S--T");
    }

    #[test]
    fn times_before_and_far_after_1970() {
        assert_eq!(
            time(Time {
                seconds: 0,
                nanoseconds: 1
            }),
            "1970-01-01T00:00:00.000000001Z"
        );
        assert_eq!(
            time(Time {
                seconds: -1,
                nanoseconds: 999_999_999
            }),
            "1969-12-31T23:59:59.999999999Z"
        );
        assert_eq!(
            time(Time {
                seconds: i64::MAX,
                nanoseconds: 5
            }),
            "@9223372036854775807.000000005"
        );
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(2 << 30), "2.0 GiB");
    }
}
