//! `lklftpd --write` as its clients find it: lftp, curl and ftplib change images, this machine's own mount shows what came of it, and
//! the file system's own check finds nothing.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::stage::{Server, Stage, Talk, lossy, noise, run, same, tree, try_run};

/// File systems that are written, and the least that each needs, MiB.
pub const KINDS: [(&str, u64); 4] = [("ext4", 64), ("btrfs", 256), ("xfs", 320), ("vfat", 64)];

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Everybody may write.
pub fn serve(stage: &Stage, image: &str) -> Server {
    Server::start(stage, "lklftpd", &["--write", "--anonymous-write", image])
}

/// Names that FAT has, too.
fn plain_tree(stage: &Stage) {
    for name in ["a b", "fifo"] {
        let path = stage.path("tree").join(name);
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
    }
    for name in [
        "to-file",
        "to-folder",
        "out",
        "out-absolute",
        "broken",
        "deep/to-file",
        "deep/absolute",
        "deep/back",
    ] {
        fs::remove_file(stage.path("tree").join(name)).unwrap();
    }
}

#[test]
fn lftp_mirrors_a_whole_tree_into_each_file_system() {
    if !is_root() {
        return;
    }
    for (kind, mib) in KINDS {
        let stage = Stage::new();
        if kind == "vfat" {
            plain_tree(&stage);
        } else {
            fs::remove_file(stage.path("tree/fifo")).unwrap();
        }
        stage.blank(kind, "new.img", mib);
        let server = serve(&stage, "new.img");
        let script = format!(
            "set ftp:use-site-chmod yes; mirror -R {} new.img/copy; exit",
            stage.name("tree")
        );
        let said = try_run("lftp", &["-e", &script, &server.ftp()]);
        assert!(
            said.status.success(),
            "{kind}: {}{}",
            lossy(&said.stderr),
            server.log()
        );
        server.end();
        stage.check(kind, "new.img");
        let native = stage.shown(kind, "new.img");
        let (mut expected, found) = (
            tree(&stage.path("tree"), false),
            tree(&native.0.join("copy"), false),
        );
        assert!(expected.len() > 300);
        if kind == "vfat" {
            // It counts in steps of two seconds.
            expected.values_mut().for_each(|what| *what = even(what));
        }
        same(&expected, &found);
        if kind != "vfat" {
            let mode = |root: &Path| fs::metadata(root.join("text")).unwrap().mode();
            assert_eq!(mode(&stage.path("tree")), mode(&native.0.join("copy")), "{kind}");
        }
    }
}

/// A file's time as FAT has it.
fn even(what: &str) -> String {
    let words: Vec<&str> = what.split(' ').collect();
    match words[..] {
        ["file", size, time, hash] => {
            let time: i64 = time.parse().unwrap();
            format!("file {size} {} {hash}", time - time % 2)
        }
        _ => what.to_owned(),
    }
}

#[test]
fn curl_makes_replaces_resumes_and_appends() {
    if !is_root() {
        return;
    }
    for (kind, mib) in KINDS {
        let stage = Stage::new();
        stage.blank(kind, "new.img", mib);
        let server = serve(&stage, "new.img");
        let url = format!("{}/new.img/sub/file", server.ftp());
        let (whole, part) = (noise(2_000_003, 3), stage.name("part"));
        let put = |bytes: &[u8], options: &[&str]| {
            fs::write(&part, bytes).unwrap();
            run(
                "curl",
                &[&["-sS", "--ftp-create-dirs", "-T", &part, &url], options].concat(),
            );
        };
        let back = || {
            let to = stage.name("back");
            run("curl", &["-sS", "-o", &to, &url]);
            fs::read(to).unwrap()
        };
        put(b"first", &[]);
        assert_eq!(back(), b"first");
        put(&whole[..1_000_001], &[]);
        assert!(back() == whole[..1_000_001]);
        // It asks how much is there.
        put(&whole, &["-C", "-"]);
        assert!(back() == whole, "{kind}");
        put(b" and more", &["-a"]);
        assert!(back() == [&whole[..], b" and more"].concat(), "{kind}");
        // From the middle of what is there, which ends where the new bytes do.
        let mut talk = Talk::ftp(server.address);
        assert!(talk.ask("TYPE I").starts_with("200 "));
        assert!(talk.ask("REST 1200000").starts_with("350 "));
        let mut data = talk.data();
        assert!(talk.ask("STOR new.img/sub/file").starts_with("150 "));
        data.write_all(&whole[1_200_000..1_500_000]).unwrap();
        drop(data);
        assert!(talk.hear().starts_with("226 "));
        assert!(back() == whole[..1_500_000], "{kind}");
        drop(talk);
        server.end();
        stage.check(kind, "new.img");
        let native = stage.shown(kind, "new.img");
        assert!(
            fs::read(native.0.join("sub/file")).unwrap() == whole[..1_500_000],
            "{kind}"
        );
        assert_eq!(fs::read_dir(native.0.join("sub")).unwrap().count(), 1, "{kind}");
    }
}

#[test]
fn ftplib_changes_names_times_and_modes_and_is_told_what_it_may() {
    if !is_root() {
        return;
    }
    let stage = Stage::new();
    let tree = stage.path("tree");
    fs::create_dir(tree.join("theirs")).unwrap();
    fs::write(tree.join("theirs/old"), "old").unwrap();
    for name in ["theirs", "theirs/old"] {
        run("chown", &["1000:1001", tree.join(name).to_str().unwrap()]);
    }
    run("chmod", &["751", tree.join("theirs/old").to_str().unwrap()]);
    stage.make("disk.img", 64);
    let image = stage.name("disk.img");
    run(
        "/usr/sbin/debugfs",
        &["-w", "-R", "ea_set theirs/old user.kept yes", &image],
    );
    let server = Server::start_with(
        &stage,
        "lklftpd",
        &["--write", "--user-env", "joe:JOES", "--anonymous", "disk.img"],
        &[("JOES", "pass word")],
    );
    let script = r#"
import ftplib, io, sys
def refused(act, *words):
    try: act(*words)
    except ftplib.Error as error: print(words[-1], str(error)[:3])
ftp = ftplib.FTP()
ftp.connect("127.0.0.1", int(sys.argv[1]), timeout=60)
ftp.login()
print([fact["perm"] for name, fact in ftp.mlsd("disk.img", ["perm"]) if name in ("text", "deep", "fifo")])
refused(ftp.storbinary, "STOR disk.img/x", io.BytesIO(b"x"), 100)
for line in ("MKD disk.img/x", "DELE disk.img/text", "SITE CHMOD 777 disk.img/text"): refused(ftp.voidcmd, line)
ftp.login("joe", "pass word")
print(sorted({fact["perm"] for name, fact in ftp.mlsd("/", ["perm"])}))
print(ftp.sendcmd("MLST /disk.img").split("perm=")[1].split(";")[0])
ftp.cwd("disk.img/theirs")
print(sorted((name, fact["perm"]) for name, fact in ftp.mlsd("..", ["perm"]) if name in ("text", "deep", "fifo", "out")))
print(ftp.mkd('new "quoted"'))
ftp.storlines("STOR lines", io.BytesIO(b"one\ntwo"))
ftp.storbinary("STOR old", io.BytesIO(b"new"))
ftp.storbinary("APPE lines", io.BytesIO(b"tail"))
print(ftp.sendcmd("MFMT 20010203040506 lines"))
print(ftp.sendcmd("SITE CHMOD 0604 lines")[:3])
print(ftp.sendcmd("SITE SYMLINK lines to-lines")[:3])
ftp.storbinary("STOR to-lines", io.BytesIO(b"by the link"))
ftp.rename("lines", 'new "quoted"/moved')
ftp.rename('new "quoted"', "folder")
print(ftp.sendcmd("ALLO 100")[:3])
print(ftp.storbinary("STOU", io.BytesIO(b"unique"))[:3])
names = [name for name in ftp.nlst() if name.startswith("file.")]
print(len(names))
ftp.delete(names[0])
for line in ("RMD folder", "DELE folder", "MKD old", "RMD old", "DELE nothing", "RNFR nothing", "RNTO x", "MKD /x", "DELE /disk.img",
             "RMD /disk.img", "MKD no/such", "STOR /x", "STOR folder", "STOR ../fifo", "STOR ../broken", "SITE FROB x", "MFMT x y"):
    refused(ftp.sendcmd, line)
ftp.sendcmd("REST 10")
ftp.sendcmd("TYPE I")
refused(ftp.sendcmd, "STOR old")
ftp.mkd("gone"); ftp.rmd("gone")
ftp.quit()
"#;
    let found = run("python3", &["-c", script, &server.address.port().to_string()]);
    let expected = r#"['el', '', 'r']
100 550
MKD disk.img/x 550
DELE disk.img/text 550
SITE CHMOD 777 disk.img/text 550
['elcmp']
elcmp
[('deep', 'elcmpdf'), ('fifo', 'df'), ('out', 'df'), ('text', 'rawdf')]
/disk.img/theirs/new "quoted"
213 Modify=20010203040506; /disk.img/theirs/lines
250
250
200
226
1
RMD folder 550
DELE folder 550
MKD old 550
RMD old 550
DELE nothing 550
RNFR nothing 550
RNTO x 503
MKD /x 550
DELE /disk.img 550
RMD /disk.img 550
MKD no/such 550
STOR /x 550
STOR folder 550
STOR ../fifo 550
STOR ../broken 550
SITE FROB x 504
MFMT x y 501
STOR old 554
"#;
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        // The order of a folder is the file system's.
        lines[0] = {
            let mut words: Vec<&str> = lines[0].trim_matches(['[', ']']).split(", ").collect();
            words.sort_unstable();
            words.join(" ")
        };
        lines
    };
    assert_eq!(sorted(&found), sorted(expected), "{}", server.log());
    assert!(!server.log().contains("pass word"));
    server.end();
    stage.check("ext4", "disk.img");
    let native = stage.native("disk.img");
    let at = |name: &str| native.0.join("theirs").join(name);
    let (old, moved) = (at("old"), at("folder/moved"));
    let facts = |path: &Path| {
        let facts = fs::metadata(path).unwrap();
        (facts.uid(), facts.gid(), facts.mode() & 0o7777)
    };
    assert_eq!(fs::read(&old).unwrap(), b"new");
    assert_eq!(
        facts(&old),
        (1000, 1001, 0o751),
        "a file that is replaced keeps owner and mode"
    );
    let kept = run(
        "getfattr",
        &["--only-values", "-n", "user.kept", old.to_str().unwrap()],
    );
    assert_eq!(kept, "yes");
    assert_eq!(fs::read(&moved).unwrap(), b"by the link");
    assert_eq!(
        facts(&moved),
        (1000, 1001, 0o604),
        "new files are the folder's owner's"
    );
    assert_eq!(facts(&at("folder")), (1000, 1001, 0o755));
    assert_eq!(fs::read_link(at("to-lines")).unwrap(), Path::new("lines"));
    assert_eq!(fs::read_dir(at(".")).unwrap().count(), 3);
}

#[test]
fn all_partitions_of_an_image_are_written_and_none_is_renamed_into() {
    if !is_root() {
        return;
    }
    let stage = Stage::new();
    stage.partitioned("parts.img");
    let server = serve(&stage, "parts.img");
    for part in ["part1", "part3"] {
        let url = format!("{}/parts.img/{part}/put", server.ftp());
        run("curl", &["-sS", "-T", &stage.name("tree/large"), &url]);
    }
    let mut talk = Talk::ftp(server.address);
    assert!(talk.ask("RNFR /parts.img/part1/put").starts_with("350 "));
    assert!(talk.ask("RNTO /parts.img/part3/other").starts_with("550 "));
    server.end();
    for (kind, sector, sectors) in [("ext4", 2048u64, 131_072u64), ("vfat", 135_168, 65_536)] {
        let from = fs::read(stage.path("parts.img")).unwrap();
        let bytes = &from[sector as usize * 512..(sector + sectors) as usize * 512];
        fs::write(stage.path("one.img"), bytes).unwrap();
        stage.check(kind, "one.img");
        let native = stage.shown(kind, "one.img");
        assert!(
            fs::read(native.0.join("put")).unwrap() == noise(3_000_001, 7),
            "{kind}"
        );
    }
}

#[test]
fn files_come_by_tls_whole_or_not_at_all() {
    if !is_root() {
        return;
    }
    let stage = Stage::new();
    let (certificate, key) = (stage.name("cert.pem"), stage.name("key.pem"));
    stage.certificate(&certificate, &key);
    let options = [
        "--tls-cert",
        &certificate,
        "--tls-key",
        &key,
        "--write",
        "--anonymous-write",
    ];
    let server = Server::start(&stage, "lklftpd", &[&options[..], &["disk.img"]].concat());
    let large = stage.name("tree/large");
    let url = format!("{}/disk.img/by-curl", server.ftp());
    run(
        "curl",
        &["-sS", "--ssl-reqd", "--cacert", &certificate, "-T", &large, &url],
    );
    let script = format!(
        "set ssl:verify-certificate no; set ftp:ssl-force yes; set ftp:ssl-protect-data yes; put -O disk.img {large} -o by-lftp; exit"
    );
    run("lftp", &["-e", &script, &server.ftp()]);
    let script = r#"
import ftplib, ssl, sys, socket
port, large = sys.argv[1:]
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
ftp = ftplib.FTP_TLS(context=context)
ftp.connect("127.0.0.1", int(port), timeout=60)
ftp.login()
ftp.prot_p()
with open(large, "rb") as file: ftp.storbinary("STOR disk.img/by-ftplib", file)
# The data connection ends without TLS saying so.
data = ftp.transfercmd("STOR disk.img/cut")
data.sendall(bytes(100000))
socket.socket(fileno=data.detach()).close()
try: print(ftp.voidresp())
except ftplib.Error as error: print(str(error)[:3])
print(ftp.voidcmd("NOOP")[:3])
"#;
    let port = server.address.port().to_string();
    assert_eq!(run("python3", &["-c", script, &port, &large]), "426\n200\n");
    server.end();
    stage.check("ext4", "disk.img");
    let native = stage.native("disk.img");
    for name in ["by-curl", "by-lftp", "by-ftplib"] {
        assert!(
            fs::read(native.0.join(name)).unwrap() == noise(3_000_001, 7),
            "{name}"
        );
    }
    assert!(!native.0.join("cut").exists());
}
