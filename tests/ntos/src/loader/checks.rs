//! What a driver's image must be: the rules that NT's loader and hypervisor-protected code integrity set.

use super::Options;
use object::{
    LittleEndian as LE, pe,
    read::pe::{ImageNtHeaders as _, ImageOptionalHeader as _, PeFile64},
};

/// The rules that a file breaks, one line for each.
pub fn file(parsed: &PeFile64<'_>, file: &[u8], options: &Options) -> Vec<String> {
    let mut broken = Vec::new();
    let header = parsed.nt_headers().optional_header();
    let machine = parsed.nt_headers().file_header().machine.get(LE);
    if machine != pe::IMAGE_FILE_MACHINE_AMD64 {
        broken.push(format!("its machine is {machine:#x}, not x86-64"));
    }
    if header.subsystem() != pe::IMAGE_SUBSYSTEM_NATIVE {
        broken.push(format!("its subsystem is {}, not native", header.subsystem()));
    }
    // HVCI: sections start on pages of their own (0x2003), none is writable and executable (0x2002).
    if header.section_alignment() % 4096 != 0 {
        broken.push(format!(
            "its section alignment is {:#x}, not whole pages",
            header.section_alignment()
        ));
    }
    for section in parsed.section_table().iter() {
        let characteristics = section.characteristics.get(LE);
        let both = pe::IMAGE_SCN_MEM_EXECUTE | pe::IMAGE_SCN_MEM_WRITE;
        if characteristics & both == both {
            let name = String::from_utf8_lossy(section.raw_name()).into_owned();
            broken.push(format!("section {name} is writable and executable"));
        }
    }
    // HVCI: the import address table is not in an executable or writable section (0x2005).
    for index in [pe::IMAGE_DIRECTORY_ENTRY_IAT, pe::IMAGE_DIRECTORY_ENTRY_IMPORT] {
        let Some(directory) = parsed.data_directory(index) else {
            continue;
        };
        let rva = directory.virtual_address.get(LE);
        let holder = parsed.section_table().iter().find(|section| {
            let start = section.virtual_address.get(LE);
            (start..start + section.virtual_size.get(LE)).contains(&rva)
        });
        let Some(section) = holder else { continue };
        if section.characteristics.get(LE) & (pe::IMAGE_SCN_MEM_EXECUTE | pe::IMAGE_SCN_MEM_WRITE) != 0 {
            let name = String::from_utf8_lossy(section.raw_name()).into_owned();
            broken.push(format!(
                "its import table lies in {name}, which is writable or executable"
            ));
        }
    }
    if options.checksum {
        let (stated, actual) = (header.check_sum(), checksum(file, checksum_offset(file)));
        if stated != actual {
            broken.push(format!(
                "its checksum is {stated:#x}, not {actual:#x} (link with /RELEASE)"
            ));
        }
    }
    broken
}

/// Where the checksum stands in the file.
fn checksum_offset(file: &[u8]) -> usize {
    let header = file
        .get(0x3C..0x40)
        .map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    header as usize + 24 + 64
}

/// The checksum of an image: its 16-bit words added with end-around carry, and its length.
fn checksum(file: &[u8], skip: usize) -> u32 {
    let mut sum = 0_u64;
    for (index, pair) in file.chunks(2).enumerate() {
        let at = index * 2;
        if at == skip || at == skip + 2 {
            continue;
        }
        let word = u64::from(pair[0]) | pair.get(1).map_or(0, |high| u64::from(*high) << 8);
        sum += word;
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum = (sum & 0xFFFF) + (sum >> 16);
    (sum as u32).wrapping_add(file.len() as u32)
}
