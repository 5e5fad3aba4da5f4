//! Memory functions. A driver may use them on user memory inside of `__try`, so a fault there is raised in it.

#![allow(non_snake_case)]

use crate::{ke, mm::user, nt::*};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        memcpy <= HIGH;
        memmove <= HIGH;
        RtlCopyMemory = memcpy, <= HIGH;
        RtlMoveMemory = memmove, <= HIGH;
        RtlCopyMemoryNonTemporal = memcpy, <= HIGH;
        memset <= HIGH;
        RtlFillMemory <= HIGH;
        RtlZeroMemory <= HIGH;
        memcmp <= HIGH;
        RtlCompareMemory <= HIGH;
        RtlCompareMemoryUlong <= HIGH;
        memchr <= HIGH;
        strlen <= HIGH;
        strcmp <= HIGH;
        strncmp <= HIGH;
        wcslen <= HIGH;
    }
}

/// Copies, raising a user's fault in the driver.
fn copy(to: *mut u8, from: *const u8, length: usize) {
    let user_side = user::is_user(to as usize) || user::is_user(from as usize);
    if user_side && to as usize > 0x1_0000 && from as usize > 0x1_0000 {
        // SAFETY: the driver's own pointers; a fault is raised in it.
        if let Err(status) = unsafe { ke::guarded_copy(to, from, length) } {
            ke::raise(status);
        }
        return;
    }
    // SAFETY: the driver's own pointers; a bad one faults and is reported.
    unsafe { std::ptr::copy(from, to, length) };
}

unsafe extern "win64" fn memcpy(to: *mut u8, from: *const u8, length: SIZE_T) -> *mut u8 {
    let (a, b, length) = (to as usize, from as usize, length as usize);
    if a < b + length && b < a + length && a != b && length != 0 {
        crate::fail!(
            BadArgument,
            "memcpy of overlapping blocks {a:#x} and {b:#x}, {length} bytes"
        );
    }
    copy(to, from, length);
    to
}

unsafe extern "win64" fn memmove(to: *mut u8, from: *const u8, length: SIZE_T) -> *mut u8 {
    copy(to, from, length as usize);
    to
}

fn fill(to: *mut u8, length: usize, byte: u8) {
    if user::is_user(to as usize) && to as usize > 0x1_0000 {
        let piece = [byte; 4096];
        for at in (0..length).step_by(piece.len()) {
            copy(to.wrapping_add(at), piece.as_ptr(), piece.len().min(length - at));
        }
        return;
    }
    // SAFETY: the driver's own pointer; a bad one faults and is reported.
    unsafe { std::ptr::write_bytes(to, byte, length) };
}

unsafe extern "win64" fn memset(to: *mut u8, byte: i32, length: SIZE_T) -> *mut u8 {
    fill(to, length as usize, byte as u8);
    to
}

unsafe extern "win64" fn RtlFillMemory(to: *mut u8, length: SIZE_T, byte: u8) {
    fill(to, length as usize, byte);
}

unsafe extern "win64" fn RtlZeroMemory(to: *mut u8, length: SIZE_T) {
    fill(to, length as usize, 0);
}

/// The driver's bytes.
unsafe fn bytes<'a>(at: *const u8, length: SIZE_T) -> &'a [u8] {
    if length == 0 {
        return &[];
    }
    // SAFETY: the driver's own pointer; a bad one faults and is reported.
    unsafe { std::slice::from_raw_parts(at, length as usize) }
}

unsafe extern "win64" fn memcmp(first: *const u8, second: *const u8, length: SIZE_T) -> i32 {
    // SAFETY: passed on from the driver.
    unsafe { bytes(first, length).cmp(bytes(second, length)) as i32 }
}

unsafe extern "win64" fn RtlCompareMemory(first: *const u8, second: *const u8, length: SIZE_T) -> SIZE_T {
    // SAFETY: passed on from the driver.
    let pairs = unsafe { bytes(first, length).iter().zip(bytes(second, length)) };
    pairs.take_while(|(a, b)| a == b).count() as u64
}

unsafe extern "win64" fn RtlCompareMemoryUlong(source: *const u8, length: SIZE_T, pattern: ULONG) -> SIZE_T {
    // SAFETY: passed on from the driver.
    let words = unsafe { bytes(source, length & !3) }.chunks_exact(4);
    words.take_while(|word| **word == pattern.to_le_bytes()).count() as u64 * 4
}

unsafe extern "win64" fn memchr(at: *const u8, byte: i32, length: SIZE_T) -> *const u8 {
    // SAFETY: passed on from the driver.
    let found = unsafe { bytes(at, length) }.iter().position(|b| *b == byte as u8);
    found.map_or(std::ptr::null(), |index| at.wrapping_add(index))
}

unsafe extern "win64" fn strlen(text: *const u8) -> SIZE_T {
    // SAFETY: the driver passes a terminated string.
    (0..).take_while(|at| unsafe { *text.add(*at) } != 0).count() as u64
}

unsafe extern "win64" fn strcmp(first: *const u8, second: *const u8) -> i32 {
    // SAFETY: the driver passes terminated strings.
    unsafe { strncmp(first, second, u64::MAX >> 1) }
}

unsafe extern "win64" fn strncmp(first: *const u8, second: *const u8, length: SIZE_T) -> i32 {
    for at in 0..length as usize {
        // SAFETY: the driver passes terminated strings, neither of which has ended yet.
        let (a, b) = unsafe { (*first.add(at), *second.add(at)) };
        if a != b || a == 0 {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

unsafe extern "win64" fn wcslen(text: *const u16) -> SIZE_T {
    // SAFETY: the driver passes a terminated string.
    (0..).take_while(|at| unsafe { *text.add(*at) } != 0).count() as u64
}
