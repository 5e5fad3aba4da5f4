//! A PE image in the memory of the test: mapped, relocated and protected as its headers say.

// UNSAFETY: maps an image and writes its relocations by address.

use object::read::pe::PeFile64;
use object::{LittleEndian as LE, Object as _, ObjectSection as _, pe};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

pub struct Image {
    base: u64,
    size: usize,
    exports: BTreeMap<String, u64>,
    /// Start, end, `rwx`.
    sections: Vec<(u64, u64, String)>,
    /// The exception directory: where it is in the image, and its size.
    pub exceptions: (u64, usize),
}

impl Image {
    /// Maps the image at `base` exactly. It stays mapped until it is dropped.
    pub fn load(path: &Path, base: u64) -> Image {
        let bytes = fs::read(path).unwrap();
        let file = PeFile64::parse(&*bytes).unwrap();
        let header = file.nt_headers().optional_header;
        let size = usize::try_from(header.size_of_image.get(LE)).unwrap();
        // SAFETY: the range is not in use (MAP_FIXED_NOREPLACE fails otherwise), so nothing is disturbed.
        let memory = unsafe {
            libc::mmap(
                base as *mut libc::c_void,
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
                -1,
                0,
            )
        };
        assert_eq!(memory as u64, base, "{}", std::io::Error::last_os_error());
        // SAFETY: the mapping was made above with this size, is writable, and nobody else knows of it yet.
        let space = unsafe { std::slice::from_raw_parts_mut(base as *mut u8, size) };
        for section in file.sections() {
            let at = usize::try_from(section.address() - file.relative_address_base()).unwrap();
            let data = section.data().unwrap();
            space[at..at + data.len()].copy_from_slice(data);
        }
        let delta = base.wrapping_sub(header.image_base.get(LE));
        let mut blocks = file
            .data_directories()
            .relocation_blocks(&*bytes, &file.section_table())
            .unwrap()
            .unwrap();
        while let Some(block) = blocks.next().unwrap() {
            for relocation in block {
                match relocation.typ {
                    pe::IMAGE_REL_BASED_ABSOLUTE => {}
                    pe::IMAGE_REL_BASED_DIR64 => {
                        let at = relocation.virtual_address as usize;
                        let old = u64::from_le_bytes(space[at..at + 8].try_into().unwrap());
                        space[at..at + 8].copy_from_slice(&old.wrapping_add(delta).to_le_bytes());
                    }
                    other => panic!("base relocation of type {other}"),
                }
            }
        }
        let mut sections = Vec::new();
        for section in file.section_table().iter() {
            let flags = section.characteristics.get(LE);
            let start = base + u64::from(section.virtual_address.get(LE));
            let length = section.virtual_size.get(LE).max(section.size_of_raw_data.get(LE)) as usize;
            let mut protection = 0;
            let mut word = String::new();
            for (flag, bit, letter) in [
                (pe::IMAGE_SCN_MEM_READ, libc::PROT_READ, 'r'),
                (pe::IMAGE_SCN_MEM_WRITE, libc::PROT_WRITE, 'w'),
                (pe::IMAGE_SCN_MEM_EXECUTE, libc::PROT_EXEC, 'x'),
            ] {
                word.push(if flags & flag != 0 { letter } else { '-' });
                protection |= if flags & flag != 0 { bit } else { 0 };
            }
            sections.push((start, start + length as u64, word));
            // SAFETY: the section lies in the mapping made above, on whole pages as PE demands.
            let result = unsafe { libc::mprotect(start as *mut libc::c_void, length, protection) };
            assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        }
        let exports = file.exports().unwrap().into_iter();
        let relative = file.relative_address_base();
        let exports = exports
            .map(|e| {
                (
                    String::from_utf8_lossy(e.name()).into_owned(),
                    base + e.address() - relative,
                )
            })
            .collect();
        let directory = file.data_directories().get(pe::IMAGE_DIRECTORY_ENTRY_EXCEPTION);
        let exceptions = directory.map_or((base, 0), |d| {
            (
                base + u64::from(d.virtual_address.get(LE)),
                d.size.get(LE) as usize,
            )
        });
        Image {
            base,
            size,
            exports,
            sections,
            exceptions,
        }
    }

    pub fn base(&self) -> u64 {
        self.base
    }

    pub fn contains(&self, address: u64) -> bool {
        (self.base..self.base + self.size as u64).contains(&address)
    }

    pub fn export(&self, name: &str) -> u64 {
        *self
            .exports
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not exported"))
    }

    pub fn bytes(&self, address: u64, length: usize) -> Vec<u8> {
        assert!(
            self.contains(address) && self.contains(address + length as u64 - 1),
            "{address:#x}+{length:#x}"
        );
        // SAFETY: the range lies in this image, all of whose sections are readable; it is copied at once.
        unsafe { std::slice::from_raw_parts(address as *const u8, length) }.to_vec()
    }

    pub fn permissions(&self, address: u64) -> &str {
        let section = self
            .sections
            .iter()
            .find(|(start, end, _)| (*start..*end).contains(&address));
        section.map_or("---", |(.., word)| word)
    }

    pub fn function(&self, name: &str) -> extern "sysv64" fn(u64) -> u64 {
        // SAFETY: the fixture declares the functions that the tests ask for so, and the image is mapped.
        unsafe { std::mem::transmute::<u64, extern "sysv64" fn(u64) -> u64>(self.export(name)) }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `load`, and no reference into it outlives a call.
        unsafe { libc::munmap(self.base as *mut libc::c_void, self.size) };
    }
}
