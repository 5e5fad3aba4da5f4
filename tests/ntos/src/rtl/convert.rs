//! Conversions between UNICODE_STRINGs and bytes, numbers, GUIDs. The code page is UTF-8.

#![allow(non_snake_case)]

use crate::{
    mm::pool::{self, Kind, Owner},
    nt::*,
    rtl::{
        unicode::{TAG, put},
        units,
    },
};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        RtlAnsiStringToUnicodeString <= PASSIVE;
        RtlUnicodeStringToAnsiString <= PASSIVE;
        RtlUnicodeToMultiByteN <= PASSIVE;
        RtlMultiByteToUnicodeN <= PASSIVE;
        RtlIntegerToUnicodeString <= PASSIVE;
        RtlInt64ToUnicodeString <= PASSIVE;
        RtlUnicodeStringToInteger <= PASSIVE;
        RtlStringFromGUID <= PASSIVE;
    }
}

/// The bytes of an ANSI_STRING.
unsafe fn ansi<'a>(string: *const ANSI_STRING) -> &'a [u8] {
    // SAFETY: the driver passes a string.
    unsafe {
        let length = usize::from((*string).Length);
        if length == 0 {
            &[]
        } else {
            std::slice::from_raw_parts((*string).Buffer.cast(), length)
        }
    }
}

unsafe extern "win64" fn RtlAnsiStringToUnicodeString(
    to: PUNICODE_STRING,
    from: *const ANSI_STRING,
    allocate: BOOLEAN,
) -> NTSTATUS {
    // SAFETY: passed on from the driver.
    unsafe {
        let text: Vec<u16> = String::from_utf8_lossy(ansi(from)).encode_utf16().collect();
        put(to, &text, allocate != 0)
    }
}

unsafe extern "win64" fn RtlUnicodeStringToAnsiString(
    to: *mut ANSI_STRING,
    from: *const UNICODE_STRING,
    allocate: BOOLEAN,
) -> NTSTATUS {
    // SAFETY: passed on from the driver.
    unsafe {
        let text = String::from_utf16_lossy(units(from)).into_bytes();
        if allocate != 0 {
            let block = pool::allocate(Kind::Paged, text.len() + 1, TAG, Owner::Driver);
            if block.is_null() {
                return STATUS_NO_MEMORY;
            }
            (*to).Buffer = block.cast();
            (*to).MaximumLength = (text.len() + 1) as u16;
        }
        let room = usize::from((*to).MaximumLength).saturating_sub(1);
        let count = text.len().min(room);
        std::ptr::copy(text.as_ptr(), (*to).Buffer.cast(), count);
        if (*to).MaximumLength > 0 {
            (*to).Buffer.add(count).write(0);
        }
        (*to).Length = count as u16;
        if count < text.len() {
            STATUS_BUFFER_OVERFLOW
        } else {
            STATUS_SUCCESS
        }
    }
}

/// Copies as many bytes as fit; `done` gets their number.
unsafe fn hand_out(bytes: &[u8], to: *mut u8, room: u32, done: *mut u32) -> NTSTATUS {
    let count = bytes.len().min(room as usize);
    // SAFETY: the driver passes a buffer of `room` bytes, and NULL or a place for the number.
    unsafe {
        std::ptr::copy(bytes.as_ptr(), to, count);
        if !done.is_null() {
            *done = count as u32;
        }
    }
    if count < bytes.len() {
        STATUS_BUFFER_OVERFLOW
    } else {
        STATUS_SUCCESS
    }
}

unsafe extern "win64" fn RtlUnicodeToMultiByteN(
    to: *mut u8,
    room: ULONG,
    done: *mut ULONG,
    from: *const u16,
    length: ULONG,
) -> NTSTATUS {
    // SAFETY: the driver passes both buffers.
    unsafe {
        let text = std::slice::from_raw_parts(from, length as usize / 2);
        hand_out(String::from_utf16_lossy(text).as_bytes(), to, room, done)
    }
}

unsafe extern "win64" fn RtlMultiByteToUnicodeN(
    to: *mut u16,
    room: ULONG,
    done: *mut ULONG,
    from: *const u8,
    length: ULONG,
) -> NTSTATUS {
    // SAFETY: the driver passes both buffers.
    unsafe {
        let text = String::from_utf8_lossy(std::slice::from_raw_parts(from, length as usize));
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        hand_out(&bytes, to.cast(), room & !1, done)
    }
}

/// A number in base 0 (10), 2, 8, 10 or 16.
fn digits(mut value: u64, base: u32) -> Option<Vec<u16>> {
    let base = match base {
        0 => 10,
        2 | 8 | 10 | 16 => u64::from(base),
        _ => return None,
    };
    let mut text = Vec::new();
    loop {
        let digit = (value % base) as u32;
        text.push(char::from_digit(digit, 16).map_or(0, |c| c.to_ascii_uppercase() as u16));
        value /= base;
        if value == 0 {
            break;
        }
    }
    text.reverse();
    Some(text)
}

unsafe extern "win64" fn RtlInt64ToUnicodeString(
    value: u64,
    base: ULONG,
    string: PUNICODE_STRING,
) -> NTSTATUS {
    let Some(text) = digits(value, base) else {
        return STATUS_INVALID_PARAMETER;
    };
    // SAFETY: passed on from the driver.
    unsafe { put(string, &text, false) }
}

unsafe extern "win64" fn RtlIntegerToUnicodeString(
    value: ULONG,
    base: ULONG,
    string: PUNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: passed on from the driver.
    unsafe { RtlInt64ToUnicodeString(value.into(), base, string) }
}

unsafe extern "win64" fn RtlUnicodeStringToInteger(
    string: *const UNICODE_STRING,
    base: ULONG,
    value: *mut ULONG,
) -> NTSTATUS {
    // SAFETY: passed on from the driver.
    let text = String::from_utf16_lossy(unsafe { units(string) });
    let text = text.trim_start();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixed = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(p, b)| Some((text.strip_prefix(p)?, b)));
    let (text, base) = match (base, prefixed) {
        (0, Some(found)) => found,
        (0, None) => (text, 10),
        (2 | 8 | 10 | 16, _) => (text, base),
        _ => return STATUS_INVALID_PARAMETER,
    };
    let number = text.chars().map_while(|c| c.to_digit(base));
    let number = number.fold(0_u32, |sum, digit| sum.wrapping_mul(base).wrapping_add(digit));
    // SAFETY: the driver passes a place for the number.
    unsafe { *value = if negative { number.wrapping_neg() } else { number } };
    STATUS_SUCCESS
}

unsafe extern "win64" fn RtlStringFromGUID(guid: *const GUID, string: PUNICODE_STRING) -> NTSTATUS {
    // SAFETY: the driver passes a GUID and a string.
    unsafe {
        let g = &*guid;
        let d = g.Data4;
        let text = format!(
            "{{{:08X}-{:04X}-{:04X}-{:02X}{:02X}-{:02X}{:02X}{:02X}{:02X}{:02X}{:02X}}}",
            g.Data1, g.Data2, g.Data3, d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]
        );
        put(string, &text.encode_utf16().collect::<Vec<_>>(), true)
    }
}
