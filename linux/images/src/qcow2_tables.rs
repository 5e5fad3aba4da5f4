//! The tables of a qcow2 image: where each cluster is.

use crate::File;
use crate::cache::Tables;
use crate::error::Error;
use crate::layer::{Found, Packed, Run};
use crate::qcow2::{Qcow2, damaged};

/// The offset in an entry of L1 or L2: bits 9 to 55.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// An L2 entry's flag: the cluster's count is exactly one. With external data it also tells offset 0 from none.
const COPIED: u64 = 1 << 63;
/// An L2 entry's flag: the cluster is compressed.
const COMPRESSED: u64 = 1 << 62;
/// An L2 entry's flag: the cluster reads as zeros (version 3).
const ZERO: u64 = 1;
/// Bytes that the length of a compressed cluster is counted in.
const UNIT: u64 = 512;

impl Qcow2 {
    /// What the disk has at `offset`, for at most `length` bytes; both inside the disk.
    pub fn find<F: File>(&self, tables: &mut Tables<'_, F>, offset: u64, length: u64) -> Result<Run, Error> {
        let cluster = 1u64.checked_shl(self.cluster_bits).unwrap_or(1);
        let entries = self.entries();
        let wrong = damaged("a table leads beyond what a file can hold");
        let (number, inside) = (
            offset.checked_div(cluster).ok_or(wrong)?,
            offset.checked_rem(cluster).ok_or(wrong)?,
        );
        let (table, entry) = (
            number.checked_div(entries).ok_or(wrong)?,
            number.checked_rem(entries).ok_or(wrong)?,
        );
        if table >= self.l1_entries {
            return Err(damaged("its L1 table is too small for its disk"));
        }
        let l1 = self.l1_table.checked_add(table.saturating_mul(8)).ok_or(wrong)?;
        let l2_table = tables.be64(l1)? & OFFSET;
        if l2_table == 0 {
            let rest = entries
                .saturating_sub(entry)
                .saturating_mul(cluster)
                .saturating_sub(inside);
            return Ok(Run::new(Found::Below, length.min(rest)));
        }
        if !l2_table.is_multiple_of(cluster) {
            return Err(damaged("an L2 table lies where none can"));
        }
        let length = length.min(cluster.saturating_sub(inside));
        let entry_size = if self.extended { 16 } else { 8 };
        let place = entry
            .checked_mul(entry_size)
            .and_then(|at| l2_table.checked_add(at))
            .ok_or(wrong)?;
        let entry = tables.be64(place)?;
        if entry & COMPRESSED != 0 {
            return self.packed(entry, cluster, inside, length);
        }
        let host = entry & OFFSET;
        if !host.is_multiple_of(cluster) {
            return Err(damaged("a cluster lies where none can"));
        }
        let data = Found::Data(host.checked_add(inside).ok_or(wrong)?);
        let there = host != 0 || self.external && entry & COPIED != 0;
        if self.extended {
            let bits = place.checked_add(8).ok_or(wrong)?;
            return subclusters(tables.be64(bits)?, there.then_some(data), cluster, inside, length);
        }
        let found = match (entry & ZERO != 0, there) {
            (true, _) if self.version < 3 => return Err(damaged("it has a zero cluster before version 3")),
            (true, _) => Found::Zero,
            (false, true) => data,
            (false, false) => Found::Below,
        };
        Ok(Run::new(found, length))
    }

    /// An entry of a compressed cluster: the offset is in its low bits, how many depends on the cluster's size.
    fn packed(&self, entry: u64, cluster: u64, inside: u64, length: u64) -> Result<Run, Error> {
        if self.external {
            return Err(damaged("it has compressed clusters and external data"));
        }
        let count_bits = self.cluster_bits.saturating_sub(8);
        let offset_bits = 62u32.saturating_sub(count_bits);
        let mask = |bits: u32| u64::MAX.checked_shr(64u32.saturating_sub(bits)).unwrap_or(0);
        let offset = entry & mask(offset_bits);
        let count = entry.checked_shr(offset_bits).unwrap_or(0) & mask(count_bits);
        let bytes = count
            .saturating_add(1)
            .saturating_mul(UNIT)
            .saturating_sub(offset % UNIT);
        let packed = Packed {
            offset,
            length: bytes,
            skip: inside,
            size: cluster,
            method: self.method,
        };
        Ok(Run::new(Found::Packed(packed), length))
    }
}

/// What an extended entry's bits say about a place of its cluster: bits 0 to 31 that a subcluster is allocated, 32 to 63
/// that it is zero.
fn subclusters(bits: u64, data: Option<Found>, cluster: u64, inside: u64, length: u64) -> Result<Run, Error> {
    let (allocated, zero) = (bits & 0xffff_ffff, bits >> 32);
    if allocated & zero != 0 {
        return Err(damaged("a subcluster is both allocated and zero"));
    }
    let size = cluster / 32;
    let first = u32::try_from(inside.checked_div(size).unwrap_or(0)).unwrap_or(0);
    let shifted = |bits: u64| bits.checked_shr(first).unwrap_or(0);
    let (found, alike) = if shifted(allocated) & 1 == 1 {
        let Some(data) = data else {
            return Err(damaged("a subcluster is allocated in a cluster that is not"));
        };
        (data, shifted(allocated).trailing_ones())
    } else if shifted(zero) & 1 == 1 {
        (Found::Zero, shifted(zero).trailing_ones())
    } else {
        (Found::Below, shifted(allocated | zero).trailing_zeros())
    };
    let end = u64::from(first.saturating_add(alike))
        .min(32)
        .saturating_mul(size);
    Ok(Run::new(found, length.min(end.saturating_sub(inside))))
}
