//! The image loader: a driver's PE file becomes memory of the modelled kernel.
//!
//! The image lies page by page on frames of its own, at an address chosen by the double; relocations are applied,
//! imports are bound to gates ([`crate::ke::gate`]) or data, and each section gets the protection that its
//! characteristics ask for, never more. What a driver's image must not have is refused by [`checks`]. Loaded images stay
//! known to [`image_of`] and [`describe`], which turn addresses into `lklfs.sys+0x1234 (symbol+0x5)`.

pub mod checks;
mod imports;
mod map;
mod messages;
mod symbols;

use crate::{
    imports::{Import, Since},
    ke::gate,
    mm::{
        PAGE_SIZE, phys,
        space::{self, Protection, Region},
    },
};
use object::{pe, read::pe::PeFile64};
use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU8, AtomicU16, Ordering},
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
    messages: BTreeMap<u32, String>,
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
        report_panics();
        let image = Arc::new(Self::map(name, &parsed, &file, path)?);
        IMAGES
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .push(Arc::clone(&image));
        Ok(image)
    }

    /// The function whose address the function `symbol` gives to another as the second argument of Linux's convention,
    /// with one instruction among its first ones.
    pub fn callback_of(&self, symbol: &str) -> Option<usize> {
        let start = self.symbols.find(symbol)?;
        let code = self.bytes(start, 96)?;
        // lea rsi, [rip + distance]
        let at = code.windows(3).position(|bytes| bytes == [0x48, 0x8d, 0x35])?;
        let distance = i32::from_le_bytes(code.get(at + 3..at + 7)?.try_into().ok()?);
        let next = start + at as u32 + 7;
        Some(self.address_of(next.wrapping_add_signed(distance)))
    }

    /// Writes `code` over the image's own at an address, for a test that wants it to fail there; what was there before. Threads may
    /// run elsewhere on the page, which stays executable, and may come to `at`; none is within these bytes.
    pub fn overwrite(&self, at: usize, code: &[u8]) -> Vec<u8> {
        /// A jump to itself, where a thread that comes meanwhile waits.
        const HOLD: [u8; 2] = [0xEB, 0xFE];
        let rva = self
            .rva_of(at)
            .unwrap_or_else(|| panic!("{at:#x} is not in the image"));
        let length = code.len().max(HOLD.len());
        let before = self.bytes(rva, length).expect("in the image").to_vec();
        let code = [code, before.get(code.len()..).unwrap_or_default()].concat();
        let (first, rest) = code.split_at(HOLD.len());
        let other = |address: usize| {
            let frame = self.region.pfn(address).expect("in the image");
            // SAFETY: the frame is the image's own, here by its other mapping.
            unsafe { phys::at(frame).add(address % PAGE_SIZE) }
        };
        // Functions begin where two bytes can be written at once.
        assert!(at.is_multiple_of(2), "{at:#x} is odd");
        // SAFETY: aligned, and nothing else writes there.
        let begin = unsafe { AtomicU16::from_ptr(other(at).cast()) };
        begin.store(u16::from_le_bytes(HOLD), Ordering::SeqCst);
        for (address, byte) in (at + HOLD.len()..).zip(rest) {
            // SAFETY: as above.
            unsafe { AtomicU8::from_ptr(other(address)) }.store(*byte, Ordering::SeqCst);
        }
        begin.store(u16::from_le_bytes([first[0], first[1]]), Ordering::SeqCst);
        before
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

    /// The message of that number in its message table.
    pub fn message(&self, number: u32) -> Option<String> {
        self.messages.get(&number).cloned()
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

    /// Unloads the image; with `NTOS_FIGURES=<file>` in the environment, the verifier's figures go there. Whatever the driver still holds stops the test, and its addresses fault from now on. The I/O
    /// manager has called DriverUnload before.
    pub fn unload(self: Arc<Self>) {
        // SAFETY: waits for the queue only.
        unsafe { crate::ke::dpc::KeFlushQueuedDpcs() };
        gate::settle_raised();
        crate::verifier::ledger::check_empty(&self.name);
        if let Some(path) = std::env::var_os("NTOS_FIGURES")
            && let Ok(text) = serde_json::to_string_pretty(&crate::verifier::report())
            && let Err(error) = std::fs::write(&path, text)
        {
            eprintln!("{}: {error}", path.display());
        }
        IMAGES
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .retain(|image| !Arc::ptr_eq(image, &self));
        if let Some(region) = space::release(self.region.base) {
            region.frames.into_iter().for_each(phys::free);
        }
    }
}

/// A panic of the double says where in the driver it happened.
fn report_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            usual(panic);
            let imports = gate::import_names();
            if !imports.is_empty() {
                eprintln!("*** the double panicked in {}", imports.join(" > "));
                gate::driver_stack()
                    .iter()
                    .for_each(|place| eprintln!("    at {place}"));
            }
        }));
    });
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
