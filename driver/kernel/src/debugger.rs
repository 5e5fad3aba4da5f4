//! Lines for the kernel debugger.
//
// UNSAFETY: DbgPrintEx is variadic.

use crate::nt::DbgPrintEx;

/// `DPFLTR_IHVDRIVER_ID`: the component of third-party drivers, silent unless a debugger asks for it.
const DPFLTR_IHVDRIVER_ID: u32 = 77;

/// How much a line matters: `DPFLTR_*_LEVEL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Shown by default.
    Error = 0,
    /// Shown to whoever asks for this component's lines.
    Info = 3,
}

/// Passes text to the kernel debugger, a line or a part of one at a time. Any IRQL.
pub fn print(level: Level, text: &[u8]) {
    for piece in text.chunks(120) {
        let mut line = [0u8; 128];
        for (place, byte) in line.iter_mut().zip(piece) {
            *place = *byte;
        }
        // SAFETY: "%s" takes a NUL-terminated string; the last bytes of `line` are NUL.
        unsafe { DbgPrintEx(DPFLTR_IHVDRIVER_ID, level as u32, c"%s".as_ptr(), line.as_ptr()) };
    }
}

/// Tells the kernel debugger a line of the driver's own, ended by a NUL or by the slice's end. Any IRQL.
pub fn print_line(text: &[u8]) {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    print(Level::Error, text.get(..end).unwrap_or(&[]));
    print(Level::Error, b"\n");
}
