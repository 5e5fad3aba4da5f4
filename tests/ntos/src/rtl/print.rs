//! DbgPrint: NT's printf into a ring of lines, and to stderr when `NTOS_PRINT` is set.
//!
//! The functions are variadic in C. A gate passes the first sixteen arguments on the stack whatever they are, so here
//! they have that many arguments and read those that the format asks for.

#![allow(non_snake_case)]
#![allow(clippy::too_many_arguments, reason = "stands for a variadic function")]

use crate::nt::*;
use std::{
    collections::VecDeque,
    sync::{LazyLock, Mutex},
};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        DbgPrint <= HIGH;
        DbgPrintEx <= HIGH;
        DbgQueryDebugFilterState <= HIGH;
    }
}

/// Lines that are kept.
const LINES: usize = 4096;

static RING: Mutex<(VecDeque<String>, String)> = Mutex::new((VecDeque::new(), String::new()));

/// Adds text; lines end with `\n`.
pub fn add(text: &str) {
    static ECHO: LazyLock<bool> = LazyLock::new(|| std::env::var_os("NTOS_PRINT").is_some());
    if *ECHO {
        eprint!("{text}");
    }
    let mut ring = RING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (lines, partial) = &mut *ring;
    partial.push_str(text);
    while let Some(end) = partial.find('\n') {
        let line: String = partial.drain(..=end).collect();
        lines.push_back(line.trim_end().to_owned());
        if lines.len() > LINES {
            lines.pop_front();
        }
    }
}

/// Forgets what was said: a new machine starts.
pub fn forget() {
    let mut ring = RING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    *ring = (VecDeque::new(), String::new());
}

/// The last `count` lines since the machine started.
pub fn last_lines(count: usize) -> Vec<String> {
    let ring = RING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (lines, partial) = &*ring;
    let mut all: Vec<String> = lines
        .iter()
        .skip(lines.len().saturating_sub(count))
        .cloned()
        .collect();
    if !partial.is_empty() {
        all.push(partial.clone());
    }
    all
}

/// Memory of the driver's, read as the format says.
struct Source;

impl Source {
    fn narrow(at: u64, limit: usize) -> String {
        let mut bytes = Vec::new();
        while bytes.len() < limit {
            // SAFETY: the driver passes text that ends with NUL or at the precision; a bad pointer faults and is reported.
            match unsafe { *(at as *const u8).add(bytes.len()) } {
                0 => break,
                byte => bytes.push(byte),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn wide(at: u64, limit: usize) -> String {
        let mut text = Vec::new();
        while text.len() < limit {
            // SAFETY: as above.
            match unsafe { *(at as *const u16).add(text.len()) } {
                0 => break,
                unit => text.push(unit),
            }
        }
        String::from_utf16_lossy(&text)
    }
}

/// One conversion: flags, width, precision, size.
#[derive(Default)]
struct Conversion {
    left: bool,
    zero: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
    bits: u32,
    wide: Option<bool>,
}

impl Conversion {
    fn pad(&self, text: &str, numeric: bool) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        if self.left {
            return format!("{text}{}", " ".repeat(missing));
        }
        if self.zero && numeric && self.precision.is_none() {
            let (sign, rest) = match text.strip_prefix(['-', '+', ' ']) {
                Some(rest) => text.split_at(text.len() - rest.len()),
                None => ("", text),
            };
            return format!("{sign}{}{rest}", "0".repeat(missing));
        }
        format!("{}{text}", " ".repeat(missing))
    }

    fn number(&self, sign: &str, digits: String) -> String {
        let zeros = self.precision.unwrap_or(1).saturating_sub(digits.len());
        self.pad(&format!("{sign}{}{digits}", "0".repeat(zeros)), true)
    }

    fn convert(&self, kind: char, value: u64) -> Option<String> {
        let masked = if self.bits == 64 {
            value
        } else {
            value & ((1 << self.bits) - 1)
        };
        let limit = self.precision.unwrap_or(usize::MAX);
        Some(match kind {
            'd' | 'i' => {
                let signed = (value << (64 - self.bits)).cast_signed() >> (64 - self.bits);
                let sign = match (signed < 0, self.plus, self.space) {
                    (true, ..) => "-",
                    (_, true, _) => "+",
                    (_, _, true) => " ",
                    _ => "",
                };
                self.number(sign, signed.unsigned_abs().to_string())
            }
            'u' => self.number("", masked.to_string()),
            'x' => self.number(
                if self.alternate && masked != 0 { "0x" } else { "" },
                format!("{masked:x}"),
            ),
            'X' => self.number(
                if self.alternate && masked != 0 { "0X" } else { "" },
                format!("{masked:X}"),
            ),
            'o' => self.number("", format!("{masked:o}")),
            'p' => self.pad(&format!("{value:016X}"), false),
            'c' | 'C' => {
                let wide = self.wide.unwrap_or(kind == 'C');
                let unit = if wide {
                    value as u16
                } else {
                    u16::from(value as u8)
                };
                self.pad(&String::from_utf16_lossy(&[unit]), false)
            }
            's' | 'S' if value == 0 => self.pad("(null)", false),
            's' | 'S' if self.wide.unwrap_or(kind == 'S') => self.pad(&Source::wide(value, limit), false),
            's' | 'S' => self.pad(&Source::narrow(value, limit), false),
            'Z' if value == 0 => self.pad("(null)", false),
            'Z' if self.wide == Some(true) => {
                // SAFETY: the driver passes a UNICODE_STRING.
                let text = unsafe { crate::rtl::units(value as *const UNICODE_STRING) };
                self.pad(&String::from_utf16_lossy(text), false)
            }
            'Z' => {
                // SAFETY: the driver passes an ANSI_STRING.
                let (buffer, length) = unsafe {
                    let string = &*(value as *const ANSI_STRING);
                    (string.Buffer as u64, usize::from(string.Length))
                };
                self.pad(&Source::narrow(buffer, length), false)
            }
            _ => return None,
        })
    }
}

/// Formats as NT's kernel printf does. `arguments` are the raw argument words.
pub fn format(format: &str, arguments: &[u64]) -> String {
    let mut next = arguments.iter().copied();
    let mut out = String::new();
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut one = Conversion {
            bits: 32,
            ..Conversion::default()
        };
        while let Some(flag) = rest.next_if(|c| "-0+ #".contains(*c)) {
            match flag {
                '-' => one.left = true,
                '0' => one.zero = true,
                '+' => one.plus = true,
                ' ' => one.space = true,
                _ => one.alternate = true,
            }
        }
        let mut number = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            if rest.next_if_eq(&'*').is_some() {
                return next.next().unwrap_or(0) as u32 as usize;
            }
            let mut value = 0_usize;
            while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
                rest.next();
                value = value.saturating_mul(10).saturating_add(digit as usize).min(4096);
            }
            value
        };
        one.width = number(&mut rest);
        if rest.next_if_eq(&'.').is_some() {
            one.precision = Some(number(&mut rest));
        }
        loop {
            match rest.peek() {
                Some('l') => {
                    // One l is LLP64's long; two are 64 bits.
                    rest.next();
                    one.wide = Some(true);
                    if rest.next_if_eq(&'l').is_some() {
                        one.bits = 64;
                    }
                }
                Some('w') => {
                    rest.next();
                    one.wide = Some(true);
                }
                Some('h') => {
                    rest.next();
                    one.wide = Some(false);
                    one.bits = if rest.next_if_eq(&'h').is_some() { 8 } else { 16 };
                }
                Some('I') => {
                    rest.next();
                    one.bits = 64;
                    if rest.next_if_eq(&'3').is_some() {
                        one.bits = 32;
                        rest.next();
                    } else if rest.next_if_eq(&'6').is_some() {
                        rest.next();
                    }
                }
                Some('z' | 'j' | 't') => {
                    rest.next();
                    one.bits = 64;
                }
                _ => break,
            }
        }
        let Some(kind) = rest.next() else { break };
        if kind == '%' {
            out.push('%');
            continue;
        }
        match one.convert(kind, next.next().unwrap_or(0)) {
            Some(text) => out.push_str(&text),
            None => out.push(kind),
        }
    }
    out
}

macro_rules! variadic {
    ($(#[$meta:meta])* $name:ident($($fixed:ident: $type:ty),*; $($more:ident)*) -> $format:ident) => {
        $(#[$meta])*
        unsafe extern "win64" fn $name($($fixed: $type,)* $($more: u64),*) -> NTSTATUS {
            $(let _ = $fixed;)*
            let text = Source::narrow($format as u64, usize::MAX);
            add(&format(&text, &[$($more),*]));
            STATUS_SUCCESS
        }
    };
}

variadic!(DbgPrint(template: *const u8; a b c d e f g h i j k l m n o) -> template);
variadic!(DbgPrintEx(component: u32, level: u32, template: *const u8; a b c d e f g h i j k l m) -> template);

unsafe extern "win64" fn DbgQueryDebugFilterState(_component: ULONG, _level: ULONG) -> NTSTATUS {
    1
}

#[cfg(test)]
mod tests {
    use super::format;

    #[test]
    fn conversions_are_those_of_nts_printf() {
        let text = c"hello".as_ptr() as u64;
        assert_eq!(
            format("%d %i %u", &[-1_i32 as u32 as u64, 5, u64::from(u32::MAX)]),
            "-1 5 4294967295"
        );
        assert_eq!(
            format("%#x %08X %hx %hhx", &[255, 0xAB, 0x1_2345, 0x123]),
            "0xff 000000AB 2345 23"
        );
        assert_eq!(
            format("[%-6s][%6s][%.2s]", &[text, text, text]),
            "[hello ][ hello][he]"
        );
        assert_eq!(format("[%*d][%-*d]", &[4, 7, 4, 7]), "[   7][7   ]");
        assert_eq!(
            format("%I64u %llx %zu", &[u64::MAX, u64::MAX, 3]),
            "18446744073709551615 ffffffffffffffff 3"
        );
        assert_eq!(format("%s|%c|%%|%q", &[0, 65, 0]), "(null)|A|%|q");
        assert_eq!(
            format("%05d %+d %.4d", &[-42_i32 as u32 as u64, 3, 7]),
            "-0042 +3 0007"
        );
        assert_eq!(format("ends with %", &[]), "ends with ");
    }
}
