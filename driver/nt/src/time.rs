//! NT's time: 100 ns units since 1601-01-01 00:00 UTC, in 64 signed bits.
//!
//! Linux counts seconds and nanoseconds since 1970. NT's zero means "no time" in several interfaces, and negative
//! values are rejected by the conversions of Win32; so Linux times outside NT's range are moved to its nearest end,
//! and everything from 1601 to the year 30828 converts exactly but for the last two digits of the nanoseconds.

/// 100 ns units in a second.
const UNITS_PER_SECOND: i64 = 10_000_000;
/// Seconds from 1601-01-01 to 1970-01-01.
const SECONDS_1601_TO_1970: i64 = 11_644_473_600;
/// Nanoseconds in a unit.
const NS_PER_UNIT: u32 = 100;

/// A point in time as NT counts it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct NtTime(pub i64);

impl NtTime {
    /// "No time".
    pub const NONE: Self = Self(0);
    /// The earliest time that is not [`Self::NONE`].
    pub const MIN: Self = Self(1);
    /// The latest time.
    pub const MAX: Self = Self(i64::MAX);

    /// From seconds since 1970 and the nanoseconds within the second, as `statx` gives them. Rounds down to 100 ns.
    /// Times before 1601 become [`Self::MIN`], times after NT's range [`Self::MAX`].
    pub const fn from_unix(seconds: i64, nanoseconds: u32) -> Self {
        let Some(since_1601) = seconds.checked_add(SECONDS_1601_TO_1970) else {
            return Self::MAX;
        };
        if since_1601 < 0 {
            return Self::MIN;
        }
        let Some(whole) = since_1601.checked_mul(UNITS_PER_SECOND) else {
            return Self::MAX;
        };
        // Cannot wrap: a u32 divided fits i64.
        let part = match nanoseconds.checked_div(NS_PER_UNIT) {
            Some(units) => units,
            None => 0,
        };
        match whole.checked_add_unsigned(widen(part)) {
            Some(0) => Self::MIN,
            Some(units) => Self(units),
            None => Self::MAX,
        }
    }

    /// Seconds since 1970 and nanoseconds within the second.
    pub const fn to_unix(self) -> (i64, u32) {
        let since_1601 = self.0.div_euclid(UNITS_PER_SECOND);
        let part = self.0.rem_euclid(UNITS_PER_SECOND);
        // `part` is below 10^7, so both steps are exact.
        let nanoseconds = match narrow(part).checked_mul(NS_PER_UNIT) {
            Some(ns) => ns,
            None => 0,
        };
        (since_1601.saturating_sub(SECONDS_1601_TO_1970), nanoseconds)
    }
}

/// `u64::from`, which is not const.
#[allow(clippy::as_conversions, reason = "widening")]
const fn widen(value: u32) -> u64 {
    value as u64
}

/// The low half of a value that is known to be in 0..10^7.
#[allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0..10^7"
)]
const fn narrow(value: i64) -> u32 {
    value as u32
}

#[cfg(test)]
mod tests {
    use super::NtTime;

    #[test]
    fn the_epochs_are_where_the_interfaces_say() {
        assert_eq!(NtTime::from_unix(0, 0), NtTime(116_444_736_000_000_000));
        assert_eq!(NtTime::from_unix(-11_644_473_600, 100), NtTime(1));
        assert_eq!(NtTime(116_444_736_000_000_000).to_unix(), (0, 0));
    }

    #[test]
    fn times_before_1970_count_nanoseconds_forward() {
        // 1969-12-31 23:59:59.5 is second -1 plus 500 ms.
        assert_eq!(
            NtTime::from_unix(-1, 500_000_000),
            NtTime(116_444_735_995_000_000)
        );
        assert_eq!(NtTime(116_444_735_995_000_000).to_unix(), (-1, 500_000_000));
    }

    #[test]
    fn times_after_2446_are_exact() {
        let seconds_2500 = 16_725_225_600;
        assert_eq!(
            NtTime::from_unix(seconds_2500, 123_456_789).to_unix(),
            (seconds_2500, 123_456_700)
        );
    }

    #[test]
    fn what_nt_cannot_express_goes_to_the_nearest_end() {
        assert_eq!(NtTime::from_unix(i64::MIN, 0), NtTime::MIN);
        assert_eq!(NtTime::from_unix(-11_644_473_600, 0), NtTime::MIN);
        assert_eq!(NtTime::from_unix(i64::MAX, 999_999_999), NtTime::MAX);
        assert_eq!(NtTime::from_unix(922_337_203_686, 0), NtTime::MAX);
    }

    proptest::proptest! {
        #[test]
        fn conversion_is_the_inverse_within_range(seconds in -11_644_473_599i64..900_000_000_000, ns in 0u32..1_000_000_000) {
            let (back, back_ns) = NtTime::from_unix(seconds, ns).to_unix();
            proptest::prop_assert_eq!((back, back_ns), (seconds, ns - ns % 100));
        }

        #[test]
        fn order_is_kept(a in proptest::num::i64::ANY, b in proptest::num::i64::ANY) {
            if a <= b {
                proptest::prop_assert!(NtTime::from_unix(a, 0) <= NtTime::from_unix(b, 0));
            }
        }
    }
}
