//! Mounts for tests: by lklfuse, and by this machine's own Linux, which is the judge. Each is gone when it is dropped, and the
//! process that served it has ended well.

#![allow(dead_code)] // each test has a use for some of it

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub mod calls;
pub mod tree;

pub const LKLFUSE: &str = env!("CARGO_BIN_EXE_lklfuse");

/// Runs a program of this machine's, and asserts that it ends well. What it printed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}{said}");
    text.trim().to_owned()
}

/// A file system that this machine's Linux has as well, or whose makers' own tool judges it.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub name: &'static str,
    size: u64,
    maker: &'static [&'static str],
    checker: &'static [&'static str],
    /// What the judge is told when it mounts.
    options: &'static str,
}

pub const EXT4: Kind = Kind {
    name: "ext4",
    size: 96 << 20,
    maker: &["mkfs.ext4", "-q", "-F"],
    checker: &["e2fsck", "-f", "-n"],
    options: "",
};

pub const XFS: Kind = Kind {
    name: "xfs",
    size: 320 << 20,
    maker: &["mkfs.xfs", "-q", "-f"],
    checker: &["xfs_repair", "-n"],
    options: "nouuid",
};

pub const BTRFS: Kind = Kind {
    name: "btrfs",
    size: 256 << 20,
    maker: &["mkfs.btrfs", "-q", "-f"],
    checker: &["btrfs", "check"],
    options: "",
};

/// An image in a folder of its own.
pub struct Image {
    place: TempDir,
    pub kind: Kind,
}

impl Image {
    pub fn new(kind: Kind) -> Image {
        let place = tempfile::tempdir().unwrap();
        let image = Image { place, kind };
        File::create(image.path()).unwrap().set_len(kind.size).unwrap();
        let [maker, arguments @ ..] = kind.maker else {
            panic!()
        };
        let path = image.path();
        run(maker, &[arguments, &[path.to_str().unwrap()]].concat());
        image
    }

    /// The same bytes in another image.
    pub fn copy(&self) -> Image {
        let place = tempfile::tempdir().unwrap();
        let copy = Image {
            place,
            kind: self.kind,
        };
        fs::copy(self.path(), copy.path()).unwrap();
        copy
    }

    pub fn path(&self) -> PathBuf {
        self.place.path().join("disk.img")
    }

    /// The file system's own tool finds nothing.
    pub fn check(&self) {
        let [checker, arguments @ ..] = self.kind.checker else {
            panic!()
        };
        let path = self.path();
        run(checker, &[arguments, &[path.to_str().unwrap()]].concat());
    }
}

/// A mount by lklfuse, in the foreground of a process of its own.
pub struct Mount {
    place: TempDir,
    child: Option<Child>,
}

impl Mount {
    pub fn new(image: &Path, options: &str) -> Mount {
        let place = tempfile::tempdir().unwrap();
        // The root of a mount belongs to the image; this is only a place.
        let before = fs::metadata(place.path()).unwrap().dev();
        let mut command = Command::new(LKLFUSE);
        command.arg("-f").arg(image).arg(place.path());
        if !options.is_empty() {
            command.args(["-o", options]);
        }
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let mut mount = Mount {
            place,
            child: Some(child),
        };
        let started = Instant::now();
        while fs::metadata(mount.path()).unwrap().dev() == before {
            if let Some(status) = mount.child.as_mut().unwrap().try_wait().unwrap() {
                panic!("lklfuse {}: {status}", image.display());
            }
            assert!(started.elapsed() < Duration::from_secs(60), "no mount appears");
            std::thread::sleep(Duration::from_millis(5));
        }
        mount
    }

    pub fn path(&self) -> &Path {
        self.place.path()
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(self.child.as_ref().unwrap())
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for the process, which is ending.
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if started.elapsed() > Duration::from_secs(60) {
                child.kill().unwrap();
                panic!("lklfuse does not end");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Unmounts; everything is in the image then.
    pub fn end(mut self) {
        unmount(self.path());
        assert!(self.wait().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmount = Command::new("umount").arg("-l").arg(self.path()).output();
        if let Some(mut child) = self.child.take() {
            let _ = unmount;
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A mount by this machine's own Linux.
pub struct Native {
    place: TempDir,
}

impl Native {
    pub fn new(image: &Image, options: &str) -> Native {
        Native::of(
            &image.path(),
            image.kind.name,
            &[image.kind.options, options].join(","),
        )
    }

    pub fn of(image: &Path, fs: &str, options: &str) -> Native {
        let place = tempfile::tempdir().unwrap();
        let options = format!("loop,noatime,{options}").replace(",,", ",");
        let options = options.trim_end_matches(',');
        let (from, to) = (image.to_str().unwrap(), place.path().to_str().unwrap());
        run("mount", &["-t", fs, "-o", options, from, to]);
        Native { place }
    }

    pub fn path(&self) -> &Path {
        self.place.path()
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        unmount(self.path());
    }
}

/// Unmounts. Something else on this machine may look into a mount for a moment.
fn unmount(place: &Path) {
    for _ in 0..100 {
        let unmounted = Command::new("umount").arg(place).output().unwrap();
        if unmounted.status.success() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{} stays mounted", place.display());
}
