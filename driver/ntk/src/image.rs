//! Disk images as disks.
//!
//! | module | what |
//! |---|---|
//! | [`disk`] | a disk device whose sectors are in a file |
//! | [`file`] | the file's format |
//! | [`backing_file`] | a file on another volume, opened and read |
//! | [`identity`] | numbers of such disks |
//! | [`orphans`] | threads of disks that do not come back |

pub mod backing_file;
pub mod disk;
pub mod file;
pub mod identity;
pub mod orphans;
