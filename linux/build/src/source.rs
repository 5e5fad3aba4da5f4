//! The Linux tree and the port laid over it.
//!
//! A tarball is unpacked once into the cache, by the hash of its bytes. The tree that kbuild sees is another one: real
//! folders only for its root and for `arch`, symbolic links to the unpacked tree (or to the folder that the user named)
//! for everything in them, and a copy of the port as `arch/lkl`. So the tree below is never written to, several builds
//! share it, and laying the port over it costs some fifty links. A file of the port that did not change keeps its time
//! of change, so that kbuild compiles only what did.

use crate::cache::{self, Key};
use crate::error::io;
use crate::{Error, Source};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use walkdir::WalkDir;

/// A Linux version, as in `6.12.117`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// `VERSION` and `PATCHLEVEL` of the tree's Makefile.
    pub series: (u32, u32),
    /// `SUBLEVEL`.
    pub sublevel: u32,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.series.0, self.series.1, self.sublevel)
    }
}

/// A tree that can be read: unpacked, with its version.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The tree's root. Not to be written to.
    pub path: PathBuf,
    /// What it is.
    pub version: Version,
}

/// The hash of a source: of a tarball's bytes; of the names, sizes and times of change of a folder's files.
pub fn identity(source: &Source, cache: &Path) -> Result<String, Error> {
    match source {
        Source::Tarball(path) => cache::file_hash(cache, path),
        Source::Directory(path) => {
            let mut key = Key::new();
            key.part("folder", path.as_os_str().as_encoded_bytes());
            let walk = WalkDir::new(path).sort_by_file_name().into_iter();
            for entry in walk.filter_entry(|e| e.file_name() != ".git") {
                let io_error = |e: walkdir::Error| Error::Io {
                    what: "cannot list",
                    path: path.clone(),
                    source: e.into(),
                };
                let entry = entry.map_err(io_error)?;
                if entry.file_type().is_file() {
                    let meta = entry.metadata().map_err(io_error)?;
                    let changed = meta
                        .modified()
                        .ok()
                        .and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
                    let stamp = format!("{} {}", meta.len(), changed.unwrap_or_default().as_nanos());
                    key.part(&entry.path().to_string_lossy(), stamp.as_bytes());
                }
            }
            Ok(key.finish())
        }
    }
}

/// Makes the source readable: unpacks a tarball (once) and finds out which Linux it is.
pub fn unpack(source: &Source, identity: &str, cache: &Path) -> Result<Tree, Error> {
    let path = match source {
        Source::Directory(path) => path.clone(),
        Source::Tarball(tarball) => {
            let path = cache.join("sources").join(identity);
            cache::once(&path, |partial| untar(tarball, partial))?;
            path
        }
    };
    let version = version(&path)?;
    Ok(Tree { path, version })
}

fn untar(tarball: &Path, into: &Path) -> Result<(), Error> {
    let mut command = Command::new("tar");
    command
        .arg("-xf")
        .arg(tarball)
        .arg("-C")
        .arg(into)
        .args(["--strip-components=1", "--no-same-owner"]);
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|source| Error::ToolMissing {
        tool: "tar".into(),
        package: "tar xz-utils",
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Format {
        what: tarball.display().to_string(),
        why: format!(
            "tar cannot unpack it: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ),
    })
}

fn version(tree: &Path) -> Result<Version, Error> {
    let not_linux = |why: String| Error::NotLinux {
        path: tree.to_owned(),
        why,
    };
    let makefile = tree.join("Makefile");
    let text = fs::read_to_string(&makefile).map_err(|e| not_linux(format!("Makefile: {e}")))?;
    let field = |name: &str| -> Result<u32, Error> {
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='));
        let value = lines.map(str::trim).next().and_then(|value| value.parse().ok());
        value.ok_or_else(|| not_linux(format!("its Makefile does not set {name}")))
    };
    Ok(Version {
        series: (field("VERSION")?, field("PATCHLEVEL")?),
        sublevel: field("SUBLEVEL")?,
    })
}

/// Makes `tree` the union of the Linux tree `below` and the port `overlay`, or brings it up to date.
pub fn overlay(below: &Path, overlay: &Path, tree: &Path) -> Result<(), Error> {
    cache::make_folder(&tree.join("arch"))?;
    link_entries(below, tree, "arch")?;
    link_entries(&below.join("arch"), &tree.join("arch"), "lkl")?;
    synchronise(overlay, &tree.join("arch/lkl"))
}

/// Links each entry of `from` into `to`, but for the one named `except`; removes links that are of no use any more.
fn link_entries(from: &Path, to: &Path, except: &str) -> Result<(), Error> {
    let names = |dir: &Path| -> Result<BTreeSet<_>, Error> {
        let entries = io(fs::read_dir(dir), "cannot list", dir)?;
        let names = entries
            .map(|entry| Ok(entry?.file_name()))
            .collect::<std::io::Result<BTreeSet<_>>>();
        Ok(io(names, "cannot list", dir)?
            .into_iter()
            .filter(|n| n != except && n != ".git")
            .collect())
    };
    let wanted = names(from)?;
    for name in names(to)? {
        let (link, target) = (to.join(&name), from.join(&name));
        if !wanted.contains(&name) || fs::read_link(&link).ok() != Some(target) {
            io(fs::remove_file(&link), "cannot remove", &link)?;
        }
    }
    for name in wanted {
        let (link, target) = (to.join(&name), from.join(&name));
        if fs::symlink_metadata(&link).is_err() {
            io(symlink(&target, &link), "cannot create the link", &link)?;
        }
    }
    Ok(())
}

/// Makes the folder `to` equal to `from`, writing only the files that differ.
fn synchronise(from: &Path, to: &Path) -> Result<(), Error> {
    cache::make_folder(to)?;
    let wanted: BTreeSet<PathBuf> = cache::files_under(from)?.into_iter().collect();
    for file in cache::files_under(to)? {
        if !wanted.contains(&file) {
            io(fs::remove_file(to.join(&file)), "cannot remove", &to.join(&file))?;
        }
    }
    for file in wanted {
        let (source, target) = (from.join(&file), to.join(&file));
        let bytes = io(fs::read(&source), "cannot read", &source)?;
        if fs::read(&target).ok().as_ref() != Some(&bytes) {
            cache::make_folder(target.parent().unwrap_or(to))?;
            io(fs::write(&target, &bytes), "cannot write", &target)?;
            let mode = io(fs::metadata(&source), "cannot read", &source)?.permissions();
            io(fs::set_permissions(&target, mode), "cannot write", &target)?;
        }
    }
    Ok(())
}
