//! Where expensive things live between runs: one folder outside the checkout, keyed by content.
//!
//! `$LKLFS_CACHE`, else `$XDG_CACHE_HOME/lklfs`, else `~/.cache/lklfs` (`%LOCALAPPDATA%\lklfs` on Windows). An entry
//! is a folder whose name ends in a hash of everything that went into it; it is filled in a temporary sibling and
//! renamed, so that a run that is interrupted leaves no half entry behind.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

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
    let root = root()?;
    let done = root.join(format!("{kind}-{key}"));
    if done.is_dir() {
        return Ok(done);
    }
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
