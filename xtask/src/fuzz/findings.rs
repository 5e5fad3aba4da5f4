//! What a fuzzer has found, as a person needs it: what happened, where, with which input, and the line that does it again.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::PathBuf;

/// Bytes of an input that are shown.
const SHOWN: usize = 256;

/// What a program said when it ended.
pub struct Stack {
    /// The panic's place and message, or libFuzzer's own words.
    what: String,
    /// Functions with file and line, the innermost first: those of this repository.
    frames: Vec<String>,
}

impl Stack {
    /// Reads it from what the program printed.
    pub fn read(lines: &[String]) -> Stack {
        let panic = lines.iter().position(|line| line.contains("panicked at "));
        let what = match panic {
            Some(at) => {
                let place = lines[at]
                    .split_once("panicked at ")
                    .map_or("", |(_, place)| place);
                let words = lines[at + 1..]
                    .iter()
                    .take_while(|line| !line.starts_with("stack backtrace:"));
                let words: Vec<&str> = words
                    .map(|line| line.trim())
                    .filter(|line| !line.starts_with("note: "))
                    .collect();
                format!("{place} {}", words.join(" "))
            }
            None => {
                let told = lines
                    .iter()
                    .find_map(|line| line.split_once("ERROR: libFuzzer: "));
                told.map_or_else(|| "the program ended".to_owned(), |(_, what)| what.to_owned())
            }
        };
        let mut frames = Vec::new();
        for pair in lines.windows(2) {
            let place = pair[1].trim_start().strip_prefix("at ./");
            let Some(place) = place.filter(|place| !place.starts_with("../") && place.contains(".rs:"))
            else {
                continue;
            };
            let function = pair[0].trim_start().split_once(": ").map_or("", |(_, name)| name);
            frames.push(format!("{function} at {place}"));
        }
        Stack { what, frames }
    }
}

/// A finding.
pub struct Finding {
    target: String,
    stack: Stack,
    input: PathBuf,
}

impl Finding {
    /// Of a target, with an input that shows it.
    pub fn new(target: &str, stack: Stack, input: PathBuf) -> Finding {
        Finding {
            target: target.to_owned(),
            stack,
            input,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "FINDING by {}: {}", self.target, self.stack.what)?;
        for frame in &self.stack.frames {
            writeln!(f, "    {frame}")?;
        }
        let bytes = fs::read(&self.input).unwrap_or_default();
        let shown = bytes.iter().take(SHOWN).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let more = if bytes.len() > SHOWN { "..." } else { "" };
        writeln!(f, "  input of {} bytes: {shown}{more}", bytes.len())?;
        write!(
            f,
            "  again: cargo xtask fuzz {} --input {}",
            self.target,
            self.input.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_panic_and_the_frames_of_ours_are_told() {
        let text = "INFO: Seed: 1\nthread '<unnamed>' (7) panicked at linux/x/src/lib.rs:7:9:\nindex out of bounds\n  left: 1\n\
                    note: run with\nstack backtrace:\n   0: __rustc::rust_begin_unwind\n             at /rustc/1/std.rs:5:5\n   \
                    1: x::parse\n             at ./linux/x/src/lib.rs:7:9\n==7== ERROR: libFuzzer: deadly signal";
        let lines: Vec<String> = text.lines().map(String::from).collect();
        let stack = Stack::read(&lines);
        assert_eq!(stack.what, "linux/x/src/lib.rs:7:9: index out of bounds left: 1");
        assert_eq!(stack.frames, ["x::parse at linux/x/src/lib.rs:7:9"]);
        let timeout = ["==7== ERROR: libFuzzer: timeout after 10 seconds".to_owned()];
        assert_eq!(Stack::read(&timeout).what, "timeout after 10 seconds");
    }
}
