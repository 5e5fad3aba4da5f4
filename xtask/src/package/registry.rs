//! Wine's registry, read from the files that it writes when its server ends.
//!
//! A file is text: `[Key\\Below] time` opens a key, `"Name"=value` and `@=value` are its values, a backslash at the end of
//! a line joins the next to it. Names escape the backslash and the quote. Values are kept as they are written, which is
//! enough to compare; [`Value::text`] and [`Value::number`] read the two kinds that are asked for.

use std::collections::BTreeMap;

/// A value as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(pub String);

impl Value {
    /// The text of a REG_SZ or REG_EXPAND_SZ.
    pub fn text(&self) -> Option<String> {
        let quoted = self.0.strip_prefix("str(2):").unwrap_or(&self.0);
        let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
        Some(unescaped(inner))
    }

    /// The number of a REG_DWORD.
    pub fn number(&self) -> Option<u32> {
        u32::from_str_radix(self.0.strip_prefix("dword:")?, 16).ok()
    }
}

/// Keys with their values; the default value has the name `@`.
pub type Keys = BTreeMap<String, BTreeMap<String, Value>>;

/// Reads one file; `root` is what its keys are below.
pub fn parse(text: &str, root: &str) -> Keys {
    let mut keys = Keys::new();
    let mut current: Option<String> = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.rsplit_once(']')) {
            let name = format!("{root}\\{}", unescaped(name.0));
            keys.entry(name.clone()).or_default();
            current = Some(name);
            continue;
        }
        if !line.starts_with(['"', '@']) {
            continue;
        }
        let mut whole = line.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            whole.push_str(lines.next().unwrap_or_default().trim_start());
        }
        if let (Some(key), Some((name, value))) = (&current, name_and_value(&whole)) {
            keys.entry(key.clone())
                .or_default()
                .insert(name, Value(value.to_owned()));
        }
    }
    keys
}

/// The name and what comes after its `=`.
fn name_and_value(line: &str) -> Option<(String, &str)> {
    if let Some(value) = line.strip_prefix("@=") {
        return Some(("@".to_owned(), value));
    }
    let rest = line.strip_prefix('"')?;
    let mut escaped = false;
    for (at, character) in rest.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let value = rest.get(at + 1..)?.strip_prefix('=')?;
                return Some((unescaped(rest.get(..at)?), value));
            }
            _ => {}
        }
    }
    None
}

/// Text without the backslashes that escape: `\\`, `\"`, `\n`, `\xNNNN` (kept as it is).
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, character == '\\') {
            (_, false) => out.push(character),
            _ => match characters.next() {
                Some(next @ ('\\' | '"')) => out.push(next),
                Some(next) => out.extend(['\\', next]),
                None => out.push('\\'),
            },
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_values_and_joined_lines() {
        let text = "WINE REGISTRY Version 2\n;; All keys\n\n#arch=win64\n\n[A\\\\B] 17\n#time=1d\n@=\"d\"\n\
                    \"P\\\"q\"=str(2):\"%x%;C:\\\\y\"\n\"N\"=dword:0000001f\n\"H\"=hex:01,\\\n  02\n\n[Empty] 18\n";
        let keys = parse(text, "HKLM");
        let values = &keys["HKLM\\A\\B"];
        assert_eq!(values["@"].text().unwrap(), "d");
        assert_eq!(values["P\"q"].text().unwrap(), "%x%;C:\\y");
        assert_eq!(values["N"].number(), Some(31));
        assert_eq!(values["H"].0, "hex:01,02");
        assert!(keys["HKLM\\Empty"].is_empty());
    }
}
