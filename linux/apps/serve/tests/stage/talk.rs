//! Conversations in lines, as no client has them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::lossy;

/// A conversation in lines.
pub struct Talk {
    pub reader: BufReader<TcpStream>,
}

impl Talk {
    pub fn with(address: SocketAddr) -> Talk {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Talk {
            reader: BufReader::new(stream),
        }
    }

    /// With an FTP server, logged in.
    pub fn ftp(address: SocketAddr) -> Talk {
        let mut talk = Talk::with(address);
        assert!(talk.hear().starts_with("220 "));
        assert!(talk.ask("USER anonymous").starts_with("331 "));
        assert!(talk.ask("PASS me@").starts_with("230 "));
        talk
    }

    pub fn say(&mut self, bytes: &[u8]) {
        // A server may close before all of it is sent.
        let _ = self.reader.get_mut().write_all(bytes);
    }

    /// One reply, all of its lines; empty when the server has left.
    pub fn hear(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let mut line = Vec::new();
            if self.reader.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
                return reply;
            }
            let line = lossy(&line);
            reply.push_str(&line);
            let bytes = line.as_bytes();
            if bytes.len() > 3 && bytes[..3].iter().all(u8::is_ascii_digit) && bytes[3] == b' ' {
                return reply;
            }
        }
    }

    pub fn ask(&mut self, line: &str) -> String {
        self.say(format!("{line}\r\n").as_bytes());
        self.hear()
    }

    /// Opens a passive data connection.
    pub fn data(&mut self) -> TcpStream {
        let reply = self.ask("EPSV");
        let port = reply.split("|||").nth(1).and_then(|rest| rest.split('|').next());
        let port: u16 = port
            .and_then(|port| port.parse().ok())
            .unwrap_or_else(|| panic!("{reply}"));
        let data = TcpStream::connect(("127.0.0.1", port)).unwrap();
        data.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        data
    }

    /// Everything until the server closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.reader.read_to_end(&mut bytes);
        bytes
    }
}
