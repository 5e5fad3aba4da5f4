//! Extended attributes.

use fuser::ReplyXattr;
use lkl::Errno;
use lkl_write::{AttributeChanges, SetXattr};

use crate::served::Served;

impl Served {
    pub(super) fn set_value(&self, number: u64, name: &[u8], value: &[u8], flags: i32) -> Result<(), Errno> {
        let how = match flags {
            0 => SetXattr::Put,
            1 => SetXattr::New,
            2 => SetXattr::Replace,
            _ => return Err(Errno::EINVAL),
        };
        self.node(number)?.1.set_xattr(name, value, how)
    }

    pub(super) fn remove_value(&self, number: u64, name: &[u8]) -> Result<(), Errno> {
        self.node(number)?.1.remove_xattr(name)
    }

    /// All names, each with a NUL behind it.
    pub(super) fn value_names(&self, number: u64) -> Result<Vec<u8>, Errno> {
        let mut names = Vec::new();
        self.node(number)?.1.list_xattr(&mut |name| {
            names.extend_from_slice(name);
            names.push(0);
        })?;
        Ok(names)
    }
}

/// Answers with a value, or with its size if that is what was asked for.
pub(super) fn reply(value: Result<Vec<u8>, fuser::Errno>, size: u32, reply: ReplyXattr) {
    match value {
        Ok(value) => match u32::try_from(value.len()) {
            Ok(len) if size == 0 => reply.size(len),
            Ok(len) if len <= size => reply.data(&value),
            _ => reply.error(fuser::Errno::ERANGE),
        },
        Err(errno) => reply.error(errno),
    }
}
