//! Volumes that are read outlive their Linux.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lkl_vfs::{LklVolume, Node};
use lkl_volume::{Exit, Options, Program, Supervisor};
use lklfs_fsd::Volume as _;
use tempfile::TempDir;

/// LKL_SELFTEST_PANIC of host_ops.h.
const PANIC: u64 = 5;
const PROGRAM: Program = Program::new("test");
const MEMORY: u32 = 128;

/// There is one Linux at a time in a process.
static ALONE: Mutex<()> = Mutex::new(());

struct Stage {
    place: TempDir,
}

impl Stage {
    /// Images with a file `f` whose bytes are the image's name.
    fn new(names: &[&str]) -> Stage {
        let place = tempfile::tempdir().unwrap();
        for name in names {
            let (tree, image) = (place.path().join("tree"), place.path().join(name));
            fs::create_dir_all(&tree).unwrap();
            fs::write(tree.join("f"), name).unwrap();
            File::create(&image).unwrap().set_len(16 << 20).unwrap();
            let mut mkfs = Command::new("/usr/sbin/mkfs.ext4");
            let made = mkfs.args(["-q", "-F", "-d"]).args([&tree, &image]).output();
            assert!(made.unwrap().status.success());
        }
        Stage { place }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }
}

/// A supervisor, and what it says.
fn supervisor() -> (Supervisor, Arc<Mutex<Vec<String>>>) {
    let said = Arc::<Mutex<Vec<String>>>::default();
    let told = said.clone();
    let tell = move |line: &str| told.lock().unwrap().push(line.to_owned());
    (Supervisor::boot(PROGRAM, MEMORY, tell).unwrap(), said)
}

fn open(supervisor: &Supervisor, image: &Path) -> LklVolume {
    supervisor.open(&Options::new(PROGRAM, image)).unwrap()
}

fn file(volume: &LklVolume) -> Node {
    volume.lookup(&volume.root().unwrap(), b"f").unwrap()
}

fn read(volume: &LklVolume, node: &Node) -> Result<String, lklfs_fsd::Errno> {
    let mut bytes = vec![0; 100];
    let len = volume.read(node, 0, &mut bytes)?;
    bytes.truncate(len);
    Ok(String::from_utf8(bytes).unwrap())
}

/// Kills the Linux that runs, at the work of an account.
fn kill(supervisor: &Supervisor, account: Option<u64>) {
    let kernel = supervisor.kernel().unwrap();
    let kernel = match account {
        Some(account) => kernel.on_account(NonZeroU64::new(account).unwrap()),
        None => kernel,
    };
    assert_eq!(kernel.self_test_of(PANIC), Err(lkl::Errno::ENODEV));
}

#[test]
fn a_death_is_lived_through_and_takes_little_more_than_a_boot_and_a_mount() {
    let _alone = ALONE.lock().unwrap();
    let stage = Stage::new(&["a", "b"]);
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let (supervisor, said) = supervisor();
        let a = open(&supervisor, &stage.path("a"));
        let node = file(&a);
        assert_eq!(read(&a, &node).unwrap(), "a");
        let plain = begun.elapsed();
        let b = open(&supervisor, &stage.path("b"));
        kill(&supervisor, Some(2));
        let begun = Instant::now();
        assert_eq!(read(&a, &node).unwrap(), "a");
        let again = begun.elapsed();
        println!("boot, mount and read {plain:?}, after a death {again:?}");
        ratios.push(again.as_secs_f64() / plain.as_secs_f64());
        let said = said.lock().unwrap().clone();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(stage.path("b").to_str().unwrap()), "{said:?}");
        assert!(said[0].contains("Kernel panic"), "{said:?}");
        drop((node, a, b));
        assert_eq!(supervisor.end().unwrap_err().exit, Exit::Kernel);
    }
    ratios.sort_by(f64::total_cmp);
    println!("ratio {:.2} (median of {})", ratios[2], ratios.len());
    // It does the same once, not several times.
    assert!(ratios[2] < 3.0, "{ratios:?}");
}

#[test]
fn a_volume_that_linux_died_of_comes_back_once_and_others_always() {
    let _alone = ALONE.lock().unwrap();
    let stage = Stage::new(&["a", "b"]);
    let (supervisor, said) = supervisor();
    let volumes = ["a", "b"].map(|name| open(&supervisor, &stage.path(name)));
    let [a, b] = &volumes;
    let [of_a, of_b] = [file(a), file(b)];
    for round in 1..=2 {
        // Nobody's work.
        kill(&supervisor, None);
        assert_eq!(read(a, &of_a).unwrap(), "a");
        assert_eq!(read(b, &of_b).unwrap(), "b");
        kill(&supervisor, Some(2));
        assert_eq!(read(a, &of_a).unwrap(), "a");
        // Who tries again at once is part of what Linux died of.
        assert!(read(b, &of_b).is_err());
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(read(b, &of_b).is_ok(), round == 1, "{round}");
        assert_eq!(supervisor.deaths(), round * 2);
    }
    let said = said.lock().unwrap().clone();
    let of_none = said
        .iter()
        .filter(|line| line.contains("of no image that is known"));
    assert_eq!((said.len(), of_none.count()), (4, 2), "{said:?}");
    assert!(
        said[1].contains("until it is asked for again") && said[3].contains("stays offline"),
        "{said:?}"
    );
    drop((of_a, of_b, volumes));
    let failure = supervisor.end().unwrap_err();
    assert_eq!(failure.exit, Exit::Kernel);
    assert!(failure.message.contains("4 times"), "{failure}");
}

#[test]
fn an_image_that_was_changed_meanwhile_is_not_mounted_again() {
    let _alone = ALONE.lock().unwrap();
    let stage = Stage::new(&["a", "b"]);
    let (supervisor, said) = supervisor();
    let (a, b) = (
        open(&supervisor, &stage.path("a")),
        open(&supervisor, &stage.path("b")),
    );
    let [of_a, of_b] = [file(&a), file(&b)];
    let mut tune2fs = Command::new("/usr/sbin/tune2fs");
    let changed = tune2fs.args(["-L", "another"]).arg(stage.path("b")).output();
    assert!(changed.unwrap().status.success());
    kill(&supervisor, None);
    assert_eq!(read(&a, &of_a).unwrap(), "a");
    for _ in 0..3 {
        assert_eq!(read(&b, &of_b), Err(lklfs_fsd::Errno::EIO));
    }
    let said = said.lock().unwrap().clone();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[1].contains("what is there has changed"), "{said:?}");
    drop((of_a, of_b, a, b));
    assert!(supervisor.end().is_err());
}

#[test]
fn who_outlives_no_linux_ends_well() {
    let _alone = ALONE.lock().unwrap();
    let stage = Stage::new(&["a"]);
    let (supervisor, said) = supervisor();
    let a = open(&supervisor, &stage.path("a"));
    assert_eq!(read(&a, &file(&a)).unwrap(), "a");
    drop(a);
    assert_eq!(supervisor.end(), Ok(()));
    assert!(said.lock().unwrap().is_empty());
}
