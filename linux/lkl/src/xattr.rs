//! Extended attributes.
//!
//! Linux reads them through a descriptor that is open for reading, not through a place in the tree; such a one is
//! opened again here for the length of the call. That cannot be done for links and device nodes: EOPNOTSUPP.

use crate::call::{self, CName};
use crate::errno::Errno;
use crate::fd::{OpenMode, OwnedFd};
use crate::memory::try_zeroed;
use crate::stat::FileType;
use alloc::vec::Vec;

/// The most that Linux returns for one value or for all names (XATTR_SIZE_MAX, XATTR_LIST_MAX), bytes.
const MOST: usize = 65536;

/// Calls `read` with buffers until one suffices.
fn whole(read: &dyn Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    loop {
        let wanted = read(&mut [])?;
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let mut buffer = try_zeroed(wanted.min(MOST)).ok_or(Errno::ENOMEM)?;
        match read(&mut buffer) {
            // It grew in between.
            Err(Errno::ERANGE) if wanted < MOST => {}
            len => {
                buffer.truncate(len?);
                return Ok(buffer);
            }
        }
    }
}

/// Runs `act` over a descriptor that attributes can be read from.
fn readable<T>(file: &OwnedFd, act: &dyn Fn(&OwnedFd) -> Result<T, Errno>) -> Result<T, Errno> {
    match act(file) {
        Err(Errno::EBADF) => {}
        done => return done,
    }
    match file.statx()?.file_type() {
        FileType::Regular => act(&file.reopen(OpenMode::Read)?),
        FileType::Directory => act(&file.reopen(OpenMode::Directory)?),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

pub(crate) fn list(file: &OwnedFd, sink: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
    let names = readable(file, &|file| {
        whole(&|buffer| call::flistxattr(file.kernel(), file.number(), buffer))
    })?;
    names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .for_each(sink);
    Ok(())
}

pub(crate) fn get(file: &OwnedFd, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let name = CName::new(name)?;
    readable(file, &|file| {
        whole(&|buffer| call::fgetxattr(file.kernel(), file.number(), &name, buffer))
    })
}
