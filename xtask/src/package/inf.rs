//! An INF file, parsed: what Windows' SetupAPI would see of it.
//!
//! Sections hold lines; a line has a key (or none) and fields. Names are compared as SetupAPI does, without case.
//! Comments start at a `;` outside quotes, a quote inside quotes is doubled, a backslash at the end of a line joins the
//! next to it, and `%name%` stands for an entry of `[Strings]`; it is replaced by [`Inf::text`] only, so that the rules
//! can look at the tokens. What is not an INF file at all is an error with the line's number.

use std::fmt;

/// A file that is no INF file, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for Malformed {}

/// One line of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it is, from 1.
    pub number: usize,
    /// What is before the `=`; `None` on a line without one.
    pub key: Option<String>,
    /// What is after it, or the whole line, at its commas; without the quotes.
    pub fields: Vec<String>,
}

impl Line {
    /// A field, from 0; an empty one if there are fewer.
    pub fn field(&self, index: usize) -> &str {
        self.fields.get(index).map_or("", String::as_str)
    }

    /// Whether the key is `name`.
    pub fn is(&self, name: &str) -> bool {
        self.key
            .as_deref()
            .is_some_and(|key| key.eq_ignore_ascii_case(name))
    }
}

/// One section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name as it is written.
    pub name: String,
    /// Where it begins, from 1.
    pub number: usize,
    /// Its lines.
    pub lines: Vec<Line>,
}

impl Section {
    /// The lines with a key.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| line.is(key))
    }

    /// The first field of the first line with a key.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.lines
            .iter()
            .find(|line| line.is(key))
            .map(|line| line.field(0))
    }
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inf {
    /// Its sections, in order. A name may be there twice.
    pub sections: Vec<Section>,
}

impl Inf {
    /// Parses `text`.
    pub fn parse(text: &str) -> Result<Inf, Malformed> {
        let mut sections: Vec<Section> = Vec::new();
        for (number, line) in joined(text) {
            let malformed = |what| Malformed { line: number, what };
            let line = without_comment(&line).trim();
            if line.is_empty() {
                continue;
            }
            if let Some(rest) = line.strip_prefix('[') {
                let name = rest
                    .strip_suffix(']')
                    .ok_or(malformed("a section's name has no ]"))?;
                if name.trim().is_empty() {
                    return Err(malformed("a section has no name"));
                }
                sections.push(Section {
                    name: name.trim().to_owned(),
                    number,
                    lines: Vec::new(),
                });
                continue;
            }
            let section = sections
                .last_mut()
                .ok_or(malformed("a line before the first section"))?;
            let (key, rest) = match split(line, '=').map_err(malformed)? {
                parts if parts.len() == 1 => (None, line),
                parts => {
                    let key = parts.first().copied().unwrap_or_default();
                    (Some(plain(key)), line.get(key.len() + 1..).unwrap_or_default())
                }
            };
            let fields = split(rest, ',').map_err(malformed)?;
            section.lines.push(Line {
                number,
                key,
                fields: fields.into_iter().map(plain).collect(),
            });
        }
        Ok(Inf { sections })
    }

    /// The first section of this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections
            .iter()
            .find(|section| section.name.eq_ignore_ascii_case(name))
    }

    /// The first field of a key of a section.
    pub fn value(&self, section: &str, key: &str) -> Option<&str> {
        self.section(section)?.value(key)
    }

    /// `text` with its tokens replaced. Of tokens that are no string, numbers (folders) stay as they are; the first other
    /// is the error.
    pub fn text(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        for (index, part) in text.split('%').enumerate() {
            match (index % 2 == 1, part) {
                (false, part) => out.push_str(part),
                (true, "") => out.push('%'),
                (true, token) => match self.value("Strings", token) {
                    Some(value) => out.push_str(value),
                    None if token.bytes().all(|byte| byte.is_ascii_digit()) => {
                        out.push_str(&format!("%{token}%"));
                    }
                    None => return Err(token.to_owned()),
                },
            }
        }
        Ok(out)
    }
}

/// Lines with their numbers, those that end in a backslash joined to the next.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        let continues = without_comment(line).trim_end().ends_with('\\');
        let content = if continues {
            without_comment(line).trim_end().trim_end_matches('\\')
        } else {
            line
        };
        match lines.last_mut() {
            Some((_, last)) if open => last.push_str(content.trim_start()),
            _ => lines.push((index + 1, content.to_owned())),
        }
        open = continues;
    }
    lines
}

/// What comes before a `;` that is not in quotes.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (at, character) in line.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ';' if !quoted => return line.get(..at).unwrap_or(line),
            _ => {}
        }
    }
    line
}

/// `text` at each `mark` outside quotes; for `=` at the first only.
fn split(text: &str, mark: char) -> Result<Vec<&str>, &'static str> {
    let (mut parts, mut from, mut quoted) = (Vec::new(), 0, false);
    for (at, character) in text.char_indices() {
        if character == '"' {
            quoted = !quoted;
        } else if character == mark && !quoted && (mark != '=' || parts.is_empty()) {
            parts.push(text.get(from..at).unwrap_or_default());
            from = at + mark.len_utf8();
        }
    }
    if quoted {
        return Err("a quote is not closed");
    }
    parts.push(text.get(from..).unwrap_or_default());
    Ok(parts)
}

/// A field without the blanks around it and without its quotes.
fn plain(field: &str) -> String {
    let field = field.trim();
    match field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_comments_and_continuations() {
        let text =
            "; head\r\n[A]\r\nk = \"a;b, \"\"c\"\"\" , d ; e\r\nonly\r\nlong = x, \\\r\n   y\r\n[a]\r\n";
        let inf = Inf::parse(text).unwrap();
        let names: Vec<_> = inf.sections.iter().map(|section| section.name.as_str()).collect();
        assert_eq!(names, ["A", "a"]);
        let lines = &inf.sections[0].lines;
        assert_eq!(lines[0].fields, ["a;b, \"c\"", "d"]);
        assert_eq!((&lines[1].key, lines[1].field(0)), (&None, "only"));
        assert_eq!(lines[2].fields, ["x", "y"]);
        assert_eq!((lines[2].number, inf.sections[1].number), (5, 7));
        assert_eq!(inf.value("A", "K"), Some("a;b, \"c\""));
    }

    #[test]
    fn tokens_are_replaced_and_folders_stay() {
        let inf = Inf::parse("[Strings]\nName = \"x y\"").unwrap();
        assert_eq!(inf.text("a %name% 100%% %12%\\f").unwrap(), "a x y 100% %12%\\f");
        assert_eq!(inf.text("%Other%"), Err("Other".to_owned()));
    }

    #[test]
    fn what_is_no_inf_file_says_where() {
        for (text, line) in [("k = v", 1), ("[A]\n\n[B", 3), ("[A]\nk = \"v", 2), ("[ ]", 1)] {
            assert_eq!(Inf::parse(text).unwrap_err().line, line, "{text}");
        }
    }
}
