//! Volumes as mkfs made them, kept small: of each the pages that are not all zeros, deflated.
//!
//! The file: the size of the volume in bytes, then for each page its number (both in 8 bytes, lowest first) and its bytes.

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use std::collections::BTreeMap;

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Bytes that a seed unpacks to at most.
const MOST: usize = 64 << 20;

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// Bytes.
    pub size: u64,
    /// By number; what is not there is zeros.
    pub pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

fn le64(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|eight| u64::from_le_bytes(*eight))
}

impl Seed {
    /// Of a whole volume.
    pub fn of(volume: &[u8]) -> Seed {
        let pages = volume
            .chunks(PAGE)
            .zip(0..)
            .filter(|(bytes, _)| bytes.iter().any(|byte| *byte != 0));
        let page = |bytes: &[u8]| {
            let mut page = Box::new([0; PAGE]);
            page[..bytes.len()].copy_from_slice(bytes);
            page
        };
        Seed {
            size: volume.len() as u64,
            pages: pages.map(|(bytes, number)| (number, page(bytes))).collect(),
        }
    }

    /// As a file.
    pub fn pack(&self) -> Vec<u8> {
        let mut bytes = self.size.to_le_bytes().to_vec();
        for (number, page) in &self.pages {
            bytes.extend(number.to_le_bytes());
            bytes.extend_from_slice(&page[..]);
        }
        compress_to_vec(&bytes, 10)
    }

    /// From a file; `None` when it is none.
    pub fn unpack(file: &[u8]) -> Option<Seed> {
        let bytes = decompress_to_vec_with_limit(file, MOST).ok()?;
        let (size, records) = bytes.split_at_checked(8)?;
        let mut pages = BTreeMap::new();
        for record in records.chunks(8 + PAGE) {
            let (number, page) = record.split_at_checked(8)?;
            pages.insert(le64(number)?, Box::new(<[u8; PAGE]>::try_from(page).ok()?));
        }
        Some(Seed {
            size: le64(size)?,
            pages,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_comes_back_from_its_file() {
        let mut volume = vec![0; 10 * PAGE + 512];
        volume[5000] = 7;
        volume[10 * PAGE + 511] = 9;
        let seed = Seed::of(&volume);
        assert_eq!(seed.pages.len(), 2);
        let again = Seed::unpack(&seed.pack()).unwrap();
        assert_eq!(
            (again.size, again.pages[&1][5000 - PAGE], again.pages[&10][511]),
            (volume.len() as u64, 7, 9)
        );
        assert_eq!(again, seed);
        assert_eq!(Seed::unpack(b"no"), None);
    }

    #[test]
    fn every_seed_of_the_tree_is_one_and_they_are_small() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
        let mut bytes = 0;
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let file = std::fs::read(entry.unwrap().path()).unwrap();
            bytes += file.len();
            count += 1;
            let seed = Seed::unpack(&file).unwrap();
            assert!(
                !seed.pages.is_empty() && *seed.pages.last_key_value().unwrap().0 <= seed.size / PAGE as u64
            );
        }
        assert!(count >= 6, "{count}");
        assert!(bytes < 300 << 10, "{bytes}");
    }
}
