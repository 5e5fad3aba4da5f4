//! The programs do what they say.

#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where cargo has put an example.
fn example(name: &str) -> PathBuf {
    let me = std::env::current_exe().expect("this program");
    let folder = me.ancestors().nth(2).expect("cargo's folder");
    folder.join("examples").join(name)
}

fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn run(program: &str, arguments: &[&str], path: &Path) -> String {
    output(
        Command::new(program)
            .args(arguments)
            .arg(path)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
    )
}

#[test]
fn the_version_is_printed() {
    let text = output(&mut Command::new(example("version")));
    assert!(text.starts_with("Linux 6."), "{text}");
}

#[test]
fn the_files_of_proc_are_shown() {
    let text = output(&mut Command::new(example("proc")));
    let version = text.split("==> /proc/version\n").nth(1).expect("a version");
    assert!(version.starts_with("Linux version 6."), "{version}");
    for part in [
        "==> /proc/filesystems\n",
        "\text4\n",
        "==> /proc/sys/kernel/osrelease\n6.",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[test]
fn a_file_is_written_and_read() {
    let place = tempfile::tempdir().expect("a folder");
    let image = place.path().join("image");
    std::fs::File::create(&image)
        .and_then(|file| file.set_len(16 << 20))
        .expect("made");
    run("mkfs.ext4", &["-q", "-F"], &image);
    let name = image.to_str().expect("text");
    let input = place.path().join("input");
    std::fs::write(&input, "what is written\n").expect("written");
    let write = |path: &str| {
        Command::new(example("writefs"))
            .args([name, "ext4", path])
            .stdin(std::fs::File::open(&input).expect("there"))
            .output()
            .expect("it starts")
    };
    let written = write("file");
    assert!(written.status.success(), "{written:?}");
    assert_eq!(
        output(Command::new(example("readfs")).args([name, "/file"])),
        "what is written\n"
    );
    run("e2fsck", &["-f", "-n"], &image);
    let refused = write("none/file");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("ENOENT"),
        "{refused:?}"
    );
}
