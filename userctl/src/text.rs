//! How modes, times and sizes become text, and by [`lkl_session::text`] bytes. Shared by every command, so that all of them
//! spell alike.

use std::fmt::Write;

use crate::volume::{Kind, Time};

pub use lkl_session::text::{escaped, plain, shown};

/// Ten characters as `ls -l` writes them, from a kind and `mode & 07777`.
pub fn mode_string(kind: Kind, mode: u32) -> String {
    let mut text = String::with_capacity(10);
    text.push(match kind {
        Kind::File => '-',
        other => other.letter(),
    });
    for (shift, special, set, unset) in [
        (6, 0o4000, 's', 'S'),
        (3, 0o2000, 's', 'S'),
        (0, 0o1000, 't', 'T'),
    ] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => unset,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// A time in UTC with all its nine decimals, as RFC 3339 has it; a year that a calendar does not reach is written as
/// seconds since 1970, `@123.000000000`.
pub fn time(time: Time) -> String {
    let nanoseconds = i32::try_from(time.nanoseconds).ok();
    match nanoseconds.and_then(|nanoseconds| jiff::Timestamp::new(time.seconds, nanoseconds).ok()) {
        // A timestamp's sign covers both parts: a time before 1970 with a fraction counts the fraction back from the
        // next second, which Timestamp::new does by itself.
        Some(timestamp) => format!("{timestamp:.9}"),
        None => format!("@{}.{:09}", time.seconds, time.nanoseconds),
    }
}

/// A size for people: bytes with a binary unit, three significant digits.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "bytes" || value >= 100.0 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// Hexadecimal digits of a digest.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_look_like_ls() {
        assert_eq!(mode_string(Kind::File, 0o644), "-rw-r--r--");
        assert_eq!(mode_string(Kind::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(mode_string(Kind::File, 0o6754), "-rwsr-sr--");
        assert_eq!(mode_string(Kind::Link, 0o7000), "l--S--S--T");
    }

    #[test]
    fn times_before_and_far_after_1970() {
        assert_eq!(
            time(Time {
                seconds: 0,
                nanoseconds: 1
            }),
            "1970-01-01T00:00:00.000000001Z"
        );
        assert_eq!(
            time(Time {
                seconds: -1,
                nanoseconds: 999_999_999
            }),
            "1969-12-31T23:59:59.999999999Z"
        );
        assert_eq!(
            time(Time {
                seconds: i64::MAX,
                nanoseconds: 5
            }),
            "@9223372036854775807.000000005"
        );
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(2 << 30), "2.0 GiB");
    }
}
