//! The log: a line on standard error for each thing that an operator of a server wants to know.
//!
//! What a client or an image says is escaped, so that a line is a line and a terminal stays as it is.

use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::when;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Faults of the server's only.
    Quiet,
    /// Clients and transfers.
    Usual,
    /// Each command or request.
    Everything,
}

/// Where lines go.
#[derive(Debug, Clone, Copy)]
pub struct Report(Detail);

impl Report {
    /// One that says as much.
    pub fn new(detail: Detail) -> Report {
        Report(detail)
    }

    /// Says something of that importance.
    pub fn say(self, detail: Detail, who: Option<SocketAddr>, what: fmt::Arguments<'_>) {
        if detail > self.0 {
            return;
        }
        let at = when::iso(when::now());
        let line = match who {
            Some(who) => format!("{at} {who} {what}\n"),
            None => format!("{at} {what}\n"),
        };
        // A log that cannot be written ends no transfer.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

/// Bytes of a client's or an image's, for a line: valid UTF-8 without control characters as it is.
pub fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\\' => text.push_str("\\\\"),
                letter if letter.is_control() || is_direction(letter) => {
                    text.extend(letter.escape_unicode());
                }
                letter => text.push(letter),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Characters that turn the writing direction: a line with them may read as another.
fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A transfer under way: says how it goes each [`Progress::EVERY`], and how it has ended.
pub struct Progress {
    report: Report,
    who: SocketAddr,
    what: String,
    /// Bytes that there are to be, if that is known.
    whole: Option<u64>,
    started: Instant,
    said: Instant,
    done: u64,
}

impl Progress {
    /// How often a long transfer says how far it is.
    pub const EVERY: Duration = Duration::from_secs(10);

    /// A transfer that begins now.
    pub fn new(report: Report, who: SocketAddr, what: String, whole: Option<u64>) -> Progress {
        let now = Instant::now();
        Progress {
            report,
            who,
            what,
            whole,
            started: now,
            said: now,
            done: 0,
        }
    }

    /// Bytes that have gone out.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Seconds since it began.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// So many more bytes have gone out.
    pub fn add(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
        if self.said.elapsed() < Progress::EVERY {
            return;
        }
        self.said = Instant::now();
        let part = match self.whole {
            Some(whole @ 1..) => format!("{}% of {whole} bytes", self.done.saturating_mul(100) / whole),
            _ => format!("{} bytes", self.done),
        };
        let (what, rate) = (&self.what, self.rate());
        self.report.say(
            Detail::Usual,
            Some(self.who),
            format_args!("{what}: {part}, {rate}"),
        );
    }

    /// It has ended.
    pub fn end(&self, how: &str) {
        let (what, done, rate) = (&self.what, self.done, self.rate());
        let seconds = self.seconds();
        self.report.say(
            Detail::Usual,
            Some(self.who),
            format_args!("{what}: {how}, {done} bytes in {seconds:.3} s, {rate}"),
        );
    }

    fn rate(&self) -> String {
        let mib = self.done as f64 / f64::from(1 << 20);
        format!("{:.1} MiB/s", mib / self.seconds().max(0.000_001))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_stays_one() {
        assert_eq!(shown("Grüße/日本".as_bytes()), "Grüße/日本");
        assert_eq!(
            shown(b"a\r\n2026 forged\x1b[2J\xff\\"),
            "a\\u{d}\\u{a}2026 forged\\u{1b}[2J\\xff\\\\"
        );
        assert_eq!(shown("\u{202e}gpj.exe".as_bytes()), "\\u{202e}gpj.exe");
    }
}
