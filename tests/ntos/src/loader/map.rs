//! Mapping an image: copying it into frames, relocating, binding imports, protecting sections.

use super::{Function, Image, LoadError, Section, messages, symbols, visible};
use crate::{
    imports::Target,
    ke::gate,
    mm::{
        PAGE_SIZE, phys,
        space::{self, Protection, RegionKind},
    },
};
use object::{
    LittleEndian as LE,
    pe::{self, IMAGE_DIRECTORY_ENTRY_EXCEPTION, ImageNtHeaders64},
    read::pe::{ImageNtHeaders as _, ImageOptionalHeader as _, ImageThunkData as _, PeFile64},
};
use std::path::Path;

impl Image {
    pub(super) fn map(
        name: String,
        parsed: &PeFile64<'_>,
        file: &[u8],
        path: &Path,
    ) -> Result<Self, LoadError> {
        let header = parsed.nt_headers().optional_header();
        let size = header.size_of_image() as usize;
        let pages = size.div_ceil(PAGE_SIZE);
        let extent = phys::allocate(pages as u64).ok_or_else(|| LoadError::Format("no memory".to_owned()))?;
        let region = space::map(
            RegionKind::Image,
            pages,
            1 << 16,
            vec![extent],
            Protection::ReadWrite,
        );
        let mut image = Self {
            name,
            region,
            entry: header.address_of_entry_point(),
            sections: Vec::new(),
            functions: Vec::new(),
            symbols: symbols::Symbols::beside(path),
            imports: Vec::new(),
            unmodelled: Vec::new(),
            messages: messages::read(parsed, file),
        };
        let headers = header.size_of_headers() as usize;
        let whole = || LoadError::Format("a part lies outside of the image".to_owned());
        image.memory(0, size).ok_or_else(whole)?.fill(0);
        let first = file.get(..headers).ok_or_else(whole)?;
        image.memory(0, headers).ok_or_else(whole)?.copy_from_slice(first);
        for section in parsed.section_table().iter() {
            let (rva, size) = (section.virtual_address.get(LE), section.virtual_size.get(LE));
            let data = section.pe_data(file)?;
            let data = data.get(..data.len().min(size as usize)).unwrap_or(data);
            image
                .memory(rva, data.len())
                .ok_or_else(whole)?
                .copy_from_slice(data);
            image.sections.push(Section {
                rva,
                size,
                characteristics: section.characteristics.get(LE),
            });
        }
        image.relocate(parsed, file, header.image_base())?;
        image.bind(parsed, file)?;
        image.read_functions(parsed);
        image.patch();
        image.protect(headers);
        Ok(image)
    }

    #[allow(
        clippy::mut_from_ref,
        reason = "raw memory of the image, written only while it is being loaded"
    )]
    fn memory(&self, rva: u32, length: usize) -> Option<&mut [u8]> {
        let end = (rva as usize).checked_add(length)?;
        if end > self.region.pages * PAGE_SIZE {
            return None;
        }
        // SAFETY: the range lies in the image's region, which is mapped writable until `protect`.
        Some(unsafe { std::slice::from_raw_parts_mut((self.region.base + rva as usize) as *mut u8, length) })
    }

    fn relocate(&self, parsed: &PeFile64<'_>, file: &[u8], preferred: u64) -> Result<(), LoadError> {
        let delta = (self.region.base as u64).wrapping_sub(preferred);
        let sections = parsed.section_table();
        let Some(mut blocks) = parsed.data_directories().relocation_blocks(file, &sections)? else {
            // An image with nothing to relocate is fine; one whose relocations were stripped is not.
            let characteristics = parsed.nt_headers().file_header().characteristics.get(LE);
            return match characteristics & pe::IMAGE_FILE_RELOCS_STRIPPED {
                0 => Ok(()),
                _ => Err(LoadError::Format("its relocations were stripped".to_owned())),
            };
        };
        while let Some(block) = blocks.next()? {
            for relocation in block {
                if relocation.typ == pe::IMAGE_REL_BASED_ABSOLUTE {
                    continue;
                }
                if relocation.typ != pe::IMAGE_REL_BASED_DIR64 {
                    return Err(LoadError::Format(format!(
                        "relocation of type {}",
                        relocation.typ
                    )));
                }
                let outside = || LoadError::Format("a relocation lies outside of the image".to_owned());
                let place = self.memory(relocation.virtual_address, 8).ok_or_else(outside)?;
                let old = u64::from_le_bytes(place.try_into().expect("8 bytes"));
                place.copy_from_slice(&old.wrapping_add(delta).to_le_bytes());
            }
        }
        Ok(())
    }

    fn bind(&mut self, parsed: &PeFile64<'_>, _file: &[u8]) -> Result<(), LoadError> {
        let Some(table) = parsed.import_table()? else {
            return Ok(());
        };
        let mut descriptors = table.descriptors()?;
        while let Some(descriptor) = descriptors.next()? {
            let library = String::from_utf8_lossy(table.name(descriptor.name.get(LE))?).to_lowercase();
            if library != "ntoskrnl.exe" && library != "hal.dll" {
                return Err(LoadError::Format(format!("it imports from {library}")));
            }
            let names = match descriptor.original_first_thunk.get(LE) {
                0 => descriptor.first_thunk.get(LE),
                names => names,
            };
            let mut thunks = table.thunks(names)?;
            let mut slot = descriptor.first_thunk.get(LE);
            while let Some(thunk) = thunks.next::<ImageNtHeaders64>()? {
                if thunk.is_ordinal() {
                    return Err(LoadError::Format(format!("it imports {library} by ordinal")));
                }
                let (_, name) = table.hint_name(thunk.address())?;
                let name = String::from_utf8_lossy(name).into_owned();
                let import = visible(&name);
                let value = match import.map(|import| import.target) {
                    Some(Target::Data(datum)) => datum as usize,
                    _ => gate::entry_of(&name, import),
                };
                if import.is_none() {
                    self.unmodelled.push(name.clone());
                }
                let outside = || LoadError::Format("the import table lies outside of the image".to_owned());
                self.memory(slot, 8)
                    .ok_or_else(outside)?
                    .copy_from_slice(&(value as u64).to_le_bytes());
                self.imports.push(name);
                slot += 8;
            }
        }
        Ok(())
    }

    fn read_functions(&mut self, parsed: &PeFile64<'_>) {
        let Some(directory) = parsed.data_directory(IMAGE_DIRECTORY_ENTRY_EXCEPTION) else {
            return;
        };
        let (rva, size) = (directory.virtual_address.get(LE), directory.size.get(LE) as usize);
        let table = self
            .memory(rva, size)
            .map(|table| table.to_vec())
            .unwrap_or_default();
        self.functions = table.chunks_exact(12).map(Function::read).collect();
        self.functions.sort_by_key(|function| function.begin);
    }

    /// Makes what has to be another instruction in the double so.
    fn patch(&mut self) {
        for section in self.sections.clone() {
            if section.characteristics & pe::IMAGE_SCN_MEM_EXECUTE != 0
                && let Some(code) = self.memory(section.rva, section.size as usize)
            {
                crate::ke::shadow::patch(code);
            }
        }
    }

    fn protect(&self, headers: usize) {
        space::protect(self.region.range(), Protection::None);
        let set = |rva: u32, size: usize, protection| {
            let start = self.region.base + rva as usize;
            space::protect(start..start + size.next_multiple_of(PAGE_SIZE), protection);
        };
        set(0, headers, Protection::Read);
        for section in &self.sections {
            let has = |bit: u32| section.characteristics & bit != 0;
            let protection = match (has(pe::IMAGE_SCN_MEM_EXECUTE), has(pe::IMAGE_SCN_MEM_WRITE)) {
                (true, _) => Protection::Execute,
                (false, true) => Protection::ReadWrite,
                (false, false) => Protection::Read,
            };
            set(section.rva, section.size as usize, protection);
        }
    }
}
