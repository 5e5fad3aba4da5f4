//! `FILE_OPEN_BY_FILE_ID`: from an identity that was handed out back to the file.
//!
//! Linux finds no inode by its number alone on most file systems, so the numbers that a program was told by a query of an
//! open file are remembered with the path by which that file was open. On a read-only volume a path stays true for as
//! long as the volume is mounted. What was told in a listing is not remembered: there is no bound to that, and an open of
//! such a number ends as one of a number that never was.
//!
//! The memory is bounded ([`MOST_BYTES`]); when it is full, the older half is forgotten.

use alloc::vec::Vec;

use lklfs_nt::{FileInformationClass, NtStatus, utf16::SEPARATOR};

use crate::{Ccb, Fcb, FcbKind, Vcb, Volume, attributes};

/// Bytes that the remembered paths may take together.
pub const MOST_BYTES: usize = 1 << 20;

struct Known {
    file_id: u64,
    wide: [u8; 16],
    path: Vec<u16>,
    /// Larger is younger.
    stamp: u64,
}

impl Known {
    fn bytes(&self) -> usize {
        self.path
            .capacity()
            .saturating_mul(2)
            .saturating_add(size_of::<Self>())
    }
}

/// The identities that were handed out on one volume. The edge keeps it under a lock of its own.
#[derive(Default)]
pub struct KnownIds {
    /// Sorted by `file_id`, then `wide`.
    members: Vec<Known>,
    bytes: usize,
    stamps: u64,
}

/// Whether the answer to a query of this class tells the file's identity.
pub const fn tells_id(class: FileInformationClass) -> bool {
    matches!(
        class,
        FileInformationClass::FileInternalInformation
            | FileInformationClass::FileAllInformation
            | FileInformationClass::FileIdInformation
            | FileInformationClass::FileStatInformation
            | FileInformationClass::FileStatLxInformation
            | FileInformationClass::FileStatBasicInformation
    )
}

impl KnownIds {
    /// Nothing is known.
    pub const fn new() -> Self {
        Self {
            members: Vec::new(),
            bytes: 0,
            stamps: 0,
        }
    }

    fn search(&self, file_id: u64, wide: &[u8; 16]) -> Result<usize, usize> {
        self.members
            .binary_search_by(|known| (known.file_id, &known.wide).cmp(&(file_id, wide)))
    }

    /// Remembers the path of an open whose identity was handed out. Without memory it is not remembered.
    ///
    /// # IRQL
    ///
    /// <= APC_LEVEL; does not block.
    pub fn remember<V: Volume>(&mut self, vcb: &Vcb<V>, fcb: &Fcb<V>, ccb: &Ccb) {
        if fcb.kind() == FcbKind::Volume {
            return;
        }
        let (file_id, wide) = attributes::identity(vcb, fcb.metadata());
        self.stamps = self.stamps.saturating_add(1);
        let at = match self.search(file_id, &wide) {
            Ok(at) => {
                if let Some(known) = self.members.get_mut(at) {
                    known.stamp = self.stamps;
                }
                return;
            }
            Err(at) => at,
        };
        let mut path = Vec::new();
        if path.try_reserve_exact(ccb.path.len()).is_err() || self.members.try_reserve(1).is_err() {
            return;
        }
        path.extend_from_slice(&ccb.path);
        let known = Known {
            file_id,
            wide,
            path,
            stamp: self.stamps,
        };
        self.bytes = self.bytes.saturating_add(known.bytes());
        self.members.insert(at, known);
        if self.bytes > MOST_BYTES {
            self.forget_half();
        }
    }

    /// Forgets the older half: what is between the oldest stamp and now is cut in the middle.
    fn forget_half(&mut self) {
        let oldest = self.members.iter().map(|known| known.stamp).min().unwrap_or(0);
        let middle = oldest.saturating_add(self.stamps.saturating_sub(oldest) / 2);
        self.members.retain(|known| known.stamp > middle);
        self.bytes = self
            .members
            .iter()
            .fold(0, |sum, known| sum.saturating_add(known.bytes()));
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The path, from the root, of what a FILE_OPEN_BY_FILE_ID names: `name` is the file object's name as it came, 8 bytes
    /// (the 64-bit identity) or 16 (the 128-bit one), with or without a separator before.
    ///
    /// # Errors
    ///
    /// INVALID_PARAMETER for a name of another length, and, as on NTFS, for an identity that is not known.
    /// INSUFFICIENT_RESOURCES.
    ///
    /// # IRQL
    ///
    /// <= APC_LEVEL; does not block.
    pub fn path(&self, name: &[u16]) -> Result<Vec<u16>, NtStatus> {
        let id = match name {
            [_, _, _, _] | [_, _, _, _, _, _, _, _] => name,
            [SEPARATOR, id @ ..] if matches!(id.len(), 4 | 8) => id,
            _ => return Err(NtStatus::INVALID_PARAMETER),
        };
        let mut wide = [0; 16];
        for (place, byte) in wide.iter_mut().zip(id.iter().flat_map(|unit| unit.to_le_bytes())) {
            *place = byte;
        }
        let known = if id.len() == 4 {
            let [a, b, c, d, e, f, g, h, ..] = wide;
            let file_id = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            let at = self.members.partition_point(|known| known.file_id < file_id);
            self.members.get(at).filter(|known| known.file_id == file_id)
        } else {
            self.members.iter().find(|known| known.wide == wide)
        };
        let known = known.ok_or(NtStatus::INVALID_PARAMETER)?;
        let mut path = Vec::new();
        path.try_reserve_exact(known.path.len())
            .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
        path.extend_from_slice(&known.path);
        Ok(path)
    }
}
