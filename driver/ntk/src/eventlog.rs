//! Windows' event log, where an administrator looks for what went wrong: few events, each with what can be done about it. What else the
//! driver does goes to its own log ([`crate::log`]).
//
// UNSAFETY: a packet that the I/O manager gives out and takes back.

use crate::state;
use core::fmt::{Display, Write};
use lklfs_kernel::nt::{self, IO_ERROR_LOG_PACKET, IoAllocateErrorLogEntry, IoWriteErrorLogEntry};
use lklfs_nt::{LogEvent, NtStatus};

/// Bytes of the largest packet, `ERROR_LOG_MAXIMUM_SIZE`.
const LARGEST: usize = 240;
/// Where the inserts begin.
const HEAD: usize = size_of::<IO_ERROR_LOG_PACKET>();
/// UTF-16 units of all inserts, with their ends.
const ROOM: usize = (LARGEST - HEAD) / 2;

/// Inserts, one after the other, each with its end.
struct Inserts {
    units: [u16; ROOM],
    used: usize,
    count: u16,
    /// The units that the present insert may use up to.
    limit: usize,
}

impl Inserts {
    /// As much of each as there is room for: the same for each that is still to come.
    fn of(texts: &[&dyn Display]) -> Inserts {
        let mut inserts = Inserts {
            units: [0; ROOM],
            used: 0,
            count: 0,
            limit: 0,
        };
        for (index, text) in texts.iter().enumerate() {
            let to_come = texts.len().saturating_sub(index).max(1);
            let share = ROOM
                .saturating_sub(inserts.used)
                .checked_div(to_come)
                .unwrap_or(0);
            // One unit is the end's.
            inserts.limit = inserts.used.saturating_add(share.saturating_sub(1));
            let _ = write!(inserts, "{text}");
            inserts.used = inserts.used.saturating_add(1);
            inserts.count = inserts.count.saturating_add(1);
        }
        inserts
    }
}

impl Write for Inserts {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for unit in text.encode_utf16() {
            if self.used >= self.limit {
                return Ok(());
            }
            if let Some(place) = self.units.get_mut(self.used) {
                *place = unit;
                self.used = self.used.saturating_add(1);
            }
        }
        Ok(())
    }
}

/// Logs an event with its inserts. Without memory for it, the driver's own log alone has what happened.
///
/// IRQL: <= DISPATCH_LEVEL, and whatever writing the inserts needs.
pub fn report(event: LogEvent, status: NtStatus, inserts: &[&dyn Display]) {
    let Some(driver) = state::driver() else { return };
    let inserts = Inserts::of(inserts);
    let bytes = HEAD.saturating_add(inserts.used.saturating_mul(2));
    let Ok(size) = u8::try_from(bytes) else { return };
    // SAFETY: the driver object lives; the size is within the limits.
    let packet = unsafe { IoAllocateErrorLogEntry(driver.object().cast(), size) };
    if packet.is_null() {
        return;
    }
    let head = IO_ERROR_LOG_PACKET {
        ErrorCode: event.id().cast_signed(),
        FinalStatus: nt::raw_status(status),
        NumberOfStrings: inserts.count,
        StringOffset: HEAD as u16,
        ..IO_ERROR_LOG_PACKET::default()
    };
    // SAFETY: the packet has room for the head, aligned as pool is.
    unsafe { packet.cast::<IO_ERROR_LOG_PACKET>().write(head) };
    // SAFETY: as the size says.
    let place: *mut u16 = unsafe { packet.cast::<u8>().add(HEAD) }.cast();
    // SAFETY: the packet has room for so many units, and is no part of this stack.
    unsafe { core::ptr::copy_nonoverlapping(inserts.units.as_ptr(), place, inserts.used) };
    // SAFETY: the packet is complete, and not used any more.
    unsafe { IoWriteErrorLogEntry(packet) };
}
