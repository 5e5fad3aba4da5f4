//! Tables for people: columns as wide as what is in them, headings in bold.
//!
//! Styles are always written; what goes to a file or a pipe loses them on its way out (`anstream`).

use std::fmt::Write;

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

/// How a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Names.
    Left,
    /// Numbers.
    Right,
}

/// A cell: text that no terminal can misread, and how it looks.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// With a style.
    pub fn styled(text: impl Into<String>, style: Style) -> Cell {
        Cell {
            text: text.into(),
            style,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::styled(text, Style::new())
    }
}

/// The table's lines.
pub fn table<const N: usize>(columns: [(&str, Align); N], rows: &[[Cell; N]]) -> String {
    let mut widths = columns.map(|(heading, _)| heading.width());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.text.width().max(*width);
        }
    }
    let headings = columns.map(|(heading, _)| Cell::styled(heading, Style::new().bold()));
    let mut text = String::new();
    for row in [&headings].into_iter().chain(rows) {
        let mut line = String::new();
        for (at, ((cell, width), (_, align))) in row.iter().zip(widths).zip(columns).enumerate() {
            let gap = " ".repeat(width - cell.text.width());
            let (before, after) = match align {
                // What would follow in the last column is blanks at the end of the line.
                Align::Left if at + 1 == N => ("", ""),
                Align::Left => ("", gap.as_str()),
                Align::Right => (gap.as_str(), ""),
            };
            let space = if at == 0 { "" } else { "  " };
            let Cell { text, style } = cell;
            // Writing to a String cannot fail.
            let _ = write!(line, "{space}{before}{style}{text}{style:#}{after}");
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [
            ["1".into(), "日本".into(), "end".into()],
            ["1000".into(), "x".into(), Cell::default()],
        ];
        let text = table(
            [("NO", Align::Right), ("NAME", Align::Left), ("LAST", Align::Left)],
            &rows,
        );
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(plain, "  NO  NAME  LAST\n   1  日本  end\n1000  x     \n");
    }
}
