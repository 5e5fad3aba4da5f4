//! The run-time library: strings, memory, security descriptors, printing.

use crate::{imports::Import, nt::*};

/// The UTF-16 units of a UNICODE_STRING.
///
/// # Safety
/// `string` points to a UNICODE_STRING whose buffer has its length; the result lives as long as the buffer.
pub unsafe fn units<'a>(string: *const UNICODE_STRING) -> &'a [u16] {
    // SAFETY: passed on from the caller.
    unsafe {
        let length = usize::from((*string).Length / 2);
        if length == 0 { &[] } else { std::slice::from_raw_parts((*string).Buffer, length) }
    }
}

/// This module's imports.
pub static IMPORTS: &[&[Import]] = &[];
