//! Pieces of Linux's own headers that a C library defines for programs, and that the public headers lack therefore.

use crate::token::{Kind, Token};

/// A piece that is wanted.
#[derive(Debug, Clone, Copy)]
pub enum Piece {
    /// All macros with one of these beginnings.
    Macros(&'static [&'static str]),
    /// A structure, with its tag.
    Struct(&'static str),
    /// An enumeration, with its tag.
    Enum(&'static str),
    /// A type's name.
    Type(&'static str),
}

/// The pieces that are wanted of a header, in its own order; `None` names one that is not there.
pub fn extract(tokens: &[Token<'_>], pieces: &[Piece]) -> Result<String, Piece> {
    let mut found = String::new();
    for piece in pieces {
        let text = match piece {
            Piece::Macros(prefixes) => macros(tokens, prefixes),
            Piece::Struct(tag) => body(tokens, "struct", tag),
            Piece::Enum(tag) => body(tokens, "enum", tag),
            Piece::Type(name) => type_of(tokens, name),
        };
        found.push_str(&text.ok_or(*piece)?);
        found.push('\n');
    }
    Ok(found)
}

/// The lines of a directive that begin at `at`, without comments.
fn directive(tokens: &[Token<'_>], at: usize) -> String {
    let line = tokens
        .iter()
        .skip(at)
        .take_while(|token| token.kind != Kind::Newline);
    line.filter(|token| token.kind != Kind::Comment)
        .map(|token| token.text)
        .collect()
}

/// Of one that is defined twice, under conditions, the last: that without the condition.
fn macros(tokens: &[Token<'_>], prefixes: &[&str]) -> Option<String> {
    let mut found: Vec<(&str, String)> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if token.text != "#" || !token.in_directive {
            continue;
        }
        let mut words = tokens.iter().skip(at + 1).filter(|token| token.is_code());
        let (what, name) = (words.next(), words.next());
        if what.is_some_and(|word| word.text == "define")
            && let Some(name) = name
            && prefixes.iter().any(|prefix| name.text.starts_with(prefix))
        {
            found.retain(|(other, _)| *other != name.text);
            found.push((name.text, directive(tokens, at)));
        }
    }
    let lines = found.iter().map(|(_, line)| format!("{}\n", line.trim_end()));
    (!found.is_empty()).then(|| lines.collect())
}

/// From `keyword tag {` to the semicolon.
fn body(tokens: &[Token<'_>], keyword: &str, tag: &str) -> Option<String> {
    let code: Vec<usize> = (0..tokens.len())
        .filter(|at| tokens.get(*at).is_some_and(Token::is_code))
        .collect();
    let text = |at: usize| code.get(at).and_then(|at| tokens.get(*at)).map(|t| t.text);
    let start = (0..code.len())
        .find(|at| text(*at) == Some(keyword) && text(at + 1) == Some(tag) && text(at + 2) == Some("{"))?;
    declaration(tokens, *code.get(start)?)
}

/// `typedef ... name;`
fn type_of(tokens: &[Token<'_>], name: &str) -> Option<String> {
    (0..tokens.len())
        .filter(|at| tokens.get(*at).is_some_and(|token| token.text == "typedef"))
        .filter_map(|at| declaration(tokens, at))
        .find(|text| {
            let end = text.trim_end().trim_end_matches(';').trim_end();
            end.strip_suffix(name)
                .is_some_and(|before| before.ends_with([' ', '\t']))
        })
}

/// What begins at `at`, to its semicolon, without comments and what only Linux's own checks read.
fn declaration(tokens: &[Token<'_>], at: usize) -> Option<String> {
    let mut depth = 0usize;
    let mut text = String::new();
    for token in tokens.iter().skip(at) {
        match token.text {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if token.kind != Kind::Comment && token.text != "__user" {
            text.push_str(token.text);
        }
        if depth == 0 && token.text == ";" {
            text.push('\n');
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::tokens;

    #[test]
    fn pieces_are_found() {
        let all = tokens(
            "struct a;\nstruct a {\n\tint x; /* why */\n\tvoid __user *p;\n};\n#define AF_INET 2 /* ip */\n#define PF 1\ntypedef __kernel_t sa_t;\nenum k { A };\n",
        );
        let pieces = [
            Piece::Struct("a"),
            Piece::Macros(&["AF_"]),
            Piece::Type("sa_t"),
            Piece::Enum("k"),
        ];
        let text = extract(&all, &pieces).unwrap();
        assert_eq!(
            text.split_whitespace().collect::<Vec<_>>().join(" "),
            "struct a { int x; void *p; }; #define AF_INET 2 typedef __kernel_t sa_t; enum k { A };"
        );
        assert!(extract(&all, &[Piece::Struct("b")]).is_err());
    }
}
