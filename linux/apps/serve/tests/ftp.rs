//! `lklftpd` as its clients find it: lftp, curl, wget, Python's ftplib, and clients that behave badly.

#![cfg(target_os = "linux")]

mod stage;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use stage::{Server, Stage, Talk, lossy, noise, run, same, tree, try_run, without_time};

fn serve(stage: &Stage, arguments: &[&str]) -> Server {
    Server::start(stage, "lklftpd", arguments)
}

#[test]
fn lftp_mirrors_a_tree_as_this_machine_mounts_it() {
    let stage = Stage::new();
    let server = serve(&stage, &["disk.img"]);
    let copy = stage.name("copy");
    run(
        "lftp",
        &["-e", &format!("mirror -P4 disk.img {copy}; exit"), &server.ftp()],
    );
    let native = stage.native("disk.img");
    let (expected, found) = (tree(&native.0, false), tree(copy.as_ref(), false));
    assert!(expected.len() > 300);
    same(&expected, &found);
    server.end();
}

#[test]
fn partitions_are_folders_and_images_of_one_name_are_told_apart() {
    let stage = Stage::new();
    stage.partitioned("parts.img");
    fs::create_dir(stage.path("other")).unwrap();
    fs::copy(stage.path("disk.img"), stage.path("other/disk.img")).unwrap();
    let server = serve(&stage, &["disk.img", "parts.img", "other/disk.img"]);
    let names = |path: &str| {
        let mut names: Vec<String> = run("curl", &["-sSl", &format!("{}/{path}", server.ftp())])
            .lines()
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(""), ["disk.img", "disk.img (2)", "parts.img"]);
    assert_eq!(names("parts.img/"), ["part1", "part3"]);
    assert_eq!(names("parts.img/part1/"), names("disk.img%20(2)/"));
    let copy = stage.name("copy");
    run(
        "lftp",
        &[
            "-e",
            &format!("mirror parts.img/part1 {copy}; exit"),
            &server.ftp(),
        ],
    );
    same(
        &tree(&stage.native("disk.img").0, false),
        &tree(copy.as_ref(), false),
    );
    server.end();
}

#[test]
fn curl_resumes_and_takes_ranges_and_times() {
    let stage = Stage::new();
    let server = serve(&stage, &["disk.img"]);
    let (url, to) = (format!("{}/disk.img/large", server.ftp()), stage.name("got"));
    let expected = noise(3_000_001, 7);
    fs::write(&to, &expected[..1_234_567]).unwrap();
    run("curl", &["-sS", "-C", "-", "-R", "-o", &to, &url]);
    assert!(fs::read(&to).unwrap() == expected);
    let when = fs::metadata(&to).unwrap().modified().unwrap();
    assert_eq!(
        when,
        fs::metadata(stage.path("tree/large"))
            .unwrap()
            .modified()
            .unwrap()
    );
    for mode in [
        &["--disable-epsv"][..],
        &["-P", "-"],
        &["-P", "-", "--disable-eprt"],
    ] {
        run(
            "curl",
            &[&["-sS", "-r", "1000-1999", "-o", &to, &url], mode].concat(),
        );
        assert!(fs::read(&to).unwrap() == expected[1000..2000], "{mode:?}");
    }
    let unicode = format!(
        "{}/disk.img/Gr%C3%BC%C3%9Fe/%E6%97%A5%E6%9C%AC/%E3%83%95%E3%82%A1%E3%82%A4%E3%83%AB.txt",
        server.ftp()
    );
    assert_eq!(run("curl", &["-sS", &unicode]), "Unicode\n");
    server.end();
}

#[test]
fn wget_fetches_a_tree() {
    let stage = Stage::new();
    let server = serve(&stage, &["disk.img"]);
    let copy = stage.name("copy");
    fs::create_dir(&copy).unwrap();
    run(
        "wget",
        &[
            "-q",
            "-r",
            "-l",
            "20",
            "-nH",
            "--cut-dirs=1",
            "-P",
            &copy,
            &format!("{}/disk.img/", server.ftp()),
        ],
    );
    // wget fetches what links lead to, if that is a file, and its times have no seconds.
    let mut expected = tree(&stage.native("disk.img").0, false);
    for link in ["to-file", "deep/to-file", "deep/absolute"] {
        expected.insert(link.into(), expected[Path::new("text")].clone());
    }
    let files = |tree: BTreeMap<PathBuf, String>| {
        let files = tree.into_iter().filter(|(_, what)| what.starts_with("file"));
        files.map(|(path, what)| (path, without_time(&what))).collect()
    };
    same(&files(expected), &files(tree(copy.as_ref(), false)));
    server.end();
}

#[test]
fn ftplib_reads_facts_and_lists() {
    let stage = Stage::new();
    let server = serve(&stage, &["disk.img"]);
    let script = r#"
import ftplib, sys
ftp = ftplib.FTP()
ftp.connect("127.0.0.1", int(sys.argv[1]), timeout=20)
ftp.login()
ftp.cwd("disk.img")
print(ftp.pwd())
facts = dict(ftp.mlsd())
for name in ("text", "large", "deep", "to-file", "fifo"):
    fact = facts[name]
    print(name, fact["type"], fact.get("size"), fact["unix.mode"], fact["modify"] if name in ("text", "large") else "")
print([name for name, fact in ftp.mlsd("many", ["size"]) if fact == {"size": "2093"}])
print(ftp.nlst("many/file-00*"))
ftp.voidcmd("TYPE I")
print(ftp.size("large"), ftp.sendcmd("MDTM large"))
lines = []
ftp.retrlines("RETR text", lines.append)
print(lines)
for passive in (True, False):
    ftp.set_pasv(passive)
    got = bytearray()
    ftp.retrbinary("RETR large", got.extend, rest=2999990)
    print(len(got))
for name in ("out", "out-absolute", "broken", "fifo", "deep", "no/such"):
    try: ftp.retrbinary("RETR " + name, print)
    except ftplib.error_perm as error: print(name, str(error)[:3])
for line in ("STOR x", "DELE text", "MKD x", "RNFR text", "SITE CHMOD 777 text"):
    try: ftp.sendcmd(line)
    except ftplib.error_perm as error: print(str(error)[:3])
print(ftp.quit())
"#;
    let found = run("python3", &["-c", script, &server.address.port().to_string()]);
    let expected = "/disk.img
text file 8 0600 20010203040506
large file 3000001 0644 19991231235959
deep dir None 0755 
to-file OS.unix=slink:text None 0777 
fifo OS.unix=fifo None 0644 
['file-299']
['many/file-000', 'many/file-001', 'many/file-002', 'many/file-003', 'many/file-004', 'many/file-005', 'many/file-006', 'many/file-007', 'many/file-008', 'many/file-009']
3000001 213 19991231235959
['one', 'two']
11
11
out 550
out-absolute 550
broken 550
fifo 550
deep 550
no/such 550
550
550
550
550
502
221 Goodbye.
";
    assert_eq!(found, expected);
    server.end();
}

#[test]
fn a_file_above_4_gib_is_read_at_its_end() {
    let stage = Stage::new();
    let size = stage.huge(b"the very end");
    let server = serve(&stage, &["huge.img"]);
    let url = format!("{}/huge.img/huge", server.ftp());
    assert!(run("curl", &["-sSI", &url]).contains(&format!("Content-Length: {size}")));
    let tail = run("curl", &["-sS", "-r", &format!("{}-", size - 12), &url]);
    assert_eq!(tail, "the very end");
    let range = format!("{}-{}", 4u64 << 30, (4u64 << 30) + 5);
    assert_eq!(run("curl", &["-sS", "-r", &range, &url]), "middle");
    server.end();
}

#[test]
fn nothing_is_sent_to_or_taken_from_another_address() {
    let stage = Stage::new();
    let server = serve(&stage, &["disk.img"]);
    let mut talk = Talk::ftp(server.address);
    for line in [
        "PORT 192,0,2,1,200,1",
        "EPRT |1|192.0.2.1|51201|",
        "PORT 127,0,0,1,0,25",
        "EPRT |2|::1|51201|",
    ] {
        assert!(talk.ask(line).starts_with("504 "), "{line}");
        assert!(talk.ask("LIST").starts_with("425 "), "{line}");
    }
    // This machine has many addresses, and the client's is another than this connection's.
    let reply = talk.ask("PASV");
    let numbers: Vec<u16> = reply
        .split(['(', ')', ','])
        .filter_map(|part| part.parse().ok())
        .collect();
    let port = numbers[4] * 256 + numbers[5];
    let thief = "import socket,sys; s=socket.socket(); s.bind(('127.0.0.9',0)); s.connect(('127.0.0.1',int(sys.argv[1]))); s.settimeout(10); print(s.recv(10))";
    let thief = std::process::Command::new("python3")
        .args(["-c", thief, &port.to_string()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    talk.say(b"NLST disk.img\r\n");
    let stolen = thief.wait_with_output().unwrap();
    assert_eq!(lossy(&stolen.stdout).trim(), "b''");
    let mut data = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut names = String::new();
    data.read_to_string(&mut names).unwrap();
    assert!(names.contains("disk.img/text"), "{names}");
    assert!(talk.hear().starts_with("150 ") && talk.hear().starts_with("226 "));
    server.end();
}

#[test]
fn bad_lines_have_answers_and_long_ones_end() {
    let stage = Stage::new();
    let server = serve(&stage, &["disk.img"]);
    let before = server.holds();
    let mut talk = Talk::ftp(server.address);
    for (line, code) in [
        ("", "500"),
        ("FROB", "502"),
        ("RETR", "501"),
        ("RETR /etc/passwd", "550"),
        ("CWD ../../..", "250"),
        ("TYPE X", "504"),
        ("REST x", "501"),
        ("RETR disk.img/text", "425"),
        ("HELP", "214"),
        ("FEAT", "211"),
    ] {
        assert!(talk.ask(line).contains(code), "{line}");
    }
    talk.say(&[b'a'; 100_000]);
    assert!(talk.ask("").starts_with("500 "), "one answer to a long line");
    assert!(talk.ask("NOOP").starts_with("200 "));
    talk.say(b"\xff\xf4\xff\xf2ABOR\r\n");
    assert!(talk.hear().starts_with("226 "));
    // Without an end it is not waited for.
    let mut endless = Talk::ftp(server.address);
    for _ in 0..64 {
        endless.say(&[b'x'; 32 << 10]);
    }
    assert_eq!(endless.hear(), "");
    for seed in 0..60 {
        let mut fuzz = Talk::ftp(server.address);
        fuzz.say(&noise(4000, seed + 1));
        fuzz.say(b"\r\nQUIT\r\n");
        fuzz.reader.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
        fuzz.rest();
    }
    drop((talk, endless));
    server.settles_at(before);
    server.end();
}

#[test]
fn a_transfer_is_aborted_and_asked_after() {
    let stage = Stage::new();
    stage.huge(b"end");
    let server = serve(&stage, &["huge.img", "disk.img"]);
    let mut talk = Talk::ftp(server.address);
    assert!(talk.ask("TYPE I").starts_with("200 "));
    let mut data = talk.data();
    assert!(talk.ask("RETR huge.img/huge").starts_with("150 "));
    data.read_exact(&mut [0; 100_000]).unwrap();
    assert!(talk.ask("STAT").starts_with("213 "));
    assert!(talk.ask("ABOR").starts_with("426 "));
    assert!(talk.hear().starts_with("226 "));
    drop(data);
    // What was sent ahead during a transfer is answered after it.
    let mut data = talk.data();
    talk.say(b"RETR disk.img/text\r\nPWD\r\nQUIT\r\n");
    let mut text = String::new();
    data.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one\ntwo\n");
    for code in ["150 ", "226 ", "257 ", "221 "] {
        assert!(talk.hear().starts_with(code), "{code}");
    }
    server.end();
}

#[test]
fn tls_is_for_both_connections_and_can_be_asked_of_all() {
    let stage = Stage::new();
    let (certificate, key, word) = (stage.name("cert.pem"), stage.name("key.pem"), stage.name("word"));
    fs::write(&word, "secret\n").unwrap();
    run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ],
    );
    let user = format!("joe:{word}");
    let server = serve(
        &stage,
        &[
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
            "--tls-only",
            "--user",
            &user,
            "disk.img",
        ],
    );
    let (url, to) = (format!("{}/disk.img/large", server.ftp()), stage.name("got"));
    for version in ["--tlsv1.3", "--tlsv1.2"] {
        let most: &[&str] = if version == "--tlsv1.2" {
            &["--tls-max", "1.2"]
        } else {
            &[]
        };
        run(
            "curl",
            &[
                &[
                    "-sS",
                    "--ssl-reqd",
                    version,
                    "--cacert",
                    &certificate,
                    "-u",
                    "joe:secret",
                    "-o",
                    &to,
                    &url,
                ],
                most,
            ]
            .concat(),
        );
        assert!(fs::read(&to).unwrap() == noise(3_000_001, 7), "{version}");
    }
    let list = run(
        "curl",
        &[
            "-sSl",
            "--ssl-reqd",
            "--cacert",
            &certificate,
            "-u",
            "joe:secret",
            &format!("{}/", server.ftp()),
        ],
    );
    assert_eq!(list.trim(), "disk.img");
    for refused in [
        &["-u", "joe:secret", &url][..],
        &["--ssl-reqd", "--cacert", &certificate, "-u", "joe:wrong", &url],
        &["--ssl-reqd", "--cacert", &certificate, &url],
    ] {
        let output = try_run("curl", &[&["-sS", "-o", &to], refused].concat());
        assert_eq!(
            output.status.code(),
            Some(67),
            "{refused:?}: {}",
            lossy(&output.stderr)
        );
    }
    // Nothing that came before the handshake counts after it.
    let mut talk = Talk::with(server.address);
    talk.hear();
    talk.say(b"AUTH TLS\r\nUSER joe\r\n");
    assert!(talk.hear().starts_with("421 "));
    assert!(!server.log().contains("secret"));
    server.end();
}

#[test]
fn active_connections_reach_the_client() {
    let stage = Stage::new();
    let server = serve(&stage, &["disk.img"]);
    let mut talk = Talk::ftp(server.address);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(
        talk.ask(&format!("EPRT |1|127.0.0.1|{port}|"))
            .starts_with("200 ")
    );
    talk.say(b"RETR disk.img/deep/absolute\r\n");
    let mut text = String::new();
    listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one\r\ntwo\r\n", "TYPE A is what a session begins with");
    server.end();
}

#[test]
fn what_cannot_be_shown_is_one_line_and_an_exit_code() {
    let stage = Stage::new();
    fs::write(stage.path("zeros.img"), vec![0; 1 << 20]).unwrap();
    fs::write(stage.path("empty.img"), b"").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, code) in [
        (&["missing.img"][..], 3),
        (&["empty.img"], 3),
        (&["zeros.img"], 4),
        (&["disk.img", "zeros.img"], 4),
        (&["tree"], 3),
        (&[], 2),
        (&["--listen", "nowhere", "disk.img"], 2),
        (&["--listen", &taken, "disk.img"], 1),
        (&["--user", "joe:missing", "disk.img"], 2),
        (&["--tls-cert", "missing", "disk.img"], 2),
        (&["--tls-cert", "missing", "--tls-key", "missing", "disk.img"], 2),
        (&["--passive-ports", "9-1", "disk.img"], 2),
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_lklftpd"))
            .args(
                ["--listen", "127.0.0.1:0"]
                    .iter()
                    .filter(|_| !arguments.contains(&"--listen")),
            )
            .args(arguments)
            .current_dir(stage.place.path())
            .output()
            .unwrap();
        let said = lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(
            said.starts_with("lklftpd: ") && said.trim_end().lines().count() == 1,
            "{arguments:?}: {said}"
        );
    }
}
