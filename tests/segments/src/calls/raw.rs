//! System calls of the carried Linux by number, with memory that the caller owns.

// UNSAFETY: passes pointers to Linux.

#![allow(unsafe_code)]

use lkl::{Errno, Kernel};
use lkl_net::Namespace;

/// An argument: a number, memory that Linux reads and writes, or a message.
#[derive(Debug)]
pub enum Memory {
    /// A number.
    Number(i64),
    /// A pointer to these bytes.
    Bytes(Vec<u8>),
    /// A pointer to a `struct msghdr`.
    Message(Message),
    /// A pointer to an array of `struct iovec`.
    Pieces(Vec<Vec<u8>>),
}

/// A message with its pieces. After a call that receives, what Linux has put there.
#[derive(Debug, Default)]
pub struct Message {
    /// An address, or room for one.
    pub name: Vec<u8>,
    /// The data.
    pub pieces: Vec<Vec<u8>>,
    /// Ancillary data, or room for it.
    pub control: Vec<u8>,
    /// Its flags.
    pub flags: i32,
}

/// `struct iovec`
#[repr(C)]
struct IoVec {
    base: i64,
    len: usize,
}

/// `struct msghdr`
#[repr(C)]
struct MessageHead {
    name: i64,
    name_len: u32,
    pieces: i64,
    piece_count: usize,
    control: i64,
    control_len: usize,
    flags: i32,
}

const _: () = assert!(size_of::<MessageHead>() == 56);

fn address_of<T: ?Sized>(place: *const T) -> i64 {
    place.cast::<u8>().expose_provenance() as i64
}

fn pointer_to(bytes: &mut [u8]) -> i64 {
    if bytes.is_empty() {
        0
    } else {
        address_of(bytes.as_mut_ptr())
    }
}

fn vectors(pieces: &mut [Vec<u8>]) -> Vec<IoVec> {
    let vector = |piece: &mut Vec<u8>| IoVec {
        base: address_of(piece.as_mut_ptr()),
        len: piece.len(),
    };
    pieces.iter_mut().map(vector).collect()
}

/// Makes the call, in the name of a task of `network`'s if one is given.
///
/// The bytes of `arguments` must be as many as the call reads and writes.
pub fn call(
    kernel: &Kernel,
    network: Option<&Namespace>,
    number: i64,
    arguments: &mut [Memory],
) -> Result<u64, Errno> {
    let mut words = [0i64; 6];
    // What is pointed to besides the caller's own bytes: it lives until the call is over.
    let mut heads: Vec<Box<MessageHead>> = Vec::new();
    let mut arrays: Vec<Vec<IoVec>> = Vec::new();
    for (word, argument) in words.iter_mut().zip(arguments.iter_mut()) {
        *word = match argument {
            Memory::Number(number) => *number,
            Memory::Bytes(bytes) => pointer_to(bytes),
            Memory::Pieces(pieces) => {
                let array = vectors(pieces);
                let place = address_of(array.as_ptr());
                arrays.push(array);
                place
            }
            Memory::Message(message) => {
                let array = vectors(&mut message.pieces);
                let mut head = Box::new(MessageHead {
                    name: pointer_to(&mut message.name),
                    name_len: message.name.len() as u32,
                    pieces: address_of(array.as_ptr()),
                    piece_count: array.len(),
                    control: pointer_to(&mut message.control),
                    control_len: message.control.len(),
                    flags: message.flags,
                });
                let place = address_of(&raw mut *head);
                arrays.push(array);
                heads.push(head);
                place
            }
        };
    }
    let result = match network {
        Some(network) => network.with_task(|task| match task {
            // SAFETY: each pointer is to as much memory as the call has to do with, which outlives it.
            Some(task) => unsafe { task.syscall(number, &words) },
            // SAFETY: as with a task: memory of the caller's that outlives the call.
            None => unsafe { kernel.syscall(number, words) },
        }),
        // SAFETY: each pointer is to as much memory as the call has to do with, which outlives it.
        None => unsafe { kernel.syscall(number, words) },
    };
    let mut heads = heads.into_iter();
    for argument in arguments {
        if let Memory::Message(message) = argument
            && let Some(head) = heads.next()
        {
            message.name.truncate(head.name_len as usize);
            message.control.truncate(head.control_len);
            message.flags = head.flags;
        }
    }
    result
}
