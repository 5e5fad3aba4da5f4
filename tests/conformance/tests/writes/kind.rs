//! File systems: how an empty volume is made, mounted elsewhere and checked.

use linux_full::WritableDisks;
use lkl::Kernel;
use lkl_host_posix::{BootConfig, Hooks, WritableFile};
use lkl_write::{Volume, WritableDevice};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

/// A file system.
pub struct Kind {
    /// As Linux calls it.
    pub name: &'static str,
    mib: u64,
    mkfs: &'static [&'static str],
    fsck: &'static [&'static str],
    /// Whether it has links, of both kinds.
    pub links: bool,
    /// Whether a file can have holes made in it.
    pub holes: bool,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "ext4",
        mib: 64,
        mkfs: &["mkfs.ext4", "-q", "-b", "4096"],
        fsck: &["e2fsck", "-fn"],
        links: true,
        holes: true,
    },
    Kind {
        name: "btrfs",
        mib: 192,
        mkfs: &["mkfs.btrfs", "-q"],
        fsck: &["btrfs", "check", "--readonly"],
        links: true,
        holes: true,
    },
    Kind {
        name: "xfs",
        mib: 320,
        mkfs: &["mkfs.xfs", "-q"],
        fsck: &["xfs_repair", "-n", "-f"],
        links: true,
        holes: true,
    },
    Kind {
        name: "f2fs",
        mib: 128,
        mkfs: &["mkfs.f2fs", "-q"],
        fsck: &["fsck.f2fs", "--dry-run", "-f"],
        links: true,
        holes: true,
    },
    Kind {
        name: "vfat",
        mib: 64,
        mkfs: &["mkfs.vfat", "-F", "32"],
        fsck: &["fsck.vfat", "-n"],
        links: false,
        holes: false,
    },
];

/// The file system of that name.
pub fn named(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == name).expect("a kind")
}

/// Runs a program.
pub fn run(program: &[&str], last: &Path) -> Output {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg(last).env("PATH", path);
    command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program:?}: {error}"))
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

impl Kind {
    /// Makes an empty volume in a new file, at an offset.
    pub fn make(&self, path: &Path, offset: u64, behind: u64) {
        let volume = path.with_extension("volume");
        let file = std::fs::File::create(&volume).unwrap();
        file.set_len(self.mib << 20).unwrap();
        let made = run(self.mkfs, &volume);
        assert!(made.status.success(), "{}: {}", self.name, said(&made));
        if offset == 0 && behind == 0 {
            return std::fs::rename(&volume, path).unwrap();
        }
        use std::os::unix::fs::FileExt;
        let whole = std::fs::File::create(path).unwrap();
        let bytes = std::fs::read(&volume).unwrap();
        whole.write_all_at(&bytes, offset).unwrap();
        whole.set_len(offset + bytes.len() as u64 + behind).unwrap();
        std::fs::remove_file(volume).unwrap();
    }

    /// Bytes of a volume.
    pub fn bytes(&self) -> u64 {
        self.mib << 20
    }

    /// What its checker finds wrong; nothing, if all is well.
    pub fn damage(&self, path: &Path) -> Option<String> {
        let checked = run(self.fsck, path);
        let text = said(&checked);
        // fsck.f2fs always ends well, and says what it would have mended.
        let wrong = !checked.status.success() || (self.name == "f2fs" && text.contains("[Fail]"));
        wrong.then(|| format!("{:?} finds: {text}", self.fsck))
    }

    /// Mounts it with this machine's own Linux, read-only, if that can; calls `look` with the folder.
    pub fn natively(&self, path: &Path, look: impl FnOnce(&Path)) -> bool {
        let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
        let known = known.lines().any(|line| line.trim() == self.name);
        let root =
            String::from_utf8_lossy(&Command::new("id").arg("-u").output().unwrap().stdout).trim() == "0";
        if !known || !root || !Path::new("/dev/loop-control").exists() {
            eprintln!(
                "not looked at by this machine's own Linux, which cannot mount {}",
                self.name
            );
            return false;
        }
        let folder = tempfile::tempdir().unwrap();
        // Writable, so that a journal can be replayed: the image is a test's own.
        let made = run(&["losetup", "--find", "--show"], path);
        assert!(made.status.success(), "losetup: {}", said(&made));
        let device = PathBuf::from(String::from_utf8_lossy(&made.stdout).trim());
        let native = Native {
            folder: folder.path().to_owned(),
            device: device.clone(),
        };
        let mounted = run(
            &["mount", "-t", self.name, "-o", "ro", device.to_str().unwrap()],
            folder.path(),
        );
        assert!(
            mounted.status.success(),
            "mount {}: {}",
            self.name,
            said(&mounted)
        );
        look(folder.path());
        drop(native);
        true
    }
}

/// A mount of this machine's own Linux, and its loop device.
struct Native {
    folder: PathBuf,
    device: PathBuf,
}

impl Drop for Native {
    fn drop(&mut self) {
        // One that was not mounted is none to unmount.
        let _ = run(&["umount"], &self.folder);
        let _ = run(&["losetup", "--detach"], &self.device);
    }
}

/// Boots the Linux that writes.
pub fn boot() -> Kernel {
    let config = BootConfig {
        pool_size: 128 << 20,
        command_line: "",
    };
    lkl_host_posix::boot_with(Hooks::to_stderr(), &config).expect("Linux boots")
}

/// A file as a disk of that Linux.
pub fn add(kernel: &Kernel, path: &Path) -> WritableDevice {
    let disk = WritableFile::open(path, true).expect("the image opens");
    kernel.add_writable_disk(Arc::new(disk), 0).expect("a disk")
}

/// Unmounts, and tells what was not written.
pub fn unmount(volume: Volume) {
    if let Err(error) = volume.unmount() {
        panic!("{error}");
    }
}
