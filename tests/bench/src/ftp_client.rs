//! An FTP client that fetches what a server shows, as one does that mirrors: by one connection, a data connection a file.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};

/// A logged-in client.
pub struct FtpClient {
    control: BufReader<TcpStream>,
    server: SocketAddr,
    buffer: Vec<u8>,
}

impl FtpClient {
    /// Connects, and logs in as anonymous.
    pub fn new(server: SocketAddr) -> Result<FtpClient> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        let mut client = FtpClient {
            control: BufReader::new(stream),
            server,
            buffer: vec![0; 256 << 10],
        };
        client.reply()?;
        for line in ["USER anonymous", "PASS me@", "TYPE I"] {
            client.ask(line)?;
        }
        Ok(client)
    }

    fn reply(&mut self) -> Result<String> {
        loop {
            // A server that leaves Nagle's algorithm on would else wait for this machine's delayed acknowledgements.
            std::os::linux::net::TcpStreamExt::set_quickack(self.control.get_ref(), true)?;
            let mut line = String::new();
            if self.control.read_line(&mut line)? == 0 {
                bail!("the server has left");
            }
            if line.as_bytes().get(3) == Some(&b' ') {
                if matches!(line.as_bytes().first(), Some(b'4' | b'5')) {
                    bail!("{}", line.trim());
                }
                return Ok(line);
            }
        }
    }

    fn ask(&mut self, line: &str) -> Result<String> {
        self.control
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// What a command sends, to `sink`; how many bytes.
    pub fn fetch(&mut self, line: &str, mut sink: impl FnMut(&[u8])) -> Result<u64> {
        let reply = self.ask("EPSV")?;
        let port = reply.split("|||").nth(1).and_then(|rest| rest.split('|').next());
        let port = port.and_then(|port| port.parse().ok()).context("no port")?;
        let mut data = TcpStream::connect((self.server.ip(), port))?;
        self.ask(line)?;
        let mut bytes = 0;
        loop {
            let len = data.read(&mut self.buffer)?;
            if len == 0 {
                break;
            }
            sink(&self.buffer[..len]);
            bytes += len as u64;
        }
        // A server that lingers answers when this end has closed.
        drop(data);
        self.reply()?;
        Ok(bytes)
    }

    /// The names in a folder.
    pub fn names(&mut self, folder: &str) -> Result<Vec<String>> {
        let mut text = Vec::new();
        self.ask(&format!("CWD {folder}"))?;
        self.fetch("NLST", |bytes| text.extend_from_slice(bytes))?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().map(str::to_owned).collect())
    }
}
