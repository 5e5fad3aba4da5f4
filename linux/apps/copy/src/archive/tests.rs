use super::*;

fn entry<'a>(path: &'a [u8], kind: Kind<'a>) -> Entry<'a> {
    Entry {
        path,
        kind,
        mode: 0o640,
        uid: 0,
        gid: 0,
        modified: Timestamp { sec: 1, nsec: 0 },
        accessed: Timestamp { sec: 1, nsec: 0 },
        xattrs: &[],
    }
}

fn archive(entries: &[(Entry<'_>, &[u8])]) -> Vec<u8> {
    let mut archive = Archive::new(Vec::new());
    for (entry, data) in entries {
        archive.entry(entry).unwrap();
        archive.data(data).unwrap();
    }
    archive.finish().unwrap()
}

/// The entries as crate `tar` reads them: paths, targets and sizes.
fn read(bytes: &[u8]) -> Vec<(Vec<u8>, Option<Vec<u8>>, u64)> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let target = entry.link_name_bytes().map(|target| target.into_owned());
        (entry.path_bytes().into_owned(), target, entry.size())
    });
    entries.collect()
}

#[test]
fn names_of_every_length_come_back() {
    for len in 1..600 {
        for unit in [&b"a"[..], b"a/", b"directory-of-some-length/", &[0xff]] {
            let mut path: Vec<u8> = unit.iter().copied().cycle().take(len).collect();
            if path.ends_with(b"/") {
                path.pop();
            }
            if path.is_empty() {
                continue;
            }
            let bytes = archive(&[(entry(&path, Kind::Link(&path)), b"")]);
            assert_eq!(read(&bytes), [(path.clone(), Some(path), 0)]);
        }
    }
}

#[test]
fn an_archive_ends_with_zeros_at_a_record() {
    let bytes = archive(&[(
        entry(
            b"f",
            Kind::File {
                size: 3,
                pieces: None,
            },
        ),
        b"abc",
    )]);
    assert_eq!(bytes.len() % 10_240, 0);
    assert!(bytes[bytes.len() - 1024..].iter().all(|byte| *byte == 0));
    let empty = archive(&[]);
    assert!(empty.len() == 10_240 && empty.iter().all(|byte| *byte == 0));
}

#[test]
fn more_data_than_was_said_is_refused() {
    let mut archive = Archive::new(Vec::new());
    let kind = Kind::File {
        size: 2,
        pieces: None,
    };
    archive.entry(&entry(b"f", kind)).unwrap();
    assert!(archive.data(b"abc").is_err());
}

#[test]
fn the_map_of_a_file_with_holes_is_whole_blocks() {
    let pieces: Vec<Piece> = (0..200)
        .map(|number| Piece {
            offset: number * 8192,
            len: 4096,
        })
        .collect();
    let map = sparse_map(&pieces, 200 * 8192);
    assert_eq!(map.len() % BLOCK, 0);
    // A hole at the end is told by a piece of no bytes.
    assert!(map.starts_with(b"201\n0\n4096\n8192\n4096\n"));
    assert!(sparse_map(&pieces, 199 * 8192 + 4096).starts_with(b"200\n"));
    assert!(sparse_map(&[], 5).starts_with(b"1\n5\n0\n\0"));
}

#[test]
fn a_file_beyond_eight_gibibytes_says_its_size() {
    let size = 9 << 30;
    let mut archive = Archive::new(Vec::new());
    archive
        .entry(&entry(b"large", Kind::File { size, pieces: None }))
        .unwrap();
    let bytes = archive.out;
    let mut reader = tar::Archive::new(&bytes[..]);
    let large = reader.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(large.size(), size);
}
