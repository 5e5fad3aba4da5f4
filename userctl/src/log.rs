//! `userctl log`: what Linux in the driver, or the driver itself, has printed.

use std::io::Write;
use std::time::Duration;

use lklfs_client::{CallError, Driver, LogSource, NtStatus};

use crate::driver::{self, refused, write_text};
use crate::exit::{Exit, Failure};
use crate::text::plain;

/// How long to wait before asking whether there is more.
const PAUSE: Duration = Duration::from_millis(500);

/// Writes the log; with `follow` goes on until it is interrupted.
pub fn run(follow: bool, of_driver: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let driver = driver::change()?;
    let source = match of_driver {
        true => LogSource::Driver,
        false => LogSource::Linux,
    };
    let mut reader = Reader::new(&driver, source);
    loop {
        while let Some(text) = reader.next()? {
            if reader.lost > 0 {
                eprintln!("userctl: warning: {} bytes were overwritten before", reader.lost);
                reader.lost = 0;
            }
            write_text(&lines(&text), out)?;
        }
        if !follow {
            let rest = reader.rest();
            return match rest.is_empty() {
                true => Ok(()),
                false => write_text(&(lines(&rest) + "\n"), out),
            };
        }
        std::thread::sleep(PAUSE);
    }
}

/// Everything that there is now, and how many bytes before it were overwritten.
pub fn all(driver: &Driver, source: LogSource) -> Result<(Vec<u8>, u64), Failure> {
    let mut reader = Reader::new(driver, source);
    let mut text = Vec::new();
    while let Some(part) = reader.next()? {
        text.extend(part);
    }
    text.extend(reader.rest());
    Ok((text, reader.lost))
}

/// Reads a log in whole lines.
struct Reader<'a> {
    driver: &'a Driver,
    source: LogSource,
    position: u64,
    begun: Vec<u8>,
    lost: u64,
}

impl Reader<'_> {
    fn new(driver: &Driver, source: LogSource) -> Reader<'_> {
        Reader {
            driver,
            source,
            position: 0,
            begun: Vec::new(),
            lost: 0,
        }
    }

    /// The next lines; `None` when there are none now.
    fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            let part = self
                .driver
                .log(self.source, self.position)
                .map_err(|error| match error {
                    CallError::Refused(NtStatus::NOT_SUPPORTED) => Failure::new(
                        Exit::Driver,
                        "this driver keeps no log of its own; leave --driver out for Linux's",
                    ),
                    other => refused("the log", other),
                })?;
            self.lost = self.lost.saturating_add(part.lost);
            if part.text.is_empty() || part.next <= self.position {
                return Ok(None);
            }
            self.position = part.next;
            self.begun.extend(part.text);
            if let Some(end) = self.begun.iter().rposition(|byte| *byte == b'\n') {
                let rest = self.begun.split_off(end + 1);
                return Ok(Some(std::mem::replace(&mut self.begun, rest)));
            }
        }
    }

    /// The line that has begun.
    fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.begun)
    }
}

/// Lines as they may be shown.
fn lines(text: &[u8]) -> String {
    let mut shown: Vec<String> = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        shown.push(plain(line.strip_suffix(b"\r").unwrap_or(line)));
    }
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_lines_and_nothing_else_reaches_the_terminal() {
        assert_eq!(lines(b"[ 0.1] a\\b\r\n\x1b[2J\n"), "[ 0.1] a\\b\n\\x1b[2J\n");
    }
}
