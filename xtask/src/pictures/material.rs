//! What is shown: images and a disk, the same in every run.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

/// The day of everything: 2026-03-14, noon.
const DAY: u64 = 1_773_489_600;
/// A megabyte, as mkfs counts.
const MIB: u64 = 1 << 20;

/// Where it is.
pub struct Material {
    /// What the machine has as drive C:.
    pub drive_c: PathBuf,
    /// A folder of it with images.
    pub images: PathBuf,
    /// A disk with two partitions.
    pub disk: PathBuf,
}

/// Makes it in `place`, anew.
pub fn make(sh: &Shell, place: &Path) -> Result<Material> {
    if place.exists() {
        fs::remove_dir_all(place)?;
    }
    let (drive_c, parts) = (place.join("c"), place.join("parts"));
    let images = drive_c.join("images");
    for folder in [&images, &parts] {
        fs::create_dir_all(folder)?;
    }
    let tree = tree(&place.join("tree"))?;
    fs::write(
        images.join("notes.txt"),
        "Not a disk, whatever it is called.\n".repeat(200),
    )?;
    dated(&images.join("notes.txt"))?;

    // A server's image: btrfs in a qcow2.
    let raw = parts.join("server.img");
    btrfs(sh, &raw, "server", "0e6f6a52-51b7-4d2e-9e8a-3f1d7c5b9a01", &tree)?;
    let server = images.join("server.qcow2");
    cmd!(sh, "qemu-img convert -O qcow2 {raw} {server}")
        .quiet()
        .run()?;
    // A rescue stick's: squashfs.
    let stick = images.join("stick.img");
    cmd!(
        sh,
        "mksquashfs {tree} {stick} -noappend -no-progress -quiet -all-root -comp xz"
    )
    .env("SOURCE_DATE_EPOCH", DAY.to_string())
    .quiet()
    .ignore_stdout()
    .run()
    .context("mksquashfs")?;

    // The second system of a machine that has two.
    let (root, home) = (parts.join("root.img"), parts.join("home.img"));
    ext4(sh, &root, "debian", "7d1c9f3a-2b64-4c18-8f0e-a5d2e6b37c02", &tree)?;
    btrfs(sh, &home, "home", "c4a8e1d7-6f93-4b05-b2ac-18e9d0f6c703", &tree)?;
    let disk = place.join("disk.img");
    partitioned(sh, &disk, &[&root, &home])?;
    Ok(Material {
        drive_c,
        images,
        disk,
    })
}

/// The files that are on all of them.
fn tree(folder: &Path) -> Result<PathBuf> {
    for (path, text) in [
        ("etc/hostname", "server\n"),
        ("etc/fstab", "# <file system> <mount point> <type>\n"),
        ("home/ada/notes.txt", "Buy more disks.\n"),
        ("home/ada/photos/harbour.jpg", "not really\n"),
        ("etc/motd", "Welcome. This is a Linux volume.\n"),
    ] {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        fs::write(&path, text)?;
    }
    all_dated(folder)?;
    Ok(folder.to_owned())
}

fn all_dated(path: &Path) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            all_dated(&entry?.path())?;
        }
    }
    dated(path)
}

fn dated(path: &Path) -> Result<()> {
    let time = UNIX_EPOCH + Duration::from_secs(DAY);
    File::open(path)?
        .set_modified(time)
        .with_context(|| format!("{}: its time", path.display()))
}

fn sized(path: &Path, mib: u64) -> Result<()> {
    Ok(File::create(path)?.set_len(mib * MIB)?)
}

fn ext4(sh: &Shell, image: &Path, label: &str, uuid: &str, tree: &Path) -> Result<()> {
    sized(image, 32)?;
    cmd!(
        sh,
        "mkfs.ext4 -q -F -L {label} -U {uuid} -E root_owner=0:0,hash_seed={uuid} -d {tree} {image}"
    )
    .env("E2FSPROGS_FAKE_TIME", DAY.to_string())
    .quiet()
    .run()
    .context("mkfs.ext4")
}

fn btrfs(sh: &Shell, image: &Path, label: &str, uuid: &str, tree: &Path) -> Result<()> {
    sized(image, 128)?;
    cmd!(sh, "mkfs.btrfs -q -L {label} -U {uuid} --rootdir {tree} {image}")
        .quiet()
        // It says what is new since version 5.15.
        .ignore_stdout()
        .ignore_stderr()
        .run()
        .context("mkfs.btrfs")
}

/// A disk with a GPT and these partitions.
fn partitioned(sh: &Shell, disk: &Path, parts: &[&Path]) -> Result<()> {
    let mut script = "label: gpt\nlabel-id: 5B0C2E4D-93A1-4F77-8D6E-2C1B0A9F8E04\n".to_owned();
    let mut start = 1;
    let mut starts = Vec::new();
    for part in parts {
        let mib = fs::metadata(part)?.len().div_ceil(MIB);
        script.push_str(&format!("start={start}MiB, size={mib}MiB\n"));
        starts.push(start * MIB);
        start += mib;
    }
    sized(disk, start + 1)?;
    cmd!(sh, "sfdisk -q {disk}")
        .stdin(&script)
        .quiet()
        .run()
        .context("sfdisk")?;
    let mut file = File::options().write(true).open(disk)?;
    for (part, start) in parts.iter().zip(starts) {
        file.seek(SeekFrom::Start(start))?;
        // Read as a whole: at most 128 MiB.
        file.write_all(&fs::read(part)?)?;
    }
    Ok(())
}
