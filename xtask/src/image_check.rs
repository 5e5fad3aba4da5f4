//! What `lklfs.sys` must be to load on every x64 NT and under hypervisor-protected code integrity.
//!
//! A driver that breaks one of these rules loads on the machine that it was built for and not on the next one, so the
//! file itself is read back after each link. Every violation is listed, each by the name of what is wrong.

use std::path::Path;

use anyhow::{Context, Result, bail};
use object::LittleEndian as LE;
use object::pe;
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader, PeFile64};

use crate::imports::{self, Import};
use crate::wdk::import_library::{HAL, KERNEL, names};

/// What the check saw, for people.
pub struct Report {
    /// The file's size in bytes.
    pub bytes: usize,
    /// `image!name` of each import.
    pub imports: Vec<String>,
    /// Broken rules; empty for an image that may be shipped.
    pub violations: Vec<String>,
}

/// Reads the image at `path` and fails, listing what is wrong, unless all is well.
pub fn check(path: &Path, allowed: &str) -> Result<Report> {
    let data = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let report = inspect(&data, allowed).with_context(|| format!("{} is no PE image", path.display()))?;
    if !report.violations.is_empty() {
        bail!(
            "{} must not be shipped:\n  {}",
            path.display(),
            report.violations.join("\n  ")
        );
    }
    Ok(report)
}

/// Reads an image and lists what is wrong with it.
fn inspect(data: &[u8], allowed: &str) -> Result<Report> {
    let file = PeFile64::parse(data)?;
    let mut violations = Vec::new();
    headers(&file, &mut violations);
    sections(&file, &mut violations)?;
    let imports = imports(&file, allowed, &mut violations)?;
    let stored = file.nt_headers().optional_header().check_sum();
    let actual = checksum(data, checksum_offset(data)?);
    if stored != actual {
        violations.push(format!(
            "checksum: the header says {stored:#x}, the file has {actual:#x}"
        ));
    }
    Ok(Report {
        bytes: data.len(),
        imports,
        violations,
    })
}

/// Machine, subsystem, flags and data directories.
fn headers(file: &PeFile64<'_>, violations: &mut Vec<String>) {
    let nt = file.nt_headers();
    let optional = nt.optional_header();
    let machine = nt.file_header.machine.get(LE);
    if machine != pe::IMAGE_FILE_MACHINE_AMD64 {
        violations.push(format!("machine: {machine:#x} is not x64"));
    }
    let subsystem = optional.subsystem();
    if subsystem != pe::IMAGE_SUBSYSTEM_NATIVE {
        violations.push(format!("subsystem: {subsystem} is not native"));
    }
    let flags = optional.dll_characteristics();
    for (flag, name) in [
        (pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, "dynamic base"),
        (pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT, "no-execute compatible"),
        (pe::IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY, "force integrity"),
    ] {
        if flags & flag == 0 {
            violations.push(format!("flags: {name} is not set"));
        }
    }
    let size = |index: usize| {
        file.data_directories()
            .get(index)
            .map_or(0, |directory| directory.size.get(LE))
    };
    if size(pe::IMAGE_DIRECTORY_ENTRY_TLS) != 0 {
        violations.push("TLS directory: a driver has no thread-local storage".to_owned());
    }
    for (index, name) in [
        (pe::IMAGE_DIRECTORY_ENTRY_BASERELOC, "relocations"),
        (pe::IMAGE_DIRECTORY_ENTRY_EXCEPTION, "unwind tables"),
        (pe::IMAGE_DIRECTORY_ENTRY_RESOURCE, "version resource"),
    ] {
        if size(index) == 0 {
            violations.push(format!("{name}: there are none"));
        }
    }
}

/// No section may be both writable and executable; the entry point and the import table lie where they should.
fn sections(file: &PeFile64<'_>, violations: &mut Vec<String>) -> Result<()> {
    let has = |characteristics: u32, flag: u32| characteristics & flag != 0;
    let entry = file.nt_headers().optional_header().address_of_entry_point();
    let table = file
        .data_directories()
        .get(pe::IMAGE_DIRECTORY_ENTRY_IAT)
        .map(|d| d.virtual_address.get(LE));
    let mut entry_is_code = false;
    for section in file.section_table().iter() {
        let name = String::from_utf8_lossy(section.raw_name()).into_owned();
        let characteristics = section.characteristics.get(LE);
        let start = section.virtual_address.get(LE);
        let size = section.virtual_size.get(LE);
        let holds = |address: u32| address.checked_sub(start).is_some_and(|offset| offset < size);
        let (write, execute) = (
            has(characteristics, pe::IMAGE_SCN_MEM_WRITE),
            has(characteristics, pe::IMAGE_SCN_MEM_EXECUTE),
        );
        if write && execute {
            violations.push(format!("section {name}: writable and executable"));
        }
        if start % 0x1000 != 0 {
            violations.push(format!("section {name}: does not start on a page"));
        }
        if write && table.is_some_and(holds) {
            violations.push(format!("section {name}: writable and holds the import table"));
        }
        if holds(entry) {
            entry_is_code = execute && !write;
        }
    }
    if !entry_is_code {
        violations.push(format!("entry point {entry:#x}: not in a section of code"));
    }
    Ok(())
}

/// Every import must be a listed name of the kernel's or the HAL's.
fn imports(file: &PeFile64<'_>, allowed: &str, violations: &mut Vec<String>) -> Result<Vec<String>> {
    let found = imports::of(file)?;
    for import in &found {
        if import.image != KERNEL && import.image != HAL {
            violations.push(format!("import {import}: only {KERNEL} and {HAL} are allowed"));
        }
    }
    let known = |import: &Import| names(allowed, &import.image).any(|allowed| allowed == import.name);
    violations.extend(imports::refused(&found, known, crate::wdk::EXPORTS));
    Ok(found.iter().map(Import::to_string).collect())
}

/// Where the checksum's field lies in the file.
fn checksum_offset(data: &[u8]) -> Result<usize> {
    const NT_HEADERS: usize = 0x3c;
    const CHECKSUM: usize = 4 + 20 + 64;
    let field = data
        .get(NT_HEADERS..NT_HEADERS + 4)
        .context("the file is too short")?;
    let start = u32::from_le_bytes(field.try_into()?) as usize;
    start
        .checked_add(CHECKSUM)
        .filter(|&end| end + 4 <= data.len())
        .context("the file is too short")
}

/// The PE checksum: the ones' complement sum of the 16-bit words without the field itself, plus the length.
fn checksum(data: &[u8], field: usize) -> u32 {
    let mut sum: u32 = 0;
    for (index, pair) in data.chunks(2).enumerate() {
        let offset = index * 2;
        if offset >= field && offset < field + 4 {
            continue;
        }
        sum += u32::from(pair[0]) | u32::from(pair.get(1).copied().unwrap_or(0)) << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum + data.len() as u32
}

#[cfg(test)]
#[path = "image_check_tests.rs"]
mod tests;
