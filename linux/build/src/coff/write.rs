//! Writes the file: headers, bytes, relocations, symbols, in the order that COFF wants.
//!
//! A section with more than 65,535 relocations keeps their number in the first of them and says so by a flag.

use super::{Section, Symbol, failed};
use crate::Error;
use object::pe;
use object::write::coff::{
    AuxSymbolSection, FileHeader, Name, Relocation, SectionHeader, Symbol as Entry, Writer,
};

/// The most that the 16-bit field of a section header holds.
const MANY: usize = 0xffff;

pub(super) fn object(sections: &[Section], symbols: &[Symbol]) -> Result<Vec<u8>, Error> {
    let number = |value: usize| u32::try_from(value).map_err(|_| failed("COFF object", "too large".into()));
    let number_u16 =
        |value: usize| u16::try_from(value).map_err(|_| failed("COFF object", "too large".into()));
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);

    writer.reserve_file_header();
    writer.reserve_section_headers(number_u16(sections.len())?);
    let mut places = Vec::new();
    for section in sections {
        let data = writer.reserve_section(section.data.len());
        let relocations = writer.reserve_relocations(section.relocations.len());
        places.push((data, relocations));
    }
    // Each section's own symbol and what goes with it; relocations refer to it by this index.
    let mut section_names = Vec::new();
    let mut section_symbols = Vec::new();
    for section in sections {
        section_names.push(writer.add_name(section.name.as_bytes()));
        section_symbols.push(writer.reserve_symbol_index());
        writer.reserve_aux_section();
    }
    let symbol_names: Vec<Name> = symbols
        .iter()
        .map(|symbol| writer.add_name(symbol.name.as_bytes()))
        .collect();
    writer.reserve_symbol_indices(number(symbols.len())?);
    writer.reserve_symtab_strtab();

    let file = FileHeader {
        machine: pe::IMAGE_FILE_MACHINE_AMD64,
        ..FileHeader::default()
    };
    writer
        .write_file_header(file)
        .map_err(|e| failed("COFF object", e.to_string()))?;
    for ((section, name), (data, relocations)) in sections.iter().zip(&section_names).zip(&places) {
        let many = if section.relocations.len() > MANY {
            pe::IMAGE_SCN_LNK_NRELOC_OVFL
        } else {
            0
        };
        writer.write_section_header(SectionHeader {
            name: *name,
            size_of_raw_data: section.size,
            pointer_to_raw_data: *data,
            pointer_to_relocations: *relocations,
            number_of_relocations: number(section.relocations.len())?,
            characteristics: section.characteristics | alignment(section)? | many,
            ..SectionHeader::default()
        });
    }
    for section in sections {
        writer.write_section(&section.data);
        writer.write_relocations_count(section.relocations.len());
        for relocation in &section.relocations {
            let symbol = section_symbols.get(relocation.section).copied();
            writer.write_relocation(Relocation {
                virtual_address: relocation.offset,
                symbol: symbol.ok_or_else(|| failed(section.name, "a relocation to no section".into()))?,
                typ: relocation.kind,
            });
        }
    }
    for (index, (section, name)) in sections.iter().zip(&section_names).enumerate() {
        writer.write_symbol(Entry {
            name: *name,
            section_number: number_u16(index + 1)?,
            storage_class: pe::IMAGE_SYM_CLASS_STATIC,
            number_of_aux_symbols: 1,
            ..Entry::default()
        });
        writer.write_aux_section(AuxSymbolSection {
            length: section.size,
            number_of_relocations: number(section.relocations.len())?,
            ..AuxSymbolSection::default()
        });
    }
    for (symbol, name) in symbols.iter().zip(&symbol_names) {
        writer.write_symbol(Entry {
            name: *name,
            value: symbol.value,
            section_number: number_u16(symbol.section + 1)?,
            typ: if symbol.function {
                pe::IMAGE_SYM_DTYPE_FUNCTION << pe::IMAGE_SYM_DTYPE_SHIFT
            } else {
                0
            },
            storage_class: if symbol.external {
                pe::IMAGE_SYM_CLASS_EXTERNAL
            } else {
                pe::IMAGE_SYM_CLASS_STATIC
            },
            number_of_aux_symbols: 0,
        });
    }
    writer.write_strtab();
    Ok(bytes)
}

/// The alignment as it stands among the characteristics: its logarithm, plus one.
fn alignment(section: &Section) -> Result<u32, Error> {
    if !section.align.is_power_of_two() || section.align > 8192 {
        return Err(failed(
            section.name,
            format!(
                "aligned to {} bytes; COFF has powers of two up to 8192",
                section.align
            ),
        ));
    }
    Ok((section.align.trailing_zeros() + 1) << 20)
}
