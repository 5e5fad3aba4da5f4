//! Which volume has which letter, and why.
//!
//! | module | what |
//! |---|---|
//! | [`arrivals`] | volumes and disks that come and go, as the PnP manager tells |
//! | [`inventory`] | where volumes may be, and what is on them |
//! | [`assignment`] | who gets which letter |
//! | [`mount_manager`] | what the mount manager is asked |
//! | [`letters`] | letters, given and taken away |
//! | [`policy`] | what is kept for a volume over restarts |
//! | [`settings`] | how a volume is mounted |
//! | [`dismount`] | a volume on a device is given up for another |

pub mod arrivals;
pub mod assignment;
pub mod dismount;
pub mod inventory;
pub mod letters;
pub mod mount_manager;
pub mod policy;
pub mod settings;
