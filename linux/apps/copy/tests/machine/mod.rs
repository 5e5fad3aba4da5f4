//! What the tests do with this machine: run programs, make images, mount them, and look at trees.

#![allow(dead_code, reason = "each test uses a part")]

pub mod images;
pub mod shown;
pub mod tree;

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// One of the programs.
pub fn program(name: &str) -> Command {
    let path = match name {
        "fs2tar" => env!("CARGO_BIN_EXE_fs2tar"),
        "cptofs" => env!("CARGO_BIN_EXE_cptofs"),
        _ => env!("CARGO_BIN_EXE_cpfromfs"),
    };
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    command
}

/// Its output and its exit code.
pub fn run(name: &str, arguments: &[&OsStr]) -> (String, i32) {
    let output = program(name).args(arguments).output().unwrap();
    (said(&output), output.status.code().unwrap_or(-1))
}

/// The same, and all must be well.
#[track_caller]
pub fn well(name: &str, arguments: &[&OsStr]) -> String {
    let (said, code) = run(name, arguments);
    assert_eq!(code, 0, "{name}: {said}");
    said
}

pub fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// A program of the machine's, which must end well.
#[track_caller]
pub fn machine(program: &str, arguments: &[&OsStr]) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        // bsdtar takes names for text.
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        said(&output)
    );
    said(&output)
}

/// Arguments of several kinds.
#[macro_export]
macro_rules! arguments {
    ($($argument:expr),* $(,)?) => { &[$(std::ffi::OsStr::new($argument)),*] as &[&std::ffi::OsStr] };
}

/// A file system that is written.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub name: &'static str,
    mkfs: &'static [&'static str],
    fsck: &'static [&'static str],
}

pub const KINDS: &[Kind] = &[
    Kind {
        name: "ext4",
        mkfs: &["mkfs.ext4", "-q"],
        fsck: &["e2fsck", "-fn"],
    },
    Kind {
        name: "btrfs",
        mkfs: &["mkfs.btrfs", "-q"],
        fsck: &["btrfs", "check", "--readonly"],
    },
    Kind {
        name: "xfs",
        mkfs: &["mkfs.xfs", "-q"],
        fsck: &["xfs_repair", "-n", "-f"],
    },
    Kind {
        name: "f2fs",
        mkfs: &["mkfs.f2fs", "-q"],
        fsck: &["fsck.f2fs", "--dry-run", "-f"],
    },
];

impl Kind {
    pub fn named(name: &str) -> Kind {
        *KINDS.iter().find(|kind| kind.name == name).unwrap()
    }

    /// An empty volume in a new file.
    pub fn make(self, image: &Path, mib: u64) {
        File::create(image).unwrap().set_len(mib << 20).unwrap();
        let arguments: Vec<&OsStr> = self.mkfs[1..]
            .iter()
            .map(OsStr::new)
            .chain([image.as_os_str()])
            .collect();
        machine(self.mkfs[0], &arguments);
    }

    /// Its checker finds nothing.
    #[track_caller]
    pub fn check(self, image: &Path) {
        let arguments: Vec<&OsStr> = self.fsck[1..]
            .iter()
            .map(OsStr::new)
            .chain([image.as_os_str()])
            .collect();
        let text = machine(self.fsck[0], &arguments);
        // fsck.f2fs ends well whatever it finds.
        assert!(!text.contains("[Fail]"), "{text}");
    }

    /// Whether this machine's own Linux can mount it.
    pub fn is_native(self) -> bool {
        let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
        let known = known.lines().any(|line| line.trim() == self.name);
        if !known {
            eprintln!("this machine's own Linux cannot mount {}", self.name);
        }
        known
    }
}

/// Whether a test can do what only root may; told when it cannot.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root() && Path::new("/dev/loop-control").exists();
    if !root {
        eprintln!("skipped: needs root and loop devices");
    }
    root
}

/// What this machine's own Linux has mounted.
pub struct Native {
    pub folder: tempfile::TempDir,
}

impl Native {
    pub fn mount(image: &Path, options: &str) -> Native {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("loop,{options}");
        machine("mount", arguments!["-o", &options, image, folder.path()]);
        Native { folder }
    }

    /// A folder once more, where reading changes nothing.
    pub fn still(of: &Path) -> Native {
        let folder = tempfile::tempdir().unwrap();
        machine("mount", arguments!["--bind", of, folder.path()]);
        let native = Native { folder };
        machine(
            "mount",
            arguments!["-o", "remount,bind,ro,noatime", native.path()],
        );
        native
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        machine("umount", arguments![self.folder.path()]);
    }
}

/// A folder for one test, on a file system that has attributes, and where users other than root may go.
pub fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.path(), open).unwrap();
    place
}

pub fn join(place: &tempfile::TempDir, name: &str) -> PathBuf {
    place.path().join(name)
}
