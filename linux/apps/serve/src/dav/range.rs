//! Ranges of a file: the `Range` field (RFC 9110, 14).

/// Bytes of a file: the first, and how many. Never none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub start: u64,
    /// How many.
    pub len: u64,
}

/// What a `Range` field asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// The whole: there is no such field, or one that is to be ignored.
    Whole,
    /// These, in the order in which they were asked for.
    Some(Vec<Span>),
    /// None of the file's bytes.
    Nothing,
}

/// Ranges in one request. A field with more, or with ranges that overlap, is ignored: it is a mistake, or meant to cost.
const MOST: usize = 64;

/// Reads the field for a file of `size` bytes.
pub fn parse(field: &str, size: u64) -> Ranges {
    let Some((unit, list)) = field.split_once('=') else {
        return Ranges::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Ranges::Whole;
    }
    let mut spans = Vec::new();
    let mut asked = 0;
    for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        asked += 1;
        match span(item, size) {
            _ if asked > MOST => return Ranges::Whole,
            None => return Ranges::Whole,
            Some(None) => {}
            Some(Some(span)) => spans.push(span),
        }
    }
    match spans.is_empty() {
        true if asked == 0 => Ranges::Whole,
        true => Ranges::Nothing,
        false if overlap(&spans) => Ranges::Whole,
        false => Ranges::Some(spans),
    }
}

/// `None`: this is no range. `Some(None)`: one outside of the file.
fn span(item: &str, size: u64) -> Option<Option<Span>> {
    let (first, last) = item.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        let len = number(last)?.min(size);
        let start = size.saturating_sub(len);
        return Some((len > 0).then_some(Span { start, len }));
    }
    let start = number(first)?;
    let end = match last {
        "" => u64::MAX,
        last => number(last)?,
    };
    if end < start {
        return None;
    }
    if start >= size {
        return Some(None);
    }
    let len = end
        .min(size.saturating_sub(1))
        .saturating_sub(start)
        .saturating_add(1);
    Some(Some(Span { start, len }))
}

/// A number of digits only; one that is too large is the largest.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

fn overlap(spans: &[Span]) -> bool {
    let mut sorted: Vec<&Span> = spans.iter().collect();
    sorted.sort_by_key(|span| span.start);
    let pairs = sorted.iter().zip(sorted.iter().skip(1));
    pairs
        .into_iter()
        .any(|(a, b)| a.start.saturating_add(a.len) > b.start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some(spans: &[(u64, u64)]) -> Ranges {
        Ranges::Some(spans.iter().map(|&(start, len)| Span { start, len }).collect())
    }

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        for (field, expected) in [
            ("bytes=0-0", some(&[(0, 1)])),
            ("bytes=0-", some(&[(0, 100)])),
            ("bytes=99-", some(&[(99, 1)])),
            ("bytes=-1", some(&[(99, 1)])),
            ("bytes=-1000", some(&[(0, 100)])),
            ("bytes=90-1000", some(&[(90, 10)])),
            ("Bytes=0-1, 50-59 ,-2", some(&[(0, 2), (50, 10), (98, 2)])),
            ("bytes=0-1,200-", some(&[(0, 2)])),
            ("bytes=100-", Ranges::Nothing),
            ("bytes=-0", Ranges::Nothing),
            ("bytes=99999999999999999999999-", Ranges::Nothing),
            ("bytes=5-4", Ranges::Whole),
            ("bytes=a-b", Ranges::Whole),
            ("bytes=", Ranges::Whole),
            ("bytes", Ranges::Whole),
            ("lines=0-1", Ranges::Whole),
            ("bytes=0-50,50-60", Ranges::Whole),
            ("bytes=+1-2", Ranges::Whole),
        ] {
            assert_eq!(parse(field, 100), expected, "{field}");
        }
        assert_eq!(parse("bytes=0-0", 0), Ranges::Nothing);
        assert_eq!(
            parse("bytes=5000000000-", 6_000_000_000),
            some(&[(5_000_000_000, 1_000_000_000)])
        );
        let many = format!("bytes={}", vec!["1-1"; 100].join(","));
        assert_eq!(parse(&many, 100), Ranges::Whole);
    }

    proptest! {
        #[test]
        fn no_range_leaves_the_file(field in "bytes=[0-9,\\- ]{0,40}", size in any::<u64>()) {
            if let Ranges::Some(spans) = parse(&field, size) {
                for span in spans {
                    prop_assert!(span.len > 0);
                    prop_assert!(span.start.checked_add(span.len).is_some_and(|end| end <= size));
                }
            }
        }
    }
}
