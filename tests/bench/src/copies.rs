//! `cptofs`, `cpfromfs` and `fs2tar`, beside `cp -a` and `tar c` on this machine's own loop mounts.
//!
//! On both sides the time goes from the program's start, or the mount, until what was written is on the disk: the image, or what came out
//! of it. Both take turns; medians count. A ratio says how many times as fast ours is.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use crate::reference::Mount;
use crate::trees::{self, median, well};

const ROUNDS: usize = 3;
const LARGE: u64 = 640 << 20;
const IMAGE: u64 = 2 << 30;

/// Our programs.
pub struct Programs<'a> {
    /// `cptofs`.
    pub into: &'a Path,
    /// `cpfromfs`.
    pub out: &'a Path,
    /// `fs2tar`.
    pub tar: &'a Path,
}

/// Measures and prints a table.
pub fn run(programs: &Programs<'_>, place: &Path) -> Result<()> {
    println!("{:<46}{:>12}{:>12}{:>10}", "", "theirs, s", "ours, s", "ratio");
    for what in ["12,000 files", "a file of 640 MiB"] {
        let tree = place.join("tree");
        fs::create_dir_all(&tree)?;
        match what {
            "12,000 files" => trees::sources(&tree)?,
            _ => trees::large(&tree.join("large"), LARGE)?,
        }
        let done = ["ext4", "btrfs", "xfs"]
            .into_iter()
            .try_for_each(|kind| rows(programs, place, what, kind));
        fs::remove_dir_all(&tree)?;
        done?;
    }
    Ok(())
}

/// Seconds of both, for each of the three programs.
type Times = [[Vec<f64>; 2]; 3];

fn rows(programs: &Programs<'_>, place: &Path, what: &str, kind: &str) -> Result<()> {
    let mut times = Times::default();
    let images = [place.join("ours.img"), place.join("theirs.img")];
    for _ in 0..ROUNDS {
        eprintln!("copies {what} {kind}");
        for image in &images {
            File::create(image)?.set_len(IMAGE)?;
            let force: &[&str] = if kind == "ext4" {
                &["-q", "-F"]
            } else {
                &["-q", "-f"]
            };
            well(Command::new(format!("mkfs.{kind}")).args(force).arg(image))?;
        }
        round(programs, place, &images, &mut times)?;
    }
    for image in &images {
        fs::remove_file(image)?;
    }
    for (name, [ours, theirs]) in ["cptofs : cp -a", "fs2tar : tar c", "cpfromfs : cp -a"]
        .iter()
        .zip(times)
    {
        let (ours, theirs) = (median(ours.into_iter()), median(theirs.into_iter()));
        let name = format!("{name}, {what}, {kind}");
        println!(
            "{name:<46}{theirs:>12.2}{ours:>12.2}{:>10}",
            format!("{:.2} x", theirs / ours)
        );
    }
    Ok(())
}

fn round(
    programs: &Programs<'_>,
    place: &Path,
    [ours, theirs]: &[std::path::PathBuf; 2],
    times: &mut Times,
) -> Result<()> {
    let (contents, out) = (place.join("tree").join("."), place.join("out"));
    let native = |access: &str| Mount::new("mount", &format!("loop,{access}"), theirs);
    // Into the image.
    times[0][0].push(time(place, ours, || {
        well(
            Command::new(programs.into)
                .arg("-i")
                .arg(ours)
                .arg(&contents)
                .arg("/"),
        )
    })?);
    times[0][1].push(time(place, theirs, || {
        let mount = native("rw")?;
        well(Command::new("cp").arg("-a").arg(&contents).arg(&mount.folder))
    })?);
    // Into an archive.
    times[1][0].push(time(place, &out, || {
        well(Command::new(programs.tar).arg(ours).arg(&out))
    })?);
    fs::remove_file(&out)?;
    times[1][1].push(time(place, &out, || {
        let mount = native("ro")?;
        let mut tar = Command::new("tar");
        tar.args(["--xattrs", "--acls", "-C"])
            .arg(&mount.folder)
            .arg("-cf")
            .arg(&out)
            .arg(".");
        well(&mut tar)
    })?);
    fs::remove_file(&out)?;
    // Out of the image.
    times[2][0].push(time(place, &out, || {
        well(Command::new(programs.out).arg("-i").arg(ours).arg("/").arg(&out))
    })?);
    fs::remove_dir_all(&out)?;
    times[2][1].push(time(place, &out, || {
        let mount = native("ro")?;
        well(Command::new("cp").arg("-a").arg(&mount.folder).arg(&out))
    })?);
    fs::remove_dir_all(&out)?;
    Ok(())
}

/// Seconds until what an act has written to `result` is on the disk, with all else on its file system.
fn time(place: &Path, result: &Path, act: impl FnOnce() -> Result<()>) -> Result<f64> {
    // What is to be written from before is not measured.
    well(Command::new("sync").arg("-f").arg(place))?;
    let start = Instant::now();
    act()?;
    well(Command::new("sync").arg("-f").arg(result))?;
    Ok(start.elapsed().as_secs_f64())
}
