//! How a mount begins and ends, and what is refused.

mod judge;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use judge::{EXT4, Image, LKLFUSE, Mount, Native, run};
use rustix::process::Signal;

fn lklfuse(arguments: &[&str]) -> Output {
    Command::new(LKLFUSE).args(arguments).output().unwrap()
}

fn refused(arguments: &[&str], exit: i32, words: &str) {
    let output = lklfuse(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {said}");
    assert!(said.starts_with("lklfuse: ") && said.contains(words), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
}

/// Whether a place is a mount of lklfuse's.
fn mounted(place: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let line = mounts
        .lines()
        .find(|line| line.contains(place.to_str().unwrap()))?;
    line.contains(" fuse.lklfuse ").then(|| line.to_owned())
}

/// Waits until no program has the image any more.
fn wait_for(image: &Path) {
    let started = Instant::now();
    while fs::File::open(image).unwrap().try_lock().is_err() {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "the image stays locked"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_mount_in_the_background_works_when_the_command_ends() {
    let (image, place) = (Image::new(EXT4), tempfile::tempdir().unwrap());
    let (from, to) = (image.path(), place.path().to_str().unwrap());
    let output = lklfuse(&[from.to_str().unwrap(), to, "-o", "rw"]);
    assert!(
        output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
    let line = mounted(place.path()).unwrap();
    assert!(
        line.starts_with(from.to_str().unwrap()) && line.contains(" rw,"),
        "{line}"
    );
    fs::write(place.path().join("file"), "what was written").unwrap();
    run("fusermount3", &["-u", to]);
    wait_for(&from);
    image.check();
    let native = Native::new(&image, "ro");
    assert_eq!(
        fs::read_to_string(native.path().join("file")).unwrap(),
        "what was written"
    );
}

#[test]
fn a_mount_is_read_only_unless_it_is_told_otherwise() {
    let image = Image::new(EXT4);
    let before = fs::read(image.path()).unwrap();
    let mount = Mount::new(&image.path(), "");
    let error = fs::write(mount.path().join("file"), "x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    mount.end();
    assert!(fs::read(image.path()).unwrap() == before);
}

#[test]
fn what_cannot_be_mounted_is_told_on_the_callers_terminal_with_its_exit_code() {
    let (image, place) = (Image::new(EXT4), tempfile::tempdir().unwrap());
    let (from, to) = (image.path(), place.path().to_str().unwrap());
    let from = from.to_str().unwrap();
    refused(&["/nowhere/disk.img", to], 3, "name an existing image");
    refused(&[from, "/nowhere"], 8, "name an existing folder");
    refused(&[from, from], 8, "it is no folder");
    refused(&[from, to, "-o", "part=3"], 6, "use -o part=0");
    refused(&[from, to, "-o", "part=x"], 2, "a number");
    refused(&[from, to, "-o", "nonsense"], 2, "check the options of -o");
    refused(&[from, to, "-o", "rw,norecovery"], 2, "-o norecovery");
    refused(&[from], 2, "lklfuse --help");
    refused(&[to, to], 3, "is a directory");
    assert_eq!(mounted(place.path()), None);
}

#[test]
fn a_second_writer_and_a_reader_beside_a_writer_are_refused_and_readers_are_not() {
    let (image, place) = (Image::new(EXT4), tempfile::tempdir().unwrap());
    let (path, to) = (image.path(), place.path().to_str().unwrap());
    let from = path.to_str().unwrap();
    let writer = Mount::new(&path, "rw");
    refused(&[from, to, "-o", "rw"], 13, "in use by another program");
    refused(&[from, to], 13, "another program writes to it");
    writer.end();
    let (one, two) = (Mount::new(&path, ""), Mount::new(&path, ""));
    refused(&[from, to, "-o", "rw"], 13, "in use by another program");
    one.end();
    two.end();
    Mount::new(&path, "rw").end();
}

#[test]
fn a_request_to_end_unmounts_and_writes_everything() {
    for signal in [Signal::TERM, Signal::INT] {
        let image = Image::new(EXT4);
        let mut mount = Mount::new(&image.path(), "rw");
        fs::write(mount.path().join("file"), vec![5; 3 << 20]).unwrap();
        mount.signal(signal);
        assert!(mount.wait().success());
        assert_eq!(mounted(mount.path()), None);
        image.check();
        let native = Native::new(&image, "ro");
        assert_eq!(fs::read(native.path().join("file")).unwrap(), vec![5; 3 << 20]);
    }
}

#[test]
fn a_request_to_end_is_heeded_although_files_are_open_and_loses_nothing() {
    let image = Image::new(EXT4);
    let mut mount = Mount::new(&image.path(), "rw");
    let mut file = fs::File::create(mount.path().join("file")).unwrap();
    file.write_all(&[9; 100_000]).unwrap();
    mount.signal(Signal::TERM);
    assert!(mount.wait().success());
    assert!(file.write_all(&[9; 100_000]).is_err());
    drop(file);
    image.check();
    let native = Native::new(&image, "ro");
    assert_eq!(fs::read(native.path().join("file")).unwrap(), vec![9; 100_000]);
}

#[test]
fn an_image_whose_server_was_killed_is_mended_by_its_journal() {
    let image = Image::new(EXT4);
    let mut mount = Mount::new(&image.path(), "rw");
    for number in 0..200 {
        let path = mount.path().join(format!("f{number}"));
        fs::write(&path, vec![7; number * 100]).unwrap();
        if number < 100 {
            fs::File::open(&path).unwrap().sync_all().unwrap();
        }
    }
    mount.signal(Signal::KILL);
    assert!(!mount.wait().success());
    run("umount", &["-l", mount.path().to_str().unwrap()]);
    let again = Mount::new(&image.path(), "rw");
    for number in 0..100 {
        let path = again.path().join(format!("f{number}"));
        assert_eq!(fs::read(path).unwrap(), vec![7; number * 100]);
    }
    again.end();
    image.check();
}

#[test]
fn mount_and_umount_of_this_machine_do_as_with_every_file_system() {
    /// Where mount(8) looks for it.
    const PLACE: &str = "/usr/local/bin/lklfuse";
    if Path::new(PLACE).exists() {
        eprintln!("skipped: {PLACE} is there");
        return;
    }
    let (image, place) = (Image::new(EXT4), tempfile::tempdir().unwrap());
    let (from, to) = (image.path(), place.path().to_str().unwrap());
    /// Takes the link away when the test fails, too.
    struct Link;
    impl Drop for Link {
        fn drop(&mut self) {
            let _ = fs::remove_file(PLACE);
        }
    }
    // One to nowhere is that of a test that was killed.
    let _ = fs::remove_file(PLACE);
    std::os::unix::fs::symlink(LKLFUSE, PLACE).unwrap();
    let _link = Link;
    let mut mount = Command::new("mount");
    mount.args(["-t", "fuse.lklfuse", "-o", "ro,allow_other,part=0,nodev"]);
    let mounted_so = mount.arg(&from).arg(to).output();
    // As a line of fstab has it.
    let table = place.path().with_extension("fstab");
    let line = format!("{} {to} fuse.lklfuse noauto,rw,user,noexec 0 0\n", from.display());
    let line_is_there = fs::write(&table, line);
    let seen = mounted(place.path());
    let unmounted = Command::new("umount").arg(to).output();
    wait_for(&from);
    let from_table = Command::new("mount").arg("-T").arg(&table).arg(to).output();
    let seen_then = mounted(place.path());
    let unmounted_then = Command::new("umount").arg(to).output();
    wait_for(&from);
    fs::remove_file(&table).unwrap();
    line_is_there.unwrap();
    for output in [mounted_so, unmounted, from_table, unmounted_then] {
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let (seen, seen_then) = (seen.unwrap(), seen_then.unwrap());
    assert!(
        seen.contains(" ro,") && seen.contains("allow_other") && seen.contains("nodev"),
        "{seen}"
    );
    assert!(
        seen_then.contains(" rw,") && seen_then.contains("noexec"),
        "{seen_then}"
    );
}

#[test]
fn a_full_volume_says_so_and_keeps_what_it_took() {
    let image = Image::new(EXT4);
    let mount = Mount::new(&image.path(), "rw");
    let path = mount.path().join("file");
    let mut file = fs::File::create(&path).unwrap();
    let chunk = vec![3; 1 << 20];
    let mut written = 0;
    let error = loop {
        match file.write(&chunk) {
            Ok(len) => written += len,
            Err(error) => break error,
        }
        assert!(written < 1 << 30);
    };
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    file.sync_all().unwrap();
    assert!(written > 10 << 20, "{written}");
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.len() == written && bytes.iter().all(|byte| *byte == 3));
    // What is removed makes room at once.
    drop(file);
    fs::remove_file(&path).unwrap();
    fs::write(&path, vec![4; written / 2]).unwrap();
    mount.end();
    image.check();
    let native = Native::new(&image, "ro");
    assert!(fs::read(native.path().join("file")).unwrap() == vec![4; written / 2]);
}
