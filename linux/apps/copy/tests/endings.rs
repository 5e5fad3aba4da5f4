//! Programs that are ended in the middle of their work, or whose reader ends.

#![cfg(target_os = "linux")]

#[path = "machine/mod.rs"]
mod machine;

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use machine::Kind;
use machine::images::ext4;
use machine::images::names;
use machine::images::one_line;
use machine::images::out;
use machine::join;
use machine::place;
use machine::program;
use machine::said;
use machine::well;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;

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
