//! Rewrites a checked ELF object as a COFF object.
//!
//! | ELF | COFF |
//! |---|---|
//! | `.text` | `.text` |
//! | `.rodata`, `.data.rel.ro` | `.rdata` |
//! | `.data`, `.bss` | the same |
//! | `.eh_frame` | `.pdata` and `.xdata`, see [`crate::unwind`] |
//! | PC32, PLT32 | `REL32`; the addend, plus the 4 bytes that COFF counts from, stands in the field |
//! | 64 | `ADDR64`; the addend stands in the field |
//! | GOTPCREL and its relaxable forms | `REL32` to a slot of 8 bytes that holds the address |
//!
//! Every relocation is made against the symbol of its target's section, with the distance in the field: so the result
//! depends on no name, and two local symbols of one name do no harm. Functions and objects are listed as static symbols
//! for debuggers; only the API is external.

mod write;

use crate::Error;
use crate::check::Rule;
use crate::elf::{Object, Place, Relocation};
use crate::unwind::{self, Tables};
use object::{elf, pe};
use std::collections::BTreeMap;

/// What the conversion did.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Relocations by COFF kind: `REL32`, `ADDR64`, `ADDR32NB`.
    pub relocations: BTreeMap<&'static str, usize>,
    /// Slots made for GOT relocations.
    pub slots: usize,
    /// The unwind tables.
    pub unwind: unwind::Counts,
    /// Entries in `.pdata`, and bytes in `.xdata`.
    pub unwind_size: (usize, usize),
    /// The functions that take most of the stack for their own frame, with the number of bytes, the largest first.
    pub largest_frames: Vec<(String, u32)>,
}

/// A section of the COFF object.
struct Section {
    name: &'static str,
    characteristics: u32,
    align: u64,
    /// In bytes. Greater than `data.len()` only for `.bss`, which has no data.
    size: u32,
    data: Vec<u8>,
    relocations: Vec<CoffRelocation>,
}

/// A relocation against a section's start.
struct CoffRelocation {
    offset: u32,
    /// An index into the list of sections.
    section: usize,
    kind: u16,
}

/// A named symbol.
struct Symbol {
    name: String,
    section: usize,
    value: u32,
    function: bool,
    external: bool,
}

const READ: u32 = pe::IMAGE_SCN_MEM_READ;
const CONSTANT: u32 = pe::IMAGE_SCN_CNT_INITIALIZED_DATA | READ;

/// ELF name, COFF name, characteristics.
const SECTIONS: &[(&str, &str, u32)] = &[
    (
        ".text",
        ".text",
        pe::IMAGE_SCN_CNT_CODE | pe::IMAGE_SCN_MEM_EXECUTE | READ,
    ),
    (".rodata", ".rdata", CONSTANT),
    (".data.rel.ro", ".rdata", CONSTANT),
    (".data", ".data", CONSTANT | pe::IMAGE_SCN_MEM_WRITE),
    (
        ".bss",
        ".bss",
        pe::IMAGE_SCN_CNT_UNINITIALIZED_DATA | READ | pe::IMAGE_SCN_MEM_WRITE,
    ),
];

/// Converts `object`; the functions `api` become external symbols.
pub fn convert(object: &Object, api: &[String]) -> Result<(Vec<u8>, Summary), Error> {
    let mut conversion = Conversion::new(object)?;
    for (elf_name, ..) in SECTIONS {
        if let Some((index, _)) = object.section(elf_name) {
            conversion.relocate(index)?;
        }
    }
    conversion.finish_slots();
    let tables = unwind::tables(object)?;
    conversion.add_unwind(&tables)?;
    let symbols = conversion.symbols(api)?;

    let mut summary = Summary {
        slots: conversion.slots.len(),
        unwind: tables.counts,
        unwind_size: (tables.entries.len(), tables.xdata.len()),
        largest_frames: largest_frames(object, &tables),
        ..Summary::default()
    };
    for relocation in conversion.sections.iter().flat_map(|s| &s.relocations) {
        let name = match relocation.kind {
            pe::IMAGE_REL_AMD64_REL32 => "REL32",
            pe::IMAGE_REL_AMD64_ADDR64 => "ADDR64",
            _ => "ADDR32NB",
        };
        *summary.relocations.entry(name).or_default() += 1;
    }
    Ok((write::object(&conversion.sections, &symbols)?, summary))
}

fn largest_frames(object: &Object, tables: &Tables) -> Vec<(String, u32)> {
    let mut frames = tables.frames.clone();
    frames.sort_by_key(|(_, _, size)| std::cmp::Reverse(*size));
    let name = |(section, start, size): &(usize, u64, u32)| {
        (object.names_in(*section).at(*start).unwrap_or_default(), *size)
    };
    frames.iter().take(8).map(name).collect()
}

struct Conversion<'a> {
    object: &'a Object,
    sections: Vec<Section>,
    /// ELF section index to index in `sections`.
    places: BTreeMap<usize, usize>,
    /// Slots by the place whose address they hold: section and offset, to the slot's number.
    slots: BTreeMap<(usize, u64), usize>,
    /// The index of the slots' section, once there is one.
    slot_section: Option<usize>,
}

impl<'a> Conversion<'a> {
    fn new(object: &'a Object) -> Result<Conversion<'a>, Error> {
        let mut conversion = Conversion {
            object,
            sections: Vec::new(),
            places: BTreeMap::new(),
            slots: BTreeMap::new(),
            slot_section: None,
        };
        for (elf_name, name, characteristics) in SECTIONS {
            let Some((index, section)) = object.section(elf_name) else {
                continue;
            };
            conversion.places.insert(index, conversion.sections.len());
            conversion.sections.push(Section {
                name,
                characteristics: *characteristics,
                align: section.align,
                size: narrow(elf_name, section.size)?,
                data: section.data.clone(),
                relocations: Vec::new(),
            });
        }
        Ok(conversion)
    }

    /// The COFF section and the offset in it that a relocation's symbol stands for.
    fn target(&self, relocation: &Relocation) -> Result<(usize, u64), Error> {
        let symbol = self.object.symbols.get(relocation.symbol);
        let place = match symbol.map(|s| (s.place, s.value)) {
            Some((Place::Section(index), value)) => self.places.get(&index).map(|place| (*place, value)),
            _ => None,
        };
        place.ok_or_else(|| {
            let name = self.object.target_name(relocation);
            failed(
                &name,
                format!("{}: it is in no section of the image", Rule::Undefined),
            )
        })
    }

    /// Converts the relocations of the ELF section `index`.
    fn relocate(&mut self, index: usize) -> Result<(), Error> {
        let object = self.object;
        let (Some(source), Some(place)) = (object.sections.get(index), self.places.get(&index).copied())
        else {
            return Ok(());
        };
        let mut done = Vec::with_capacity(source.relocations.len());
        for relocation in &source.relocations {
            if relocation.kind == elf::R_X86_64_NONE {
                continue;
            }
            let bad = |why: String| {
                failed(
                    &format!("{}+{:#x}", source.name, relocation.offset),
                    format!("relocation: {why}"),
                )
            };
            let (section, value) = self.target(relocation)?;
            let distance = || {
                i64::try_from(value)
                    .ok()
                    .and_then(|v| v.checked_add(relocation.addend)?.checked_add(4))
            };
            let (section, field, kind) = match relocation.kind {
                elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => (
                    section,
                    distance().map(Field::Relative),
                    pe::IMAGE_REL_AMD64_REL32,
                ),
                elf::R_X86_64_64 => (
                    section,
                    Some(Field::Address(value.wrapping_add_signed(relocation.addend))),
                    pe::IMAGE_REL_AMD64_ADDR64,
                ),
                elf::R_X86_64_GOTPCREL | elf::R_X86_64_GOTPCRELX | elf::R_X86_64_REX_GOTPCRELX => {
                    if relocation.addend != -4 {
                        return Err(bad(format!("a GOT slot with the addend {}", relocation.addend)));
                    }
                    let (slots, offset) = self.slot(section, value);
                    (slots, Some(Field::Relative(offset)), pe::IMAGE_REL_AMD64_REL32)
                }
                kind => return Err(bad(format!("kind {kind} has no counterpart in COFF"))),
            };
            let field = field.ok_or_else(|| bad("the distance overflows".into()))?;
            let data = self
                .sections
                .get_mut(place)
                .map(|s| s.data.as_mut_slice())
                .unwrap_or_default();
            field.store(data, relocation.offset).map_err(bad)?;
            done.push(CoffRelocation {
                offset: narrow(&source.name, relocation.offset)?,
                section,
                kind,
            });
        }
        if let Some(section) = self.sections.get_mut(place) {
            section.relocations = done;
        }
        Ok(())
    }

    /// The slot for an address: its section, and its offset there.
    fn slot(&mut self, section: usize, value: u64) -> (usize, i64) {
        let slots = *self.slot_section.get_or_insert_with(|| {
            self.sections.push(Section {
                name: ".rdata",
                characteristics: CONSTANT,
                align: 8,
                size: 0,
                data: Vec::new(),
                relocations: Vec::new(),
            });
            self.sections.len() - 1
        });
        let next = self.slots.len();
        let number = *self.slots.entry((section, value)).or_insert(next);
        (
            slots,
            i64::try_from(number).unwrap_or(i64::MAX / 8).saturating_mul(8),
        )
    }

    /// Fills the slots.
    fn finish_slots(&mut self) {
        let Some(section) = self.slot_section.and_then(|index| self.sections.get_mut(index)) else {
            return;
        };
        let mut slots: Vec<_> = self
            .slots
            .iter()
            .map(|(place, number)| (*number, *place))
            .collect();
        slots.sort_unstable();
        for (_, (target, value)) in slots {
            section.relocations.push(CoffRelocation {
                offset: section.size,
                section: target,
                kind: pe::IMAGE_REL_AMD64_ADDR64,
            });
            section.data.extend(value.to_le_bytes());
            section.size += 8;
        }
    }

    /// Adds `.pdata` and `.xdata`.
    fn add_unwind(&mut self, tables: &Tables) -> Result<(), Error> {
        if tables.entries.is_empty() {
            return Ok(());
        }
        let section = |name, data: Vec<u8>, relocations| -> Result<Section, Error> {
            let size = u32::try_from(data.len()).map_err(|e| failed(name, e.to_string()))?;
            Ok(Section {
                name,
                characteristics: CONSTANT,
                align: 4,
                size,
                data,
                relocations,
            })
        };
        let xdata = self.sections.len();
        self.sections
            .push(section(".xdata", tables.xdata.clone(), Vec::new())?);
        let mut data = Vec::new();
        let mut relocations = Vec::new();
        for entry in &tables.entries {
            let code = self.places.get(&entry.section).copied();
            let code =
                code.ok_or_else(|| failed(".eh_frame", "it describes code outside of .text".into()))?;
            for (target, value) in [(code, entry.start), (code, entry.end), (xdata, entry.info)] {
                relocations.push(CoffRelocation {
                    offset: narrow(".pdata", data.len() as u64)?,
                    section: target,
                    kind: pe::IMAGE_REL_AMD64_ADDR32NB,
                });
                data.extend(value.to_le_bytes());
            }
        }
        self.sections.push(section(".pdata", data, relocations)?);
        Ok(())
    }

    /// The symbols to list: functions, objects and labels with a name.
    fn symbols(&self, api: &[String]) -> Result<Vec<Symbol>, Error> {
        let mut symbols = Vec::new();
        for symbol in &self.object.symbols {
            let Place::Section(index) = symbol.place else {
                continue;
            };
            let Some(section) = self.places.get(&index).copied() else {
                continue;
            };
            let external = symbol.binding != elf::STB_LOCAL && api.contains(&symbol.name);
            let listed = matches!(symbol.kind, elf::STT_FUNC | elf::STT_OBJECT | elf::STT_NOTYPE);
            if external || listed && !symbol.name.is_empty() && !symbol.name.starts_with(".L") {
                symbols.push(Symbol {
                    name: symbol.name.clone(),
                    section,
                    value: narrow(&symbol.name, symbol.value)?,
                    function: symbol.kind == elf::STT_FUNC,
                    external,
                });
            }
        }
        symbols.extend(self.limits());
        Ok(symbols)
    }

    /// Where the code begins and ends: a host's handler of faults tells Linux's code from other code of the image by it.
    fn limits(&self) -> impl Iterator<Item = Symbol> {
        let code = self.sections.iter().position(|section| section.name == ".text");
        let limits = code.map(|code| {
            let size = self.sections.get(code).map_or(0, |section| section.size);
            LIMITS
                .into_iter()
                .zip([0, size])
                .map(move |(name, value)| Symbol {
                    name: name.to_owned(),
                    section: code,
                    value,
                    function: false,
                    external: true,
                })
        });
        limits.into_iter().flatten()
    }
}

/// The symbols at the beginning and at the end of the code.
pub const LIMITS: [&str; 2] = ["lkl_text_begin", "lkl_text_end"];

/// What stands in a relocated field.
enum Field {
    /// Four bytes, signed.
    Relative(i64),
    /// Eight bytes.
    Address(u64),
}

impl Field {
    fn store(&self, data: &mut [u8], offset: u64) -> Result<(), String> {
        let (relative, address);
        let bytes: &[u8] = match self {
            Field::Relative(value) => {
                let value =
                    i32::try_from(*value).map_err(|_| format!("{value:#x} does not fit in 32 bits"))?;
                relative = value.to_le_bytes();
                &relative
            }
            Field::Address(value) => {
                address = value.to_le_bytes();
                &address
            }
        };
        let at = usize::try_from(offset).map_err(|e| e.to_string())?;
        let field = data.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len()));
        field
            .ok_or("it lies beyond the end of its section")?
            .copy_from_slice(bytes);
        Ok(())
    }
}

fn narrow(what: &str, value: u64) -> Result<u32, Error> {
    u32::try_from(value).map_err(|_| failed(what, format!("{value:#x} does not fit in 32 bits")))
}

fn failed(what: &str, why: String) -> Error {
    Error::Format {
        what: what.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests;
