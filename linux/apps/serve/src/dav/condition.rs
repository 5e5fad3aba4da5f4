//! Conditions of a request (RFC 9110, 13): what a client has already is not sent again.

use hyper::HeaderMap;
use hyper::header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};

use crate::tree::Stat;
use crate::when;

/// What the conditions come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send it.
    Send,
    /// The client has it.
    NotModified,
    /// The client wanted another one.
    Failed,
}

/// The strong entity tag of a file, with its quotes: it changes with the file's number, length and time.
pub fn tag(stat: &Stat) -> String {
    let time = stat.modified;
    format!(
        "\"{:x}-{:x}-{:x}-{:x}.{:x}\"",
        stat.device, stat.inode, stat.size, time.seconds, time.nanoseconds
    )
}

/// Judges the conditions, in the order that RFC 9110, 13.2.2 gives.
pub fn judge(fields: &HeaderMap, stat: &Stat) -> Verdict {
    let tag = tag(stat);
    if fields.contains_key(IF_MATCH) {
        if !any(fields, IF_MATCH, |given| given == tag) {
            return Verdict::Failed;
        }
    } else if let Some(since) = date(fields, IF_UNMODIFIED_SINCE)
        && stat.modified.seconds > since
    {
        return Verdict::Failed;
    }
    if fields.contains_key(IF_NONE_MATCH) {
        // The comparison is the weak one.
        if any(fields, IF_NONE_MATCH, |given| {
            given.strip_prefix("W/").unwrap_or(given) == tag
        }) {
            return Verdict::NotModified;
        }
    } else if let Some(since) = date(fields, IF_MODIFIED_SINCE)
        && stat.modified.seconds <= since
    {
        return Verdict::NotModified;
    }
    Verdict::Send
}

/// Whether `Range` counts: `If-Range` names this state of the file, or is not there.
pub fn range_counts(fields: &HeaderMap, stat: &Stat) -> bool {
    let Some(field) = fields.get(IF_RANGE) else {
        return true;
    };
    let Ok(text) = field.to_str() else {
        return false;
    };
    match text.trim() {
        given if given.starts_with('"') => given == tag(stat),
        // A date is exact, and of a file that changed in this second it says nothing.
        given => {
            when::parse_http(given) == Some(stat.modified.seconds)
                && when::now().seconds.saturating_sub(stat.modified.seconds) > 1
        }
    }
}

fn date(fields: &HeaderMap, name: HeaderName) -> Option<i64> {
    when::parse_http(fields.get(name)?.to_str().ok()?.trim())
}

/// Whether one of the tags of a field is right, or it is a star.
fn any(fields: &HeaderMap, name: HeaderName, mut right: impl FnMut(&str) -> bool) -> bool {
    let texts = fields
        .get_all(name)
        .iter()
        .filter_map(|field| field.to_str().ok());
    // A tag may hold a comma, ours do not.
    texts
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .any(|given| given == "*" || right(given))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Kind, Time};
    use hyper::header::HeaderValue;

    fn stat() -> Stat {
        Stat {
            kind: Kind::File,
            size: 10,
            inode: 3,
            ..Stat::of_menu(Time {
                seconds: 1_764_445_619,
                nanoseconds: 7,
            })
        }
    }

    fn with(fields: &[(HeaderName, &str)]) -> HeaderMap {
        let fields = fields.iter();
        fields
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn conditions_are_judged_in_their_order() {
        let (tag, same) = (tag(&stat()), when::http(stat().modified));
        let weak = format!("\"x\", W/{tag}");
        let (before, after) = ("Sat, 29 Nov 2025 19:46:58 GMT", "Sat, 29 Nov 2025 19:47:00 GMT");
        for (fields, expected) in [
            (vec![], Verdict::Send),
            (vec![(IF_NONE_MATCH, &tag[..])], Verdict::NotModified),
            (vec![(IF_NONE_MATCH, &weak)], Verdict::NotModified),
            (vec![(IF_NONE_MATCH, "*")], Verdict::NotModified),
            (vec![(IF_NONE_MATCH, "\"other\"")], Verdict::Send),
            (vec![(IF_MODIFIED_SINCE, &same)], Verdict::NotModified),
            (vec![(IF_MODIFIED_SINCE, after)], Verdict::NotModified),
            (vec![(IF_MODIFIED_SINCE, before)], Verdict::Send),
            (vec![(IF_MODIFIED_SINCE, "yesterday")], Verdict::Send),
            // A tag outweighs a date.
            (
                vec![(IF_NONE_MATCH, "\"other\""), (IF_MODIFIED_SINCE, after)],
                Verdict::Send,
            ),
            (vec![(IF_MATCH, &tag)], Verdict::Send),
            (vec![(IF_MATCH, &weak)], Verdict::Failed),
            (vec![(IF_UNMODIFIED_SINCE, before)], Verdict::Failed),
            (vec![(IF_UNMODIFIED_SINCE, &same)], Verdict::Send),
        ] {
            assert_eq!(judge(&with(&fields), &stat()), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_range_counts_for_the_same_state_only() {
        let (tag, same) = (tag(&stat()), when::http(stat().modified));
        for (field, expected) in [
            (&tag[..], true),
            (&same, true),
            ("\"other\"", false),
            (&format!("W/{tag}"), false),
            ("Sat, 29 Nov 2025 19:47:00 GMT", false),
        ] {
            assert_eq!(
                range_counts(&with(&[(IF_RANGE, field)]), &stat()),
                expected,
                "{field}"
            );
        }
        assert!(range_counts(&with(&[]), &stat()));
    }

    #[test]
    fn each_thing_that_changes_changes_the_tag() {
        let one = stat();
        let mut others = [one; 4];
        others[0].inode += 1;
        others[1].size += 1;
        others[2].modified.seconds += 1;
        others[3].modified.nanoseconds += 1;
        for other in others {
            assert_ne!(tag(&one), tag(&other));
        }
    }
}
