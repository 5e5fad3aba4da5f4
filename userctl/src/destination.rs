//! The far end of `cp`: names, files, links, times and modes in this system's own file system.
//!
//! Everything that can fail here fails as [`Exit::Destination`], with what the user can do about it.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failure, reason};
use crate::names::native_name;
use crate::scratch::{Scratch, check_running};
use crate::volume::{Kind, Stat};

/// The unit in which holes are kept.
const HOLE: usize = 4096;

/// Where the copy of `source` goes: into `destination` when that is a directory, else to that very name.
pub(crate) fn final_path(source: &[u8], destination: &Path, root_name: &str) -> Result<PathBuf, Failure> {
    if destination.as_os_str().is_empty() {
        return Err(Failure::new(
            Exit::Destination,
            "the destination is empty; name a file or a directory",
        ));
    }
    if destination.is_dir() {
        let name = source
            .rsplit(|&byte| byte == b'/')
            .next()
            .filter(|name| !name.is_empty());
        return Ok(destination.join(name.map_or_else(|| root_name.into(), native_name)));
    }
    let parent = parent_of(destination);
    if !parent.is_dir() || destination.file_name().is_none() {
        let parent = parent.display();
        return Err(Failure::new(
            Exit::Destination,
            format_args!("{parent}: no such directory; create it first"),
        ));
    }
    Ok(destination.to_path_buf())
}

/// The directory that `path` is in.
pub(crate) fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Fails if `target` exists and is not to be replaced. A directory never is.
pub(crate) fn refuse_overwriting(target: &Path, force: bool) -> Result<(), Failure> {
    let Ok(existing) = target.symlink_metadata() else {
        return Ok(());
    };
    let target = target.display();
    if existing.is_dir() {
        let message =
            format_args!("{target}: this directory exists already; remove it or choose another destination");
        return Err(Failure::new(Exit::Destination, message));
    }
    if !force {
        let message =
            format_args!("{target}: exists already; replace it with --force or choose another destination");
        return Err(Failure::new(Exit::Destination, message));
    }
    Ok(())
}

/// What to say when `path` cannot be written.
pub(crate) fn destination_failure(path: &Path, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space there or choose another destination"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "choose a destination that you may write"
        }
        io::ErrorKind::InvalidFilename | io::ErrorKind::FileTooLarge => {
            "choose a destination on another file system"
        }
        io::ErrorKind::AlreadyExists => {
            "two names of the volume are one name here; choose another destination"
        }
        _ => "choose another destination",
    };
    Failure::new(
        Exit::Destination,
        format_args!("{}: {}; {advice}", path.display(), reason(error)),
    )
}

/// Writes `bytes` at the position of `out` and moves it on, leaving out what is zero.
pub(crate) fn write_with_holes(out: &mut File, bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(HOLE) {
        if piece.iter().all(|&byte| byte == 0) {
            out.seek(SeekFrom::Current(piece.len() as i64))?;
        } else {
            out.write_all(piece)?;
        }
    }
    Ok(())
}

/// Gives `path` the times and the mode of the original.
pub(crate) fn dress(path: &Path, stat: &Stat) -> io::Result<()> {
    #[cfg(unix)]
    if stat.kind != Kind::Link {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(stat.mode & 0o1777))?;
    }
    let time = |time: crate::volume::Time| filetime::FileTime::from_unix_time(time.seconds, time.nanoseconds);
    let (accessed, modified) = (time(stat.accessed), time(stat.modified));
    let set = if stat.kind == Kind::Link {
        filetime::set_symlink_file_times(path, accessed, modified)
    } else {
        filetime::set_file_times(path, accessed, modified)
    };
    match set {
        // A file system that cannot hold such a time is no reason to lose the data.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput || stat.kind == Kind::Link => Ok(()),
        other => other,
    }
}

/// Makes a link at `path` to `to`.
#[cfg(unix)]
pub(crate) fn symlink(to: &[u8], path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(native_name(to), path)
}

/// Makes a link at `path` to `to`.
#[cfg(windows)]
pub(crate) fn symlink(to: &[u8], path: &Path) -> io::Result<()> {
    // Each component by the rules of names; whether the target is a directory is not known yet, and Windows asks.
    let name = |name: &[u8]| match name {
        b"." | b".." => String::from_utf8_lossy(name).into_owned(),
        _ => crate::names::windows_name(name),
    };
    let names: Vec<String> = to.split(|&byte| byte == b'/').map(name).collect();
    std::os::windows::fs::symlink_file(names.join("\\"), path)
}

/// Gives a finished scratch its final name.
pub(crate) fn publish(scratch: Scratch, target: &Path, force: bool) -> Result<(), Failure> {
    let directory = scratch.path().is_dir() && !scratch.path().is_symlink();
    let mut taken = None;
    let done = scratch.finish(|path| {
        if !force && !directory {
            // A second name fails if the target has appeared meanwhile, which a rename would not.
            match fs::hard_link(path, target) {
                Ok(()) => return fs::remove_file(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
                // The file system knows no hard links: look, then rename.
                Err(_) => {}
            }
        }
        match refuse_overwriting(target, force) {
            Ok(()) => fs::rename(path, target),
            Err(failure) => {
                taken = Some(failure);
                Err(io::ErrorKind::AlreadyExists.into())
            }
        }
    });
    check_running();
    done.map_err(|error| taken.unwrap_or_else(|| destination_failure(target, &error)))
}
