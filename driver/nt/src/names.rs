//! Names: Linux's bytes to Windows' UTF-16 and back, a bijection.
//!
//! A Linux name is any bytes but NUL and `/`. Its Windows form is its UTF-8 text as UTF-16, except for what Windows
//! cannot have in a name; that goes, as WSL and Cygwin do it, to the private-use characters U+F000 to U+F0FF, where
//! U+F000 + n stands for the byte n:
//!
//! | in the Linux name | in the Windows name |
//! |---|---|
//! | `"` `*` `:` `<` `>` `?` `\` `\|`, bytes 0x01 to 0x1F | U+F000 + the character's code |
//! | a dot or space at the end | U+F02E, U+F020 |
//! | a device name (`CON`, `NUL.txt`, `com1`, ...) | its third character as U+F000 + code: `NU` U+F04C `.txt` |
//! | bytes that are not UTF-8 | each as U+F000 + byte |
//! | characters that are U+F000 to U+F0FF themselves | their three bytes, each as U+F000 + byte |
//!
//! The last row is what makes the mapping reversible: no unit of a Windows name stands for two things. [`to_linux`]
//! takes exactly the names that [`to_windows`] gives; any other spelling names nothing.
//!
//! The driver names files by it, and a program that goes back to Linux' names reads it backwards.

use alloc::vec::Vec;

use crate::{
    NtStatus,
    utf16::{self, DOT},
};

/// Where mapped bytes begin.
const MAPPED: u16 = 0xF000;
/// The base names of devices, in upper case; those with a digit have it as fourth character.
const DEVICES: [&[u8; 3]; 4] = [b"CON", b"PRN", b"AUX", b"NUL"];
const NUMBERED_DEVICES: [&[u8; 3]; 2] = [b"COM", b"LPT"];

/// Whether Windows forbids a character in names, `/` and NUL aside.
const fn is_illegal(unit: u16) -> bool {
    matches!(
        unit,
        0x01..=0x1F | 0x22 | 0x2A | 0x3A | 0x3C | 0x3E | 0x3F | 0x5C | 0x7C
    )
}

/// A Linux name (one component, neither empty nor `.` nor `..`) as Windows sees it.
///
/// Total and injective: every name has a Windows form, and two names never have the same.
///
/// # Errors
///
/// INSUFFICIENT_RESOURCES when memory is short.
pub fn to_windows(name: &[u8]) -> Result<Vec<u16>, NtStatus> {
    let mut units: Vec<u16> = Vec::new();
    // No byte makes more than one unit.
    units
        .try_reserve_exact(name.len())
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            let code = u32::from(character);
            if (0xF000..=0xF0FF).contains(&code) {
                let mut bytes = [0; 4];
                units.extend(character.encode_utf8(&mut bytes).bytes().map(mapped));
            } else {
                let mut pair = [0; 2];
                let encoded = character.encode_utf16(&mut pair);
                units.extend(
                    encoded
                        .iter()
                        .map(|unit| if is_illegal(*unit) { MAPPED | *unit } else { *unit }),
                );
            }
        }
        units.extend(chunk.invalid().iter().copied().map(mapped));
    }
    if let Some(last) = units.last_mut().filter(|last| matches!(**last, 0x20 | DOT)) {
        *last |= MAPPED;
    }
    if is_device(&units)
        && let Some(third) = units.get_mut(2)
    {
        *third |= MAPPED;
    }
    Ok(units)
}

/// The private-use character that stands for a byte.
fn mapped(byte: u8) -> u16 {
    MAPPED | u16::from(byte)
}

/// Whether Win32 would take a name for a device: its part before the first dot, without spaces at its end.
fn is_device(name: &[u16]) -> bool {
    let base = name.split(|unit| *unit == DOT).next().unwrap_or_default();
    let length = base
        .iter()
        .rposition(|unit| *unit != 0x20)
        .map_or(0, |last| last.saturating_add(1));
    let Some((head, rest)) = base.get(..length).and_then(|base| base.split_first_chunk::<3>()) else {
        return is_console(base);
    };
    let same = |device: &&[u8; 3]| {
        head.iter()
            .zip(device.iter())
            .all(|(a, b)| utf16::upcase(*a) == u16::from(*b))
    };
    match rest {
        [] => DEVICES.iter().any(same),
        // Superscript digits count too.
        [0x31..=0x39 | 0xB9 | 0xB2 | 0xB3] => NUMBERED_DEVICES.iter().any(same),
        _ => is_console(base.get(..length).unwrap_or_default()),
    }
}

/// `CONIN$` and `CONOUT$`.
fn is_console(base: &[u16]) -> bool {
    let same = |name: &str| {
        base.len() == name.len()
            && base
                .iter()
                .zip(name.bytes())
                .all(|(a, b)| utf16::upcase(*a) == u16::from(b))
    };
    same("CONIN$") || same("CONOUT$")
}

/// The Linux name whose Windows form this is; the inverse of [`to_windows`].
///
/// # Errors
///
/// OBJECT_NAME_INVALID for what no Windows file system takes (an empty name, `.`, `..`, an illegal character);
/// OBJECT_NAME_NOT_FOUND for a name that could be one, but is the Windows form of no Linux name;
/// INSUFFICIENT_RESOURCES when memory is short.
pub fn to_linux(name: &[u16]) -> Result<Vec<u8>, NtStatus> {
    if name.is_empty() || name == [DOT] || name == [DOT, DOT] {
        return Err(NtStatus::OBJECT_NAME_INVALID);
    }
    if name
        .iter()
        .any(|unit| is_illegal(*unit) || matches!(*unit, 0 | 0x2F))
    {
        return Err(NtStatus::OBJECT_NAME_INVALID);
    }
    let mut bytes = Vec::new();
    bytes
        .try_reserve(name.len().saturating_mul(3))
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    for character in char::decode_utf16(name.iter().copied()) {
        let character = character.map_err(|_| NtStatus::OBJECT_NAME_NOT_FOUND)?;
        let code = u32::from(character);
        if (0xF000..=0xF0FF).contains(&code) {
            let [low, ..] = code.to_le_bytes();
            bytes.push(low);
        } else {
            let mut utf8 = [0; 4];
            bytes.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
        }
    }
    let is_name = bytes != b"." && bytes != b".." && !bytes.iter().any(|byte| matches!(*byte, 0 | b'/'));
    // Whatever has another canonical form is not the name of that file.
    if is_name && to_windows(&bytes)? == name {
        Ok(bytes)
    } else {
        Err(NtStatus::OBJECT_NAME_NOT_FOUND)
    }
}
