//! Paths in URLs: bytes, percent-encoded.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::place::{Names, parse};
use lkl::Errno;

/// What is encoded in a name: all but RFC 3986's unreserved characters.
const NAME: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A path of a request, and whether it ends with a slash.
pub fn decode(path: &str) -> Result<(Names, bool), Errno> {
    let bytes: Vec<u8> = percent_decode_str(path).collect();
    Ok((parse(&[], &bytes)?, bytes.ends_with(b"/")))
}

/// A name in a URL.
pub fn name(name: &[u8]) -> String {
    percent_encode(name, NAME).to_string()
}

/// A path in a URL; that of a folder ends with a slash.
pub fn encode(names: &[Vec<u8>], folder: bool) -> String {
    let mut path = String::new();
    for part in names {
        path.push('/');
        path.extend(percent_encode(part, NAME));
    }
    if folder || path.is_empty() {
        path.push('/');
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_taken_as_browsers_and_windows_write_them() {
        let names = |path: &str| decode(path).map(|(names, slash)| (encode(&names, false), slash));
        for (path, expected, slash) in [
            ("/", "/", true),
            ("/a%20b/", "/a%20b", true),
            ("/Gr%C3%BC%C3%9Fe", "/Gr%C3%BC%C3%9Fe", false),
            ("/%ff", "/%FF", false),
            ("/a/%2e%2e/%2E%2E/b", "/b", false),
            ("/a%2f..%2f..%2fb", "/b", false),
            ("/100%", "/100%25", false),
            ("/a+b;c", "/a%2Bb%3Bc", false),
        ] {
            assert_eq!(names(path), Ok((expected.to_owned(), slash)), "{path}");
        }
        assert_eq!(names("/a%00b"), Err(Errno::EINVAL));
    }

    proptest! {
        #[test]
        fn any_name_comes_back(bytes in proptest::collection::vec(1u8..=255, 1..40)) {
            let bytes: Vec<u8> = bytes.into_iter().filter(|byte| *byte != b'/').collect();
            prop_assume!(!bytes.is_empty() && bytes != b"." && bytes != b"..");
            let (names, _) = decode(&encode(std::slice::from_ref(&bytes), true)).unwrap();
            prop_assert_eq!(names, vec![bytes]);
        }
    }
}
