//! FsRtl: the library that NT gives to file systems.
//!
//! | module | what |
//! |---|---|
//! | [`names`] | wildcards and comparison |
//! | [`locks`] | byte-range locks |
//! | [`notify`] | directory change notification |
//! | [`contexts`] | per-stream contexts |
//! | [`fast`] | fast I/O through the cache, file size |
//! | [`acquire`] | how a file is acquired for sections, the lazy writer and flushes |
//! | [`misc`] | status codes, pool, events |
//!
//! What no driver here imports is not modelled (opportunistic locks, map control blocks, tunnelling) and
//! fails by its name when it is called.

#![allow(non_snake_case, reason = "imports have NT's names")]
#![allow(
    clippy::multiple_unsafe_ops_per_block,
    reason = "NT structs are handled by pointer throughout; the proof is per step"
)]

pub mod acquire;
pub mod contexts;
pub mod fast;
pub mod locks;
pub mod misc;
pub mod names;
pub mod notify;
