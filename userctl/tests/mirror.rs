//! The two halves of a btrfs mirror that went different ways: each was written to while the other was away. They have one
//! UUID, and Linux would put them together; what is shown is the disk that was asked for, or nothing.
//!
//! Through the real `lklfs.sys` in the NT kernel double. A real Linux has filled each half, and says what is on it.

#![cfg(target_os = "linux")]

mod machine;

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use machine::Machine;
use volumes::uml::Job;
use volumes::{Kind, Manifest, Plan};

/// A folder with the halves `a` and `b`, and what is on each. Made once.
fn halves() -> &'static (tempfile::TempDir, [Manifest; 2]) {
    static HALVES: OnceLock<(tempfile::TempDir, [Manifest; 2])> = OnceLock::new();
    HALVES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        for path in &paths {
            std::fs::File::create(path).unwrap().set_len(256 << 20).unwrap();
        }
        let made = Command::new("mkfs.btrfs")
            .args(["-q", "-d", "raid1", "-m", "raid1"])
            .args(&paths)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let seeds = [1, 2];
        let manifests = seeds.map(|seed| fill(&paths[seed as usize - 1], seed));
        assert_ne!(manifests[0], manifests[1]);
        (folder, manifests)
    })
}

/// Fills the half at `path`, without the other.
fn fill(path: &Path, seed: u64) -> Manifest {
    let plan = Plan {
        seed,
        big: (1 << 20) + 1,
        sparse: (1 << 20) + 4321,
        wide: 20 + seed as u32,
    };
    let job = Job::fill(Kind::named("btrfs").unwrap(), &plan, false);
    let mut job = serde_json::to_value(job).unwrap();
    for options in ["/options", "/fill/options"] {
        let options = job.pointer_mut(options).unwrap();
        let said = options.as_str().unwrap();
        *options = match said {
            "" => "degraded".into(),
            said => format!("{said},degraded").into(),
        };
    }
    let job: Job = serde_json::from_value(job).unwrap();
    job.run(path).unwrap().expect("what is on it")
}

/// Mounts a half and looks at all that it shows.
fn shows(machine: &Machine, half: usize, options: &[&str]) -> String {
    let at = machine.mount(["a", "b"][half], options);
    holds(machine, half, &at);
    at
}

fn holds(machine: &Machine, half: usize, at: &str) {
    let (_, manifests) = halves();
    let shown = Manifest::parse(&machine.says(&["manifest", at])).unwrap();
    let fields = Kind::named("btrfs").unwrap();
    let fields = volumes::Tree::new(&Plan::default(), &fields.abilities).fields();
    let differences = manifests[half].differences(&shown, fields, 5);
    assert!(differences.is_empty(), "half {half}: {differences:#?}");
}

const REASON: &[&str] = &[
    "another disk of the same file system",
    "the same UUID",
    "unmount that first",
];

#[test]
fn each_half_of_a_mirror_shows_its_own_files_or_is_refused() {
    let (folder, _) = halves();
    let machine = Machine::start(folder.path(), &[]);
    for (first, second) in [(0, 1), (1, 0)] {
        let at = shows(&machine, first, &["-o", "degraded"]);
        let other = format!("C:\\{}", ["a", "b"][second]);
        machine.fails(&["mount", &other, "--no-letter", "-o", "degraded"], 13, REASON);
        machine.fails(&["mount", &other, "--no-letter"], 13, REASON);
        machine.fails(&["mount", &other, "-o", "degraded", "--no-recovery"], 13, REASON);
        holds(&machine, first, &at);
        assert_eq!(machine.json(&["list"])["volumes"].as_array().unwrap().len(), 1);
        let log = machine.says(&["log", "--driver"]);
        assert!(log.contains("is another disk of the same file system"), "{log}");
        machine.says(&["unmount", &at, "--force"]);
        // What Linux has seen of the first one is forgotten.
        machine.userctl(&["mount", &other]).failure();
        let at = shows(&machine, second, &["-o", "degraded"]);
        machine.says(&["unmount", &at, "--force"]);
    }
    machine.end();
}

#[test]
fn a_policy_kept_by_the_uuid_does_not_put_the_halves_together() {
    let (folder, _) = halves();
    let machine = Machine::start(folder.path(), &[]);
    let at = shows(&machine, 0, &["-o", "degraded"]);
    machine.says(&["policy", &at, "-o", "degraded"]);
    machine.says(&["unmount", &at, "--force"]);
    for (first, second) in [(0, 1), (1, 0)] {
        let at = shows(&machine, first, &[]);
        machine.fails(&["mount", &format!("C:\\{}", ["a", "b"][second])], 13, REASON);
        holds(&machine, first, &at);
        machine.says(&["unmount", &at, "--force"]);
    }
    machine.end();
}

#[test]
fn options_that_name_other_disks_are_refused() {
    let (folder, _) = halves();
    let machine = Machine::start(folder.path(), &[]);
    for options in ["degraded,device=/dev/x", "source=/dev/x"] {
        machine.fails(&["mount", "C:\\a", "-o", options], 2, &["from no other"]);
    }
    machine.end();
}

#[test]
fn what_reads_no_disk_is_no_file_system_of_this_disk() {
    let (folder, _) = halves();
    let image = folder.path().join("a");
    for name in ["tmpfs", "proc"] {
        let said = assert_cmd::Command::new(env!("CARGO_BIN_EXE_userctl"))
            .args(["ls", "--fs", name])
            .arg(&image)
            .env_remove("LKLFS_CONTROL")
            .assert()
            .failure();
        let said = String::from_utf8_lossy(&said.get_output().stderr).into_owned();
        assert!(said.contains("not on this disk"), "{name}: {said}");
    }
}
