//! Linux's own file servers over volumes that a program has mounted in the Linux that it carries (flavour `linux-full`).
//!
//! The story of a server:
//!
//! 1. A volume that is mounted (`lkl::Mount`) has no place in a tree. [`Tree`] gives it one: a tree of folders that is made
//!    for this, with a volume on each leaf.
//! 2. [`nfs::Server`] starts the kernel's nfsd for such a tree and answers what nfsd asks of the programs that a machine has for that.
//!    [`smb::Server`] does the same with ksmbd.
//! 3. Both listen on the loopback interface of the carried Linux. What connects clients with them is the program's.
//!
//! Everything is read-only. Servers go before their tree, and that before its volumes.

#![deny(unsafe_code)]

mod call;
mod error;
mod folders;
pub mod nfs;
pub mod smb;
mod tree;

pub use error::Error;
pub use tree::{Path, Tree};
