//! Compressed clusters.
//!
//! One cluster is kept as it was unpacked, since small reads in order come in many to a cluster.

use alloc::vec::Vec;
use core::fmt;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

use crate::File;
use crate::error::Error;
use crate::fields::{narrow, push, zeros};
use crate::layer::{Method, Packed};
use crate::qcow2::damaged;
use crate::source::Source;
use crate::zstd;

/// The cluster that was unpacked last, and memory for the next.
#[derive(Default)]
pub(crate) struct Unpacker {
    /// File and offset of what `cluster` holds.
    holds: Option<(usize, u64)>,
    cluster: Vec<u8>,
    packed: Vec<u8>,
    // Some 11 KiB each, too much for a stack; at most one.
    inflate: Vec<DecompressorOxide>,
    zstd: Vec<zstd::Decoder>,
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker")
            .field("holds", &self.holds)
            .finish_non_exhaustive()
    }
}

impl Unpacker {
    /// Forgets what it holds.
    pub fn forget(&mut self) {
        self.holds = None;
    }

    /// Fills `out` with what is in the cluster from its skipped bytes on.
    pub fn read<F: File>(
        &mut self,
        source: &Source<F>,
        packed: &Packed,
        out: &mut [u8],
    ) -> Result<(), Error> {
        if self.holds != Some((source.index, packed.offset)) || self.cluster.len() != narrow(packed.size) {
            self.unpack(source, packed)?;
        }
        let start = narrow(packed.skip);
        let part = start
            .checked_add(out.len())
            .and_then(|end| self.cluster.get(start..end));
        out.copy_from_slice(part.ok_or(Error::Beyond)?);
        Ok(())
    }

    fn unpack<F: File>(&mut self, source: &Source<F>, packed: &Packed) -> Result<(), Error> {
        self.holds = None;
        // The length is rounded up to whole sectors, and the last one may not be all there.
        let there = source.size().saturating_sub(packed.offset).min(packed.length);
        if there == 0 {
            return source.stretch(packed.offset, 1).and(Err(Error::Beyond));
        }
        resize(&mut self.packed, narrow(there))?;
        resize(&mut self.cluster, narrow(packed.size))?;
        source.read(packed.offset, &mut self.packed)?;
        let whole = match packed.method {
            Method::Deflate => {
                if self.inflate.is_empty() {
                    push(&mut self.inflate, DecompressorOxide::new())?;
                }
                self.inflate
                    .first_mut()
                    .is_some_and(|inflate| deflated(inflate, &self.packed, &mut self.cluster))
            }
            Method::Zstd => {
                if self.zstd.is_empty() {
                    push(&mut self.zstd, zstd::Decoder::new()?)?;
                }
                self.zstd
                    .first_mut()
                    .is_some_and(|zstd| zstd.decode(&self.packed, &mut self.cluster).is_some())
            }
        };
        if !whole {
            return Err(match there < packed.length {
                true => source.stretch(source.size(), 1).err().unwrap_or(Error::Beyond),
                false => damaged("a compressed cluster cannot be unpacked"),
            });
        }
        self.holds = Some((source.index, packed.offset));
        Ok(())
    }
}

fn resize(bytes: &mut Vec<u8>, length: usize) -> Result<(), Error> {
    if bytes.capacity() < length {
        *bytes = Vec::new();
        *bytes = zeros(length)?;
    }
    bytes.resize(length, 0);
    Ok(())
}

/// Unpacks a raw deflate stream; false when it does not fill `out`.
fn deflated(inflate: &mut DecompressorOxide, packed: &[u8], out: &mut [u8]) -> bool {
    inflate.init();
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, _, written) = decompress(inflate, packed, out, 0, flags);
    written == out.len() && matches!(status, TINFLStatus::Done | TINFLStatus::HasMoreOutput)
}
