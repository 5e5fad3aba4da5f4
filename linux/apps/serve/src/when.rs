//! Times as the protocols write them. All are UTC; what lies outside of the years 1 to 9999 (but for the last day or so, which
//! no time zone may leave) is shown as their first or last second.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::tree::Time;

const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_207_199;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// How old a file is when `ls -l` shows the year and no hour: half a year.
const OLD: i64 = 365 * 86_400 / 2;

fn civil(seconds: i64) -> DateTime {
    let seconds = seconds.clamp(FIRST, LAST);
    let at = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    TimeZone::UTC.to_datetime(at)
}

/// Now.
pub fn now() -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time {
        seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        nanoseconds: now.subsec_nanos(),
    }
}

fn month(at: DateTime) -> &'static str {
    let index = usize::from(at.month().unsigned_abs()).saturating_sub(1);
    MONTHS.get(index).copied().unwrap_or("Jan")
}

/// `20261129194659`: MDTM and the facts of MLSD.
pub fn digits(time: Time, to: &mut impl fmt::Write) -> fmt::Result {
    let at = civil(time.seconds);
    write!(
        to,
        "{:04}{:02}{:02}{:02}{:02}{:02}",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// The reverse of [`digits`]; a fraction of a second may follow behind a point.
pub fn parse_digits(text: &[u8]) -> Option<Time> {
    let text = str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() != 14 || fraction.len() > 9 || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let part = |from: usize, len: usize| whole.get(from..from + len)?.parse::<i8>().ok();
    let at = DateTime::new(
        whole.get(..4)?.parse().ok()?,
        part(4, 2)?,
        part(6, 2)?,
        part(8, 2)?,
        part(10, 2)?,
        part(12, 2)?,
        0,
    );
    let at = TimeZone::UTC.to_timestamp(at.ok()?).ok()?;
    Some(Time {
        seconds: at.as_second(),
        nanoseconds: format!("{fraction:0<9}").parse().ok()?,
    })
}

/// `Nov 29 19:46`, or `Nov 29  2024` when that is far from `now`: as `ls -l` has it.
pub fn listed(time: Time, now: Time, to: &mut impl fmt::Write) -> fmt::Result {
    let at = civil(time.seconds);
    let (month, day) = (month(at), at.day());
    let age = now.seconds.saturating_sub(time.seconds);
    if (-86_400..OLD).contains(&age) {
        write!(to, "{month} {day:2} {:02}:{:02}", at.hour(), at.minute())
    } else {
        write!(to, "{month} {day:2}  {:04}", at.year())
    }
}

/// `Sun, 29 Nov 2026 19:46:59 GMT`: HTTP.
pub fn http(time: Time) -> String {
    let at = civil(time.seconds);
    let day = usize::from(at.weekday().to_monday_zero_offset().unsigned_abs());
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        DAYS.get(day).copied().unwrap_or("Mon"),
        at.day(),
        month(at),
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// The seconds since 1970 of a date of HTTP's, in any of its three forms.
pub fn parse_http(text: &str) -> Option<i64> {
    let at = httpdate::parse_http_date(text).ok()?;
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    i64::try_from(seconds).ok()
}

/// `2026-11-29T19:46:59Z`: WebDAV's creationdate, and the log.
pub fn iso(time: Time) -> String {
    let at = civil(time.seconds);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64) -> Time {
        Time {
            seconds,
            nanoseconds: 0,
        }
    }

    #[test]
    fn times_are_written_as_each_protocol_wants_them() {
        let at = time(1_764_445_619);
        let mut text = String::new();
        digits(at, &mut text).unwrap();
        assert_eq!(text, "20251129194659");
        assert_eq!(parse_digits(text.as_bytes()), Some(at));
        let half = parse_digits(b"20251129194659.5").unwrap();
        assert_eq!((half.seconds, half.nanoseconds), (at.seconds, 500_000_000));
        for wrong in [
            "",
            "2025112919465",
            "20251329194659",
            "20251129194659.",
            "2025-1129194659",
            "20250229000000",
        ] {
            let expected = wrong.ends_with('.').then_some(at);
            assert_eq!(parse_digits(wrong.as_bytes()), expected, "{wrong}");
        }
        assert_eq!(http(at), "Sat, 29 Nov 2025 19:46:59 GMT");
        assert_eq!(parse_http(&http(at)), Some(at.seconds));
        assert_eq!(iso(at), "2025-11-29T19:46:59Z");
        for (now, expected) in [
            (at.seconds + 60, "Nov 29 19:46"),
            (at.seconds + OLD, "Nov 29  2025"),
            (at.seconds - 7 * 86_400, "Nov 29  2025"),
        ] {
            let mut text = String::new();
            listed(at, time(now), &mut text).unwrap();
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn times_that_no_calendar_has_are_the_first_or_the_last() {
        assert_eq!(http(time(i64::MIN)), "Mon, 01 Jan 0001 00:00:00 GMT");
        assert_eq!(http(time(i64::MAX)), "Thu, 30 Dec 9999 21:59:59 GMT");
        assert_eq!(http(time(-1)), "Wed, 31 Dec 1969 23:59:59 GMT");
    }
}
