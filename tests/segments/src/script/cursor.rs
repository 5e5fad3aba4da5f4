//! A walk through a script's text.

use super::Fault;
use std::fmt;

/// A line and a column, both from 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Where the parser is.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    rest: &'a str,
    place: Place,
    comments: bool,
}

impl<'a> Cursor<'a> {
    /// At the start of a text whose first character is at `place`.
    pub fn new(text: &'a str, place: Place) -> Cursor<'a> {
        Cursor {
            rest: text,
            place,
            comments: true,
        }
    }

    /// The same where `//` is no comment.
    #[must_use]
    pub fn without_comments(self) -> Cursor<'a> {
        Cursor {
            comments: false,
            ..self
        }
    }

    /// The place of the next character.
    pub fn place(&self) -> Place {
        self.place
    }

    /// What is wrong here.
    pub fn fault(&self, what: impl Into<String>) -> Fault {
        Fault {
            place: self.place,
            what: what.into(),
        }
    }

    /// "expected X, found Y".
    pub fn expected(&self, what: &str) -> Fault {
        let found: String = self
            .rest
            .chars()
            .take_while(|c| !c.is_whitespace())
            .take(20)
            .collect();
        match found.as_str() {
            "" if self.rest.is_empty() => self.fault(format!("expected {what}, found the end")),
            "" => self.fault(format!("expected {what}, found a space")),
            found => self.fault(format!("expected {what}, found '{found}'")),
        }
    }

    /// What is left of the text.
    pub fn rest(&self) -> &'a str {
        self.rest
    }

    /// Whether there is nothing more.
    pub fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next character.
    pub fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Takes the next character.
    pub fn next_char(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            self.place.line += 1;
            self.place.column = 1;
        } else {
            self.place.column += 1;
        }
        Some(c)
    }

    /// Takes so many bytes, which end where a character does.
    fn advance(&mut self, bytes: usize) -> &'a str {
        let taken = &self.rest[..bytes];
        for _ in taken.chars() {
            self.next_char();
        }
        taken
    }

    /// Takes all characters that `wanted` accepts.
    pub fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let len = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        self.advance(len)
    }

    /// Skips spaces, line ends and comments.
    pub fn skip_space(&mut self) -> Result<(), Fault> {
        loop {
            self.take_while(char::is_whitespace);
            if !self.comments {
                return Ok(());
            }
            if self.rest.starts_with("//") {
                self.take_while(|c| c != '\n');
            } else if self.rest.starts_with("/*") {
                let Some(end) = self.rest.find("*/") else {
                    return Err(self.fault("this comment has no end"));
                };
                self.advance(end + 2);
            } else {
                return Ok(());
            }
        }
    }

    /// Skips space, then takes `token` if it is next.
    pub fn eat(&mut self, token: &str) -> Result<bool, Fault> {
        self.skip_space()?;
        let there = self.rest.starts_with(token);
        if there {
            self.advance(token.len());
        }
        Ok(there)
    }

    /// Skips space and takes `token`, which must be next.
    pub fn need(&mut self, token: &str) -> Result<(), Fault> {
        if self.eat(token)? {
            Ok(())
        } else {
            Err(self.expected(&format!("'{token}'")))
        }
    }

    /// Skips space, then takes the word `token` if it is the next whole word.
    pub fn eat_word(&mut self, token: &str) -> Result<bool, Fault> {
        self.skip_space()?;
        let mut ahead = self.clone();
        if ahead.word() == Some(token) {
            *self = ahead;
            return Ok(true);
        }
        Ok(false)
    }

    /// Takes a word of letters, digits, `_`, which does not begin with a digit.
    pub fn word(&mut self) -> Option<&'a str> {
        if !self.peek()?.is_ascii_alphabetic() && self.peek() != Some('_') {
            return None;
        }
        Some(self.take_while(|c| c.is_ascii_alphanumeric() || c == '_'))
    }

    /// Skips space and takes a number without a sign, decimal or with `0x`.
    pub fn number(&mut self) -> Result<u64, Fault> {
        self.skip_space()?;
        let here = self.clone();
        let (digits, base) = if self.rest.starts_with("0x") {
            self.advance(2);
            (self.take_while(|c| c.is_ascii_hexdigit()), 16)
        } else {
            (self.take_while(|c| c.is_ascii_digit()), 10)
        };
        if digits.is_empty() {
            return Err(here.expected("a number"));
        }
        u64::from_str_radix(digits, base).map_err(|_| here.fault(format!("{digits} is too large")))
    }

    /// A number that fits into a type.
    pub fn number_of<T: TryFrom<u64>>(&mut self) -> Result<T, Fault> {
        self.skip_space()?;
        let here = self.clone();
        let number = self.number()?;
        T::try_from(number).map_err(|_| here.fault(format!("{number} is too large")))
    }

    /// Takes everything up to `end`, and `end` itself.
    pub fn up_to(&mut self, end: &str) -> Result<&'a str, Fault> {
        match self.rest.find(end) {
            Some(len) => {
                let text = self.advance(len);
                self.advance(end.len());
                Ok(text)
            }
            None => Err(self.fault(format!("there is no '{end}' that ends this"))),
        }
    }
}
