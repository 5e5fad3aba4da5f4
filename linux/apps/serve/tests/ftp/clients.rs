//! lftp, curl, wget and Python's ftplib read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::serve;
use crate::stage::reads::{a_file_above_4_gib, curl_resumes};
use crate::stage::{Stage, noise, run, same, tree, without_time};

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
    let stage = Stage::of_images();
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
    curl_resumes(&stage, &url);
    let expected = noise(3_000_001, 7);
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
    a_file_above_4_gib(&format!("{}/huge.img/huge", server.ftp()), size, "Content-Length");
    server.end();
}
