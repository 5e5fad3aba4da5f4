//! Images opened for reading and for writing, beside other programs and when they are not as they should be. One process has one
//! Linux, so the tests share it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use lkl::{OpenMode, OwnedFd};
use lkl_volume::{Exit, Failure, Linux, Options, Program, Volume, contents};
use lkl_write::{ContentChanges, FolderChanges, OpenOptions};
use tempfile::TempDir;

const PROGRAM: Program = Program::new("test");

fn linux() -> &'static Linux {
    static LINUX: OnceLock<Linux> = OnceLock::new();
    LINUX.get_or_init(|| Linux::boot(&PROGRAM, 128).unwrap())
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}{said}");
    text.trim().to_owned()
}

/// An ext4 of 16 MiB in a file.
fn ext4(place: &TempDir) -> PathBuf {
    let image = place.path().join("disk.img");
    File::create(&image).unwrap().set_len(16 << 20).unwrap();
    run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
    image
}

fn options(image: &Path, write: bool) -> Options {
    Options {
        write,
        ..Options::new(PROGRAM, image)
    }
}

fn open(image: &Path, write: bool) -> Result<Volume, Failure> {
    linux().open(&options(image, write))
}

fn names(folder: &OwnedFd) -> Vec<String> {
    let mut names = Vec::new();
    let open = folder.reopen(OpenMode::Directory).unwrap();
    open.read_dir(0, &mut |entry| {
        names.push(String::from_utf8_lossy(entry.name).into_owned());
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    names.sort();
    names
}

fn refused(image: &Path, write: bool, exit: Exit, words: &str) {
    let before = fs::read(image).unwrap();
    let failure = open(image, write).map(drop).unwrap_err();
    assert_eq!(failure.exit, exit, "{failure}");
    let message = failure.message;
    assert!(
        message.starts_with(image.to_str().unwrap()) && message.contains(words),
        "{message}"
    );
    assert!(!message.contains('\n') && message.contains(';'), "{message}");
    assert!(
        fs::read(image).unwrap() == before,
        "{} was changed",
        image.display()
    );
}

#[test]
fn what_is_written_is_there_for_this_machine_and_the_volume_is_clean() {
    let place = tempfile::tempdir().unwrap();
    let image = ext4(&place);
    let volume = open(&image, true).unwrap();
    assert_eq!(
        (volume.fs_name(), volume.part(), volume.is_writable()),
        ("ext4", 0, true)
    );
    let root = volume.root().unwrap();
    root.mkdir_at(b"folder", 0o755).unwrap();
    let folder = root.open_at(b"folder", OpenMode::Path).unwrap();
    let file = folder.create_at(b"file", OpenOptions::NEW, 0o640).unwrap();
    file.pwrite_all(b"what was written", 0).unwrap();
    volume.sync().unwrap();
    drop((file, folder, root));
    volume.unmount().unwrap();
    run("e2fsck", &["-fn", image.to_str().unwrap()]);
    assert_eq!(
        run("debugfs", &["-R", "cat /folder/file", image.to_str().unwrap()]),
        "what was written"
    );
    let volume = open(&image, false).unwrap();
    assert!(!volume.is_writable());
    let root = volume.root().unwrap();
    assert_eq!(names(&root), [".", "..", "folder", "lost+found"]);
    assert_eq!(
        root.mkdir_at(b"more", 0o755),
        Err(lkl::Errno::EROFS),
        "a volume that is read can be written to"
    );
    drop(root);
    volume.unmount().unwrap();
}

#[test]
fn a_file_that_is_open_keeps_an_unmount_from_being_clean_and_loses_nothing() {
    let place = tempfile::tempdir().unwrap();
    let image = ext4(&place);
    let volume = open(&image, true).unwrap();
    let root = volume.root().unwrap();
    let file = root.create_at(b"file", OpenOptions::NEW, 0o640).unwrap();
    file.pwrite_all(&[7; 100_000], 0).unwrap();
    let failure = volume.unmount().unwrap_err();
    assert_eq!(failure.exit, Exit::InUse, "{failure}");
    drop((file, root));
    // Linux could still write, so the image is still locked. Its journal has all.
    assert_eq!(open(&image, false).map(drop).unwrap_err().exit, Exit::InUse);
    let copy = place.path().join("copy.img");
    fs::copy(&image, &copy).unwrap();
    let volume = open(&copy, false).unwrap();
    let root = volume.root().unwrap();
    let mut bytes = vec![0; 100_001];
    let file = root.open_at(b"file", OpenMode::Read).unwrap();
    assert_eq!(file.pread(&mut bytes, 0), Ok(100_000));
    assert!(bytes[..100_000].iter().all(|byte| *byte == 7));
}

#[test]
fn the_writer_is_alone_and_readers_are_not() {
    let place = tempfile::tempdir().unwrap();
    let image = ext4(&place);
    let writer = open(&image, true).unwrap();
    for write in [false, true] {
        let failure = open(&image, write).map(drop).unwrap_err();
        assert_eq!(failure.exit, Exit::InUse, "{failure}");
    }
    drop(writer);
    let reader = open(&image, false).unwrap();
    let another = open(&image, false).unwrap();
    refused(&image, true, Exit::InUse, "in use by another program");
    drop((reader, another));
    open(&image, true).unwrap().unmount().unwrap();
}

#[test]
fn what_this_machine_has_as_a_loop_device_is_not_written() {
    let place = tempfile::tempdir().unwrap();
    let image = ext4(&place);
    let device = run("losetup", &["--find", "--show", image.to_str().unwrap()]);
    let result = std::panic::catch_unwind(|| refused(&image, true, Exit::InUse, "losetup -d /dev/loop"));
    run("losetup", &["--detach", &device]);
    result.unwrap();
}

#[test]
fn an_image_in_a_format_or_that_may_not_be_written_is_only_read() {
    let place = tempfile::tempdir().unwrap();
    let image = ext4(&place);
    let qcow2 = place.path().join("disk.qcow2");
    run(
        "qemu-img",
        &[
            "convert",
            "-O",
            "qcow2",
            image.to_str().unwrap(),
            qcow2.to_str().unwrap(),
        ],
    );
    refused(&qcow2, true, Exit::Image, "qcow2");
    assert_eq!(names(&open(&qcow2, false).unwrap().root().unwrap()).len(), 3);
    let found = contents(&qcow2).unwrap();
    assert_eq!(
        (found.format, found.size, found.preferred),
        ("qcow2", 16 << 20, Some(0))
    );
    assert_eq!(found.parts[0].file_system, Some("ext4"));
    // Even root may not write to a file system that is mounted read-only.
    let shelf = place.path().join("shelf");
    fs::create_dir(&shelf).unwrap();
    let (from, to) = (place.path().to_str().unwrap(), shelf.to_str().unwrap());
    run("mount", &["--bind", from, to]);
    run("mount", &["-o", "remount,bind,ro", to]);
    let result = std::panic::catch_unwind(|| {
        refused(&shelf.join("disk.img"), true, Exit::Image, "cannot be written");
        open(&shelf.join("disk.img"), false).unwrap();
    });
    run("umount", &[to]);
    result.unwrap();
}

#[test]
fn what_is_damaged_cut_off_or_beyond_linux_is_left_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let image = ext4(&place);
    let cut = place.path().join("cut.img");
    fs::copy(&image, &cut).unwrap();
    File::options()
        .write(true)
        .open(&cut)
        .unwrap()
        .set_len(9 << 20)
        .unwrap();
    refused(&cut, true, Exit::FileSystem, "get all of it");
    // The group descriptors, in the third block of 1 KiB.
    let mut bytes = fs::read(&image).unwrap();
    bytes[2048..3072].fill(0xff);
    fs::write(&image, &bytes).unwrap();
    refused(&image, true, Exit::FileSystem, "damaged");
    let nothing = place.path().join("nothing.img");
    fs::write(&nothing, vec![0; 1 << 20]).unwrap();
    refused(&nothing, true, Exit::FileSystem, "no file system is recognised");
    let folder = place.path().join("folder");
    fs::create_dir(&folder).unwrap();
    File::create(folder.join("file"))
        .unwrap()
        .write_all(b"x")
        .unwrap();
    let squash = place.path().join("squash.img");
    run(
        "mksquashfs",
        &[folder.to_str().unwrap(), squash.to_str().unwrap(), "-quiet"],
    );
    refused(&squash, true, Exit::FileSystem, "Linux only reads this squashfs");
    let failure = linux()
        .open(&Options {
            recovery: false,
            ..options(&squash, true)
        })
        .map(drop)
        .unwrap_err();
    assert_eq!(failure.exit, Exit::Usage, "{failure}");
}

#[test]
fn partitions_are_told_and_written_in_their_own_place() {
    let place = tempfile::tempdir().unwrap();
    let inside = ext4(&place);
    let disk = place.path().join("disk");
    File::create(&disk).unwrap().set_len(40 << 20).unwrap();
    let script = place.path().join("script");
    fs::write(
        &script,
        "label: gpt\nsize=16MiB, name=first\nsize=16MiB, name=second\n",
    )
    .unwrap();
    let disk_name = disk.to_str().unwrap();
    let command = format!("sfdisk -q {disk_name} < {}", script.to_str().unwrap());
    run("sh", &["-c", &command]);
    for seek in ["1", "17"] {
        let (from, to) = (format!("if={}", inside.display()), format!("of={disk_name}"));
        run(
            "dd",
            &[
                &from,
                &to,
                "bs=1M",
                &format!("seek={seek}"),
                "conv=notrunc",
                "status=none",
            ],
        );
    }
    let found = contents(&disk).unwrap();
    let parts: Vec<_> = found
        .parts
        .iter()
        .map(|part| (part.number, part.name.clone()))
        .collect();
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(parts, [(0, None), (1, named("first")), (2, named("second"))]);
    let before = fs::read(&disk).unwrap();
    let volume = linux()
        .open(&Options {
            part: Some(2),
            ..options(&disk, true)
        })
        .unwrap();
    assert_eq!(volume.part(), 2);
    volume.root().unwrap().mkdir_at(b"made", 0o755).unwrap();
    volume.unmount().unwrap();
    let after = fs::read(&disk).unwrap();
    let changed = |range: std::ops::Range<usize>| before[range.clone()] != after[range];
    assert!(!changed(0..17 << 20) && changed(17 << 20..33 << 20) && !changed(33 << 20..40 << 20));
    let failure = linux()
        .open(&Options {
            part: Some(3),
            ..options(&disk, true)
        })
        .map(drop)
        .unwrap_err();
    assert_eq!(failure.exit, Exit::Partition, "{failure}");
}
