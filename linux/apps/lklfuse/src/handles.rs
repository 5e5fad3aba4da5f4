//! What the host's kernel has open: regular files and folders, by number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use lkl::{Errno, OwnedFd};

/// Open files.
#[derive(Debug)]
pub struct Handles {
    files: RwLock<HashMap<u64, Arc<OwnedFd>>>,
    next: AtomicU64,
}

impl Default for Handles {
    fn default() -> Handles {
        Handles {
            files: RwLock::default(),
            next: AtomicU64::new(1),
        }
    }
}

impl Handles {
    /// Keeps an open file. Its number.
    pub fn add(&self, file: Arc<OwnedFd>) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        files.insert(number, file);
        number
    }

    /// The open file of this number. EBADF when there is none.
    pub fn get(&self, number: u64) -> Result<Arc<OwnedFd>, Errno> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.get(&number).cloned().ok_or(Errno::EBADF)
    }

    /// Closes one.
    pub fn close(&self, number: u64) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        let file = files.remove(&number);
        drop(files);
        // Closing is a call to Linux.
        drop(file);
    }

    /// Closes all.
    pub fn clear(&self) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        let all = std::mem::take(&mut *files);
        drop(files);
        drop(all);
    }
}
