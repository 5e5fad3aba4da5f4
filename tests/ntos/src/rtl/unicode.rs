//! UNICODE_STRINGs and ANSI_STRINGs. The code page is UTF-8.
//!
//! Upcasing is what NT's table does: Unicode's simple mapping within the basic plane, but for characters outside of
//! ASCII that would become ASCII (dotless i, long s) and the micro sign, which stay.

#![allow(non_snake_case)]

use crate::{
    mm::pool::{self, Kind, Owner},
    nt::*,
    rtl::units,
};
use std::cmp::Ordering;

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        RtlInitUnicodeString <= HIGH;
        RtlInitAnsiString <= HIGH;
        RtlInitString = RtlInitAnsiString, <= HIGH;
        RtlCopyUnicodeString <= DISPATCH;
        RtlAppendUnicodeStringToString <= DISPATCH;
        RtlAppendUnicodeToString <= DISPATCH;
        RtlCompareUnicodeString <= PASSIVE;
        RtlEqualUnicodeString <= PASSIVE;
        RtlPrefixUnicodeString <= PASSIVE;
        RtlHashUnicodeString <= PASSIVE;
        RtlUpcaseUnicodeChar <= PASSIVE;
        RtlDowncaseUnicodeChar <= PASSIVE since Nt60;
        RtlUpcaseUnicodeString <= PASSIVE;
        RtlDowncaseUnicodeString <= PASSIVE;
        RtlFreeUnicodeString <= PASSIVE;
        RtlFreeAnsiString <= PASSIVE;
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

/// The tag of strings that are freed with RtlFreeUnicodeString.
const TAG: u32 = u32::from_le_bytes(*b"RtlS");

/// One UTF-16 unit in upper case.
pub fn upcase(unit: u16) -> u16 {
    match unit {
        0x61..=0x7A => unit - 32,
        0..0x80 | 0xB5 => unit,
        _ => {
            let Some(character) = char::from_u32(unit.into()) else {
                return unit;
            };
            let mut upper = character.to_uppercase();
            match (upper.next().map(u32::from), upper.next()) {
                (Some(single @ 0x80..=0xFFFF), None) => single as u16,
                _ => unit,
            }
        }
    }
}

/// One UTF-16 unit in lower case.
pub fn downcase(unit: u16) -> u16 {
    match unit {
        0x41..=0x5A => unit + 32,
        0..0x80 => unit,
        _ => {
            let Some(character) = char::from_u32(unit.into()) else {
                return unit;
            };
            let mut lower = character.to_lowercase();
            match (lower.next().map(u32::from), lower.next()) {
                (Some(single @ 0x80..=0xFFFF), None) => single as u16,
                _ => unit,
            }
        }
    }
}

/// Compares as NT does: by units, upcased when case does not matter.
pub fn compare(first: &[u16], second: &[u16], ignore_case: bool) -> Ordering {
    if !ignore_case {
        return first.cmp(second);
    }
    first
        .iter()
        .copied()
        .map(upcase)
        .cmp(second.iter().copied().map(upcase))
}

/// Writes units into a string whose buffer has room.
unsafe fn store(string: PUNICODE_STRING, text: &[u16]) {
    // SAFETY: the caller knows that the buffer has room.
    unsafe {
        std::ptr::copy(text.as_ptr(), (*string).Buffer, text.len());
        (*string).Length = (text.len() * 2) as u16;
        if (*string).Length < (*string).MaximumLength - 1 {
            (*string).Buffer.add(text.len()).write(0);
        }
    }
}

/// Puts units into a string, allocating its buffer when asked to.
unsafe fn put(string: PUNICODE_STRING, text: &[u16], allocate: bool) -> NTSTATUS {
    let bytes = text.len() * 2;
    // SAFETY: the driver passes a string.
    unsafe {
        if allocate {
            if bytes + 2 > 0xFFFF {
                return STATUS_INVALID_PARAMETER_2;
            }
            let block = pool::allocate(Kind::Paged, bytes + 2, TAG, Owner::Driver);
            if block.is_null() {
                return STATUS_NO_MEMORY;
            }
            (*string).Buffer = block.cast();
            (*string).MaximumLength = (bytes + 2) as u16;
        } else if bytes > usize::from((*string).MaximumLength) {
            return STATUS_BUFFER_OVERFLOW;
        }
        store(string, text);
    }
    STATUS_SUCCESS
}

unsafe extern "win64" fn RtlInitUnicodeString(string: PUNICODE_STRING, text: *const u16) {
    // SAFETY: the driver passes a string and NULL or terminated text.
    unsafe {
        let count = if text.is_null() {
            0
        } else {
            (0..).take_while(|at| *text.add(*at) != 0).count()
        };
        let bytes = (count * 2).min(0xFFFC);
        (*string).Length = bytes as u16;
        (*string).MaximumLength = if text.is_null() { 0 } else { (bytes + 2) as u16 };
        (*string).Buffer = text.cast_mut();
    }
}

unsafe extern "win64" fn RtlInitAnsiString(string: *mut ANSI_STRING, text: *const i8) {
    // SAFETY: the driver passes a string and NULL or terminated text.
    unsafe {
        let count = if text.is_null() {
            0
        } else {
            (0..).take_while(|at| *text.add(*at) != 0).count()
        };
        (*string).Length = count.min(0xFFFE) as u16;
        (*string).MaximumLength = if text.is_null() { 0 } else { (*string).Length + 1 };
        (*string).Buffer = text.cast_mut();
    }
}

unsafe extern "win64" fn RtlCopyUnicodeString(to: PUNICODE_STRING, from: *const UNICODE_STRING) {
    // SAFETY: the driver passes a string, and NULL or another.
    unsafe {
        if from.is_null() {
            (*to).Length = 0;
            return;
        }
        let text = units(from);
        let room = usize::from((*to).MaximumLength / 2);
        store(to, &text[..text.len().min(room)]);
    }
}

/// Appends units.
unsafe fn append(to: PUNICODE_STRING, more: &[u16]) -> NTSTATUS {
    // SAFETY: the driver passes a string.
    unsafe {
        let whole = [units(to), more].concat();
        if whole.len() * 2 > usize::from((*to).MaximumLength) {
            return STATUS_BUFFER_TOO_SMALL;
        }
        store(to, &whole);
    }
    STATUS_SUCCESS
}

unsafe extern "win64" fn RtlAppendUnicodeStringToString(
    to: PUNICODE_STRING,
    from: *const UNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: passed on from the driver.
    unsafe { append(to, units(from)) }
}

unsafe extern "win64" fn RtlAppendUnicodeToString(to: PUNICODE_STRING, from: *const u16) -> NTSTATUS {
    if from.is_null() {
        return STATUS_SUCCESS;
    }
    // SAFETY: the driver passes terminated text.
    unsafe {
        let count = (0..).take_while(|at| *from.add(*at) != 0).count();
        append(to, std::slice::from_raw_parts(from, count))
    }
}

unsafe extern "win64" fn RtlCompareUnicodeString(
    first: *const UNICODE_STRING,
    second: *const UNICODE_STRING,
    ignore_case: BOOLEAN,
) -> i32 {
    // SAFETY: passed on from the driver.
    unsafe { compare(units(first), units(second), ignore_case != 0) as i32 }
}

unsafe extern "win64" fn RtlEqualUnicodeString(
    first: *const UNICODE_STRING,
    second: *const UNICODE_STRING,
    ignore_case: BOOLEAN,
) -> BOOLEAN {
    // SAFETY: passed on from the driver.
    u8::from(unsafe { compare(units(first), units(second), ignore_case != 0) }.is_eq())
}

unsafe extern "win64" fn RtlPrefixUnicodeString(
    prefix: *const UNICODE_STRING,
    string: *const UNICODE_STRING,
    ignore_case: BOOLEAN,
) -> BOOLEAN {
    // SAFETY: passed on from the driver.
    let (prefix, string) = unsafe { (units(prefix), units(string)) };
    let head = string.get(..prefix.len());
    u8::from(head.is_some_and(|head| compare(prefix, head, ignore_case != 0).is_eq()))
}

unsafe extern "win64" fn RtlHashUnicodeString(
    string: *const UNICODE_STRING,
    ignore_case: BOOLEAN,
    algorithm: ULONG,
    hash: *mut ULONG,
) -> NTSTATUS {
    // HASH_STRING_ALGORITHM_DEFAULT and its only concrete choice, x65599.
    if string.is_null() || hash.is_null() || algorithm > 1 {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: passed on from the driver.
    unsafe {
        let text = units(string)
            .iter()
            .map(|unit| if ignore_case != 0 { upcase(*unit) } else { *unit });
        *hash = text.fold(0_u32, |hash, unit| {
            hash.wrapping_mul(65599).wrapping_add(unit.into())
        });
    }
    STATUS_SUCCESS
}

unsafe extern "win64" fn RtlUpcaseUnicodeChar(unit: u16) -> u16 {
    upcase(unit)
}

unsafe extern "win64" fn RtlDowncaseUnicodeChar(unit: u16) -> u16 {
    downcase(unit)
}

unsafe extern "win64" fn RtlUpcaseUnicodeString(
    to: PUNICODE_STRING,
    from: *const UNICODE_STRING,
    allocate: BOOLEAN,
) -> NTSTATUS {
    // SAFETY: passed on from the driver.
    unsafe {
        let text: Vec<u16> = units(from).iter().copied().map(upcase).collect();
        put(to, &text, allocate != 0)
    }
}

unsafe extern "win64" fn RtlDowncaseUnicodeString(
    to: PUNICODE_STRING,
    from: *const UNICODE_STRING,
    allocate: BOOLEAN,
) -> NTSTATUS {
    // SAFETY: passed on from the driver.
    unsafe {
        let text: Vec<u16> = units(from).iter().copied().map(downcase).collect();
        put(to, &text, allocate != 0)
    }
}

unsafe extern "win64" fn RtlFreeUnicodeString(string: PUNICODE_STRING) {
    // SAFETY: the driver passes a string whose buffer one of these functions allocated.
    unsafe {
        if !(*string).Buffer.is_null() {
            pool::free((*string).Buffer.cast(), 0);
            string.write_bytes(0, 1);
        }
    }
}

unsafe extern "win64" fn RtlFreeAnsiString(string: *mut ANSI_STRING) {
    // SAFETY: as RtlFreeUnicodeString.
    unsafe {
        if !(*string).Buffer.is_null() {
            pool::free((*string).Buffer.cast(), 0);
            string.write_bytes(0, 1);
        }
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
