//! Extended attributes.
//!
//! Linux reads them through a descriptor that is open for reading, or by a path; a place in the tree (O_PATH) is no
//! such descriptor, and links and device nodes have none. So the path is that of the descriptor in `/proc`, which the port
//! mounts at boot: it leads to the very file, whatever it is, and a link there is not followed further.

use crate::call::{self, CName};
use crate::errno::Errno;
use crate::fd::{OwnedFd, decimal};
use alloc::vec::Vec;
use fallible::try_zeroed;

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

/// `/proc/self/fd/N`.
fn path(file: &OwnedFd) -> Result<CName, Errno> {
    const FOLDER: &[u8] = b"/proc/self/fd/";
    let mut digits = [0; 12];
    let mut path = [0; FOLDER.len() + 12];
    let mut len = 0usize;
    let bytes = FOLDER.iter().chain(decimal(file.number(), &mut digits));
    for (place, byte) in path.iter_mut().zip(bytes) {
        *place = *byte;
        len = len.saturating_add(1);
    }
    CName::new(path.get(..len).unwrap_or(&[]))
}

pub(crate) fn list(file: &OwnedFd, sink: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
    let path = path(file)?;
    let names = whole(&|buffer| call::listxattr(file.kernel(), &path, buffer))?;
    names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .for_each(sink);
    Ok(())
}

pub(crate) fn get(file: &OwnedFd, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let (path, name) = (path(file)?, CName::new(name)?);
    whole(&|buffer| call::getxattr(file.kernel(), &path, &name, buffer))
}
