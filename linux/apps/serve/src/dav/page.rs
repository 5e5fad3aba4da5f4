//! A folder as a page for browsers: names, lengths and times, and nothing that runs.

use std::fmt::Write;

use quick_xml::escape::escape;

use super::path;
use crate::place::Names;
use crate::tree::{Kind, Stat};
use crate::when;

const STYLE: &str = "body{font:1em/1.5 system-ui,sans-serif;margin:1.5em;color-scheme:light dark}\
table{border-spacing:0}td,th{padding:0 2em 0 0;text-align:left;white-space:nowrap}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}a{text-decoration:none}a:hover{text-decoration:underline}";

/// The beginning, for the folder at a path.
pub fn head(names: &Names) -> String {
    let mut title = String::from("/");
    for name in names {
        title.push_str(&shown(name));
        title.push('/');
    }
    let mut page = format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n<table>\n\
         <tr><th>Name</th><th class=\"n\">Bytes</th><th>Changed (UTC)</th></tr>\n"
    );
    if !names.is_empty() {
        page.push_str("<tr><td><a href=\"../\">..</a></td><td></td><td></td></tr>\n");
    }
    page
}

/// A row: an entry that is a file or a folder.
pub fn row(name: &[u8], stat: &Stat, out: &mut String) {
    let slash = if stat.kind == Kind::Folder { "/" } else { "" };
    let size = match stat.kind {
        Kind::File => stat.size.to_string(),
        _ => String::new(),
    };
    let time = when::iso(stat.modified).replace('T', " ").replace('Z', "");
    // In front of a name with a colon, a browser would read a scheme.
    let (href, text) = (path::name(name), shown(name));
    let _ = writeln!(
        out,
        "<tr><td><a href=\"./{href}{slash}\">{text}{slash}</a></td><td class=\"n\">{size}</td><td>{time}</td></tr>"
    );
}

/// The end.
pub const TAIL: &str = "</table>\n</body></html>\n";

fn shown(name: &[u8]) -> String {
    escape(crate::report::shown(name)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Time;

    #[test]
    fn no_name_is_markup() {
        let stat = Stat::of_menu(Time::default());
        let name = b"<script>alert('x')</script>\"&javascript:\xff";
        let mut page = head(&vec![name.to_vec()]);
        row(name, &stat, &mut page);
        assert!(
            !page.contains("<script") && !page.contains("\"javascript:"),
            "{page}"
        );
        assert!(page.contains("<a href=\"./%3Cscript%3E"), "{page}");
    }
}
