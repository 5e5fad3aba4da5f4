//! Servers outlive the Linux that one of their images has killed: that image goes offline, all others go on.

#![cfg(target_os = "linux")]

#[path = "../stage/mod.rs"]
mod stage;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use stage::{Server, Stage, Talk, noise, run, try_run};

/// More than sockets hold.
const BIG: usize = 24 << 20;
/// Linux's death, as an exit code.
const DEAD: i32 = 7;

/// A stage with a big file.
fn stage() -> Stage {
    let stage = Stage::new();
    fs::write(stage.path("tree/big"), noise(BIG, 3)).unwrap();
    stage.make("disk.img", 128);
    stage
}

/// Images that Linux dies of.
fn fatal(stage: &Stage, names: &[&str]) {
    for name in names {
        fs::write(stage.path(name), volumes::makers::fatal::volume()).unwrap();
    }
}

/// Longer than an image is offline after it has killed Linux for the first time.
fn until_it_comes_back() {
    std::thread::sleep(Duration::from_millis(1100));
}

/// A connection to an HTTP server.
struct Http(BufReader<TcpStream>);

impl Http {
    fn with(server: &Server) -> Http {
        let stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Http(BufReader::new(stream))
    }

    /// Asks for something. The status, and how long the body is; nothing when the server has left.
    fn ask(&mut self, method: &str, path: &str) -> Option<(u16, usize)> {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nDepth: 1\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).ok()?;
        let (mut status, mut len) = (None, 0);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                return Some((status?, len));
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                len = value.parse().unwrap();
            }
            status = status.or_else(|| line.split(' ').nth(1)?.parse().ok());
        }
    }

    fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    /// A whole answer.
    fn get(&mut self, path: &str) -> Option<(u16, Vec<u8>)> {
        let (status, len) = self.ask("GET", path)?;
        Some((status, self.take(len)?))
    }
}

/// A download that has begun, and goes on when it is told.
struct Download {
    http: Http,
    some: Vec<u8>,
}

impl Download {
    fn of(server: &Server, image: &str) -> Download {
        let mut http = Http::with(server);
        assert_eq!(http.ask("GET", &format!("/{image}/big")), Some((200, BIG)));
        let some = http.take(100_000).unwrap();
        Download { http, some }
    }

    fn ends_well(mut self) {
        let rest = self.http.take(BIG - self.some.len()).expect("it goes on");
        assert!([self.some, rest].concat() == noise(BIG, 3));
    }
}

fn deaths(server: &Server) -> Vec<String> {
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains("Linux has died"));
    lines.map(str::to_owned).collect()
}

/// Reads what Linux dies of.
fn kill(server: &Server, image: &str) {
    let answer = Http::with(server).get(&format!("/{image}/file"));
    assert_eq!(answer.map(|(status, _)| status), Some(500));
}

#[test]
fn transfers_of_other_images_go_on_when_linux_dies_of_one() {
    let stage = stage();
    for (kind, mib) in [("xfs", 320), ("btrfs", 160)] {
        stage.blank(kind, kind, mib);
        stage.filled(kind);
    }
    fatal(&stage, &["fatal.img"]);
    let images = ["disk.img", "xfs", "btrfs"];
    let server = Server::start(
        &stage,
        "lklserve",
        &["disk.img", "xfs", "btrfs", "fatal.img"].map(|name| &*stage.name(name).leak()),
    );
    // Each knows the way to a folder.
    let mut known = images.map(|image| (image, Http::with(&server)));
    let deep = |(image, http): &mut (&str, Http)| {
        let file = http.get(&format!("/{image}/deep/er/and/deeper/file"));
        assert_eq!(file, Some((200, b"deep".to_vec())), "{image}");
        let (status, listing) = http.get(&format!("/{image}/many/")).unwrap();
        assert_eq!(status, 200, "{image}");
        assert!(
            String::from_utf8(listing).unwrap().contains("file-299"),
            "{image}"
        );
    };
    known.iter_mut().for_each(deep);
    for round in 1..=2 {
        let downloads = images.map(|image| Download::of(&server, image));
        // It is listed each time.
        let (status, listing) = Http::with(&server).get("/fatal.img/").unwrap();
        let listing = String::from_utf8(listing).unwrap();
        assert!(status == 200 && listing.contains("file"), "{listing}");
        let begun = Instant::now();
        kill(&server, "fatal.img");
        let text = Http::with(&server).get("/disk.img/text");
        println!(
            "death {round}: another image answers {} ms after the request",
            begun.elapsed().as_millis()
        );
        assert_eq!(text, Some((200, b"one\ntwo\n".to_vec())));
        downloads.into_iter().for_each(Download::ends_well);
        known.iter_mut().for_each(deep);
        let said = deaths(&server);
        assert_eq!(said.len(), round, "{said:?}");
        let line = &said[round - 1];
        for words in ["fatal.img", "fault in Linux", "repair a copy of it"] {
            assert!(line.contains(words), "{line}");
        }
        assert_eq!(line.contains("stays offline"), round == 2, "{line}");
        until_it_comes_back();
    }
    // It stays offline, and whatever is asked of it is an error at once.
    for path in ["/fatal.img/", "/fatal.img/file"] {
        let (status, _) = Http::with(&server).get(path).unwrap();
        assert_eq!(status, 500, "{path}");
        let (status, _) = Http::with(&server).ask("PROPFIND", path).unwrap();
        assert_eq!(status, 500, "{path}");
    }
    // The top is there, with those that are.
    let (status, _) = Http::with(&server).get("/").unwrap();
    assert_eq!(status, 200);
    known.iter_mut().for_each(deep);
    assert_eq!(deaths(&server).len(), 2);
    let log = server.log();
    assert_eq!(server.end_with(), DEAD, "{log}");
}

#[test]
fn by_ftp_too() {
    let stage = stage();
    fatal(&stage, &["fatal.img"]);
    let images = [stage.name("disk.img"), stage.name("fatal.img")];
    let server = Server::start(&stage, "lklftpd", &images.each_ref().map(|name| &**name));
    let mut other = Talk::ftp(server.address);
    assert!(other.ask("CWD /disk.img/deep/er").starts_with("250 "));
    assert!(other.ask("TYPE I").starts_with("200 "));
    let mut data = other.data();
    assert!(other.ask("RETR /disk.img/big").starts_with("150 "));
    let mut big = vec![0; 100_000];
    data.read_exact(&mut big).unwrap();
    let mut guilty = Talk::ftp(server.address);
    assert!(guilty.ask("TYPE I").starts_with("200 "));
    for round in 1..=2 {
        assert!(guilty.ask("CWD /fatal.img").starts_with("250 "));
        let mut nothing = guilty.data();
        assert!(guilty.ask("RETR file").starts_with("150 "));
        let said = guilty.hear();
        assert!(said.starts_with("451 "), "{said}");
        assert_eq!(nothing.read_to_end(&mut Vec::new()).unwrap_or(0), 0);
        assert_eq!(deaths(&server).len(), round, "{}", server.log());
        assert!(guilty.ask("CWD /fatal.img").starts_with("550 "));
        until_it_comes_back();
    }
    // The session goes on, and elsewhere.
    assert!(guilty.ask("SIZE file").starts_with("550 "));
    assert!(guilty.ask("CWD /fatal.img").starts_with("550 "));
    assert!(guilty.ask("SIZE /disk.img/text").starts_with("213 8"));
    data.read_to_end(&mut big).unwrap();
    assert!(big == noise(BIG, 3));
    assert!(other.hear().starts_with("226 "));
    assert!(other.ask("SIZE and/deeper/file").starts_with("213 4"));
    assert_eq!(server.end_with(), DEAD);
}

#[test]
fn a_fat_is_mounted_afresh_and_what_is_open_there_ends() {
    let stage = stage();
    fatal(&stage, &["fatal.img"]);
    stage.blank("vfat", "fat.img", 64);
    let fat = stage.name("fat.img");
    run("mmd", &["-i", &fat, "::/folder"]);
    let (big, text) = (stage.name("tree/big"), stage.name("tree/text"));
    run("mcopy", &["-i", &fat, &big, "::/big"]);
    run("mcopy", &["-i", &fat, &text, "::/folder/text"]);
    let server = Server::start(&stage, "lklserve", &[&fat, &stage.name("fatal.img")]);
    let mut known = Http::with(&server);
    let there = Some((200, b"one\ntwo\n".to_vec()));
    assert_eq!(known.get("/fat.img/folder/text"), there);
    let mut download = Download::of(&server, "fat.img");
    kill(&server, "fatal.img");
    assert_eq!(known.get("/fat.img/folder/text"), there);
    assert_eq!(
        download.http.take(BIG - download.some.len()),
        None,
        "a file that cannot be told again is not read on"
    );
    Download::of(&server, "fat.img").ends_well();
    assert_eq!(server.end_with(), DEAD);
}

#[test]
fn too_many_deaths_are_the_end_of_all_answers_but_errors() {
    const FATAL: [&str; 4] = ["f1", "f2", "f3", "f4"];
    let stage = Stage::new();
    fatal(&stage, &FATAL);
    let names = ["disk.img", "f1", "f2", "f3", "f4"].map(|name| stage.name(name));
    let server = Server::start(&stage, "lklserve", &names.each_ref().map(|name| &**name));
    let mut http = Http::with(&server);
    for round in 0..2 {
        until_it_comes_back();
        for (number, image) in FATAL.iter().enumerate() {
            let answer = http.get("/disk.img/text");
            assert_eq!(answer, Some((200, b"one\ntwo\n".to_vec())), "{round} {image}");
            kill(&server, image);
            assert_eq!(
                deaths(&server).len(),
                round * 4 + number + 1 + usize::from(round * 4 + number == 7)
            );
        }
    }
    let said = deaths(&server);
    assert!(said[8].contains("8 times within ten minutes"), "{said:?}");
    for _ in 0..20 {
        assert_eq!(http.get("/disk.img/text").map(|(status, _)| status), Some(500));
    }
    // Nothing goes on meanwhile: a second of its time is not a tenth of one of a processor.
    let busy = server.processor_time();
    std::thread::sleep(Duration::from_secs(1));
    assert!(server.processor_time() - busy < Duration::from_millis(100));
    assert_eq!(deaths(&server), said);
    assert_eq!(server.end_with(), DEAD);
}

/// What an operator of scripts sees: the reason, and the code.
#[test]
fn a_server_that_lost_no_linux_ends_well() {
    let stage = Stage::new();
    let server = Server::start(&stage, "lklserve", &[&stage.name("disk.img")]);
    let output = try_run("curl", &["-sf", &format!("{}/disk.img/text", server.http())]);
    assert_eq!(output.stdout, b"one\ntwo\n");
    assert!(deaths(&server).is_empty());
    server.end();
}

#[test]
fn an_image_that_linux_dies_of_while_it_is_mounted_is_refused_at_the_start() {
    let stage = Stage::new();
    fs::create_dir(stage.path("one")).unwrap();
    let arguments = ["-t", "ffs", "-o", "version=1", "-s", "1m"];
    let (image, tree) = (stage.name("divides.img"), stage.name("one"));
    run("makefs", &[&arguments[..], &[&image, &tree]].concat());
    let mut bytes = fs::read(&image).unwrap();
    // fs_fpg, the fragments of a cylinder group, by which Linux divides.
    bytes[8312..8316].fill(0);
    fs::write(&image, bytes).unwrap();
    let mut lklserve = Command::new(env!("CARGO_BIN_EXE_lklserve"));
    lklserve.args([
        "webdav",
        "--listen",
        "127.0.0.1:0",
        &stage.name("disk.img"),
        &image,
    ]);
    let output = lklserve.output().unwrap();
    let said = stage::lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(DEAD), "{said}");
    assert!(
        said.contains("divides.img") && said.contains("Linux stopped while mounting it"),
        "{said}"
    );
}
