//! Names and expressions: `*`, `?` and the three wildcards that DOS programs get: `<` (DOS_STAR), `>`
//! (DOS_QM) and `"` (DOS_DOT).
//!
//! `*` stands for any characters, `?` for exactly one. `<` stands for any characters, but not for the last
//! period of the name. `>` stands for one character, or for none at a period or at the end. `"` stands for a
//! period, or for nothing at the end.

use crate::io::names::characters;
use crate::nt::*;
use crate::verifier::fail;

const STAR: u16 = b'*' as u16;
const QUESTION: u16 = b'?' as u16;
const DOS_STAR: u16 = b'<' as u16;
const DOS_QM: u16 = b'>' as u16;
const DOS_DOT: u16 = b'"' as u16;
const DOT: u16 = b'.' as u16;
const BACKSLASH: u16 = b'\\' as u16;

/// One UTF-16 unit in upper case, where that is one unit too.
fn upcase_unit(unit: u16) -> u16 {
    let upper = char::from_u32(u32::from(unit)).map(char::to_uppercase);
    match upper.map(|mut upper| (upper.next(), upper.next())) {
        Some((Some(one), None)) => u16::try_from(u32::from(one)).unwrap_or(unit),
        _ => unit,
    }
}

/// `name` matches `expression`, character for character as given.
pub fn matches(expression: &[u16], name: &[u16]) -> bool {
    let last_dot = name.iter().rposition(|unit| *unit == DOT);
    // Which ends of the expression are reachable after each prefix of the name.
    let mut reach = vec![false; expression.len() + 1];
    reach[0] = true;
    // Wildcards that stand for nothing, at position `at` of the name.
    let close = |reach: &mut [bool], at: usize| {
        for (index, wildcard) in expression.iter().enumerate() {
            let at_end = at == name.len();
            let empty = match *wildcard {
                STAR | DOS_STAR => true,
                DOS_QM => at_end || name[at] == DOT,
                DOS_DOT => at_end,
                _ => false,
            };
            if reach[index] && empty {
                reach[index + 1] = true;
            }
        }
    };
    close(&mut reach, 0);
    for (at, unit) in name.iter().enumerate() {
        let mut next = vec![false; expression.len() + 1];
        for (index, wanted) in expression.iter().enumerate() {
            if !reach[index] {
                continue;
            }
            match *wanted {
                STAR => next[index] = true,
                DOS_STAR if Some(at) != last_dot => next[index] = true,
                DOS_STAR => {}
                QUESTION => next[index + 1] = true,
                DOS_QM if *unit != DOT => next[index + 1] = true,
                DOS_DOT if *unit == DOT => next[index + 1] = true,
                literal if literal == *unit => next[index + 1] = true,
                _ => {}
            }
        }
        reach = next;
        close(&mut reach, at + 1);
    }
    reach[expression.len()]
}

/// `FsRtlDoesNameContainWildCards`.
pub unsafe extern "win64" fn FsRtlDoesNameContainWildCards(name: PUNICODE_STRING) -> BOOLEAN {
    // SAFETY: the file system gives a valid string.
    let name = unsafe { characters(name) };
    name.iter()
        .any(|unit| [STAR, QUESTION, DOS_STAR, DOS_QM, DOS_DOT].contains(unit))
        .into()
}

/// `FsRtlIsNameInExpression`. With `ignore_case` the expression must be upper case already.
pub unsafe extern "win64" fn FsRtlIsNameInExpression(
    expression: PUNICODE_STRING,
    name: PUNICODE_STRING,
    ignore_case: BOOLEAN,
    table: *const u16,
) -> BOOLEAN {
    // SAFETY: the file system gives valid strings, and a table of 65,536 characters or null.
    unsafe {
        let (expression, mut name) = (characters(expression), characters(name));
        let upcase = |unit: u16| {
            if table.is_null() {
                upcase_unit(unit)
            } else {
                *table.add(usize::from(unit))
            }
        };
        if ignore_case != 0 {
            if let Some(unit) = expression.iter().find(|unit| upcase(**unit) != **unit) {
                fail!(
                    FsRtl,
                    "FsRtlIsNameInExpression: the expression has the lower-case character {unit:#x}"
                );
            }
            name.iter_mut().for_each(|unit| *unit = upcase(*unit));
        }
        matches(&expression, &name).into()
    }
}

/// `FsRtlAreNamesEqual`.
pub unsafe extern "win64" fn FsRtlAreNamesEqual(
    one: PUNICODE_STRING,
    other: PUNICODE_STRING,
    ignore_case: BOOLEAN,
    table: *const u16,
) -> BOOLEAN {
    // SAFETY: as above.
    unsafe {
        let upcase = |unit: &u16| {
            if table.is_null() {
                upcase_unit(*unit)
            } else {
                *table.add(usize::from(*unit))
            }
        };
        let (one, other) = (characters(one), characters(other));
        let equal = if ignore_case != 0 {
            one.iter().map(upcase).eq(other.iter().map(upcase))
        } else {
            one == other
        };
        equal.into()
    }
}

/// `FsRtlDissectName`: the first component and what follows its backslash.
pub unsafe extern "win64" fn FsRtlDissectName(
    path: UNICODE_STRING,
    first: PUNICODE_STRING,
    rest: PUNICODE_STRING,
) {
    // SAFETY: the strings share the path's buffer.
    unsafe {
        let units = characters(&raw const path);
        let start = usize::from(units.first() == Some(&BACKSLASH));
        let end = units[start..]
            .iter()
            .position(|unit| *unit == BACKSLASH)
            .map_or(units.len(), |at| start + at);
        let part = |from: usize, to: usize| UNICODE_STRING {
            Length: ((to - from) * 2) as u16,
            MaximumLength: ((to - from) * 2) as u16,
            Buffer: if from == to {
                std::ptr::null_mut()
            } else {
                path.Buffer.add(from)
            },
        };
        *first = part(start, end);
        *rest = part((end + 1).min(units.len()), units.len());
    }
}

crate::table! {
    /// Names.
    pub static IMPORTS = {
        FsRtlDoesNameContainWildCards <= APC;
        FsRtlIsNameInExpression <= PASSIVE;
        FsRtlAreNamesEqual <= APC;
        FsRtlDissectName <= HIGH;
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    fn yes(expression: &str, name: &str) -> bool {
        let wide = |text: &str| text.encode_utf16().collect::<Vec<_>>();
        matches(&wide(expression), &wide(name))
    }

    #[test]
    fn wildcards() {
        for (expression, name) in [
            ("*", ""),
            ("*", "a.b"),
            ("a*", "a"),
            ("*.txt", "x.y.txt"),
            ("a?c", "abc"),
            ("?", "a"),
            ("<.txt", "a.b.txt"),
            ("<\"*", "abc"),
            ("<\"*", "a.b.c"),
            ("<", "abc"),
            (">>>", "ab"),
            (">>>\"c", "ab.c"),
            ("a\"", "a"),
            ("a\"", "a."),
            ("*a*b*", "xxaxxbxx"),
        ] {
            assert!(yes(expression, name), "{expression} and {name}");
        }
        for (expression, name) in [
            ("", "a"),
            ("a?c", "ac"),
            ("?", ""),
            ("*.txt", "txt"),
            ("<.txt", "a.txt.b"),
            (">>", "abc"),
            ("a\"", "ab"),
            ("?a", "a"),
            ("*a*b", "bbaa"),
        ] {
            assert!(!yes(expression, name), "{expression} and {name}");
        }
    }
}
