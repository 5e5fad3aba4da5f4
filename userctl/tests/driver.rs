//! The commands that ask the driver, against the real `lklfs.sys` in the NT kernel double. Each scenario has a machine of
//! its own ([`machine`]), which passes only when the driver left nothing behind.

#![cfg(target_os = "linux")]

mod machine;

use std::io::{BufRead, BufReader, Read};
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use lklfs_client::NtStatus;
use lklfs_client::wire::{Frame, Reply};
use machine::{As, one_line};
use serde_json::Value;

/// FILE_GENERIC_READ.
const READ: u32 = 0x0012_0089;
/// The volume's.
const UUID: &str = "6b8f3c1e-8d0a-4a6e-9d5c-000000000001";

fn run(program: &str, arguments: &[&str], folder: &Path) {
    let status = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} {arguments:?}");
}

/// What is on drive C:. Made once.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let at = folder.path();
            std::fs::create_dir(at.join("tree")).unwrap();
            std::fs::write(at.join("tree/hello.txt"), "hello\n").unwrap();
            let ext4 = [
                "-q", "-F", "-L", "Image", "-U", UUID, "-d", "tree", "ext4.img", "12M",
            ];
            run("mkfs.ext4", &ext4, at);
            run(
                "mkfs.ext4",
                &["-q", "-F", "-L", "Other", "-d", "tree", "other.img", "12M"],
                at,
            );
            for (format, name) in [
                ("qcow2", "ext4.qcow2"),
                ("vhdx", "ext4.vhdx"),
                ("vpc", "ext4.vhd"),
            ] {
                run("qemu-img", &["convert", "-O", format, "ext4.img", name], at);
            }
            let none = volumes::disk::Table::Mbr;
            volumes::disk::make(&at.join("parts.img"), none, &[None, Some(&at.join("ext4.img"))]).unwrap();
            std::fs::write(at.join("text.txt"), "not a disk\n".repeat(1000)).unwrap();
            folder
        })
        .path()
}

/// A machine with [`folder`] as drive C:.
struct Machine(machine::Machine);

impl Deref for Machine {
    type Target = machine::Machine;

    fn deref(&self) -> &machine::Machine {
        &self.0
    }
}

impl Machine {
    fn start(options: &[&str]) -> Machine {
        Machine(machine::Machine::start(folder(), options))
    }

    /// Opens an NT path as a program does; open until it is dropped.
    fn open(&self, path: &str) -> Result<UnixStream, NtStatus> {
        let mut stream = UnixStream::connect(self.socket(As::Administrator)).unwrap();
        let name = path.encode_utf16().collect();
        match ask(&mut stream, &Frame::Open { access: READ, name }) {
            Reply {
                status: NtStatus::SUCCESS,
                ..
            } => Ok(stream),
            Reply { status, .. } => Err(status),
        }
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, NtStatus> {
        let mut file = self.open(path)?;
        let read = Frame::Read {
            offset: 0,
            length: 4096,
        };
        match ask(&mut file, &read) {
            Reply {
                status: NtStatus::SUCCESS,
                bytes,
            } => Ok(bytes),
            Reply { status, .. } => Err(status),
        }
    }

    /// Ends the machine; nothing may be left.
    fn end(self) {
        self.0.end();
    }
}

fn ask(stream: &mut UnixStream, frame: &Frame) -> Reply {
    frame.write(stream).unwrap();
    Reply::read(stream).unwrap()
}

#[test]
fn an_image_of_every_format_is_mounted_seen_and_unmounted() {
    let machine = Machine::start(&[]);
    assert!(machine.says(&["list"]).contains("no volume is mounted"));
    assert_eq!(machine.json(&["list"])["volumes"], serde_json::json!([]));
    let idle = machine.json(&["status"]);
    assert_eq!(
        (&idle["linux"]["state"], &idle["volumes"]),
        (&"not started".into(), &0.into())
    );
    for (name, more) in [
        ("ext4.img", [].as_slice()),
        ("ext4.qcow2", &[]),
        ("ext4.vhdx", &["q:"]),
        ("ext4.vhd", &[]),
        ("parts.img", &["--part", "2"]),
    ] {
        let at = machine.mount(name, more);
        assert!(at.len() == 2 && at.ends_with(':'), "{name}: {at}");
        assert_eq!(
            machine.read(&format!("\\??\\{at}\\hello.txt")),
            Ok(b"hello\n".to_vec()),
            "{name}"
        );

        let list = machine.json(&["list"]);
        let volume = &list["volumes"][0];
        for (key, value) in [
            ("letter", &at[..1]),
            ("file_system", "ext4"),
            ("label", "Image"),
            ("uuid", UUID),
            ("source", &format!("\\??\\C:\\{name}")),
            ("state", "mounted"),
        ] {
            assert_eq!(volume[key], value, "{name}: {list}");
        }
        assert_eq!(volume["image"], true, "{list}");
        let text = machine.says(&["list"]);
        for word in [
            at.as_str(),
            "ext4",
            "Image",
            UUID,
            &format!("C:\\{name}"),
            "mounted",
        ] {
            assert!(text.contains(word), "{word} is missing: {text}");
        }
        assert!(!text.contains('\u{1b}'), "colours in a pipe: {text:?}");

        let status = machine.json(&["status"]);
        assert_eq!(status["volumes"], 1, "{status}");
        assert_eq!(status["linux"]["state"], "running", "{status}");
        assert!(status["linux"]["pool_free"].as_u64() > Some(0), "{status}");
        let release = status["linux"]["release"].as_str().unwrap();
        let text = machine.says(&["status"]);
        assert!(text.contains(release) && text.contains("volumes:  1"), "{text}");

        let number = volume["volume"].as_u64().unwrap();
        let gone = machine.json(&["unmount", &at]);
        assert_eq!(gone["unmounted"], serde_json::json!([number]), "{gone}");
        // The file that was read may be about to be closed still.
        let started = std::time::Instant::now();
        while machine.json(&["list"])["volumes"] != serde_json::json!([]) {
            assert!(started.elapsed() < Duration::from_secs(10), "{name} is listed");
        }
        assert!(
            machine.open(&format!("\\??\\{at}\\hello.txt")).is_err(),
            "{name} is still there"
        );
    }
    machine.end();
}

#[test]
fn what_must_be_refused_is_refused_with_its_code_and_says_what_to_do() {
    let machine = Machine::start(&[]);
    let at = machine.mount("ext4.img", &["K:"]);
    assert_eq!(at, "K:");
    for (arguments, code, words) in [
        (
            &["mount", "C:\\missing.img"][..],
            3,
            &["C:\\missing.img", "no such file", "existing image"][..],
        ),
        (&["mount", "C:\\missing\\x.img"], 3, &["no such folder"]),
        (&["mount", "C:\\tree"], 3, &["is a directory"]),
        (
            &["mount", "C:\\text.txt"],
            4,
            &["no file system is recognised", "userctl info"],
        ),
        (&["mount", "C:\\parts.img", "--part", "1"], 4, &["partition 1"]),
        (&["mount", "C:\\parts.img", "--part", "9"], 6, &["no partition 9"]),
        (
            &["mount", "C:\\other.img", "k:"],
            12,
            &["K: is taken", "another letter"],
        ),
        (&["mount", "C:\\other.img", "C:"], 12, &["C: is taken"]),
        (&["mount", "C:\\other.img", "KK:"], 2, &["A: to Z:"]),
        (
            &["mount", "C:\\other.img", "L:", "--no-letter"],
            2,
            &["--no-letter"],
        ),
        (&["mount", "\\Device\\NoSuchDisk"], 3, &["no such device"]),
        (
            &["mount", "\\Device\\HarddiskVolume9", "--part", "1"],
            2,
            &["--part is for images"],
        ),
        (&["mount", "no/such.img"], 3, &["no such file"]),
        (&["mount", "Cargo.toml"], 2, &["C:"]),
        (&["mount", "NoSuchLabel"], 14, &["NoSuchLabel", "userctl list"]),
        (&["mount", "Image", "P:"], 12, &["at K: already"]),
        (&["unmount", "P:"], 14, &["P:", "userctl list"]),
        (&["unmount", "4711"], 14, &["4711", "userctl list"]),
        (&["unmount", "0"], 2, &["all"]),
        (&["unmount", "everything"], 2, &["everything"]),
        (
            &["mount", "C:\\other.img", "-o", "nosuchoption"],
            2,
            &["these options", "userctl log"],
        ),
        (
            &["mount", "C:\\other.img", "-o", "rw"],
            2,
            &["-o rw", "only ever read"],
        ),
        (
            &["mount", "C:\\other.img", "--owner", "uid:1=me"],
            2,
            &["these options"],
        ),
        (&["mount", "C:\\other.img", "--format", "vhdx"], 4, &["damaged"]),
        (
            &["mount", "\\Device\\HarddiskVolume9", "--format", "raw"],
            2,
            &["--format is for images"],
        ),
        (&["policy", "NoSuchLabel"], 14, &["NoSuchLabel", "userctl list"]),
        (&["policy", "--letter", "E:"], 2, &["X:|NUMBER|UUID|LABEL"]),
        (&["policy", "K:", "--owner", "uid:1=me"], 2, &["uid:N=SID"]),
        (&["diag", "/no/such/folder/x.zip"], 8, &["x.zip"]),
    ] {
        machine.fails(arguments, code, words);
    }
    let numbers = machine.json(&["list"])["volumes"].as_array().unwrap().len();
    assert_eq!(numbers, 1, "a refused mount left a volume");
    machine.says(&["unmount", "all"]);
    machine.end();
}

#[test]
fn a_standard_user_may_look_and_not_change() {
    let machine = Machine::start(&["--standard-user"]);
    assert!(machine.says(&["list"]).contains("no volume is mounted"));
    assert!(machine.says(&["status"]).contains("control interface"));
    assert!(machine.says(&["policy"]).contains("no policy is kept"));
    for arguments in [
        &["mount", "C:\\ext4.img"][..],
        &["unmount", "all"],
        &["unmount", "K:"],
        &["log"],
        &["log", "--driver"],
        &["policy", "12345678-1234-1234-1234-123456789abc", "--letter", "E:"],
    ] {
        machine.fails(arguments, 11, &["administrator rights", "prompt"]);
    }
    let file = machine.place.path().join("diag.zip");
    let file = file.to_str().unwrap();
    let assert = machine.userctl(&["diag", file]).code(0).stdout("");
    one_line(
        &String::from_utf8_lossy(&assert.get_output().stderr),
        &["not in the archive", "linux.log", "administrator rights"],
    );
    let names = archive(file);
    assert!(names.iter().any(|(name, _)| name == "status.json"), "{names:?}");
    assert!(names.iter().all(|(name, _)| name != "linux.log"), "{names:?}");
    machine.end();
}

/// Names and texts of the entries of an archive.
fn archive(file: &str) -> Vec<(String, String)> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(file).unwrap()).unwrap();
    (0..archive.len())
        .map(|index| {
            let mut entry = archive.by_index(index).unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.name().unwrap().to_string(), text)
        })
        .collect()
}

#[test]
fn a_volume_in_use_is_unmounted_by_force_only() {
    let machine = Machine::start(&[]);
    let at = machine.mount("ext4.img", &[]);
    let held = machine.open(&format!("\\??\\{at}\\hello.txt")).unwrap();
    assert!(machine.says(&["list"]).contains("1 open"));
    machine.fails(&["unmount", &at], 13, &[&at, "close the programs", "--force"]);
    machine.fails(&["unmount", "all"], 13, &["--force"]);
    assert_eq!(
        machine.read(&format!("\\??\\{at}\\hello.txt")),
        Ok(b"hello\n".to_vec())
    );
    let number = machine.json(&["list"])["volumes"][0]["volume"].clone();
    let gone = machine.json(&["unmount", &at, "--force"]);
    assert_eq!(gone["unmounted"], serde_json::json!([number]), "{gone}");
    let list = machine.json(&["list"]);
    assert_eq!(list["volumes"][0]["state"], "dismounted", "{list}");
    assert!(machine.open(&format!("\\??\\{at}\\hello.txt")).is_err());
    drop(held);
    machine.end();
}

#[test]
fn a_machine_ends_clean_with_a_volume_mounted_and_a_file_open() {
    let machine = Machine::start(&[]);
    let at = machine.mount("ext4.vhdx", &[]);
    let _held = machine.open(&format!("\\??\\{at}\\hello.txt")).unwrap();
    machine.end();
}

#[test]
fn a_mounted_volume_is_found_by_uuid_and_label() {
    let machine = Machine::start(&[]);
    let at = machine.mount("ext4.img", &["U:"]);
    for name in ["Image", UUID, &UUID.to_uppercase()] {
        assert_eq!(machine.says(&["mount", name]), "U:\n");
        assert_eq!(machine.json(&["mount", name, "u"])["letter"], "U");
    }
    // The same volume in another image: two answer to the name.
    let twin = machine.mount("ext4.vhd", &[]);
    assert_ne!(twin, at);
    machine.fails(
        &["mount", "Image"],
        14,
        &["volume 1 and volume 2", "name the device or image"],
    );
    machine.says(&["unmount", &twin]);
    machine.says(&["unmount", &at]);
    let hidden = machine.json(&["mount", "C:\\other.img", "--no-letter"]);
    assert!(hidden["letter"].is_null(), "{hidden}");
    let number = hidden["volume"].to_string();
    assert!(machine.says(&["mount", "Other", "--no-letter"]).contains(&number));
    machine.fails(&["mount", "Other", "O:"], 14, &[&format!("unmount {number}")]);
    machine.says(&["unmount", &number]);
    machine.end();
}

#[test]
fn letters_without_a_mount_manager_and_many_volumes() {
    let machine = Machine::start(&["--no-mount-manager"]);
    let letters: Vec<String> = (0..5)
        .map(|number| machine.mount(if number % 2 == 0 { "ext4.img" } else { "other.img" }, &[]))
        .collect();
    assert_eq!(letters, ["D:", "E:", "F:", "G:", "H:"]);
    let list = machine.json(&["list"]);
    assert_eq!(list["volumes"].as_array().unwrap().len(), 5);
    assert_eq!(
        machine.json(&["unmount", "all"])["unmounted"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
    machine.end();
}

#[test]
fn a_disk_is_mounted_by_its_device() {
    let image = folder().join("ext4.img");
    let machine = Machine::start(&["--disk", image.to_str().unwrap()]);
    let device = "\\Device\\HarddiskVolume1";
    assert_eq!(machine.says(&["mount", device, "M:"]), "M:\n");
    let list = machine.json(&["list"]);
    let volume = &list["volumes"][0];
    assert_eq!(
        (&volume["source"], &volume["letter"]),
        (&device.into(), &"M".into()),
        "{list}"
    );
    assert_eq!(volume["image"], false, "{list}");
    assert_eq!(machine.read("\\??\\M:\\hello.txt"), Ok(b"hello\n".to_vec()));
    machine.says(&["unmount", "M:"]);
    machine.end();
}

#[test]
fn disks_and_partitions_are_listed_and_mounted_by_label() {
    let image = folder().join("parts.img");
    let machine = Machine::start(&["--disk", image.to_str().unwrap()]);
    let list = machine.json(&["list"]);
    assert_eq!(
        list["volumes"],
        serde_json::json!([]),
        "nothing is mounted before it is opened"
    );
    let place = |list: &Value, index: usize| list["places"][index].clone();
    let (nothing, linux) = (place(&list, 0), place(&list, 1));
    assert_eq!(
        (&nothing["disk"], &nothing["partition"]),
        (&0.into(), &1.into()),
        "{list}"
    );
    assert!(nothing["file_system"].is_null(), "{list}");
    assert_eq!(
        (&linux["file_system"], &linux["uuid"]),
        (&"ext4".into(), &UUID.into()),
        "{list}"
    );
    assert_eq!(
        (&linux["state"], &linux["letter"]),
        (&"free".into(), &"D".into()),
        "{list}"
    );
    let text = machine.says(&["list"]);
    assert!(
        text.contains("0.1") && text.contains("0.2") && text.contains("not mounted"),
        "{text}"
    );
    assert_eq!(machine.says(&["mount", "Image"]), "D:\n");
    let list = machine.json(&["list"]);
    assert_eq!(place(&list, 1)["state"], "mounted", "{list}");
    assert_eq!(place(&list, 1)["volume"], list["volumes"][0]["volume"], "{list}");
    machine.says(&["unmount", "D:"]);
    assert!(machine.json(&["list"])["places"][1]["letter"].is_null());
    // Opened without being asked for, it is a volume like any other.
    let device = linux["device"].as_str().unwrap();
    assert!(machine.read(&format!("{device}\\hello.txt")).is_ok());
    let number = machine.json(&["list"])["volumes"][0]["volume"].to_string();
    machine.says(&["unmount", &number]);
    machine.end();
}

#[test]
fn a_policy_is_kept_shown_and_forgotten() {
    let image = folder().join("parts.img");
    let machine = Machine::start(&["--disk", image.to_str().unwrap()]);
    let kept = machine.json(&[
        "policy",
        "Image",
        "--letter",
        "q:",
        "--everyone",
        "no",
        "-o",
        "noload",
    ]);
    let policy = &kept["policies"][0];
    assert_eq!(
        (&policy["uuid"], &policy["letter"]),
        (&UUID.into(), &"Q".into()),
        "{kept}"
    );
    assert_eq!(
        (&policy["everyone"], &policy["options"]),
        (&false.into(), &"noload".into()),
        "{kept}"
    );
    assert_eq!(machine.json(&["list"])["places"][1]["letter"], "Q");
    assert_eq!(machine.read("\\??\\Q:\\hello.txt"), Ok(b"hello\n".to_vec()));
    let text = machine.says(&["policy", "Q:"]);
    assert!(
        text.contains("Q:") && text.contains("--everyone no -o noload"),
        "{text}"
    );
    // Only what is said is changed.
    let kept = machine.json(&["policy", UUID, "--everyone", "default", "--letter", "none"]);
    let policy = &kept["policies"][0];
    assert!(
        policy["everyone"].is_null() && policy["letter"].is_null(),
        "{kept}"
    );
    assert_eq!(
        (&policy["hidden"], &policy["options"]),
        (&true.into(), &"noload".into()),
        "{kept}"
    );
    assert!(machine.read("\\??\\Q:\\hello.txt").is_err());
    machine.says(&["policy", "Image", "--mount", "never"]);
    assert!(machine.says(&["list"]).contains("never mounted"));
    machine.says(&["policy", "Image", "--forget"]);
    let forgotten = machine.json(&["policy"]);
    let policy = &forgotten["policies"][0];
    assert!(
        policy.is_null() || (policy["hidden"] == false && policy["never"] == false),
        "{forgotten}"
    );
    machine.end();
}

#[test]
fn a_policy_of_a_volume_in_use_says_that_it_has_to_wait() {
    let machine = Machine::start(&[]);
    let at = machine.mount("ext4.img", &[]);
    let number = machine.json(&["list"])["volumes"][0]["volume"].clone();
    let file = machine.open(&format!("\\??\\{at}\\hello.txt")).unwrap();
    let hide = ["policy", at.as_str(), "--everyone", "no"];
    let said = machine.userctl(&hide).code(0);
    let said = String::from_utf8_lossy(&said.get_output().stderr).into_owned();
    one_line(&said, &[&at, "in use", "until it is mounted again"]);
    let said = machine.userctl(&[&hide[..], &["--json"]].concat()).code(0);
    let json: Value = serde_json::from_slice(&said.get_output().stdout).unwrap();
    assert_eq!(json["in_use"], serde_json::json!([number]), "{json}");
    assert_eq!(json["policies"][0]["everyone"], false, "{json}");
    // A letter does not have to wait, and to look changes nothing.
    let moved = machine.json(&["policy", UUID, "--letter", "q:"]);
    assert_eq!(moved["in_use"], serde_json::json!([]), "{moved}");
    assert!(machine.json(&["policy"])["in_use"].as_array().unwrap().is_empty());
    drop(file);
    let free = machine.json(&["policy", UUID, "--hide-dot-files", "no"]);
    assert_eq!(free["in_use"], serde_json::json!([]), "{free}");
    assert_ne!(machine.json(&["list"])["volumes"][0]["volume"], number);
    machine.end();
}

#[test]
fn the_drivers_own_messages_are_told_apart_from_linuxs() {
    let machine = Machine::start(&[]);
    let at = machine.mount("ext4.img", &[]);
    let text = machine.says(&["log", "--driver"]);
    assert!(text.lines().all(|line| line.contains("] lklfs: ")), "{text}");
    assert!(text.contains(&format!("is at {at}")), "{text}");
    assert!(!text.contains("kernel memory protection"));
    machine.says(&["unmount", &at]);
    assert!(machine.says(&["log", "--driver"]).contains("is unmounted"));
    machine.end();
}

#[test]
fn a_mount_is_made_as_the_options_say() {
    let machine = Machine::start(&[]);
    for options in [
        &["-o", "noload"][..],
        &["--no-recovery"],
        &["--fs", "ext4"],
        &["--everyone", "no"],
        &[
            "--hide-dot-files",
            "no",
            "--owner",
            "uid:0=S-1-5-18",
            "--owner",
            "gid:0=S-1-5-32-544",
        ],
        &["--format", "raw"],
    ] {
        let words = [&["mount", "C:\\other.img"], options].concat();
        let assert = machine.userctl(&words).code(0);
        let output = assert.get_output();
        let at = String::from_utf8_lossy(&output.stdout).trim_end().to_string();
        // A volume without its journal may be older than it is, and one is told.
        let stale = options
            .iter()
            .any(|option| ["noload", "--no-recovery"].contains(option));
        assert!(stale || output.stderr.is_empty(), "{options:?}: {output:?}");
        assert_eq!(
            machine.read(&format!("\\??\\{at}\\hello.txt")),
            Ok(b"hello\n".to_vec()),
            "{options:?}"
        );
        // The file may be about to be closed still.
        machine.says(&["unmount", &at, "--force"]);
    }
    machine.end();
}

#[test]
fn linuxs_messages_are_printed_and_followed() {
    let machine = Machine::start(&[]);
    assert_eq!(machine.says(&["log"]), "", "Linux speaks before it is started");
    let mut follower = Command::new(env!("CARGO_BIN_EXE_userctl"))
        .args(["log", "-f"])
        .env("LKLFS_CONTROL", machine.socket(As::Administrator))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let at = machine.mount("ext4.img", &[]);
    let text = machine.says(&["log"]);
    assert!(text.contains("kernel memory protection"), "{text}");
    let first = lines.next().unwrap().unwrap();
    assert_eq!(
        Some(first.as_str()),
        text.lines().next(),
        "what is followed differs"
    );
    follower.kill().unwrap();
    follower.wait().unwrap();
    machine.says(&["unmount", &at]);
    machine.end();
}

#[test]
fn diag_collects_everything_but_files() {
    let machine = Machine::start(&[]);
    let at = machine.mount("ext4.img", &[]);
    let file = machine.place.path().join("diag.zip");
    let file = file.to_str().unwrap();
    let report = machine.json(&["diag", file]);
    let entries = archive(file);
    let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(report["entries"], serde_json::json!(names));
    for name in [
        "about.json",
        "status.json",
        "volumes.json",
        "policies.json",
        "linux.log",
        "driver.log",
        "superblocks.json",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    let text = |wanted: &str| &entries.iter().find(|(name, _)| name == wanted).unwrap().1;
    let volumes: Value = serde_json::from_str(text("volumes.json")).unwrap();
    assert_eq!(volumes["volumes"][0]["label"], "Image");
    assert!(text("linux.log").contains("kernel memory protection"));
    assert!(text("driver.log").contains("lklfs: "));
    let superblocks: Value = serde_json::from_str(text("superblocks.json")).unwrap();
    let image = std::fs::read(folder().join("ext4.img")).unwrap();
    let magic = format!("{:02x}{:02x}", image[1024 + 56], image[1024 + 57]);
    assert_eq!(superblocks[0]["offset"], 1024);
    assert_eq!(superblocks[0]["bytes"].as_str().unwrap()[112..116], magic);
    assert!(
        entries.iter().all(|(_, text)| !text.contains("hello\n")),
        "what a file holds"
    );
    machine.fails(&["diag", file], 8, &["exists already", "--force"]);
    machine.userctl(&["diag", file, "--force"]).code(0);
    machine.says(&["unmount", &at]);
    machine.end();
}

#[test]
fn a_signal_ends_the_machine_as_well() {
    let mut machine = Machine::start(&[]);
    machine.mount("ext4.img", &[]);
    let pid = rustix::process::Pid::from_child(&machine.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    machine.0.ended();
}

#[test]
fn without_a_driver_every_command_says_so() {
    let userctl = |socket: Option<&Path>, arguments: &[&str]| {
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_userctl"));
        command.args(arguments).env_remove("LKLFS_CONTROL");
        if let Some(socket) = socket {
            command.env("LKLFS_CONTROL", socket);
        }
        command.timeout(Duration::from_secs(60)).assert()
    };
    let place = tempfile::tempdir().unwrap();
    let nobody = place.path().join("nobody");
    // These are about folders where no driver can be: tests/folders.rs.
    let of_folders = [&["list"][..], &["list", "--json"], &["unmount", "all"]];
    let of_the_driver = [&["status"][..], &["mount", "C:\\x.img"], &["log"]];
    for arguments in of_the_driver {
        let assert = userctl(None, arguments).code(10).stdout("");
        let words = ["the driver runs on Windows only", "info, ls, cat, cp"];
        one_line(&String::from_utf8_lossy(&assert.get_output().stderr), &words);
    }
    for arguments in of_folders.iter().chain(&of_the_driver) {
        let assert = userctl(Some(&nobody), arguments).code(10).stdout("");
        let words = ["does not answer", "double serve"];
        one_line(&String::from_utf8_lossy(&assert.get_output().stderr), &words);
    }
    // An archive that says that there is no driver is an answer.
    let file = place.path().join("diag.zip");
    let assert = userctl(None, &["diag", file.to_str().unwrap()]).code(0);
    one_line(
        &String::from_utf8_lossy(&assert.get_output().stderr),
        &["Windows only"],
    );
    let entries = archive(file.to_str().unwrap());
    let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["about.json", "problems.txt"]);
}
