//! What is read, and what is refused.

use std::fs;
use std::path::Path;

use rustix::process::geteuid;

use crate::judge::{expected, found, judge};
use crate::stage::exports::other_kinds;
use crate::stage::{Stage, lossy, noise, run, same, try_run};
use crate::{serve, url};

#[test]
fn a_whole_tree_is_what_this_machine_mounts() {
    let stage = Stage::crowded(b"\xff\xfe back\\slash");
    let server = serve(&stage, &["disk.img"]);
    let native = stage.native("disk.img");
    let expected = expected(&native.0);
    assert!(expected.len() > 5300);
    same(&expected, &found(&server, "/disk.img"));
    server.end();
}

#[test]
fn trees_of_other_file_systems_are_what_this_machine_mounts() {
    other_kinds(|stage, kind| {
        let server = serve(stage, &["disk.img"]);
        let native = stage.native("disk.img");
        let expected = expected(&native.0);
        drop(native);
        assert!(expected.len() > 300, "{kind}");
        same(&expected, &found(&server, "/disk.img"));
        server.end();
    });
}

#[test]
fn images_and_partitions_are_folders_of_one_root() {
    let stage = Stage::of_images();
    let server = serve(&stage, &["disk.img", "parts.img", "other/disk.img"]);
    let listed = run("nfs-ls", &[&url(&server, "/")]);
    for name in ["disk.img", "disk.img (2)", "parts.img"] {
        assert!(
            listed.lines().any(|line| line.ends_with(&format!(" {name}"))),
            "{listed}"
        );
    }
    let whole = found(&server, "/");
    assert_eq!(whole[Path::new("parts.img")].split(' ').next(), Some("d"));
    assert!(whole.contains_key(Path::new("parts.img/part3")));
    assert!(!whole.contains_key(Path::new("parts.img/part2")));
    for folder in ["disk.img", "disk.img (2)", "parts.img/part1"] {
        let native = stage.native("disk.img");
        let below = whole.iter().filter_map(|(path, facts)| {
            let rest = path.strip_prefix(folder).ok()?;
            (rest != Path::new("")).then(|| (rest.to_owned(), facts.clone()))
        });
        same(&expected(&native.0), &below.collect());
    }
    let copy = stage.name("copy");
    run("nfs-cp", &[&url(&server, "/disk.img/large"), &copy]);
    assert!(fs::read(&copy).unwrap() == noise(3_000_001, 7));
    server.end();
}

#[test]
fn a_file_above_4_gib_is_read_at_its_end() {
    let stage = Stage::new();
    let size = stage.huge(b"the very end");
    let server = serve(&stage, &["huge.img"]);
    let listed = run("nfs-ls", &[&url(&server, "/huge.img")]);
    assert!(listed.contains(&size.to_string()), "{listed}");
    let pipeline = format!("nfs-cat '{}' | tail -c 12", url(&server, "/huge.img/huge"));
    assert_eq!(run("timeout", &["300", "sh", "-c", &pipeline]), "the very end");
    server.end();
}

#[test]
fn nothing_can_be_changed() {
    let stage = Stage::new();
    let before = fs::read(stage.path("disk.img")).unwrap();
    let server = serve(&stage, &["disk.img"]);
    for place in ["/disk.img", "/"] {
        let said = try_run("timeout", &["60", judge(), &url(&server, place), "write"]);
        let said = lossy(&said.stdout);
        assert_eq!(said.lines().count(), 7, "{said}\n{}", server.log());
        assert!(!said.contains("done"), "{said}");
        assert!(
            place == "/" || said.matches("Read-only file system").count() >= 5,
            "{said}"
        );
    }
    server.end();
    assert!(fs::read(stage.path("disk.img")).unwrap() == before);
}

#[test]
fn the_same_image_is_the_same_tree_in_the_next_run_of_the_server() {
    let stage = Stage::new();
    let first = serve(&stage, &["disk.img"]);
    let before = found(&first, "/disk.img");
    let address = first.address.to_string();
    first.end();
    let second = crate::stage::Server::start_at(&stage, "nfs", &address, &["disk.img"]);
    same(&before, &found(&second, "/disk.img"));
    second.end();
}

#[test]
fn a_file_system_that_cannot_be_exported_is_told_of() {
    let stage = Stage::new();
    let image = fs::File::create(stage.path("minix.img")).unwrap();
    image.set_len(1 << 20).unwrap();
    run("/usr/sbin/mkfs.minix", &[&stage.name("minix.img")]);
    let server = serve(&stage, &["disk.img", "minix.img"]);
    assert!(
        server
            .log()
            .contains("minix.img: Linux does not export minix by NFS"),
        "{}",
        server.log()
    );
    assert!(found(&server, "/disk.img").len() > 300);
    server.end();
    let alone = try_run(
        env!("CARGO_BIN_EXE_lklserve"),
        &["nfs", "--listen", "127.0.0.1:0", &stage.name("minix.img")],
    );
    assert_eq!(alone.status.code(), Some(4), "{}", lossy(&alone.stderr));
}

#[test]
fn this_machines_own_client_mounts_it_where_it_has_one() {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !geteuid().is_root() || !known.contains("nfs4") {
        eprintln!("not tried: this machine's Linux has no NFS");
        return;
    }
    let stage = Stage::crowded(b"\xff\xfe back\\slash");
    let server = serve(&stage, &["disk.img"]);
    let at = stage.name("at");
    fs::create_dir(&at).unwrap();
    let port = format!("ro,port={},vers=4.2,soft", server.address.port());
    run(
        "timeout",
        &[
            "60",
            "mount",
            "-t",
            "nfs4",
            "-o",
            &port,
            "127.0.0.1:/disk.img",
            &at,
        ],
    );
    let found = expected(at.as_ref());
    run("umount", &[&at]);
    let native = stage.native("disk.img");
    same(&expected(&native.0), &found);
    server.end();
}
