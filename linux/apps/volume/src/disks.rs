//! Images that are open for writing: each once, whatever number of its partitions is mounted.
//!
//! An image is its writer's alone, and the lock that says so is one of the open file. So the volumes of one Linux share what is
//! open, and each has a [`Claim`] on its own bytes: what overlaps another's is refused.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

#[cfg(windows)]
use lkl_host_nt::WritableFile;
#[cfg(unix)]
use lkl_host_posix::WritableFile;

/// Those of a Linux.
#[derive(Default, Debug)]
pub(crate) struct Disks(Mutex<Vec<Weak<Open>>>);

struct Open {
    /// Without links, so that one file has one path.
    path: PathBuf,
    file: Arc<WritableFile>,
    claimed: Mutex<Vec<Range<u64>>>,
}

/// Bytes of an open image that are one volume's.
pub(crate) struct Claim {
    open: Arc<Open>,
    bytes: Range<u64>,
}

/// Why bytes are not given.
pub(crate) enum Refusal<E> {
    /// The image was not opened.
    Open(E),
    /// Another volume of this Linux's has some of them.
    Claimed,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disks {
    /// Claims bytes of an image, which `open` opens if that has not been done.
    pub(crate) fn claim<E>(
        &self,
        image: &Path,
        bytes: Range<u64>,
        open: impl FnOnce() -> Result<WritableFile, E>,
    ) -> Result<Claim, Refusal<E>> {
        let path = image.canonicalize().unwrap_or_else(|_| image.to_owned());
        let mut disks = locked(&self.0);
        disks.retain(|disk| disk.strong_count() > 0);
        let found = disks.iter().filter_map(Weak::upgrade);
        let open = match found.into_iter().find(|disk| disk.path == path) {
            Some(found) => found,
            None => {
                let opened = Arc::new(Open {
                    path,
                    file: Arc::new(open().map_err(Refusal::Open)?),
                    claimed: Mutex::default(),
                });
                disks.push(Arc::downgrade(&opened));
                opened
            }
        };
        let mut claimed = locked(&open.claimed);
        let overlaps = |other: &Range<u64>| other.start < bytes.end && bytes.start < other.end;
        if claimed.iter().any(overlaps) {
            return Err(Refusal::Claimed);
        }
        claimed.push(bytes.clone());
        drop(claimed);
        Ok(Claim { open, bytes })
    }
}

impl Claim {
    /// The whole image.
    pub(crate) fn disk(&self) -> &Arc<WritableFile> {
        &self.open.file
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claimed = locked(&self.open.claimed);
        if let Some(at) = claimed.iter().position(|bytes| *bytes == self.bytes) {
            claimed.swap_remove(at);
        }
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
