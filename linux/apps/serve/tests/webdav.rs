//! `lklserve webdav` as its clients find it: curl, rclone, cadaver, wget, and what Windows sends.

#![cfg(target_os = "linux")]

mod stage;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use stage::{Server, Stage, Talk, lossy, noise, run, same, tree, try_run, without_time};

fn serve(stage: &Stage, arguments: &[&str]) -> Server {
    Server::start(stage, "lklserve", arguments)
}

/// What WebDAV shows of a tree: links are what they lead to, those out of the volume are not there.
fn followed(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut shown = tree(root, true);
    for link in ["out", "out-absolute", "broken"] {
        shown.remove(Path::new(link));
    }
    // A target that begins at the root of the volume, which is not this machine's.
    let text = shown[Path::new("text")].clone();
    shown.insert("deep/absolute".into(), text);
    shown
}

/// A stage whose tree has no link to a folder above it, which the machine's own view would not end in.
fn stage() -> Stage {
    let stage = Stage::new();
    fs::remove_file(stage.path("tree/deep/back")).unwrap();
    stage.make("disk.img", 64);
    stage
}

#[test]
fn rclone_copies_a_tree_as_this_machine_mounts_it() {
    let stage = stage();
    let server = serve(&stage, &["disk.img"]);
    let copy = stage.name("copy");
    run(
        "rclone",
        &[
            "-q",
            "copy",
            "--create-empty-src-dirs",
            "--webdav-url",
            &server.http(),
            ":webdav:disk.img",
            &copy,
        ],
    );
    let native = stage.native("disk.img");
    // rclone keeps the times of few servers, and of no plain one.
    let timeless = |tree: BTreeMap<PathBuf, String>| -> BTreeMap<PathBuf, String> {
        tree.into_iter()
            .map(|(path, what)| (path, without_time(&what)))
            .collect()
    };
    let (expected, found) = (timeless(followed(&native.0)), timeless(tree(copy.as_ref(), true)));
    assert!(expected.len() > 300);
    same(&expected, &found);
    server.end();
}

#[test]
fn a_mount_by_webdav_shows_what_this_machine_mounts() {
    if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
        return;
    }
    let stage = stage();
    let server = serve(&stage, &["disk.img"]);
    let at = stage.name("at");
    fs::create_dir(&at).unwrap();
    run(
        "rclone",
        &[
            "-q",
            "mount",
            "--daemon",
            "--read-only",
            "--webdav-url",
            &server.http(),
            ":webdav:disk.img",
            &at,
        ],
    );
    let found = tree(at.as_ref(), true);
    run("fusermount3", &["-u", &at]);
    let native = stage.native("disk.img");
    let timeless = |tree: BTreeMap<PathBuf, String>| -> BTreeMap<PathBuf, String> {
        tree.into_iter()
            .map(|(path, what)| (path, without_time(&what)))
            .collect()
    };
    same(&timeless(followed(&native.0)), &timeless(found));
    server.end();
}

#[test]
fn cadaver_lists_and_gets() {
    let stage = stage();
    let server = serve(&stage, &["disk.img"]);
    let mut cadaver = Command::new("cadaver")
        .arg(format!("{}/disk.img/", server.http()))
        .env("HOME", stage.place.path())
        .current_dir(stage.place.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let script = b"ls\ncd deep\npwd\ncd ..\nget large got\nput got new\ndelete text\nquit\n";
    std::io::Write::write_all(&mut cadaver.stdin.take().unwrap(), script).unwrap();
    let output = cadaver.wait_with_output().unwrap();
    let said = lossy(&output.stdout);
    assert!(
        said.contains("Coll:   deep") && said.contains("3000001"),
        "{said}"
    );
    assert_eq!(said.matches("405 Method Not Allowed").count(), 2, "{said}");
    assert!(fs::read(stage.path("got")).unwrap() == noise(3_000_001, 7));
    server.end();
}

#[test]
fn curl_resumes_and_takes_ranges() {
    let stage = stage();
    let server = serve(&stage, &["disk.img"]);
    let (url, to) = (format!("{}/disk.img/large", server.http()), stage.name("got"));
    let expected = noise(3_000_001, 7);
    fs::write(&to, &expected[..1_234_567]).unwrap();
    run("curl", &["-sSf", "-C", "-", "-R", "-o", &to, &url]);
    assert!(fs::read(&to).unwrap() == expected);
    let when = fs::metadata(&to).unwrap().modified().unwrap();
    assert_eq!(
        when,
        fs::metadata(stage.path("tree/large"))
            .unwrap()
            .modified()
            .unwrap()
    );
    for (range, part) in [
        ("0-0", 0..1),
        ("1000-1999", 1000..2000),
        ("-7", 2_999_994..3_000_001),
        ("2999990-9999999999", 2_999_990..3_000_001),
    ] {
        run("curl", &["-sSf", "-r", range, "-o", &to, &url]);
        assert!(fs::read(&to).unwrap() == expected[part], "{range}");
    }
    let parts = Command::new("curl")
        .args(["-sSf", "-r", "0-9,100-109,-10", &url])
        .output()
        .unwrap()
        .stdout;
    let pieces = [&expected[..10], &expected[100..110], &expected[2_999_991..]];
    for piece in pieces {
        assert!(parts.windows(10).any(|window| window == piece));
    }
    assert_eq!(lossy(&parts).matches("Content-Range: bytes ").count(), 3);
    let code = |arguments: &[&str]| {
        run(
            "curl",
            &[
                &[
                    "-s",
                    "-o",
                    "/dev/null",
                    "-w",
                    "%{http_code} %{size_download}",
                    &url,
                ],
                arguments,
            ]
            .concat(),
        )
    };
    assert_eq!(code(&["-r", "3000001-"]), "416 0");
    assert_eq!(code(&["-r", "0-1,5"]), "200 3000001");
    assert_eq!(code(&["-r", "0-9", "-H", "If-Range: \"other\""]), "200 3000001");
    let head = run("curl", &["-sSI", &url]);
    let tag = head
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap()
        .trim()
        .to_owned();
    assert!(
        head.contains("content-length: 3000001") && head.contains("accept-ranges: bytes"),
        "{head}"
    );
    assert_eq!(code(&["-r", "0-9", "-H", &format!("If-Range: {tag}")]), "206 10");
    assert_eq!(code(&["-H", &format!("If-None-Match: {tag}")]), "304 0");
    assert_eq!(code(&["-z", "Sat, 01 Jan 2000 00:00:01 GMT"]), "304 0");
    assert_eq!(code(&["-H", "If-Match: \"other\""]), "412 0");
    server.end();
}

#[test]
fn a_file_above_4_gib_is_read_at_its_end() {
    let stage = Stage::new();
    let size = stage.huge(b"the very end");
    let server = serve(&stage, &["huge.img"]);
    let url = format!("{}/huge.img/huge", server.http());
    assert!(run("curl", &["-sSI", &url]).contains(&format!("content-length: {size}")));
    assert_eq!(run("curl", &["-sS", "-r", "-12", &url]), "the very end");
    let range = format!("{}-{}", 4u64 << 30, (4u64 << 30) + 5);
    assert_eq!(run("curl", &["-sS", "-r", &range, &url]), "middle");
    server.end();
}

#[test]
fn names_come_back_whatever_is_in_them() {
    let stage = stage();
    let server = serve(&stage, &["disk.img"]);
    let copy = stage.name("copy");
    for (folder, text) in [("a b/c;d", "marks"), ("Grüße/日本", "Unicode\n")] {
        // Each name as the listing of properties gives it, and nothing else.
        let listed = run(
            "rclone",
            &[
                "-q",
                "lsf",
                "--webdav-url",
                &server.http(),
                &format!(":webdav:disk.img/{folder}"),
            ],
        );
        let name = listed.lines().next().unwrap();
        let native = fs::read_dir(stage.path("tree").join(folder))
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        assert_eq!(name.as_bytes(), native.file_name().as_encoded_bytes());
        run(
            "rclone",
            &[
                "-q",
                "copyto",
                "--webdav-url",
                &server.http(),
                &format!(":webdav:disk.img/{folder}/{name}"),
                &copy,
            ],
        );
        assert_eq!(fs::read_to_string(&copy).unwrap(), text);
    }
    let page = run("curl", &["-sSf", &format!("{}/disk.img/a%20b/", server.http())]);
    assert!(page.contains("qu&quot;ote &amp; &lt;tag&gt;</a>"), "{page}");
    server.end();
}

#[test]
fn wget_fetches_a_tree_by_its_pages() {
    let stage = stage();
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
            "-np",
            "-nH",
            "--cut-dirs=1",
            "--restrict-file-names=nocontrol",
            "-R",
            "index.html*",
            "-e",
            "robots=off",
            "-P",
            &copy,
            &format!("{}/disk.img/", server.http()),
        ],
    );
    let native = stage.native("disk.img");
    let (mut expected, mut found) = (followed(&native.0), tree(copy.as_ref(), true));
    expected.retain(|_, what| what.starts_with("file"));
    found.retain(|_, what| what.starts_with("file"));
    same(&expected, &found);
    server.end();
}

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
    let stage = Stage::new();
    let folder = stage.path("tree/many");
    for number in 0..5000 {
        fs::write(
            folder.join(format!("another-file-with-a-longer-name-{number}")),
            b"x",
        )
        .unwrap();
    }
    stage.make("disk.img", 96);
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
