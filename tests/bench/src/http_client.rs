//! A client of WebDAV that fetches what a server shows, by one connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};

/// A client.
pub struct HttpClient {
    stream: BufReader<TcpStream>,
    buffer: Vec<u8>,
}

impl HttpClient {
    /// Connects.
    pub fn new(server: SocketAddr) -> Result<HttpClient> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        Ok(HttpClient {
            stream: BufReader::with_capacity(256 << 10, stream),
            buffer: vec![0; 256 << 10],
        })
    }

    /// What the server sends of a path; how many bytes.
    pub fn ask(&mut self, method: &str, path: &str, mut sink: impl FnMut(&[u8])) -> Result<u64> {
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nDepth: 1\r\nContent-Length: 0\r\n\r\n");
        self.stream.get_mut().write_all(head.as_bytes())?;
        let (mut line, mut length, mut chunked) = (String::new(), None, false);
        let mut first = true;
        loop {
            line.clear();
            ensure!(self.stream.read_line(&mut line)? > 0, "the server has left");
            let text = line.trim_end().to_ascii_lowercase();
            if std::mem::take(&mut first) {
                ensure!(text.contains(" 20"), "{method} {path}: {text}");
            }
            if let Some(value) = text.strip_prefix("content-length:") {
                length = Some(value.trim().parse()?);
            }
            chunked |= text == "transfer-encoding: chunked";
            if text.is_empty() {
                break;
            }
        }
        if !chunked {
            return self.take(length.context("no length")?, &mut sink);
        }
        let mut bytes = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let len = u64::from_str_radix(line.trim(), 16)?;
            bytes += self.take(len, &mut sink)?;
            line.clear();
            self.stream.read_line(&mut line)?;
            if len == 0 {
                return Ok(bytes);
            }
        }
    }

    fn take(&mut self, length: u64, sink: &mut impl FnMut(&[u8])) -> Result<u64> {
        let mut left = length;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let len = self.stream.read(&mut self.buffer[..want])?;
            ensure!(len > 0, "the server has left");
            sink(&self.buffer[..len]);
            left -= len as u64;
        }
        Ok(length)
    }
}
