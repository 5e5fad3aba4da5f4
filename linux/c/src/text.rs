//! Errors in words, and printing by the host's operation.

use crate::operations;
use lkl::Errno;
use std::ffi::{CStr, CString, c_char};
use std::sync::OnceLock;

/// Writes by the host's print operation.
///
/// # Safety
/// `len` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn lkl_print_text(text: *const c_char, len: i32) -> i32 {
    let Ok(count) = usize::try_from(len) else {
        return len;
    };
    if text.is_null() {
        return 0;
    }
    // SAFETY: the caller's promise.
    operations::print(unsafe { std::slice::from_raw_parts(text.cast(), count) });
    len
}

/// The largest error number.
const MOST: u16 = 4095;

/// The text of an error, for as long as the process lives.
fn meaning(err: i32) -> &'static CStr {
    static TEXTS: OnceLock<Vec<CString>> = OnceLock::new();
    let texts = TEXTS.get_or_init(|| {
        (0..=MOST)
            .map(|number| {
                let text = match number {
                    0 => "success",
                    number => Errno::from_number(number).map_or("unknown error", Errno::text),
                };
                CString::new(text).unwrap_or_default()
            })
            .collect()
    });
    let index = usize::try_from(err.unsigned_abs()).unwrap_or(usize::MAX);
    texts.get(index).map_or(c"unknown error", CString::as_c_str)
}

#[unsafe(no_mangle)]
extern "C" fn lkl_strerror(err: i32) -> *const c_char {
    meaning(err).as_ptr()
}

/// `msg: what the error means`
///
/// # Safety
/// A string, or NULL.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_perror(msg: *mut c_char, err: i32) {
    let mut line = Vec::new();
    if !msg.is_null() {
        // SAFETY: the caller's promise.
        line.extend_from_slice(unsafe { CStr::from_ptr(msg) }.to_bytes());
        line.extend_from_slice(b": ");
    }
    line.extend_from_slice(meaning(err).to_bytes());
    line.push(b'\n');
    operations::print(&line);
}
