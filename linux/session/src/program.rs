//! How messages speak of the program that the user runs: its name, and its options where a message advises one.

use std::fmt;

/// The program, as its user knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// What its lines on stderr begin with.
    pub name: &'static str,
    /// The option that names a partition.
    pub part: &'static str,
    /// What is between it and the number.
    pub equals: &'static str,
    /// The option that names a file system.
    pub fs: &'static str,
    /// The option that takes options of the file system.
    pub options: &'static str,
    /// The option that gives Linux more memory.
    pub memory: &'static str,
    /// The option that leaves a journal alone.
    pub no_recovery: &'static str,
    /// The option that sets the time limit.
    pub timeout: &'static str,
    /// What to do for reading alone, when an image cannot be written.
    pub reading: &'static str,
}

impl Program {
    /// A program that has the options which most have.
    pub const fn new(name: &'static str) -> Program {
        Program {
            name,
            part: "--part",
            equals: " ",
            fs: "--fs",
            options: "-o",
            memory: "--memory",
            no_recovery: "--no-recovery",
            timeout: "--timeout",
            reading: "leave rw out",
        }
    }

    /// Writes a line that is good to know.
    pub fn note(&self, line: impl fmt::Display) {
        eprintln!("{}: note: {line}", self.name);
    }

    /// Writes a line that something is not as it should be.
    pub fn warn(&self, line: impl fmt::Display) {
        eprintln!("{}: warning: {line}", self.name);
    }
}
