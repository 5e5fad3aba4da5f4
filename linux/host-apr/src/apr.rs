//! libapr's declarations, as bindgen reads them in its headers.

#![allow(
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    unsafe_code,
    dead_code,
    clippy::all,
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks
)]

include!(concat!(env!("OUT_DIR"), "/apr.rs"));
