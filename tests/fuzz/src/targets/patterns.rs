//! Patterns of directory queries, as `FsRtlIsNameInExpression` takes them, and folding of case: `lklfs_nt::wildcard`.
//!
//! The bytes: how, the length of the pattern, the pattern, the name; letters of a small alphabet, or any units. What must hold:
//! the answer is that of the rules, written down as a recursion; a name matches itself, `*`, and each of its units replaced by
//! `?`; folding twice is folding once.

use crate::allocated::within;
use crate::input::{Input, units};
use lklfs_nt::utf16::upcase;
use lklfs_nt::wildcard::{MAX_NAME, has_wildcards, matches};
use std::collections::HashMap;

pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.u8();
    let first = input.piece();
    let (pattern, name) = match how & 1 {
        0 => (spelt(first), spelt(input.0)),
        _ => (units(first), units(input.0)),
    };
    let case_sensitive = how & 2 != 0;
    let answer = within(0, || matches(&pattern, &name, case_sensitive));
    if name.len() > MAX_NAME {
        assert_eq!(answer, pattern == [u16::from(b'*')]);
        return;
    }
    let rules = Rules {
        pattern: &pattern,
        name: &name,
        case_sensitive,
    };
    // The recursion is for lengths that it can do.
    if pattern.len() * name.len() <= 4096 {
        assert_eq!(answer, rules.hold(0, 0, &mut HashMap::new()), "{pattern:x?} {name:x?}");
    }
    assert!(matches(&[u16::from(b'*')], &name, case_sensitive));
    if !has_wildcards(&name) {
        assert!(matches(&name, &name, case_sensitive));
        let upper: Vec<u16> = name.iter().map(|unit| upcase(*unit)).collect();
        assert!(upper.iter().all(|unit| upcase(*unit) == *unit));
        assert!(has_wildcards(&upper) || matches(&upper, &name, false));
        let any = vec![u16::from(b'?'); name.len()];
        assert!(matches(&any, &name, case_sensitive));
        assert!(name.is_empty() || !matches(&any[1..], &name, case_sensitive));
    }
}

/// Bytes as letters that are worth trying.
fn spelt(bytes: &[u8]) -> Vec<u16> {
    const LETTERS: [u16; 16] = [
        0x61, 0x62, 0x41, 0x2e, 0x2e, 0x2a, 0x3f, 0x3c, 0x3e, 0x22, 0xe9, 0xc9, 0xd83d, 0x20, 0x42, 0xb5,
    ];
    bytes.iter().map(|byte| LETTERS[usize::from(byte & 15)]).collect()
}

struct Rules<'a> {
    pattern: &'a [u16],
    name: &'a [u16],
    case_sensitive: bool,
}

impl Rules<'_> {
    /// Whether the pattern from `p` on matches the name from `n` on.
    fn hold(&self, p: usize, n: usize, known: &mut HashMap<(usize, usize), bool>) -> bool {
        if let Some(answer) = known.get(&(p, n)) {
            return *answer;
        }
        let rest = &self.name[n..];
        let last_dot = self.name.iter().rposition(|unit| *unit == u16::from(b'.'));
        let mut go = |taken: usize| self.hold(p + 1, n + taken, known);
        let answer = match (self.pattern.get(p).copied(), rest.first().copied()) {
            (None, first) => first.is_none(),
            (Some(0x2a), _) => (0..=rest.len()).any(go),
            // The last dot is never among what is passed.
            (Some(0x3c), _) => {
                let end = last_dot.filter(|dot| *dot >= n).map_or(rest.len(), |dot| dot - n);
                (0..=end).any(go)
            }
            (Some(0x3f), first) => first.is_some() && go(1),
            (Some(0x3e), None | Some(0x2e)) => go(0),
            (Some(0x3e), Some(_)) => go(1),
            (Some(0x22), None) => go(0),
            (Some(0x22), Some(0x2e)) => go(1),
            (Some(0x22), Some(_)) => false,
            (Some(wanted), Some(first)) => {
                let same = match self.case_sensitive {
                    true => wanted == first,
                    false => upcase(wanted) == upcase(first),
                };
                same && go(1)
            }
            (Some(_), None) => false,
        };
        known.insert((p, n), answer);
        answer
    }
}
