//! System calls by number, for one task of Linux's.
//!
//! Linux follows a caller's pointers. Those that it is given here are into memory of the door's alone ([`At`]), and behind each place there is
//! [`ROOM`], which no length that is passed exceeds. So any numbers may be passed besides.
//
// UNSAFETY: system calls.

use lkl::{EntryTask, Errno, Kernel};

/// Bytes behind each place.
pub const ROOM: usize = 64 << 10;
/// Places.
const PLACES: usize = 3;

/// An argument.
#[derive(Clone, Copy)]
pub enum Argument {
    /// A number, or 0 for no address.
    Number(i64),
    /// The place of that number, from 0 to 2.
    At(usize),
    /// The result of an earlier call, by its index, where calls are made together.
    Result(usize),
}

pub use Argument::{At, Number, Result as Earlier};

/// Memory that calls are passed: some places.
pub struct Memory(Vec<u8>);

impl Memory {
    /// Zeros.
    pub fn new() -> Memory {
        Memory(vec![0; ROOM * PLACES])
    }

    /// The bytes of a place.
    pub fn place(&mut self, number: usize) -> &mut [u8] {
        let start = number.min(PLACES - 1) * ROOM;
        &mut self.0[start..start + ROOM]
    }

    /// Puts bytes at a place, and a NUL behind them.
    pub fn put(&mut self, number: usize, bytes: &[u8]) -> Argument {
        let count = bytes.len().min(ROOM - 1);
        let place = self.place(number);
        place[..count].copy_from_slice(&bytes[..count]);
        place[count] = 0;
        At(number)
    }

    /// An argument as Linux has it. What is not known yet is no file.
    pub fn word(&mut self, argument: Argument) -> i64 {
        match argument {
            Number(number) => number,
            At(place) => self.place(place).as_mut_ptr().expose_provenance() as i64,
            Earlier(_) => -1,
        }
    }
}

/// A task, and the memory that it passes.
pub struct Door {
    task: EntryTask,
    memory: Memory,
    /// What was opened and is to be closed.
    open: Vec<i64>,
}

impl Door {
    /// With a new task.
    pub fn new(kernel: &Kernel) -> Result<Door, Errno> {
        Ok(Door {
            task: kernel.entry_task()?,
            memory: Memory::new(),
            open: Vec::new(),
        })
    }

    /// The bytes of a place.
    pub fn place(&mut self, number: usize) -> &mut [u8] {
        self.memory.place(number)
    }

    /// Puts bytes at a place, and a NUL behind them.
    pub fn put(&mut self, number: usize, bytes: &[u8]) -> Argument {
        self.memory.put(number, bytes)
    }

    /// Its memory.
    pub fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// Its task.
    pub fn task(&mut self) -> &mut EntryTask {
        &mut self.task
    }

    /// A system call.
    pub fn call(&mut self, number: i64, arguments: &[Argument]) -> Result<u64, Errno> {
        let mut words = [0; 6];
        for (word, argument) in words.iter_mut().zip(arguments) {
            *word = self.memory.word(*argument);
        }
        // SAFETY: the pointers are into memory that is this door's, as long as is said above; the task is used by this call alone.
        unsafe { self.task.syscall(number, &words) }
    }

    /// A call that opens something, which [`Door::close_all`] closes.
    pub fn open(&mut self, number: i64, arguments: &[Argument]) -> Result<i64, Errno> {
        let fd = self.call(number, arguments)? as i64;
        self.open.push(fd);
        Ok(fd)
    }

    /// What another one has opened for the task, to be closed with the rest.
    pub fn adopt(&mut self, fd: i64) {
        if !self.open.contains(&fd) {
            self.open.push(fd);
        }
    }

    /// Closes one.
    pub fn close(&mut self, fd: i64) {
        if let Some(at) = self.open.iter().position(|open| *open == fd) {
            self.open.swap_remove(at);
            let _ = self.call(CLOSE, &[Number(fd)]);
        }
    }

    /// Closes all that is open.
    pub fn close_all(&mut self) {
        while let Some(fd) = self.open.last() {
            self.close(*fd);
        }
    }

    /// Lets time of Linux's pass.
    pub fn sleep(&mut self, milliseconds: u64) {
        let time = [milliseconds / 1000, milliseconds % 1000 * 1_000_000];
        let bytes: Vec<u8> = time.iter().flat_map(|part| part.to_le_bytes()).collect();
        let time = self.put(2, &bytes);
        let _ = self.call(NANOSLEEP, &[time, Number(0)]);
    }
}

const CLOSE: i64 = 3;
const NANOSLEEP: i64 = 35;
