//! What cannot be read or written: images that are none, in use, full or damaged.

#![cfg(target_os = "linux")]

#[path = "machine/mod.rs"]
mod machine;

use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt;

use machine::Kind;
use machine::Native;
use machine::images::ext4;
use machine::images::names;
use machine::images::one_line;
use machine::images::out;
use machine::is_root;
use machine::join;
use machine::machine as run_on_machine;
use machine::place;
use machine::run;
use machine::well;

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
    lock.unlock().unwrap();
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
