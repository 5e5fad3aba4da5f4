//! Patterns of directory queries, with the meaning that `FsRtlIsNameInExpression` gives them.
//!
//! | character | matches |
//! |---|---|
//! | `*` | any run of characters, none too |
//! | `?` | any one character |
//! | `<` (DOS_STAR) | any run of characters that does not contain the name's last dot |
//! | `>` (DOS_QM) | any one character but a dot; nothing before a dot and at the end |
//! | `"` (DOS_DOT) | a dot; nothing at the end |
//!
//! Win32 makes the last three out of `*`, `?` and `.` where DOS would have matched more than the plain reading.
//!
//! The set of positions in the name up to which the pattern read so far can match is kept as a bit set of fixed size.
//! Each pattern character maps it to the next: time is the product of both lengths, whatever the pattern, and nothing
//! is allocated.

use crate::utf16::{DOT, upcase};

const STAR: u16 = 0x2A;
const QUESTION: u16 = 0x3F;
const DOS_STAR: u16 = 0x3C;
const DOS_QM: u16 = 0x3E;
const DOS_DOT: u16 = 0x22;

/// The longest name that a pattern can match, in UTF-16 units. Linux's names have 255 bytes at most.
pub const MAX_NAME: usize = 1023;

/// Whether a pattern has a character that matches anything but itself.
pub fn has_wildcards(pattern: &[u16]) -> bool {
    pattern
        .iter()
        .any(|unit| matches!(*unit, STAR | QUESTION | DOS_STAR | DOS_QM | DOS_DOT))
}

/// Whether `pattern` matches all of `name`.
pub fn matches(pattern: &[u16], name: &[u16], case_sensitive: bool) -> bool {
    if pattern == [STAR] {
        return true;
    }
    if name.len() > MAX_NAME {
        return false;
    }
    let last_dot = name.iter().rposition(|unit| *unit == DOT);
    let end = name.len();
    let fold = |unit: u16| if case_sensitive { unit } else { upcase(unit) };

    let mut reached = Positions::default();
    reached.add(0);
    for &expected in pattern {
        let folded = fold(expected);
        let mut next = Positions::default();
        // Up to where a run that began earlier goes on: `at < run_end` may be passed by it.
        let mut run = false;
        for at in 0..=end {
            let here = reached.has(at);
            let unit = name.get(at).copied();
            match expected {
                STAR | DOS_STAR => {
                    run |= here;
                    if run {
                        next.add(at);
                    }
                    if expected == DOS_STAR && Some(at) == last_dot {
                        run = false;
                    }
                }
                _ if !here => {}
                QUESTION if unit.is_some() => next.add(at.saturating_add(1)),
                DOS_QM => match unit {
                    None | Some(DOT) => next.add(at),
                    Some(_) => next.add(at.saturating_add(1)),
                },
                DOS_DOT => match unit {
                    None => next.add(at),
                    Some(DOT) => next.add(at.saturating_add(1)),
                    Some(_) => {}
                },
                _ if unit.is_some_and(|unit| fold(unit) == folded) => next.add(at.saturating_add(1)),
                _ => {}
            }
        }
        if next.is_empty() {
            return false;
        }
        reached = next;
    }
    reached.has(end)
}

/// A set of positions 0..=[`MAX_NAME`].
#[derive(Clone, Copy, Default)]
struct Positions([u64; 16]);

impl Positions {
    fn add(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at >> 6) {
            *word |= bit(at);
        }
    }

    fn has(&self, at: usize) -> bool {
        self.0.get(at >> 6).is_some_and(|word| word & bit(at) != 0)
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

fn bit(at: usize) -> u64 {
    u32::try_from(at & 63)
        .ok()
        .and_then(|shift| 1u64.checked_shl(shift))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{string::String, vec::Vec};
    extern crate std;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn is_match(pattern: &str, name: &str) -> bool {
        matches(&units(pattern), &units(name), false)
    }

    #[test]
    fn plain_wildcards_match_as_everywhere() {
        for (pattern, name, expected) in [
            ("*", "anything.at.all", true),
            ("*", "", true),
            ("a*c", "abbbc", true),
            ("a*c", "ac", true),
            ("a*c", "abd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*.txt", "notes.txt", true),
            ("*.txt", "notes.txt.bak", false),
            ("*.*", "nodot", false),
            ("*.*", "a.b", true),
            ("README", "readme", true),
            ("É*", "été", true),
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
        ] {
            assert_eq!(is_match(pattern, name), expected, "{pattern} {name}");
        }
        assert!(!matches(&units("README"), &units("readme"), true));
    }

    #[test]
    fn dos_wildcards_match_as_fsrtl_says() {
        for (pattern, name, expected) in [
            // DOS_STAR stops before the last dot only.
            ("<", "abc", true),
            ("<", "a.b", false),
            ("<.b", "a.b", true),
            ("<.c", "a.b.c", true),
            ("<.b", "a.b.c", false),
            ("<b", "a.b", false),
            ("*<b", "a.b", true),
            // DOS_QM gives up before a dot and at the end.
            (">>>", "ab", true),
            (">>>", "abcd", false),
            (">>>>>>>>.txt", "ab.txt", true),
            (">>>.>>>", "a.b", true),
            (">", "", true),
            // DOS_DOT is a dot, or nothing at the end.
            ("a\"", "a", true),
            ("a\"", "a.", true),
            ("a\"b", "ab", false),
            ("a\"b", "a.b", true),
            ("<\">>>", "file", true),
            ("<\"*", "file", true),
            ("<\"*", "file.ext", true),
        ] {
            assert_eq!(is_match(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let pattern = units(&"*a<b>".repeat(6000));
        assert!(!matches(&pattern, &units(&"ab.".repeat(85)), false));
    }

    /// The same rules as plain recursion.
    fn naive(pattern: &[char], name: &[char]) -> bool {
        let Some((first, rest)) = pattern.split_first() else {
            return name.is_empty();
        };
        let tail = |n: usize| naive(rest, &name[n..]);
        match first {
            '*' => (0..=name.len()).any(tail),
            '<' => (0..=name.len()).any(|n| {
                // The characters eaten must not hold a dot after which there is no other.
                let last_dot_eaten = name[..n].contains(&'.') && !name[n..].contains(&'.');
                !last_dot_eaten && tail(n)
            }),
            '?' => !name.is_empty() && tail(1),
            '>' => match name.first() {
                None | Some('.') => tail(0),
                Some(_) => tail(1),
            },
            '"' => match name.first() {
                None => tail(0),
                Some('.') => tail(1),
                Some(_) => false,
            },
            literal => name.first() == Some(literal) && tail(1),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn every_pattern_matches_what_the_rules_say(pattern in "[ab.*?<>\"]{0,8}", name in "[ab.]{0,8}") {
            let expected = naive(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>());
            prop_assert_eq!(matches(&units(&pattern), &units(&name), true), expected);
        }

        #[test]
        fn a_name_without_wildcards_matches_itself_only(name in "\\PC{0,20}", other in "\\PC{0,20}") {
            let plain: String = name.chars().filter(|c| !"*?<>\"".contains(*c)).collect();
            prop_assert!(matches(&units(&plain), &units(&plain), true));
            prop_assert_eq!(matches(&units(&plain), &units(&other), true), plain == other);
        }
    }
}
