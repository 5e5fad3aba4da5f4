//! Reads, writes and controls of an open file, many at once.
//!
//! NT serves the requests to a file that is open for synchronous I/O one after another, however many threads send them. So files
//! are opened for overlapped I/O here ([`options`]), and each thread waits for its own request, on an event of its own. A file that a
//! program has opened otherwise works as well, one request at a time.

#![allow(unsafe_code)]
// The initializer is a constant; clippy 1.96 does not see that where thread-local values are NT's own.
#![allow(clippy::missing_const_for_thread_local)]

use std::cell::OnceCell;
use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use windows_sys::Win32::Foundation::{ERROR_HANDLE_EOF, ERROR_IO_PENDING, GetLastError, HANDLE};
use windows_sys::Win32::Storage::FileSystem::{FILE_FLAG_OVERLAPPED, ReadFile, WriteFile};
use windows_sys::Win32::System::IO::{DeviceIoControl, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Threading::CreateEventW;

/// The most bytes of one request.
const MOST: usize = 1 << 30;

/// How to open a file for this module: for overlapped I/O.
pub fn options() -> OpenOptions {
    let mut options = File::options();
    options.custom_flags(FILE_FLAG_OVERLAPPED);
    options
}

thread_local! {
    /// What the calling thread waits on.
    static EVENT: OnceCell<OwnedHandle> = const { OnceCell::new() };
}

/// The calling thread's event; null when there is none to be had.
fn event() -> HANDLE {
    EVENT.with(|cell| {
        if let Some(event) = cell.get() {
            return event.as_raw_handle();
        }
        // SAFETY: no attributes, no name; reset by hand, not signalled.
        let event = unsafe { CreateEventW(null(), 1, 0, null()) };
        if event.is_null() {
            return event;
        }
        // SAFETY: just made, and the cell's from now on.
        let event = unsafe { OwnedHandle::from_raw_handle(event) };
        cell.get_or_init(|| event).as_raw_handle()
    })
}

/// Sends a request at `offset` by `start`, and waits for it. How many bytes NT has transferred; none at the end of the file.
///
/// # Safety
/// `start` sends one request with what it gets, and what the request refers to lives until this returns.
unsafe fn request(
    file: &File,
    offset: u64,
    start: impl FnOnce(HANDLE, *mut OVERLAPPED) -> i32,
) -> io::Result<usize> {
    let mut state = OVERLAPPED {
        hEvent: event(),
        ..Default::default()
    };
    if state.hEvent.is_null() {
        return Err(io::Error::last_os_error());
    }
    state.Anonymous.Anonymous.Offset = (offset & 0xffff_ffff) as u32;
    state.Anonymous.Anonymous.OffsetHigh = (offset >> 32) as u32;
    let handle = file.as_raw_handle();
    // SAFETY: always works.
    if start(handle, &mut state) == 0 && unsafe { GetLastError() } != ERROR_IO_PENDING {
        return ended(io::Error::last_os_error());
    }
    let mut len = 0;
    // SAFETY: the request was sent with this state; the call returns when it has ended.
    if unsafe { GetOverlappedResult(handle, &state, &mut len, 1) } == 0 {
        return ended(io::Error::last_os_error());
    }
    Ok(len as usize)
}

/// The end of the file is no error.
fn ended(error: io::Error) -> io::Result<usize> {
    let code = error.raw_os_error().and_then(|code| u32::try_from(code).ok());
    if code == Some(ERROR_HANDLE_EOF) {
        return Ok(0);
    }
    Err(error)
}

fn size(len: usize) -> u32 {
    u32::try_from(len.min(MOST)).unwrap_or(u32::MAX)
}

/// Reads at `offset`, as many bytes as NT gives: none at the end of the file only.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    if buffer.is_empty() {
        return Ok(0);
    }
    let (place, len) = (buffer.as_mut_ptr(), size(buffer.len()));
    let read = |handle, state| {
        // SAFETY: an open file, and a buffer and a state that `request` keeps until NT is done with them.
        unsafe { ReadFile(handle, place, len, null_mut(), state) }
    };
    // SAFETY: one request, whose buffer lives through the call.
    unsafe { request(file, offset, read) }
}

/// Writes at `offset`, as many bytes as NT takes.
pub fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    let (place, len) = (bytes.as_ptr(), size(bytes.len()));
    let write = |handle, state| {
        // SAFETY: as for a read; the bytes are only read.
        unsafe { WriteFile(handle, place, len, null_mut(), state) }
    };
    // SAFETY: one request, whose bytes live through the call.
    unsafe { request(file, offset, write) }
}

/// Sends a control with its input and the room for its output. How many bytes of output there are.
pub fn control(file: &File, code: u32, input: &[u8], output: &mut [u8]) -> io::Result<usize> {
    let from: *const c_void = if input.is_empty() {
        null()
    } else {
        input.as_ptr().cast()
    };
    let to: *mut c_void = if output.is_empty() {
        null_mut()
    } else {
        output.as_mut_ptr().cast()
    };
    let (input_len, output_len) = (size(input.len()), size(output.len()));
    let send = |handle, state| {
        // SAFETY: as for a read; input and output are as long as is said.
        unsafe { DeviceIoControl(handle, code, from, input_len, to, output_len, null_mut(), state) }
    };
    // SAFETY: one request, whose input and output live through the call.
    unsafe { request(file, 0, send) }
}
