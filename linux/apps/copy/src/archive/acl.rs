//! Extended attributes that are copied; and access lists, which are two of them, as the text that archives have.

/// The attribute with a file's access list.
pub const ACCESS: &[u8] = b"system.posix_acl_access";
/// The attribute with the access list that new entries of a folder get.
pub const DEFAULT: &[u8] = b"system.posix_acl_default";

/// Whether an attribute is a file's own. The rest is what a file system says of itself, or another view of an access list.
pub fn is_kept(name: &[u8]) -> bool {
    match name {
        ACCESS | DEFAULT => true,
        name => !name.starts_with(b"system.") && !name.starts_with(b"trusted.SGI_"),
    }
}

/// A list as text, with numbers for users and groups. `None` when it is not in the one form that Linux knows.
pub fn text(value: &[u8]) -> Option<String> {
    let (version, entries) = value.split_first_chunk::<4>()?;
    if *version != 2u32.to_le_bytes() || !entries.len().is_multiple_of(8) {
        return None;
    }
    let entries: Option<Vec<String>> = entries.chunks_exact(8).map(entry).collect();
    entries.map(|entries| entries.join(","))
}

fn entry(bytes: &[u8]) -> Option<String> {
    let [tag, tag_high, bits, _, a, b, c, d] = *bytes.first_chunk::<8>()?;
    let id = u32::from_le_bytes([a, b, c, d]);
    let (who, id) = match u16::from_le_bytes([tag, tag_high]) {
        0x01 => ("user", None),
        0x02 => ("user", Some(id)),
        0x04 => ("group", None),
        0x08 => ("group", Some(id)),
        0x10 => ("mask", None),
        0x20 => ("other", None),
        _ => return None,
    };
    let id = id.map_or_else(String::new, |id| id.to_string());
    let bit = |mask, letter| if bits & mask != 0 { letter } else { '-' };
    Some(format!(
        "{who}:{id}:{}{}{}",
        bit(4, 'r'),
        bit(2, 'w'),
        bit(1, 'x')
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_written_as_setfacl_reads_it() {
        let list = b"\x02\0\0\0\
            \x01\0\x07\0\xff\xff\xff\xff\
            \x02\0\x04\0\xe8\x03\0\0\
            \x04\0\x05\0\xff\xff\xff\xff\
            \x08\0\x02\0\x00\0\x01\0\
            \x10\0\x04\0\xff\xff\xff\xff\
            \x20\0\0\0\xff\xff\xff\xff";
        assert_eq!(
            text(list).as_deref(),
            Some("user::rwx,user:1000:r--,group::r-x,group:65536:-w-,mask::r--,other::---")
        );
        assert_eq!(text(b"\x02\0\0\0").as_deref(), Some(""));
        for wrong in [&b""[..], b"\x03\0\0\0", b"\x02\0\0\0\x01\0\x07\0", &[2; 12]] {
            assert_eq!(text(wrong), None);
        }
    }
}
