//! Programs that show how Linux is used as a library: in C in the folder `c`, in Rust in the folder `rust`.
//!
//! `cargo run -p lkl-examples --example version`
