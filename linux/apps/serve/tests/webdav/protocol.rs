//! What Windows' redirector sends, wrong questions, users.

use std::fs;

use base64::Engine;

use crate::stage::{Stage, Talk, lossy, noise, run, try_run};
use crate::{serve, stage};

#[test]
fn windows_gets_what_its_redirector_asks_for() {
    let stage = stage();
    let server = serve(&stage, &["disk.img"]);
    let mut talk = Talk::with(server.address);
    let mut ask = |method: &str, path: &str, fields: &str| {
        let agent = "User-Agent: Microsoft-WebDAV-MiniRedir/10.0.19045\r\ntranslate: f";
        talk.say(format!("{method} {path} HTTP/1.1\r\nConnection: Keep-Alive\r\n{agent}\r\n{fields}Host: 127.0.0.1\r\n\r\n").as_bytes());
        let (mut head, mut byte) = (Vec::new(), [0; 1]);
        while !head.ends_with(b"\r\n\r\n") {
            std::io::Read::read_exact(&mut talk.reader, &mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = lossy(&head);
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        std::io::Read::read_exact(&mut talk.reader, &mut body).unwrap();
        (head, lossy(&body))
    };
    let (head, _) = ask("OPTIONS", "/", "");
    for field in [
        "HTTP/1.1 200 OK",
        "dav: 1",
        "ms-author-via: DAV",
        "allow: OPTIONS, GET, HEAD, PROPFIND",
    ] {
        assert!(head.contains(field), "{field} in {head}");
    }
    let (head, body) = ask("PROPFIND", "/", "Depth: 0\r\nContent-Length: 0\r\n");
    assert!(head.starts_with("HTTP/1.1 207 "), "{head}");
    assert!(
        body.contains("<D:href>/</D:href>") && body.contains("<D:collection/>"),
        "{body}"
    );
    // A folder is asked for without its slash, and no redirection is followed.
    let (head, body) = ask("PROPFIND", "/disk.img", "Depth: 1\r\nContent-Length: 0\r\n");
    assert!(head.starts_with("HTTP/1.1 207 "), "{head}");
    for part in [
        "<D:href>/disk.img/</D:href>",
        "<D:getcontentlength>3000001</D:getcontentlength>",
        "<D:getlastmodified>Fri, 31 Dec 1999 23:59:59 GMT</D:getlastmodified>",
        "<D:creationdate>20",
        "<D:displayname>text</D:displayname>",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
    let (head, _) = ask(
        "PROPFIND",
        "/disk.img/desktop.ini",
        "Depth: 0\r\nContent-Length: 0\r\n",
    );
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    for method in ["LOCK", "PUT", "PROPPATCH", "DELETE", "MKCOL", "MOVE"] {
        let (head, _) = ask(method, "/disk.img/new", "Content-Length: 0\r\n");
        assert!(
            head.starts_with("HTTP/1.1 405 ") && head.contains("allow: "),
            "{method}: {head}"
        );
    }
    let (_, body) = ask("GET", "/disk.img/text", "");
    assert_eq!(body, "one\ntwo\n");
    server.end();
}

#[test]
fn questions_that_are_wrong_have_the_answers_for_it() {
    let stage = stage();
    let server = serve(&stage, &["disk.img"]);
    let before = server.holds();
    let url = format!("{}/disk.img/", server.http());
    let ask = |arguments: &[&str]| {
        let format = ["-s", "-o", "-", "-w", "\n%{http_code}", "-X", "PROPFIND", &url];
        run("curl", &[&format[..], arguments].concat())
    };
    let refused = ask(&[]);
    assert!(
        refused.ends_with("403") && refused.contains("<D:propfind-finite-depth/>"),
        "{refused}"
    );
    assert!(ask(&["-H", "Depth: infinity"]).ends_with("403"));
    assert!(ask(&["-H", "Depth: 2"]).ends_with("400"));
    assert!(ask(&["-H", "Depth: 0", "-d", "<a"]).ends_with("400"));
    let bomb = "<!DOCTYPE a [<!ENTITY b \"x\">]><propfind xmlns=\"DAV:\"><prop><b/></prop></propfind>";
    assert!(ask(&["-H", "Depth: 0", "-d", bomb]).ends_with("400"));
    let long = stage.name("long");
    fs::write(&long, vec![b' '; 100_000]).unwrap();
    assert!(ask(&["-H", "Depth: 0", "--data-binary", &format!("@{long}")]).ends_with("413"));
    let room = "<propfind xmlns=\"DAV:\"><prop><quota-available-bytes/><quota-used-bytes/></prop></propfind>";
    let room = ask(&["-H", "Depth: 0", "-d", room]);
    assert!(room.ends_with("207") && !room.contains("404"), "{room}");
    let code = |path: &str, arguments: &[&str]| {
        let url = format!("{}{path}", server.http());
        run(
            "curl",
            &[
                &[
                    "-s",
                    "-o",
                    "/dev/null",
                    "-w",
                    "%{http_code}",
                    "--path-as-is",
                    &url,
                ],
                arguments,
            ]
            .concat(),
        )
    };
    for (path, expected) in [
        ("/disk.img", "301"),
        ("/disk.img/text/", "404"),
        ("/disk.img/fifo", "403"),
        ("/disk.img/out", "404"),
        ("/../../etc/passwd", "404"),
        ("/disk.img/%2e%2e/%2e%2e/etc/passwd", "404"),
        ("/disk.img/..%2f..%2fetc/passwd", "404"),
        ("/disk.img/a%00b", "404"),
        ("/", "200"),
    ] {
        assert_eq!(code(path, &[]), expected, "{path}");
    }
    assert_eq!(code("/", &["-X", "BREW"]), "501");
    assert_eq!(code("/", &["-H", "Host: evil.example"]), "403");
    assert_eq!(code("/", &["-H", "Host: localhost:1234"]), "200");
    for seed in 1..60 {
        let mut talk = Talk::with(server.address);
        talk.say(b"PROPFIND / HTTP/1.1\r\nHost: localhost\r\n");
        talk.say(&noise(3000, seed));
        talk.reader.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
        talk.rest();
    }
    server.settles_at(before);
    server.end();
}

#[test]
fn a_large_folder_is_listed_whole() {
    let stage = Stage::crowded(b"odd");
    let server = serve(&stage, &["disk.img"]);
    let url = format!("{}/disk.img/many/", server.http());
    let listing = run("curl", &["-sSf", "-X", "PROPFIND", "-H", "Depth: 1", &url]);
    assert_eq!(listing.matches("<D:response>").count(), 5301);
    assert!(listing.ends_with("</D:multistatus>\n"));
    assert_eq!(run("curl", &["-sSf", &url]).matches("<tr>").count(), 5302);
    server.end();
}

#[test]
fn users_are_asked_for_their_passwords() {
    let stage = stage();
    fs::write(stage.path("word"), "pass:word\n").unwrap();
    let user = format!("joe:{}", stage.name("word"));
    let server = serve(&stage, &["--user", &user, "disk.img"]);
    let url = format!("{}/disk.img/text", server.http());
    assert_eq!(run("curl", &["-sSf", "-u", "joe:pass:word", &url]), "one\ntwo\n");
    for wrong in ["joe:word", "joe:", ":", "ann:pass:word"] {
        let output = try_run("curl", &["-sSf", "-u", wrong, &url]);
        assert_eq!(output.status.code(), Some(22), "{wrong}");
    }
    let head = run("curl", &["-sI", &url]);
    assert!(
        head.contains("401") && head.contains("www-authenticate: Basic realm="),
        "{head}"
    );
    let word = base64::prelude::BASE64_STANDARD.encode("joe:pass:word");
    assert!(!server.log().contains("pass:word") && !server.log().contains(&word));
    server.end();
}
