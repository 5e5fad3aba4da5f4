//! Mounted volumes.

use crate::image::{self, FILES, Image, boot, content, len_of};
use lkl::{BlockDevice, Errno, FileType, FsKind, Kernel, Mount, OpenMode, OwnedFd, Slice};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

fn mount(kernel: &Kernel, image: &Image) -> (BlockDevice, Mount) {
    let device = kernel.add_disk(image.disk(), Default::default()).unwrap();
    let mount = kernel
        .mount(&device, FsKind::Probe, &Default::default())
        .unwrap_or_else(|e| panic!("{e}"));
    (device, mount)
}

fn names(folder: &OwnedFd) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    let whole = folder.read_dir(0, &mut |entry| {
        names.push(entry.name.to_vec());
        ControlFlow::Continue(())
    });
    assert_eq!(whole, Ok(true));
    names
}

fn read_all(file: &OwnedFd) -> Vec<u8> {
    let mut bytes = vec![0; file.statx().unwrap().size as usize + 10];
    let len = file.pread(&mut bytes, 0).unwrap();
    bytes.truncate(len);
    bytes
}

/// Everything of the small tree is there and right.
fn compare(root: &OwnedFd) {
    for number in 0..FILES {
        let file = root
            .open_at(format!("f{number}").as_bytes(), OpenMode::Path)
            .unwrap();
        let stat = file.statx().unwrap();
        assert_eq!(
            (stat.file_type(), stat.size),
            (FileType::Regular, len_of(number) as u64)
        );
        let file = file.reopen(OpenMode::Read).unwrap();
        assert!(
            read_all(&file) == content(number, len_of(number)),
            "f{number} differs"
        );
    }
    let link = root.open_at(b"link", OpenMode::Path).unwrap();
    assert_eq!(link.statx().unwrap().file_type(), FileType::Symlink);
    assert_eq!(link.read_link().unwrap(), b"a/b");
    assert_eq!(link.reopen(OpenMode::Read).map(drop), Err(Errno::ELOOP));
    let mut folder = root.open_at(b".", OpenMode::Path).unwrap();
    for name in ["a", "b", "c", "d"] {
        folder = folder.open_at(name.as_bytes(), OpenMode::Path).unwrap();
    }
    let deep = folder.open_at("Grüße 😀".as_bytes(), OpenMode::Read).unwrap();
    assert_eq!(read_all(&deep), b"deep\n");
    let many = root.open_at(b"many", OpenMode::Directory).unwrap();
    let unique: BTreeSet<_> = names(&many).into_iter().collect();
    assert_eq!(unique.len(), 502);
    let again = root
        .open_at(b"many", OpenMode::Path)
        .unwrap()
        .reopen(OpenMode::Directory)
        .unwrap();
    assert_eq!(names(&again).len(), 502);
}

pub fn reads_ext4() {
    let kernel = boot();
    let (device, mount) = mount(&kernel, &image::ext4());
    assert_eq!((mount.fs_name(), mount.stale()), ("ext4", false));
    assert_eq!(mount.superblock().unwrap().label.as_str(), "Probe");
    let root = mount.root().unwrap();
    compare(&root);
    let statfs = mount.statfs().unwrap();
    assert_eq!((statfs.magic, statfs.name_max), (0xef53, 255));
    assert!(statfs.blocks * statfs.fragment_size > 20 << 20);
    assert!(root.statx().unwrap().btime.is_some());
    let stats = device.stats().unwrap();
    assert!(
        stats.reads > 0 && stats.read_bytes > 100_000 && stats.writes_refused == 0,
        "{stats:?}"
    );
    assert_eq!(
        root.open_at(b"f1", OpenMode::Path)
            .unwrap()
            .get_xattr(b"user.none"),
        Err(Errno::ENODATA)
    );
    drop(root);
    mount.unmount();
    device.remove().unwrap();
    kernel.halt();
}

pub fn reads_squashfs() {
    let kernel = boot();
    let (_device, mount) = mount(&kernel, &image::squashfs());
    assert_eq!(mount.fs_name(), "squashfs");
    compare(&mount.root().unwrap());
    kernel.halt();
}

pub fn one_component() {
    let kernel = boot();
    let (_device, mount) = mount(&kernel, &image::ext4());
    let root = mount.root().unwrap();
    let error = |name: &[u8], mode| root.open_at(name, mode).map(drop).unwrap_err();
    assert_eq!(error(b"a/b", OpenMode::Path), Errno::EINVAL);
    assert_eq!(error(b"/", OpenMode::Path), Errno::EINVAL);
    assert_eq!(error(b"..", OpenMode::Path), Errno::EXDEV);
    assert_eq!(error(b"", OpenMode::Path), Errno::ENOENT);
    assert_eq!(error(b"f\0", OpenMode::Path), Errno::EINVAL);
    assert_eq!(error(b"nothing", OpenMode::Path), Errno::ENOENT);
    assert_eq!(error(&[b'x'; 256], OpenMode::Path), Errno::ENAMETOOLONG);
    assert_eq!(error(b"link", OpenMode::Read), Errno::ELOOP);
    // A link to a folder is no folder.
    assert!(matches!(
        error(b"link", OpenMode::Directory),
        Errno::ELOOP | Errno::ENOTDIR
    ));
    assert_eq!(error(b"f1", OpenMode::Directory), Errno::ENOTDIR);
    // Nobody writes to it, and still the open returns.
    let fifo = root.open_at(b"fifo", OpenMode::Read).unwrap();
    assert_eq!(fifo.statx().unwrap().file_type(), FileType::Fifo);
    let file = root.open_at(b"f3", OpenMode::Read).unwrap();
    assert_eq!(file.pread(&mut [0; 10], 1 << 40), Ok(0));
    assert_eq!(file.pread(&mut [0; 10], u64::MAX), Err(Errno::EINVAL));
    assert_eq!(file.read_link().unwrap_err(), Errno::ENOENT);
    let folder = root.open_at(b"a", OpenMode::Directory).unwrap();
    assert_eq!(folder.pread(&mut [0; 10], 0), Err(Errno::EISDIR));
    kernel.halt();
}

pub fn cookies() {
    let kernel = boot();
    let (_device, mount) = mount(&kernel, &image::ext4());
    let folder = mount
        .root()
        .unwrap()
        .open_at(b"many", OpenMode::Directory)
        .unwrap();
    let expected = names(&folder);
    assert_eq!(
        names(&folder),
        expected,
        "a second listing of one descriptor differs"
    );
    // Seven at a time, resumed at the cookie of the last.
    for step in [1, 7, 100, 501, 502, 503] {
        let (mut seen, mut cookie, mut calls) = (Vec::new(), 0, 0);
        loop {
            let mut left = step;
            let ended = folder.read_dir(cookie, &mut |entry| {
                seen.push(entry.name.to_vec());
                cookie = entry.cookie;
                left -= 1;
                if left == 0 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            calls += 1;
            if ended.unwrap() {
                break;
            }
        }
        assert_eq!(seen, expected, "in steps of {step}");
        assert!(calls <= 502 / step + 2);
    }
    kernel.halt();
}

pub fn sixteen_threads() {
    let kernel = boot();
    let (_device, mount) = mount(&kernel, &image::ext4());
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| compare(&mount.root().unwrap()));
        }
    });
    kernel.halt();
}

pub fn partition() {
    let kernel = boot();
    let image = image::ext4();
    let volume = std::fs::read(image.path()).unwrap();
    let mut whole = vec![0xaa; 1 << 20];
    whole.extend(&volume);
    whole.extend(vec![0x55; 1 << 20]);
    std::fs::write(image.path(), whole).unwrap();
    let disk = Slice::new(image.disk(), 1 << 20, volume.len() as u64).unwrap();
    let device = kernel.add_disk(Arc::new(disk), Default::default()).unwrap();
    let mount = kernel.mount(&device, FsKind::Probe, &Default::default()).unwrap();
    compare(&mount.root().unwrap());
    assert!(Slice::new(image.disk(), 0, u64::MAX).is_err());
    assert!(Slice::new(image.disk(), 100, 512).is_err());
    kernel.halt();
}

pub fn refused() {
    let kernel = boot();
    let image = image::ext4();
    let device = kernel.add_disk(image.disk(), Default::default()).unwrap();
    let error = kernel
        .mount(&device, FsKind::Named("xfs"), &Default::default())
        .unwrap_err();
    assert_eq!(error.fs_name.as_deref(), Some("xfs"));
    let error = kernel
        .mount(&device, FsKind::Named("none-such"), &Default::default())
        .unwrap_err();
    assert_eq!(error.errno, Errno::ENODEV);
    let options = lkl::MountOptions {
        extra: "no-such-option",
        ..Default::default()
    };
    let error = kernel.mount(&device, FsKind::Probe, &options).unwrap_err();
    assert_eq!(error.errno, Errno::EINVAL);
    assert!(error.detail.contains("no-such-option"), "{error}");
    std::fs::write(image.path(), vec![0u8; 1 << 20]).unwrap();
    let device = kernel.add_disk(image.disk(), Default::default()).unwrap();
    let error = kernel
        .mount(&device, FsKind::Probe, &Default::default())
        .unwrap_err();
    assert_eq!((error.fs_name.as_deref(), error.errno), (None, Errno::EINVAL));
    kernel.halt();
}

/// The journal of the image holds a block that the volume does not: mounted, the volume shows it, and the image is
/// untouched; without recovery, and without room for it, the volume shows its older state and says so.
pub fn dirty() {
    let kernel = boot();
    let image = image::dirty_ext4();
    let before = std::fs::read(image.path()).unwrap();
    let mut replayed = content(image::CHANGED, len_of(image::CHANGED));
    let older = replayed.clone();
    replayed[..4096].fill(b'Z');
    let little_room = lkl::DiskOptions {
        overlay_limit: Some(4096),
        ..Default::default()
    };
    let no_room = lkl::DiskOptions {
        overlay_limit: Some(0),
        ..Default::default()
    };
    let no_recovery = lkl::MountOptions {
        recovery: false,
        ..Default::default()
    };
    // What does not fit is an error, and never an older state that nobody has asked for.
    for disk in [no_room, little_room] {
        let device = kernel.add_disk(image.disk(), disk).unwrap();
        let error = kernel
            .mount(&device, FsKind::Probe, &Default::default())
            .expect_err("the journal does not fit");
        assert_eq!(
            (error.errno, error.cause),
            (lkl::Errno::ENOSPC, lkl::Cause::NoRoom),
            "{error}"
        );
        device.remove().unwrap();
    }
    for (disk, options, stale, expected) in [
        (Default::default(), Default::default(), false, &replayed),
        (Default::default(), no_recovery, true, &older),
        (no_room, no_recovery, true, &older),
    ] {
        let device = kernel.add_disk(image.disk(), disk).unwrap();
        let mounted = kernel
            .mount(&device, FsKind::Probe, &options)
            .unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(mounted.stale(), stale);
        let name = format!("f{}", image::CHANGED);
        let file = mounted
            .root()
            .unwrap()
            .open_at(name.as_bytes(), OpenMode::Read)
            .unwrap();
        assert!(
            read_all(&file) == *expected,
            "stale: {stale}: {name} is not as it should be"
        );
        let stats = device.stats().unwrap();
        assert_eq!(stats.overlay_bytes >= 4096, !stale, "{stats:?}");
        drop(file);
        mounted.unmount();
        device.remove().unwrap();
    }
    kernel.halt();
    assert!(
        std::fs::read(image.path()).unwrap() == before,
        "the image was written to"
    );
}

/// A host keeps many files open, more than a process of Linux may.
pub fn many_open() {
    let kernel = boot();
    let (_device, mount) = mount(&kernel, &image::ext4());
    let root = mount.root().unwrap();
    let open: Vec<_> = (0..5000)
        .map(|n| root.open_at(format!("f{}", n % FILES).as_bytes(), OpenMode::Read))
        .collect();
    for (number, file) in open.iter().enumerate() {
        let file = file
            .as_ref()
            .unwrap_or_else(|errno| panic!("file {number}: {errno}"));
        assert_eq!(file.statx().unwrap().size, len_of(number % FILES) as u64);
    }
    kernel.halt();
}

pub fn come_and_go() {
    let kernel = boot();
    let image = image::ext4();
    for round in 0..30 {
        let (device, mount) = mount(&kernel, &image);
        let root = mount.root().unwrap();
        let file = root.open_at(b"f20", OpenMode::Read).unwrap();
        if round % 2 == 0 {
            drop((root, file));
            mount.unmount();
            device.remove().unwrap();
        } else {
            // The other way round: what is open keeps the volume until it is closed.
            mount.unmount();
            assert!(read_all(&file) == content(20, len_of(20)));
            device.remove().unwrap();
            assert!(root.statx().is_ok());
        }
    }
    kernel.halt();
}
