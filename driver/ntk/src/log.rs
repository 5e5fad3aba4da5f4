//! The driver's own log: what it did and what it could not do, for `userctl log --driver` and for the kernel debugger.
//!
//! The last 64 KiB are kept. Lines begin with the seconds since Windows started, as Linux's begin with those since its
//! boot. They name devices, images and letters, so only administrators are told.
//
// UNSAFETY: the ring stands behind a static, as long as the driver is loaded.

use alloc::boxed::Box;
use core::fmt::{Arguments, Write};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use lkl::LogRing;
use lklfs_kernel::clock;

/// The longest line, in bytes.
const LINE: usize = 512;
const NS_PER_S: u64 = 1_000_000_000;

/// The ring; null before DriverEntry and after the unload.
static RING: AtomicPtr<LogRing> = AtomicPtr::new(null_mut());

/// Begins to keep lines. Without memory they go to the debugger only.
///
/// IRQL: <= DISPATCH_LEVEL; called once, by DriverEntry.
pub fn start() {
    if let Some(ring) = LogRing::new().and_then(fallible::try_box) {
        RING.store(Box::into_raw(ring), Ordering::Release);
    }
}

/// Forgets all lines: nobody writes or reads any more.
///
/// # Safety
/// Called once, by the last thread of the driver.
pub unsafe fn stop() {
    let ring = RING.swap(null_mut(), Ordering::AcqRel);
    if !ring.is_null() {
        // SAFETY: start() made it of a box, and nobody uses it any more.
        drop(unsafe { Box::from_raw(ring) });
    }
}

fn ring<'a>() -> Option<&'a LogRing> {
    // SAFETY: null, or a box that only stop() frees.
    unsafe { RING.load(Ordering::Acquire).as_ref() }
}

/// Text of bounded length.
struct Line {
    bytes: [u8; LINE],
    used: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        // Two bytes are left for the end of the line and of the text.
        let room = LINE.saturating_sub(2).saturating_sub(self.used);
        for byte in text.bytes().take(room) {
            if let Some(place) = self.bytes.get_mut(self.used) {
                *place = byte;
                self.used = self.used.saturating_add(1);
            }
        }
        Ok(())
    }
}

/// Writes one line, cut at some 500 bytes.
///
/// IRQL: <= DISPATCH_LEVEL.
pub fn line(text: Arguments<'_>) {
    let mut line = Line {
        bytes: [0; LINE],
        used: 0,
    };
    let now = clock::monotonic_ns();
    let seconds = now.checked_div(NS_PER_S).unwrap_or(0);
    let micros = now
        .checked_rem(NS_PER_S)
        .unwrap_or(0)
        .checked_div(1000)
        .unwrap_or(0);
    // Writing to a line cannot fail.
    let _ = write!(line, "[{seconds:5}.{micros:06}] lklfs: ");
    let _ = line.write_fmt(text);
    lklfs_kernel::debugger::print_line(&line.bytes);
    if let Some(end) = line.bytes.get_mut(line.used) {
        *end = b'\n';
    }
    if let (Some(ring), Some(text)) = (ring(), line.bytes.get(..=line.used)) {
        ring.append(text);
    }
}

/// What was written from `position` on, as [`LogRing::read`] tells it.
///
/// IRQL: <= DISPATCH_LEVEL.
pub fn read(position: u64, out: &mut [u8]) -> (u64, usize) {
    ring().map_or((0, 0), |ring| ring.read(position, out))
}

/// UTF-16 for a line; what is no text becomes U+FFFD.
pub struct Wide<'a>(pub &'a [u16]);

impl core::fmt::Display for Wide<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for unit in char::decode_utf16(self.0.iter().copied()) {
            f.write_char(unit.unwrap_or(char::REPLACEMENT_CHARACTER))?;
        }
        Ok(())
    }
}
