//! Linux's memory: one section of the paging file, mapped once as a whole, and page by page wherever Linux wants pages
//! side by side.
//!
//! A view of a section begins at a multiple of 64 KiB, but for one that replaces a *placeholder*: address space that
//! VirtualAlloc2 has reserved and that VirtualFree splits to measure. Those functions came with Windows 10 1803 and are
//! looked up when they are first wanted; where they are missing, the answer to Linux is "cannot be done".

#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr::{NonNull, null, null_mut};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use windows_sys::Win32::Foundation::{CloseHandle, HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_ALL_ACCESS, MEM_PRESERVE_PLACEHOLDER, MEM_RELEASE, MEM_REPLACE_PLACEHOLDER,
    MEM_RESERVE, MEM_RESERVE_PLACEHOLDER, MEMORY_MAPPED_VIEW_ADDRESS, MapViewOfFile, PAGE_NOACCESS,
    PAGE_READWRITE, SEC_COMMIT, UnmapViewOfFile, VirtualFree,
};
use windows_sys::Win32::System::SystemInformation::{GlobalMemoryStatusEx, MEMORYSTATUSEX};
use windows_sys::Win32::System::Threading::GetCurrentProcess;
use windows_sys::w;

/// Bytes of a page.
const PAGE: usize = 4096;

/// Bytes of memory that the machine has; 0 when it cannot be told.
pub(crate) fn machine_bytes() -> u64 {
    let mut status = MEMORYSTATUSEX {
        dwLength: size_of::<MEMORYSTATUSEX>() as u32,
        ..Default::default()
    };
    // SAFETY: the record says how long it is.
    match unsafe { GlobalMemoryStatusEx(&mut status) } {
        0 => 0,
        _ => status.ullTotalPhys,
    }
}

type VirtualAlloc2 =
    unsafe extern "system" fn(HANDLE, *const c_void, usize, u32, u32, *mut c_void, u32) -> *mut c_void;
type MapViewOfFile3 = unsafe extern "system" fn(
    HANDLE,
    HANDLE,
    *const c_void,
    u64,
    usize,
    u32,
    u32,
    *mut c_void,
    u32,
) -> *mut c_void;

/// The newer functions.
#[derive(Clone, Copy)]
struct Placeholders {
    reserve: VirtualAlloc2,
    map: MapViewOfFile3,
}

static PLACEHOLDERS: LazyLock<Option<Placeholders>> = LazyLock::new(|| {
    // SAFETY: names of strings; the module is part of each process.
    let module = unsafe { GetModuleHandleW(w!("kernelbase.dll")) };
    if module.is_null() {
        return None;
    }
    // SAFETY: a module and a NUL-terminated name.
    let reserve = unsafe { GetProcAddress(module, c"VirtualAlloc2".as_ptr().cast()) }?;
    // SAFETY: as above.
    let map = unsafe { GetProcAddress(module, c"MapViewOfFile3".as_ptr().cast()) }?;
    type Any = unsafe extern "system" fn() -> isize;
    Some(Placeholders {
        // SAFETY: the function of that name has this type.
        reserve: unsafe { std::mem::transmute::<Any, VirtualAlloc2>(reserve) },
        // SAFETY: as above.
        map: unsafe { std::mem::transmute::<Any, MapViewOfFile3>(map) },
    })
});

/// The pool of one boot.
#[derive(Debug, Default)]
pub struct Pool {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    section: Option<Section>,
    /// For each range of pages side by side, the lengths of its views in bytes.
    ranges: HashMap<usize, Vec<usize>>,
}

#[derive(Debug)]
struct Section {
    handle: HANDLE,
    pages: usize,
}

// SAFETY: a section's handle may be used by any thread.
unsafe impl Send for Section {}

impl Drop for Section {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and not used again. Views keep the section itself.
        unsafe { CloseHandle(self.handle) };
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `size` bytes of zeros, a multiple of 4096. `None` for lack of memory.
    pub fn alloc(&self, size: usize) -> Option<NonNull<u8>> {
        if size == 0 || !size.is_multiple_of(PAGE) {
            return None;
        }
        let (high, low) = (
            u32::try_from(size >> 32).ok()?,
            u32::try_from(size & 0xffff_ffff).ok()?,
        );
        // SAFETY: no file, no name, no attributes.
        let handle = unsafe {
            CreateFileMappingW(
                INVALID_HANDLE_VALUE,
                null(),
                PAGE_READWRITE | SEC_COMMIT,
                high,
                low,
                null(),
            )
        };
        if handle.is_null() {
            return None;
        }
        let section = Section {
            handle,
            pages: size / PAGE,
        };
        // SAFETY: a new view of all of it.
        let view = unsafe { MapViewOfFile(handle, FILE_MAP_ALL_ACCESS, 0, 0, size) };
        let base = NonNull::new(view.Value.cast())?;
        self.lock().section = Some(section);
        Some(base)
    }

    /// Gives the pool back.
    ///
    /// # Safety
    /// `base` came from the last `alloc`, and nothing uses the memory any more.
    pub unsafe fn free(&self, base: NonNull<u8>) {
        self.lock().section = None;
        unmap_view(base.as_ptr().cast());
    }

    /// Maps pages of the pool side by side. `None` when one is outside, or the system cannot do it.
    pub fn map(&self, pages: &[usize]) -> Option<NonNull<u8>> {
        let placeholders = (*PLACEHOLDERS)?;
        let mut state = self.lock();
        let section = state.section.as_ref()?;
        if pages.is_empty() || pages.iter().any(|page| *page >= section.pages) {
            return None;
        }
        let runs: Vec<&[usize]> = pages.chunk_by(|a, b| a.checked_add(1) == Some(*b)).collect();
        let lens: Vec<usize> = runs.iter().map(|run| run.len() * PAGE).collect();
        let total = pages.len().checked_mul(PAGE)?;
        // SAFETY: always works.
        let process = unsafe { GetCurrentProcess() };
        let kind = MEM_RESERVE | MEM_RESERVE_PLACEHOLDER;
        // SAFETY: reserves address space of the system's choice.
        let range =
            unsafe { (placeholders.reserve)(process, null(), total, kind, PAGE_NOACCESS, null_mut(), 0) };
        let base = NonNull::new(range.cast::<u8>())?;
        let mut at = 0;
        for (index, (run, len)) in runs.iter().zip(&lens).enumerate() {
            let place = range.wrapping_byte_add(at);
            // The last piece is what is left.
            let split = index + 1 == runs.len() || split_off(place, *len);
            let offset = (run.first().copied().unwrap_or(0) * PAGE) as u64;
            let mapped = split && {
                let (kind, access) = (MEM_REPLACE_PLACEHOLDER, PAGE_READWRITE);
                // SAFETY: replaces a placeholder of exactly this place and length.
                let view = unsafe {
                    (placeholders.map)(
                        section.handle,
                        process,
                        place,
                        offset,
                        *len,
                        kind,
                        access,
                        null_mut(),
                        0,
                    )
                };
                !view.is_null()
            };
            if !mapped {
                unmap_views(range, lens.get(..index).unwrap_or(&[]));
                release(place);
                if split && index + 1 < runs.len() {
                    release(place.wrapping_byte_add(*len));
                }
                return None;
            }
            at += len;
        }
        state.ranges.insert(range.addr(), lens);
        Some(base)
    }

    /// Undoes a `map`.
    ///
    /// # Safety
    /// `addr` came from `map`, and nothing uses the range any more.
    pub unsafe fn unmap(&self, addr: NonNull<u8>) {
        let lens = self.lock().ranges.remove(&addr.as_ptr().addr());
        unmap_views(addr.as_ptr().cast(), &lens.unwrap_or_default());
    }
}

/// Splits `len` bytes off the front of a placeholder.
fn split_off(place: *mut c_void, len: usize) -> bool {
    // SAFETY: a placeholder of ours, longer than `len`.
    unsafe { VirtualFree(place, len, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER) != 0 }
}

/// Gives a placeholder back.
fn release(place: *mut c_void) {
    // SAFETY: a placeholder of ours that nothing was mapped in.
    unsafe { VirtualFree(place, 0, MEM_RELEASE) };
}

/// Unmaps views that lie side by side.
fn unmap_views(range: *mut c_void, lens: &[usize]) {
    let mut place = range;
    for len in lens {
        unmap_view(place);
        place = place.wrapping_byte_add(*len);
    }
}

fn unmap_view(base: *mut c_void) {
    // SAFETY: callers own the view and have stopped using it.
    unsafe { UnmapViewOfFile(MEMORY_MAPPED_VIEW_ADDRESS { Value: base }) };
}
