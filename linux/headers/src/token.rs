//! C source as tokens that, put together again, are the source to the byte.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name or a keyword.
    Word,
    /// A comment, of either kind.
    Comment,
    /// A string or a character, or the name of a file after `#include`.
    Text,
    /// Blanks and continued lines.
    Space,
    /// The end of a line that is not continued.
    Newline,
    /// A number, or one other character.
    Other,
}

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its bytes in the source.
    pub text: &'a str,
    /// Whether it belongs to a line that begins with `#`.
    pub in_directive: bool,
}

impl Token<'_> {
    /// Whether the compiler sees it.
    pub fn is_code(&self) -> bool {
        !matches!(self.kind, Kind::Comment | Kind::Space | Kind::Newline)
    }
}

/// Takes a header apart.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = source;
    let mut at_start = true;
    let mut in_directive = false;
    let mut include = false;
    while let Some(first) = rest.chars().next() {
        let (kind, len) = if include && first == '<' {
            (Kind::Text, rest.find('>').map_or(1, |end| end + 1))
        } else {
            next(rest, first)
        };
        let (text, behind) = rest.split_at(len);
        if at_start && text == "#" {
            in_directive = true;
        }
        found.push(Token {
            kind,
            text,
            in_directive,
        });
        match kind {
            Kind::Newline => {
                at_start = true;
                in_directive = false;
                include = false;
            }
            Kind::Space | Kind::Comment => {}
            _ => {
                at_start = false;
                include = in_directive && text == "include";
            }
        }
        rest = behind;
    }
    found
}

/// The kind of the token that `rest` begins with, and its length.
fn next(rest: &str, first: char) -> (Kind, usize) {
    let after = |end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
    let run = |belongs: fn(char) -> bool| rest.find(|c| !belongs(c)).unwrap_or(rest.len());
    if rest.starts_with("/*") {
        let body = rest.get(2..).unwrap_or_default();
        return (Kind::Comment, body.find("*/").map_or(rest.len(), |at| at + 4));
    }
    if rest.starts_with("//") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    match first {
        '\n' => (Kind::Newline, 1),
        '\\' if rest.starts_with("\\\n") => (Kind::Space, 2),
        ' ' | '\t' | '\r' => (Kind::Space, run(|c| matches!(c, ' ' | '\t' | '\r'))),
        '"' | '\'' => (Kind::Text, literal(rest, first)),
        '_' | 'a'..='z' | 'A'..='Z' => (Kind::Word, run(|c| c.is_ascii_alphanumeric() || c == '_')),
        '0'..='9' => (
            Kind::Other,
            run(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.'),
        ),
        '-' if rest.starts_with("->") => (Kind::Other, 2),
        '#' if rest.starts_with("##") => (Kind::Other, 2),
        _ => (Kind::Other, first.len_utf8().min(after(&first.to_string()))),
    }
}

/// The length of a string or a character constant; it ends with the line at the latest.
fn literal(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\n' => return at,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_make_up_the_source() {
        let source = "#include <a/b.h>\n#define X(a) \\\n\t(a->b + 'x' + \"\\\"q\") /* c */ // d\nstruct s { int m:3; };\n'unended\n/* never ends";
        let text: String = tokens(source).iter().map(|token| token.text).collect();
        assert_eq!(text, source);
    }

    #[test]
    fn a_continued_line_is_the_same_directive() {
        let all = tokens("#define A \\\n b\nc");
        let word = |text| all.iter().find(|token| token.text == text).unwrap();
        assert!(word("b").in_directive);
        assert!(!word("c").in_directive);
    }
}
