//! Rules on sections: the names that the script of the last link makes, and the permissions that go with each.

use super::{Finding, Rule};
use crate::elf::Object;
use object::elf;

const WRITE: u64 = elf::SHF_WRITE as u64;
const EXECUTE: u64 = elf::SHF_EXECINSTR as u64;

/// Name, and the permissions that it must have.
pub(crate) const SECTIONS: &[(&str, u64)] = &[
    (".text", EXECUTE),
    (".rodata", 0),
    (".data.rel.ro", WRITE),
    (".data", WRITE),
    (".bss", WRITE),
    (".eh_frame", 0),
];

/// A COFF object can ask for 8192, but a section of a PE image starts at any multiple of a page: the rest is lost.
const MAX_ALIGN: u64 = 4096;

pub(super) fn check(object: &Object) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (_, section) in object.loaded() {
        let mut found = |rule, detail: String| {
            findings.push(Finding {
                rule,
                symbol: section.name.clone(),
                place: String::new(),
                detail,
            });
        };
        if section.flags & u64::from(elf::SHF_TLS) != 0 {
            found(
                Rule::ThreadLocal,
                format!("a thread-local section of {} bytes", section.size),
            );
        }
        let Some((_, wanted)) = SECTIONS.iter().find(|(name, _)| *name == section.name) else {
            found(
                Rule::Section,
                format!(
                    "{} bytes that arch/lkl/kernel/vmlinux.lds.S puts nowhere",
                    section.size
                ),
            );
            continue;
        };
        let permissions = section.flags & (WRITE | EXECUTE);
        if permissions != *wanted {
            let word = |flags: u64| match (flags & WRITE != 0, flags & EXECUTE != 0) {
                (false, false) => "read-only",
                (true, false) => "writable",
                (false, true) => "executable",
                (true, true) => "writable and executable",
            };
            found(
                Rule::Section,
                format!("it is {}, and must be {}", word(permissions), word(*wanted)),
            );
        }
        if section.flags & u64::from(elf::SHF_MERGE) != 0 {
            found(Rule::Section, "a linker could merge its contents".into());
        }
        if section.align > MAX_ALIGN {
            found(
                Rule::Section,
                format!("aligned to {} bytes; a PE image keeps {MAX_ALIGN}", section.align),
            );
        }
    }
    let stack = object.section(".note.GNU-stack");
    if stack.is_none_or(|(_, note)| note.flags & EXECUTE != 0) {
        let detail = "without this note a linker gives the whole program an executable stack".into();
        findings.push(Finding {
            rule: Rule::Section,
            symbol: ".note.GNU-stack".into(),
            place: String::new(),
            detail,
        });
    }
    for (name, _) in SECTIONS.iter().take(4) {
        if object.section(name).is_none_or(|(_, section)| section.size == 0) {
            let detail = "it is missing or empty".into();
            findings.push(Finding {
                rule: Rule::Section,
                symbol: (*name).into(),
                place: String::new(),
                detail,
            });
        }
    }
    findings
}
