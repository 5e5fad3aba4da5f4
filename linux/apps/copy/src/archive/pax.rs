//! Records of a pax extended header: what the fields of a tar header have no room for.
//!
//! A record is `LENGTH KEY=VALUE\n`, the length counting itself. Values are bytes, so that names that are no UTF-8 and the values
//! of extended attributes are kept as they are, which is how GNU tar writes and reads them.

use lkl::Timestamp;

/// Records in a row.
#[derive(Debug, Default)]
pub struct Records(Vec<u8>);

impl Records {
    /// Adds one.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        // A space, an equals sign, a line feed.
        let rest = key.len() + value.len() + 3;
        let mut length = rest + digits(rest);
        if digits(length) > digits(rest) {
            length = rest + digits(length);
        }
        self.0.extend_from_slice(format!("{length} ").as_bytes());
        self.0.extend_from_slice(key);
        self.0.push(b'=');
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    /// Adds one whose value is a number.
    pub fn add_number(&mut self, key: &str, value: u64) {
        self.add(key.as_bytes(), value.to_string().as_bytes());
    }

    /// Adds a time: seconds since 1970 with a fraction, both of one sign.
    pub fn add_time(&mut self, key: &str, time: Timestamp) {
        self.add(key.as_bytes(), decimal(time).as_bytes());
    }

    /// Adds an extended attribute. GNU tar's spelling of what would end the key.
    pub fn add_xattr(&mut self, name: &[u8], value: &[u8]) {
        let mut key = b"SCHILY.xattr.".to_vec();
        for byte in name {
            match byte {
                b'%' => key.extend_from_slice(b"%25"),
                b'=' => key.extend_from_slice(b"%3D"),
                byte => key.push(*byte),
            }
        }
        self.add(&key, value);
    }

    /// Their bytes; none when nothing was added.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// How many digits a number has.
fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn decimal(time: Timestamp) -> String {
    let (negative, mut seconds, mut fraction) = (time.sec < 0, time.sec.unsigned_abs(), time.nsec);
    if negative && fraction > 0 {
        // The fraction counts from the earlier second on, and is written from the later one back.
        seconds -= 1;
        fraction = 1_000_000_000 - fraction;
    }
    let sign = if negative { "-" } else { "" };
    if fraction == 0 {
        return format!("{sign}{seconds}");
    }
    let fraction = format!("{fraction:09}");
    format!("{sign}{seconds}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_counts_itself() {
        for len in 0..1200 {
            let mut records = Records::default();
            records.add(b"path", &vec![b'x'; len]);
            let text = records.bytes();
            let space = text.iter().position(|byte| *byte == b' ').unwrap();
            let length: usize = std::str::from_utf8(&text[..space]).unwrap().parse().unwrap();
            assert_eq!(length, text.len(), "a value of {len} bytes");
        }
    }

    #[test]
    fn times_have_one_sign() {
        let text = |sec, nsec| decimal(Timestamp { sec, nsec });
        assert_eq!(text(0, 0), "0");
        assert_eq!(text(1, 500_000_000), "1.5");
        assert_eq!(text(-1, 0), "-1");
        assert_eq!(text(-1, 999_999_999), "-0.000000001");
        assert_eq!(text(-3, 987_654_321), "-2.012345679");
        assert_eq!(text(5_000_000_000, 1), "5000000000.000000001");
    }

    #[test]
    fn an_attribute_with_an_equals_sign_in_its_name_is_one_key() {
        let mut records = Records::default();
        records.add_xattr(b"user.a=b%", b"1=2\n\0");
        assert_eq!(records.bytes(), b"36 SCHILY.xattr.user.a%3Db%25=1=2\n\0\n");
    }
}
