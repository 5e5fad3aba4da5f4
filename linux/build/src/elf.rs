//! A relocatable ELF object in memory: sections, symbols, relocations, and nothing that a reader must look up twice.
//!
//! Sections and symbols keep their ELF indices, so that index 0 is the null entry of each table.

use crate::Error;
use object::read::elf::{ElfFile64, FileHeader, SectionHeader};
use object::{Endianness, Object as _, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, elf};

/// An object.
#[derive(Debug, Clone, Default)]
pub struct Object {
    /// By ELF index. Those that are not loaded (symbol tables and the like) hold no data here.
    pub sections: Vec<Section>,
    /// By ELF index.
    pub symbols: Vec<Symbol>,
}

/// A section.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// `SHT_*`.
    pub kind: u32,
    /// `SHF_*`.
    pub flags: u64,
    /// In bytes, a power of two, at least 1.
    pub align: u64,
    /// In bytes, in memory.
    pub size: u64,
    /// Its bytes; empty for `.bss`.
    pub data: Vec<u8>,
    /// In ascending order of offset.
    pub relocations: Vec<Relocation>,
}

/// A relocation with its addend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relocation {
    /// In bytes from the start of the section.
    pub offset: u64,
    /// `R_X86_64_*`.
    pub kind: u32,
    /// The index of the target's symbol.
    pub symbol: usize,
    /// Added to the symbol's address.
    pub addend: i64,
}

/// Where a symbol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// Not in this object.
    #[default]
    Undefined,
    /// A number, not an address.
    Absolute,
    /// Space that a linker has not assigned yet.
    Common,
    /// In the section of that index.
    Section(usize),
}

/// A symbol.
#[derive(Debug, Clone, Default)]
pub struct Symbol {
    /// Its name; that of the section for a section's symbol.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// In bytes from the start of its section.
    pub value: u64,
    /// In bytes; 0 when unknown.
    pub size: u64,
    /// `STT_*`.
    pub kind: u8,
    /// `STB_*`.
    pub binding: u8,
}

impl Section {
    /// Whether it occupies memory in the program.
    pub fn is_loaded(&self) -> bool {
        self.flags & u64::from(elf::SHF_ALLOC) != 0
    }

    /// Whether it holds code.
    pub fn is_code(&self) -> bool {
        self.is_loaded() && self.flags & u64::from(elf::SHF_EXECINSTR) != 0
    }

    /// Whether the program may write it.
    pub fn is_writable(&self) -> bool {
        self.flags & u64::from(elf::SHF_WRITE) != 0
    }
}

impl Object {
    /// Reads an object file; `what` names it in errors.
    pub fn parse(bytes: &[u8], what: &str) -> Result<Object, Error> {
        let format = |why: String| Error::Format {
            what: what.to_owned(),
            why,
        };
        let file: ElfFile64<'_, Endianness> = ElfFile64::parse(bytes).map_err(|e| format(e.to_string()))?;
        let header = file.elf_header();
        if header.e_type(Endianness::Little) != elf::ET_REL
            || header.e_machine(Endianness::Little) != elf::EM_X86_64
        {
            return Err(format("not a relocatable x86-64 ELF object".into()));
        }
        let mut object = Object::default();
        object.symbols.resize_with(
            1 + file.symbols().map(|s| s.index().0).max().unwrap_or(0),
            Symbol::default,
        );
        object.sections.resize_with(
            1 + file.sections().map(|s| s.index().0).max().unwrap_or(0),
            Section::default,
        );

        for section in file.sections() {
            let raw = section.elf_section_header();
            let mut out = Section {
                name: String::from_utf8_lossy(section.name_bytes().map_err(|e| format(e.to_string()))?)
                    .into_owned(),
                kind: raw.sh_type(Endianness::Little),
                flags: raw.sh_flags(Endianness::Little),
                align: section.align().max(1),
                size: section.size(),
                ..Section::default()
            };
            if out.is_loaded() {
                out.data = section.data().map_err(|e| format(e.to_string()))?.to_vec();
                for (offset, relocation) in section.relocations() {
                    let RelocationFlags::Elf { r_type } = relocation.flags() else {
                        return Err(format(format!("a relocation of another format in {}", out.name)));
                    };
                    let symbol = match relocation.target() {
                        RelocationTarget::Symbol(index) => index.0,
                        _ => 0,
                    };
                    out.relocations.push(Relocation {
                        offset,
                        kind: r_type,
                        symbol,
                        addend: relocation.addend(),
                    });
                }
                out.relocations.sort_by_key(|r| r.offset);
            }
            if let Some(slot) = object.sections.get_mut(section.index().0) {
                *slot = out;
            }
        }

        for symbol in file.symbols() {
            let raw = symbol.elf_symbol();
            let place = if symbol.is_common() {
                Place::Common
            } else if let Some(index) = symbol.section_index() {
                Place::Section(index.0)
            } else if symbol.is_undefined() {
                Place::Undefined
            } else {
                Place::Absolute
            };
            let mut name = String::from_utf8_lossy(symbol.name_bytes().unwrap_or_default()).into_owned();
            if let (elf::STT_SECTION, Place::Section(index)) = (raw.st_type(), place) {
                name = object
                    .sections
                    .get(index)
                    .map(|s| s.name.clone())
                    .unwrap_or_default();
            }
            if let Some(slot) = object.symbols.get_mut(symbol.index().0) {
                *slot = Symbol {
                    name,
                    place,
                    value: symbol.address(),
                    size: symbol.size(),
                    kind: raw.st_type(),
                    binding: raw.st_bind(),
                };
            }
        }
        Ok(object)
    }

    /// The section of that name, with its index.
    pub fn section(&self, name: &str) -> Option<(usize, &Section)> {
        self.sections
            .iter()
            .enumerate()
            .find(|(_, section)| section.name == name)
    }

    /// The sections that occupy memory, with their indices.
    pub fn loaded(&self) -> impl Iterator<Item = (usize, &Section)> {
        self.sections
            .iter()
            .enumerate()
            .filter(|(_, section)| section.is_loaded())
    }

    /// Names for addresses within one section.
    pub fn names_in(&self, section: usize) -> Names<'_> {
        let mut list: Vec<_> = self
            .symbols
            .iter()
            .filter(|s| s.place == Place::Section(section))
            .filter(|s| s.kind != elf::STT_SECTION && !s.name.is_empty() && !s.name.starts_with(".L"))
            .map(|s| {
                (
                    s.value,
                    s.kind == elf::STT_FUNC || s.kind == elf::STT_OBJECT,
                    s.name.as_str(),
                )
            })
            .collect();
        list.sort();
        Names(list)
    }

    /// The name of a relocation's target, as a reader of a message wants it.
    pub fn target_name(&self, relocation: &Relocation) -> String {
        let Some(symbol) = self.symbols.get(relocation.symbol) else {
            return "?".into();
        };
        match (symbol.kind, symbol.place) {
            (elf::STT_SECTION, Place::Section(section)) => {
                let offset = symbol.value.wrapping_add_signed(relocation.addend);
                self.names_in(section)
                    .at(offset)
                    .unwrap_or_else(|| format!("{}+{offset:#x}", symbol.name))
            }
            _ => symbol.name.clone(),
        }
    }
}

/// The symbols of one section, by address.
pub struct Names<'a>(Vec<(u64, bool, &'a str)>);

impl<'a> Names<'a> {
    /// `name` or `name+0x12` for an offset into the section.
    pub fn at(&self, offset: u64) -> Option<String> {
        let (value, name) = self.nearest(offset)?;
        Some(if value == offset {
            name.to_owned()
        } else {
            format!("{name}+{:#x}", offset - value)
        })
    }

    /// The last symbol at or below an offset: where it is, and its name. Functions and objects go before labels.
    pub fn nearest(&self, offset: u64) -> Option<(u64, &'a str)> {
        let below = self.0.partition_point(|(value, ..)| *value <= offset);
        self.0
            .get(below.checked_sub(1)?)
            .map(|(value, _, name)| (*value, *name))
    }
}
