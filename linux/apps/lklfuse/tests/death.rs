//! Linux dies inside a mount: every operation fails and none hangs, the mount can be unmounted, and the program says why it ends.
//!
//! Damage does not make it die, since options that ask for that are refused. Want of memory does: with little of it, many
//! open files are more than Linux can hold, and it panics.

mod judge;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use judge::{EXT4, Image};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const EIO: i32 = 5;

/// Files that are more than 24 MiB hold.
const MANY: u64 = 40_000;

fn until_mounted(place: &Path) {
    let mounted = || fs::read_to_string("/proc/self/mounts").unwrap();
    while !mounted().contains(place.to_str().unwrap()) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Waits until something fails, and with what: what the kernel remembers takes it a moment to forget.
fn fails<T>(what: &str, act: impl Fn() -> std::io::Result<T>) -> i32 {
    for _ in 0..6000 {
        if let Err(error) = act() {
            return error.raw_os_error().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{what} still works");
}

#[test]
fn when_linux_dies_everything_fails_and_the_mount_ends_with_its_reason() {
    let limit = Rlimit {
        current: Some(MANY + 1000),
        maximum: getrlimit(Resource::Nofile)
            .maximum
            .map(|most| most.max(MANY + 1000)),
    };
    // Where it is not allowed the limit is high enough as it is, or the test says how many files there were.
    let _ = setrlimit(Resource::Nofile, limit);
    let (image, place) = (Image::new(EXT4), tempfile::tempdir().unwrap());
    let mut lklfuse = Command::new(judge::LKLFUSE);
    lklfuse.arg("-f").arg(image.path()).arg(place.path());
    lklfuse.args(["-o", "rw,memory=24"]).stdin(Stdio::null());
    let mut child = lklfuse.stderr(Stdio::piped()).spawn().unwrap();
    until_mounted(place.path());
    let path = |name: &str| place.path().join(name);
    // What the kernel has in its caches.
    fs::create_dir(path("folder")).unwrap();
    fs::write(path("folder/read"), vec![1; 100_000]).unwrap();
    std::os::unix::fs::symlink("read", path("folder/link")).unwrap();
    assert_eq!(fs::read(path("folder/read")).unwrap().len(), 100_000);
    assert_eq!(fs::read_dir(path("folder")).unwrap().count(), 2);
    let (read, written) = (
        File::open(path("folder/read")).unwrap(),
        File::create(path("folder/written")).unwrap(),
    );
    let mut open = Vec::new();
    let died = (0..MANY).find_map(|number| match File::create(path(&format!("f{number}"))) {
        Ok(file) => {
            open.push(file);
            None
        }
        Err(error) => error.raw_os_error(),
    });
    assert_eq!(died, Some(EIO), "after {} files", open.len());
    let failures = [
        ("stat", fails("stat", || fs::metadata(path("folder/read")))),
        (
            "of the root",
            fails("stat of the root", || fs::metadata(place.path())),
        ),
        ("open", fails("open", || File::open(path("folder/read")))),
        ("list", fails("list", || fs::read_dir(path("folder")).map(drop))),
        ("make", fails("make", || File::create(path("new")))),
        ("folder", fails("mkdir", || fs::create_dir(path("folder/inner")))),
        ("remove", fails("remove", || fs::remove_file(path("folder/read")))),
        ("move", fails("move", || fs::rename(path("f1"), path("f2")))),
        (
            "link",
            fails("read a link", || fs::read_link(path("folder/link"))),
        ),
        ("write", fails("write", || written.write_at(b"x", 0))),
        ("sync", fails("sync", || written.sync_all())),
        ("cut", fails("cut", || written.set_len(5))),
        ("read", fails("read", || read.read_at(&mut [0; 10], 50_000))),
    ];
    for (what, errno) in failures {
        assert_eq!(errno, EIO, "{what}");
    }
    drop((open, read, written));
    judge::run("umount", &[place.path().to_str().unwrap()]);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(
        lines[0].contains("Kernel panic") && lines[0].contains("unmount it"),
        "{said}"
    );
    assert!(lines[1].contains("what was not synced before is lost"), "{said}");
}
