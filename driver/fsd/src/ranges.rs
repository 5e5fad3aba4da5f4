//! `FSCTL_QUERY_ALLOCATED_RANGES`: which parts of a sparse file have data.
//!
//! Linux tells it by `lseek(SEEK_DATA)` and `lseek(SEEK_HOLE)` ([`Volume::next_data`]), in units of the file system's own
//! choice; a file system that keeps no account of holes calls all of a file data, which NT allows as well.

use lklfs_nt::{NtStatus, record::Field};

use crate::{Fcb, FcbKind, Outcome, Vcb, Volume, errno::Context};

/// Bytes of a `FILE_ALLOCATED_RANGE_BUFFER`: offset and length.
const RANGE: usize = 16;

/// Where the asked range begins, and where it has ended.
fn asked(input: &[u8]) -> Option<(u64, u64)> {
    let offset = u64::try_from(i64::get(input)?).ok()?;
    let length = u64::try_from(i64::get(input.get(8..)?)?).ok()?;
    Some((offset, offset.checked_add(length)?))
}

/// Writes the ranges of data that meet the asked range, in order and cut to it. BUFFER_OVERFLOW when there are more than
/// fit (those that do are written), BUFFER_TOO_SMALL when not even one does.
///
/// # IRQL
///
/// PASSIVE_LEVEL; may block.
pub fn allocated<V: Volume>(vcb: &Vcb<V>, fcb: &Fcb<V>, input: &[u8], output: &mut [u8]) -> Outcome {
    let (FcbKind::File, Some(node), Some((start, end))) = (fcb.kind(), fcb.node(), asked(input)) else {
        return Outcome::failed(NtStatus::INVALID_PARAMETER);
    };
    let end = end.min(fcb.file_size());
    let mut places = output.chunks_exact_mut(RANGE);
    let mut written = 0_usize;
    let mut at = start;
    while at < end {
        let data = match vcb.volume().next_data(node, at) {
            Ok(Some(data)) => data,
            Ok(None) => break,
            Err(errno) => return Outcome::errno(errno, Context::Reading),
        };
        let (from, to) = (data.start.max(at), data.end.min(end));
        if from >= end {
            break;
        }
        // A file system that goes back, or stands still, is damaged.
        if to <= at || to <= from {
            return Outcome::failed(NtStatus::FILE_CORRUPT_ERROR);
        }
        let Some(place) = places.next() else {
            return if written == 0 {
                Outcome::failed(NtStatus::BUFFER_TOO_SMALL)
            } else {
                Outcome::new(NtStatus::BUFFER_OVERFLOW, written)
            };
        };
        from.put(place);
        if let Some(length) = place.get_mut(8..) {
            to.saturating_sub(from).put(length);
        }
        written = written.saturating_add(RANGE);
        at = to;
    }
    Outcome::success(written)
}
