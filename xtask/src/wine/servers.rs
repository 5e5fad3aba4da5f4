//! `lklftpd.exe` and `lklserve.exe` under Wine: this machine's curl finds in an image what `userctl` finds there.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use super::machine::Machine;
use super::{FILE, IMAGE, QUESTION, here, windows_program};
use crate::userctl;

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(60);

/// The programs to judge.
pub struct Programs {
    ftp: PathBuf,
    web: PathBuf,
}

impl Programs {
    /// Where they are when they are built.
    pub fn built() -> Result<Programs> {
        Ok(Programs {
            ftp: windows_program("lklftpd")?,
            web: windows_program("lklserve")?,
        })
    }
}

/// Asks both for a listing, a file, and the end of a file. The image is there.
pub fn run(sh: &Shell, machine: &Machine, programs: &Programs) -> Result<()> {
    let native = userctl::native(sh, false)?;
    let file = here(&native, &["cat", IMAGE, FILE], machine.folder())?.stdout;
    ensure!(!file.is_empty(), "userctl reads nothing of {FILE}");
    for (exe, name, protocol, scheme) in [
        (&programs.ftp, "lklftpd.exe", &[][..], "ftp"),
        (&programs.web, "lklserve.exe", &["webdav"], "http"),
    ] {
        fs::copy(exe, machine.folder().join(name))?;
        let address = free_address()?;
        let listen = address.to_string();
        let words = [protocol, &["--quiet", "--listen", &listen, IMAGE]].concat();
        let asked = thread::scope(|scope| {
            let server = scope.spawn(|| machine.run(name, &words, QUESTION));
            let asked = listening(address).and_then(|()| {
                let url = format!("{scheme}://{address}/{IMAGE}");
                ask(sh, &url, &file)
            });
            let ended = machine.run("taskkill", &["/f", "/im", name], QUESTION);
            // It was ended, so its exit code says nothing; that it has not crashed is seen to by the machine.
            let server = server
                .join()
                .unwrap_or_else(|_| panic!("{name}: a fault in its watch"));
            ended.and(server).and(asked)
        });
        asked.with_context(|| format!("{name}, under Wine"))?;
        println!("{name}: {FILE} is the file's, whole and from its middle on");
    }
    Ok(())
}

fn ask(sh: &Shell, url: &str, file: &[u8]) -> Result<()> {
    let curl = |options: &[&str], path: &str| -> Result<Vec<u8>> {
        let output = sh
            .cmd("curl")
            .args(["-sSf"])
            .args(options)
            .arg(format!("{url}{path}"))
            .quiet()
            .output()?;
        Ok(output.stdout)
    };
    let listing = curl(&[], "/wide/")?;
    let name = Path::new(FILE).file_name().context("a file without a name")?;
    ensure!(
        String::from_utf8_lossy(&listing).contains(&*name.to_string_lossy()),
        "{FILE} is not listed"
    );
    ensure!(curl(&[], FILE)? == file, "{FILE} is another file");
    let middle = file.len() / 2;
    let rest = curl(&["-r", &format!("{middle}-")], FILE)?;
    ensure!(
        Some(&rest[..]) == file.get(middle..),
        "the end of {FILE} is another one"
    );
    Ok(())
}

/// An address that no program listens at.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Waits until a server listens.
fn listening(address: SocketAddr) -> Result<()> {
    let begun = Instant::now();
    while let Err(error) = TcpStream::connect(address) {
        ensure!(begun.elapsed() < START, "it does not listen: {error}");
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
