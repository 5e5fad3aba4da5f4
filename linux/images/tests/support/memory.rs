//! Images in memory, which can be spoiled.

use std::cell::Cell;
use std::rc::Rc;

use disk_images::{File, ReadAt, ReadError};

/// Bytes as a file; counts what is read of it.
#[derive(Clone, Debug)]
pub struct InMemory {
    pub bytes: Rc<Vec<u8>>,
    pub read: Rc<Cell<u64>>,
}

impl InMemory {
    pub fn new(bytes: Vec<u8>) -> InMemory {
        InMemory {
            bytes: Rc::new(bytes),
            read: Rc::default(),
        }
    }
}

impl ReadAt for InMemory {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.read.set(self.read.get() + 1 + buffer.len() as u64 / 4096);
        self.bytes.as_slice().read_at(offset, buffer)
    }
}

impl File for InMemory {
    fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.bytes, &other.bytes)
    }
}
