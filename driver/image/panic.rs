//! What a Rust panic would do. No code path is meant to reach it: the crates of the driver deny what panics.
//!
//! A file system that went wrong must not take Windows with it, so this is no bug check. The place is printed to the
//! kernel debugger and kept in [`LAST`] for a dump, and the thread stops for good: the request that it served never
//! ends, other volumes go on. At DISPATCH_LEVEL a thread cannot wait and the processor stays there; Windows' own
//! watchdog ends that, which is the least bad of what is left.
//
// UNSAFETY: calls DbgPrintEx and KeDelayExecutionThread.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use lklfs_kernel::nt::{APC, DbgPrintEx, KERNEL_MODE, KeDelayExecutionThread, NO, large};
use lklfs_kernel::routines;

/// DPFLTR_IHVDRIVER_ID and DPFLTR_ERROR_LEVEL: errors of drivers that are not Microsoft's.
const COMPONENT: u32 = 77;
const ERROR_LEVEL: u32 = 0;

/// Ten seconds from now, in units of 100 ns.
const NAP: i64 = -100_000_000;

/// Where the last panic was: a pointer into the image's constants, with the line; null while there was none.
struct Last {
    file: AtomicPtr<u8>,
    line: AtomicU32,
}

static LAST: Last = Last {
    file: AtomicPtr::new(core::ptr::null_mut()),
    line: AtomicU32::new(0),
};

/// A line of text with a terminating NUL; what does not fit is cut off.
struct Line {
    text: [u8; 256],
    used: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.text.len().saturating_sub(1);
        for byte in text.bytes().filter(|byte| *byte != 0) {
            match self.text.get_mut(self.used) {
                Some(place) if self.used < room => *place = byte,
                _ => return Err(fmt::Error),
            }
            self.used = self.used.saturating_add(1);
        }
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if let Some(place) = info.location() {
        LAST.file
            .store(place.file().as_ptr().cast_mut(), Ordering::Relaxed);
        LAST.line.store(place.line(), Ordering::Release);
    }
    let mut line = Line {
        text: [0; 256],
        used: 0,
    };
    // A line that is too long is printed as far as it goes.
    let _ = writeln!(line, "lklfs: {info}");
    // SAFETY: both are strings that end in a NUL, and the format names one string.
    unsafe { DbgPrintEx(COMPONENT, ERROR_LEVEL, c"%s".as_ptr(), line.text.as_ptr()) };
    loop {
        if routines::irql() <= APC {
            let mut nap = large(NAP);
            // SAFETY: the IRQL allows waiting, and `nap` is readable. The status says nothing: it is called again.
            let _ = unsafe { KeDelayExecutionThread(KERNEL_MODE, NO, &mut nap) };
        } else {
            core::hint::spin_loop();
        }
    }
}
