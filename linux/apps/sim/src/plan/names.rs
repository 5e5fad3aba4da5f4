//! Names of a topology: each is there once, and means something that is there.

use crate::topology::{Problem, Spanned};
use std::collections::BTreeMap;

/// A name that is new, and that a file can have.
pub(super) fn new_name(
    what: &str,
    name: &Spanned<String>,
    known: &mut BTreeMap<String, usize>,
    number: usize,
) -> Result<String, Problem> {
    let text = name.get_ref();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if text.is_empty() || text.len() > 60 || text.starts_with('.') || !text.chars().all(plain) {
        return Err(Problem::at(
            name,
            format_args!(
                "{what} {text:?}: a name has 1 to 60 letters, digits, hyphens, dots and underscores, with no dot in front"
            ),
        ));
    }
    match known.insert(text.clone(), number) {
        Some(_) => Err(Problem::at(
            name,
            format_args!("there are two {what}s {text}; give one another name"),
        )),
        None => Ok(text.clone()),
    }
}

/// The number of each name.
pub(super) fn numbers<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    names
        .enumerate()
        .map(|(number, name)| (name.to_owned(), number))
        .collect()
}

/// The number of what a name means.
pub(super) fn find(
    what: &str,
    name: &Spanned<String>,
    known: &BTreeMap<String, usize>,
) -> Result<usize, Problem> {
    let text = name.get_ref();
    known.get(text).copied().ok_or_else(|| {
        let like = known.keys().find(|other| other.eq_ignore_ascii_case(text));
        let advice = match like {
            Some(like) => format!("; {like} is meant?"),
            None => format!("; add [[{what}]] of that name, or correct this one"),
        };
        Problem::at(name, format_args!("there is no {what} {text}{advice}"))
    })
}
