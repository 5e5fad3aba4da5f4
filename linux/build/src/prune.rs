//! What leaves the cache again. Each change of the port, of a configuration or of a tool makes new entries of some 80
//! MB, and the old ones are of no use to anybody but a checkout of the older state.
//!
//! The rule of [`prune`]: an entry goes when it was unused for thirty days, or when eight others were used after it.
//! It stays in any case while its lock is held, and for a day after it was used: what a build script has found is
//! linked only later, when its process, and with it any lock, is gone. Nothing depends on an entry for longer: cargo
//! watches the library that it linked ([`crate::library`]), and a build that misses it makes it again.

use crate::Error;
use crate::cache::{beside, remove_folder};
use crate::error::io;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// An entry that was not used for so long goes.
const UNUSED: Duration = DAY.saturating_mul(30);
/// Entries that are kept for less.
const KEPT: usize = 8;

/// Removes old entries from `folder`, which [`once`](crate::cache::once) has made, and what killed builds have left
/// there.
pub fn prune(folder: &Path, now: SystemTime) -> Result<(), Error> {
    let mut entries = Vec::new();
    for entry in io(fs::read_dir(folder), "cannot list", folder)? {
        let path = io(entry, "cannot list", folder)?.path();
        if !path.is_dir() {
            continue;
        }
        if path.extension().is_some_and(|ending| ending == "partial") {
            if_free(&path.with_extension(""), || remove_folder(&path))?;
        } else if let Some(used) = last_use(&path) {
            entries.push((used, path));
        }
    }
    entries.sort_by(|a, b| b.cmp(a));
    for (newer, (used, path)) in entries.into_iter().enumerate() {
        let unused = now.duration_since(used).unwrap_or_default();
        if unused >= UNUSED || (newer >= KEPT && unused >= DAY) {
            if_free(&path, || {
                // Somebody may have come before the lock did.
                if last_use(&path) != Some(used) {
                    return Ok(());
                }
                // A removal that is interrupted must not leave half an entry under a name that means a whole one.
                let partial = beside(&path, "partial");
                remove_folder(&partial)?;
                io(fs::rename(&path, &partial), "cannot move", &path)?;
                remove_folder(&partial)
            })?;
        }
    }
    Ok(())
}

/// When the entry `path` was used last; `None` for what `once` has not made.
fn last_use(path: &Path) -> Option<SystemTime> {
    fs::metadata(beside(path, "lock")).ok()?.modified().ok()
}

/// Does `act` under the lock of the entry `path`, unless another holds it. The lock file stays: somebody may be waiting
/// for it.
fn if_free(path: &Path, act: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    match File::options().write(true).open(beside(path, "lock")) {
        Ok(lock) if lock.try_lock().is_ok() => act(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{lock, once};
    use std::collections::BTreeSet;

    /// Makes the entry `name` and says that it was used `days` before `now`.
    fn used(folder: &Path, name: &str, now: SystemTime, days: u32) {
        let path = folder.join(name);
        once(&path, |partial| {
            fs::write(partial.join("lkl.o"), name).unwrap();
            Ok(())
        })
        .unwrap();
        let lock = File::options().write(true).open(beside(&path, "lock")).unwrap();
        lock.set_modified(now - DAY * days).unwrap();
    }

    fn folders(folder: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let folders = entries.filter(|entry| entry.path().is_dir());
        folders
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect()
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_old_and_the_many_go() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        used(dir.path(), "old", now, 31);
        used(dir.path(), "month", now, 29);
        prune(dir.path(), now).unwrap();
        assert_eq!(folders(dir.path()), names(&["month"]));

        for (days, name) in (1..).zip(["a", "b", "c", "d", "e", "f", "g", "h"]) {
            used(dir.path(), name, now, days);
        }
        prune(dir.path(), now).unwrap();
        let eight = names(&["a", "b", "c", "d", "e", "f", "g", "h"]);
        assert_eq!(folders(dir.path()), eight);
        assert_eq!(fs::read_to_string(dir.path().join("h/lkl.o")).unwrap(), "h");
    }

    #[test]
    fn what_was_used_today_stays_however_many_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let many: Vec<String> = (0..12).map(|index| format!("key{index}")).collect();
        for name in &many {
            used(dir.path(), name, now, 0);
        }
        prune(dir.path(), now).unwrap();
        assert_eq!(folders(dir.path()).len(), many.len());
        prune(dir.path(), now + DAY).unwrap();
        assert_eq!(folders(dir.path()).len(), KEPT);
    }

    #[test]
    fn finding_an_entry_is_using_it() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        used(dir.path(), "found", now, 100);
        once(&dir.path().join("found"), |_| panic!("it is there")).unwrap();
        prune(dir.path(), now).unwrap();
        assert_eq!(folders(dir.path()), names(&["found"]));
    }

    #[test]
    fn a_lock_keeps_an_entry_and_what_is_being_made() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        used(dir.path(), "locked", now, 100);
        let making = dir.path().join("making.partial");
        fs::create_dir(&making).unwrap();
        let holders = ["locked", "making"].map(|name| lock(&dir.path().join(name)).unwrap());
        prune(dir.path(), now).unwrap();
        assert_eq!(folders(dir.path()), names(&["locked", "making.partial"]));
        drop(holders);
        prune(dir.path(), now).unwrap();
        assert_eq!(folders(dir.path()), names(&[]));
        // It can be made again.
        used(dir.path(), "locked", now, 0);
    }

    #[test]
    fn what_others_have_put_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("notes")).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        prune(dir.path(), SystemTime::now() + UNUSED * 2).unwrap();
        assert!(dir.path().join("notes").is_dir() && dir.path().join("file").is_file());
    }
}
