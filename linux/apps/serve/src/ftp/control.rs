//! The control connection: replies out, lines in, and an eye on it while something else is done.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::wire::{Line, Lines, Wire};

/// How long a client may leave a reply lying.
const PATIENCE: Duration = Duration::from_secs(30);
/// Commands that a client may send ahead during a transfer.
const MOST_AHEAD: usize = 16;

/// A client's control connection.
pub struct Control {
    wire: Wire,
    lines: Lines,
    /// Lines that came during a transfer.
    ahead: VecDeque<Line>,
}

/// How work has ended that the control connection was watched meanwhile.
pub enum Watched<T> {
    /// It is done.
    Done(T),
    /// The client has aborted it.
    Aborted,
    /// The client has left.
    Gone,
}

impl Control {
    /// Over a connection.
    pub fn new(wire: Wire) -> Control {
        Control {
            wire,
            lines: Lines::default(),
            ahead: VecDeque::new(),
        }
    }

    /// Whether it is TLS.
    pub fn is_tls(&self) -> bool {
        self.wire.is_tls()
    }

    /// Whether the client has sent more than was asked for.
    pub fn is_ahead(&self) -> bool {
        !self.ahead.is_empty() || self.lines.is_ahead()
    }

    /// The next line.
    pub async fn next(&mut self) -> io::Result<Line> {
        match self.ahead.pop_front() {
            Some(line) => Ok(line),
            None => self.lines.next(&mut self.wire).await,
        }
    }

    /// Makes the connection TLS.
    pub async fn secure(&mut self, acceptor: &TlsAcceptor) -> io::Result<()> {
        match std::mem::replace(&mut self.wire, Wire::Closed) {
            Wire::Plain(stream) => self.wire = Wire::Tls(Box::new(acceptor.accept(stream).await?)),
            other => self.wire = other,
        }
        Ok(())
    }

    /// Does work, and hears meanwhile when the client aborts it, asks how it goes, or leaves.
    pub async fn watch<T>(&mut self, work: impl Future<Output = T>) -> Watched<T> {
        tokio::pin!(work);
        loop {
            let line = tokio::select! {
                biased;
                done = &mut work => return Watched::Done(done),
                line = self.lines.next(&mut self.wire), if self.ahead.len() < MOST_AHEAD => line,
            };
            match line {
                Err(_) | Ok(Line::End) => return Watched::Gone,
                Ok(Line::Whole(line)) if line.eq_ignore_ascii_case(b"ABOR") => return Watched::Aborted,
                Ok(Line::Whole(line)) if line.eq_ignore_ascii_case(b"STAT") => {
                    if self.say(213, "A transfer is under way.").await.is_err() {
                        return Watched::Gone;
                    }
                }
                Ok(line) => self.ahead.push_back(line),
            }
        }
    }

    /// Whether the client has left without a word, as one does that is killed. What it has said is kept.
    pub async fn is_gone(&mut self) -> bool {
        // The executor looks at the sockets now.
        tokio::task::yield_now().await;
        while let Ok(line) = timeout(Duration::ZERO, self.lines.next(&mut self.wire)).await {
            match line {
                Ok(line) if line != Line::End => self.ahead.push_back(line),
                _ => {
                    let quits =
                        |line: &Line| matches!(line, Line::Whole(line) if line.eq_ignore_ascii_case(b"QUIT"));
                    return !self.ahead.iter().any(quits);
                }
            }
            if self.ahead.len() >= MOST_AHEAD {
                break;
            }
        }
        false
    }

    /// A reply of one line.
    pub async fn say(&mut self, code: u16, text: &str) -> io::Result<()> {
        self.say_bytes(code, text.as_bytes()).await
    }

    /// A reply of one line.
    pub async fn say_bytes(&mut self, code: u16, text: &[u8]) -> io::Result<()> {
        self.send(&[format!("{code} ").as_bytes(), text, b"\r\n"].concat())
            .await
    }

    /// A reply of several lines.
    pub async fn say_lines(&mut self, code: u16, first: &str, lines: &[&str], last: &str) -> io::Result<()> {
        let block: String = lines.iter().map(|line| format!(" {line}\r\n")).collect();
        self.say_block(code, first, &block, last).await
    }

    /// A reply around a line of bytes.
    pub async fn say_line(&mut self, code: u16, first: &str, line: &[u8], last: &str) -> io::Result<()> {
        self.say_block(code, first, [b" ", line, b"\r\n"].concat(), last)
            .await
    }

    /// A reply around lines, which have their ends.
    pub async fn say_block(
        &mut self,
        code: u16,
        first: &str,
        block: impl AsRef<[u8]>,
        last: &str,
    ) -> io::Result<()> {
        let (head, tail) = (format!("{code}-{first}\r\n"), format!("{code} {last}\r\n"));
        self.send(&[head.as_bytes(), block.as_ref(), tail.as_bytes()].concat())
            .await
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = async {
            self.wire.write_all(bytes).await?;
            self.wire.flush().await
        };
        timeout(PATIENCE, sent)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}
