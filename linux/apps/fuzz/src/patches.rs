//! An input of the target *image*: what differs from the seed.
//!
//! One byte of switches, then for each change: where it begins (5 bytes, lowest first), how many bytes there are (one byte, 0 for
//! 256), and those. Any bytes are an input; what is cut off at the end has fewer.

use crate::image::Image;

/// Switch: checksums are put right after the changes.
pub const MEND: u8 = 1;
/// Switch: what the journal holds is not replayed.
pub const NO_RECOVERY: u8 = 2;

/// Other bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Where, in bytes from the volume's start.
    pub at: u64,
    /// 1 to 256.
    pub bytes: Vec<u8>,
}

/// An input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patches {
    /// Switches.
    pub switches: u8,
    /// In the order in which they are made.
    pub list: Vec<Patch>,
}

/// Bytes before those of a change.
const HEAD: usize = 6;

impl Patches {
    /// From an input.
    pub fn parse(input: &[u8]) -> Patches {
        let Some((switches, mut rest)) = input.split_first() else {
            return Patches {
                switches: MEND,
                list: Vec::new(),
            };
        };
        let mut list = Vec::new();
        while let Some((head, bytes)) = rest.split_at_checked(HEAD).filter(|(_, bytes)| !bytes.is_empty()) {
            let mut at = [0; 8];
            at[..5].copy_from_slice(&head[..5]);
            let count = if head[5] == 0 { 256 } else { usize::from(head[5]) };
            let (bytes, left) = bytes.split_at(count.min(bytes.len()));
            list.push(Patch {
                at: u64::from_le_bytes(at),
                bytes: bytes.to_vec(),
            });
            rest = left;
        }
        Patches {
            switches: *switches,
            list,
        }
    }

    /// As an input of `most` bytes or fewer: changes that do not fit are left out.
    pub fn write(&self, most: usize) -> Vec<u8> {
        let mut input = vec![self.switches];
        for Patch { at, bytes } in &self.list {
            let bytes = &bytes[..bytes.len().min(256)];
            if !bytes.is_empty() && input.len() + HEAD + bytes.len() <= most {
                input.extend_from_slice(&at.to_le_bytes()[..5]);
                input.push((bytes.len() % 256) as u8);
                input.extend_from_slice(bytes);
            }
        }
        input.truncate(most);
        input
    }

    /// Makes the changes.
    pub fn apply(&self, image: &mut Image) {
        for patch in &self.list {
            image.write(patch.at, &patch.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_its_changes() {
        let patches = Patches {
            switches: 3,
            list: vec![
                Patch {
                    at: 0x12_3456_789a,
                    bytes: vec![1, 2],
                },
                Patch {
                    at: 0,
                    bytes: vec![7; 256],
                },
            ],
        };
        let input = patches.write(4096);
        assert_eq!(Patches::parse(&input), patches);
        assert_eq!(Patches::parse(&patches.write(20)).list.len(), 1);
        // Cut off in the second one's bytes, and in its head.
        assert_eq!(Patches::parse(&input[..20]).list[1].bytes.len(), 5);
        assert_eq!(Patches::parse(&input[..12]).list.len(), 1);
        assert_eq!(Patches::parse(&[]).switches, MEND);
    }
}
