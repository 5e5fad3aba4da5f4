//! rclone, cadaver, curl and wget read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::stage::reads::{a_file_above_4_gib, curl_resumes};
use crate::stage::{Stage, lossy, noise, run, same, tree, without_time};
use crate::{serve, stage};

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

/// rclone keeps the times of few servers, and of no plain one.
fn timeless(tree: BTreeMap<PathBuf, String>) -> BTreeMap<PathBuf, String> {
    tree.into_iter()
        .map(|(path, what)| (path, without_time(&what)))
        .collect()
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
    curl_resumes(&stage, &url);
    let expected = noise(3_000_001, 7);
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
    a_file_above_4_gib(
        &format!("{}/huge.img/huge", server.http()),
        size,
        "content-length",
    );
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
