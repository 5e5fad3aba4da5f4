//! The name of a CREATE, taken apart.
//!
//! A name is components between backslashes, of which the last may carry a stream: `name:stream:$TYPE`. Win32's `.` and
//! `..` are gone before a driver sees a name; here they are invalid.

use lklfs_nt::{
    NtStatus,
    utf16::{self, COLON, SEPARATOR},
};

/// Which stream of the last component is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stream {
    /// None is named.
    Unnamed,
    /// The data of a file: `::$DATA`.
    Data,
    /// The index of a directory: `::$INDEX_ALLOCATION` or `:$I30:$INDEX_ALLOCATION`.
    Index,
    /// A named stream, which no Linux file has.
    Named,
}

/// A name taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pathname<'a> {
    /// The components between backslashes, without any at either end; empty for the start itself.
    pub components: &'a [u16],
    /// The stream of the last component.
    pub stream: Stream,
    /// The name ended with a backslash: it must be a directory.
    pub trailing_separator: bool,
}

/// Takes a name apart. `relative` says that it is relative to an open file.
///
/// # Errors
///
/// INVALID_PARAMETER for a relative name that begins with a backslash, or an absolute one that does not;
/// OBJECT_NAME_INVALID for an empty component or a misplaced colon.
pub(crate) fn parse(name: &[u16], relative: bool) -> Result<Pathname<'_>, NtStatus> {
    let mut rest = name;
    if relative {
        if rest.first() == Some(&SEPARATOR) {
            return Err(NtStatus::INVALID_PARAMETER);
        }
    } else {
        rest = rest
            .strip_prefix(&[SEPARATOR])
            .ok_or(NtStatus::INVALID_PARAMETER)?;
        // Some programs send two.
        rest = rest.strip_prefix(&[SEPARATOR]).unwrap_or(rest);
    }
    let mut trailing_separator = false;
    if let Some(head) = rest.strip_suffix(&[SEPARATOR]) {
        trailing_separator = true;
        rest = head;
    }
    let last = rest
        .iter()
        .rposition(|unit| *unit == SEPARATOR)
        .map_or(0, |at| at.saturating_add(1));
    let (directories, last) = rest.split_at_checked(last).unwrap_or((&[], rest));
    if directories.contains(&COLON) {
        return Err(NtStatus::OBJECT_NAME_INVALID);
    }
    let (components, stream) = match last.iter().position(|unit| *unit == COLON) {
        None => (rest, Stream::Unnamed),
        Some(at) => {
            let (name, stream) = last.split_at_checked(at).unwrap_or((last, &[]));
            let length = directories.len().saturating_add(name.len());
            let components = rest.get(..length).unwrap_or_default();
            // `dir\:stream` names the stream of `dir`.
            let components = components.strip_suffix(&[SEPARATOR]).unwrap_or(components);
            (components, parse_stream(stream)?)
        }
    };
    if !components.is_empty() && components.split(|unit| *unit == SEPARATOR).any(<[u16]>::is_empty) {
        return Err(NtStatus::OBJECT_NAME_INVALID);
    }
    if trailing_separator && (components.is_empty() || stream != Stream::Unnamed) {
        return Err(NtStatus::OBJECT_NAME_INVALID);
    }
    Ok(Pathname {
        components,
        stream,
        trailing_separator,
    })
}

/// Parses what begins with the first colon of a component.
fn parse_stream(text: &[u16]) -> Result<Stream, NtStatus> {
    let mut parts = text.split(|unit| *unit == COLON).skip(1);
    let name = parts.next().unwrap_or_default();
    let kind = parts.next();
    if parts.next().is_some() {
        return Err(NtStatus::OBJECT_NAME_INVALID);
    }
    let is = |text: &[u16], wanted: &str| {
        text.len() == wanted.len()
            && text
                .iter()
                .zip(wanted.bytes())
                .all(|(a, b)| utf16::upcase(*a) == b.into())
    };
    match kind {
        // A colon with nothing behind it.
        None if name.is_empty() => Err(NtStatus::OBJECT_NAME_INVALID),
        None => Ok(Stream::Named),
        Some(kind) if is(kind, "$DATA") => Ok(if name.is_empty() {
            Stream::Data
        } else {
            Stream::Named
        }),
        Some(kind) if is(kind, "$INDEX_ALLOCATION") => match name {
            [] => Ok(Stream::Index),
            name if is(name, "$I30") => Ok(Stream::Index),
            _ => Ok(Stream::Named),
        },
        Some(_) => Err(NtStatus::OBJECT_NAME_INVALID),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::String, vec::Vec};

    fn parsed(name: &str, relative: bool) -> Result<(String, Stream, bool), NtStatus> {
        let units: Vec<u16> = name.encode_utf16().collect();
        parse(&units, relative).map(|path| {
            (
                utf16::to_string_lossy(path.components),
                path.stream,
                path.trailing_separator,
            )
        })
    }

    #[test]
    fn names_are_taken_apart() {
        for (name, components, stream, trailing) in [
            ("\\", "", Stream::Unnamed, false),
            ("\\\\", "", Stream::Unnamed, false),
            ("\\a", "a", Stream::Unnamed, false),
            ("\\\\a", "a", Stream::Unnamed, false),
            ("\\a\\b c\\", "a\\b c", Stream::Unnamed, true),
            ("\\a::$DATA", "a", Stream::Data, false),
            ("\\a\\b::$data", "a\\b", Stream::Data, false),
            ("\\a:s", "a", Stream::Named, false),
            ("\\a:s:$DATA", "a", Stream::Named, false),
            ("\\a:$I30:$INDEX_ALLOCATION", "a", Stream::Index, false),
            ("\\::$INDEX_ALLOCATION", "", Stream::Index, false),
        ] {
            assert_eq!(
                parsed(name, false),
                Ok((components.into(), stream, trailing)),
                "{name}"
            );
        }
        assert_eq!(parsed("", true), Ok((String::new(), Stream::Unnamed, false)));
        assert_eq!(
            parsed("a\\b", true),
            Ok((String::from("a\\b"), Stream::Unnamed, false))
        );
        assert_eq!(parsed("::$DATA", true), Ok((String::new(), Stream::Data, false)));
    }

    #[test]
    fn malformed_names_are_refused() {
        for name in [
            "\\\\\\a",
            "\\a\\\\b",
            "\\a\\\\",
            "\\a:",
            "\\a::",
            "\\a:b:c",
            "\\a:b:c:d",
            "\\a:b\\c",
            "\\a:s\\",
        ] {
            assert_eq!(parsed(name, false), Err(NtStatus::OBJECT_NAME_INVALID), "{name}");
        }
        assert_eq!(parsed("a", false), Err(NtStatus::INVALID_PARAMETER));
        assert_eq!(parsed("", false), Err(NtStatus::INVALID_PARAMETER));
        assert_eq!(parsed("\\a", true), Err(NtStatus::INVALID_PARAMETER));
    }
}
