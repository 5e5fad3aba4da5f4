//! How bytes become text, in the same way in every program.
//!
//! Names on a Linux volume are bytes. Two spellings exist: [`escaped`] is pure ASCII without blanks, for machines
//! (manifests and JSON); [`shown`] keeps readable UTF-8, for people, and still lets no control character reach a
//! terminal. Both write a byte that they do not show as `\xNN`, and a backslash too, so both can be undone.

use std::fmt::Write;

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
}
