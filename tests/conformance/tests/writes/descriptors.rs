//! Whatever can be made and set through descriptors is made on each file system, and is afterwards what was asked for: in the
//! eyes of the same mount, of a reader without writes, and of this machine's own Linux.

use crate::kind::{self, add, boot, unmount};
use conformance::content::content;
use lkl::{DeviceNumber, Errno, FileType, FsKind, Kernel, OpenMode, OwnedFd, Timestamp};
use lkl_host_posix::FileDisk;
use lkl_write::{
    Allocation, AttributeChanges, ContentChanges, FolderChanges, MountFlags, OpenOptions, Rename, SetTime,
    SetXattr, Users, Volume,
};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// All that a file is but its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    mode: u32,
    owner: (u32, u32),
    links: u64,
    size: u64,
    device: (u32, u32),
    accessed: (i64, u32),
    modified: (i64, u32),
    target: Option<Vec<u8>>,
    xattrs: BTreeMap<String, Vec<u8>>,
}

type Tree = BTreeMap<String, Shown>;

const NO_DEVICE: DeviceNumber = DeviceNumber { major: 0, minor: 0 };
/// An access list: its version, then for each entry a tag, permissions and an ID. A user 1000 may read.
const ACL: &[u8] = b"\x02\0\0\0\
    \x01\0\x06\0\xff\xff\xff\xff\
    \x02\0\x04\0\xe8\x03\0\0\
    \x04\0\x04\0\xff\xff\xff\xff\
    \x10\0\x04\0\xff\xff\xff\xff\
    \x20\0\x04\0\xff\xff\xff\xff";

fn time(sec: i64, nsec: u32) -> SetTime {
    SetTime::At(Timestamp { sec, nsec })
}

fn path(folder: &OwnedFd, name: &str) -> OwnedFd {
    folder
        .open_at(name.as_bytes(), OpenMode::Path)
        .unwrap_or_else(|errno| panic!("{name}: {errno}"))
}

/// Each type of file, with all attributes that it can have.
fn make(root: &OwnedFd) {
    root.mkdir_at(b"folder", 0o1777).unwrap();
    let folder = path(root, "folder");
    let file = folder.create_at(b"file", OpenOptions::NEW, 0o6640).unwrap();
    file.pwrite_all(&content(1, 100_000), 0).unwrap();
    folder.symlink_at(b"link", b"nowhere/at all").unwrap();
    let special = [
        ("character", FileType::CharDevice, 1, 3),
        ("block", FileType::BlockDevice, 259, 70_000),
        ("fifo", FileType::Fifo, 0, 0),
        ("socket", FileType::Socket, 0, 0),
    ];
    for (name, kind, major, minor) in special {
        let device = DeviceNumber { major, minor };
        folder.mknod_at(name.as_bytes(), kind, 0o666, device).unwrap();
        let node = path(&folder, name);
        node.chown(Some(7), Some(70_000)).unwrap();
        node.chmod(0o2421).unwrap();
        node.set_xattr(b"trusted.of-a-node", b"1", SetXattr::New).unwrap();
        node.set_times(time(4_000_000_000, 1), time(-2, 999_999_999))
            .unwrap();
        folder.link_at(format!("{name} again").as_bytes(), &node).unwrap();
    }
    let link = path(&folder, "link");
    link.chown(Some(1000), Some(100_000)).unwrap();
    link.set_xattr(b"security.selinux", b"of a link\0", SetXattr::Put)
        .unwrap();
    link.set_times(time(1, 2), time(-1_000_000_000, 3)).unwrap();
    assert_eq!(link.chmod(0o600), Err(Errno::EOPNOTSUPP));
    folder.link_at(b"link again", &link).unwrap();

    let file = path(&folder, "file");
    file.chown(Some(70_000), Some(80_000)).unwrap();
    file.chmod(0o6751).unwrap();
    for name in ["user.short", "trusted.deep", "security.of-a-file"] {
        file.set_xattr(name.as_bytes(), name.as_bytes(), SetXattr::New)
            .unwrap();
    }
    file.set_xattr(b"user.large", &content(2, 2500), SetXattr::Put)
        .unwrap();
    file.set_xattr(b"user.empty", b"", SetXattr::Put).unwrap();
    file.set_xattr(b"user.goes", b"1", SetXattr::Put).unwrap();
    assert_eq!(
        file.set_xattr(b"user.goes", b"2", SetXattr::New),
        Err(Errno::EEXIST)
    );
    file.remove_xattr(b"user.goes").unwrap();
    assert_eq!(
        file.set_xattr(b"user.goes", b"2", SetXattr::Replace),
        Err(Errno::ENODATA)
    );
    file.set_xattr(b"system.posix_acl_access", ACL, SetXattr::Put)
        .unwrap();
    folder
        .set_xattr(b"system.posix_acl_default", ACL, SetXattr::Put)
        .unwrap();
    file.set_times(time(5_000_000_000, 123_456_789), time(-3, 987_654_321))
        .unwrap();
    file.set_times(SetTime::Keep, SetTime::Keep).unwrap();
    names(root);
    folder.chown(Some(1), None).unwrap();
    folder.set_times(time(0, 0), time(2_500_000_000, 500)).unwrap();
}

/// What becomes of names.
fn names(root: &OwnedFd) {
    root.mkdir_at(b"names", 0o755).unwrap();
    let names = path(root, "names");
    for name in ["one", "two", "three", "four"] {
        let file = names.create_at(name.as_bytes(), OpenOptions::NEW, 0o644).unwrap();
        file.pwrite_all(name.as_bytes(), 0).unwrap();
    }
    assert_eq!(
        names.rename_at(b"one", &names, b"two", Rename::New),
        Err(Errno::EEXIST)
    );
    names.rename_at(b"one", &names, b"two", Rename::Exchange).unwrap();
    names.rename_at(b"three", root, b"moved", Rename::New).unwrap();
    names
        .rename_at(b"four", root, b"covered", Rename::Whiteout)
        .unwrap();
    let unnamed = names.create_unnamed(0o4700).unwrap();
    unnamed.pwrite_all(b"without a name", 0).unwrap();
    names.link_at(b"named", &unnamed).unwrap();
    names.mkdir_at(b"goes", 0o700).unwrap();
    names.symlink_at(b"goes too", b"x").unwrap();
    assert_eq!(names.unlink_at(b"goes"), Err(Errno::EISDIR));
    names.rmdir_at(b"goes").unwrap();
    names.unlink_at(b"goes too").unwrap();
    // Nothing outside the folder is named, and no link leads there.
    root.symlink_at(b"leads out", b"/proc/version").unwrap();
    let out = |name: &[u8]| names.create_at(name, OpenOptions::NEW, 0o644).map(drop);
    assert_eq!(out(b".."), Err(Errno::EXDEV));
    assert_eq!(out(b"../x"), Err(Errno::EINVAL));
    assert_eq!(out(b"x\0y"), Err(Errno::EINVAL));
    assert_eq!(
        root.create_at(b"leads out", OpenOptions::WRITE, 0).map(drop),
        Err(Errno::ELOOP)
    );
    assert_eq!(
        path(root, "leads out").reopen_with(OpenOptions::WRITE).map(drop),
        Err(Errno::ELOOP)
    );
}

/// What users make is theirs, wherever it is.
fn users(root: &OwnedFd) {
    let users = Users::new(root.kernel());
    root.mkdir_at(b"of users", 0o700).unwrap();
    let folder = path(root, "of users");
    for id in [1000, 2000, 1000] {
        let user = users.user(id, id + 1).unwrap();
        let name = |what: &str| format!("{what} {id}").into_bytes();
        match user.create_at(&folder, &name("file"), OpenOptions::NEW, 0o666) {
            Err(Errno::EEXIST) => continue,
            file => file.unwrap().pwrite_all(b"x", 0).unwrap(),
        }
        user.mkdir_at(&folder, &name("folder"), 0o777).unwrap();
        user.symlink_at(&folder, &name("link"), b"there").unwrap();
        user.mknod_at(&folder, &name("fifo"), FileType::Fifo, 0o622, NO_DEVICE)
            .unwrap();
        let unnamed = user.create_unnamed(&folder, 0o600).unwrap();
        folder.link_at(&name("unnamed"), &unnamed).unwrap();
    }
    // The other user's folder has its group's, and root's calls between those of users are root's.
    let theirs = path(&folder, "folder 1000");
    theirs.chmod(0o2777).unwrap();
    let user = users.user(2000, 2000).unwrap();
    user.mkdir_at(&theirs, b"inherits", 0o700).unwrap();
    theirs.mkdir_at(b"of root", 0o700).unwrap();
    assert!(users.user(u32::MAX, 0).is_err());
}

/// What is in a file, and where there is nothing.
fn contents(root: &OwnedFd) {
    let file = root.create_at(b"contents", OpenOptions::NEW, 0o600).unwrap();
    let bytes = content(3, 300_000);
    let (a, b) = bytes.split_at(100_000);
    assert_eq!(file.pwritev(&[a, &[], b], 1 << 20), Ok(300_000));
    path(root, "contents").truncate(4 << 20).unwrap();
    file.fdatasync().unwrap();
    let first = file.seek_data(0).unwrap();
    assert!((1..=1 << 20).contains(&first), "data from {first} on");
    assert!(file.seek_hole(1 << 20).unwrap() >= (1 << 20) + 300_000);
    assert_eq!(file.seek_data(3 << 20), Err(Errno::ENXIO));
    file.fallocate(Allocation::ROOM_KEEPING_SIZE, 4 << 20, 1 << 20)
        .unwrap();
    file.fallocate(Allocation::HOLE, (1 << 20) + 4096, 8192).unwrap();
    file.fallocate(Allocation::ROOM, 0, 65536).unwrap();
    let copy = root.create_at(b"copy", OpenOptions::NEW, 0o600).unwrap();
    assert_eq!(file.copy_file_range(1 << 20, &copy, 8192, 131_072), Ok(131_072));
    let again = path(root, "copy").reopen_with(OpenOptions::WRITE).unwrap();
    again.pwrite_all(b"end", 200_000).unwrap();
    again.fsync().unwrap();
    root.reopen(OpenMode::Directory).unwrap().syncfs().unwrap();
    let mut wanted = bytes[..131_072].to_vec();
    wanted[4096..4096 + 8192].fill(0);
    let mut found = vec![0; 8192 + 131_072];
    assert_eq!(copy.pread(&mut found, 0), Ok(found.len()));
    assert!(found[..8192].iter().all(|byte| *byte == 0));
    assert!(found[8192..] == wanted);
    assert_eq!(copy.statx().unwrap().size, 200_003);
    assert_eq!(file.statx().unwrap().size, 4 << 20);
}

/// What Linux shows through crate `lkl`.
fn shown(folder: &OwnedFd, prefix: &str, tree: &mut Tree) {
    let mut names = Vec::new();
    let open = folder.reopen(OpenMode::Directory).unwrap();
    open.read_dir(0, &mut |entry| {
        names.push(String::from_utf8(entry.name.to_vec()).unwrap());
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    for name in names {
        if [".", "..", "lost+found"].contains(&&*name) {
            continue;
        }
        let node = path(folder, &name);
        let stat = node.statx().unwrap();
        let mut xattrs = BTreeMap::new();
        node.list_xattr(&mut |name| {
            let value = node.get_xattr(name).unwrap();
            xattrs.insert(String::from_utf8(name.to_vec()).unwrap(), value);
        })
        .unwrap();
        let place = format!("{prefix}{name}");
        let is_folder = stat.file_type() == FileType::Directory;
        if is_folder {
            shown(&node, &format!("{place}/"), tree);
        }
        let target = (stat.file_type() == FileType::Symlink).then(|| node.read_link().unwrap());
        let found = Shown {
            mode: stat.mode.into(),
            owner: (stat.uid, stat.gid),
            links: stat.nlink.into(),
            size: if is_folder { 0 } else { stat.size },
            device: (stat.rdev.major, stat.rdev.minor),
            accessed: (stat.atime.sec, stat.atime.nsec),
            modified: (stat.mtime.sec, stat.mtime.nsec),
            target,
            xattrs,
        };
        tree.insert(place, found);
    }
}

/// What this machine's own Linux shows.
fn shown_natively(folder: &Path, prefix: &str, tree: &mut Tree) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name == "lost+found" {
            continue;
        }
        let (path, place) = (entry.path(), format!("{prefix}{name}"));
        let stat = path.symlink_metadata().unwrap();
        let mut names = [0u8; 4096];
        let len = rustix::fs::llistxattr(&path, &mut names).unwrap();
        let mut xattrs = BTreeMap::new();
        for name in names[..len]
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
        {
            let mut value = [0u8; 65536];
            let len = rustix::fs::lgetxattr(&path, name, &mut value).unwrap();
            xattrs.insert(String::from_utf8(name.to_vec()).unwrap(), value[..len].to_vec());
        }
        if stat.is_dir() {
            shown_natively(&path, &format!("{place}/"), tree);
        }
        let nanoseconds = |count: i64| u32::try_from(count).unwrap();
        let found = Shown {
            mode: stat.mode(),
            owner: (stat.uid(), stat.gid()),
            links: stat.nlink(),
            size: if stat.is_dir() { 0 } else { stat.len() },
            device: (rustix::fs::major(stat.rdev()), rustix::fs::minor(stat.rdev())),
            accessed: (stat.atime(), nanoseconds(stat.atime_nsec())),
            modified: (stat.mtime(), nanoseconds(stat.mtime_nsec())),
            target: stat
                .is_symlink()
                .then(|| std::fs::read_link(&path).unwrap().into_os_string().into_vec()),
            xattrs,
        };
        tree.insert(place, found);
    }
}

/// What was asked for is what the same mount shows.
fn check(tree: &Tree) {
    let owner = |place: &str| tree[place].owner;
    let mode = |place: &str| tree[place].mode;
    let file = &tree["folder/file"];
    assert_eq!((file.owner, file.size), ((70_000, 80_000), 100_000));
    assert_eq!(file.mode, 0o106_644, "the access list has its say in the mode");
    assert_eq!(file.accessed, (5_000_000_000, 123_456_789));
    assert_eq!(file.modified, (-3, 987_654_321));
    // XFS shows access lists twice.
    let names = file.xattrs.keys().map(String::as_str);
    let names: Vec<_> = names
        .filter(|name| !name.starts_with("trusted.SGI_ACL"))
        .collect();
    assert_eq!(
        names,
        [
            "security.of-a-file",
            "system.posix_acl_access",
            "trusted.deep",
            "user.empty",
            "user.large",
            "user.short"
        ]
    );
    assert_eq!(file.xattrs["user.large"], content(2, 2500));
    assert_eq!(file.xattrs["system.posix_acl_access"], ACL);
    let folder = &tree["folder"];
    assert_eq!((folder.mode, folder.owner), (0o041_777, (1, 0)));
    assert_eq!(folder.modified, (2_500_000_000, 500));
    assert_eq!(folder.xattrs["system.posix_acl_default"], ACL);
    let link = &tree["folder/link"];
    assert_eq!(link.target.as_deref(), Some(&b"nowhere/at all"[..]));
    assert_eq!((link.owner, link.links), ((1000, 100_000), 2));
    assert_eq!(link.modified, (-1_000_000_000, 3));
    assert_eq!(link.xattrs["security.selinux"], b"of a link\0");
    for (name, kind, device) in [
        ("character", 0o020_000, (1, 3)),
        ("block", 0o060_000, (259, 70_000)),
        ("fifo", 0o010_000, (0, 0)),
        ("socket", 0o140_000, (0, 0)),
    ] {
        let node = &tree[&format!("folder/{name}")];
        assert_eq!((node.mode, node.device), (kind | 0o2421, device), "{name}");
        assert_eq!((node.owner, node.links), ((7, 70_000), 2), "{name}");
        assert_eq!(node.accessed, (4_000_000_000, 1), "{name}");
        assert_eq!(node.modified, (-2, 999_999_999), "{name}");
        assert_eq!(node.xattrs["trusted.of-a-node"], b"1", "{name}");
        assert_eq!(node, &tree[&format!("folder/{name} again")], "{name}");
    }
    assert_eq!((tree["names/one"].size, tree["moved"].size), (3, 5));
    assert_eq!(tree["covered"].size, 4);
    assert_eq!(
        (mode("names/four"), tree["names/four"].device),
        (0o020_000, (0, 0))
    );
    assert_eq!((mode("names/named"), tree["names/named"].size), (0o104_700, 14));
    assert!(!tree.contains_key("names/goes") && !tree.contains_key("names/goes too"));
    for id in [1000, 2000] {
        for what in ["file", "folder", "link", "fifo", "unnamed"] {
            let place = format!("of users/{what} {id}");
            assert_eq!(owner(&place), (id, id + 1), "{place}");
        }
        assert_eq!(mode(&format!("of users/file {id}")), 0o100_666);
        assert_eq!(mode(&format!("of users/fifo {id}")), 0o010_622);
    }
    assert_eq!(owner("of users/folder 1000/inherits"), (2000, 1001));
    assert_eq!(owner("of users/folder 1000/of root"), (0, 1001));
}

fn differences(found: &Tree, wanted: &Tree, who: &str) {
    for (place, shown) in wanted {
        assert_eq!(found.get(place), Some(shown), "{who}: {place}");
    }
    assert_eq!(found.len(), wanted.len(), "{who} has more");
}

fn read_only(kernel: &Kernel, image: &Path) -> Tree {
    let disk = FileDisk::open_still(image).unwrap();
    let device = kernel.add_disk(Arc::new(disk), Default::default()).unwrap();
    let mount = kernel.mount(&device, FsKind::Probe, &Default::default()).unwrap();
    let mut tree = Tree::new();
    shown(&mount.root().unwrap(), "", &mut tree);
    tree
}

pub fn changed(name: &str) {
    let kind = kind::named(name);
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    kind.make(&image, 0, 0);
    let kernel = boot();
    let device = add(&kernel, &image);
    let flags = MountFlags {
        no_access_times: true,
        ..MountFlags::default()
    };
    let volume = Volume::mount_with(&kernel, &device, kind.name, "", flags).unwrap();
    let root = volume.root().unwrap();
    make(&root);
    users(&root);
    contents(&root);
    let mut wanted = Tree::new();
    shown(&root, "", &mut wanted);
    check(&wanted);
    drop(root);
    unmount(volume);

    let flags = MountFlags {
        read_only: true,
        ..flags
    };
    let volume = Volume::mount_with(&kernel, &device, kind.name, "", flags).unwrap();
    let root = volume.root().unwrap();
    assert_eq!(root.mkdir_at(b"more", 0o755), Err(Errno::EROFS));
    assert_eq!(path(&root, "folder").chmod(0o700), Err(Errno::EROFS));
    let mut found = Tree::new();
    shown(&root, "", &mut found);
    differences(&found, &wanted, "a read-only mount");
    drop(root);
    unmount(volume);
    device.remove().unwrap();
    differences(&read_only(&kernel, &image), &wanted, "a reader");
    kernel.halt();

    assert_eq!(kind.damage(&image), None);
    kind.natively(&image, |folder| {
        let mut found = Tree::new();
        shown_natively(folder, "", &mut found);
        differences(&found, &wanted, "this machine's own Linux");
    });
}
