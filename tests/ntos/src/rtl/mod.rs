//! The run-time library.
//!
//! | module | what |
//! |---|---|
//! | [`memory`] | copying, filling, comparing; user memory raises |
//! | [`unicode`], [`convert`] | UNICODE_STRING, upcasing, conversions |
//! | [`print`] | DbgPrint and its ring of lines |
//! | [`time`] | calendar fields and Unix times |
//! | [`bitmap`] | RTL_BITMAP |

use crate::{imports::Import, nt::*};

pub mod bitmap;
pub mod convert;
pub mod memory;
pub mod print;
pub mod time;
pub mod unicode;

/// The UTF-16 units of a UNICODE_STRING.
///
/// # Safety
/// `string` points to a UNICODE_STRING whose buffer has its length; the result lives as long as the buffer.
pub unsafe fn units<'a>(string: *const UNICODE_STRING) -> &'a [u16] {
    // SAFETY: passed on from the caller.
    unsafe {
        let length = usize::from((*string).Length / 2);
        if length == 0 {
            &[]
        } else {
            std::slice::from_raw_parts((*string).Buffer, length)
        }
    }
}

/// This module's imports.
pub static IMPORTS: &[&[Import]] = &[
    memory::IMPORTS,
    unicode::IMPORTS,
    convert::IMPORTS,
    print::IMPORTS,
    time::IMPORTS,
    bitmap::IMPORTS,
];
