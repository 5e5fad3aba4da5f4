//! Compares FTP servers that show the same tree: `compare ROUNDS NAME=ADDR:PORT/FOLDER...`, and tells how many times
//! as fast as each of the others the first is.
//!
//! Each round asks each server for `large` and for everything in `small`, in folders, by one connection: as a client
//! does that mirrors. Servers take turns within a round, so that what else this machine does meets all of them. Medians are told.

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Instant;

/// A logged-in client.
struct Client {
    control: BufReader<TcpStream>,
    host: String,
    buffer: Vec<u8>,
}

impl Client {
    fn new(address: &str) -> Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut client = Client {
            control: BufReader::new(stream),
            host: address
                .rsplit_once(':')
                .map_or(address, |(host, _)| host)
                .to_owned(),
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
            #[cfg(target_os = "linux")]
            std::os::linux::net::TcpStreamExt::set_quickack(self.control.get_ref(), true)?;
            let mut line = String::new();
            if self.control.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) == Some(&b' ') {
                return match line.as_bytes().first() {
                    Some(b'4' | b'5') => Err(std::io::Error::other(line)),
                    _ => Ok(line),
                };
            }
        }
    }

    fn ask(&mut self, line: &str) -> Result<String> {
        self.control
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// What a command sends, to `sink`.
    fn fetch(&mut self, line: &str, mut sink: impl FnMut(&[u8])) -> Result<()> {
        let reply = self.ask("EPSV")?;
        let port = reply.split("|||").nth(1).and_then(|rest| rest.split('|').next());
        let port: u16 = port
            .and_then(|port| port.parse().ok())
            .ok_or_else(|| std::io::Error::other("no port"))?;
        let mut data = TcpStream::connect((&self.host[..], port))?;
        self.ask(line)?;
        loop {
            let len = data.read(&mut self.buffer)?;
            if len == 0 {
                break;
            }
            sink(self.buffer.get(..len).unwrap_or_default());
        }
        // A server that lingers answers when this end has closed.
        drop(data);
        self.reply()?;
        Ok(())
    }

    fn names(&mut self, folder: &str) -> Result<Vec<String>> {
        let mut text = Vec::new();
        self.ask(&format!("CWD {folder}"))?;
        self.fetch("NLST", |bytes| text.extend_from_slice(bytes))?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// Seconds for the large file, and for the small ones; and the bytes of both.
fn round(address: &str, folder: &str) -> Result<([f64; 2], u64)> {
    let mut client = Client::new(address)?;
    let mut bytes = 0u64;
    let begun = Instant::now();
    client.fetch(&format!("RETR {folder}/large"), |piece| {
        bytes += piece.len() as u64
    })?;
    let large = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    for inner in client.names(&format!("{folder}/small"))? {
        for name in client.names(&format!("{folder}/small/{inner}"))? {
            client.fetch(&format!("RETR {name}"), |piece| bytes += piece.len() as u64)?;
        }
    }
    Ok(([large, begun.elapsed().as_secs_f64()], bytes))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let usage = || std::io::Error::other("compare ROUNDS NAME=ADDR:PORT/FOLDER...");
    let (rounds, servers) = arguments.split_first().ok_or_else(usage)?;
    let rounds: usize = rounds.parse().map_err(|_| usage())?;
    let parse = |server: &'static str| -> Option<(&str, &str, &str)> {
        let (name, rest) = server.split_once('=')?;
        let (address, folder) = rest.split_once('/')?;
        Some((name, address, folder))
    };
    let servers: Vec<_> = servers
        .iter()
        .map(|server| parse(Box::leak(server.clone().into_boxed_str())).ok_or_else(usage))
        .collect::<Result<_>>()?;
    let mut times = vec![[Vec::new(), Vec::new()]; servers.len()];
    let mut all = None;
    for _ in 0..rounds {
        for ((_, address, folder), times) in servers.iter().zip(&mut times) {
            let (seconds, bytes) = round(address, &format!("/{folder}"))?;
            if *all.get_or_insert(bytes) != bytes {
                return Err(std::io::Error::other("the servers do not show the same tree"));
            }
            times
                .iter_mut()
                .zip(seconds)
                .for_each(|(times, seconds)| times.push(seconds));
        }
    }
    let mut first = [f64::NAN; 2];
    for ((name, ..), [large, small]) in servers.iter().zip(times) {
        let medians = [median(large), median(small)];
        if first[0].is_nan() {
            first = medians;
        }
        let [large, small] = medians;
        println!(
            "{name:12} large {large:.3} s, small {small:.3} s; the first is {:.2} and {:.2} times as fast",
            large / first[0],
            small / first[1]
        );
    }
    Ok(())
}
