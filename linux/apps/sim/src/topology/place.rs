//! Where in a text something is wrong, and what.

use std::ops::Range;

/// What is wrong with a topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, in bytes of the text.
    pub span: Range<usize>,
    /// What, and what to do.
    pub message: String,
}

impl Problem {
    /// Something is wrong there.
    pub fn at<T>(thing: &toml::Spanned<T>, message: impl std::fmt::Display) -> Problem {
        Problem {
            span: thing.span(),
            message: message.to_string(),
        }
    }

    /// One line: the file, the line, the column, each counted from 1, and the message.
    pub fn line(&self, file: &str, text: &str) -> String {
        let before = text.get(..self.span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(start..).unwrap_or("").chars().count() + 1;
        let lines = self
            .message
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty());
        let message = lines.collect::<Vec<_>>().join("; ");
        format!("{file}:{line}:{column}: {message}")
    }
}
