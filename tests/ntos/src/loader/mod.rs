//! The image loader: a driver's PE file becomes memory of the modelled kernel.
//!
//! The image lies page by page on frames of its own, at an address chosen by the double; relocations are applied,
//! imports are bound to gates ([`crate::ke::gate`]) or data, and each section gets the protection that its
//! characteristics ask for, never more. What a driver's image must not have is refused by [`checks`]. Loaded images stay
//! known to [`image_of`] and [`describe`], which turn addresses into `lklfs.sys+0x1234 (symbol+0x5)`.

pub mod checks;
mod imports;
mod symbols;

use crate::{
    imports::{Import, Since, Target},
    ke::gate,
    mm::{
        PAGE_SIZE, phys,
        space::{self, Protection, Region, RegionKind},
    },
};
use object::{
    LittleEndian as LE,
    pe::{self, IMAGE_DIRECTORY_ENTRY_EXCEPTION, ImageNtHeaders64},
    read::pe::{ImageNtHeaders as _, ImageOptionalHeader as _, ImageThunkData as _, PeFile64},
};
use std::{
    collections::HashSet,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

pub use imports::IMPORTS;

/// How an image is loaded.
#[derive(Clone, Debug)]
pub struct Options {
    /// The kernel to play: names that came later are not found by MmGetSystemRoutineAddress, and RtlGetVersion says so.
    pub nt: Since,
    /// Names not to be found although the kernel would have them.
    pub hide: Vec<String>,
    /// Hypervisor-protected code integrity is on: executable pool is refused.
    pub hvci: bool,
    /// The file's checksum must be right, as NT wants it of drivers.
    pub checksum: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nt: Since::Nt10,
            hide: Vec::new(),
            hvci: true,
            checksum: true,
        }
    }
}

/// Why an image was not loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The file could not be read.
    Read(PathBuf, std::io::Error),
    /// It is no PE image for x86-64 or is damaged.
    Format(String),
    /// It breaks a rule for drivers; one line for each.
    Rules(Vec<String>),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Format(what) => write!(f, "not a driver image: {what}"),
            Self::Rules(rules) => write!(f, "the image breaks a rule: {}", rules.join("; ")),
        }
    }
}

impl std::error::Error for LoadError {}

impl From<object::Error> for LoadError {
    fn from(error: object::Error) -> Self {
        Self::Format(error.to_string())
    }
}

/// One entry of `.pdata`.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// The RVA of its first byte.
    pub begin: u32,
    /// The RVA behind its last byte.
    pub end: u32,
    /// The RVA of its unwind data.
    pub unwind: u32,
}

impl Function {
    /// From its twelve bytes.
    pub fn read(bytes: &[u8]) -> Self {
        let word = |at: usize| {
            bytes
                .get(at..at + 4)
                .map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        };
        Self {
            begin: word(0),
            end: word(4),
            unwind: word(8) & !1,
        }
    }
}

/// A section of a loaded image.
#[derive(Clone, Debug)]
struct Section {
    rva: u32,
    size: u32,
    characteristics: u32,
}

/// A loaded image.
#[derive(Debug)]
pub struct Image {
    name: String,
    region: Region,
    entry: u32,
    sections: Vec<Section>,
    functions: Vec<Function>,
    symbols: symbols::Symbols,
    imports: Vec<String>,
    unmodelled: Vec<String>,
}

static IMAGES: RwLock<Vec<Arc<Image>>> = RwLock::new(Vec::new());
static HVCI: AtomicBool = AtomicBool::new(true);
/// What the kernel that is played knows: its version and the names to hide.
static PLAYED: Mutex<(Since, Option<HashSet<String>>)> = Mutex::new((Since::Nt10, None));

/// Executable pool is refused.
pub fn hvci() -> bool {
    HVCI.load(Ordering::Relaxed)
}

/// The kernel that is played.
pub fn played() -> Since {
    PLAYED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).0
}

/// An import by name, unless the played kernel lacks it or it is hidden.
fn visible(name: &str) -> Option<&'static Import> {
    let played = PLAYED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let hidden = played.1.as_ref().is_some_and(|hidden| hidden.contains(name));
    crate::imports::find(name).filter(|import| !hidden && import.since <= played.0)
}

impl Image {
    /// Loads a driver's file.
    pub fn load(path: &Path, options: &Options) -> Result<Arc<Self>, LoadError> {
        let file = std::fs::read(path).map_err(|error| LoadError::Read(path.to_owned(), error))?;
        let name = path
            .file_name()
            .map_or_else(|| "driver".to_owned(), |name| name.to_string_lossy().into_owned());
        let parsed = PeFile64::parse(&*file)?;
        let broken = checks::file(&parsed, &file, options);
        if !broken.is_empty() {
            return Err(LoadError::Rules(broken));
        }
        HVCI.store(options.hvci && options.nt >= Since::Nt62, Ordering::Relaxed);
        *PLAYED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) =
            (options.nt, Some(options.hide.iter().cloned().collect()));
        crate::ps::imports::fill_variables();
        let image = Arc::new(Self::map(name, &parsed, &file, path)?);
        IMAGES
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .push(Arc::clone(&image));
        Ok(image)
    }

    fn map(name: String, parsed: &PeFile64<'_>, file: &[u8], path: &Path) -> Result<Self, LoadError> {
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

    /// Takes the discardable sections (INIT, relocations) away, as NT does after DriverEntry.
    pub fn discard_init(&self) {
        for section in self
            .sections
            .iter()
            .filter(|s| s.characteristics & pe::IMAGE_SCN_MEM_DISCARDABLE != 0)
        {
            let start = self.region.base + section.rva as usize;
            let end = start + (section.size as usize).next_multiple_of(PAGE_SIZE);
            space::protect(start..end, Protection::None);
        }
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is loaded.
    pub fn base(&self) -> usize {
        self.region.base
    }

    /// Its bytes in memory.
    pub fn size(&self) -> usize {
        self.region.pages * PAGE_SIZE
    }

    /// DriverEntry.
    pub fn entry_point(&self) -> *const () {
        (self.region.base + self.entry as usize) as *const ()
    }

    /// The names that it imports.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Those that the double does not model: calling one stops.
    pub fn unmodelled(&self) -> &[String] {
        &self.unmodelled
    }

    /// The RVA of an address in it.
    pub fn rva_of(&self, address: usize) -> Option<u32> {
        self.region
            .range()
            .contains(&address)
            .then(|| (address - self.region.base) as u32)
    }

    /// The address of an RVA.
    pub fn address_of(&self, rva: u32) -> usize {
        self.region.base + rva as usize
    }

    /// Bytes of it in memory.
    pub fn bytes(&self, rva: u32, length: usize) -> Option<&[u8]> {
        let end = (rva as usize).checked_add(length)?;
        if end > self.size() {
            return None;
        }
        // SAFETY: the range lies in the image; unwind data and tables are in readable sections.
        Some(unsafe { std::slice::from_raw_parts((self.region.base + rva as usize) as *const u8, length) })
    }

    /// The `.pdata` entry of the function that holds an RVA.
    pub fn function_at(&self, rva: u32) -> Option<Function> {
        let after = self.functions.partition_point(|function| function.begin <= rva);
        let function = *self.functions.get(after.checked_sub(1)?)?;
        (rva < function.end).then_some(function)
    }

    /// An RVA in unwind data is `__C_specific_handler`, through the jump that the linker makes for an import.
    pub fn is_c_specific_handler(&self, rva: u32) -> bool {
        let Some(&[0xFF, 0x25, a, b, c, d]) = self.bytes(rva, 6) else {
            return false;
        };
        let slot = rva
            .wrapping_add(6)
            .wrapping_add_signed(i32::from_le_bytes([a, b, c, d]));
        let Some(value) = self
            .bytes(slot, 8)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_le_bytes)
        else {
            return false;
        };
        value as usize
            == gate::entry_of(
                "__C_specific_handler",
                crate::imports::find("__C_specific_handler"),
            )
    }

    /// Unloads the image: whatever the driver still holds stops the test, and its addresses fault from now on. The I/O
    /// manager has called DriverUnload before.
    pub fn unload(self: Arc<Self>) {
        // SAFETY: waits for the queue only.
        unsafe { crate::ke::dpc::KeFlushQueuedDpcs() };
        crate::verifier::ledger::check_empty(&self.name);
        IMAGES
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .retain(|image| !Arc::ptr_eq(image, &self));
        if let Some(region) = space::release(self.region.base) {
            region.frames.into_iter().for_each(phys::free);
        }
    }
}

/// The image that an address lies in.
pub fn image_of(address: usize) -> Option<Arc<Image>> {
    let images = IMAGES.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    images
        .iter()
        .find(|image| image.rva_of(address).is_some())
        .cloned()
}

/// An address in words: image, RVA and symbol.
pub fn describe(address: usize) -> String {
    if address == 0 {
        return "the double".to_owned();
    }
    let Some(image) = image_of(address) else {
        return format!("{address:#x}");
    };
    let rva = (address - image.base()) as u32;
    match image.symbols.at(rva) {
        Some((name, offset)) => format!("{}+{rva:#x} ({name}+{offset:#x})", image.name),
        None => format!("{}+{rva:#x}", image.name),
    }
}
