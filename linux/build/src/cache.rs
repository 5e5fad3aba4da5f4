//! The cache: what is expensive to make, kept outside the checkout.
//!
//! ```text
//! sources/HASH/          a Linux tree as its tarball has it
//! hashes/                what tarballs hash to, by path, size and time, so that each is read once
//! work/SOURCE-CONFIG/    tree/ (links and arch/lkl), obj/ (kbuild's output), build.log; may be deleted at any time
//! kernel/KEY/            lkl.o and liblkl-CONFIG.a, the configuration and the report
//! coff/KEY/              lkl.obj and lkl-CONFIG.lib
//! ```
//!
//! A folder appears under its final name by one rename, when it is complete: whatever is there can be used. A lock
//! file beside it keeps two builds from making the same thing at once; the operating system drops the lock when its
//! holder ends, however that happens. The lock file's time of change is when the entry was last used:
//! [`prune`](crate::prune) goes by it.

use crate::Error;
use crate::error::io;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use walkdir::WalkDir;

/// A hash over named parts: the name and the length of each part are hashed too, so parts cannot run together.
pub struct Key(Sha256);

impl Key {
    /// An empty one.
    pub fn new() -> Key {
        Key(Sha256::new())
    }

    /// Adds a part.
    pub fn part(&mut self, name: &str, bytes: &[u8]) {
        for piece in [name.as_bytes(), bytes] {
            self.0.update((piece.len() as u64).to_le_bytes());
            self.0.update(piece);
        }
    }

    /// Adds every file under `dir` that counts: its path within, and its bytes.
    pub fn tree(&mut self, name: &str, dir: &Path, counts: impl Fn(&Path) -> bool) -> Result<(), Error> {
        self.part(name, b"");
        for file in files_under(dir)?.into_iter().filter(|file| counts(file)) {
            let bytes = io(fs::read(dir.join(&file)), "cannot read", &dir.join(&file))?;
            self.part(&file.to_string_lossy(), &bytes);
        }
        Ok(())
    }

    /// 32 hexadecimal digits.
    pub fn finish(self) -> String {
        self.0
            .finalize()
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl Default for Key {
    fn default() -> Key {
        Key::new()
    }
}

/// The regular files under `dir`, as paths within it, sorted. Editors' left-overs are none of them.
pub fn files_under(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for entry in WalkDir::new(dir).sort_by_file_name() {
        let entry = entry.map_err(|e| Error::Io {
            what: "cannot list",
            path: dir.to_owned(),
            source: e.into(),
        })?;
        let name = entry.file_name().to_string_lossy();
        if entry.file_type().is_file()
            && !name.ends_with('~')
            && !name.ends_with(".swp")
            && !name.ends_with(".orig")
        {
            files.push(entry.path().strip_prefix(dir).unwrap_or(entry.path()).to_owned());
        }
    }
    Ok(files)
}

/// Holds a lock until it is dropped.
pub struct Lock(File);

impl Drop for Lock {
    /// By its name: a program that another thread starts at this moment has the file, too, from its fork until its exec, and closing
    /// it here alone would leave it locked for so long.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Waits for the lock file beside `path`.
pub fn lock(path: &Path) -> Result<Lock, Error> {
    let file = open_lock(path)?;
    io(file.lock(), "cannot lock", path)?;
    Ok(Lock(file))
}

/// Opens the lock file beside `path`, which is there from then on.
fn open_lock(path: &Path) -> Result<File, Error> {
    let lock_path = beside(path, "lock");
    make_folder(lock_path.parent().unwrap_or(path))?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path);
    io(file, "cannot open the lock", &lock_path)
}

/// Whether the entry `path` is there. If it is, it counts as used now, and [`prune`](crate::prune) leaves it alone for
/// a day.
fn take(path: &Path) -> Result<bool, Error> {
    if !path.is_dir() {
        return Ok(false);
    }
    let file = open_lock(path)?;
    // Shared with others who find it; nobody removes it meanwhile.
    io(file.lock_shared(), "cannot lock", path)?;
    let there = path.is_dir();
    if there {
        io(
            file.set_modified(SystemTime::now()),
            "cannot touch the lock of",
            path,
        )?;
    }
    Ok(there)
}

/// Makes the folder `path` once: `fill` is called with a temporary folder, which is then renamed to `path`. When
/// `path` exists already nothing is done.
pub fn once(path: &Path, fill: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
    if take(path)? {
        return Ok(());
    }
    let lock = lock(path)?;
    io(
        lock.0.set_modified(SystemTime::now()),
        "cannot touch the lock of",
        path,
    )?;
    if path.is_dir() {
        return Ok(());
    }
    // What a build that was killed has left there.
    let partial = beside(path, "partial");
    remove_folder(&partial)?;
    make_folder(&partial)?;
    if let Err(error) = fill(&partial) {
        // The error is what counts, not whether its traces could be removed.
        let _ = fs::remove_dir_all(&partial);
        return Err(error);
    }
    io(
        fs::rename(&partial, path),
        "cannot move a finished folder to",
        path,
    )
}

/// The hash of a file's bytes. It is remembered in `cache` by the file's path, size and time of change.
pub fn file_hash(cache: &Path, path: &Path) -> Result<String, Error> {
    let meta = io(fs::metadata(path), "cannot read", path)?;
    let changed = meta
        .modified()
        .ok()
        .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
        .unwrap_or_default();
    let mut memo = Key::new();
    memo.part(
        &path.to_string_lossy(),
        format!("{} {}", meta.len(), changed.as_nanos()).as_bytes(),
    );
    let memo = cache.join("hashes").join(memo.finish());
    if let Ok(hash) = fs::read_to_string(&memo)
        && hash.len() == 32
    {
        return Ok(hash);
    }
    let mut file = io(File::open(path), "cannot read", path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = io(std::io::Read::read(&mut file, &mut buffer), "cannot read", path)?;
        match buffer.get(..n) {
            Some(bytes) if n > 0 => hasher.update(bytes),
            _ => break,
        }
    }
    let hash = Key(hasher).finish();
    make_folder(memo.parent().unwrap_or(cache))?;
    write_atomically(&memo, hash.as_bytes())?;
    Ok(hash)
}

/// Writes a file so that it is there as a whole or not at all.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut temporary = io(
        tempfile::NamedTempFile::new_in(dir),
        "cannot create a file in",
        dir,
    )?;
    io(
        std::io::Write::write_all(&mut temporary, bytes),
        "cannot write",
        path,
    )?;
    io(
        temporary.persist(path).map(drop).map_err(|e| e.error),
        "cannot write",
        path,
    )
}

/// Creates a folder and those above it.
pub fn make_folder(path: &Path) -> Result<(), Error> {
    io(fs::create_dir_all(path), "cannot create", path)
}

/// Removes a folder with all that is in it, if it is there.
pub fn remove_folder(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => io(result, "cannot remove", path),
    }
}

/// The file or folder beside `path` with `ending` added to its name.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}
