//! The language of Linux's caches for servers of RPC: lines of words, in which bytes that would end a word are written otherwise
//! (`qword_get` and `qword_add` in `net/sunrpc/cache.c`).

/// Bytes as a word, whatever is in them.
pub(super) fn quoted(bytes: &[u8]) -> Vec<u8> {
    let mut word = b"\\x".to_vec();
    for byte in bytes {
        word.extend_from_slice(format!("{byte:02x}").as_bytes());
    }
    word
}

/// The words of a line. `None` for a line that Linux does not write.
pub(super) fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let parts = line.split(|byte| *byte == b' ').filter(|part| !part.is_empty());
    parts.map(unquoted).collect()
}

fn unquoted(word: &[u8]) -> Option<Vec<u8>> {
    if let Some(digits) = word.strip_prefix(b"\\x") {
        let pairs = digits.chunks(2).map(|pair| match pair {
            [high, low] => Some(digit(*high, 16)? << 4 | digit(*low, 16)?),
            _ => None,
        });
        return pairs.collect();
    }
    let (mut bytes, mut rest) = (Vec::new(), word);
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(3)?;
        let value = digits
            .iter()
            .try_fold(0u16, |value, byte| Some(value << 3 | u16::from(digit(*byte, 8)?)))?;
        bytes.push(u8::try_from(value).ok()?);
        rest = behind;
    }
    Some(bytes)
}

fn digit(byte: u8, radix: u32) -> Option<u8> {
    u8::try_from(char::from(byte).to_digit(radix)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quoted_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 1..300)) {
            prop_assert_eq!(words(&quoted(&bytes)), Some(vec![bytes]));
        }

        #[test]
        fn any_line_is_words_or_none(line in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = words(&line);
        }
    }

    #[test]
    fn what_linux_writes_is_read() {
        assert_eq!(
            words(b"nfsd /exports/a\\040b\\134\n"),
            Some(vec![b"nfsd".to_vec(), b"/exports/a b\\".to_vec()])
        );
        assert_eq!(words(b"a \\x0Aff\n"), Some(vec![b"a".to_vec(), vec![10, 255]]));
        for wrong in [&b"\\4"[..], b"\\x0", b"\\777", b"\\xgg"] {
            assert_eq!(words(wrong), None);
        }
    }
}
