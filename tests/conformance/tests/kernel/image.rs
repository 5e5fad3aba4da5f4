//! Images for the scenarios, made by mkfs, and the ways to boot and to look at this process.

use crate::tried::{BootConfig, FileDisk, Hooks};
pub use conformance::content::content;
use lkl::{Disk, Kernel};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

pub fn boot() -> Kernel {
    boot_with("")
}

pub fn boot_with(command_line: &str) -> Kernel {
    let config = BootConfig {
        pool_size: 64 << 20,
        command_line,
    };
    crate::tried::boot_with(Hooks::to_stderr(), &config).expect("Linux boots")
}

/// Threads of this process.
pub fn host_threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// A volume in a file, and the folder that it was made from.
pub struct Image {
    folder: tempfile::TempDir,
}

impl Image {
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    pub fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(FileDisk::open(self.path()).unwrap())
    }
}

/// Files f0 to f39 of growing sizes, a folder with 500 entries, a deep folder, links, odd names.
pub const FILES: usize = 40;
pub fn len_of(number: usize) -> usize {
    number * number * 211
}

fn fill(source: &Path) {
    std::fs::create_dir_all(source.join("many")).unwrap();
    for number in 0..FILES {
        std::fs::write(source.join(format!("f{number}")), content(number, len_of(number))).unwrap();
    }
    for number in 0..500 {
        std::fs::write(source.join(format!("many/entry-{number:04}")), "").unwrap();
    }
    std::fs::create_dir_all(source.join("a/b/c/d")).unwrap();
    std::fs::write(source.join("a/b/c/d/Grüße 😀"), "deep\n").unwrap();
    std::os::unix::fs::symlink("a/b", source.join("link")).unwrap();
    std::os::unix::fs::symlink("/dev/null", source.join("absolute")).unwrap();
    make_fifo(&source.join("fifo"));
}

fn make_fifo(path: &Path) {
    run(Command::new("mkfifo").arg(path));
}

/// Runs a program; what it says.
fn run(command: &mut Command) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = command.env("PATH", path).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn new() -> Image {
    let image = Image {
        folder: tempfile::tempdir().unwrap(),
    };
    fill(&image.source());
    image
}

pub fn ext4() -> Image {
    let image = new();
    let file = std::fs::File::create(image.path()).unwrap();
    file.set_len(32 << 20).unwrap();
    run(Command::new("mkfs.ext4")
        .args(["-q", "-b", "4096", "-L", "Probe", "-d"])
        .arg(image.source())
        .arg(image.path()));
    image
}

pub fn btrfs() -> Image {
    let image = new();
    let file = std::fs::File::create(image.path()).unwrap();
    file.set_len(128 << 20).unwrap();
    run(Command::new("mkfs.btrfs")
        .args(["-q", "--rootdir"])
        .arg(image.source())
        .arg(image.path()));
    image
}

/// Of the tree only `f1`, the FIFO, the link and the folder `many`.
pub fn xfs() -> Image {
    let image = new();
    let file = std::fs::File::create(image.path()).unwrap();
    file.set_len(320 << 20).unwrap();
    let empty = image.source().join("many/entry-0000");
    let many: String = (0..500)
        .map(|number| format!("entry-{number:04} ---644 0 0 {}\n", empty.display()))
        .collect();
    let script = format!(
        "/\n0 0\nd--755 0 0\nf1 ---644 0 0 {}\nfifo p--644 0 0\nlink l--777 0 0 a/b\n\
         many d--755 0 0\n{many}$\n$\n",
        image.source().join("f1").display()
    );
    let path = image.folder.path().join("script");
    std::fs::write(&path, script).unwrap();
    run(Command::new("mkfs.xfs")
        .args(["-q", "-p"])
        .arg(&path)
        .arg(image.path()));
    image
}

pub fn squashfs() -> Image {
    let image = new();
    run(Command::new("mksquashfs")
        .arg(image.source())
        .arg(image.path())
        .args(["-quiet", "-no-progress"]));
    image
}

/// The file whose first block [`dirty_ext4`]'s journal changes.
pub const CHANGED: usize = 34;

/// An ext4 image whose journal holds a transaction that the volume does not, made by debugfs: the first 4096 bytes of one
/// file become 'Z' when it is replayed.
pub fn dirty_ext4() -> Image {
    let image = ext4();
    let block = first_block(&image, &format!("/f{CHANGED}"));
    let zeds = image.folder.path().join("zeds");
    std::fs::write(&zeds, vec![b'Z'; 4096]).unwrap();
    debugfs(&image, format!("jo\njw -b {block} {}\njc\n", zeds.display()));
    image
}

/// Runs these commands; what is said of them.
fn debugfs(image: &Image, script: String) -> String {
    let path = image.folder.path().join("script");
    std::fs::write(&path, script).unwrap();
    run(Command::new("debugfs")
        .arg("-w")
        .arg("-f")
        .arg(&path)
        .arg(image.path()))
}

/// The first block of a file or folder.
fn first_block(image: &Image, path: &str) -> u32 {
    let answer = debugfs(image, format!("bmap {path} 0\n"));
    let block = answer.lines().last().unwrap().trim().parse::<u32>();
    block
        .ok()
        .filter(|block| *block > 0)
        .unwrap_or_else(|| panic!("debugfs says {answer:?}"))
}

/// An ext4 image whose superblock wants a panic at the first error, in both ways that there are, and whose folder `a` has a
/// block with a wrong checksum.
pub fn panicking_ext4() -> Image {
    let image = ext4();
    run(Command::new("tune2fs")
        .args(["-e", "panic", "-E", "mount_opts=errors=panic"])
        .arg(image.path()));
    let at = u64::from(first_block(&image, "/a")) * 4096 + 4095;
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(image.path())
        .unwrap();
    let mut last = [0];
    file.read_exact_at(&mut last, at).unwrap();
    file.write_all_at(&[!last[0]], at).unwrap();
    image
}
