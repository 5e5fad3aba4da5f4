//! The process's end: answers calls over a volume of its own.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use lklfs_fsd::{Errno, Volume};
use zerocopy::IntoBytes;

use crate::metadata::MetadataRecord;
use crate::wire::{Answer, Call, Op, answer};
use crate::{entries, info};

/// What came is no call of this protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

struct Nodes<N> {
    last: u64,
    held: BTreeMap<u64, Arc<N>>,
}

/// Answers calls. Many threads may at the same time.
pub struct Server<V: Volume> {
    volume: V,
    nodes: Mutex<Nodes<V::Node>>,
}

/// What an answer says besides its data.
type Numbers = (u64, u64);

impl<V: Volume> Server<V> {
    /// A server of this volume.
    pub fn new(volume: V) -> Self {
        let nodes = Nodes {
            last: 0,
            held: BTreeMap::new(),
        };
        Server {
            volume,
            nodes: Mutex::new(nodes),
        }
    }

    /// The volume.
    pub fn volume(&self) -> &V {
        &self.volume
    }

    /// How many nodes the driver has and has not let go of.
    pub fn held(&self) -> usize {
        self.nodes().held.len()
    }

    /// Answers a call; the answer is written to `out`.
    ///
    /// # Errors
    /// What came is no call; there is no answer to it.
    pub fn answer(&self, call: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let call = Call::parse(call).ok_or(Malformed)?;
        let gone: Vec<_> = {
            let mut nodes = self.nodes();
            call.forgotten()
                .filter_map(|node| nodes.held.remove(&node))
                .collect()
        };
        drop(gone);
        let mut data = Vec::new();
        let result = self.serve(&call, &mut data);
        let result = result.map(|(first, second)| Answer {
            first,
            second,
            data: &data,
        });
        answer(out, &call, result).map_err(|_| Malformed)
    }

    fn nodes(&self) -> std::sync::MutexGuard<'_, Nodes<V::Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node with this number, if it was given and is not let go of.
    fn node(&self, number: u64) -> Result<Arc<V::Node>, Errno> {
        self.nodes().held.get(&number).cloned().ok_or(Errno::ESTALE)
    }

    /// Keeps a node, whose metadata go with its number.
    fn keep(&self, node: V::Node, call: &Call<'_>, data: &mut Vec<u8>) -> Result<Numbers, Errno> {
        let metadata = self.volume.metadata(&node)?;
        data.extend_from_slice(MetadataRecord::of(&metadata).as_bytes());
        // A number that is not told could not be given back.
        fits(call, data)?;
        let mut nodes = self.nodes();
        let number = nodes.last.checked_add(1).ok_or(Errno::ENFILE)?;
        nodes.last = number;
        nodes.held.insert(number, Arc::new(node));
        Ok((number, 0))
    }

    fn serve(&self, call: &Call<'_>, data: &mut Vec<u8>) -> Result<Numbers, Errno> {
        let volume = &self.volume;
        match call.op {
            Op::Root => return self.keep(volume.root()?, call, data),
            Op::Info => {
                *data = info::write(&volume.info()?);
                return fits(call, data);
            }
            _ => {}
        }
        let node = self.node(call.node)?;
        match call.op {
            Op::Root | Op::Info => {}
            Op::Lookup => return self.keep(volume.lookup(&node, call.name)?, call, data),
            Op::EntryMetadata => {
                let metadata = volume.entry_metadata(&node, call.name)?;
                data.extend_from_slice(MetadataRecord::of(&metadata).as_bytes());
            }
            Op::ReadLink => *data = volume.read_link(&node)?,
            Op::Read => {
                data.resize(call.room, 0);
                let mut length = 0;
                // Linux may read less than there is.
                while let Some(rest) = data.get_mut(length..).filter(|rest| !rest.is_empty()) {
                    let at = call
                        .offset
                        .saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
                    match volume.read(&node, at, rest)? {
                        0 => break,
                        more => length = length.saturating_add(more),
                    }
                }
                data.truncate(length);
            }
            Op::NextData => {
                let found = volume.next_data(&node, call.offset)?;
                return Ok(found.map_or((0, 0), |found| (found.start, found.end)));
            }
            Op::ReadDir => {
                let mut is_full = false;
                volume.read_dir(
                    &node,
                    call.offset,
                    &mut |entry| match entries::push(data, &entry, call.room) {
                        true => ControlFlow::Continue(()),
                        false => {
                            is_full = true;
                            ControlFlow::Break(())
                        }
                    },
                )?;
                return Ok((u64::from(!is_full), 0));
            }
            Op::ListXattrs => *data = volume.list_xattrs(&node)?,
            Op::Xattr => *data = volume.xattr(&node, call.name)?,
        }
        fits(call, data)
    }
}

fn fits(call: &Call<'_>, data: &[u8]) -> Result<Numbers, Errno> {
    match data.len() <= call.room {
        true => Ok((0, 0)),
        false => Err(Errno::EOVERFLOW),
    }
}
