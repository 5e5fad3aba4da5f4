//! What NT holds of this driver: volumes behind devices, inodes in use and opens behind file objects; how each comes, lives and goes.
//!
//! | module | what |
//! |---|---|
//! | [`mount`] | a device's volume is recognised and mounted |
//! | [`signature`] | what is on a disk, before Linux is asked |
//! | [`account`] | a death of Linux's during a mount, and whom it is put down to |
//! | [`copies`] | volumes that say the same UUID |
//! | [`extension`] | what stands behind each device of this driver |
//! | [`volume`] | a mounted volume |
//! | [`volumes`] | all of them |
//! | [`open`] | an inode in use and an open of it, behind a file object |
//! | [`cache`] | the cache manager's map of a file object |
//! | [`pending`] | requests that a file object waits with |
//! | [`verify`] | whether the volume is still on its device |
//! | [`revival`] | volumes live on when Linux dies |
//! | [`power`] | sleep, after which every volume is verified |
//! | [`events`] | programs that are to let go of a volume are told |
//! | [`teardown`] | a volume goes: its VPB, and what failed because of that |

pub mod account;
pub mod cache;
pub mod copies;
pub mod events;
pub mod extension;
pub mod mount;
pub mod open;
pub mod pending;
pub mod power;
pub mod revival;
pub mod signature;
pub mod teardown;
pub mod verify;
pub mod volume;
pub mod volumes;
