//! Servers that show disk images and their partitions: `lklftpd` by FTP, `lklserve` by WebDAV, NFS and SMB.
//!
//! From the bottom up:
//!
//! - [`tree`] is what a server knows of files: a [`tree::Node`] that has children, facts and bytes. [`native`] shows a folder of
//!   this machine in that way (for tests and comparisons), [`menu`] a folder of other nodes: the server's top, an image's
//!   partitions. [`volumes`] opens the images; what is only read outlives its Linux ([`lasting`]).
//! - [`place`] finds what a client's path means. A symbolic link leads nowhere but into its own volume.
//! - [`ftp`] and [`dav`] are the protocols. Each client has a thread of its own, and on it an executor that serves this client
//!   alone: a read in Linux may wait there without keeping another client waiting, and without passing it to another thread.
//! - [`nfs`] and [`smb`] leave their protocols to the kernel's own servers; [`exported`] connects clients with those.
//! - [`clients`] counts the clients and ends them; [`report`] writes the log; [`account`] knows who may log in.

#![forbid(unsafe_code)]

pub mod account;
pub mod clients;
pub mod dav;
pub mod exported;
pub mod ftp;
pub mod lasting;
pub mod menu;
#[cfg(unix)]
pub mod native;
pub mod nfs;
pub mod place;
pub mod program;
pub mod report;
pub mod smb;
pub mod tree;
pub mod volumes;
pub mod when;
