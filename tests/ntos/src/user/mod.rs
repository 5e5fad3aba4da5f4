//! The double as a machine, seen from user mode: load a driver, open files, send requests, unload, look at
//! the report.
//!
//! | module | what |
//! |---|---|
//! | [`machine`] | one machine at a time: disks, drivers, the end |
//! | [`handle`] | opening, sending requests, closing |
//! | [`byname`] | queries by name, whose file object nobody can reference |
//! | [`queries`], [`transfer`] | the requests on an open file |
//! | [`request`] | one request under way, synchronous or not |
//! | [`port`] | a request whose completion another thread takes, which closes the handle at once |
//! | [`records`] | what the answers' bytes mean |
//! | [`volume`] | a mounted volume as a tree of entries |
//! | [`report`] | what a machine's life left behind |

#![allow(
    clippy::multiple_unsafe_ops_per_block,
    reason = "NT structs are handled by pointer throughout; the proof is per step"
)]

pub mod byname;
pub mod handle;
pub mod machine;
pub mod port;
pub mod queries;
pub mod records;
pub mod report;
pub mod request;
pub mod transfer;
pub mod volume;

pub use crate::io::cancel::cancel_synchronous;
pub use handle::{Handle, OpenAs};
pub use machine::{Builder, Driver, Machine, MachineError};
pub use report::Report;
pub use request::{Outcome, Pending};
