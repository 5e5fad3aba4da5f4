//! What the programs do when things are not as they should be, and what their options do.

#![cfg(target_os = "linux")]

#[path = "machine/mod.rs"]
mod machine;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use machine::shown::{Shown, same, tree};
use machine::tree::{ACL, Parts, make};
use machine::{Kind, Native, is_root, join, machine as run_on_machine, place, program, run, said, well};
use rustix::fs::XattrFlags;
use rustix::process::{Pid, Signal, kill_process};

fn ext4(place: &tempfile::TempDir, mib: u64) -> PathBuf {
    let image = join(place, "image");
    Kind::named("ext4").make(&image, mib);
    image
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What is in an image, copied out into a new folder.
fn out(place: &tempfile::TempDir, image: &Path, name: &str) -> PathBuf {
    let folder = join(place, name);
    well("cpfromfs", arguments!["-i", image, "/", &folder]);
    folder
}

#[track_caller]
fn one_line(said: &str, name: &str, words: &str) {
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.starts_with(&format!("{name}: ")), "{said}");
    assert!(said.contains(words), "{said} says nothing of {words}");
}

#[test]
fn what_cannot_be_opened_is_one_line_and_an_exit_code() {
    let place = place();
    let good = ext4(&place, 16);
    let file = join(&place, "file");
    fs::write(&file, b"x").unwrap();
    let at = |name: &str, bytes: &[u8]| {
        let path = join(&place, name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let small = at("small", &[0; 100]);
    let rubbish = at("rubbish", &[7; 1 << 20]);
    let damaged = join(&place, "damaged");
    fs::copy(&good, &damaged).unwrap();
    // The superblock stays, and what it speaks of goes.
    let image = File::options().write(true).open(&damaged).unwrap();
    image.write_all_at(&vec![0xff; 4 << 20], 2048).unwrap();
    let missing = join(&place, "missing");
    let archive = join(&place, "archive.tar");
    for (image, exit, words) in [
        (&missing, 3, "missing"),
        (&small, 4, "small"),
        (&rubbish, 4, "no file system"),
        (&damaged, 4, "damaged"),
    ] {
        let before = fs::read(image).ok();
        let (said, code) = run("fs2tar", arguments![image, &archive]);
        assert_eq!(code, exit, "{said}");
        one_line(&said, "fs2tar", words);
        let (said, code) = run("cpfromfs", arguments!["-i", image, "/", &missing]);
        assert_eq!(code, exit, "{said}");
        one_line(&said, "cpfromfs", words);
        let (said, code) = run("cptofs", arguments!["-i", image, &file, "/"]);
        assert_eq!(code, exit, "{said}");
        one_line(&said, "cptofs", words);
        assert!(fs::read(image).ok() == before, "{} has changed", image.display());
    }
    for (program, arguments, exit, words) in [
        ("fs2tar", arguments!["-P", "3", &good, &archive], 6, "partition"),
        ("cptofs", arguments!["-i", &good, &missing, "/"], 5, "missing"),
        (
            "cptofs",
            arguments!["-i", &good, &file, "/a/b"],
            5,
            "no such folder",
        ),
        (
            "cptofs",
            arguments!["-i", &good, &file, &small, "/new"],
            5,
            "no such folder",
        ),
        ("cpfromfs", arguments!["-i", &good, "/none", "/tmp"], 5, "/none"),
        (
            "cpfromfs",
            arguments!["-i", &good, "/", "/none/there"],
            8,
            "/none",
        ),
        ("fs2tar", arguments![&good, "/none/there.tar"], 8, "/none"),
        ("fs2tar", arguments![&good, &good], 2, "the image"),
    ] {
        let before = fs::read(&good).unwrap();
        let (said, code) = run(program, arguments);
        assert_eq!(code, exit, "{said}");
        one_line(&said, program, words);
        // To look for a folder in an image that is to be written, it is mounted for that.
        let looked = words == "no such folder";
        assert!(
            looked || fs::read(&good).unwrap() == before,
            "{program} has changed the image"
        );
        Kind::named("ext4").check(&good);
    }
    assert!(!archive.exists() && !missing.exists());
    assert!(names(place.path()).iter().all(|name| !name.starts_with('.')));
}

#[test]
fn an_image_has_one_writer() {
    let place = place();
    let image = ext4(&place, 16);
    let file = join(&place, "file");
    fs::write(&file, b"x").unwrap();
    let lock = File::open(&image).unwrap();
    lock.lock().unwrap();
    for (program, arguments) in [
        ("cptofs", arguments!["-i", &image, &file, "/"]),
        ("cpfromfs", arguments!["-i", &image, "/", "/tmp"]),
        ("fs2tar", arguments![&image, "/dev/null"]),
    ] {
        let (said, code) = run(program, arguments);
        assert_eq!(code, 13, "{said}");
        one_line(&said, program, "another program");
    }
    drop(lock);
    // Readers let readers in, and no writer.
    let lock = File::open(&image).unwrap();
    lock.lock_shared().unwrap();
    well("fs2tar", arguments![&image, "/dev/null"]);
    assert_eq!(run("cptofs", arguments!["-i", &image, &file, "/"]).1, 13);
}

#[test]
fn what_this_machine_has_mounted_is_not_written() {
    if !is_root() {
        return;
    }
    let place = place();
    let image = ext4(&place, 16);
    let file = join(&place, "file");
    fs::write(&file, b"x").unwrap();
    let native = Native::mount(&image, "rw");
    let (said, code) = run("cptofs", arguments!["-i", &image, &file, "/"]);
    assert_eq!(code, 13, "{said}");
    one_line(&said, "cptofs", "/dev/loop");
    assert_eq!(names(native.path()), ["lost+found"]);
}

#[test]
fn a_full_image_is_told_and_what_was_copied_is_whole() {
    for name in ["ext4", "btrfs", "xfs", "f2fs"] {
        let kind = Kind::named(name);
        let place = place();
        let (image, top) = (join(&place, "image"), join(&place, "tree"));
        kind.make(&image, if name == "xfs" { 310 } else { 128 });
        fs::create_dir(&top).unwrap();
        for number in 0..90 {
            fs::write(top.join(format!("{number:03}")), vec![number; 8 << 20]).unwrap();
        }
        let (said, code) = run("cptofs", arguments!["-i", &image, &top.join("."), "/"]);
        assert_eq!(code, 8, "{name}: {said}");
        one_line(&said, "cptofs", "no space left");
        kind.check(&image);
        let back = out(&place, &image, "back");
        let copied: Vec<String> = names(&back)
            .into_iter()
            .filter(|name| name != "lost+found")
            .collect();
        assert!((5..90).contains(&copied.len()), "{name}: {} files", copied.len());
        for (number, file) in copied.iter().enumerate() {
            assert_eq!(*file, format!("{number:03}"), "{name}");
            assert!(
                fs::read(back.join(file)).unwrap() == fs::read(top.join(file)).unwrap(),
                "{name}: {file} is not whole"
            );
        }
    }
}

/// Waits until a program has written so much, to the image or to files.
fn at_work(child: &std::process::Child) {
    const WRITTEN: u64 = 20 << 20;
    let limit = Instant::now() + Duration::from_secs(60);
    while Instant::now() < limit {
        let text = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap_or_default();
        let written = text.lines().find_map(|line| line.strip_prefix("wchar: "));
        if written.is_some_and(|written| written.parse::<u64>().unwrap() > WRITTEN) {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("it writes nothing");
}

/// Ends a program in the middle of its work.
fn end(mut child: std::process::Child, signal: Signal) -> (String, i32) {
    at_work(&child);
    kill_process(Pid::from_child(&child), signal).unwrap();
    let start = Instant::now();
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    let code = child.wait().unwrap().code().unwrap_or(-1);
    assert!(start.elapsed() < Duration::from_secs(30));
    (text, code)
}

#[test]
fn a_signal_ends_a_copy_with_what_was_copied_whole() {
    let place = place();
    let top = join(&place, "tree");
    fs::create_dir(&top).unwrap();
    for number in 0..60 {
        fs::write(top.join(format!("{number:03}")), vec![number; 8 << 20]).unwrap();
    }
    for (signal, name) in [
        (Signal::TERM, "ext4"),
        (Signal::INT, "btrfs"),
        (Signal::TERM, "xfs"),
        (Signal::HUP, "f2fs"),
    ] {
        let kind = Kind::named(name);
        let image = join(&place, "image");
        kind.make(&image, 800);
        let child = program("cptofs")
            .args(arguments!["-i", &image, &top.join("."), "/"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (said, code) = end(child, signal);
        assert_eq!(code, 130, "{name}: {said}");
        one_line(&said, "cptofs", "interrupted");
        kind.check(&image);
        let back = out(&place, &image, name);
        let copied: Vec<String> = names(&back)
            .into_iter()
            .filter(|name| name != "lost+found")
            .collect();
        assert!(copied.len() < 60, "{name}: it was too fast");
        for file in &copied {
            assert!(
                fs::read(back.join(file)).unwrap() == fs::read(top.join(file)).unwrap(),
                "{name}: {file} is not whole"
            );
        }
    }
}

#[test]
fn a_signal_leaves_no_part_of_an_archive_or_a_file() {
    let place = place();
    let (image, top, folder) = (
        join(&place, "image"),
        join(&place, "tree"),
        join(&place, "folder"),
    );
    Kind::named("ext4").make(&image, 800);
    fs::create_dir(&top).unwrap();
    fs::create_dir(&folder).unwrap();
    fs::write(top.join("large"), vec![5; 600 << 20]).unwrap();
    well("cptofs", arguments!["-i", &image, &top.join("."), "/"]);
    let archive = folder.join("archive.tar");
    let start = |name: &str, arguments: &[&OsStr]| {
        let mut command = program(name);
        command.args(arguments).stderr(Stdio::piped()).spawn().unwrap()
    };
    let child = start("fs2tar", arguments![&image, &archive]);
    let (said, code) = end(child, Signal::TERM);
    assert_eq!(code, 130, "{said}");
    one_line(&said, "fs2tar", "interrupted");
    assert_eq!(names(&folder), [""; 0]);
    // An archive that was there stays.
    fs::write(&archive, b"before").unwrap();
    let child = start("fs2tar", arguments![&image, &archive]);
    assert_eq!(end(child, Signal::INT).1, 130);
    assert_eq!(names(&folder), ["archive.tar"]);
    assert_eq!(fs::read(&archive).unwrap(), b"before");

    fs::remove_file(&archive).unwrap();
    let child = start("cpfromfs", arguments!["-i", &image, "/large", &folder]);
    let (said, code) = end(child, Signal::TERM);
    assert_eq!(code, 130, "{said}");
    assert_eq!(names(&folder), [""; 0]);
}

#[test]
fn a_reader_that_ends_early_is_told() {
    let place = place();
    let (image, file) = (ext4(&place, 64), join(&place, "file"));
    fs::write(&file, vec![1; 20 << 20]).unwrap();
    well("cptofs", arguments!["-i", &image, &file, "/"]);
    let mut child = program("fs2tar")
        .args(arguments![&image, "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(8));
    one_line(&said(&output), "fs2tar", "its reader has ended");
}

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
fn what_is_there_is_replaced_and_folders_are_merged() {
    let place = place();
    let (image, top) = (ext4(&place, 64), join(&place, "tree"));
    fs::create_dir_all(top.join("folder")).unwrap();
    fs::write(top.join("folder/one"), b"first").unwrap();
    fs::hard_link(top.join("folder/one"), top.join("folder/same")).unwrap();
    std::os::unix::fs::symlink("x", top.join("folder/link")).unwrap();
    let copy = || well("cptofs", arguments!["-i", &image, &top, "/"]);
    copy();
    // Again, over all of it; a link in the place of a file, and a file in that of a link.
    copy();
    fs::write(top.join("folder/one"), b"second").unwrap();
    fs::remove_file(top.join("folder/link")).unwrap();
    fs::write(top.join("folder/link"), b"a file now").unwrap();
    fs::remove_file(top.join("folder/same")).unwrap();
    std::os::unix::fs::symlink("y", top.join("folder/same")).unwrap();
    fs::write(top.join("more"), b"more").unwrap();
    copy();
    let back = out(&place, &image, "back");
    assert_eq!(names(&back.join("tree/folder")), ["link", "one", "same"]);
    assert_eq!(fs::read(back.join("tree/folder/one")).unwrap(), b"second");
    assert_eq!(fs::read(back.join("tree/folder/link")).unwrap(), b"a file now");
    assert_eq!(
        fs::read_link(back.join("tree/folder/same")).unwrap(),
        Path::new("y")
    );
    // The other way round over what is there, too.
    well(
        "cpfromfs",
        arguments!["-i", &image, "/tree/.", &back.join("tree")],
    );
    assert_eq!(names(&back.join("tree/folder")), ["link", "one", "same"]);

    // A folder is not replaced by a file, nor a file by a folder, and the rest is copied.
    fs::remove_dir_all(top.join("folder")).unwrap();
    fs::write(top.join("folder"), b"a file").unwrap();
    fs::remove_file(top.join("more")).unwrap();
    fs::create_dir(top.join("more")).unwrap();
    fs::write(top.join("more/below"), b"x").unwrap();
    fs::write(top.join("new"), b"new").unwrap();
    let (said, code) = run("cptofs", arguments!["-i", &image, &top, "/"]);
    assert_eq!(code, 8, "{said}");
    assert!(said.contains("2 entries were not copied"), "{said}");
    let back = out(&place, &image, "again");
    assert_eq!(names(&back.join("tree")), ["folder", "more", "new"]);
    assert!(back.join("tree/folder").is_dir() && back.join("tree/more").is_file());
    Kind::named("ext4").check(&image);
}

#[test]
fn lists_that_a_folder_gives_are_not_those_of_the_copy() {
    let place = place();
    let (image, top, other) = (ext4(&place, 64), join(&place, "tree"), join(&place, "other"));
    fs::create_dir(&top).unwrap();
    rustix::fs::setxattr(&top, "system.posix_acl_default", ACL, XattrFlags::empty()).unwrap();
    well("cptofs", arguments!["-i", &image, &top, "/"]);
    fs::create_dir_all(other.join("folder")).unwrap();
    fs::write(other.join("folder/file"), b"x").unwrap();
    fs::set_permissions(other.join("folder/file"), fs::Permissions::from_mode(0o604)).unwrap();
    well("cptofs", arguments!["-i", &image, &other, "/tree"]);
    let back = out(&place, &image, "back");
    for path in ["tree/other", "tree/other/folder", "tree/other/folder/file"] {
        let mut list = [0u8; 1000];
        for name in ["system.posix_acl_access", "system.posix_acl_default"] {
            let found = rustix::fs::getxattr(back.join(path), name, &mut list);
            assert_eq!(found, Err(rustix::io::Errno::NODATA), "{path} has {name}");
        }
    }
    let mode = fs::metadata(back.join("tree/other/folder/file")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o604);
}

#[test]
fn options_choose_what_is_copied_and_whose_it_is() {
    let place = place();
    let (image, top) = (ext4(&place, 64), join(&place, "tree"));
    for folder in ["a/target", "b"] {
        fs::create_dir_all(top.join(folder)).unwrap();
    }
    for file in ["a/main.c", "a/main.o", "a/target/x", "b/keep", "b/target"] {
        fs::write(top.join(file), file).unwrap();
    }
    let arguments = arguments![
        "-i",
        &image,
        "--exclude",
        "*.o",
        "--exclude",
        "target",
        "-o",
        "12",
        "-g",
        "34",
        "-s",
        "system_u:object_r:etc_t:s0",
        "-v",
        &top,
        "/new"
    ];
    let said = well("cptofs", arguments);
    assert!(said.contains("b/keep") && !said.contains("main.o"), "{said}");
    let archive = join(&place, "archive.tar");
    let contexts = join(&place, "contexts");
    well(
        "fs2tar",
        arguments!["-s", &contexts, "--exclude", "/lost+found", &image, &archive],
    );
    let listed = run_on_machine("tar", arguments!["--numeric-owner", "-tvf", &archive]);
    let names: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split(" ./").nth(1))
        .collect();
    assert_eq!(
        names,
        ["", "new/", "new/a/", "new/a/main.c", "new/b/", "new/b/keep"]
    );
    assert_eq!(listed.lines().filter(|line| line.contains(" 12/34 ")).count(), 5);
    let contexts = fs::read_to_string(contexts).unwrap();
    assert!(
        contexts.contains("/new/b/keep system_u:object_r:etc_t:s0\n"),
        "{contexts}"
    );
    assert_eq!(contexts.lines().count(), 5);

    let back = join(&place, "back");
    let said = well(
        "cpfromfs",
        arguments!["-i", &image, "--exclude", "/a", "-v", "/new", &back],
    );
    assert!(said.contains("/new/b/keep"), "{said}");
    assert_eq!(names_below(&back), ["b", "b/keep"]);
}

fn names_below(folder: &Path) -> Vec<String> {
    let found = tree(folder);
    found
        .keys()
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect()
}

#[test]
fn one_file_system_ends_at_a_subvolume() {
    if !is_root() {
        return;
    }
    let place = place();
    let image = join(&place, "image");
    Kind::named("btrfs").make(&image, 200);
    {
        let native = Native::mount(&image, "rw");
        run_on_machine(
            "btrfs",
            arguments!["subvolume", "create", &native.path().join("sub")],
        );
        fs::write(native.path().join("sub/inside"), b"x").unwrap();
        fs::write(native.path().join("outside"), b"x").unwrap();
    }
    let (all, one) = (join(&place, "all"), join(&place, "one"));
    well("cpfromfs", arguments!["-i", &image, "/", &all]);
    well(
        "cpfromfs",
        arguments!["-i", &image, "--one-file-system", "/", &one],
    );
    assert_eq!(names_below(&all), ["outside", "sub", "sub/inside"]);
    assert_eq!(names_below(&one), ["outside", "sub"]);
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
fn of_a_damaged_image_there_is_all_or_what_can_be_read() {
    let place = place();
    let (image, top, archive) = (
        join(&place, "image"),
        join(&place, "tree"),
        join(&place, "archive.tar"),
    );
    // A journal could be what is cut off.
    File::create(&image).unwrap().set_len(64 << 20).unwrap();
    run_on_machine("mkfs.ext4", arguments!["-q", "-O", "^has_journal", &image]);
    fs::create_dir(&top).unwrap();
    // Unlike anything else in the image, so that its place is found.
    let bytes: Vec<u8> = (0u32..1 << 20)
        .flat_map(|number| (number | 1 << 31).to_be_bytes())
        .collect();
    fs::write(top.join("good"), b"good").unwrap();
    fs::write(top.join("the end is cut off"), &bytes).unwrap();
    well("cptofs", arguments!["-i", &image, &top, "/"]);
    let disk = fs::read(&image).unwrap();
    let at = disk
        .chunks(1024)
        .rposition(|block| block == &bytes[bytes.len() - 1024..])
        .expect("the file's last block is in the image");
    File::options()
        .write(true)
        .open(&image)
        .unwrap()
        .set_len(at as u64 * 1024)
        .unwrap();
    let (said, code) = run("fs2tar", arguments![&image, &archive]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("--keep-going"), "{said}");
    assert!(!archive.exists());
    let (said, code) = run("fs2tar", arguments!["--keep-going", &image, &archive]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("1 entry was not copied, or not whole"), "{said}");
    let out_of_it = join(&place, "unpacked");
    fs::create_dir(&out_of_it).unwrap();
    run_on_machine("tar", arguments!["-xf", &archive, "-C", &out_of_it]);
    assert_eq!(fs::read(out_of_it.join("tree/good")).unwrap(), b"good");
    let found = fs::read(out_of_it.join("tree/the end is cut off")).unwrap();
    assert_eq!(found.len(), bytes.len());
    assert!(found[..3 << 20] == bytes[..3 << 20] && found[bytes.len() - 1024..] == [0; 1024]);

    // A copy has no part of the file, and all of the others.
    let back = join(&place, "back");
    let (said, code) = run("cpfromfs", arguments!["-i", &image, "/tree", &back]);
    assert_eq!(code, 4, "{said}");
    assert_eq!(names(&back), ["good"]);
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

#[test]
fn man_pages_come_from_the_command_lines() {
    let place = place();
    for name in ["fs2tar", "cptofs", "cpfromfs"] {
        well(name, arguments!["--man", place.path()]);
        let page = fs::read_to_string(join(&place, &format!("{name}.1"))).unwrap();
        assert!(page.contains("Examples") && page.contains("partition"), "{page}");
    }
}
