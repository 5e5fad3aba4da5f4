//! RTL_BITMAP: bits in words of 32.

#![allow(non_snake_case)]

use crate::nt::*;

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        RtlInitializeBitMap <= DISPATCH;
        RtlClearAllBits <= DISPATCH;
        RtlSetAllBits <= DISPATCH;
        RtlSetBits <= DISPATCH;
        RtlClearBits <= DISPATCH;
        RtlSetBit <= DISPATCH;
        RtlClearBit <= DISPATCH;
        RtlTestBit <= DISPATCH;
        RtlAreBitsSet <= DISPATCH;
        RtlAreBitsClear <= DISPATCH;
        RtlNumberOfSetBits <= DISPATCH;
        RtlNumberOfClearBits <= DISPATCH;
        RtlFindClearBits <= DISPATCH;
        RtlFindClearBitsAndSet <= DISPATCH;
    }
}

/// No such run.
const NONE: u32 = u32::MAX;

/// A bitmap's words and its number of bits.
unsafe fn words<'a>(map: PRTL_BITMAP) -> (&'a mut [u32], u32) {
    // SAFETY: the driver passes an initialised bitmap.
    unsafe {
        let bits = (*map).SizeOfBitMap;
        (
            std::slice::from_raw_parts_mut((*map).Buffer, bits.div_ceil(32) as usize),
            bits,
        )
    }
}

unsafe fn set(map: PRTL_BITMAP, first: u32, count: u32, on: bool) {
    // SAFETY: passed on from the driver.
    let (words, bits) = unsafe { words(map) };
    if first.checked_add(count).is_none_or(|end| end > bits) {
        crate::fail!(BadArgument, "bits {first}+{count} of a bitmap with {bits}");
    }
    for bit in first..first + count {
        let mask = 1 << (bit % 32);
        let word = &mut words[(bit / 32) as usize];
        *word = if on { *word | mask } else { *word & !mask };
    }
}

unsafe fn is_set(map: PRTL_BITMAP, bit: u32) -> bool {
    // SAFETY: passed on from the driver.
    let (words, bits) = unsafe { words(map) };
    bit < bits && words[(bit / 32) as usize] & (1 << (bit % 32)) != 0
}

unsafe extern "win64" fn RtlInitializeBitMap(map: PRTL_BITMAP, buffer: *mut u32, bits: ULONG) {
    // SAFETY: the driver passes memory for a bitmap.
    unsafe {
        (*map).SizeOfBitMap = bits;
        (*map).Buffer = buffer;
    }
}

unsafe extern "win64" fn RtlClearAllBits(map: PRTL_BITMAP) {
    // SAFETY: passed on from the driver.
    unsafe { words(map) }.0.fill(0);
}

unsafe extern "win64" fn RtlSetAllBits(map: PRTL_BITMAP) {
    // SAFETY: passed on from the driver.
    unsafe { words(map) }.0.fill(u32::MAX);
}

unsafe extern "win64" fn RtlSetBits(map: PRTL_BITMAP, first: ULONG, count: ULONG) {
    // SAFETY: passed on from the driver.
    unsafe { set(map, first, count, true) };
}

unsafe extern "win64" fn RtlClearBits(map: PRTL_BITMAP, first: ULONG, count: ULONG) {
    // SAFETY: passed on from the driver.
    unsafe { set(map, first, count, false) };
}

unsafe extern "win64" fn RtlSetBit(map: PRTL_BITMAP, bit: ULONG) {
    // SAFETY: passed on from the driver.
    unsafe { set(map, bit, 1, true) };
}

unsafe extern "win64" fn RtlClearBit(map: PRTL_BITMAP, bit: ULONG) {
    // SAFETY: passed on from the driver.
    unsafe { set(map, bit, 1, false) };
}

unsafe extern "win64" fn RtlTestBit(map: PRTL_BITMAP, bit: ULONG) -> BOOLEAN {
    // SAFETY: passed on from the driver.
    u8::from(unsafe { is_set(map, bit) })
}

unsafe fn all(map: PRTL_BITMAP, first: u32, count: u32, on: bool) -> bool {
    // SAFETY: passed on from the driver.
    let (_, bits) = unsafe { words(map) };
    let end = first.saturating_add(count);
    // SAFETY: as above.
    count != 0 && end <= bits && (first..end).all(|bit| unsafe { is_set(map, bit) } == on)
}

unsafe extern "win64" fn RtlAreBitsSet(map: PRTL_BITMAP, first: ULONG, count: ULONG) -> BOOLEAN {
    // SAFETY: passed on from the driver.
    u8::from(unsafe { all(map, first, count, true) })
}

unsafe extern "win64" fn RtlAreBitsClear(map: PRTL_BITMAP, first: ULONG, count: ULONG) -> BOOLEAN {
    // SAFETY: passed on from the driver.
    u8::from(unsafe { all(map, first, count, false) })
}

unsafe extern "win64" fn RtlNumberOfSetBits(map: PRTL_BITMAP) -> ULONG {
    // SAFETY: passed on from the driver.
    let (_, bits) = unsafe { words(map) };
    // SAFETY: as above.
    (0..bits).filter(|bit| unsafe { is_set(map, *bit) }).count() as u32
}

unsafe extern "win64" fn RtlNumberOfClearBits(map: PRTL_BITMAP) -> ULONG {
    // SAFETY: passed on from the driver.
    unsafe { words(map).1 - RtlNumberOfSetBits(map) }
}

unsafe extern "win64" fn RtlFindClearBits(map: PRTL_BITMAP, count: ULONG, hint: ULONG) -> ULONG {
    // SAFETY: passed on from the driver.
    let (_, bits) = unsafe { words(map) };
    let hint = if hint >= bits { 0 } else { hint };
    if count == 0 {
        return hint & !7;
    }
    let Some(last) = bits.checked_sub(count) else {
        return NONE;
    };
    // SAFETY: as above.
    let found = (hint..=last)
        .chain(0..hint.min(last + 1))
        .find(|first| unsafe { all(map, *first, count, false) });
    found.unwrap_or(NONE)
}

unsafe extern "win64" fn RtlFindClearBitsAndSet(map: PRTL_BITMAP, count: ULONG, hint: ULONG) -> ULONG {
    // SAFETY: passed on from the driver.
    unsafe {
        let found = RtlFindClearBits(map, count, hint);
        if found != NONE && count != 0 {
            set(map, found, count, true);
        }
        found
    }
}
