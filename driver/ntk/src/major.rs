//! One file for each IRP major function, and fast I/O: decodes the parameters, asks the core, and does with NT's routines what the core says.
//!
//! | module | what |
//! |---|---|
//! | [`create`] | opens |
//! | [`cleanup`] | the last handle of an open goes |
//! | [`close`] | the last reference to an open goes |
//! | [`read`] | reads, cached and not |
//! | [`dirctrl`] | listings and change notification |
//! | [`fileinfo`] | what is known of a file; what may be set of an open |
//! | [`volinfo`] | what is known of a volume |
//! | [`ea`] | extended attributes |
//! | [`secur`] | security descriptors |
//! | [`lockctrl`] | byte-range locks |
//! | [`fsctrl`] | file-system controls: mount and verification, volume controls, controls of files |
//! | [`devctrl`] | device controls, for the disk below |
//! | [`pnp`] | a disk is asked whether it may go, and goes |
//! | [`refuse`] | whatever would change a volume |
//! | [`fastio`] | the kernel's short ways in |

pub mod cleanup;
pub mod close;
pub mod create;
pub mod devctrl;
pub mod dirctrl;
pub mod ea;
pub mod fastio;
pub mod fileinfo;
pub mod fsctrl;
pub mod lockctrl;
pub mod pnp;
pub mod read;
pub mod refuse;
pub mod secur;
pub mod volinfo;
