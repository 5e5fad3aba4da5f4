//! The servers, beside themselves over this machine's own mount, and beside vsftpd where that is installed.
//!
//! Each round starts each server afresh, on an image that is in this machine's page cache, and asks it twice for a large file and for a
//! tree of small ones: *cold*, then *warm*. Servers take turns. Medians are printed: what the first does, and how many times that
//! the others do.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::ftp_client::FtpClient;
use crate::http_client::HttpClient;
use crate::reference::Mount;
use crate::trees::{self, median};

/// How often each server is asked.
const ROUNDS: usize = 5;
const LARGE: u64 = 512 << 20;
const FOLDERS: usize = 10;
const FILES: usize = 100;

/// What is measured, in the order of the rows.
const WORKS: [(&str, &str); 4] = [
    ("large file, cold", "MiB/s"),
    ("small files, cold", "files/s"),
    ("large file, warm", "MiB/s"),
    ("small files, warm", "files/s"),
];

/// Who serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Ours, over this machine's mount.
    Native,
    /// Ours, over the image.
    Image,
    /// Debian's FTP server, over this machine's mount.
    Vsftpd,
}

/// Measures both and prints two tables.
pub fn run(lklftpd: &Path, lklserve: &Path, place: &Path) -> Result<()> {
    let image = image(place)?;
    let has_vsftpd = Command::new("vsftpd")
        .arg("-v")
        .stdin(Stdio::null())
        .output()
        .is_ok();
    let ftp: &[Kind] = match has_vsftpd {
        true => &[Kind::Native, Kind::Image, Kind::Vsftpd],
        false => &[Kind::Native, Kind::Image],
    };
    let (ftp_words, web_words): (&[&str], &[&str]) = (&[], &["webdav"]);
    let done = table("lklftpd", ftp, |kind| {
        one(kind, lklftpd, ftp_words, &image, place, fetch_by_ftp)
    });
    let done = done.and_then(|()| {
        table("lklserve webdav", &ftp[..2], |kind| {
            one(kind, lklserve, web_words, &image, place, fetch_by_http)
        })
    });
    fs::remove_file(&image)?;
    done
}

fn table(title: &str, kinds: &[Kind], measure: impl Fn(Kind) -> Result<[f64; 4]>) -> Result<()> {
    let mut figures = vec![Vec::new(); kinds.len()];
    for _ in 0..ROUNDS {
        for (kind, figures) in kinds.iter().zip(&mut figures) {
            eprintln!("{title} {kind:?}");
            figures.push(measure(*kind)?);
        }
    }
    print!("{title:<24}");
    for kind in kinds {
        let name = match kind {
            Kind::Native => "over native mount",
            Kind::Image => "over image",
            Kind::Vsftpd => "vsftpd",
        };
        print!("{name:>20}");
    }
    println!();
    for (row, (name, unit)) in WORKS.iter().enumerate() {
        let figure = |figures: &Vec<[f64; 4]>| median(figures.iter().map(|figure| figure[row]));
        let first = figures.first().map_or(f64::NAN, figure);
        print!("{name:<24}{:>20}", format!("{first:.0} {unit}"));
        for figures in figures.iter().skip(1) {
            print!("{:>20}", format!("{:.2} x", figure(figures) / first));
        }
        println!();
    }
    Ok(())
}

/// An ext4 image with `/large` and `/small`.
fn image(place: &Path) -> Result<PathBuf> {
    let (tree, image) = (place.join("served"), place.join("served.img"));
    fs::create_dir_all(&tree)?;
    trees::large(&tree.join("large"), LARGE)?;
    for folder in 0..FOLDERS {
        let folder = tree.join("small").join(folder.to_string());
        fs::create_dir_all(&folder)?;
        for file in 0..FILES {
            fs::write(folder.join(file.to_string()), vec![b'x'; 2000 + file * 120])?;
        }
    }
    File::create(&image)?.set_len(LARGE * 3 / 2)?;
    trees::well(
        Command::new("mkfs.ext4")
            .args(["-q", "-F", "-d"])
            .arg(&tree)
            .arg(&image),
    )?;
    fs::remove_dir_all(&tree)?;
    Ok(image)
}

/// Starts a server, measures, ends it.
fn one(
    kind: Kind,
    program: &Path,
    words: &[&str],
    image: &Path,
    place: &Path,
    fetch: fn(SocketAddr, &str) -> Result<[f64; 2]>,
) -> Result<[f64; 4]> {
    let mount = match kind {
        Kind::Image => None,
        Kind::Native | Kind::Vsftpd => Some(Mount::new("mount", "loop,noatime,ro", image)?),
    };
    let shown = mount.as_ref().map_or(image, |mount| &mount.folder);
    let name = shown
        .file_name()
        .context("no name")?
        .to_string_lossy()
        .into_owned();
    let (server, address, folder) = match kind {
        Kind::Vsftpd => {
            let (server, address) = vsftpd(shown, place)?;
            (server, address, String::new())
        }
        _ => {
            let native = (kind == Kind::Native).then_some("--native");
            let (server, address) = ours(program, words, native, shown)?;
            (server, address, format!("/{name}"))
        }
    };
    let cold = fetch(address, &folder)?;
    let warm = fetch(address, &folder)?;
    drop(server);
    drop(mount);
    Ok([cold[0], cold[1], warm[0], warm[1]])
}

/// A server that runs. It is told to end when this is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn ours(program: &Path, words: &[&str], native: Option<&str>, shown: &Path) -> Result<(Server, SocketAddr)> {
    let mut child = Command::new(program)
        .args(words)
        .args(["--quiet", "--listen", "127.0.0.1:0"])
        .args(native)
        .arg(shown)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| program.display().to_string())?;
    let out = child.stdout.take();
    let server = Server(child);
    let mut line = String::new();
    BufReader::new(out.context("no output")?).read_line(&mut line)?;
    let address = line.trim().trim_end_matches('/').rsplit('/').next();
    let address = address.and_then(|address| address.parse().ok());
    Ok((
        server,
        address.with_context(|| format!("it does not serve: {line}"))?,
    ))
}

fn vsftpd(shown: &Path, place: &Path) -> Result<(Server, SocketAddr)> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let (settings, empty) = (place.join("vsftpd.conf"), place.join("empty"));
    fs::create_dir_all(&empty)?;
    let (root, empty) = (shown.display(), empty.display());
    let text = format!(
        "listen=YES\nlisten_address=127.0.0.1\nlisten_port={}\nbackground=NO\nanonymous_enable=YES\nlocal_enable=NO\n\
         no_anon_password=NO\nanon_root={root}\nsecure_chroot_dir={empty}\nxferlog_enable=NO\nseccomp_sandbox=NO\n",
        address.port()
    );
    File::create(&settings)?.write_all(text.as_bytes())?;
    let child = Command::new("vsftpd")
        .arg(&settings)
        .stdin(Stdio::null())
        .spawn()?;
    let mut server = Server(child);
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        ensure!(
            begun.elapsed() < Duration::from_secs(60),
            "vsftpd does not listen"
        );
        if let Some(status) = server.0.try_wait()? {
            bail!("vsftpd: {status}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok((server, address))
}

/// MiB a second of the large file, and small files a second.
fn fetch_by_ftp(server: SocketAddr, folder: &str) -> Result<[f64; 2]> {
    let mut client = FtpClient::new(server)?;
    let begun = Instant::now();
    let bytes = client.fetch(&format!("RETR {folder}/large"), |_| {})?;
    ensure!(bytes == LARGE, "the large file has another length");
    let large = begun.elapsed();
    let (begun, mut files) = (Instant::now(), 0);
    for inner in client.names(&format!("{folder}/small"))? {
        for name in client.names(&format!("{folder}/small/{inner}"))? {
            client.fetch(&format!("RETR {name}"), |_| {})?;
            files += 1;
        }
    }
    figures(large, begun.elapsed(), files)
}

fn fetch_by_http(server: SocketAddr, folder: &str) -> Result<[f64; 2]> {
    let mut client = HttpClient::new(server)?;
    let begun = Instant::now();
    let bytes = client.ask("GET", &format!("{folder}/large"), |_| {})?;
    ensure!(bytes == LARGE, "the large file has another length");
    let large = begun.elapsed();
    let (begun, mut files) = (Instant::now(), 0);
    for inner in 0..FOLDERS {
        client.ask("PROPFIND", &format!("{folder}/small/{inner}/"), |_| {})?;
        for file in 0..FILES {
            client.ask("GET", &format!("{folder}/small/{inner}/{file}"), |_| {})?;
            files += 1;
        }
    }
    figures(large, begun.elapsed(), files)
}

fn figures(large: Duration, small: Duration, files: usize) -> Result<[f64; 2]> {
    ensure!(files == FOLDERS * FILES, "{files} small files");
    let mib = (LARGE >> 20) as f64;
    Ok([
        mib / large.as_secs_f64().max(1e-9),
        files as f64 / small.as_secs_f64().max(1e-9),
    ])
}
