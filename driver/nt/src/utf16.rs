//! UTF-16 as NT has it: any 16-bit units, pairs of surrogates not guaranteed.
//!
//! Case is folded unit by unit as NT's upcase table does: only characters whose upper-case form is one unit too, and
//! never from outside ASCII into ASCII (the dotless i and the long s keep their own), so that a name of plain ASCII is
//! equal to nothing else.

use alloc::{string::String, vec::Vec};

use crate::NtStatus;

/// `\`: the only separator of paths.
pub const SEPARATOR: u16 = 0x5C;
/// `:`: the separator of stream names.
pub const COLON: u16 = 0x3A;
/// `.`.
pub const DOT: u16 = 0x2E;

/// The upper-case form of one unit, as names are compared without case.
pub fn upcase(unit: u16) -> u16 {
    if unit < 0x80 {
        return match unit {
            0x61..=0x7A => unit & !0x20,
            _ => unit,
        };
    }
    // The micro sign is a symbol, whose Greek capital would be taken for a letter.
    let Some(lower) = char::from_u32(unit.into()).filter(|_| unit != 0xB5) else {
        return unit;
    };
    let mut upper = lower.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => match u16::try_from(u32::from(one)) {
            Ok(upper) if upper >= 0x80 => upper,
            _ => unit,
        },
        _ => unit,
    }
}

/// Whether two names are the same, with or without case.
pub fn equal(a: &[u16], b: &[u16], case_sensitive: bool) -> bool {
    if case_sensitive {
        return a == b;
    }
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || upcase(*a) == upcase(*b))
}

/// UTF-16 of a text, for constants and labels.
///
/// # Errors
///
/// INSUFFICIENT_RESOURCES when memory is short.
pub fn from_str(text: &str) -> Result<Vec<u16>, NtStatus> {
    let mut units = Vec::new();
    units
        .try_reserve_exact(text.len())
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    units.extend(text.encode_utf16());
    Ok(units)
}

/// UTF-16 of bytes that should be UTF-8; what is not becomes U+FFFD. For labels, where nothing must be reversible.
///
/// # Errors
///
/// INSUFFICIENT_RESOURCES when memory is short.
pub fn from_bytes_lossy(bytes: &[u8]) -> Result<Vec<u16>, NtStatus> {
    let mut units = Vec::new();
    units
        .try_reserve_exact(bytes.len())
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    for chunk in bytes.utf8_chunks() {
        units.extend(chunk.valid().encode_utf16());
        if !chunk.invalid().is_empty() {
            units.push(0xFFFD);
        }
    }
    Ok(units)
}

/// Text of a name for messages; lone surrogates become U+FFFD.
pub fn to_string_lossy(name: &[u16]) -> String {
    char::decode_utf16(name.iter().copied())
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// Appends units, reporting a lack of memory instead of failing on it.
///
/// # Errors
///
/// INSUFFICIENT_RESOURCES when memory is short.
pub fn append(to: &mut Vec<u16>, units: &[u16]) -> Result<(), NtStatus> {
    to.try_reserve(units.len())
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    to.extend_from_slice(units);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_folded_as_nt_does() {
        let pairs = [
            ('a', 'A'),
            ('é', 'É'),
            ('ÿ', 'Ÿ'),
            ('я', 'Я'),
            ('ω', 'Ω'),
            ('ǆ', 'Ǆ'),
        ];
        for (lower, upper) in pairs {
            assert_eq!(
                u32::from(upcase(u32::from(lower) as u16)),
                u32::from(upper),
                "{lower}"
            );
        }
        for alone in ['ß', 'ı', 'ſ', 'µ', '1', '日', 'K'] {
            assert_eq!(
                u32::from(upcase(u32::from(alone) as u16)),
                u32::from(alone),
                "{alone}"
            );
        }
        assert_eq!(upcase(0xD83D), 0xD83D, "a surrogate has no case");
    }

    #[test]
    fn folding_is_idempotent_and_keeps_ascii_apart() {
        for unit in 0..=u16::MAX {
            let upper = upcase(unit);
            assert_eq!(upcase(upper), upper, "{unit:#x}");
            assert_eq!(unit < 0x80, upper < 0x80, "{unit:#x}");
        }
    }

    #[test]
    fn labels_are_converted_whatever_their_bytes() {
        assert_eq!(
            to_string_lossy(&from_bytes_lossy(b"caf\xc3\xa9 \xff!").unwrap()),
            "café \u{fffd}!"
        );
    }
}
