//! Names: found in a directory by their Windows form.
//!
//! [`lklfs_nt::names`] has the table of the mapping between Linux's bytes and Windows' UTF-16, a bijection. [`find`] looks
//! a Windows name up in a directory: first the exact name; then, when case does not count, the one whose bytes sort first
//! among those that differ in case only, which does not depend on the directory's order. A thread that may not wait gets
//! the first step alone, and that from what Linux has in memory.

use alloc::vec::Vec;
use core::ops::ControlFlow;

pub use lklfs_nt::names::{to_linux, to_windows};
use lklfs_nt::{NtStatus, repeats::Repeats, utf16};

use crate::{Errno, Volume, Wait, errno::Context};

/// Whether another name could be equal to this one without case.
fn has_case(name: &[u16]) -> bool {
    name.iter()
        .any(|unit| *unit >= 0x80 || u8::try_from(*unit).is_ok_and(|byte| byte.is_ascii_alphabetic()))
}

/// An entry that [`find`] found.
pub struct Found<V: Volume> {
    /// The entry.
    pub node: V::Node,
    /// Its Linux name.
    pub linux: Vec<u8>,
    /// Its Windows name in its true case.
    pub windows: Vec<u16>,
}

/// Looks `name`, a Windows name, up in `directory`. `None` when there is no such entry.
///
/// # Errors
///
/// OBJECT_NAME_INVALID when it cannot be a name; what reading the directory ended with; CANT_WAIT when there is no leave
/// to wait and the disk would have to be asked.
///
/// # IRQL
///
/// PASSIVE_LEVEL; may block with the leave to wait.
pub fn find<V: Volume>(
    volume: &V,
    directory: &V::Node,
    name: &[u16],
    case_sensitive: bool,
    wait: Wait,
) -> Result<Option<Found<V>>, NtStatus> {
    let lookup = |linux: &[u8]| match wait {
        Wait::Allowed => volume.lookup(directory, linux),
        Wait::Refused => volume.lookup_cached(directory, linux),
    };
    match to_linux(name) {
        Ok(linux) => match lookup(&linux) {
            Ok(node) => {
                let mut windows = Vec::new();
                utf16::append(&mut windows, name)?;
                return Ok(Some(Found { node, linux, windows }));
            }
            Err(Errno::ENOENT | Errno::ENAMETOOLONG) => {}
            Err(Errno::EAGAIN) if wait == Wait::Refused => return Err(NtStatus::CANT_WAIT),
            Err(errno) => return Err(errno.to_status(Context::FinalName)),
        },
        Err(NtStatus::OBJECT_NAME_NOT_FOUND) => {}
        Err(status) => return Err(status),
    }
    if case_sensitive || !has_case(name) {
        return Ok(None);
    }
    if wait == Wait::Refused {
        return Err(NtStatus::CANT_WAIT);
    }
    let Some(linux) = first_without_case(volume, directory, name)? else {
        return Ok(None);
    };
    let windows = to_windows(&linux)?;
    match lookup(&linux) {
        Ok(node) => Ok(Some(Found { node, linux, windows })),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno.to_status(Context::FinalName)),
    }
}

/// The name, among those that are equal to `name` without case, whose bytes sort first.
fn first_without_case<V: Volume>(
    volume: &V,
    directory: &V::Node,
    name: &[u16],
) -> Result<Option<Vec<u8>>, NtStatus> {
    let mut best: Option<Vec<u8>> = None;
    let mut failure = None;
    let mut repeats = Repeats::new();
    let read = volume.read_dir(directory, 0, &mut |entry| {
        if repeats.entry(entry.name, entry.cookie) {
            failure = Some(NtStatus::FILE_CORRUPT_ERROR);
            return ControlFlow::Break(());
        }
        if matches!(entry.name, b"." | b"..")
            || best.as_deref().is_some_and(|best| best <= entry.name)
            || differs(entry.name, name)
        {
            return ControlFlow::Continue(());
        }
        match to_windows(entry.name) {
            Ok(windows) if utf16::equal(&windows, name, false) => {
                let mut copy = Vec::new();
                if copy.try_reserve_exact(entry.name.len()).is_err() {
                    failure = Some(NtStatus::INSUFFICIENT_RESOURCES);
                    return ControlFlow::Break(());
                }
                copy.extend_from_slice(entry.name);
                best = Some(copy);
            }
            Ok(_) => {}
            Err(status) => {
                failure = Some(status);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    });
    read.map_err(|errno| errno.to_status(Context::Reading))?;
    failure.map_or(Ok(best), Err)
}

/// A quick look at a name of plain ASCII letters and digits: `true` when it cannot be equal to `name`.
fn differs(linux: &[u8], name: &[u16]) -> bool {
    let Some((first, wanted)) = linux.first().zip(name.first()) else {
        return true;
    };
    first.is_ascii_alphanumeric()
        && linux.is_ascii()
        && (linux.len() != name.len() || utf16::upcase(u16::from(*first)) != utf16::upcase(*wanted))
}
