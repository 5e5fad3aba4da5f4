//! Times: 100 ns since 1601, calendar fields (UTC), seconds since 1970 and 1980.

#![allow(non_snake_case)]

use crate::nt::*;

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        RtlTimeToTimeFields <= HIGH;
        RtlTimeFieldsToTime <= HIGH;
        RtlTimeToSecondsSince1970 <= HIGH;
        RtlSecondsSince1970ToTime <= HIGH;
        RtlTimeToSecondsSince1980 <= HIGH;
        RtlSecondsSince1980ToTime <= HIGH;
    }
}

const SECOND: i64 = 10_000_000;
const DAY: i64 = 86_400;
/// Seconds between 1601 and 1970, and between 1601 and 1980.
const EPOCHS: [i64; 2] = [11_644_473_600, 11_960_006_400];

/// Year, month and day of a day counted from 1601-01-01.
fn civil(day: i64) -> (i64, i64, i64) {
    // Days from 1 March 1600, so that leap days end a year; 1601-01-01 is 306 days after that.
    let day = day + 306;
    let era = day.div_euclid(146_097);
    let in_era = day.rem_euclid(146_097);
    let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let date = in_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (1600 + era * 400 + year + carry, month, date)
}

/// The day counted from 1601-01-01 of a date.
fn days(year: i64, month: i64, date: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year } - 1600;
    let era = year.div_euclid(400);
    let in_era = year.rem_euclid(400);
    let month = (month + 9) % 12;
    let in_year = (153 * month + 2) / 5 + date - 1;
    era * 146_097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 306
}

unsafe extern "win64" fn RtlTimeToTimeFields(time: *const i64, fields: *mut TIME_FIELDS) {
    // SAFETY: the driver passes both.
    unsafe {
        let (seconds, rest) = ((*time).div_euclid(SECOND), (*time).rem_euclid(SECOND));
        let (day, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        let (year, month, date) = civil(day);
        *fields = TIME_FIELDS {
            Year: year as i16,
            Month: month as i16,
            Day: date as i16,
            Hour: (second / 3600) as i16,
            Minute: (second / 60 % 60) as i16,
            Second: (second % 60) as i16,
            Milliseconds: (rest / 10_000) as i16,
            // 1601 began on a Monday.
            Weekday: (day + 1).rem_euclid(7) as i16,
        };
    }
}

unsafe extern "win64" fn RtlTimeFieldsToTime(fields: *const TIME_FIELDS, time: *mut i64) -> BOOLEAN {
    // SAFETY: the driver passes both.
    unsafe {
        let f = &*fields;
        let (year, month, date) = (i64::from(f.Year), i64::from(f.Month), i64::from(f.Day));
        let in_range = year >= 1601
            && (1..=12).contains(&month)
            && (0..24).contains(&f.Hour)
            && (0..60).contains(&f.Minute)
            && (0..60).contains(&f.Second)
            && (0..1000).contains(&f.Milliseconds);
        if !in_range || civil(days(year, month, date)) != (year, month, date) {
            return 0;
        }
        let seconds = i64::from(f.Hour) * 3600 + i64::from(f.Minute) * 60 + i64::from(f.Second);
        *time = (days(year, month, date) * DAY + seconds) * SECOND + i64::from(f.Milliseconds) * 10_000;
    }
    1
}

unsafe fn to_seconds(time: *const i64, seconds: *mut u32, epoch: i64) -> BOOLEAN {
    // SAFETY: the driver passes both.
    unsafe {
        match u32::try_from((*time).div_euclid(SECOND) - epoch) {
            Ok(value) => {
                *seconds = value;
                1
            }
            Err(_) => 0,
        }
    }
}

unsafe extern "win64" fn RtlTimeToSecondsSince1970(time: *const i64, seconds: *mut u32) -> BOOLEAN {
    // SAFETY: passed on from the driver.
    unsafe { to_seconds(time, seconds, EPOCHS[0]) }
}

unsafe extern "win64" fn RtlTimeToSecondsSince1980(time: *const i64, seconds: *mut u32) -> BOOLEAN {
    // SAFETY: passed on from the driver.
    unsafe { to_seconds(time, seconds, EPOCHS[1]) }
}

unsafe extern "win64" fn RtlSecondsSince1970ToTime(seconds: u32, time: *mut i64) {
    // SAFETY: the driver passes a place for the time.
    unsafe { *time = (i64::from(seconds) + EPOCHS[0]) * SECOND };
}

unsafe extern "win64" fn RtlSecondsSince1980ToTime(seconds: u32, time: *mut i64) {
    // SAFETY: the driver passes a place for the time.
    unsafe { *time = (i64::from(seconds) + EPOCHS[1]) * SECOND };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_round_trip_and_known_days_are_right() {
        assert_eq!(civil(0), (1601, 1, 1));
        assert_eq!(civil(EPOCHS[0] / DAY), (1970, 1, 1));
        assert_eq!(civil(EPOCHS[1] / DAY), (1980, 1, 1));
        for day in (0..400_000).step_by(13) {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), day, "{year}-{month}-{date}");
        }
        assert_eq!(civil(days(2000, 2, 29)), (2000, 2, 29));
        assert_ne!(civil(days(1900, 2, 29)), (1900, 2, 29));
    }

    #[test]
    fn fields_are_those_of_the_time() {
        // 2024-02-29 12:34:56.789 UTC, a Thursday.
        let time = (1_709_210_096 + EPOCHS[0]) * SECOND + 7_890_000;
        // SAFETY: TIME_FIELDS is plain numbers; all pointers are to locals.
        unsafe {
            let mut fields = std::mem::zeroed::<TIME_FIELDS>();
            RtlTimeToTimeFields(&time, &mut fields);
            assert_eq!(
                (fields.Year, fields.Month, fields.Day, fields.Weekday),
                (2024, 2, 29, 4)
            );
            assert_eq!(
                (fields.Hour, fields.Minute, fields.Second, fields.Milliseconds),
                (12, 34, 56, 789)
            );
            let mut back = 0;
            assert_eq!(RtlTimeFieldsToTime(&fields, &mut back), 1);
            assert_eq!(back, time);
            fields.Day = 30;
            assert_eq!(RtlTimeFieldsToTime(&fields, &mut back), 0);
        }
    }
}
