//! What a program has begun to write: temporary files and directories that go away unless they are finished.
//!
//! A [`Scratch`] is one temporary name beside the final one, in the same directory, so that the last step is a rename
//! within one file system. Dropping it removes it. Because the process may also end from another thread (`watchdog`,
//! an interrupt), each is listed here until then, and [`remove_all`] removes what is listed after stopping the writer:
//! from then on [`check_running`] parks whoever asks.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

static LISTED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static STOPPING: AtomicBool = AtomicBool::new(false);
static FINISHED: AtomicBool = AtomicBool::new(false);

/// A temporary name, listed for removal.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Takes over `path`, which the caller has just created.
    pub fn new(path: PathBuf) -> Scratch {
        with_list(|list| list.push(path.clone()));
        Scratch { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It is complete: `publish` gives it its final name, and unless that fails it is no longer temporary. Either this
    /// happens or a stop from outside, never both.
    pub fn finish(self, publish: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        check_running();
        let done: io::Result<()> = with_list(|list| {
            if STOPPING.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            publish(&self.path)?;
            list.retain(|listed| *listed != self.path);
            FINISHED.store(true, Ordering::SeqCst);
            Ok(())
        });
        done?;
        std::mem::forget(self);
        Ok(())
    }
}

/// Whether what was asked for has its final name: it is too late to stop it.
pub fn is_finished() -> bool {
    FINISHED.load(Ordering::SeqCst)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        with_list(|list| list.retain(|listed| *listed != self.path));
        remove(&self.path);
    }
}

/// Removes everything that is listed. What another thread is writing meanwhile stops at its next [`check_running`].
pub fn remove_all() {
    let listed = with_list(|list| {
        STOPPING.store(true, Ordering::SeqCst);
        std::mem::take(list)
    });
    for path in listed {
        // The writer may still add an entry or two to a directory before it notices.
        for _ in 0..50 {
            remove(&path);
            if path.symlink_metadata().is_err() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// Returns at once while the process is to go on, and never when it is ending.
pub fn check_running() {
    while STOPPING.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

fn with_list<T>(act: impl FnOnce(&mut Vec<PathBuf>) -> T) -> T {
    // A panic elsewhere does not make the list of paths wrong.
    act(&mut LISTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Removes a file or a whole directory. Directories may have been given modes that forbid their owner to change them,
/// so those are opened up first.
fn remove(path: &Path) {
    let Ok(metadata) = path.symlink_metadata() else {
        return;
    };
    if !metadata.is_dir() {
        let _ = std::fs::remove_file(path);
        return;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700));
    }
    if let Ok(entries) = std::fs::read_dir(path) {
        for entry in entries.flatten() {
            remove(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_scratch_is_gone_and_a_finished_one_stays() {
        let place = tempfile::tempdir().unwrap();
        let (gone, stays) = (place.path().join("gone"), place.path().join("stays"));
        std::fs::create_dir_all(gone.join("a/b")).unwrap();
        std::fs::write(gone.join("a/b/c"), "x").unwrap();
        std::fs::write(&stays, "x").unwrap();
        drop(Scratch::new(gone.clone()));
        Scratch::new(stays.clone()).finish(|_| Ok(())).unwrap();
        assert!(!gone.exists());
        assert!(stays.exists());
    }
}
