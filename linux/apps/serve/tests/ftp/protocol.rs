//! What no client sends, or not by itself: bad lines, other addresses, aborted transfers; TLS; and bad command lines.

use std::fs;
use std::io::Read;
use std::net::TcpListener;

use crate::serve;
use crate::stage::{Stage, Talk, lossy, noise, run, try_run};

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
    stage.certificate(&certificate, &key);
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
