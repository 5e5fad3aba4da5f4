//! What a PROPFIND asks for: the body of the request (RFC 4918, 14.20).
//!
//! The body is a client's, so it may be anything. A document type is refused, and with it every entity of a client's own.

use quick_xml::NsReader;
use quick_xml::events::Event;
use quick_xml::name::ResolveResult;

/// A property's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Its namespace; empty for none.
    pub space: String,
    /// Its name there.
    pub local: String,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Every property that there is, but for those that cost, and these.
    All(Vec<Name>),
    /// The names of properties.
    Names,
    /// These properties.
    These(Vec<Name>),
}

/// The namespace of WebDAV's own.
pub const DAV: &str = "DAV:";
/// Bytes of a body.
pub const MOST_BYTES: usize = 64 << 10;
/// Properties in one request.
const MOST_NAMES: usize = 256;
/// Elements in each other.
const MOST_DEPTH: usize = 32;

/// Reads the body. `None` when it is none that PROPFIND may have.
pub fn parse(body: &[u8]) -> Option<Wanted> {
    let text = str::from_utf8(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)).ok()?;
    if text.trim().is_empty() {
        return Some(Wanted::All(Vec::new()));
    }
    let mut reader = NsReader::from_str(text);
    // What is open: the root, what it wants, a property in that.
    let mut depth = 0usize;
    let mut wanted = None;
    let mut include = Vec::new();
    let mut names = Vec::new();
    let mut inside = String::new();
    let mut seen_root = false;
    loop {
        let (space, event) = reader.read_resolved_event().ok()?;
        let (element, opens) = match &event {
            Event::Start(element) => (element, true),
            Event::Empty(element) => (element, false),
            Event::End(_) => {
                depth = depth.checked_sub(1)?;
                continue;
            }
            Event::Eof => break,
            Event::DocType(_) => return None,
            _ => continue,
        };
        let space = match space {
            ResolveResult::Bound(space) => space.0.to_owned(),
            ResolveResult::Unbound => String::new(),
            ResolveResult::Unknown(_) => return None,
        };
        let local = element.local_name().into_inner().to_owned();
        let is_dav = space == DAV;
        match depth {
            0 if seen_root || !is_dav || local != "propfind" => return None,
            0 => seen_root = true,
            1 => {
                inside = if is_dav { local.clone() } else { String::new() };
                match &inside[..] {
                    "allprop" | "propname" | "prop" if wanted.is_some() => return None,
                    "allprop" | "propname" | "prop" => wanted = Some(inside.clone()),
                    _ => {}
                }
            }
            2 if inside == "prop" || inside == "include" => {
                let list = if inside == "prop" {
                    &mut names
                } else {
                    &mut include
                };
                if list.len() >= MOST_NAMES || !is_name(&local) {
                    return None;
                }
                list.push(Name { space, local });
            }
            _ => {}
        }
        if opens {
            depth += 1;
            if depth > MOST_DEPTH {
                return None;
            }
        }
    }
    if depth != 0 {
        return None;
    }
    match wanted.as_deref()? {
        "allprop" => Some(Wanted::All(include)),
        "propname" => Some(Wanted::Names),
        _ => Some(Wanted::These(names)),
    }
}

/// Whether a name may be written into XML again.
fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    let first = letters
        .next()
        .is_some_and(|letter| letter.is_alphabetic() || letter == '_');
    first && letters.all(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(space: &str, local: &str) -> Name {
        Name {
            space: space.into(),
            local: local.into(),
        }
    }

    #[test]
    fn requests_are_read() {
        for (body, expected) in [
            ("", Some(Wanted::All(vec![]))),
            (" \r\n", Some(Wanted::All(vec![]))),
            (
                "<propfind xmlns='DAV:'><allprop/></propfind>",
                Some(Wanted::All(vec![])),
            ),
            (
                "<propfind xmlns='DAV:'><propname/></propfind>",
                Some(Wanted::Names),
            ),
            (
                "<?xml version='1.0'?><a:propfind xmlns:a='DAV:'><a:allprop/><a:include><a:getetag/></a:include></a:propfind>",
                Some(Wanted::All(vec![name(DAV, "getetag")])),
            ),
            (
                "<D:propfind xmlns:D='DAV:' xmlns:Z='urn:z'><D:prop><D:getetag/><Z:x>y</Z:x><plain/></D:prop></D:propfind>",
                Some(Wanted::These(vec![
                    name(DAV, "getetag"),
                    name("urn:z", "x"),
                    name("", "plain"),
                ])),
            ),
            (
                "<propfind xmlns='DAV:'><prop/></propfind>",
                Some(Wanted::These(vec![])),
            ),
            (
                "<propfind xmlns='DAV:'><new/><propname/></propfind>",
                Some(Wanted::Names),
            ),
            ("<propfind xmlns='DAV:'/>", None),
            ("<propfind xmlns='DAV:'><allprop/><prop/></propfind>", None),
            ("<propfind><allprop/></propfind>", None),
            ("<D:propfind><D:allprop/></D:propfind>", None),
            ("<propfind xmlns='DAV:'><allprop/>", None),
            ("<propfind xmlns='DAV:'><allprop></propfind>", None),
            ("<lock xmlns='DAV:'/>", None),
            ("not xml", None),
            (
                "<!DOCTYPE x [<!ENTITY a 'b'>]><propfind xmlns='DAV:'><allprop/></propfind>",
                None,
            ),
            (
                "<propfind xmlns='DAV:'><propname/></propfind><propfind xmlns='DAV:'/>",
                None,
            ),
            (
                "<propfind xmlns='DAV:'><prop><a:b xmlns:a='x'/></prop></propfind>",
                Some(Wanted::These(vec![name("x", "b")])),
            ),
            ("<propfind xmlns='DAV:'><prop><1/></prop></propfind>", None),
        ] {
            assert_eq!(parse(body.as_bytes()), expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&body);
        }

        #[test]
        fn what_looks_like_a_request_is_read_or_refused(
            body in "(<|</|/>|>|D:|propfind|prop|allprop|xmlns:D='DAV:'| |&|&lt;|<!--|-->|<!\\[CDATA\\[|\\]\\]>|a){0,40}",
        ) {
            if let Some(Wanted::These(names)) = parse(body.as_bytes()) {
                prop_assert!(names.iter().all(|name| is_name(&name.local)));
            }
        }
    }
}
