//! Sound volumes that Linux cannot read, and journals of every size: what is said of them never harms a disk.
//!
//! Each is made by its own tools. None is called damaged, each says Linux's own reason; a journal that does not fit is an
//! error, and the older state is shown only to whoever asks for it.

#![cfg(target_os = "linux")]

mod machine;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use machine::Machine;

/// Runs a tool; `{}` stands for the image.
fn run(command: &str, image: &Path) {
    let words = command.replace("{}", image.to_str().unwrap());
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh")
        .args(["-c", &words])
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}: {said}");
}

fn image(place: &Path, mib: u64, command: &str) -> PathBuf {
    let image = place.join("image");
    File::create(&image).unwrap().set_len(mib << 20).unwrap();
    run(command, &image);
    image
}

fn userctl(arguments: &[&str]) -> assert_cmd::assert::Assert {
    assert_cmd::Command::new(env!("CARGO_BIN_EXE_userctl"))
        .args(arguments)
        .env_remove("LKLFS_CONTROL")
        .timeout(Duration::from_secs(100))
        .assert()
}

/// Size, how it is made, what is changed of it (byte and new value), and a word of Linux's reason.
type Case = (u64, &'static str, &'static [(u64, u8)], &'static str);

const UNSUPPORTED: [Case; 7] = [
    (
        64,
        "mke2fs -q -F -t ext4 -b 65536 {}",
        &[],
        "bad block size 65536",
    ),
    // An incompatible feature that no Linux has yet; without a checksum of the superblock.
    (
        16,
        "mke2fs -q -F -t ext4 -O ^metadata_csum {}",
        &[(1024 + 0x63, 0x80)],
        "unsupported optional features",
    ),
    (
        512,
        "mkfs.xfs -q -b size=64k {}",
        &[],
        "not supported; Only block size",
    ),
    (
        256,
        "mkfs.btrfs -q -s 16k {}",
        &[],
        "not yet supported for page size",
    ),
    (
        256,
        "truncate -s 256M {}.b && mkfs.btrfs -q -d raid0 -m raid1 {} {}.b",
        &[],
        "is missing",
    ),
    (
        512,
        "truncate -s 64M {}.rt && mkfs.xfs -q -r rtdev={}.rt,size=64m {}",
        &[],
        "has a realtime volume",
    ),
    (
        512,
        "truncate -s 80M {}.log && mkfs.xfs -q -l logdev={}.log,size=64m {}",
        &[],
        "having an external log",
    ),
];

fn made(case: &Case, place: &Path) -> PathBuf {
    let (mib, command, changes, _) = case;
    let image = image(place, *mib, command);
    let file = File::options().write(true).open(&image).unwrap();
    for (offset, byte) in *changes {
        file.write_all_at(&[*byte], *offset).unwrap();
    }
    image
}

#[test]
fn what_is_sound_and_not_supported_is_not_called_damaged() {
    for case in &UNSUPPORTED {
        let place = tempfile::tempdir().unwrap();
        let image = made(case, place.path());
        let assert = userctl(&["ls", image.to_str().unwrap()]).code(4);
        let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(said.contains(case.3), "{}: {said}", case.1);
        assert!(said.contains("do not repair it"), "{}: {said}", case.1);
        assert!(!said.contains("damaged"), "{}: {said}", case.1);
    }
}

#[test]
fn the_driver_does_not_call_it_damaged_either() {
    let case = &UNSUPPORTED[0];
    let place = tempfile::tempdir().unwrap();
    made(case, place.path());
    let machine = Machine::start(place.path(), &[]);
    machine.fails(
        &["mount", "C:\\image"],
        4,
        &["not supported here", "do not repair it", "userctl log --driver"],
    );
    let log = machine.says(&["log", "--driver"]);
    assert!(log.contains(case.3), "{log}");
    machine.end();
}

/// An ext4 with an encrypted folder, whose key no reader has: made by this machine's own Linux.
fn encrypted(place: &Path) -> PathBuf {
    let image = image(place, 32, "mke2fs -q -F -t ext4 -O encrypt {}");
    let mounted = place.join("mounted");
    std::fs::create_dir(&mounted).unwrap();
    let at = mounted.display();
    run(&format!("mount -o loop {{}} {at}"), &image);
    run(
        &format!(
            "trap 'umount {at}' EXIT; set -e; cd {at}; echo open >plain.txt; mkdir secret; \
             echo passphrase | e4crypt add_key -S 0x0123456789abcdef secret; \
             echo hidden >'secret/a name to hide.txt'; mkdir secret/folder; cd /"
        ),
        &image,
    );
    image
}

#[test]
fn what_is_encrypted_is_listed_without_its_names_and_not_called_damaged() {
    let place = tempfile::tempdir().unwrap();
    let image = encrypted(place.path());
    let name = image.to_str().unwrap();
    let list = |arguments: &[&str]| {
        let output = userctl(arguments).code(0).get_output().clone();
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    userctl(&["cat", name, "/plain.txt"]).code(0).stdout("open\n");
    let listed = list(&["ls", name, "/secret"]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(!listed.contains("hide") && !listed.contains("folder"), "{listed}");
    // Through the driver the names are the same.
    let machine = Machine::start(place.path(), &[]);
    machine.says(&["mount", "C:\\image", "L:"]);
    assert_eq!(machine.says(&["ls", "L:", "/secret"]), listed);
    for entry in listed.lines() {
        let path = format!("/secret/{}", entry.trim_end_matches('/'));
        let refused = |said: &str| {
            assert!(!said.contains("damaged") && !said.contains("repair"), "{said}");
            said.contains("encrypted")
        };
        let direct = userctl(&["cat", name, &path]);
        let through = machine.userctl(&["cat", "L:", &path]);
        for assert in [direct, through] {
            let output = assert.failure().get_output().clone();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            // One of the two is the folder.
            assert!(refused(&said) || said.contains("directory"), "{path}: {said}");
            assert_eq!(output.stdout, b"");
        }
    }
    machine.end();
}

#[test]
fn an_external_journal_with_nothing_in_it_is_not_needed() {
    let place = tempfile::tempdir().unwrap();
    let image = image(
        place.path(),
        64,
        "truncate -s 16M {}.j && mke2fs -q -F -O journal_dev -b 4096 {}.j && mke2fs -q -F -t ext4 -b 4096 {} && \
         echo hello > {}.txt && debugfs -w -R 'write {}.txt hello' {}",
    );
    external(&image, false);
    let name = image.to_str().unwrap();
    userctl(&["cat", name, "/hello"])
        .code(0)
        .stdout("hello\n")
        .stderr("");
    external(&image, true);
    let assert = userctl(&["cat", name, "/hello"]).code(4);
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(
        said.contains("journal") && said.contains("do not repair it"),
        "{said}"
    );
    userctl(&["cat", "--no-recovery", name, "/hello"])
        .code(0)
        .stdout("hello\n");
}

/// Makes the journal an external one, clean or not: as `tune2fs -J device=` does, which asks for a block device.
fn external(image: &Path, dirty: bool) {
    run("tune2fs -f -O ^has_journal,^metadata_csum {}", image);
    let file = File::options().read(true).write(true).open(image).unwrap();
    let change = |at: u64, set: u8| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, 1024 + at).unwrap();
        file.write_all_at(&[byte[0] | set], 1024 + at).unwrap();
    };
    // has_journal; needs_recovery; the journal's UUID and its device's number, of a device that is not there.
    change(0x5c, 0x04);
    if dirty {
        change(0x60, 0x04);
    }
    file.write_all_at(&[0x17; 16], 1024 + 0xd0).unwrap();
    file.write_all_at(&[0; 4], 1024 + 0xe0).unwrap();
    file.write_all_at(&[0x01, 0x08, 0, 0], 1024 + 0xe4).unwrap();
}

/// An ext4 whose journal of 256 MiB is full: each block of a file is in it, and on the disk is what was there before.
fn full_journal(place: &Path) -> PathBuf {
    let image = image(
        place,
        1024,
        "mke2fs -q -F -t ext4 -b 4096 -J size=256 -O ^metadata_csum,^64bit {} && \
         head -c 167772160 /dev/zero | tr '\\0' a > {}.a && debugfs -w -R 'write {}.a file' {}",
    );
    // A transaction of the journal's own, by debugfs: the blocks of the file, each filled with 'b'.
    let blocks = Command::new("/usr/sbin/debugfs")
        .args(["-R", "blocks /file", image.to_str().unwrap()])
        .output()
        .unwrap();
    let blocks = String::from_utf8(blocks.stdout).unwrap();
    let blocks: Vec<&str> = blocks.split_whitespace().collect();
    assert!(blocks.len() >= 40_960, "{}", blocks.len());
    // debugfs takes no longer lines.
    const AT_ONCE: usize = 1024;
    let content = place.join("b");
    std::fs::write(&content, vec![b'b'; AT_ONCE * 4096]).unwrap();
    let script = place.join("script");
    let mut lines = String::from("jo\n");
    for blocks in blocks[blocks.len() - 40_960..].chunks(AT_ONCE) {
        lines.push_str(&format!("jw -b {} {}\n", blocks.join(","), content.display()));
    }
    lines.push_str("jc\n");
    std::fs::write(&script, lines).unwrap();
    run(&format!("debugfs -w -f {} {{}}", script.display()), &image);
    image
}

/// A squashfs without padding that holds one file of `length` bytes of noise.
fn unpadded(place: &Path, length: usize) -> PathBuf {
    let tree = place.join("tree");
    std::fs::create_dir_all(&tree).unwrap();
    std::fs::write(tree.join("file"), noise(length)).unwrap();
    let image = place.join("image");
    let tree = tree.display();
    run(
        &format!(
            "rm -f {{}}; mksquashfs {tree} {{}} -nopad -noappend -no-xattrs -noI -noD -noF -quiet -no-progress"
        ),
        &image,
    );
    image
}

#[test]
fn a_squashfs_that_ends_with_its_last_byte_is_read_whole() {
    let place = tempfile::tempdir().unwrap();
    let size = |image: &Path| usize::try_from(image.metadata().unwrap().len()).unwrap();
    // All of it is stored as it is, so one more byte of the file is one more of the image.
    let besides = size(&unpadded(place.path(), 4000)) - 4000;
    // It ends inside a sector, at the end of one, and inside a block of squashfs' own but with the sector.
    for behind in [1, 300, 511, 512, 513, 1023, 1024] {
        let length = (8192 + behind) - besides % 1024;
        let image = unpadded(place.path(), length);
        assert_eq!(size(&image) % 1024, behind % 1024);
        userctl(&["cat", image.to_str().unwrap(), "/file"])
            .code(0)
            .stdout(noise(length))
            .stderr("");
        let machine = Machine::start(place.path(), &[]);
        machine.says(&["mount", "C:\\image", "L:"]);
        assert_eq!(machine.bytes(&["cat", "L:", "/file"]), noise(length), "{behind}");
        machine.end();
    }
}

/// Bytes that do not repeat.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn a_journal_larger_than_the_usual_overlay_is_replayed() {
    let place = tempfile::tempdir().unwrap();
    let image = full_journal(place.path());
    let name = image.to_str().unwrap();
    let cat = |more: &[&str]| {
        let assert = userctl(&[&["cat"], more, &[name, "/file"]].concat());
        let output = assert.get_output();
        let first = output.stdout.first().copied();
        let same = output.stdout.iter().all(|byte| Some(*byte) == first);
        (
            output.status.code(),
            first,
            same && output.stdout.len() == 167_772_160,
            output.stderr.clone(),
        )
    };
    let (code, first, whole, said) = cat(&[]);
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!((code, first, whole), (Some(0), Some(b'b'), true), "{said}");
    // Linux's own memory need not have room for it.
    let (code, first, whole, said) = cat(&["--memory", "64"]);
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!((code, first, whole), (Some(0), Some(b'b'), true), "{said}");
    // The process may not have the memory: an error, and nothing is shown.
    let output = Command::new("prlimit")
        .args([
            "--data=134217728",
            env!("CARGO_BIN_EXE_userctl"),
            "cat",
            name,
            "/file",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        (output.status.code(), output.stdout.len()),
        (Some(4), 0),
        "{said}"
    );
    assert!(
        said.contains("memory") && said.contains("--no-recovery"),
        "{said}"
    );
    let (code, first, whole, _) = cat(&["--no-recovery"]);
    assert_eq!((code, first, whole), (Some(0), Some(b'a'), true));

    // The driver has a quarter of the machine's memory for it.
    let name = format!("C:\\{}", image.file_name().unwrap().to_str().unwrap());
    let all = |machine: &Machine, byte| {
        let bytes = machine.bytes(&["cat", "L:", "/file"]);
        bytes.len() == 167_772_160 && bytes.iter().all(|read| *read == byte)
    };
    let machine = Machine::start(place.path(), &["--memory", "1024"]);
    machine.says(&["mount", &name, "L:"]);
    assert!(all(&machine, b'b'));
    machine.end();
    let machine = Machine::start(place.path(), &["--memory", "512"]);
    machine.fails(&["mount", &name, "L:"], 4, &["memory", "--no-recovery"]);
    let stale = machine.userctl(&["mount", &name, "L:", "--no-recovery"]);
    let said = String::from_utf8_lossy(&stale.code(0).get_output().stderr).into_owned();
    machine::one_line(&said, &["without its journal"]);
    assert!(all(&machine, b'a'));
    machine.end();
}

/// A volume of so many GiB, with one file.
fn f2fs(place: &Path, gib: u64) -> PathBuf {
    let files = place.join("files");
    std::fs::create_dir_all(&files).unwrap();
    std::fs::write(files.join("file"), "what is there").unwrap();
    let files = files.display();
    let make = format!("mkfs.f2fs -q {{}} && sload.f2fs -f {files} {{}} >/dev/null");
    image(place, gib << 10, &make)
}

#[test]
fn f2fs_of_every_size_gets_the_memory_that_its_tables_take() {
    let place = tempfile::tempdir().unwrap();
    for gib in [4, 48, 400, 1024] {
        let image = f2fs(place.path(), gib);
        let got = userctl(&["cat", image.to_str().unwrap(), "/file"]).code(0);
        assert_eq!(got.get_output().stdout, b"what is there", "{gib} GiB");
    }
    let image = place.path().join("image");
    let refused = userctl(&["cat", "--memory", "128", image.to_str().unwrap(), "/file"]).code(4);
    let said = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    machine::one_line(&said, &["memory", "--memory"]);
}

#[test]
fn the_driver_mounts_f2fs_as_large_as_its_memory_allows_and_says_why_not_a_larger_one() {
    let place = tempfile::tempdir().unwrap();
    for gib in [48, 256] {
        f2fs(place.path(), gib);
        let machine = Machine::start(place.path(), &[]);
        machine.says(&["mount", "C:\\image", "L:"]);
        assert_eq!(
            machine.bytes(&["cat", "L:", "/file"]),
            b"what is there",
            "{gib} GiB"
        );
        machine.end();
    }
    f2fs(place.path(), 1024);
    let machine = Machine::start(place.path(), &[]);
    machine.fails(&["mount", "C:\\image", "L:"], 1, &["memory is short"]);
    machine.end();
}
