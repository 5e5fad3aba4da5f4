//! The rules that the kernel's object must keep to run inside a Windows driver. Each breach is a [`Finding`] that names
//! the symbol, the section and the offset; one finding fails the build.
//!
//! Why each rule is there:
//!
//! - [`Rule::Relocation`]: an image loaded high cannot hold 32-bit absolute addresses; what else is refused has no
//!   counterpart in COFF.
//! - [`Rule::Undefined`], [`Rule::Weak`], [`Rule::Visible`]: the host's linker must neither find something for Linux to
//!   call by accident nor have its own names replaced.
//! - [`Rule::ThreadLocal`], [`Rule::Segment`]: %gs and %fs are the host's.
//! - [`Rule::Section`]: what a section may hold, so that constants stay read-only and code unwritable.
//! - [`Rule::RedZone`]: interrupts of the host run on the same stack and overwrite what is below the stack pointer.
//! - [`Rule::Vector`]: a driver may not touch vector and x87 registers without saving them.
//! - [`Rule::Privileged`], [`Rule::Instruction`]: Linux has no processor of its own here.
//! - [`Rule::Write`]: the driver's promise. Only a kernel that was configured for it can ask its host to write to a disk.

mod code;
mod layout;
mod relocations;
pub(crate) use relocations::kind_name;
mod symbols;
pub mod writes;

use crate::elf::Object;
use std::fmt;

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Only relocations that can be expressed in COFF and work at any address.
    Relocation,
    /// Nothing is undefined.
    Undefined,
    /// Nothing is weak.
    Weak,
    /// The API is global, and nothing else is.
    Visible,
    /// No thread-local data.
    ThreadLocal,
    /// Only the sections of the script, with the permissions that their names promise.
    Section,
    /// No use of %fs and %gs, no load of a segment register.
    Segment,
    /// No privileged instruction and no way into another privilege level.
    Privileged,
    /// No access below the stack pointer.
    RedZone,
    /// No vector or x87 register.
    Vector,
    /// Only bytes that are instructions.
    Instruction,
    /// No function that asks the host to write to a disk, in a kernel that is not to have one.
    Write,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::Relocation => "relocation",
            Rule::Undefined => "undefined symbol",
            Rule::Weak => "weak symbol",
            Rule::Visible => "visible symbol",
            Rule::ThreadLocal => "thread-local data",
            Rule::Section => "section",
            Rule::Segment => "segment register",
            Rule::Privileged => "privileged instruction",
            Rule::RedZone => "red zone",
            Rule::Vector => "vector or x87 register",
            Rule::Instruction => "not an instruction",
            Rule::Write => "write to a disk",
        })
    }
}

/// A breach of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// The symbol at fault, or the place as `symbol+offset`.
    pub symbol: String,
    /// The section and the offset in it; empty when the symbol is in none.
    pub place: String,
    /// What was found there.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}`", self.rule, self.symbol)?;
        if !self.place.is_empty() {
            write!(f, " ({})", self.place)?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

/// Checks `object`, whose global symbols must be exactly `api`.
pub fn all(object: &Object, api: &[String]) -> Vec<Finding> {
    let mut findings = symbols::check(object, api);
    findings.extend(layout::check(object));
    findings.extend(relocations::check(object));
    findings.extend(code::check(object));
    findings
}

#[cfg(test)]
mod tests;
