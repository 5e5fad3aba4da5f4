//! Where expensive things live between runs: one folder outside the checkout, keyed by content.
//!
//! `$LKLFS_CACHE`, else `$XDG_CACHE_HOME/lklfs`, else `~/.cache/lklfs` (`%LOCALAPPDATA%\lklfs` on Windows). An entry
//! is a folder whose name ends in a hash of everything that went into it; it is filled in a temporary sibling and
//! renamed, so that a run that is interrupted leaves no half entry behind.
//!
//! Beside each entry lies a lock file. A process that uses the entry holds it until its end, since the cargo that it
//! starts reads from there, and its time of change is when that began. When a new entry is made, those of its kind
//! that nobody holds go if they were unused for thirty days or if eight others were used after them.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// The root of the cache. It need not exist yet.
pub fn root() -> Result<PathBuf> {
    let from = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    from("LKLFS_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|dir| dir.join("lklfs")))
        .or_else(|| from("HOME").map(|dir| dir.join(".cache/lklfs")))
        .or_else(|| from("LOCALAPPDATA").map(|dir| dir.join("lklfs")))
        .context("no cache folder: set LKLFS_CACHE to a folder that may hold a few GiB")
}

/// A hash over named parts; the key of a cache entry.
#[derive(Default)]
pub struct Key(Sha256);

impl Key {
    /// Adds one part. Lengths are hashed too, so that parts cannot run into each other.
    pub fn add(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// Adds a file's contents.
    pub fn add_file(self, path: &Path) -> Result<Self> {
        let contents = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(self.add(contents))
    }

    /// The first 16 hex digits.
    pub fn finish(self) -> String {
        self.0
            .finalize()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// The folder `kind-key` of the cache, filled by `fill` the first time.
pub fn entry(kind: &str, key: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    entry_in(&root()?, kind, key, fill)
}

/// [`entry`] in a cache at `root`.
fn entry_in(root: &Path, kind: &str, key: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let done = root.join(format!("{kind}-{key}"));
    fs::create_dir_all(root).with_context(|| format!("cannot create {}", root.display()))?;
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(lock_of(&done))?;
    lock.lock_shared()?;
    lock.set_modified(SystemTime::now())?;
    // Open, and so locked, until this process ends.
    std::mem::forget(lock);
    if done.is_dir() {
        return Ok(done);
    }
    // What cannot be removed now is tried again with the next entry.
    let _ = prune(root, kind, SystemTime::now());
    let partial = root.join(format!("{kind}-{key}.partial-{}", std::process::id()));
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
    if let Err(error) = fill(&partial) {
        let _ = fs::remove_dir_all(&partial);
        return Err(error);
    }
    match fs::rename(&partial, &done) {
        Ok(()) => Ok(done),
        // Another run was faster: its entry has the same content.
        Err(_) if done.is_dir() => {
            fs::remove_dir_all(&partial)?;
            Ok(done)
        }
        Err(error) => Err(error).with_context(|| format!("cannot put {} in place", done.display())),
    }
}

/// An entry that was not used for so long goes.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Entries of a kind that are kept for less.
const KEPT: usize = 8;

/// Removes the old entries of one kind that nobody holds.
fn prune(root: &Path, kind: &str, now: SystemTime) -> Result<()> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        // The kinds are prefixes of each other; a key has 16 digits.
        let key = name.strip_prefix(kind).and_then(|rest| rest.strip_prefix('-'));
        if path.is_dir() && key.is_some_and(|key| key.len() == 16 && !key.contains(['-', '.'])) {
            // One from before there were locks was used when it was made.
            let place = Some(lock_of(&path)).filter(|lock| lock.exists());
            let used = fs::metadata(place.as_ref().unwrap_or(&path))?.modified()?;
            entries.push((used, path));
        }
    }
    entries.sort_by(|a, b| b.cmp(a));
    for (newer, (used, path)) in entries.into_iter().enumerate() {
        if newer < KEPT && now.duration_since(used).unwrap_or_default() < UNUSED {
            continue;
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(lock_of(&path))?;
        if lock.try_lock().is_ok() {
            // Out of the way first: half an entry must not be taken for a whole one.
            let going = path.with_extension(format!("partial-{}", std::process::id()));
            fs::rename(&path, &going)?;
            fs::remove_dir_all(&going)?;
        }
    }
    Ok(())
}

/// The lock file of an entry.
fn lock_of(entry: &Path) -> PathBuf {
    entry.with_extension("lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of the right form.
    fn key(number: usize) -> String {
        format!("{number:016x}")
    }

    /// Makes an entry that nobody holds, used `days` before `now`.
    fn used(root: &Path, kind: &str, number: usize, now: SystemTime, days: u64) {
        let path = root.join(format!("{kind}-{}", key(number)));
        fs::create_dir_all(path.join("Include")).unwrap();
        let lock = File::create(lock_of(&path)).unwrap();
        lock.set_modified(now - Duration::from_secs(days * 24 * 60 * 60))
            .unwrap();
    }

    /// The numbers of the entries of a kind that are there.
    fn there(root: &Path, kind: &str) -> Vec<usize> {
        (0..32)
            .filter(|&number| root.join(format!("{kind}-{}", key(number))).is_dir())
            .collect()
    }

    #[test]
    fn old_entries_go_and_those_in_use_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (root, now) = (dir.path(), SystemTime::now());
        // By age: 1 to 10 days, and two that are too old, of which one is in use.
        for number in 1..=10 {
            used(root, "wdk", number, now, number as u64);
        }
        used(root, "wdk", 20, now, 31);
        used(root, "wdk", 21, now, 31);
        used(root, "wdk-build", 1, now, 31);
        let held = File::open(lock_of(&root.join(format!("wdk-{}", key(21))))).unwrap();
        held.lock_shared().unwrap();
        fs::create_dir(root.join("kernel")).unwrap();

        prune(root, "wdk", now).unwrap();
        assert_eq!(there(root, "wdk"), [1, 2, 3, 4, 5, 6, 7, 8, 21]);
        assert_eq!(there(root, "wdk-build"), [1], "another kind");
        assert!(root.join("kernel").is_dir());

        // Not by closing it: a program that another test starts has it, too, from its fork until its exec.
        held.unlock().unwrap();
        prune(root, "wdk", now).unwrap();
        assert_eq!(there(root, "wdk"), [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn an_entry_is_made_once_used_when_found_and_prunes_when_made() {
        let dir = tempfile::tempdir().unwrap();
        let (root, now) = (dir.path(), SystemTime::now());
        used(root, "wdk", 1, now, 40);
        used(root, "wdk", 2, now, 40);
        let found = entry_in(root, "wdk", &key(1), |_| panic!("it is there")).unwrap();
        assert!(found.join("Include").is_dir());
        let made = entry_in(root, "wdk", &key(3), |path| {
            fs::write(path.join("new"), "")?;
            Ok(())
        });
        assert!(made.unwrap().join("new").is_file());
        assert_eq!(there(root, "wdk"), [1, 3]);
        // Held by this process, whatever the time.
        prune(root, "wdk", now + UNUSED * 2).unwrap();
        assert_eq!(there(root, "wdk"), [1, 3]);
    }
}
