//! Sections: files that programs map, and the memory manager's functions that file systems call about them.
//!
//! [`Section::create`] does what NtCreateSection does to a file system: it acquires the file through the file
//! system's AcquireFileForNtCreateSection callback, asks for the size, and hangs a data or image segment on
//! the stream. A view's bytes are read through it with the same paging reads as page faults make; a read that
//! fails is the program's STATUS_IN_PAGE_ERROR.

use super::segment::{self, Role, Segment};
use crate::fsrtl::{acquire, fast};
use crate::io::kernel;
use crate::nt::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A section object of a test program, with a view of the whole file.
pub struct Section {
    segment: Arc<Segment>,
    size: u64,
    protection: u32,
}

/// The rights on the file that a section of that page protection needs.
fn needed(protection: u32) -> Option<ACCESS_MASK> {
    Some(match protection {
        PAGE_READONLY | PAGE_WRITECOPY => FILE_READ_DATA,
        PAGE_EXECUTE => FILE_EXECUTE,
        PAGE_READWRITE => FILE_READ_DATA | FILE_WRITE_DATA,
        PAGE_EXECUTE_READ | PAGE_EXECUTE_WRITECOPY => FILE_EXECUTE | FILE_READ_DATA,
        PAGE_EXECUTE_READWRITE => FILE_EXECUTE | FILE_READ_DATA | FILE_WRITE_DATA,
        _ => return None,
    })
}

impl Section {
    /// Maps the file that `file_object` has open, as data or as a program, for a program whose handle has the rights
    /// `granted`; `None` is a kernel-mode caller, whose handles are not checked.
    ///
    /// # Safety
    /// `file_object` is live.
    pub unsafe fn create(
        file_object: PFILE_OBJECT,
        role: Role,
        protection: u32,
        granted: Option<ACCESS_MASK>,
    ) -> Result<Section, NTSTATUS> {
        let needed = needed(protection).ok_or(STATUS_INVALID_PAGE_PROTECTION)?;
        if granted.is_some_and(|granted| granted & needed != needed) {
            return Err(STATUS_ACCESS_DENIED);
        }
        // SAFETY: by contract.
        unsafe {
            if (*file_object).SectionObjectPointer.is_null() {
                return Err(STATUS_INVALID_FILE_FOR_SECTION);
            }
            acquire::acquire_for_section(file_object, protection)?;
            let size = fast::file_size(file_object);
            let result = size.and_then(|size| {
                if size == 0 {
                    return Err(STATUS_MAPPED_FILE_SIZE_ZERO);
                }
                let segment = Segment::get(file_object, role, size)?;
                segment.views.fetch_add(1, Ordering::AcqRel);
                Ok(Section {
                    segment,
                    size,
                    protection,
                })
            });
            acquire::release_for_section(file_object);
            result
        }
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes through the view. The pages are those that the cache and every other section of the file have.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), NTSTATUS> {
        let len = bytes.len() as u64;
        let writable = matches!(self.protection, PAGE_READWRITE | PAGE_EXECUTE_READWRITE);
        if !writable || offset.checked_add(len).is_none_or(|end| end > self.size) {
            return Err(STATUS_ACCESS_VIOLATION);
        }
        if len != 0 {
            let _held = self.segment.hold(offset, len).map_err(|_| STATUS_IN_PAGE_ERROR)?;
            // SAFETY: the pages are here and stay while they are held.
            unsafe { kernel::copy(self.segment.address(offset), bytes.as_ptr(), bytes.len()) };
        }
        Ok(())
    }

    /// Reads through the view, faulting pages in.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), NTSTATUS> {
        let len = buffer.len() as u64;
        if offset.checked_add(len).is_none_or(|end| end > self.size) {
            return Err(STATUS_ACCESS_VIOLATION);
        }
        if len != 0 {
            // SAFETY: the buffer is so long.
            unsafe { self.segment.copy_out(offset, buffer.as_mut_ptr(), len) }
                .map_err(|_| STATUS_IN_PAGE_ERROR)?;
        }
        Ok(())
    }
}

impl Section {
    /// FlushViewOfFile: NT acquires the file for it before it looks for pages that were changed.
    pub fn flush(&self) -> Result<(), NTSTATUS> {
        // SAFETY: the view keeps the segment, and that its file object.
        unsafe {
            let file_object = self.segment.file_object();
            acquire::acquire_for_flush(file_object)?;
            acquire::release_for_flush(file_object);
        }
        Ok(())
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        self.segment.views.fetch_sub(1, Ordering::AcqRel);
        self.segment.release();
    }
}

/// Takes every segment away that is not in use; their files are closed. Returns how many. [`super::pressure`] does so one by one,
/// at any time.
pub fn trim() -> usize {
    segment::all().into_iter().filter(Segment::delete).count()
}

/// Segments that exist: what each file object's section pointers still hold.
pub fn outstanding() -> Vec<String> {
    let describe = |segment: Arc<Segment>| {
        let unused = if segment.is_unused() { "unused" } else { "in use" };
        // SAFETY: the segment references its file object.
        let name = unsafe { crate::io::names::characters(&raw const (*segment.file_object()).FileName) };
        format!(
            "{:?} segment of {} ({unused})",
            segment.role,
            String::from_utf16_lossy(&name)
        )
    };
    segment::all().into_iter().map(describe).collect()
}

/// `MmFlushImageSection`.
pub unsafe extern "win64" fn MmFlushImageSection(
    pointers: PSECTION_OBJECT_POINTERS,
    kind: MMFLUSH_TYPE,
) -> BOOLEAN {
    if kind == _MMFLUSH_TYPE_MmFlushForDelete {
        let mapped = |segment: Arc<Segment>| segment.views.load(Ordering::Acquire) != 0;
        if segment::find(pointers, Role::Data).is_some_and(mapped) {
            return 0;
        }
    }
    match segment::find(pointers, Role::Image) {
        None => 1,
        Some(segment) => segment.delete().into(),
    }
}

/// `MmCanFileBeTruncated`.
pub unsafe extern "win64" fn MmCanFileBeTruncated(
    pointers: PSECTION_OBJECT_POINTERS,
    _size: PLARGE_INTEGER,
) -> BOOLEAN {
    // SAFETY: MmFlushImageSection has no other precondition than this function.
    if unsafe { MmFlushImageSection(pointers, _MMFLUSH_TYPE_MmFlushForWrite) } == 0 {
        return 0;
    }
    let data = segment::find(pointers, Role::Data);
    data.is_none_or(|segment| segment.views.load(Ordering::Acquire) == 0)
        .into()
}

/// `MmForceSectionClosed`.
pub unsafe extern "win64" fn MmForceSectionClosed(
    pointers: PSECTION_OBJECT_POINTERS,
    _delay_close: BOOLEAN,
) -> BOOLEAN {
    let mut closed = true;
    for role in [Role::Data, Role::Image] {
        if let Some(segment) = segment::find(pointers, role) {
            closed &= segment.delete();
        }
    }
    closed.into()
}

/// `MmDoesFileHaveUserWritableReferences`: no volume is writable.
pub unsafe extern "win64" fn MmDoesFileHaveUserWritableReferences(
    _pointers: PSECTION_OBJECT_POINTERS,
) -> ULONG {
    0
}

crate::table! {
    /// Sections.
    pub static IMPORTS = {
        MmFlushImageSection <= APC;
        MmCanFileBeTruncated <= APC;
        MmForceSectionClosed <= APC;
        MmDoesFileHaveUserWritableReferences <= APC;
    }
}
