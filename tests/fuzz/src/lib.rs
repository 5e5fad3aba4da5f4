//! Fuzz targets for every parser that reads bytes from a caller or a disk before Linux sees them.
//!
//! A target is a function of bytes in a file of its own below `targets/`, whose first line says what it is of: it gives the
//! bytes to a parser and asserts what must hold, whatever they are. `cargo xtask fuzz` builds the program that libFuzzer
//! drives (`main.rs`); `cargo test` gives each file of `corpora/` to its target, in an ordinary build.
//!
//! - [`input`]: numbers and pieces out of the bytes; - [`sparse`]: a large disk described by few bytes, which counts what is
//!   read of it; - [`allocated`]: how much memory a call takes; - [`checksums`]: puts the sums of a spoilt disk right, so that
//!   what they guard is reached.

pub mod allocated;
pub mod checksums;
pub mod input;
pub mod sparse;
pub mod targets;

/// The environment variable that names the target.
pub const VARIABLE: &str = "LKLFS_FUZZ_TARGET";

/// A target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its file and its corpus.
    pub name: &'static str,
    /// Gives bytes to it; panics on a finding.
    pub run: fn(&[u8]),
}

/// The target that [`VARIABLE`] names.
///
/// # Panics
/// When it names none.
pub fn chosen() -> &'static Target {
    let name = std::env::var(VARIABLE).unwrap_or_default();
    let mut all = targets::ALL.iter();
    all.find(|target| target.name == name)
        .unwrap_or_else(|| panic!("{VARIABLE} names no target: \"{name}\""))
}
