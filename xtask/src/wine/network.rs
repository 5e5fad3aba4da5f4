//! `lklget.exe` under Wine: over datagrams by UDP, which is what a Windows has, and QEMU at the other end, which has user-mode NAT
//! behind it and runs no machine.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::{fs, io, thread};

use anyhow::{Context, Result, ensure};

use super::QUESTION;
use super::machine::{Ended, Machine};

/// How much is fetched.
const LEN: u32 = 16 << 20;
/// This machine, as QEMU's NAT has it.
const HERE: &str = "10.0.2.2";

/// Fetches a file, and is refused where no server listens.
pub fn run(machine: &Machine, exe: &PathBuf) -> Result<()> {
    let folder = machine.folder();
    fs::copy(exe, folder.join("lklget.exe"))?;
    let content: Vec<u8> = (0..LEN)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let server = listener.local_addr()?;
    let fetched = thread::scope(|scope| {
        scope.spawn(|| serve(&listener, &content));
        let fetched = fetch(machine, server.port(), "got");
        // It waits for the next one.
        let _ = TcpStream::connect(server).and_then(|mut last| last.write_all(b"END\r\n"));
        fetched
    });
    let fetched = fetched?;
    ensure!(fetched.code == 0, "lklget.exe, under Wine: {fetched}");
    let got = fs::read(folder.join("got")).context("lklget.exe has written no file")?;
    ensure!(
        got == content,
        "lklget.exe has fetched another file: {} bytes",
        got.len()
    );
    drop(listener);
    let refused = fetch(machine, server.port(), "none")?;
    ensure!(
        refused.code == 1 && refused.said().contains("refuses the connection"),
        "lklget.exe, under Wine, of a server that is none: {refused}"
    );
    println!(
        "lklget.exe: {} bytes over Linux's own TCP, the file's; a refusal is told",
        got.len()
    );
    Ok(())
}

/// QEMU, until it is dropped.
struct Nat(Child);

impl Nat {
    /// From its port to Linux's.
    fn new(own: SocketAddr, linux: SocketAddr) -> Result<Nat> {
        let datagrams = format!(
            "dgram,id=linux,local.type=inet,local.host={},local.port={},remote.type=inet,remote.host={},remote.port={}",
            own.ip(),
            own.port(),
            linux.ip(),
            linux.port()
        );
        let child = Command::new("qemu-system-sparc")
            .args(["-M", "none", "-nodefaults", "-display", "none"])
            .args(["-netdev", &datagrams, "-netdev", "user,id=nat"])
            .args(["-netdev", "hubport,id=one,hubid=0,netdev=linux"])
            .args(["-netdev", "hubport,id=two,hubid=0,netdev=nat"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("qemu-system-sparc")?;
        Ok(Nat(child))
    }
}

impl Drop for Nat {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn fetch(machine: &Machine, port: u16, name: &str) -> Result<Ended> {
    let (own, linux) = (free()?, free()?);
    let _nat = Nat::new(own, linux)?;
    let _ = fs::remove_file(machine.folder().join(name));
    let (net, url) = (format!("udp:{linux},{own}"), format!("http://{HERE}:{port}/"));
    let network = ["--net", &net, "--ip", "10.0.2.15/24", "--gateway", HERE];
    let words = [&network[..], &["-o", name, &url]].concat();
    machine.run("lklget.exe", &words, QUESTION)
}

/// An address that no program has a socket at.
fn free() -> Result<SocketAddr> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Answers each request with the same, until one is none of HTTP's.
fn serve(listener: &TcpListener, content: &[u8]) {
    while let Ok((stream, _)) = listener.accept() {
        // A client that goes is one that says so itself.
        if let Ok(false) = answer(stream, content) {
            return;
        }
    }
}

fn answer(mut stream: TcpStream, content: &[u8]) -> io::Result<bool> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let (mut request, mut line) = (String::new(), String::new());
    lines.read_line(&mut request)?;
    if !request.starts_with("GET ") {
        return Ok(false);
    }
    while line != "\r\n" {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            return Ok(true);
        }
    }
    let length = content.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(content)?;
    Ok(true)
}
