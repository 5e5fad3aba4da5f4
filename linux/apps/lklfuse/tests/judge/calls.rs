//! Random system calls, and what they answer: the same sequence on two file systems must give the same answers.

use std::fmt::Write;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::fs::{
    Access, AtFlags, CWD, Dir, FallocateFlags, FileType, Gid, Mode, OFlags, RenameFlags, SeekFrom, Timespec,
    Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

/// Files that are open at once.
const OPEN: usize = 4;

/// A sequence of calls below a folder.
pub struct Calls {
    random: StdRng,
    root: OwnedFd,
    open: [Option<File>; OPEN],
    /// Each call, and its answer.
    pub answers: Vec<String>,
}

impl Calls {
    pub fn new(seed: u64, root: &Path) -> Calls {
        Calls {
            random: StdRng::seed_from_u64(seed),
            root: rustix::fs::open(root, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap(),
            open: Default::default(),
            answers: Vec::new(),
        }
    }

    /// Makes so many calls.
    pub fn make(mut self, count: usize) -> Vec<String> {
        for _ in 0..count {
            let (call, answer) = self.one();
            let answer = match answer {
                Ok(answer) => answer,
                Err(errno) => format!("{errno:?}"),
            };
            self.answers.push(format!("{call}: {answer}"));
        }
        self.answers
    }

    fn below(&mut self, end: u32) -> u32 {
        self.random.random_range(0..end)
    }

    fn name(&mut self) -> String {
        let letter = if self.below(3) == 0 { 'd' } else { 'f' };
        format!("{letter}{}", self.below(4))
    }

    fn path(&mut self) -> String {
        match self.below(5) {
            0 | 1 => self.name(),
            2 => format!("d{}/{}", self.below(4), self.name()),
            3 => format!("d{}/d{}/{}", self.below(4), self.below(4), self.name()),
            // Through what may be no folder, or not there.
            _ => format!("{}/{}", self.name(), self.name()),
        }
    }

    fn mode(&mut self) -> Mode {
        let choices = [
            0o644, 0o600, 0o755, 0o777, 0o000, 0o4755, 0o2755, 0o1777, 0o6711, 0o2775, 0o400, 0o040,
        ];
        let choice = self.below(12) as usize;
        Mode::from_raw_mode(choices[choice])
    }

    fn file(&mut self) -> Result<File, Errno> {
        let slot = self.below(OPEN as u32) as usize;
        let file = self.open[slot].as_ref().ok_or(Errno::BADF)?;
        file.try_clone().map_err(|_| Errno::MFILE)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let longest = if self.below(4) == 0 { 200_000 } else { 5000 };
        let (len, first) = (self.below(longest), self.below(256));
        (0..len).map(|at| (first + at * 7) as u8).collect()
    }

    fn offset(&mut self) -> u64 {
        match self.below(4) {
            0 => 0,
            1 => u64::from(self.below(64)) * 4096,
            2 => u64::from(self.below(300_000)),
            _ => u64::from(self.below(5000)),
        }
    }

    /// One call, and what it answered.
    #[allow(clippy::too_many_lines)] // a table
    fn one(&mut self) -> (String, Result<String, Errno>) {
        let done = |result: Result<(), Errno>| result.map(|()| "done".to_owned());
        let nothing = AtFlags::empty();
        match self.below(34) {
            0..=3 => {
                let (path, mode, slot) = (self.path(), self.mode(), self.below(OPEN as u32) as usize);
                let mut flags = OFlags::CLOEXEC | OFlags::NONBLOCK;
                for (chance, flag) in [
                    (2, OFlags::CREATE),
                    (6, OFlags::EXCL),
                    (5, OFlags::TRUNC),
                    (6, OFlags::APPEND),
                    (8, OFlags::NOFOLLOW),
                    (12, OFlags::DIRECTORY),
                    (9, OFlags::SYNC),
                ] {
                    if self.below(chance) == 0 {
                        flags |= flag;
                    }
                }
                flags |= [OFlags::RDWR, OFlags::RDWR, OFlags::RDONLY, OFlags::WRONLY][self.below(4) as usize];
                // An EXCL without CREATE is undefined.
                if !flags.contains(OFlags::CREATE) {
                    flags.remove(OFlags::EXCL);
                }
                let call = format!("open {path} {flags:?} {mode:?} in {slot}");
                let opened = rustix::fs::openat(&self.root, &path, flags, mode);
                let answer = opened.map(|file| {
                    self.open[slot] = Some(File::from(file));
                    "open".to_owned()
                });
                (call, answer)
            }
            4 => {
                let slot = self.below(OPEN as u32) as usize;
                let was = self.open[slot].take().is_some();
                (format!("close {slot}"), Ok(was.to_string()))
            }
            5..=7 => {
                let (file, bytes, at) = (self.file(), self.bytes(), self.offset());
                let call = format!("write {} at {at}", bytes.len());
                let written = file.and_then(|file| rustix::io::pwrite(file, &bytes, at));
                (call, written.map(|len| len.to_string()))
            }
            8 | 9 => {
                let (file, at, len) = (self.file(), self.offset(), self.below(100_000));
                let mut bytes = vec![0; len as usize];
                let read = file.and_then(|file| rustix::io::pread(file, &mut bytes[..], at));
                let answer = read.map(|len| {
                    let sum = bytes[..len]
                        .iter()
                        .fold(0u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte));
                    format!("{len} {sum:x}")
                });
                (format!("read {len} at {at}"), answer)
            }
            10 => {
                let (file, len) = (self.file(), self.offset());
                let answer = file.and_then(|file| rustix::fs::ftruncate(file, len));
                (format!("truncate {len}"), done(answer))
            }
            11 => {
                let (file, at, len) = (self.file(), self.offset(), 1 + self.below(100_000));
                let modes = [
                    FallocateFlags::empty(),
                    FallocateFlags::KEEP_SIZE,
                    FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                    FallocateFlags::ZERO_RANGE,
                    FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
                ];
                // FUSE has neither COLLAPSE_RANGE nor INSERT_RANGE.
                let mode = modes[self.below(5) as usize];
                let answer = file.and_then(|file| rustix::fs::fallocate(file, mode, at, len.into()));
                (format!("fallocate {mode:?} {len} at {at}"), done(answer))
            }
            12 => {
                let (file, at, is_data) = (self.file(), self.offset(), self.below(2) == 0);
                let to = if is_data {
                    SeekFrom::Data(at)
                } else {
                    SeekFrom::Hole(at)
                };
                let answer = file.and_then(|file| rustix::fs::seek(file, to));
                // Of room that nothing was written to, what is in the page cache counts as data.
                let answer = match answer {
                    Ok(_) | Err(Errno::NXIO) => Ok("asked".to_owned()),
                    Err(errno) => Err(errno),
                };
                (format!("seek {to:?}"), answer)
            }
            13 => {
                let (from, to) = (self.file(), self.file());
                let (mut at, mut to_at, len) = (self.offset(), self.offset(), self.below(50_000) as usize);
                let call = format!("copy {len} from {at} to {to_at}");
                let answer = from.and_then(|from| {
                    rustix::fs::copy_file_range(from, Some(&mut at), to?, Some(&mut to_at), len)
                });
                (call, answer.map(|len| len.to_string()))
            }
            14 => {
                let file = self.file();
                ("fsync".to_owned(), done(file.and_then(rustix::fs::fsync)))
            }
            15 => {
                let answer = self.file().and_then(|file| stat_text(&rustix::fs::fstat(file)?));
                ("fstat".to_owned(), answer)
            }
            16..=18 => {
                let (path, mode) = (self.path(), self.mode());
                let answer = rustix::fs::mkdirat(&self.root, &path, mode);
                (format!("mkdir {path} {mode:?}"), done(answer))
            }
            19 => {
                let (path, is_folder) = (self.path(), self.below(2) == 0);
                let flags = if is_folder { AtFlags::REMOVEDIR } else { nothing };
                let answer = rustix::fs::unlinkat(&self.root, &path, flags);
                (format!("unlink {path} {flags:?}"), done(answer))
            }
            20 | 21 => {
                let (from, to) = (self.path(), self.path());
                let flags = match self.below(5) {
                    0 => RenameFlags::NOREPLACE,
                    1 => RenameFlags::EXCHANGE,
                    _ => RenameFlags::empty(),
                };
                let answer = rustix::fs::renameat_with(&self.root, &from, &self.root, &to, flags);
                (format!("rename {from} to {to} {flags:?}"), done(answer))
            }
            22 => {
                let (from, to) = (self.path(), self.path());
                let answer = rustix::fs::linkat(&self.root, &from, &self.root, &to, nothing);
                (format!("link {from} to {to}"), done(answer))
            }
            23 => {
                let (target, path) = (self.path(), self.path());
                let answer = rustix::fs::symlinkat(&target, &self.root, &path);
                (format!("symlink {path} to {target}"), done(answer))
            }
            24 => {
                let (path, mode) = (self.path(), self.mode());
                let kinds = [
                    FileType::Fifo,
                    FileType::Socket,
                    FileType::CharacterDevice,
                    FileType::BlockDevice,
                    FileType::RegularFile,
                ];
                let kind = kinds[self.below(5) as usize];
                let device = rustix::fs::makedev(self.below(4000), self.below(1 << 20));
                let answer = rustix::fs::mknodat(&self.root, &path, kind, mode, device);
                (format!("mknod {path} {kind:?} {mode:?} {device:x}"), done(answer))
            }
            25 => {
                let (path, mode) = (self.path(), self.mode());
                let answer = rustix::fs::chmodat(&self.root, &path, mode, nothing);
                (format!("chmod {path} {mode:?}"), done(answer))
            }
            26 => {
                let path = self.path();
                let ids = [None, Some(0), Some(1000), Some(1001)];
                let (uid, gid) = (ids[self.below(4) as usize], ids[self.below(4) as usize]);
                let (owner, group) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
                let answer = rustix::fs::chownat(&self.root, &path, owner, group, AtFlags::SYMLINK_NOFOLLOW);
                (format!("chown {path} {uid:?} {gid:?}"), done(answer))
            }
            27 => {
                let path = self.path();
                let mut time = || Timespec {
                    tv_sec: i64::from(self.below(1 << 30)),
                    tv_nsec: i64::from(self.below(1_000_000_000)),
                };
                let times = Timestamps {
                    last_access: time(),
                    last_modification: time(),
                };
                let set = rustix::fs::utimensat(&self.root, &path, &times, AtFlags::SYMLINK_NOFOLLOW);
                let answer = set.and_then(|()| {
                    let stat = rustix::fs::statat(&self.root, &path, AtFlags::SYMLINK_NOFOLLOW)?;
                    Ok(format!(
                        "{}.{} {}.{}",
                        stat.st_atime, stat.st_atime_nsec, stat.st_mtime, stat.st_mtime_nsec
                    ))
                });
                (format!("utimens {path}"), answer)
            }
            28 => {
                let names = [
                    "user.one",
                    "user.two",
                    "trusted.three",
                    "security.four",
                    "nonsense",
                ];
                let (file, name) = (self.file(), names[self.below(5) as usize]);
                let value = self.below(300);
                let flags = [XattrFlags::empty(), XattrFlags::CREATE, XattrFlags::REPLACE];
                let flags = flags[self.below(3) as usize];
                let bytes = vec![b'v'; value as usize];
                let answer = file.and_then(|file| match value % 4 {
                    0 => rustix::fs::fremovexattr(file, name),
                    _ => rustix::fs::fsetxattr(file, name, &bytes, flags),
                });
                (format!("xattr {name} {value} {flags:?}"), done(answer))
            }
            29 => {
                let file = self.file();
                let mut names = vec![0; 4096];
                let answer = file.and_then(|file| {
                    let len = rustix::fs::flistxattr(file, &mut names[..])?;
                    let mut names: Vec<_> = names[..len].split(|byte| *byte == 0).collect();
                    names.sort_unstable();
                    Ok(names.concat().escape_ascii().to_string())
                });
                ("listxattr".to_owned(), answer)
            }
            30 | 31 => {
                let path = self.path();
                let stat = rustix::fs::statat(&self.root, &path, AtFlags::SYMLINK_NOFOLLOW);
                (format!("stat {path}"), stat.and_then(|stat| stat_text(&stat)))
            }
            32 => {
                let path = self.path();
                let answer = self.listing(&path);
                (format!("list {path}"), answer)
            }
            _ => {
                let path = self.path();
                let read = rustix::fs::readlinkat(&self.root, &path, Vec::new());
                let how = [Access::EXISTS, Access::READ_OK, Access::WRITE_OK, Access::EXEC_OK];
                let how = how[self.below(4) as usize];
                let access = rustix::fs::accessat(&self.root, &path, how, AtFlags::EACCESS);
                (
                    format!("readlink and access {path} {how:?}"),
                    Ok(format!("{read:?} {access:?}")),
                )
            }
        }
    }

    fn listing(&self, path: &str) -> Result<String, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let folder = rustix::fs::openat(&self.root, path, flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in Dir::read_from(folder.as_fd())? {
            let entry = entry?;
            names.push(format!(
                "{}:{:?}",
                entry.file_name().to_string_lossy(),
                entry.file_type()
            ));
        }
        names.sort();
        Ok(names.join(" "))
    }
}

#[allow(clippy::unnecessary_wraps)] // for and_then
fn stat_text(stat: &rustix::fs::Stat) -> Result<String, Errno> {
    let mut text = String::new();
    let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let size = if is_folder { 0 } else { stat.st_size };
    let _ = write!(
        text,
        "{:o} links {} {}:{} size {size} rdev {:x}",
        stat.st_mode, stat.st_nlink, stat.st_uid, stat.st_gid, stat.st_rdev
    );
    Ok(text)
}

/// Gives everything below a folder one time, so that trees made at different times can be compared.
pub fn freeze_times(root: &Path) {
    let time = Timespec {
        tv_sec: 1_000_000_000,
        tv_nsec: 123_456_789,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    for entry in std::fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            freeze_times(&entry.path());
        } else {
            rustix::fs::utimensat(CWD, entry.path(), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        }
    }
    rustix::fs::utimensat(CWD, root, &times, AtFlags::empty()).unwrap();
}
