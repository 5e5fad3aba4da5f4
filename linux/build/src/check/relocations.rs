//! Rules on relocations: the kinds that COFF can say and that hold at any load address.

use super::{Finding, Rule};
use crate::elf::Object;
use object::elf;

pub(super) fn check(object: &Object) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, section) in object.loaded() {
        for relocation in &section.relocations {
            let refusal = match relocation.kind {
                elf::R_X86_64_NONE | elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => None,
                elf::R_X86_64_GOTPCREL | elf::R_X86_64_GOTPCRELX | elf::R_X86_64_REX_GOTPCRELX => {
                    // The converter makes a slot for the symbol's own address: nothing may be added to it.
                    (relocation.addend != -4)
                        .then_some((Rule::Relocation, "a GOT slot with an addend other than -4"))
                }
                elf::R_X86_64_64 if section.name == ".rodata" => Some((
                    Rule::Relocation,
                    "an address in .rodata: it must be in .data.rel.ro to be relocated",
                )),
                elf::R_X86_64_64 if section.is_code() => Some((Rule::Relocation, "an address in the code")),
                elf::R_X86_64_64 => None,
                elf::R_X86_64_32 | elf::R_X86_64_32S => Some((
                    Rule::Relocation,
                    "a 32-bit absolute address cannot hold a driver's",
                )),
                elf::R_X86_64_TLSGD
                | elf::R_X86_64_TLSLD
                | elf::R_X86_64_DTPMOD64
                | elf::R_X86_64_DTPOFF32
                | elf::R_X86_64_DTPOFF64
                | elf::R_X86_64_GOTTPOFF
                | elf::R_X86_64_TPOFF32
                | elf::R_X86_64_TPOFF64
                | elf::R_X86_64_GOTPC32_TLSDESC
                | elf::R_X86_64_TLSDESC_CALL
                | elf::R_X86_64_TLSDESC => Some((Rule::ThreadLocal, "an access to thread-local data")),
                _ => Some((Rule::Relocation, "this kind has no counterpart in COFF")),
            };
            if let Some((rule, why)) = refusal {
                let place = format!("{}+{:#x}", section.name, relocation.offset);
                let by = object.names_in(index).at(relocation.offset).unwrap_or_default();
                findings.push(Finding {
                    rule,
                    symbol: object.target_name(relocation),
                    place: if by.is_empty() {
                        place
                    } else {
                        format!("{by}, {place}")
                    },
                    detail: format!("{}: {why}", kind_name(relocation.kind)),
                });
            }
        }
    }
    findings
}

/// The name of a relocation kind.
pub(crate) fn kind_name(kind: u32) -> String {
    match kind {
        elf::R_X86_64_NONE => "R_X86_64_NONE",
        elf::R_X86_64_64 => "R_X86_64_64",
        elf::R_X86_64_PC32 => "R_X86_64_PC32",
        elf::R_X86_64_PLT32 => "R_X86_64_PLT32",
        elf::R_X86_64_GOTPCREL => "R_X86_64_GOTPCREL",
        elf::R_X86_64_GOTPCRELX => "R_X86_64_GOTPCRELX",
        elf::R_X86_64_REX_GOTPCRELX => "R_X86_64_REX_GOTPCRELX",
        elf::R_X86_64_32 => "R_X86_64_32",
        elf::R_X86_64_32S => "R_X86_64_32S",
        elf::R_X86_64_16 => "R_X86_64_16",
        elf::R_X86_64_8 => "R_X86_64_8",
        elf::R_X86_64_PC64 => "R_X86_64_PC64",
        elf::R_X86_64_GOTOFF64 => "R_X86_64_GOTOFF64",
        elf::R_X86_64_TPOFF32 => "R_X86_64_TPOFF32",
        elf::R_X86_64_GOTTPOFF => "R_X86_64_GOTTPOFF",
        elf::R_X86_64_TLSGD => "R_X86_64_TLSGD",
        elf::R_X86_64_TLSLD => "R_X86_64_TLSLD",
        other => return format!("relocation kind {other}"),
    }
    .to_owned()
}
