//! Cached file data and sections: what NT's cache manager and memory manager do for file systems.
//!
//! | module | what |
//! |---|---|
//! | [`segment`] | the pages of a file, read in by paging IRPs that are really sent to the file system |
//! | [`cache`] | cache maps: initialise, sizes, purge, uninitialise, read-ahead |
//! | [`copy`] | cached reads: copies and MDLs |
//! | [`mapped`] | mapped and pinned data (BCBs) |
//! | [`pressure`] | pages and segments that are taken away when memory is short |
//! | [`section`] | sections that programs map, and the Mm functions by which file systems get rid of them |
//!
//! `SECTION_OBJECT_POINTERS` is kept as NT keeps it: `DataSectionObject` and `ImageSectionObject` point to
//! segments, `SharedCacheMap` to the cache map. A segment references the file object that it was made for.
//! When nobody uses it any more it stays, with its pages and its reference, until it is purged, forced
//! closed, or taken away for want of memory ([`section::trim`], [`pressure`]); only then does that file object's
//! IRP_MJ_CLOSE come.

#![allow(non_snake_case, reason = "imports have NT's names")]
#![allow(
    clippy::multiple_unsafe_ops_per_block,
    reason = "NT structs are handled by pointer throughout; the proof is per step"
)]

pub mod cache;
pub mod copy;
pub mod mapped;
pub mod pressure;
pub mod section;
pub mod segment;
