//! `userctl cp`: out of a volume into this system's own files, whole or not at all.
//!
//! What is copied is made under a temporary name beside its final one (`scratch`) and renamed when it is complete, a
//! single file as well as a whole tree. So a full disk, a damaged volume, a time limit or an interrupt leave nothing
//! behind, and nothing that existed is lost. Times and modes are kept, except for the set-user and set-group bits,
//! which would give the copy's owner away; holes stay holes; several names of one file stay so; links are copied as
//! links. FIFOs, sockets and devices are left out with a note: a copy of them would not hold what they stand for.
//!
//! An existing file is replaced only with `--force`, an existing directory never.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::destination::{
    destination_failure, dress, final_path, parent_of, publish, refuse_overwriting, symlink, write_with_holes,
};
use crate::entries::Trouble;
use crate::exit::{Exit, Failure};
use crate::names::native_name;
use crate::resolve::{Found, Last, resolve};
use crate::scratch::{Scratch, check_running};
use crate::session::PROGRAM;
use crate::text::shown;
use crate::volume::{Errno, Kind, Stat, Volume};
use crate::walk::{Damage, Step, walk};
use crate::watchdog;

/// Bytes asked for at a time.
const CHUNK: usize = 1 << 20;
/// Bytes for the names of files that have several.
const KNOWN_FILES: usize = 256 << 20;
/// What one of them takes besides its path, about.
const KNOWN_FILE: usize = 96;
/// What temporary names begin with.
const TEMPORARY: &str = ".userctl-";

/// What the options ask for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// `-r`: a directory with everything below it; a link is copied as a link.
    pub recursive: bool,
    /// `--force`: an existing file is replaced.
    pub force: bool,
    /// `--keep-going`: what can be read is copied although some of it cannot.
    pub keep_going: bool,
}

/// What has been copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes of data.
    pub bytes: u64,
    /// FIFOs, sockets and devices left out.
    pub skipped: u64,
    /// Entries that could not be read.
    pub unreadable: u64,
}

/// Where the copy tells how far it is.
pub trait Progress {
    /// Whether anybody looks; if so the bytes are counted first.
    fn wants_total(&self) -> bool;
    /// The bytes in all.
    fn total(&self, bytes: u64);
    /// Bytes done.
    fn advance(&self, bytes: u64);
    /// A line for a person.
    fn note(&self, line: &str);
}

/// Copies `path` on `volume` to `destination`; the root of a volume is called `root_name` when it goes into an
/// existing directory.
pub fn run<V: Volume>(
    volume: &V,
    path: &[u8],
    destination: &Path,
    root_name: &str,
    options: Options,
    progress: &dyn Progress,
) -> Result<Summary, Failure> {
    let last = if options.recursive {
        Last::Itself
    } else {
        Last::Followed
    };
    let found = resolve(volume, path, last)?;
    let source = shown(&found.path);
    match found.stat.kind {
        Kind::Directory if !options.recursive => {
            return Err(Failure::new(
                Exit::Path,
                format_args!("{source}: this is a directory; copy it with cp -r"),
            ));
        }
        Kind::File | Kind::Directory | Kind::Link => {}
        other => {
            let words = other.words();
            return Err(Failure::new(
                Exit::Path,
                format_args!("{source}: this is {words}; only files, directories and links are copied"),
            ));
        }
    }
    let target = final_path(&found.path, destination, root_name)?;
    refuse_overwriting(&target, options.force)?;
    let mut copy = Copy {
        volume,
        options,
        progress,
        buffer: vec![0; CHUNK],
        seen: HashMap::new(),
        room: KNOWN_FILES,
        crowded: false,
        summary: Summary::default(),
        damage: Damage::default(),
    };
    if progress.wants_total() {
        progress.total(copy.count(&found)?);
    }
    let parent = parent_of(&target);
    match found.stat.kind {
        Kind::Directory => copy.tree(found, &parent, &target)?,
        Kind::Link => copy.link(&found, &parent, &target)?,
        _ => copy.file(&found, &parent, &target)?,
    }
    let Copy { summary, damage, .. } = copy;
    damage.finish(&PROGRAM)?;
    Ok(summary)
}

struct Copy<'a, V: Volume> {
    volume: &'a V,
    options: Options,
    progress: &'a dyn Progress,
    buffer: Vec<u8>,
    /// The first copy of each file that has several names.
    seen: HashMap<(u64, u64), PathBuf>,
    /// Bytes that more of them may take.
    room: usize,
    /// There was no room for one.
    crowded: bool,
    summary: Summary,
    damage: Damage,
}

impl<V: Volume> Copy<'_, V> {
    /// The bytes of all files below `found`.
    fn count(&self, found: &Found<V::Node>) -> Result<u64, Failure> {
        if found.stat.kind != Kind::Directory {
            return Ok(found.stat.size);
        }
        let again = resolve(self.volume, &found.path, Last::Itself)?;
        let mut bytes = 0u64;
        walk(self.volume, again.node, &found.path, &mut |step| {
            if let Step::Entry { stat, .. } = step
                && stat.kind == Kind::File
            {
                bytes = bytes.saturating_add(stat.size);
            }
            Ok(())
        })?;
        Ok(bytes)
    }

    fn file(&mut self, found: &Found<V::Node>, parent: &Path, target: &Path) -> Result<(), Failure> {
        check_running();
        let made = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(parent);
        let made = made.map_err(|error| destination_failure(target, &error))?;
        let (mut file, path) = made
            .keep()
            .map_err(|error| destination_failure(target, &error.error))?;
        let scratch = Scratch::new(path);
        let complete = self.data(&found.path, &found.node, &found.stat, &mut file, target)?;
        if !complete {
            // With --keep-going a tree does without the file; a single file that is not whole is nothing.
            return std::mem::take(&mut self.damage).finish(&PROGRAM);
        }
        file.sync_all()
            .map_err(|error| destination_failure(target, &error))?;
        drop(file);
        dress(scratch.path(), &found.stat).map_err(|error| destination_failure(target, &error))?;
        publish(scratch, target, self.options.force)
    }

    fn link(&mut self, found: &Found<V::Node>, parent: &Path, target: &Path) -> Result<(), Failure> {
        check_running();
        let to = self.volume.read_link(&found.node);
        let to = to.map_err(|errno| self.volume.failure(&found.path, errno))?;
        let made = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .make_in(parent, |path| symlink(&to, path));
        let made = made.map_err(|error| destination_failure(target, &error))?;
        let path = made
            .into_temp_path()
            .keep()
            .map_err(|error| destination_failure(target, &error.error))?;
        let scratch = Scratch::new(path);
        dress(scratch.path(), &found.stat).map_err(|error| destination_failure(target, &error))?;
        self.summary.links += 1;
        publish(scratch, target, self.options.force)
    }

    fn tree(&mut self, found: Found<V::Node>, parent: &Path, target: &Path) -> Result<(), Failure> {
        check_running();
        let made = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(parent);
        let scratch = Scratch::new(made.map_err(|error| destination_failure(target, &error))?.keep());
        let base = if found.path == b"/" { 0 } else { found.path.len() };
        let volume = self.volume;
        walk(volume, found.node, &found.path, &mut |step| {
            check_running();
            watchdog::progress();
            match step {
                Step::Entry { path, node, stat } => {
                    self.entry(path, node, stat, &place(scratch.path(), path, base))
                }
                Step::Leave { path, stat } => {
                    let here = place(scratch.path(), path, base);
                    dress(&here, stat).map_err(|error| destination_failure(&here, &error))
                }
                Step::Damaged { path, trouble } => self.unreadable(path, trouble),
            }
        })
        .map_err(|failure| final_names(failure, scratch.path(), target))?;
        publish(scratch, target, false)
    }

    /// One entry of a tree; a directory gets its times and mode when it is left.
    fn entry(&mut self, path: &[u8], node: &V::Node, stat: &Stat, here: &Path) -> Result<(), Failure> {
        let fail = |error: io::Error| destination_failure(here, &error);
        match stat.kind {
            Kind::Directory => {
                // The top exists: it is the scratch directory.
                if self.summary.directories > 0 {
                    fs::create_dir(here).map_err(fail)?;
                }
                self.summary.directories += 1;
            }
            Kind::File => {
                if let Some(first) = self.seen.get(&(stat.device, stat.inode))
                    && fs::hard_link(first, here).is_ok()
                {
                    self.summary.files += 1;
                    self.progress.advance(stat.size);
                    return Ok(());
                }
                let mut file = File::create_new(here).map_err(fail)?;
                if !self.data(path, node, stat, &mut file, here)? {
                    drop(file);
                    return fs::remove_file(here).map_err(fail);
                }
                drop(file);
                dress(here, stat).map_err(fail)?;
                if stat.links > 1 {
                    self.remember(path, stat, here);
                }
            }
            Kind::Link => match self.volume.read_link(node) {
                Ok(to) => match symlink(&to, here) {
                    Ok(()) => {
                        dress(here, stat).map_err(fail)?;
                        self.summary.links += 1;
                    }
                    // Windows lets only some users make links.
                    Err(error) if cfg!(windows) && error.kind() == io::ErrorKind::PermissionDenied => {
                        self.skip(path, "a symbolic link, which this user may not make")
                    }
                    Err(error) => return Err(fail(error)),
                },
                Err(errno) => self.unreadable(path, errno)?,
            },
            other => self.skip(path, other.words()),
        }
        Ok(())
    }

    fn skip(&mut self, path: &[u8], what: &str) {
        self.summary.skipped += 1;
        self.progress
            .note(&format!("{}: left out, this is {what}", shown(path)));
    }

    fn unreadable(&mut self, path: &[u8], trouble: impl Into<Trouble>) -> Result<(), Failure> {
        let trouble = trouble.into();
        if self.volume.is_dead() || !self.options.keep_going {
            let mut failure = match trouble {
                Trouble::Errno(errno) => self.volume.failure(path, errno),
                Trouble::TooMany => Failure::new(
                    Exit::Other,
                    format_args!("{}: {trouble}; copy what is in it one by one", shown(path)),
                ),
                Trouble::Endless | Trouble::Again => Failure::new(
                    Exit::FileSystem,
                    format_args!(
                        "{}: {trouble}; the file system is damaged, repair a copy of it",
                        shown(path)
                    ),
                ),
            };
            if !self.volume.is_dead() {
                failure
                    .message
                    .push_str(", or copy what can be read with --keep-going");
            }
            return Err(failure);
        }
        self.summary.unreadable += 1;
        self.damage.note(path, trouble);
        Ok(())
    }

    /// Remembers the first copy of a file with several names, as long as there is room.
    fn remember(&mut self, path: &[u8], stat: &Stat, here: &Path) {
        let bytes = here.as_os_str().len() + KNOWN_FILE;
        if bytes <= self.room {
            self.room -= bytes;
            self.seen.insert((stat.device, stat.inode), here.to_path_buf());
        } else if !self.crowded {
            self.crowded = true;
            self.progress.note(&format!(
                "{}: too many files with several names; from here on each name becomes a file of its own",
                shown(path)
            ));
        }
    }

    /// Copies the data of a file. `Ok(false)`: it cannot all be read, and the options say to go on.
    fn data(
        &mut self,
        path: &[u8],
        node: &V::Node,
        stat: &Stat,
        out: &mut File,
        here: &Path,
    ) -> Result<bool, Failure> {
        let sparse = stat.blocks.saturating_mul(512) < stat.size;
        let mut offset = 0u64;
        let file = match self.volume.open(node) {
            Ok(file) => file,
            Err(errno) => return self.unreadable(path, errno).map(|()| false),
        };
        while offset < stat.size {
            check_running();
            let count = match self.volume.read(&file, offset, &mut self.buffer) {
                Ok(0) => Err(Errno::EIO),
                other => other,
            };
            let count = match count {
                Ok(count) => count,
                Err(errno) => return self.unreadable(path, errno).map(|()| false),
            };
            let bytes = &self.buffer[..count];
            let written = if sparse {
                write_with_holes(out, bytes)
            } else {
                out.write_all(bytes)
            };
            written.map_err(|error| destination_failure(here, &error))?;
            offset += count as u64;
            watchdog::progress();
            self.progress.advance(count as u64);
        }
        if sparse {
            out.set_len(offset)
                .map_err(|error| destination_failure(here, &error))?;
        }
        self.summary.files += 1;
        self.summary.bytes += offset;
        Ok(true)
    }
}

/// Where the entry at `path` of the volume goes below `top`; the first `base` bytes of the path are the top's own.
fn place(top: &Path, path: &[u8], base: usize) -> PathBuf {
    let names = path[base..]
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty());
    names.fold(top.to_path_buf(), |place, name| place.join(native_name(name)))
}

/// A failure names what the user knows, not the temporary name.
fn final_names(mut failure: Failure, scratch: &Path, target: &Path) -> Failure {
    let (scratch, target) = (scratch.display().to_string(), target.display().to_string());
    failure.message = failure.message.replace(&scratch, &target);
    failure
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
