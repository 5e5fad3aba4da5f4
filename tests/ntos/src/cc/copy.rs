//! Cached reads: by copy, and by MDL.
//!
//! A read that fails raises its status as an exception in the driver, as NT's does; so does a copy to a
//! user's buffer that is not there. A read with Wait FALSE copies only what is here already.

use super::cache::{self, shared_of};
use super::segment;
use crate::io::{irp, kernel};
use crate::ke;
use crate::mm::PAGE_SIZE;
use crate::nt::*;
use crate::verifier::fail;

/// Errors that a file system may raise; everything else becomes STATUS_UNEXPECTED_IO_ERROR.
fn normalized(status: NTSTATUS) -> NTSTATUS {
    if crate::fsrtl::misc::is_expected(status) {
        status
    } else {
        STATUS_UNEXPECTED_IO_ERROR
    }
}

/// Copies `len` bytes at `offset` of the stream to `buffer`. False: it would have to wait. An error is to be
/// raised.
///
/// # Safety
/// `file_object` is live; `buffer` is kernel memory or a user's, `len` bytes long.
pub unsafe fn read(
    file_object: PFILE_OBJECT,
    offset: u64,
    len: u64,
    wait: bool,
    buffer: *mut u8,
    what: &str,
) -> Result<bool, NTSTATUS> {
    // SAFETY: by contract.
    unsafe {
        let shared = shared_of(file_object, what);
        let _reading = cache::Reading::new(file_object);
        let segment = &shared.segment;
        let size = segment.size();
        if offset.checked_add(len).is_none_or(|end| end > size) {
            fail!(
                Cache,
                "{what} of {len} bytes at {offset} goes beyond the end of the file at {size}"
            );
        }
        if len == 0 {
            return Ok(true);
        }
        let copied = if wait {
            segment.copy_out(offset, buffer, len).map_err(normalized)?
        } else {
            let Some(_held) = segment.hold_if_here(offset, len) else {
                // Whether NT begins to read it then is not documented: sometimes it does here.
                if segment::choose(4) == 0 {
                    cache::read_ahead(file_object, &shared, offset, len);
                }
                return Ok(false);
            };
            kernel::copy(buffer, segment.address(offset), usize::try_from(len).unwrap_or(0))
        };
        cache::note_read(file_object, &shared, offset, len);
        if copied {
            Ok(true)
        } else {
            Err(STATUS_INVALID_USER_BUFFER)
        }
    }
}

/// The value, or the exception. An exception leaves this function's callers without unwinding them, so
/// nothing that has a destructor may live in them.
fn or_raise<T>(result: Result<T, NTSTATUS>) -> T {
    match result {
        Ok(value) => value,
        Err(status) => ke::raise(status),
    }
}

/// `CcCopyRead`.
pub unsafe extern "win64" fn CcCopyRead(
    file_object: PFILE_OBJECT,
    offset: PLARGE_INTEGER,
    len: ULONG,
    wait: BOOLEAN,
    buffer: PVOID,
    block: PIO_STATUS_BLOCK,
) -> BOOLEAN {
    // SAFETY: the file system's contract is ours.
    unsafe {
        let offset = u64::try_from((*offset).QuadPart).unwrap_or(u64::MAX);
        if !or_raise(read(
            file_object,
            offset,
            u64::from(len),
            wait != 0,
            buffer.cast(),
            "CcCopyRead",
        )) {
            return 0;
        }
        *block = irp::status_block(STATUS_SUCCESS, len as usize);
    }
    1
}

/// `CcCopyReadEx`: with the thread that is charged for the I/O.
pub unsafe extern "win64" fn CcCopyReadEx(
    file_object: PFILE_OBJECT,
    offset: PLARGE_INTEGER,
    len: ULONG,
    wait: BOOLEAN,
    buffer: PVOID,
    block: PIO_STATUS_BLOCK,
    _issuer: PETHREAD,
) -> BOOLEAN {
    // SAFETY: the file system's contract is ours.
    unsafe { CcCopyRead(file_object, offset, len, wait, buffer, block) }
}

/// `CcFastCopyRead`: with a 32-bit offset, always waiting.
pub unsafe extern "win64" fn CcFastCopyRead(
    file_object: PFILE_OBJECT,
    offset: ULONG,
    len: ULONG,
    _page_count: ULONG,
    buffer: PVOID,
    block: PIO_STATUS_BLOCK,
) {
    // SAFETY: the file system's contract is ours.
    unsafe {
        or_raise(read(
            file_object,
            u64::from(offset),
            u64::from(len),
            true,
            buffer.cast(),
            "CcFastCopyRead",
        ));
        *block = irp::status_block(STATUS_SUCCESS, len as usize);
    }
}

/// `CcMdlRead`: an MDL over the cached pages themselves.
pub unsafe extern "win64" fn CcMdlRead(
    file_object: PFILE_OBJECT,
    offset: PLARGE_INTEGER,
    len: ULONG,
    chain: *mut PMDL,
    block: PIO_STATUS_BLOCK,
) {
    // SAFETY: the file system's contract is ours.
    unsafe { or_raise(mdl_read(file_object, *offset, len, chain, block)) }
}

/// # Safety
/// As [`CcMdlRead`].
pub unsafe fn mdl_read(
    file_object: PFILE_OBJECT,
    offset: LARGE_INTEGER,
    len: u32,
    chain: *mut PMDL,
    block: PIO_STATUS_BLOCK,
) -> Result<(), NTSTATUS> {
    // SAFETY: by contract.
    unsafe {
        let shared = shared_of(file_object, "CcMdlRead");
        let _reading = cache::Reading::new(file_object);
        let offset = u64::try_from(offset.QuadPart).unwrap_or(u64::MAX);
        let segment = &shared.segment;
        if len == 0
            || offset
                .checked_add(u64::from(len))
                .is_none_or(|end| end > segment.size())
        {
            fail!(
                Cache,
                "CcMdlRead of {len} bytes at {offset}: the file has {}",
                segment.size()
            );
        }
        let held = segment.hold(offset, u64::from(len)).map_err(normalized)?;
        segment.pins.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        drop(held);
        let within = offset % PAGE_SIZE as u64;
        let pages = (within + u64::from(len)).div_ceil(PAGE_SIZE as u64);
        let mdl = segment.describe((offset / PAGE_SIZE as u64) as usize, pages as usize);
        (*mdl).ByteOffset = within as u32;
        (*mdl).ByteCount = len;
        (*mdl).MdlFlags &= !(MDL_IO_PAGE_READ as i16);
        let mut tail = chain;
        while !(*tail).is_null() {
            tail = &raw mut (**tail).Next;
        }
        *tail = mdl;
        *block = irp::status_block(STATUS_SUCCESS, len as usize);
        cache::note_read(file_object, &shared, offset, u64::from(len));
    }
    Ok(())
}

/// `CcMdlReadComplete`.
pub unsafe extern "win64" fn CcMdlReadComplete(file_object: PFILE_OBJECT, chain: PMDL) {
    // SAFETY: the chain came from CcMdlRead on this stream.
    unsafe {
        let shared = shared_of(file_object, "CcMdlReadComplete");
        let mut mdl = chain;
        while !mdl.is_null() {
            let next = (*mdl).Next;
            segment::release_mdl(mdl);
            if shared
                .segment
                .pins
                .fetch_sub(1, std::sync::atomic::Ordering::AcqRel)
                == 0
            {
                fail!(Cache, "CcMdlReadComplete for an MDL that CcMdlRead did not make");
            }
            mdl = next;
        }
    }
}

crate::table! {
    /// Cached reads.
    pub static IMPORTS = {
        CcCopyRead <= APC;
        CcCopyReadEx <= APC since Nt62;
        CcFastCopyRead <= APC;
        CcMdlRead <= APC;
        CcMdlReadComplete <= APC;
    }
}
