//! The shipped driver in the double: `LKLFS_SYS` names the lklfs.sys to load (`cargo xtask test` builds and
//! names one).
//!
//! Without the variable these tests say so and do nothing; with it, a driver that is not there is an error.
//! Images are made by mkfs from a tree that the test writes, so the tree is what every read is compared with;
//! where this process may mount, a native read-only loop mount of the same image is compared, too.

use ntos::cc::segment::Role;
use ntos::disk::{Completion, DiskConfig, Fault, FaultKind};
use ntos::io::names::wide;
use ntos::loader::Options;
use ntos::nt::*;
use ntos::user::records::{Reparse, linux_target};
use ntos::user::volume::{Trouble, Volume};
use ntos::user::{Machine, MachineError, OpenAs};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

/// The driver, if there is one to test.
fn driver() -> Option<&'static Path> {
    static DRIVER: OnceLock<Option<PathBuf>> = OnceLock::new();
    DRIVER
        .get_or_init(|| {
            let path = std::env::var_os("LKLFS_SYS").map(PathBuf::from);
            match &path {
                None => eprintln!(
                    "skipped: LKLFS_SYS is not set; `cargo xtask test` builds lklfs.sys and sets it"
                ),
                Some(path) => assert!(
                    path.is_file(),
                    "LKLFS_SYS names {}, which is no file",
                    path.display()
                ),
            }
            path
        })
        .as_deref()
}

fn scratch() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lklfs-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the target directory is writable");
    dir
}

/// What a tree holds at a path: a directory, a file's bytes, a link's target.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File(Vec<u8>),
    Link(Vec<u8>),
}

fn bytes(len: usize, seed: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at.wrapping_mul(31) ^ (at >> 9) ^ seed) as u8)
        .collect()
}

/// The tree that images are made from, by path from the root.
fn tree() -> BTreeMap<String, Node> {
    let mut tree = BTreeMap::new();
    let mut file = |path: &str, data: Vec<u8>| tree.insert(path.to_owned(), Node::File(data));
    file("empty", Vec::new());
    file("small", b"hello\n".to_vec());
    file("big", bytes(3_000_001, 7));
    file("page", bytes(4096, 9));
    file("deep/er/and/deeper/file", bytes(70_000, 3));
    file("deep/name with spaces", b"x".to_vec());
    file("deep/\u{e4}\u{4e2d}\u{1f600}", b"utf-8".to_vec());
    for number in 0..300 {
        file(
            &format!("many/file-{number:04}"),
            format!("{number}").into_bytes(),
        );
    }
    for path in ["deep", "deep/er", "deep/er/and", "deep/er/and/deeper", "many"] {
        tree.insert(path.into(), Node::Directory);
    }
    tree.insert("link".into(), Node::Link(b"deep/er/and/deeper/file".to_vec()));
    tree.insert("deep/up".into(), Node::Link(b"../small".to_vec()));
    tree.insert("directory-link".into(), Node::Link(b"deep/er".to_vec()));
    tree.insert("dangling".into(), Node::Link(b"no/such".to_vec()));
    tree
}

/// An ext4 image of [`tree`].
fn image() -> &'static Path {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let root = scratch().join("tree");
        for (path, node) in tree() {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("below the root")).expect("writable");
            match node {
                Node::Directory => std::fs::create_dir_all(&path).expect("writable"),
                Node::File(data) => std::fs::write(&path, data).expect("writable"),
                Node::Link(target) => {
                    let target = String::from_utf8(target).expect("targets are text");
                    std::os::unix::fs::symlink(target, &path).expect("writable");
                }
            }
        }
        let image = scratch().join("ext4.img");
        std::fs::File::create(&image)
            .and_then(|file| file.set_len(64 << 20))
            .expect("writable");
        let made = Command::new("/sbin/mkfs.ext4")
            .args(["-q", "-d"])
            .arg(&root)
            .arg(&image)
            .output();
        let made = made.expect("mkfs.ext4 runs: apt-get install e2fsprogs");
        assert!(
            made.status.success(),
            "mkfs.ext4: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        image
    })
}

/// Loads the driver on a machine with the image, mounts, acts, unloads, and wants nothing left.
fn on(seed: u64, completion: Completion, act: impl FnOnce(&Machine, &Volume)) {
    let Some(driver) = driver() else { return };
    let disk = DiskConfig::image(image()).completion(completion);
    let mut machine = Machine::builder()
        .seed(seed)
        .disk(disk)
        .start()
        .expect("the image is good");
    machine.load_driver(driver).expect("the driver loads");
    {
        let (_, volume) = Volume::first(&machine, &machine.disks()[0]).expect("ext4 is mounted");
        act(&machine, &volume);
    }
    let report = machine.unload();
    assert_eq!(report.writes(), 0);
    assert!(report.is_clean(), "left behind:\n{report}");
}

fn windows(path: &str) -> Vec<u16> {
    wide(&format!("\\{}", path.replace('/', "\\")))
}

/// Reads the volume as a tree.
fn read_tree(volume: &Volume) -> Result<BTreeMap<String, Node>, Trouble> {
    let mut troubles = Vec::new();
    let mut tree = BTreeMap::new();
    for entry in volume.walk(&mut troubles) {
        let attributes = entry.facts.attributes;
        let node = if attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
            Node::Link(linux_target(&volume.reparse(&entry.path)?).unwrap_or_default())
        } else if attributes & FILE_ATTRIBUTE_DIRECTORY != 0 {
            Node::Directory
        } else {
            let mut data = Vec::new();
            let how = OpenAs::read().exact_case();
            let read = volume.read(&entry.path, how, &mut |part| {
                data.extend_from_slice(part);
                Ok(())
            });
            assert_eq!(read.expect("the file is readable"), entry.facts.size);
            Node::File(data)
        };
        tree.insert(
            String::from_utf16_lossy(&entry.path)
                .trim_start_matches('\\')
                .replace('\\', "/"),
            node,
        );
    }
    tree.remove("");
    tree.remove("lost+found");
    match troubles.pop() {
        None => Ok(tree),
        Some(trouble) => Err(trouble),
    }
}

fn assert_same(wanted: &BTreeMap<String, Node>, found: &BTreeMap<String, Node>, what: &str) {
    let names = |tree: &BTreeMap<String, Node>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(wanted), names(found), "{what}: names");
    for (path, node) in wanted {
        assert!(found.get(path) == Some(node), "{what}: {path} differs");
    }
}

#[test]
fn the_whole_tree_is_read_as_it_was_written() {
    for (seed, completion) in [
        (0, Completion::Inline),
        (1, Completion::Queued),
        (2, Completion::Seeded),
    ] {
        on(seed, completion, |_, volume| {
            assert_same(
                &tree(),
                &read_tree(volume).expect("all is readable"),
                "lklfs.sys and the source",
            );
        });
    }
}

#[test]
fn a_native_mount_shows_the_same() {
    let Some(_) = driver() else { return };
    let point = scratch().join("native");
    std::fs::create_dir_all(&point).expect("writable");
    let mounted = Command::new("mount")
        .args(["-o", "loop,ro"])
        .arg(image())
        .arg(&point)
        .output();
    if !mounted.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this process may not mount");
        return;
    }
    let mut native = BTreeMap::new();
    let mut todo = vec![point.clone()];
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(&directory).expect("readable").flatten() {
            let kind = entry.file_type().expect("it has a type");
            let node = if kind.is_symlink() {
                let target = std::fs::read_link(entry.path()).expect("a link");
                Node::Link(std::os::unix::ffi::OsStrExt::as_bytes(target.as_os_str()).to_vec())
            } else if kind.is_dir() {
                todo.push(entry.path());
                Node::Directory
            } else {
                Node::File(std::fs::read(entry.path()).expect("readable"))
            };
            let path = entry
                .path()
                .strip_prefix(&point)
                .expect("below")
                .to_string_lossy()
                .into_owned();
            native.insert(path, node);
        }
    }
    native.remove("lost+found");
    let unmounted = Command::new("umount").arg(&point).status().expect("umount runs");
    assert!(unmounted.success());
    on(3, Completion::Seeded, |_, volume| {
        assert_same(
            &native,
            &read_tree(volume).expect("all is readable"),
            "lklfs.sys and a native mount",
        );
    });
}

#[test]
fn a_file_reads_the_same_by_every_way() {
    on(4, Completion::Seeded, |_, volume| {
        let data = bytes(3_000_001, 7);
        let cached = volume.open(&windows("big"), OpenAs::read()).expect("opens");
        assert_eq!(cached.read(Some(0), data.len() + 1).bytes, data);
        assert_eq!(cached.read(Some(2_999_990), 100).bytes, data[2_999_990..]);
        assert_eq!(cached.read(Some(3_000_001), 1).status, STATUS_END_OF_FILE);
        let uncached = volume
            .open(&windows("big"), OpenAs::read().uncached())
            .expect("opens");
        assert_eq!(
            uncached.read(Some(1_048_576), 1 << 20).bytes,
            data[1_048_576..2_097_152]
        );
        assert_eq!(uncached.read(Some(512), 4096).bytes, data[512..4608]);
        let section = cached.map(Role::Data).expect("maps");
        let mut part = vec![0; 10_000];
        section.read(1_234_567, &mut part).expect("faults in");
        assert_eq!(part, data[1_234_567..1_244_567]);
        let image = cached.map(Role::Image).expect("maps");
        image.read(2_000_000, &mut part).expect("faults in");
        assert_eq!(part, data[2_000_000..2_010_000]);
    });
}

#[test]
fn links_lead_where_they_say() {
    on(5, Completion::Seeded, |_, volume| {
        let open = |path: &str| volume.open(&windows(path), OpenAs::read());
        assert_eq!(
            open("deep/up").expect("follows").read(Some(0), 10).bytes,
            b"hello\n"
        );
        let through = open("directory-link/and/deeper/file").expect("follows");
        assert_eq!(through.read(Some(0), 70_000).bytes, bytes(70_000, 3));
        assert!(open("dangling").is_err());
        let dangling = volume.reparse(&windows("dangling")).expect("a link");
        assert_eq!(dangling, Reparse::LxSymlink(b"no/such".to_vec()));
    });
}

#[test]
fn nothing_can_be_changed() {
    on(6, Completion::Seeded, |_, volume| {
        let try_open = |path: &str, how: OpenAs| volume.open(&windows(path), how).map(|_| ());
        let writing = OpenAs::read().access(FILE_GENERIC_WRITE);
        assert_eq!(try_open("small", writing), Err(STATUS_MEDIA_WRITE_PROTECTED));
        assert_eq!(
            try_open("new", OpenAs::read().disposition(FILE_CREATE)),
            Err(STATUS_MEDIA_WRITE_PROTECTED)
        );
        assert!(try_open("small", OpenAs::read().access(DELETE).with(FILE_DELETE_ON_CLOSE)).is_err());
        let handle = volume.open(&windows("small"), OpenAs::read()).expect("opens");
        assert_eq!(
            handle.set_information(4, &[0; 40]).status,
            STATUS_MEDIA_WRITE_PROTECTED
        );
        assert_eq!(handle.read(Some(0), 10).bytes, b"hello\n");
    });
}

#[test]
fn a_notification_waits_and_ends() {
    on(7, Completion::Seeded, |_, volume| {
        let how = OpenAs::read().with(FILE_DIRECTORY_FILE).asynchronous();
        let directory = volume.open(&windows("many"), how.clone()).expect("opens");
        let pending = directory.notify(1, false, 1024).expect("sent");
        assert_eq!((pending.returned(), pending.is_done()), (STATUS_PENDING, false));
        assert!(pending.cancel());
        assert_eq!(pending.wait().status, STATUS_CANCELLED);
        let pending = directory.notify(1, false, 1024).expect("sent");
        directory.close();
        assert_eq!(pending.wait().status, STATUS_NOTIFY_CLEANUP);
    });
}

#[test]
fn every_read_error_is_survived() {
    let Some(driver) = driver() else { return };
    let mut index = 1;
    loop {
        let disk = DiskConfig::image(image()).completion(Completion::Seeded);
        let mut machine = Machine::builder()
            .seed(index)
            .disk(disk)
            .start()
            .expect("the image is good");
        machine.load_driver(driver).expect("the driver loads");
        let disk = machine.disks()[0].clone();
        disk.fail(Fault::once(index, FaultKind::Error(STATUS_DEVICE_DATA_ERROR)));
        let outcome = Volume::first(&machine, &disk).map(|(_, volume)| {
            volume
                .open(&windows("deep/er/and/deeper/file"), OpenAs::read())
                .map(|file| file.read(Some(0), 70_000))
        });
        if let Ok(Ok(read)) = &outcome
            && read.status == STATUS_SUCCESS
        {
            assert!(
                read.bytes == bytes(70_000, 3),
                "a read error at {index} gave wrong data"
            );
        }
        drop(outcome);
        let reached = disk.counts.reads.load(Ordering::Relaxed) >= index;
        let report = machine.unload();
        assert!(report.is_clean(), "read error at {index}:\n{report}");
        if !reached {
            assert!(index > 3, "a mount and a read take more than {index} requests");
            return;
        }
        index += 1;
    }
}

#[test]
fn a_kernel_that_cannot_expand_stacks_is_refused_and_nothing_is_left() {
    let Some(driver) = driver() else { return };
    let names = ["KeExpandKernelStackAndCallout", "KeExpandKernelStackAndCalloutEx"];
    let options = Options {
        hide: names.map(str::to_owned).to_vec(),
        ..Options::default()
    };
    let mut machine = Machine::builder()
        .disk(DiskConfig::image(image()))
        .options(options)
        .start()
        .expect("the image is good");
    match machine.load_driver(driver) {
        Err(MachineError::Entry(status)) => assert_eq!(name(status), "STATUS_NOT_SUPPORTED"),
        Err(other) => panic!("{other}"),
        Ok(()) => {
            // Each request for Linux then runs on a stack that NT does not know, which the double stops at.
            let mounted = Volume::first(&machine, &machine.disks()[0]).map(drop);
            panic!("the driver loads, and a volume is mounted: {mounted:?}");
        }
    }
    let said = ntos::rtl::print::last_lines(4).join("\n");
    assert!(
        said.contains("this kernel has no KeExpandKernelStackAndCallout"),
        "{said}"
    );
    let report = machine.unload();
    assert!(report.is_clean(), "left behind:\n{report}");
}

#[test]
fn either_routine_that_expands_stacks_is_enough() {
    let Some(driver) = driver() else { return };
    for hidden in ["KeExpandKernelStackAndCallout", "KeExpandKernelStackAndCalloutEx"] {
        let options = Options {
            hide: vec![hidden.to_owned()],
            ..Options::default()
        };
        let mut machine = Machine::builder()
            .disk(DiskConfig::image(image()))
            .options(options)
            .start()
            .expect("the image is good");
        machine.load_driver(driver).expect("the driver loads");
        {
            let (_, volume) = Volume::first(&machine, &machine.disks()[0]).expect("ext4 is mounted");
            let file = volume
                .open(&windows("small"), OpenAs::read())
                .expect("it is there");
            assert_eq!(file.read(Some(0), 100).bytes, b"hello\n");
        }
        let report = machine.unload();
        assert!(report.is_clean(), "left behind:\n{report}");
    }
}
