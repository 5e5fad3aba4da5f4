//! What the tests stand on: images, this machine's own mount of them, servers, and what a tree is.

#![allow(dead_code)] // each test program uses a part of it

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

/// Runs a program that must do well; what it printed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = try_run(program, arguments);
    let (text, said) = (lossy(&output.stdout), lossy(&output.stderr));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}: {text}{said}",
        output.status
    );
    text
}

/// Runs a program.
pub fn try_run(program: &str, arguments: &[&str]) -> Output {
    let command = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    command.unwrap_or_else(|error| panic!("{program}: {error}; cargo xtask setup installs it"))
}

pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder with images, and the tree that they were made of.
pub struct Stage {
    pub place: TempDir,
}

impl Stage {
    /// A tree of all kinds of names and files, and an ext4 of it: `disk.img`.
    pub fn new() -> Stage {
        let stage = Stage {
            place: tempfile::tempdir().unwrap(),
        };
        let tree = stage.path("tree");
        for folder in ["deep/er/and/deeper", "Grüße/日本", "empty", "many", "a b/c;d"] {
            fs::create_dir_all(tree.join(folder)).unwrap();
        }
        let write = |name: &str, bytes: &[u8]| fs::write(tree.join(name), bytes).unwrap();
        write("large", &noise(3_000_001, 7));
        write("text", b"one\ntwo\n");
        write("nothing", b"");
        write("deep/er/and/deeper/file", b"deep");
        write("Grüße/日本/ファイル.txt", "Unicode\n".as_bytes());
        write("a b/c;d/100% #1?.txt", b"marks");
        write("a b/-dash", b"dash");
        write("a b/qu\"ote & <tag>", b"quote");
        for number in 0..300 {
            write(
                &format!("many/file-{number:03}"),
                &noise(number * 7, number as u64),
            );
        }
        for (target, link) in [
            ("text", "to-file"),
            ("../text", "deep/to-file"),
            ("/text", "deep/absolute"),
            ("deep/er", "to-folder"),
            ("../../../../../../etc/passwd", "out"),
            ("/etc/passwd", "out-absolute"),
            ("nowhere", "broken"),
            ("..", "deep/back"),
        ] {
            symlink(target, tree.join(link)).unwrap();
        }
        fs::set_permissions(tree.join("text"), fs::Permissions::from_mode(0o600)).unwrap();
        run("mkfifo", &[tree.join("fifo").to_str().unwrap()]);
        for (name, when) in [
            ("text", "2001-02-03 04:05:06 UTC"),
            ("large", "1999-12-31 23:59:59 UTC"),
            ("many", "2038-02-01 00:00:00 UTC"),
        ] {
            run("touch", &["-d", when, tree.join(name).to_str().unwrap()]);
        }
        stage.make("disk.img", 64);
        stage
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// An ext4 of the tree.
    pub fn make(&self, name: &str, mib: u64) {
        File::create(self.path(name)).unwrap().set_len(mib << 20).unwrap();
        run(
            "/usr/sbin/mkfs.ext4",
            &["-q", "-F", "-d", &self.name("tree"), &self.name(name)],
        );
    }

    /// A disk with a GPT: the ext4, an empty partition, and a FAT.
    pub fn partitioned(&self, name: &str) {
        let disk = File::create(self.path(name)).unwrap();
        disk.set_len(128 << 20).unwrap();
        let table =
            "label: gpt\nstart=2048, size=131072\nstart=133120, size=2048\nstart=135168, size=65536\n";
        let mut sfdisk = Command::new("/usr/sbin/sfdisk")
            .args(["-q", &self.name(name)])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        sfdisk.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
        assert!(sfdisk.wait().unwrap().success());
        File::create(self.path("fat")).unwrap().set_len(32 << 20).unwrap();
        run("/usr/sbin/mkfs.vfat", &["-n", "FAT", &self.name("fat")]);
        for (image, sector) in [("disk.img", 2048u64), ("fat", 135_168)] {
            let bytes = fs::read(self.path(image)).unwrap();
            disk.write_all_at(&bytes, sector * 512).unwrap();
        }
    }

    /// An ext4 with a sparse file above 4 GiB, whose last bytes are these.
    pub fn huge(&self, end: &[u8]) -> u64 {
        let folder = self.path("huge-tree");
        fs::create_dir(&folder).unwrap();
        let file = File::create(folder.join("huge")).unwrap();
        let size = (5u64 << 30) + 12_345;
        file.set_len(size).unwrap();
        file.write_all_at(end, size - end.len() as u64).unwrap();
        file.write_all_at(b"middle", 4 << 30).unwrap();
        File::create(self.path("huge.img"))
            .unwrap()
            .set_len(64 << 20)
            .unwrap();
        let (folder, image) = (folder.to_str().unwrap(), self.name("huge.img"));
        run("/usr/sbin/mkfs.ext4", &["-q", "-F", "-d", folder, &image]);
        size
    }

    /// What this machine's own Linux shows of an image, where this is root; else the tree that it was made of.
    pub fn native(&self, image: &str) -> Native {
        if !geteuid().is_root() {
            return Native(self.path("tree"), None);
        }
        let place = tempfile::tempdir().unwrap();
        let at = place.path().to_str().unwrap().to_owned();
        run(
            "mount",
            &["-o", "ro,loop,nodev,nosuid,noexec", &self.name(image), &at],
        );
        Native(at.into(), Some(place))
    }
}

/// A native mount. It ends with this.
pub struct Native(pub PathBuf, Option<TempDir>);

impl Drop for Native {
    fn drop(&mut self) {
        if self.1.is_some() {
            run("umount", &[self.0.to_str().unwrap()]);
        }
    }
}

/// Bytes that do not repeat.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(next).collect()
}

/// A tree: for each path what is there. Times are seconds; those of folders and links only where they are asked for.
pub fn tree(root: &Path, follow: bool) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap() {
            let name = folder.join(entry.unwrap().file_name());
            let path = root.join(&name);
            let facts = match follow {
                true => fs::metadata(&path),
                false => fs::symlink_metadata(&path),
            };
            let Ok(facts) = facts else { continue };
            if name.as_os_str() == "lost+found" {
                continue;
            }
            let what = if facts.is_dir() {
                folders.push(name.clone());
                "folder".to_owned()
            } else if facts.is_symlink() {
                format!("link to {}", fs::read_link(&path).unwrap().display())
            } else if facts.is_file() {
                let mut hash = DefaultHasher::new();
                hash.write(&fs::read(&path).unwrap());
                format!("file {} {} {:x}", facts.len(), facts.mtime(), hash.finish())
            } else {
                continue;
            };
            found.insert(name, what);
        }
    }
    found
}

/// Two trees are the same; if not, the first differences are told.
pub fn same(expected: &BTreeMap<PathBuf, String>, found: &BTreeMap<PathBuf, String>) {
    let paths = expected.keys().chain(found.keys());
    let differ = paths.filter(|path| expected.get(*path) != found.get(*path));
    let told: Vec<String> = differ
        .take(10)
        .map(|path| {
            format!(
                "{}: {:?}, not {:?}",
                path.display(),
                found.get(path),
                expected.get(path)
            )
        })
        .collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// What is there, without the time of a file.
pub fn without_time(what: &str) -> String {
    let words: Vec<&str> = what.split(' ').collect();
    match words[..] {
        ["file", size, _, hash] => format!("file {size} {hash}"),
        _ => what.to_owned(),
    }
}

/// A server that runs.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    log: PathBuf,
    ended: bool,
}

impl Server {
    /// Starts `lklftpd` or `lklserve`, at any port.
    pub fn start(stage: &Stage, program: &str, arguments: &[&str]) -> Server {
        let log = stage.path(&format!("log-{}", arguments.len()));
        let exe = match program {
            "lklftpd" => env!("CARGO_BIN_EXE_lklftpd"),
            _ => env!("CARGO_BIN_EXE_lklserve"),
        };
        let protocol = (program == "lklserve").then_some("webdav");
        let mut child = Command::new(exe)
            .args(protocol)
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .current_dir(stage.place.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default();
        let said = || fs::read_to_string(&log).unwrap();
        let address = address
            .parse()
            .unwrap_or_else(|_| panic!("{program}: {line}{}", said()));
        Server {
            child,
            address,
            log,
            ended: false,
        }
    }

    pub fn ftp(&self) -> String {
        format!("ftp://{}", self.address)
    }

    pub fn http(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32).unwrap()
    }

    /// Its descriptors, and its threads but for Linux's own.
    pub fn holds(&self) -> (usize, usize) {
        let count = |what: &str| {
            let folder = format!("/proc/{}/{what}", self.child.id());
            fs::read_dir(folder).unwrap().count()
        };
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let clients = threads.flatten().filter(|thread| {
            fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name.trim() == "client")
        });
        (count("fd"), clients.count())
    }

    /// Waits until it holds no more than it did.
    pub fn settles_at(&self, before: (usize, usize)) {
        let begun = Instant::now();
        while self.holds() != before {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{:?}, before {before:?}\n{}",
                self.holds(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Tells it to end; it must do so soon, and well.
    pub fn end(mut self) -> Duration {
        self.ended = true;
        let begun = Instant::now();
        kill_process(self.pid(), Signal::TERM).unwrap();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert_eq!(status.code(), Some(0), "{}", self.log());
                return begun.elapsed();
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

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
