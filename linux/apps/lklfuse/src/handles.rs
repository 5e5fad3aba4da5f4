//! What the host's kernel has open: regular files and folders, by number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use lkl::{Errno, OwnedFd};

use crate::nodes::Node;

/// An open file.
#[derive(Debug)]
struct Open {
    node: Arc<Node>,
    file: Arc<OwnedFd>,
}

/// Open files.
#[derive(Debug)]
pub struct Handles {
    files: RwLock<HashMap<u64, Open>>,
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
    pub fn add(&self, node: Arc<Node>, file: Arc<OwnedFd>) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        files.insert(number, Open { node, file });
        number
    }

    /// The open file of this number. EBADF when there is none.
    pub fn get(&self, number: u64) -> Result<Arc<OwnedFd>, Errno> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let open = files.get(&number).ok_or(Errno::EBADF)?;
        Ok(Arc::clone(&open.file))
    }

    /// Opens all of them again. What cannot be opened fails from then on as it did before.
    pub fn open_again(&self, open: impl Fn(&Arc<Node>) -> Result<OwnedFd, Errno>) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        for one in files.values_mut() {
            if let Ok(file) = open(&one.node) {
                one.file = Arc::new(file);
            }
        }
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
