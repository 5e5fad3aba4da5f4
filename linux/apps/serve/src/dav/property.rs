//! Properties of files and folders, in XML (RFC 4918, 15; RFC 4331 for room).

use std::fmt::Write;

use quick_xml::escape::escape;

use super::condition::tag;
use super::path;
use super::propfind::{DAV, Name, Wanted};
use crate::tree::{Kind, Node, Stat};
use crate::when;

/// The beginning of a multi-status.
pub const HEAD: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:multistatus xmlns:D=\"DAV:\">\n";
/// Its end.
pub const TAIL: &str = "</D:multistatus>\n";
/// What PROPFIND answers to a depth of infinity.
pub const FINITE: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:error xmlns:D=\"DAV:\"><D:propfind-finite-depth/></D:error>\n";

/// Properties that every request for all of them gets.
const USUAL: [&str; 9] = [
    "resourcetype",
    "displayname",
    "getcontentlength",
    "getcontenttype",
    "getetag",
    "getlastmodified",
    "creationdate",
    "supportedlock",
    "lockdiscovery",
];
/// Those that one has to ask for by name.
const ON_REQUEST: [&str; 2] = ["quota-available-bytes", "quota-used-bytes"];

/// Something that has properties.
pub struct Entry<'a> {
    /// Its plain path.
    pub names: &'a [Vec<u8>],
    /// What is there: no link.
    pub node: &'a dyn Node,
    /// What is known of it.
    pub stat: Stat,
}

/// Writes what is asked of an entry.
pub fn respond(entry: &Entry<'_>, wanted: &Wanted, out: &mut String) {
    let href = path::encode(entry.names, entry.stat.kind == Kind::Folder);
    let (mut found, mut missing) = (String::new(), String::new());
    match wanted {
        Wanted::Names => {
            for name in USUAL.iter().chain(&ON_REQUEST) {
                if value(name, entry).is_some() {
                    put(&mut found, format_args!("<D:{name}/>"));
                }
            }
        }
        Wanted::All(include) => {
            for name in USUAL {
                if let Some(value) = value(name, entry) {
                    put(&mut found, format_args!("<D:{name}>{value}</D:{name}>"));
                }
            }
            let more = include
                .iter()
                .filter(|name| name.space != DAV || !USUAL.contains(&&name.local[..]));
            more.for_each(|name| one(name, entry, &mut found, &mut missing));
        }
        Wanted::These(names) => names
            .iter()
            .for_each(|name| one(name, entry, &mut found, &mut missing)),
    }
    put(out, format_args!("<D:response><D:href>{href}</D:href>"));
    if !found.is_empty() || missing.is_empty() {
        let status = "<D:status>HTTP/1.1 200 OK</D:status>";
        put(
            out,
            format_args!("<D:propstat><D:prop>{found}</D:prop>{status}</D:propstat>"),
        );
    }
    if !missing.is_empty() {
        let status = "<D:status>HTTP/1.1 404 Not Found</D:status>";
        put(
            out,
            format_args!("<D:propstat><D:prop>{missing}</D:prop>{status}</D:propstat>"),
        );
    }
    out.push_str("</D:response>\n");
}

/// Writes to a text, which never fails.
fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(what);
}

fn one(name: &Name, entry: &Entry<'_>, found: &mut String, missing: &mut String) {
    let (space, local) = (&name.space[..], &name.local[..]);
    match (space, (space == DAV).then(|| value(local, entry)).flatten()) {
        (_, Some(value)) => put(found, format_args!("<D:{local}>{value}</D:{local}>")),
        (DAV, None) => put(missing, format_args!("<D:{local}/>")),
        ("", None) => put(missing, format_args!("<{local}/>")),
        (space, None) => put(
            missing,
            format_args!("<x:{local} xmlns:x=\"{}\"/>", text(space.as_bytes())),
        ),
    }
}

/// What a property of WebDAV's is, as XML; `None` when the entry has not got it.
fn value(name: &str, entry: &Entry<'_>) -> Option<String> {
    let file = entry.stat.kind == Kind::File;
    Some(match name {
        "resourcetype" if file => String::new(),
        "resourcetype" => "<D:collection/>".into(),
        "displayname" => text(entry.names.last().map_or(&b"/"[..], Vec::as_slice)),
        "getcontentlength" if file => entry.stat.size.to_string(),
        "getcontenttype" if file => media_type(entry.names.last()?).into(),
        "getcontenttype" => "httpd/unix-directory".into(),
        "getetag" if file => text(tag(&entry.stat).as_bytes()),
        "getlastmodified" => when::http(entry.stat.modified),
        "creationdate" => when::iso(entry.stat.created.unwrap_or(entry.stat.modified)),
        // There are no locks.
        "supportedlock" | "lockdiscovery" => String::new(),
        "quota-available-bytes" if !file => entry.node.space().ok()?.available.to_string(),
        "quota-used-bytes" if !file => entry.node.space().ok()?.used.to_string(),
        _ => return None,
    })
}

/// The media type that goes with a name.
pub fn media_type(name: &[u8]) -> &'static str {
    let name = String::from_utf8_lossy(name);
    let kind = name.rsplit_once('.').map(|(_, kind)| kind);
    let found = kind.and_then(|kind| mime_guess::from_ext(kind).first_raw());
    found.unwrap_or("application/octet-stream")
}

/// Bytes as text of XML: what is no UTF-8, or may not be in XML, is shown as a replacement character.
pub fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let allowed: String = text
        .chars()
        .map(|letter| match letter {
            '\t' | '\n' | '\r' => letter,
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => char::REPLACEMENT_CHARACTER,
            letter => letter,
        })
        .collect();
    escape(&allowed).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dav::propfind::parse;
    use crate::menu::Menu;
    use crate::tree::Time;
    use proptest::prelude::*;
    use quick_xml::NsReader;
    use quick_xml::events::Event;

    fn answer(names: &[Vec<u8>], body: &str, kind: Kind) -> String {
        let stat = Stat {
            kind,
            size: 5_000_000_000,
            ..Stat::of_menu(Time {
                seconds: 1_764_445_619,
                nanoseconds: 0,
            })
        };
        let menu = Menu::new();
        let entry = Entry {
            names,
            node: &menu,
            stat,
        };
        let mut out = HEAD.to_owned();
        respond(&entry, &parse(body.as_bytes()).unwrap(), &mut out);
        out + TAIL
    }

    /// Reads it to its end, with each element closed.
    fn well_formed(xml: &str) {
        let mut reader = NsReader::from_str(xml);
        loop {
            match reader.read_event().unwrap() {
                Event::Eof => break,
                Event::Text(text) => assert!(!text.xml10_content().contains("\u{0}")),
                _ => {}
            }
        }
    }

    #[test]
    fn what_there_is_and_what_there_is_not_are_told_apart() {
        let names = [b"a&b".to_vec(), "Gr\u{fc}\u{df}e.txt".as_bytes().to_vec()];
        let body = "<propfind xmlns='DAV:' xmlns:z='u&amp;v'><prop><getcontentlength/><displayname/><z:q/><nope/></prop></propfind>";
        let xml = answer(&names, body, Kind::File);
        well_formed(&xml);
        for part in [
            "<D:href>/a%26b/Gr%C3%BC%C3%9Fe.txt</D:href>",
            "<D:getcontentlength>5000000000</D:getcontentlength>",
            "<D:displayname>Gr\u{fc}\u{df}e.txt</D:displayname>",
            "<D:nope/>",
            "HTTP/1.1 404 Not Found",
        ] {
            assert!(xml.contains(part), "{part} in {xml}");
        }
        let all = answer(&names, "", Kind::File);
        assert!(
            all.contains("<D:getcontenttype>text/plain</D:getcontenttype>"),
            "{all}"
        );
        assert!(!all.contains("quota") && !all.contains("404"), "{all}");
        let folder = answer(&names, "", Kind::Folder);
        assert!(
            folder.contains("<D:collection/>") && !folder.contains("getcontentlength"),
            "{folder}"
        );
    }

    #[test]
    fn room_is_told_to_those_who_ask() {
        let body = "<propfind xmlns='DAV:'><prop><quota-used-bytes/></prop></propfind>";
        let xml = answer(&[], body, Kind::Folder);
        assert!(
            xml.contains("<D:quota-used-bytes>0</D:quota-used-bytes>"),
            "{xml}"
        );
        assert!(!xml.contains("404"));
    }

    proptest! {
        #[test]
        fn any_name_makes_xml(name in proptest::collection::vec(1u8..=255, 1..60)) {
            well_formed(&answer(&[name], "", Kind::Folder));
        }
    }
}
