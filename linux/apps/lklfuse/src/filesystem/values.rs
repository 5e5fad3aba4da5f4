//! Extended attributes.

use fuser::ReplyXattr;
use lkl::Errno;
use lkl_write::{AttributeChanges, SetXattr};

use crate::nodes::Node;
use crate::served::Served;

const CAPABILITIES: &[u8] = b"security.capability";
pub(super) const DEFAULT_LIST: &[u8] = b"system.posix_acl_default";

/// What was known to be absent may be there now.
fn changed(node: &Node, name: &[u8]) {
    match name {
        CAPABILITIES => node.capabilities.forget(),
        DEFAULT_LIST => node.default_list.forget(),
        _ => {}
    }
}

impl Served {
    pub(super) fn set_value(&self, number: u64, name: &[u8], value: &[u8], flags: i32) -> Result<(), Errno> {
        let how = match flags {
            0 => SetXattr::Put,
            1 => SetXattr::New,
            2 => SetXattr::Replace,
            _ => return Err(Errno::EINVAL),
        };
        let (node, open) = self.node(number)?;
        let done = open.set_xattr(name, value, how);
        changed(&node, name);
        done
    }

    pub(super) fn remove_value(&self, number: u64, name: &[u8]) -> Result<(), Errno> {
        let (node, open) = self.node(number)?;
        let done = open.remove_xattr(name);
        changed(&node, name);
        done
    }

    /// A value. The kernel asks for capabilities before each first write to a file, and there are none as a rule.
    pub(super) fn value(&self, number: u64, name: &[u8]) -> Result<Vec<u8>, Errno> {
        if !self.has_values {
            // It does not ask again.
            return Err(Errno::ENOSYS);
        }
        let node = self.nodes.get(number)?;
        let ask = || self.nodes.open(&node)?.get_xattr(name);
        match name {
            CAPABILITIES => node.capabilities.or_ask(ask),
            DEFAULT_LIST => node.default_list.or_ask(ask),
            _ => ask(),
        }
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
