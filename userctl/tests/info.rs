//! `userctl info` and the choice of what is read, on disks that hold more than one file system, or none.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use assert_cmd::Command;
use serde_json::Value;

fn userctl(arguments: &[&str]) -> assert_cmd::assert::Assert {
    Command::new(env!("CARGO_BIN_EXE_userctl"))
        .args(arguments)
        .env_remove("LKLFS_CONTROL")
        .timeout(std::time::Duration::from_secs(120))
        .assert()
}

fn said(assert: &assert_cmd::assert::Assert) -> (String, String) {
    let output = assert.get_output();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

fn json(image: &Path) -> Value {
    let assert = userctl(&["info", "--json", image.to_str().unwrap()]).code(0);
    serde_json::from_str(&said(&assert).0).unwrap()
}

fn tool(program: &str, arguments: &[&str], input: &str) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut child = std::process::Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {why}");
}

/// A file of so many MiB.
fn empty(place: &Path, name: &str, mib: u64) -> PathBuf {
    let path = place.join(name);
    std::fs::File::create(&path).unwrap().set_len(mib << 20).unwrap();
    path
}

/// An ext4 with a file in it.
fn ext4(place: &Path, mib: u64, more: &[&str]) -> Vec<u8> {
    let path = empty(place, "ext4", mib);
    let tree = place.join("tree");
    std::fs::create_dir_all(&tree).unwrap();
    std::fs::write(tree.join("hello"), "hello\n").unwrap();
    let arguments = [
        &["-q", "-d", tree.to_str().unwrap()],
        more,
        &[path.to_str().unwrap()],
    ]
    .concat();
    tool("mkfs.ext4", &arguments, "");
    std::fs::read(path).unwrap()
}

fn mkfs(place: &Path, mib: u64, command: &[&str]) -> Vec<u8> {
    let path = empty(place, "volume", mib);
    let arguments = [&command[1..], &[path.to_str().unwrap()]].concat();
    tool(command[0], &arguments, "");
    std::fs::read(path).unwrap()
}

const MIB: usize = 1 << 20;

/// A GPT disk: sfdisk's name of each type, and what is on it.
fn disk(place: &Path, name: &str, partitions: &[(&str, &[u8])]) -> PathBuf {
    let mut script = "label: gpt\nunit: sectors\n".to_string();
    let (mut at, mut places) = (MIB, Vec::new());
    for (kind, content) in partitions {
        let size = content.len().next_multiple_of(MIB);
        script.push_str(&format!("start={}, size={}, type={kind}\n", at / 512, size / 512));
        places.push(at);
        at += size;
    }
    let path = empty(place, name, (at / MIB + 1) as u64);
    tool(
        "sfdisk",
        &["-q", "--no-reread", "--no-tell-kernel", path.to_str().unwrap()],
        &script,
    );
    let mut disk = std::fs::read(&path).unwrap();
    for ((_, content), place) in partitions.iter().zip(places) {
        disk[place..place + content.len()].copy_from_slice(content);
    }
    std::fs::write(&path, disk).unwrap();
    path
}

fn signed(magic: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0u8; MIB];
    for (at, magic) in magic {
        bytes[*at..at + magic.len()].copy_from_slice(magic);
    }
    bytes
}

const EFI: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
const LVM: &str = "E6D6D379-F507-44C2-A23C-238F2A3DF928";
const SWAP: &str = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F";

#[test]
fn what_is_on_a_disk_is_named_though_nothing_can_be_mounted() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let swap = mkfs(place, 1, &["mkswap", "-q"]);
    let path = disk(
        place,
        "encrypted",
        &[
            (LINUX, &signed(&[(0, b"LUKS\xba\xbe\0\x02")])),
            (LVM, &signed(&[(0x200, b"LABELONE"), (0x218, b"LVM2 001")])),
            (SWAP, &swap),
            (LINUX, &signed(&[(4096, b"\xfc\x4e\x2b\xa9\x01\0\0\0")])),
            (LINUX, &signed(&[(3, b"-FVE-FS-")])),
            (LINUX, &[0; 512]),
        ],
    );
    let info = json(&path);
    let names: Vec<Option<&str>> = info["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|partition| partition["holds"]["name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            Some("crypto_LUKS"),
            Some("LVM2_member"),
            Some("swap"),
            Some("linux_raid_member"),
            Some("BitLocker"),
            None
        ]
    );
    assert!(info["file_system"].is_null() && info["part"].is_null() && info["problem"].is_null());
    assert_eq!(info["table"], "gpt");
    let assert = userctl(&["info", path.to_str().unwrap()]).code(0).stderr("");
    let (text, _) = said(&assert);
    for words in [
        "Linux: LUKS2 encryption (crypto_LUKS)",
        "Linux LVM: LVM2 physical volume (LVM2_member)",
        "Linux swap: Linux swap (swap)",
        "not recognised",
        "file system: none that can be read",
    ] {
        assert!(text.contains(words), "{words} is missing:\n{text}");
    }
    assert!(!text.contains("userctl info"), "it advises itself:\n{text}");
    // Commands that want files fail, and lead here.
    let assert = userctl(&["ls", path.to_str().unwrap()]).code(4);
    assert!(said(&assert).1.contains("none of its 6 partitions"), "{assert}");
    // The same without a table.
    let luks = place.join("luks");
    std::fs::write(&luks, signed(&[(0, b"LUKS\xba\xbe\0\x01")])).unwrap();
    assert_eq!(json(&luks)["holds"]["words"], "LUKS1 encryption");
    let assert = userctl(&["ls", luks.to_str().unwrap()]).code(4);
    assert!(
        said(&assert).1.contains("LUKS1 encryption (crypto_LUKS)"),
        "{assert}"
    );
    // A file system that is recognised, and that this Linux has not got.
    let reiser = place.join("reiser");
    std::fs::write(
        &reiser,
        signed(&[(65_536 + 52, b"ReIsEr2Fs"), (65_536 + 44, &[0, 16])]),
    )
    .unwrap();
    assert_eq!(json(&reiser)["holds"]["name"], "reiserfs");
    let assert = userctl(&["ls", reiser.to_str().unwrap()]).code(4);
    assert!(said(&assert).1.contains("has not got (reiserfs)"), "{assert}");
}

#[test]
fn a_damaged_file_system_is_an_answer_of_info_unless_it_was_told_how() {
    let folder = tempfile::tempdir().unwrap();
    let mut image = ext4(folder.path(), 8, &["-b", "1024"]);
    // The group descriptors.
    image[2048..3072].fill(0xff);
    let path = folder.path().join("damaged");
    std::fs::write(&path, image).unwrap();
    let path = path.to_str().unwrap();
    let assert = userctl(&["info", path]).code(0);
    let (text, _) = said(&assert);
    assert!(
        text.contains("problem:") && !text.contains("userctl info"),
        "{text}"
    );
    userctl(&["info", path, "--fs", "ext4"]).code(4);
}

#[test]
fn the_root_is_read_and_not_what_boots_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let efi = mkfs(place, 40, &["mkfs.vfat"]);
    let (small, large) = (ext4(place, 8, &[]), ext4(place, 16, &["-L", "root"]));
    let path = disk(
        place,
        "installed",
        &[(EFI, &efi), (LINUX, &small), (LINUX, &large)],
    );
    let info = json(&path);
    assert_eq!(
        (info["part"].as_u64(), info["file_system"]["label"].as_str()),
        (Some(3), Some("root"))
    );
    let image = path.to_str().unwrap();
    let assert = userctl(&["cat", image, "/hello"]).code(0).stdout("hello\n");
    let (_, note) = said(&assert);
    assert!(
        note.contains("partition 3 is read") && note.contains("2 (ext4)"),
        "{note}"
    );
    assert!(!note.contains("vfat"), "{note}");
    userctl(&["cat", image, "/hello", "--part", "2"])
        .code(0)
        .stderr("");
    // One that is alone but for its EFI partition needs no note.
    let path = disk(place, "alone", &[(EFI, &efi), (LINUX, &small)]);
    userctl(&["cat", path.to_str().unwrap(), "/hello"])
        .code(0)
        .stderr("");
}

/// What the table counts in is not what a file system asks for: FAT with sectors of 512, ext4 with blocks of 1024, in a
/// table for sectors of 4096.
#[test]
fn a_table_for_larger_sectors_may_hold_smaller_file_systems() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let small = ext4(place, 8, &["-b", "1024"]);
    let fat = mkfs(place, 40, &["mkfs.vfat", "-S", "512"]);
    let mut disk = vec![0u8; MIB];
    for (slot, (kind, content)) in [(0x0c, &fat), (0x83, &small)].into_iter().enumerate() {
        let (start, sectors) = ((disk.len() / 4096) as u32, (content.len() / 4096) as u32);
        let entry = &mut disk[446 + slot * 16..][..16];
        entry[4] = kind;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..].copy_from_slice(&sectors.to_le_bytes());
        disk.extend_from_slice(content);
    }
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let path = place.join("native");
    std::fs::write(&path, disk).unwrap();
    let info = json(&path);
    assert_eq!(info["partitions"][0]["file_system"], "vfat", "{info}");
    assert_eq!(info["partitions"][1]["file_system"], "ext4", "{info}");
    userctl(&["cat", path.to_str().unwrap(), "/hello"])
        .code(0)
        .stdout("hello\n");
    userctl(&["ls", path.to_str().unwrap(), "--part", "1"]).code(0);
}

#[test]
fn a_truncated_image_gives_what_it_has_with_a_table_and_without() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let whole = ext4(place, 32, &[]);
    let bare = place.join("bare");
    std::fs::write(&bare, &whole[..20 * MIB]).unwrap();
    let with_table = disk(place, "table", &[(LINUX, &whole)]);
    let file = std::fs::File::options().write(true).open(&with_table).unwrap();
    file.set_len(21 << 20).unwrap();
    for (path, ends) in [(bare, "the file system"), (with_table, "the partition")] {
        let assert = userctl(&["cat", path.to_str().unwrap(), "/hello"])
            .code(0)
            .stdout("hello\n");
        let (_, warning) = said(&assert);
        assert!(
            warning.contains(&format!("ends {} bytes before {ends} does", 12 << 20)),
            "{warning}"
        );
        assert_eq!(json(&path)["file_system"]["name"], "ext4");
    }
}

#[test]
fn formats_that_are_not_read_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let evidence = place.join("disk.E01");
    std::fs::write(
        &evidence,
        [&b"EVF\x09\x0d\x0a\xff\x00\x01\x01\0"[..], &[0; 4096]].concat(),
    )
    .unwrap();
    let assert = userctl(&["info", evidence.to_str().unwrap()]).code(3);
    let (_, why) = said(&assert);
    assert!(
        why.contains("EnCase") && why.contains("ewfexport") && !why.contains("qemu-img"),
        "{why}"
    );
    let base = empty(place, "base.raw", 4);
    for (name, backing) in [
        (
            "json.qcow2",
            format!(
                "json:{{\"driver\":\"raw\",\"file\":{{\"driver\":\"file\",\"filename\":\"{}\"}}}}",
                base.display()
            ),
        ),
        ("network.qcow2", "nbd://localhost:10809/disk".to_string()),
    ] {
        let image = place.join(name);
        tool(
            "qemu-img",
            &[
                "create",
                "-q",
                "-u",
                "-f",
                "qcow2",
                "-b",
                &backing,
                "-F",
                "raw",
                image.to_str().unwrap(),
                "4M",
            ],
            "",
        );
        let assert = userctl(&["info", image.to_str().unwrap()]).code(3);
        let (_, why) = said(&assert);
        assert!(
            why.contains("backing file that is") && why.contains("qemu-img convert"),
            "{why}"
        );
        assert_eq!(why.lines().count(), 1, "{why}");
    }
}

/// Minix believes its inode table; the first inode is the root.
#[test]
fn a_root_that_is_no_directory_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let mut image = mkfs(folder.path(), 4, &["mkfs.minix", "-1"]);
    let field = |at: usize| usize::from(u16::from_le_bytes(image[at..at + 2].try_into().unwrap()));
    // Boot block, superblock, and the two maps are before the inodes.
    let inodes = (2 + field(1024 + 4) + field(1024 + 6)) * 1024;
    assert_eq!(image[inodes + 1] & 0xf0, 0x40, "the root is a directory");
    image[inodes + 1] = 0x81;
    let path = folder.path().join("rootless");
    std::fs::write(&path, image).unwrap();
    let path = path.to_str().unwrap();
    for command in [&["ls", path][..], &["manifest", path], &["cat", path, "/x"]] {
        let assert = userctl(command).code(4);
        let (_, why) = said(&assert);
        assert!(
            why.contains("the root is no directory") && why.contains("damaged"),
            "{why}"
        );
    }
    let assert = userctl(&["info", path]).code(0);
    assert!(said(&assert).0.contains("the root is no directory"), "{assert}");
}
