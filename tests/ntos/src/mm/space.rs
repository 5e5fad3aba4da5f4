//! The kernel's address space: one large reserved range of the process, from which every region is cut.
//!
//! A region is a run of pages with a kind, the frames behind it, and unmapped pages around it. Addresses are handed out
//! upwards and used again only after the whole range was walked, so that a stale pointer faults for as long as
//! possible. [`lookup`] finds a region by any address in it: that is how faults are explained and how MDLs get their
//! frames.

use crate::mm::{
    PAGE_SIZE,
    phys::{self, Extent, Pfn},
};
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{LazyLock, Mutex},
};

/// What a region is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionKind {
    /// Pool.
    Pool,
    /// A kernel stack.
    Stack,
    /// A loaded image.
    Image,
    /// User memory: a fault there is the driver's to handle.
    User,
    /// A mapping of an MDL's frames.
    Mapping,
    /// A view of cached file data or of a section.
    View,
}

/// Protection of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// No access.
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
    /// Reading and executing.
    Execute,
}

impl Protection {
    fn bits(self) -> i32 {
        match self {
            Self::None => libc::PROT_NONE,
            Self::Read => libc::PROT_READ,
            Self::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
            Self::Execute => libc::PROT_READ | libc::PROT_EXEC,
        }
    }
}

/// A region of the address space. Dropping it does nothing: [`release`] gives it back.
#[derive(Clone, Debug)]
pub struct Region {
    /// Its first byte.
    pub base: usize,
    /// Its pages.
    pub pages: usize,
    /// What it is for.
    pub kind: RegionKind,
    /// The frames behind it, in order; they cover all pages.
    pub frames: Vec<Extent>,
}

impl Region {
    /// Its addresses.
    pub fn range(&self) -> Range<usize> {
        self.base..self.base + self.pages * PAGE_SIZE
    }

    /// The frame behind an address of it.
    pub fn pfn(&self, address: usize) -> Option<Pfn> {
        let mut page = (address.checked_sub(self.base)? / PAGE_SIZE) as u64;
        for extent in &self.frames {
            if page < extent.count {
                return Some(extent.first + page);
            }
            page -= extent.count;
        }
        None
    }
}

/// Addresses reserved for the kernel, and as many for users: 4 TiB.
const LENGTH: usize = 4 << 40;
/// Where the kernel's range is wanted: far from everything else, so that addresses are easily told apart.
const KERNEL: usize = 0x6000_0000_0000;
/// Where the user's range is wanted: below everything that is the kernel's, this process's own memory included, so that
/// one comparison tells user addresses from others as it does on NT.
const USER: usize = 0x1000_0000_0000;

struct Space {
    base: usize,
    next: usize,
    live: BTreeMap<usize, Region>,
}

static KERNEL_SPACE: LazyLock<Mutex<Space>> = LazyLock::new(|| Space::reserve(KERNEL));
static USER_SPACE: LazyLock<Mutex<Space>> = LazyLock::new(|| Space::reserve(USER));

impl Space {
    fn reserve(wanted: usize) -> Mutex<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: a new mapping that replaces none; the result is checked.
        let base = unsafe { libc::mmap(wanted as *mut _, LENGTH, libc::PROT_NONE, flags, -1, 0) };
        assert!(
            base as usize == wanted,
            "no address space: {}",
            std::io::Error::last_os_error()
        );
        Mutex::new(Self {
            base: wanted,
            next: wanted,
            live: BTreeMap::new(),
        })
    }
}

/// The space that an address belongs to.
fn lock_for(address: usize) -> std::sync::MutexGuard<'static, Space> {
    let space = if (USER..USER + LENGTH).contains(&address) {
        &USER_SPACE
    } else {
        &KERNEL_SPACE
    };
    space.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The kernel's reserved range.
pub fn reserved() -> Range<usize> {
    KERNEL..KERNEL + LENGTH
}

/// The user's reserved range; its end is MmUserProbeAddress.
pub const fn user_range() -> Range<usize> {
    USER..USER + LENGTH
}

/// Cuts out a region of `pages` pages with at least one unmapped page before and after, aligned to `align` bytes, and
/// maps the frames with that protection.
pub fn map(
    kind: RegionKind,
    pages: usize,
    align: usize,
    frames: Vec<Extent>,
    protection: Protection,
) -> Region {
    let mut space = lock_for(if kind == RegionKind::User { USER } else { KERNEL });
    let base = space.place(pages, align.max(PAGE_SIZE));
    let region = Region {
        base,
        pages,
        kind,
        frames,
    };
    space.live.insert(base, region.clone());
    drop(space);
    let mut at = base;
    for extent in &region.frames {
        let length = extent.count as usize * PAGE_SIZE;
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        let offset = phys::file_offset(extent.first);
        // SAFETY: the range lies in the reserved range and belongs to this new region alone.
        let done = unsafe { libc::mmap(at as *mut _, length, protection.bits(), flags, phys::fd(), offset) };
        assert!(
            done != libc::MAP_FAILED,
            "mmap of frames: {}",
            std::io::Error::last_os_error()
        );
        at += length;
    }
    region
}

impl Space {
    /// Finds room. Walks upwards from where it stopped last and starts again at the bottom once.
    fn place(&mut self, pages: usize, align: usize) -> usize {
        let end = self.base + LENGTH;
        let need = (pages + 2) * PAGE_SIZE;
        for _ in 0..2 {
            let mut at = self.next;
            loop {
                let base = (at + PAGE_SIZE).next_multiple_of(align);
                let top = base + need - PAGE_SIZE;
                if top > end {
                    break;
                }
                let before = self
                    .live
                    .range(..top)
                    .next_back()
                    .map(|(_, region)| region.range().end + PAGE_SIZE);
                match before {
                    Some(busy_until) if busy_until > base => at = busy_until - PAGE_SIZE,
                    _ => {
                        self.next = top - PAGE_SIZE;
                        return base;
                    }
                }
            }
            self.next = self.base;
        }
        panic!("the double's kernel address space is full");
    }
}

/// Takes a region away: its addresses fault from now on. Its frames are the caller's.
pub fn release(base: usize) -> Option<Region> {
    let region = lock_for(base).live.get(&base).cloned()?;
    unmap_range(region.range());
    lock_for(base).live.remove(&base)
}

fn unmap_range(range: Range<usize>) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
    // SAFETY: the range belongs to a region of ours, which goes away.
    let done = unsafe { libc::mmap(range.start as *mut _, range.len(), libc::PROT_NONE, flags, -1, 0) };
    assert!(
        done != libc::MAP_FAILED,
        "unmapping: {}",
        std::io::Error::last_os_error()
    );
}

/// Changes the protection of pages of a region. `range` is page-aligned.
pub fn protect(range: Range<usize>, protection: Protection) {
    // SAFETY: only pages of the reserved range are passed here, by their regions' owners.
    let done = unsafe { libc::mprotect(range.start as *mut _, range.len(), protection.bits()) };
    assert!(done == 0, "mprotect: {}", std::io::Error::last_os_error());
}

/// The region that an address lies in.
pub fn lookup(address: usize) -> Option<Region> {
    let space = lock_for(address);
    let (_, region) = space.live.range(..=address).next_back()?;
    region.range().contains(&address).then(|| region.clone())
}

/// The kind of region that an address lies in, without copying it.
pub fn kind_of(address: usize) -> Option<RegionKind> {
    let space = lock_for(address);
    let (_, region) = space.live.range(..=address).next_back()?;
    region.range().contains(&address).then_some(region.kind)
}

/// The frame behind an address.
pub fn pfn_of(address: usize) -> Option<Pfn> {
    let space = lock_for(address);
    let (_, region) = space.live.range(..=address).next_back()?;
    if region.range().contains(&address) {
        region.pfn(address)
    } else {
        None
    }
}
