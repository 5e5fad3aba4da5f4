//! The I/O manager of the double.

use crate::imports::Import;

/// The imports of this module, and of `cc` and `fsrtl`.
pub static IMPORTS: &[&[Import]] = &[];
