//! Writes a described tree into a directory, everything about it included.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

use crate::tree::{Entry, Tree, What};

impl Tree {
    /// Writes all entries below `root`, an existing directory, which itself gets what the tree says of its root. Owners
    /// and devices need root rights where there are any.
    pub fn write(&self, root: &Path) -> io::Result<()> {
        for entry in &self.entries {
            let path = place(root, &entry.path);
            make(root, entry, &path).map_err(|error| named(&path, &error))?;
        }
        // Entries that come later change the times of their directories; what has a mode of 0000 is done by then.
        for entry in self
            .entries
            .iter()
            .rev()
            .filter(|entry| !matches!(entry.what, What::Name(_)))
        {
            let path = place(root, &entry.path);
            dress(self, entry, &path).map_err(|error| named(&path, &error))?;
        }
        Ok(())
    }
}

fn place(root: &Path, path: &[u8]) -> PathBuf {
    if path.is_empty() {
        root.to_path_buf()
    } else {
        root.join(OsStr::from_bytes(path))
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn make(root: &Path, entry: &Entry, path: &Path) -> io::Result<()> {
    let special = |kind, major, minor| {
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(CWD, path, kind, mode, rustix::fs::makedev(major, minor)).map_err(io::Error::from)
    };
    match &entry.what {
        What::Directory if entry.path.is_empty() => Ok(()),
        What::Directory => fs::create_dir(path),
        What::File(content) => content.write(&File::create_new(path)?),
        What::Link(target) => std::os::unix::fs::symlink(OsStr::from_bytes(target), path),
        What::Name(first) => fs::hard_link(place(root, first), path),
        What::Fifo => special(FileType::Fifo, 0, 0),
        What::Socket => special(FileType::Socket, 0, 0),
        What::Block(major, minor) => special(FileType::BlockDevice, *major, *minor),
        What::Character(major, minor) => special(FileType::CharacterDevice, *major, *minor),
    }
}

fn dress(tree: &Tree, entry: &Entry, path: &Path) -> io::Result<()> {
    let fields = tree.fields();
    for (name, value) in &entry.xattrs {
        rustix::fs::lsetxattr(path, name.as_str(), value, XattrFlags::empty())?;
    }
    if fields.owner {
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    // After the owner, whose change clears set-user and set-group.
    if fields.mode && !matches!(entry.what, What::Link(_)) {
        rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
    }
    if fields.mtime {
        let time = Timespec {
            tv_sec: entry.mtime.0,
            tv_nsec: entry.mtime.1.into(),
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::kind::Kind;
    use crate::manifest::Manifest;
    use crate::tree::{Plan, Tree};

    /// The description and this machine's own file system agree; as root only, since owners and devices are part of it.
    #[test]
    fn what_is_written_is_what_was_described() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not root: skipped");
            return;
        }
        let mut abilities = Kind::named("ext4").unwrap().abilities.clone();
        abilities.directory_links = crate::kind::DirectoryLinks::Unknown;
        let tree = Tree::new(
            &Plan {
                wide: 30,
                ..Plan::default()
            },
            &abilities,
        );
        let place = tempfile::tempdir().unwrap();
        tree.write(place.path()).unwrap();
        let found = Manifest::of_directory(place.path()).unwrap();
        let differences = tree.differences(&found, &[], 10);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
}
