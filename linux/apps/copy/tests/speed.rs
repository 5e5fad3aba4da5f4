//! How fast the programs are, beside this machine's own cp and tar on loop mounts: ratios of one run.
//!
//! `TMPDIR=/dev/shm cargo test --release -p lklcopy --test speed -- --ignored --nocapture`, as root: in memory, so that the machine's
//! disk has no say. It measures and prints; only what is very slow fails.

#![cfg(target_os = "linux")]

#[path = "machine/mod.rs"]
mod machine;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use machine::{Kind, Native, is_root, join, machine as run, place, well};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// So often each row is measured; the middle counts.
const TIMES: usize = 3;

/// Like the sources of a large program: 12,000 files in 600 folders, most of them small.
fn sources(top: &Path) {
    let mut random = StdRng::seed_from_u64(1);
    let mut bytes = vec![0; 256 << 10];
    random.fill(&mut bytes[..]);
    for folder in 0..600 {
        let folder = top.join(format!("{}/{folder}", folder % 20));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..20 {
            let len = 1usize << random.random_range(6..17);
            let len = random.random_range(len / 2..len);
            fs::write(folder.join(format!("file-{file}.c")), &bytes[..len]).unwrap();
        }
    }
}

fn large(top: &Path) {
    let mut bytes = vec![0; 16 << 20];
    StdRng::seed_from_u64(2).fill(&mut bytes[..]);
    fs::create_dir(top).unwrap();
    fs::write(top.join("large"), bytes.repeat(40)).unwrap();
}

fn time(place: &Path, act: impl FnOnce()) -> Duration {
    // What is to be written from before is not measured.
    rustix::fs::syncfs(fs::File::open(place).unwrap()).unwrap();
    let start = Instant::now();
    act();
    start.elapsed()
}

fn middle(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

#[test]
#[ignore = "measures"]
fn beside_this_machines_own_programs() {
    if !is_root() {
        return;
    }
    println!("| | ours, s | this machine's, s | ratio of times |");
    println!("|---|---|---|---|");
    for (what, make) in [
        ("12,000 files", sources as fn(&Path)),
        ("a file of 640 MiB", large),
    ] {
        for kind in ["ext4", "btrfs", "xfs"] {
            rows(what, Kind::named(kind), make);
        }
    }
}

fn rows(what: &str, kind: Kind, make: fn(&Path)) {
    let place = place();
    let [top, ours, theirs, out] = ["tree", "ours", "theirs", "out"].map(|name| join(&place, name));
    let at = place.path();
    make(&top);
    let mut times: [(Vec<Duration>, Vec<Duration>); 3] = Default::default();
    for _ in 0..TIMES {
        kind.make(&ours, 2048);
        kind.make(&theirs, 2048);
        times[0].0.push(time(at, || {
            well("cptofs", arguments!["-i", &ours, &top.join("."), "/"]);
        }));
        times[0].1.push(time(at, || {
            let native = Native::mount(&theirs, "rw");
            run("cp", arguments!["-a", &top.join("."), native.path()]);
        }));
        times[1]
            .0
            .push(time(at, || drop(well("fs2tar", arguments![&ours, &out]))));
        fs::remove_file(&out).unwrap();
        times[1].1.push(time(at, || {
            let native = Native::mount(&theirs, "ro");
            run(
                "tar",
                arguments!["--xattrs", "--acls", "-C", native.path(), "-cf", &out, "."],
            );
        }));
        fs::remove_file(&out).unwrap();
        times[2].0.push(time(at, || {
            drop(well("cpfromfs", arguments!["-i", &ours, "/", &out]))
        }));
        fs::remove_dir_all(&out).unwrap();
        times[2].1.push(time(at, || {
            let native = Native::mount(&theirs, "ro");
            run("cp", arguments!["-a", native.path(), &out]);
        }));
        fs::remove_dir_all(&out).unwrap();
    }
    let names = ["cptofs : cp -a", "fs2tar : tar c", "cpfromfs : cp -a"];
    for (name, (ours, theirs)) in names.iter().zip(times) {
        let (ours, theirs) = (middle(ours), middle(theirs));
        println!(
            "| {name}, {what}, {} | {ours:.2} | {theirs:.2} | {:.2} |",
            kind.name,
            ours / theirs
        );
        assert!(ours < theirs * 4.0, "{name} is far behind");
    }
}
