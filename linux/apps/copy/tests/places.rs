//! Who copies, and where from and to: users, partitions, formats, file systems that keep less.

#![cfg(target_os = "linux")]

#[path = "machine/mod.rs"]
mod machine;

use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::process::Stdio;

use machine::Kind;
use machine::Native;
use machine::images::ext4;
use machine::images::names;
use machine::images::one_line;
use machine::is_root;
use machine::join;
use machine::machine as run_on_machine;
use machine::place;
use machine::program;
use machine::run;
use machine::said;
use machine::shown::Shown;
use machine::shown::same;
use machine::shown::tree;
use machine::tree::Parts;
use machine::tree::make;
use machine::well;

/// Runs one of the programs as a user who is not root.
fn as_a_user(name: &str, arguments: &[&OsStr]) -> (String, i32) {
    let program = program(name);
    let output = Command::new("setpriv")
        .args(["--reuid=1234", "--regid=1234", "--clear-groups", "--"])
        .arg(program.get_program())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (said(&output), output.status.code().unwrap_or(-1))
}

#[test]
fn a_user_needs_no_root_for_an_image_of_their_own() {
    if !is_root() {
        return;
    }
    let place = place();
    let (image, top) = (join(&place, "image"), join(&place, "tree"));
    Kind::named("ext4").make(&image, 700);
    make(&top, 11, Parts::default());
    fs::write(top.join("is another's"), b"secret").unwrap();
    fs::set_permissions(&top, fs::Permissions::from_mode(0o755)).unwrap();
    run_on_machine("chown", arguments!["-hR", "1234:1234", &top, &image]);
    run_on_machine("chown", arguments!["0:0", &top.join("is another's")]);
    fs::set_permissions(top.join("is another's"), fs::Permissions::from_mode(0o600)).unwrap();
    // The programs of a build need not be readable for others.
    let open = fs::metadata(program("cptofs").get_program()).is_ok_and(|found| found.mode() & 5 == 5);
    assert!(open);

    let (said, code) = as_a_user(
        "cptofs",
        arguments!["-i", &image, "-o", "0", "-g", "5", &top, "/"],
    );
    assert_eq!(code, 11, "{said}");
    assert!(said.contains("is another's: permission denied"), "{said}");
    assert!(said.contains("1 entry was not copied"), "{said}");
    Kind::named("ext4").check(&image);
    fs::remove_file(top.join("is another's")).unwrap();
    let wanted = tree(&top);
    let native = Native::mount(&image, "ro,noatime");
    let but = |shown: &mut Shown| {
        shown.owner = (0, 5);
        shown.accessed = (0, 0);
    };
    let found = tree(&native.path().join("tree"));
    assert!(found.values().all(|shown| shown.owner == (0, 5)));
    // A folder that an entry was taken out of has another time.
    same(&found, &wanted, &but);
    drop(native);

    let back = join(&place, "back");
    fs::create_dir(&back).unwrap();
    run_on_machine("chown", arguments!["1234:1234", &back]);
    let (said, code) = as_a_user("cpfromfs", arguments!["-i", &image, "/tree", &back]);
    assert_eq!(code, 0, "{said}");
    let but = |shown: &mut Shown| {
        shown.owner = (1234, 1234);
        shown.accessed = (0, 0);
        shown.mode &= 0o171_777;
    };
    same(&tree(&back.join("tree")), &wanted, &but);
    let (said, code) = as_a_user("fs2tar", arguments![&image, &back.join("archive.tar")]);
    assert_eq!(code, 0, "{said}");
    let listed = run_on_machine(
        "tar",
        arguments!["--numeric-owner", "-tvf", &back.join("archive.tar")],
    );
    assert!(listed.lines().filter(|line| line.contains(" 0/5 ")).count() >= wanted.len());

    // Nor may a user write what is not theirs to write.
    fs::set_permissions(&image, fs::Permissions::from_mode(0o444)).unwrap();
    let (said, code) = as_a_user("cptofs", arguments!["-i", &image, &back.join("archive.tar"), "/"]);
    assert_eq!(code, 3, "{said}");
    one_line(&said, "cptofs", "cannot be written");
}

#[test]
fn partitions_and_formats_are_read_and_a_partition_is_written() {
    let place = place();
    let (whole, image, top) = (join(&place, "disk.img"), ext4(&place, 64), join(&place, "tree"));
    let (before, size) = (3u64 << 20, 64u64 << 20);
    let disk = File::create(&whole).unwrap();
    disk.set_len(before + size + (2 << 20)).unwrap();
    disk.write_all_at(&fs::read(&image).unwrap(), before).unwrap();
    let mut table = Command::new("/usr/sbin/sfdisk")
        .args(["-q", "-X", "gpt"])
        .arg(&whole)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    {
        use std::io::Write;
        let line = format!("start={}, size={}\n", before / 512, size / 512);
        table.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    }
    assert!(table.wait().unwrap().success());
    fs::create_dir(&top).unwrap();
    fs::write(top.join("file"), b"in a partition").unwrap();
    let head = fs::read(&whole).unwrap()[..1 << 20].to_vec();
    well("cptofs", arguments!["-i", &whole, "-P", "1", &top, "/"]);
    assert!(
        fs::read(&whole).unwrap()[..1 << 20] == head,
        "the table has changed"
    );

    let qcow2 = join(&place, "disk.qcow2");
    run_on_machine("qemu-img", arguments!["convert", "-O", "qcow2", &whole, &qcow2]);
    let back = join(&place, "back");
    well("cpfromfs", arguments!["-i", &qcow2, "/tree/file", &back]);
    assert_eq!(fs::read(&back).unwrap(), b"in a partition");
    let (said, code) = run("cptofs", arguments!["-i", &qcow2, &back, "/"]);
    assert_eq!(code, 3, "{said}");
    one_line(&said, "cptofs", "with cpfromfs, or make a raw image");
}

#[test]
fn a_file_system_without_links_and_owners_keeps_what_it_can() {
    let place = place();
    let (image, top) = (join(&place, "image"), join(&place, "tree"));
    File::create(&image).unwrap().set_len(64 << 20).unwrap();
    run_on_machine("mkfs.vfat", arguments!["-F", "32", &image]);
    fs::create_dir(&top).unwrap();
    fs::write(top.join("file"), b"contents").unwrap();
    fs::hard_link(top.join("file"), top.join("same")).unwrap();
    std::os::unix::fs::symlink("file", top.join("link")).unwrap();
    let (said, code) = run("cptofs", arguments!["-i", &image, "-o", "12", &top, "/"]);
    assert_eq!(code, 8, "{said}");
    assert!(said.contains("tree/link: not written"), "{said}");
    assert!(said.contains("1 entry was not copied"), "{said}");
    assert!(said.contains("its owner is not kept"), "{said}");
    let back = join(&place, "back");
    well("cpfromfs", arguments!["-i", &image, "/tree", &back]);
    assert_eq!(names(&back), ["file", "same"]);
    assert_eq!(fs::read(back.join("same")).unwrap(), b"contents");
}
