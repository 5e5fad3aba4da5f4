//! The pages of a file in memory.
//!
//! A segment has address space and page frames for the whole file from the start; a page is empty, being
//! read, or here. A page that is wanted and empty is read by a paging IRP: IRP_MJ_READ with IRP_PAGING_IO,
//! IRP_NOCACHE and IRP_SYNCHRONOUS_PAGING_IO, an MDL of locked frames that is not mapped, a page-aligned
//! offset and whole pages in length, sent to the top of the volume's stack with APCs disabled, at
//! PASSIVE_LEVEL or at APC_LEVEL. What the file system does not fill is zeroed.
//!
//! A read that fails for lack of memory ([`is_retried`]) is no in-page error: the fault is let go for a moment and comes again,
//! as NT's does, and as there not for ever ([`RETRIES`]). Any other failure is final, and reading ahead is never tried again.

use crate::io::file::{self, Waiter};
use crate::io::ledger::Owner;
use crate::io::{call, irp, kernel, request};
use crate::ke;
use crate::mm::PAGE_SIZE;
use crate::mm::phys::{self, Extent};
use crate::mm::space::{self, Protection, Region, RegionKind};
use crate::nt::*;
use crate::verifier::fail;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most pages that one fault reads: 64 KiB.
const FAULT_CLUSTER: usize = 16;
/// Most pages that one read-ahead request reads: 1 MiB.
pub const AHEAD_CLUSTER: usize = 256;

/// How often a fault whose read lacked memory is tried again, and after what pause.
const RETRIES: u32 = 64;
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// What is in a frame that was taken away.
const TRIMMED: u8 = 0xdb;

/// Bytes of a program's headers in its file: not a page.
const HEADERS: u64 = 1024;
/// The largest section: 16 PiB.
const MOST_SECTION: u64 = 16 << 50;

const TAG_MDL: u32 = u32::from_le_bytes(*b"MmMd");

/// Which of the section object pointers a segment hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Data: the cache and mapped files.
    Data,
    /// A program's image.
    Image,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Empty,
    Reading,
    Here,
}

struct Pages {
    states: Vec<Page>,
    /// Bytes of the file.
    size: u64,
    /// Copies from pages that are here, under way.
    held: u32,
    /// The segment was taken away; its frames belong to others.
    gone: bool,
}

/// Pages that are here, and stay for as long as this does.
pub struct Held<'a>(&'a Segment);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        lock(&self.0.pages).held -= 1;
    }
}

/// A file's pages.
pub struct Segment {
    /// Where it hangs.
    pub pointers: usize,
    /// As what.
    pub role: Role,
    file_object: usize,
    region: Region,
    frames: Extent,
    pages: Mutex<Pages>,
    changed: Condvar,
    /// Cache maps, sections, MDLs and mapped data that keep it.
    users: AtomicU32,
    /// Views that programs have.
    pub views: AtomicU32,
    /// MDLs and mapped data over its pages.
    pub pins: AtomicU32,
}

/// Segments by section object pointers and role.
type Segments = HashMap<(usize, Role), Arc<Segment>>;

static SEGMENTS: LazyLock<Mutex<Segments>> = LazyLock::new(Mutex::default);
static RANDOM: AtomicU64 = AtomicU64::new(1);
static PAGING_READS: AtomicUsize = AtomicUsize::new(0);
static RETRIED: AtomicUsize = AtomicUsize::new(0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the choices of cache and memory manager from `seed`.
pub fn seed(seed: u64) {
    RANDOM.store(seed, Ordering::Relaxed);
}

/// One of `bound` possibilities, from the seed.
pub fn choose(bound: u64) -> u64 {
    let mut z = RANDOM.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % bound
}

/// Paging reads that were sent so far.
pub fn paging_reads() -> usize {
    PAGING_READS.load(Ordering::Relaxed)
}

/// Page faults that were tried again so far, because a read lacked memory.
pub fn retried_faults() -> usize {
    RETRIED.load(Ordering::Relaxed)
}

/// Whether a page fault whose read ended so is tried again.
pub fn is_retried(status: NTSTATUS) -> bool {
    matches!(
        status,
        STATUS_INSUFFICIENT_RESOURCES | STATUS_WORKING_SET_QUOTA | STATUS_NO_MEMORY
    )
}

/// The segment of `pointers` in that role.
pub fn find(pointers: PSECTION_OBJECT_POINTERS, role: Role) -> Option<Arc<Segment>> {
    lock(&SEGMENTS).get(&(pointers as usize, role)).cloned()
}

/// Every segment.
pub fn all() -> Vec<Arc<Segment>> {
    lock(&SEGMENTS).values().cloned().collect()
}

/// # Safety
/// `pointers` is the live record of a file system's stream.
unsafe fn slot(pointers: PSECTION_OBJECT_POINTERS, role: Role) -> *mut PVOID {
    // SAFETY: by contract.
    unsafe {
        match role {
            Role::Data => &raw mut (*pointers).DataSectionObject,
            Role::Image => &raw mut (*pointers).ImageSectionObject,
        }
    }
}

impl Segment {
    /// The segment of `file_object`'s stream with one more user, made for `size` bytes if there is none.
    ///
    /// # Safety
    /// `file_object` is live and has section object pointers.
    pub unsafe fn get(file_object: PFILE_OBJECT, role: Role, size: u64) -> Result<Arc<Segment>, NTSTATUS> {
        // SAFETY: by contract.
        unsafe {
            let pointers = (*file_object).SectionObjectPointer;
            let mut segments = lock(&SEGMENTS);
            if let Some(segment) = segments.get(&(pointers as usize, role)) {
                segment.users.fetch_add(1, Ordering::AcqRel);
                return Ok(Arc::clone(segment));
            }
            if size > MOST_SECTION {
                return Err(STATUS_SECTION_TOO_BIG);
            }
            let pages = usize::try_from(size.div_ceil(PAGE_SIZE as u64))
                .unwrap_or(usize::MAX)
                .max(1);
            // NT needs as much for the section's page tables, and here the frames are there from the start.
            let frames = phys::allocate(pages as u64).ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
            let region = space::map(
                RegionKind::View,
                pages,
                1 << 16,
                vec![frames],
                Protection::ReadWrite,
            );
            file::reference(file_object);
            let segment = Arc::new(Segment {
                pointers: pointers as usize,
                role,
                file_object: file_object as usize,
                region,
                frames,
                pages: Mutex::new(Pages {
                    states: vec![Page::Empty; pages],
                    size,
                    held: 0,
                    gone: false,
                }),
                changed: Condvar::new(),
                users: AtomicU32::new(1),
                views: AtomicU32::new(0),
                pins: AtomicU32::new(0),
            });
            *slot(pointers, role) = Arc::as_ptr(&segment).cast_mut().cast();
            segments.insert((pointers as usize, role), Arc::clone(&segment));
            Ok(segment)
        }
    }

    /// The file object that it references.
    pub fn file_object(&self) -> PFILE_OBJECT {
        self.file_object as PFILE_OBJECT
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        lock(&self.pages).size
    }

    /// The file has `size` bytes now.
    pub fn set_size(&self, size: u64) {
        let mut pages = lock(&self.pages);
        if size > (pages.states.len() * PAGE_SIZE) as u64 {
            fail!(
                Cache,
                "a cached file grows to {size} bytes; the double's volumes are read-only"
            );
        }
        pages.size = size;
    }

    /// Where byte `offset` lies in memory.
    pub fn address(&self, offset: u64) -> *mut u8 {
        (self.region.base + usize::try_from(offset).unwrap_or(usize::MAX)) as *mut u8
    }

    /// One user less. An unused segment stays.
    pub fn release(&self) {
        if self.users.fetch_sub(1, Ordering::AcqRel) == 0 {
            fail!(Cache, "a section loses a user that it did not have");
        }
    }

    /// Nobody uses it.
    pub fn is_unused(&self) -> bool {
        self.users.load(Ordering::Acquire) == 0
    }

    /// Its file object with a reference for the caller, while it is there.
    pub fn reference_file(self: &Arc<Self>) -> Option<PFILE_OBJECT> {
        let segments = lock(&SEGMENTS);
        let listed = segments.get(&(self.pointers, self.role))?;
        if !Arc::ptr_eq(listed, self) {
            return None;
        }
        // SAFETY: a segment in the table has a reference of its own.
        unsafe { file::reference(self.file_object()) };
        Some(self.file_object())
    }

    /// Takes an unused segment away, which may close its file. Waits for reads that are under way. False: it is used.
    pub fn delete(self: &Arc<Self>) -> bool {
        {
            let mut pages = lock(&self.pages);
            while self.is_unused() && pages.states.contains(&Page::Reading) {
                pages = self.changed.wait(pages).unwrap_or_else(PoisonError::into_inner);
            }
        }
        let mut segments = lock(&SEGMENTS);
        let mut pages = lock(&self.pages);
        let busy = pages.states.contains(&Page::Reading);
        if !self.is_unused() || busy || segments.remove(&(self.pointers, self.role)).is_none() {
            return false;
        }
        pages.gone = true;
        pages.states.fill(Page::Empty);
        drop(pages);
        // SAFETY: the stream's record lives until the file is closed, which this reference prevents.
        unsafe { *slot(self.pointers as PSECTION_OBJECT_POINTERS, self.role) = std::ptr::null_mut() };
        drop(segments);
        space::release(self.region.base);
        phys::free(self.frames);
        // SAFETY: the reference was the segment's.
        unsafe { file::dereference(self.file_object()) };
        true
    }

    /// Empties pages of `first..`; those that are being read or pinned make it fail.
    pub fn purge(&self, first: u64, len: Option<u64>) -> bool {
        if self.views.load(Ordering::Acquire) != 0 || self.pins.load(Ordering::Acquire) != 0 {
            return false;
        }
        let from = usize::try_from(first / PAGE_SIZE as u64).unwrap_or(usize::MAX);
        let mut pages = lock(&self.pages);
        let end = len.map_or(pages.states.len(), |len| {
            usize::try_from((first + len).div_ceil(PAGE_SIZE as u64))
                .unwrap_or(usize::MAX)
                .min(pages.states.len())
        });
        while pages
            .states
            .get(from..end)
            .is_some_and(|range| range.contains(&Page::Reading))
        {
            pages = self.changed.wait(pages).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(range) = pages.states.get_mut(from..end) {
            range.fill(Page::Empty);
        }
        true
    }

    /// All of `offset..offset + len`, if it is here.
    pub fn hold_if_here(&self, offset: u64, len: u64) -> Option<Held<'_>> {
        let mut pages = lock(&self.pages);
        let (first, end) = span(offset, len);
        let here = |range: &[Page]| range.iter().all(|page| *page == Page::Here);
        if !pages.states.get(first..end).is_some_and(here) {
            return None;
        }
        pages.held += 1;
        Some(Held(self))
    }

    /// All of `offset..offset + len`, faulted in, as often as pages of it are taken away meanwhile.
    pub fn hold(&self, offset: u64, len: u64) -> Result<Held<'_>, NTSTATUS> {
        loop {
            self.fault_in(offset, len)?;
            if let Some(held) = self.hold_if_here(offset, len) {
                return Ok(held);
            }
        }
    }

    /// Copies `len` bytes at `offset` to memory that may be a user's, a cluster at a time, as a copy faults. False: `to` is not
    /// there.
    ///
    /// # Safety
    /// `to` is valid or a user's, `len` bytes long.
    pub unsafe fn copy_out(&self, offset: u64, to: *mut u8, len: u64) -> Result<bool, NTSTATUS> {
        let cluster = (FAULT_CLUSTER * PAGE_SIZE) as u64;
        let mut done = 0;
        while done < len {
            let at = offset + done;
            let part = (cluster - at % cluster).min(len - done);
            let held = self.hold(at, part)?;
            // SAFETY: by contract; the pages stay while they are held.
            let copied = unsafe { kernel::copy(to.add(done as usize), self.address(at), part as usize) };
            drop(held);
            if !copied {
                return Ok(false);
            }
            done += part;
        }
        Ok(true)
    }

    /// Takes up to `most` pages from page `first` on away, as when memory is wanted elsewhere; what was in their frames is there no
    /// more. Pages that are in use stay. How many went.
    pub fn trim(&self, first: usize, most: usize) -> usize {
        let mut pages = lock(&self.pages);
        if pages.gone || pages.held != 0 || self.pins.load(Ordering::Acquire) != 0 {
            return 0;
        }
        let end = first.saturating_add(most).min(pages.states.len());
        let mut went = 0;
        for page in first..end {
            if pages.states[page] != Page::Here {
                continue;
            }
            pages.states[page] = Page::Empty;
            // SAFETY: the segment is not gone while its pages are locked; the page is held and pinned by nobody.
            unsafe {
                self.address((page * PAGE_SIZE) as u64)
                    .write_bytes(TRIMMED, PAGE_SIZE)
            };
            went += 1;
        }
        went
    }

    /// Pages of its address space.
    pub fn page_count(&self) -> usize {
        lock(&self.pages).states.len()
    }

    /// Reads in what is missing of `offset..offset + len`, up to `cluster` pages at a time. Only pages that
    /// are wanted and, when faulting, some behind them are read.
    pub fn page_in(&self, offset: u64, len: u64, cluster: usize) -> Result<(), NTSTATUS> {
        let (first, end) = span(offset, len);
        let mut at = first;
        while at < end {
            let mut pages = lock(&self.pages);
            match pages.states.get(at).copied() {
                None => return Err(STATUS_END_OF_FILE),
                Some(Page::Here) => {
                    at += 1;
                    continue;
                }
                Some(Page::Reading) => {
                    drop(self.changed.wait(pages).unwrap_or_else(PoisonError::into_inner));
                    continue;
                }
                Some(Page::Empty) if pages.gone => return Err(STATUS_FILE_INVALID),
                Some(Page::Empty) => {}
            }
            let last = (at + cluster).min(pages.states.len()).min(end.max(at + 1));
            let run = pages.states[at..last]
                .iter()
                .take_while(|page| **page == Page::Empty)
                .count();
            pages.states[at..at + run].fill(Page::Reading);
            drop(pages);
            let result = self.read(at, run);
            let mut pages = lock(&self.pages);
            let state = if result.is_ok() { Page::Here } else { Page::Empty };
            pages.states[at..at + run].fill(state);
            drop(pages);
            self.changed.notify_all();
            result?;
            at += run;
        }
        Ok(())
    }

    /// As a page fault reads: in clusters, and again when memory was short.
    pub fn fault_in(&self, offset: u64, len: u64) -> Result<(), NTSTATUS> {
        for _ in 0..RETRIES {
            match self.page_in(offset, len, FAULT_CLUSTER) {
                Err(status) if is_retried(status) => {
                    RETRIED.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(RETRY_PAUSE);
                }
                done => return done,
            }
        }
        self.page_in(offset, len, FAULT_CLUSTER)
    }

    /// Reads `count` pages from page `first` in.
    fn read(&self, first: usize, count: usize) -> Result<(), NTSTATUS> {
        match self.role {
            Role::Data => {
                let offset = (first * PAGE_SIZE) as u64;
                self.read_file(
                    offset,
                    count * PAGE_SIZE,
                    self.describe(first, count),
                    self.address(offset),
                )
            }
            Role::Image => self.read_parts(first, count),
        }
    }

    /// As the memory manager reads a program: its parts lie at multiples of 512 bytes in the file, and their pages are read from
    /// there, whatever the sectors of the disk are. This one has headers of [`HEADERS`] bytes and one part behind them; what
    /// is read of it in pages is put where a view of the whole file shows it.
    fn read_parts(&self, first: usize, count: usize) -> Result<(), NTSTATUS> {
        let (start, size) = ((first * PAGE_SIZE) as u64, self.size());
        let end = (((first + count) * PAGE_SIZE) as u64).min(size);
        if start < HEADERS {
            self.read_piece(0, (HEADERS.min(size)) as usize, start..end)?;
        }
        if end > HEADERS {
            let page = |offset: u64| (offset.max(HEADERS) - HEADERS) / PAGE_SIZE as u64;
            let from = HEADERS + page(start) * PAGE_SIZE as u64;
            let to = HEADERS + (page(end - 1) + 1) * PAGE_SIZE as u64;
            // The last page is read to the end of the last 512 bytes of the file.
            let to = to.min(size.next_multiple_of(512));
            self.read_piece(from, (to - from) as usize, start..end)?;
        }
        Ok(())
    }

    /// Reads `len` bytes at `offset` into pages of their own, and copies what is within `wanted` to its place.
    fn read_piece(&self, offset: u64, len: usize, wanted: std::ops::Range<u64>) -> Result<(), NTSTATUS> {
        let pages = len.div_ceil(PAGE_SIZE);
        let frames = phys::allocate(pages as u64).ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
        let region = space::map(
            RegionKind::View,
            pages,
            1 << 16,
            vec![frames],
            Protection::ReadWrite,
        );
        let base = region.base;
        let mdl = describe(base, frames, len);
        let result = self.read_file(offset, len, mdl, base as *mut u8);
        if result.is_ok() {
            let (from, to) = (wanted.start.max(offset), wanted.end.min(offset + len as u64));
            if from < to {
                let source = (base + (from - offset) as usize) as *const u8;
                // SAFETY: both are mapped for so many bytes, and different memory.
                unsafe { std::ptr::copy_nonoverlapping(source, self.address(from), (to - from) as usize) };
            }
        }
        space::release(base);
        phys::free(frames);
        result
    }

    /// Sends the paging read for `len` bytes at `offset` of the file into the pages that `mdl`, which it takes, describes.
    fn read_file(&self, offset: u64, len: usize, mdl: PMDL, address: *mut u8) -> Result<(), NTSTATUS> {
        let irql = ke::irql();
        if irql > 1 {
            fail!(IrqlTooHigh, "a page fault on file data at IRQL {irql}");
        }
        PAGING_READS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the segment references the file object; the MDL and the frames outlive the read.
        unsafe {
            let file_object = self.file_object();
            let device = file::related_device(file_object);
            let waiter = Waiter::new();
            let packet = request::start(device, Owner::Manager, 0);
            if packet.is_null() {
                release_mdl(mdl);
                return Err(STATUS_INSUFFICIENT_RESOURCES);
            }
            (*packet).Flags = IRP_PAGING_IO | IRP_NOCACHE | IRP_SYNCHRONOUS_PAGING_IO | IRP_INPUT_OPERATION;
            (*packet).MdlAddress = mdl;
            (*packet).UserBuffer = address.cast();
            (*packet).UserIosb = waiter.block();
            (*packet).UserEvent = waiter.event();
            (*packet).Tail.Overlay.OriginalFileObject = file_object;
            let location = irp::next(packet);
            (*location).MajorFunction = IRP_MJ_READ as u8;
            (*location).FileObject = file_object;
            (*location).Parameters.Read.Length = len as u32;
            (*location).Parameters.Read.ByteOffset.QuadPart = offset as i64;
            kernel::enter_critical_region();
            let raised = (irql == 0 && choose(2) == 0).then(|| ke::raise_irql(1));
            let status = call::call_driver(device, packet);
            let (status, information) = waiter.outcome(status);
            if let Some(before) = raised {
                ke::lower_irql(before);
            }
            kernel::leave_critical_region();
            release_mdl(mdl);
            let filled = match status {
                STATUS_END_OF_FILE => 0,
                _ if nt_success(status) => information,
                _ => return Err(status),
            };
            if filled > len {
                fail!(Irp, "a paging read of {len} bytes ends with Information {filled}");
            }
            let expected = usize::try_from(self.size().saturating_sub(offset))
                .unwrap_or(usize::MAX)
                .min(len);
            if filled < expected {
                fail!(
                    Cache,
                    "a paging read at {offset} gave {filled} bytes where the file has {expected} more"
                );
            }
            address.add(filled).write_bytes(0, len - filled);
        }
        Ok(())
    }

    /// An MDL over `count` pages from page `first`: locked, not mapped.
    pub fn describe(&self, first: usize, count: usize) -> PMDL {
        let frames = Extent {
            first: self.frames.first + first as u64,
            count: count as u64,
        };
        let address = self.address((first * PAGE_SIZE) as u64);
        describe(address as usize, frames, count * PAGE_SIZE)
    }
}

/// An MDL over `len` bytes at the page-aligned `address`, in these frames: locked, not mapped.
fn describe(address: usize, extent: Extent, len: usize) -> PMDL {
    let count = len.div_ceil(PAGE_SIZE);
    let size = size_of::<MDL>() + count * 8;
    let mdl: PMDL = kernel::take(size, TAG_MDL).cast();
    // SAFETY: the block has room for the MDL and its frame numbers.
    unsafe {
        mdl.write_bytes(0, 1);
        (*mdl).Size = i16::try_from(size).unwrap_or(i16::MAX);
        (*mdl).MdlFlags = (MDL_PAGES_LOCKED | MDL_IO_PAGE_READ) as i16;
        (*mdl).StartVa = address as PVOID;
        (*mdl).ByteCount = len as u32;
        let frames = mdl.add(1).cast::<u64>();
        for page in 0..count {
            frames.add(page).write(extent.first + page as u64);
        }
    }
    mdl
}

/// Frees an MDL of [`Segment::describe`] and any mapping that the file system made of it.
///
/// # Safety
/// The MDL is not in use.
pub unsafe fn release_mdl(mdl: PMDL) {
    // SAFETY: by contract.
    unsafe {
        crate::mm::mdl::unmap_if_mapped(mdl);
        crate::mm::pool::free(mdl.cast(), TAG_MDL);
    }
}

/// Pages first..end of a range of bytes.
fn span(offset: u64, len: u64) -> (usize, usize) {
    let first = offset / PAGE_SIZE as u64;
    let end = (offset + len).div_ceil(PAGE_SIZE as u64);
    (
        usize::try_from(first).unwrap_or(usize::MAX),
        usize::try_from(end).unwrap_or(usize::MAX),
    )
}
