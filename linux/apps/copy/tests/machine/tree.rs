//! Trees that are copied: random ones, with something of everything that a file can be.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rustix::fs::{AtFlags, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

/// Which parts a tree has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts {
    /// Devices and owners, which only root makes.
    pub of_root: bool,
    /// Names that are no UTF-8.
    pub odd_names: bool,
    /// Folders in folders, so many.
    pub depth: usize,
}

/// An access list: a user 1000 may read, and the group write.
pub const ACL: &[u8] = b"\x02\0\0\0\
    \x01\0\x06\0\xff\xff\xff\xff\
    \x02\0\x04\0\xe8\x03\0\0\
    \x04\0\x06\0\xff\xff\xff\xff\
    \x10\0\x06\0\xff\xff\xff\xff\
    \x20\0\x04\0\xff\xff\xff\xff";

/// Makes a tree in a new folder.
pub fn make(top: &Path, seed: u64, parts: Parts) {
    let mut maker = Maker {
        random: StdRng::seed_from_u64(seed),
        parts,
        files: Vec::new(),
        count: 0,
    };
    fs::create_dir(top).unwrap();
    maker.folder(top, 3);
    maker.fixed(top);
    maker.dress_below(top);
}

struct Maker {
    random: StdRng,
    parts: Parts,
    files: Vec<PathBuf>,
    count: usize,
}

impl Maker {
    fn name(&mut self) -> Vec<u8> {
        self.count += 1;
        let mut name = format!("{:x}", self.count).into_bytes();
        let kinds: &[&[u8]] = &[
            b" ",
            b"\n",
            b"-x",
            b"'\"$",
            "äöü日本".as_bytes(),
            b"\\",
            b"%=",
            b"..",
        ];
        name.extend_from_slice(kinds.choose(&mut self.random).unwrap());
        if self.parts.odd_names && self.random.random_bool(0.2) {
            name.extend_from_slice(&[0xff, 0x80, 1]);
        }
        if self.random.random_bool(0.1) {
            name.resize(255, b'l');
        }
        name
    }

    fn folder(&mut self, folder: &Path, depth: u32) {
        for _ in 0..self.random.random_range(18..28) {
            let path = folder.join(OsStr::from_bytes(&self.name()));
            match self.random.random_range(0..20) {
                0..3 if depth > 0 => {
                    fs::create_dir(&path).unwrap();
                    self.folder(&path, depth - 1);
                }
                0..5 => {
                    let len = [1, 30, 99, 100, 101, 160, 300, 1000]
                        .choose(&mut self.random)
                        .unwrap();
                    let target: Vec<u8> = b"../some where/".iter().copied().cycle().take(*len).collect();
                    std::os::unix::fs::symlink(OsStr::from_bytes(&target), &path).unwrap();
                    self.files.push(path);
                }
                5..7 if !self.files.is_empty() => {
                    let old = self.files.choose(&mut self.random).unwrap();
                    fs::hard_link(old, &path).unwrap();
                }
                7 => {
                    rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
                    self.files.push(path);
                }
                8..10 if self.parts.of_root => {
                    let (kind, device) = match self.random.random_bool(0.5) {
                        true => (FileType::BlockDevice, rustix::fs::makedev(259, 70_000)),
                        false => (FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
                    };
                    rustix::fs::mknodat(rustix::fs::CWD, &path, kind, Mode::RUSR, device).unwrap();
                    self.files.push(path);
                }
                10..12 => {
                    self.sparse(&path);
                    self.files.push(path);
                }
                _ => {
                    let len = [0, 1, 511, 512, 513, 4096, 100_000, 1 << 20]
                        .choose(&mut self.random)
                        .unwrap();
                    let mut bytes = vec![0; *len];
                    self.random.fill(&mut bytes[..]);
                    fs::write(&path, bytes).unwrap();
                    self.files.push(path);
                }
            }
        }
    }

    /// A file with a few pieces of data, and holes around them.
    fn sparse(&mut self, path: &Path) {
        let file = File::create(path).unwrap();
        let blocks = self.random.random_range(1..2000);
        for _ in 0..self.random.random_range(0..20) {
            let at = self.random.random_range(0..blocks) * 4096;
            file.write_all_at(&[7; 4096], at).unwrap();
        }
        let more = self.random.random_range(0..4096);
        file.set_len(blocks * 4096 + more).unwrap();
    }

    /// What no chance is to leave out.
    fn fixed(&mut self, top: &Path) {
        let huge = File::create(top.join("beyond 8 GiB")).unwrap();
        huge.write_all_at(b"middle", 5 << 30).unwrap();
        huge.write_all_at(b"end", (9 << 30) + 12_345).unwrap();
        File::create(top.join("only a hole"))
            .unwrap()
            .set_len(3 << 20)
            .unwrap();
        // A socket is left out, and the copy is well.
        drop(UnixListener::bind(top.join("socket")).unwrap());
        let mut folder = rustix::fs::open(top, rustix::fs::OFlags::PATH, Mode::empty()).unwrap();
        for depth in 0..self.parts.depth {
            let name = format!("a folder in folders, {depth}");
            rustix::fs::mkdirat(&folder, &name, Mode::RWXU).unwrap();
            folder = rustix::fs::openat(&folder, &name, rustix::fs::OFlags::PATH, Mode::empty()).unwrap();
        }
        let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
        let file = rustix::fs::openat(&folder, "the deepest", flags, Mode::RUSR).unwrap();
        rustix::io::write(&file, b"deep").unwrap();
    }

    fn dress_below(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.as_os_str().len() > 3000 {
                // Beyond the longest path that there is, nothing can be said by path.
                continue;
            }
            let kind = path.symlink_metadata().unwrap().file_type();
            if kind.is_dir() {
                self.dress_below(&path);
            }
            self.dress(&path, kind);
        }
    }

    fn dress(&mut self, path: &Path, kind: fs::FileType) {
        let cwd = rustix::fs::CWD;
        let random = &mut self.random;
        if self.parts.of_root {
            let ids = [0, 1, 1000, 65_534, 70_000, 3_000_000, 4_000_000_000];
            let (uid, gid) = (ids.choose(random).unwrap(), ids.choose(random).unwrap());
            let ids = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
            rustix::fs::chownat(cwd, path, ids.0, ids.1, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        }
        if !kind.is_symlink() {
            let modes = [0o600, 0o644, 0o755, 0o1777, 0o6755, 0o400, 0o4711];
            let mode = match (kind.is_dir(), self.parts.of_root) {
                (true, false) => 0o755,
                _ => *modes.choose(random).unwrap(),
            };
            rustix::fs::chmod(path, Mode::from_raw_mode(mode)).unwrap();
        }
        let set = |name: &str, value: &[u8]| {
            rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
        };
        if (kind.is_file() || kind.is_dir()) && path.metadata().is_ok_and(|stat| stat.mode() & 0o200 != 0) {
            if random.random_bool(0.3) {
                set("user.comment", b"of this file");
                set("user.binary", &[0, 1, 10, 61, 255]);
            }
            // In a folder with this one only root finds anything.
            if random.random_bool(0.1) && (kind.is_file() || self.parts.of_root) {
                set("system.posix_acl_access", ACL);
            }
            if kind.is_dir() && random.random_bool(0.3) {
                set("system.posix_acl_default", ACL);
            }
            if random.random_bool(0.1) {
                set("user.large", &[b'x'; 2000]);
            }
        }
        if self.parts.of_root && random.random_bool(0.2) {
            set("trusted.tests", b"of any type");
            set("security.selinux", b"system_u:object_r:tmp_t:s0\0");
        }
        let seconds = [
            0,
            1,
            -1,
            -1_500_000_000,
            1_700_000_000,
            2_500_000_000,
            6_000_000_000,
        ];
        let mut time = || Timespec {
            tv_sec: *seconds.choose(random).unwrap(),
            tv_nsec: *[0, 1, 500_000_000, 999_999_999].choose(random).unwrap(),
        };
        let times = Timestamps {
            last_access: time(),
            last_modification: time(),
        };
        rustix::fs::utimensat(cwd, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

use std::os::unix::fs::MetadataExt;
