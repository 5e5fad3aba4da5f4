//! UNICODE_STRINGs. Conversions are in [`super::convert`].
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
    }
}

/// The tag of strings that are freed with RtlFreeUnicodeString.
pub(super) const TAG: u32 = u32::from_le_bytes(*b"RtlS");

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
pub(super) unsafe fn put(string: PUNICODE_STRING, text: &[u16], allocate: bool) -> NTSTATUS {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upcasing_is_simple_and_never_makes_ascii_of_other_characters() {
        let up = |c: char| char::from_u32(upcase(c as u16).into()).expect("a character");
        assert_eq!(
            "az09é\u{FF}ж".chars().map(up).collect::<String>(),
            "AZ09É\u{178}Ж"
        );
        for same in ['ß', 'µ', 'ı', 'ſ', '÷', 'ŉ', 'ǰ', '\u{212A}'] {
            assert_eq!(up(same), same);
        }
        assert_eq!(upcase(0xD800), 0xD800);
        assert_eq!(downcase(u16::from(b'Q')), u16::from(b'q'));
        assert_eq!(downcase('Ж' as u16), 'ж' as u16);
    }

    #[test]
    fn comparing_goes_by_units() {
        let text = |s: &str| s.encode_utf16().collect::<Vec<_>>();
        assert!(compare(&text("abc"), &text("ABD"), true).is_lt());
        assert!(compare(&text("abc"), &text("ABC"), true).is_eq());
        assert!(compare(&text("abc"), &text("ABC"), false).is_gt());
        assert!(compare(&text("ab"), &text("abc"), false).is_lt());
    }
}
