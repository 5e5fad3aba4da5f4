//! Linux's threads: each is a thread of this process.
//!
//! They are made by CreateThread and leave by ExitThread, which may be called at any depth: it does not unwind.

#![allow(unsafe_code)]

use lkl::ThreadBody;
use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::LazyLock;
use windows_sys::Win32::Foundation::{CloseHandle, FILETIME, HANDLE};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Threading::{
    CreateThread, ExitThread, GetCurrentThread, GetCurrentThreadId, GetThreadTimes, INFINITE, OpenThread,
    STACK_SIZE_PARAM_IS_A_RESERVATION, SetThreadPriority, SetThreadStackGuarantee,
    THREAD_PRIORITY_TIME_CRITICAL, THREAD_QUERY_INFORMATION, WaitForSingleObject,
};
use windows_sys::w;

/// Stack of a thread, bytes of address space; memory is taken as it is touched. Linux's own frames need under 16 KiB.
pub const STACK_SIZE: usize = 256 * 1024;

/// What is left of the stack when it has run over, bytes, for the search for a handler.
const OVERFLOW_ROOM: u32 = 16 * 1024;

/// A running thread.
#[derive(Debug)]
pub struct Thread {
    handle: HANDLE,
}

// SAFETY: a thread's handle may be used by any thread.
unsafe impl Send for Thread {}

impl Thread {
    /// Starts a thread that runs `body`. `None` when there is none to be had.
    pub fn start(body: ThreadBody) -> Option<Thread> {
        let body = Box::into_raw(fallible::try_box(body)?);
        let flags = STACK_SIZE_PARAM_IS_A_RESERVATION;
        // SAFETY: `run` takes such a box, once.
        let handle = unsafe { CreateThread(null(), STACK_SIZE, Some(run), body.cast(), flags, null_mut()) };
        if handle.is_null() {
            // SAFETY: no thread has it.
            drop(unsafe { Box::from_raw(body) });
            return None;
        }
        Some(Thread { handle })
    }
}

impl lkl::Thread for Thread {
    fn join(self: Box<Self>) {
        // SAFETY: the handle is this thread's.
        unsafe { WaitForSingleObject(self.handle, INFINITE) };
        // SAFETY: as above, and it is not used again.
        unsafe { CloseHandle(self.handle) };
    }
}

/// Whether the process ends, and all threads but the calling one have ended, wherever they were: true in what runs at the unloading of
/// a DLL then, and in what a DLL's thread-local values do when they go.
pub fn process_is_ending() -> bool {
    type Question = unsafe extern "system" fn() -> u8;
    static QUESTION: LazyLock<Option<Question>> = LazyLock::new(|| {
        // SAFETY: the name of a module that is part of each process.
        let module = unsafe { GetModuleHandleW(w!("ntdll.dll")) };
        // SAFETY: a module and a NUL-terminated name.
        let question = unsafe { GetProcAddress(module, c"RtlDllShutdownInProgress".as_ptr().cast()) }?;
        type Any = unsafe extern "system" fn() -> isize;
        // SAFETY: the function of that name has this type.
        Some(unsafe { std::mem::transmute::<Any, Question>(question) })
    });
    // SAFETY: may be called at any time.
    QUESTION.is_some_and(|question| unsafe { question() } != 0)
}

/// Ends the calling thread.
pub fn exit() -> ! {
    // SAFETY: the frames that are left own nothing (the contract of exit_thread).
    unsafe { ExitThread(0) }
}

/// The number of the calling thread.
pub fn name() -> u64 {
    // SAFETY: always works.
    u64::from(unsafe { GetCurrentThreadId() })
}

/// What the thread of that number has run, in user and in kernel mode.
pub fn ran_ns(number: u64) -> Option<u64> {
    let number = u32::try_from(number).ok()?;
    // SAFETY: a thread that is gone is an error.
    let handle = unsafe { OpenThread(THREAD_QUERY_INFORMATION, 0, number) };
    if handle.is_null() {
        return None;
    }
    let nothing = FILETIME {
        dwLowDateTime: 0,
        dwHighDateTime: 0,
    };
    let (mut created, mut ended, mut kernel, mut user) = (nothing, nothing, nothing, nothing);
    // SAFETY: the handle is ours, and there is room for each time.
    let told = unsafe { GetThreadTimes(handle, &mut created, &mut ended, &mut kernel, &mut user) };
    // SAFETY: as above, and it is not used again.
    unsafe { CloseHandle(handle) };
    let units = |time: FILETIME| u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime);
    (told != 0).then(|| units(kernel).saturating_add(units(user)).saturating_mul(100))
}

/// The calling thread runs before threads that are in a loop.
pub fn be_urgent() {
    // SAFETY: the calling thread's own pseudo handle. Failure only costs time.
    let this = unsafe { GetCurrentThread() };
    // SAFETY: the calling thread's own handle.
    unsafe { SetThreadPriority(this, THREAD_PRIORITY_TIME_CRITICAL) };
}

unsafe extern "system" fn run(body: *mut c_void) -> u32 {
    // SAFETY: Thread::start made this box for one call.
    let body = unsafe { Box::from_raw(body.cast::<ThreadBody>()) };
    let mut room = OVERFLOW_ROOM;
    // SAFETY: this thread's own stack. Should it be refused, a fault is contained still, but for a stack overflow.
    unsafe { SetThreadStackGuarantee(&mut room) };
    // Out of its box, so that a thread that exits leaves nothing on the heap.
    let body = *body;
    body.run();
    0
}
