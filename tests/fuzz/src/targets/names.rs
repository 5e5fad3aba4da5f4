//! Names: Linux's bytes to Windows' UTF-16 and back: `lklfs_nt::names`, `lklfs_nt::utf16`.
//!
//! The bytes are a Linux name, and then the units of a Windows name. What must hold: the way there and back is the same name;
//! what Windows cannot have in a name is never in one; a Windows name that is taken is the form of what it is taken for; memory
//! is bounded by the name's length.

use crate::allocated::within;
use crate::input::units;
use lklfs_nt::names::{to_linux, to_windows};
use lklfs_nt::utf16::{self, equal, upcase};

pub fn run(bytes: &[u8]) {
    linux(bytes);
    windows(&units(bytes));
    let lossy = within(2 * bytes.len() + 64, || utf16::from_bytes_lossy(bytes)).expect("memory");
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(lossy, text.encode_utf16().collect::<Vec<_>>());
    assert_eq!(utf16::to_string_lossy(&lossy), text);
}

fn linux(name: &[u8]) {
    if name.is_empty() || matches!(name, b"." | b"..") || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
        return;
    }
    let windows = within(2 * name.len() + 64, || to_windows(name)).expect("memory");
    assert!(windows.len() <= name.len());
    assert!(fits(&windows), "{windows:x?}");
    assert_eq!(to_linux(&windows).as_deref(), Ok(name), "{windows:x?}");
}

fn windows(name: &[u16]) {
    let Ok(linux) = within(16 * name.len() + 256, || to_linux(name)) else {
        return;
    };
    assert!(fits(name), "{name:x?} is taken");
    assert!(!linux.is_empty() && !linux.iter().any(|byte| matches!(byte, 0 | b'/')));
    assert_eq!(to_windows(&linux).as_deref(), Ok(name));
    let upper: Vec<u16> = name.iter().map(|unit| upcase(*unit)).collect();
    assert!(equal(name, &upper, false) && equal(&upper, name, false));
    assert_eq!(equal(name, &upper, true), name == upper);
}

/// Whether Win32 can name such a file.
fn fits(name: &[u16]) -> bool {
    let illegal = |unit: &u16| {
        *unit < 0x20 || u8::try_from(*unit).is_ok_and(|byte| b"\"*/:<>?\\|".contains(&byte))
    };
    let text = String::from_utf16_lossy(name);
    let base = text.split('.').next().unwrap_or_default().trim_end_matches(' ').to_uppercase();
    let ports = ["COM", "LPT"].into_iter().any(|port| {
        let rest = base.strip_prefix(port).map(|rest| rest.chars().collect::<Vec<_>>());
        matches!(rest.as_deref(), Some(['1'..='9' | '¹' | '²' | '³']))
    });
    let device = ports || ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&base.as_str());
    !name.is_empty() && !name.iter().any(illegal) && !text.ends_with(['.', ' ']) && !device
}
