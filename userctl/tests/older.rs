//! File systems of other systems on real images, as a user reads them: `info`, `ls`, `cat` and `cp`; discs whose anchor is
//! elsewhere; and damaged images, which end in a bounded time and memory with one line. (That every entry is what was put there,
//! `matrix` shows.)
//!
//! `LKLFS_DAMAGED=N` tries N changes of words in each image instead of a few.

#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use volumes::makers::{self, damage};
use volumes::tree::What;
use volumes::{Kind, Made, Manifest, Plan, make};

fn userctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_userctl"))
        .args(arguments)
        .env_remove("LKLFS_CONTROL")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn says(arguments: &[&str]) -> Vec<u8> {
    let output = userctl(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{arguments:?}: {said}"
    );
    output.stdout
}

/// Does something for each, two at a time.
fn each<T: Sync>(items: &[T], act: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    act(item);
                }
            });
        }
    });
}

fn kinds() -> Vec<&'static Kind> {
    makers::kinds().collect()
}

/// The bytes of a file of the description.
fn content(made: &Made, path: &str) -> Vec<u8> {
    let entry = made
        .tree
        .entries
        .iter()
        .find(|entry| entry.path == path.as_bytes());
    let Some(What::File(content)) = entry.map(|entry| &entry.what) else {
        panic!("{path} is no file")
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    content.write(file.as_file()).unwrap();
    std::fs::read(file.path()).unwrap()
}

#[test]
fn each_is_told_listed_shown_and_copied() {
    each(&kinds(), |kind| {
        let made = make(kind, &Plan::default()).unwrap();
        let image = made.image.to_str().unwrap();
        let info = String::from_utf8(says(&["info", image])).unwrap();
        assert!(info.contains(kind.linux), "{}: {info}", kind.name);
        let listed = String::from_utf8_lossy(&says(&["ls", image, "/sizes"])).into_owned();
        let names: Vec<&str> = listed.lines().collect();
        let wanted = made
            .tree
            .entries
            .iter()
            .filter(|entry| entry.path.starts_with(b"sizes/"));
        assert_eq!(names.len(), wanted.count(), "{}: {names:?}", kind.name);
        let file = "sizes/1048577";
        let wanted = content(&made, file);
        assert!(
            says(&["cat", image, &format!("/{file}")]) == wanted,
            "{}",
            kind.name
        );
        let place = tempfile::tempdir().unwrap();
        let copy = place.path().join("copy");
        says(&["cp", "-r", image, "/sizes", copy.to_str().unwrap()]);
        assert!(
            std::fs::read(copy.join("1048577")).unwrap() == wanted,
            "{}",
            kind.name
        );
        assert_eq!(std::fs::read_dir(&copy).unwrap().count(), names.len());
    });
}

/// Clears the anchors of an UDF of blocks of 512 bytes but those at `kept`.
fn clear_anchors(bytes: &mut [u8], kept: &[usize]) -> usize {
    let mut cleared = 0;
    let blocks = bytes.len() / 512;
    for block in [256, blocks - 257, blocks - 1] {
        assert_eq!(
            bytes[block * 512..block * 512 + 2],
            [2, 0],
            "no anchor in block {block}"
        );
        if !kept.contains(&block) {
            bytes[block * 512..(block + 1) * 512].fill(0);
            cleared += 1;
        }
    }
    cleared
}

#[test]
fn a_disc_is_read_by_whichever_anchor_it_has() {
    let made = make(Kind::named("udf").unwrap(), &Plan::default()).unwrap();
    let sound = std::fs::read(&made.image).unwrap();
    let blocks = sound.len() / 512;
    let place = tempfile::tempdir().unwrap();
    let image = place.path().join("image");
    for kept in [blocks - 1, blocks - 257] {
        let mut bytes = sound.clone();
        assert_eq!(clear_anchors(&mut bytes, &[kept]), 2);
        std::fs::write(&image, bytes).unwrap();
        let name = image.to_str().unwrap();
        assert!(String::from_utf8_lossy(&says(&["info", name])).contains("udf"));
        let found = Manifest::parse(&String::from_utf8_lossy(&says(&["manifest", name]))).unwrap();
        let differences = made.differences(&found, 8);
        assert!(differences.is_empty(), "block {kept}: {}", differences.join("\n"));
    }
    // Discs end with blocks behind it that cannot be read.
    let name = image.to_str().unwrap();
    let listed = says(&["ls", made.image.to_str().unwrap()]);
    for (kept, behind, code) in [
        (blocks - 1, 1, 0),
        (blocks - 1, 2, 0),
        (blocks - 1, 150, 0),
        (blocks - 257, 152, 0),
        (blocks - 1, 3, 4),
        (0, 0, 4),
    ] {
        let mut bytes = sound.clone();
        clear_anchors(&mut bytes, &[kept]);
        bytes.resize((blocks + behind) * 512, 0);
        std::fs::write(&image, bytes).unwrap();
        let output = userctl(&["ls", name]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{behind} blocks behind {kept}: {said}"
        );
        assert_eq!(output.stdout, if code == 0 { &listed[..] } else { b"" });
    }
}

/// Block 512 is among a file's in a full volume, so this is an empty one.
#[test]
fn a_disc_that_is_not_closed_is_read_by_the_anchor_at_512() {
    let place = tempfile::tempdir().unwrap();
    let image = place.path().join("image");
    std::fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
    let status = Command::new("/usr/sbin/mkudffs")
        .args(["-b", "512", "-l", "open disc"])
        .arg(&image)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let mut bytes = std::fs::read(&image).unwrap();
    let mut anchor = bytes[256 * 512..257 * 512].to_vec();
    assert_eq!(clear_anchors(&mut bytes, &[]), 3);
    anchor[12..16].copy_from_slice(&512u32.to_le_bytes());
    // The sum of the tag, but for itself.
    anchor[4] = 0;
    anchor[4] = anchor[..16].iter().fold(0, |sum, byte| sum + u32::from(*byte)) as u8;
    assert!(bytes[512 * 512..513 * 512].iter().all(|byte| *byte == 0));
    bytes[512 * 512..513 * 512].copy_from_slice(&anchor);
    std::fs::write(&image, bytes).unwrap();
    let name = image.to_str().unwrap();
    assert!(String::from_utf8_lossy(&says(&["info", name])).contains("open disc"));
    assert_eq!(says(&["ls", name]), b"");
}

/// What a run on a damaged image may take: KiB of address space, with the 128 MiB that Linux gets, and time.
const ROOM: u32 = 1 << 20;
const LIMIT: Duration = Duration::from_secs(20);

/// What came of a variant; an error when it broke a rule.
fn outcome(image: &Path) -> Result<&'static str, String> {
    let limited = format!("ulimit -v {ROOM}; exec \"$0\" \"$@\"");
    let started = Instant::now();
    let output = Command::new("sh")
        .args(["-c", &limited, env!("CARGO_BIN_EXE_userctl")])
        .args(["manifest", "--timeout", "15"])
        .arg(image)
        .env_remove("LKLFS_CONTROL")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    if started.elapsed() > LIMIT {
        return Err(format!("it took {:?}: {last}", started.elapsed()));
    }
    let told = last.starts_with("userctl: ");
    match output.status.code() {
        Some(0) if said.lines().all(|line| line.starts_with("userctl: warning: ")) => Ok("read"),
        Some(1 | 4 | 5 | 6) if told => Ok("refused"),
        Some(7) if told && last.contains("Linux stopped") => Ok("panic, contained"),
        Some(9) if told => Ok("time limit"),
        _ => Err(format!("{}: {said}", output.status)),
    }
}

/// A search follows a hash chain that leads to itself, in Linux, where nothing ends it: the time limit does.
#[test]
fn a_search_that_never_ends_is_given_up() {
    let made = make(Kind::named("omfs").unwrap(), &Plan::default()).unwrap();
    let variants = damage::variants(&made, 0).unwrap();
    let (_, bytes) = variants.iter().find(|(name, _)| name == "circle").unwrap();
    let place = tempfile::tempdir().unwrap();
    let image = place.path().join("image");
    std::fs::write(&image, bytes).unwrap();
    // The chain of "file" is that of all its spellings.
    let output = userctl(&["cat", image.to_str().unwrap(), "/deep/d00/FILE", "--timeout", "2"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(9), "{said}");
    assert!(output.stdout.is_empty() && said.lines().count() == 1, "{said}");
}

#[test]
fn damaged_ones_end_with_one_line_in_bounded_time_and_memory() {
    // One of each family; the other byte orders are the same code of Linux's.
    let families = [
        "sysv4", "xenix", "ufs1", "ufs2", "qnx4", "qnx6", "efs", "befs", "affs-ofs", "affs-ffs", "hfsplus",
        "adfs", "omfs",
    ];
    let words = std::env::var("LKLFS_DAMAGED").map_or(3, |count| count.parse().expect("a number"));
    let place = tempfile::tempdir().unwrap();
    let results = Mutex::new(Vec::new());
    each(&families, |name| {
        let made = make(Kind::named(name).unwrap(), &Plan::default()).unwrap();
        let image: PathBuf = place.path().join(name);
        for (variant, bytes) in damage::variants(&made, words).unwrap() {
            std::fs::write(&image, &bytes).unwrap();
            let outcome = outcome(&image);
            results.lock().unwrap().push((*name, variant, outcome));
        }
        std::fs::remove_file(&image).unwrap();
    });
    let results = results.into_inner().unwrap();
    let count = |what: &str| {
        results
            .iter()
            .filter(|(_, _, outcome)| outcome.as_ref().is_ok_and(|outcome| *outcome == what))
            .count()
    };
    println!(
        "{} images: {} read, {} refused, {} panics contained, {} time limits",
        results.len(),
        count("read"),
        count("refused"),
        count("panic, contained"),
        count("time limit")
    );
    for (name, variant, outcome) in &results {
        if words > 3 || !matches!(outcome, Ok("read" | "refused")) {
            println!("{name}, {variant}: {outcome:?}");
        }
    }
    assert!(results.iter().all(|(_, _, outcome)| outcome.is_ok()));
    // Damage that no image shows would be none.
    assert!(count("refused") >= families.len());
}
