//! A connection, plain or TLS, and the lines that come by it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A connection.
pub enum Wire {
    /// TCP alone.
    Plain(TcpStream),
    /// TLS over it.
    Tls(Box<TlsStream<TcpStream>>),
    /// Neither any more.
    Closed,
}

impl Wire {
    /// Whether it is TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Wire::Tls(_))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Wire::Closed => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Wire::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

/// Bytes of a line: a path of Linux's, and what is around it.
const MOST: usize = 8192;
/// Bytes of a line that is thrown away before the client is.
const MOST_THROWN: usize = 1 << 20;

/// What came by a control connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line, without its end and Telnet's own.
    Whole(Vec<u8>),
    /// One that was too long, and was thrown away.
    TooLong,
    /// The client has left, or sends a line without an end.
    End,
}

/// Lines of a control connection. A line that has come in part stays when the wait for the rest is given up.
#[derive(Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Bytes thrown away of a line that is too long.
    thrown: Option<usize>,
}

impl Lines {
    /// The next line.
    pub async fn next(&mut self, wire: &mut Wire) -> io::Result<Line> {
        loop {
            if let Some(line) = self.take() {
                return Ok(line);
            }
            if self.thrown.is_some_and(|thrown| thrown > MOST_THROWN) {
                return Ok(Line::End);
            }
            self.buffer.reserve(512);
            if wire.read_buf(&mut self.buffer).await? == 0 {
                return Ok(Line::End);
            }
        }
    }

    /// Whether the client has sent more than was asked for.
    pub fn is_ahead(&self) -> bool {
        !self.buffer.is_empty()
    }

    fn take(&mut self) -> Option<Line> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n');
        let len = end.unwrap_or(self.buffer.len());
        if len > MOST || self.thrown.is_some() {
            let drained = self.buffer.drain(..end.map_or(len, |end| end + 1)).len();
            let thrown = self.thrown.unwrap_or(0) + drained;
            self.thrown = end.is_none().then_some(thrown);
            return end.map(|_| Line::TooLong);
        }
        let line: Vec<u8> = self.buffer.drain(..=end?).collect();
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        Some(Line::Whole(without_telnet(
            line.strip_suffix(b"\r").unwrap_or(line),
        )))
    }
}

/// A line without Telnet's commands (RFC 854). A NUL stands for a line feed in a name (RFC 2640).
fn without_telnet(line: &[u8]) -> Vec<u8> {
    const IAC: u8 = 255;
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line.iter();
    while let Some(byte) = rest.next() {
        match *byte {
            IAC => match rest.next() {
                Some(&IAC) => bytes.push(IAC),
                // WILL, WON'T, DO and DON'T have an option behind them.
                Some(251..=254) => drop(rest.next()),
                _ => {}
            },
            0 => bytes.push(b'\n'),
            byte => bytes.push(byte),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<Line> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for chunk in chunks {
            lines.buffer.extend_from_slice(chunk);
            found.extend(std::iter::from_fn(|| lines.take()));
        }
        found
    }

    fn whole(text: &[u8]) -> Line {
        Line::Whole(text.to_vec())
    }

    #[test]
    fn lines_end_with_lf_and_may_come_in_pieces() {
        assert_eq!(
            lines(&[b"NO", b"OP\r", b"\nPWD\nRETR a\0b\r\n"]),
            [whole(b"NOOP"), whole(b"PWD"), whole(b"RETR a\nb")]
        );
    }

    #[test]
    fn telnets_commands_are_taken_out() {
        assert_eq!(
            lines(&[b"\xff\xf4\xff\xf2ABOR\r\n\xff\xfb\x01CWD \xff\xff\r\n\xff\n"]),
            [whole(b"ABOR"), whole(b"CWD \xff"), whole(b"")]
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_one_answer_and_no_memory() {
        let piece = [b'x'; 4096];
        let found = lines(&[&piece, &piece, &piece, &piece, b"y\nNOOP\r\n"]);
        assert_eq!(found, [Line::TooLong, whole(b"NOOP")]);
        let mut lines = Lines::default();
        for _ in 0..300 {
            lines.buffer.extend_from_slice(&piece);
            assert_eq!(lines.take(), None);
            assert!(lines.buffer.len() <= MOST);
        }
        assert!(lines.thrown.unwrap() > MOST_THROWN);
    }
}
