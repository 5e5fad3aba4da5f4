//! Faults in Linux code on NT, in the kernel as in a program: they end the call and are Linux's death, no one else's.
//!
//! [`contain`] calls Linux below a function whose unwind data names `__C_specific_handler`, with one scope, a filter and a
//! handler. The filter sees the exception while the frames that faulted are there. It takes what the processor found in
//! Linux's own code, or where Linux's code jumped to that is nobody's; a fault in the host's functions, which Linux calls, is
//! left to whoever is further out, since they may hold locks of NT's. Then NT unwinds Linux's frames by the tables that
//! `lkl-build` made of `.eh_frame`, and only after that, on the frames of the caller, is Linux told, panics, and
//! sends everybody home: no jump ever leaves a filter.
//!
//! Each entry is contained: system calls and the like by [`crate::call`], Linux's own threads by
//! [`crate::ThreadBody`]. Timers and the ends of disk reads need nothing: they run on the host's interrupt-like contexts, an
//! NT DPC among them, and only queue an interrupt, which a contained thread serves.
//!
//! What NT does not make an exception of cannot be contained: in the kernel, an address in the kernel's half that is not
//! mapped (bug check 0x50), and a kernel stack that ran over (a double fault).
//
// UNSAFETY: assembler with hand-written unwind data, the filter that NT calls, and the limits of Linux's code.

#![allow(unsafe_code)]

use crate::sys::{self, Entry};
use core::arch::global_asm;
use core::ffi::{CStr, c_void};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Where in Linux's code the last fault was, from the start of that code.
static FAULT_AT: AtomicUsize = AtomicUsize::new(0);
/// Its exception code. Not every NT hands it to the handler (Wine's does not), so the filter keeps it.
static FAULT_CODE: AtomicU32 = AtomicU32::new(0);

struct Call<F, R> {
    act: Option<F>,
    result: Option<R>,
}

unsafe extern "C" fn perform<F: FnOnce() -> R, R>(call: *mut c_void) {
    // SAFETY: contain() passes a Call of these types that no one else uses meanwhile.
    let call = unsafe { &mut *call.cast::<Call<F, R>>() };
    if let Some(act) = call.act.take() {
        call.result = Some(act());
    }
}

/// Calls `act`, which calls Linux and owns nothing that must be dropped. `None` when a fault in Linux has ended it: Linux
/// is dead then. Does not come back from a fault on a thread that Linux made.
pub(crate) fn contain<R>(act: impl FnOnce() -> R) -> Option<R> {
    contained(act)
}

fn contained<F: FnOnce() -> R, R>(act: F) -> Option<R> {
    let mut call = Call {
        act: Some(act),
        result: None,
    };
    // SAFETY: perform::<F, R> takes this call, which outlives it.
    let ended = unsafe { lkl_seh_call(perform::<F, R>, (&raw mut call).cast()) } != 0;
    if ended {
        tell();
        return None;
    }
    call.result
}

/// Runs `entry(arg)` on a thread that Linux made.
///
/// # Safety
/// `entry` may be called with `arg`.
pub(crate) unsafe fn run_thread(entry: Entry, arg: *mut c_void) {
    // SAFETY: promised by the caller.
    contain(|| unsafe { entry(arg) });
}

struct Fault {
    why: &'static CStr,
    at: usize,
}

unsafe extern "C" fn panic(fault: *mut c_void) {
    // SAFETY: tell() passes a Fault.
    let fault = unsafe { &*fault.cast::<Fault>() };
    // SAFETY: a string; this thread was running Linux code, whose frames are gone.
    unsafe { sys::linux_fault_caught(fault.why.as_ptr(), fault.at) }
}

/// Tells Linux of a fault. Its panic is Linux code too and may fault in its turn: then it is told again, which is shorter.
/// A third fault is not contained.
fn tell() {
    let mut fault = Fault {
        why: reason(FAULT_CODE.load(Ordering::Relaxed)),
        at: FAULT_AT.load(Ordering::Relaxed),
    };
    let argument: *mut c_void = (&raw mut fault).cast();
    for _ in 0..2 {
        // SAFETY: panic() takes a Fault, which outlives the call.
        if unsafe { lkl_seh_call(panic, argument) } == 0 {
            return;
        }
    }
    // SAFETY: as above.
    unsafe { panic(argument) }
}

const ACCESS_VIOLATION: u32 = 0xc000_0005;
const MISALIGNMENT: u32 = 0x8000_0002;
const BREAKPOINT: u32 = 0x8000_0003;
const IN_PAGE_ERROR: u32 = 0xc000_0006;
const ILLEGAL_INSTRUCTION: u32 = 0xc000_001d;
const DIVIDE_BY_ZERO: u32 = 0xc000_0094;
const OVERFLOW: u32 = 0xc000_0095;
const PRIVILEGED_INSTRUCTION: u32 = 0xc000_0096;
const STACK_OVERFLOW: u32 = 0xc000_00fd;

fn reason(code: u32) -> &'static CStr {
    match code {
        DIVIDE_BY_ZERO | OVERFLOW => c"arithmetic fault",
        ILLEGAL_INSTRUCTION | PRIVILEGED_INSTRUCTION | BREAKPOINT => c"illegal instruction",
        STACK_OVERFLOW => c"stack overflow",
        _ => c"bad access",
    }
}

/// NT's EXCEPTION_RECORD.
#[repr(C)]
struct ExceptionRecord {
    code: u32,
    flags: u32,
    nested: *const ExceptionRecord,
    address: usize,
    count: u32,
    information: [usize; 15],
}
const _: () = assert!(size_of::<ExceptionRecord>() == 152);

/// NT's EXCEPTION_POINTERS.
#[repr(C)]
struct ExceptionPointers {
    record: *const ExceptionRecord,
    context: *const c_void,
}

const EXECUTE_HANDLER: i32 = 1;
const CONTINUE_SEARCH: i32 = 0;

/// Whether an exception is Linux's.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_seh_filter(pointers: *const ExceptionPointers, _frame: *mut c_void) -> i32 {
    // SAFETY: NT passes both structures.
    let record = unsafe { (*pointers).record };
    // SAFETY: as above; the record is there for as long as the pointers to it.
    let record = unsafe { &*record };
    let known = matches!(
        record.code,
        ACCESS_VIOLATION
            | MISALIGNMENT
            | BREAKPOINT
            | IN_PAGE_ERROR
            | ILLEGAL_INSTRUCTION
            | DIVIDE_BY_ZERO
            | OVERFLOW
            | PRIVILEGED_INSTRUCTION
            | STACK_OVERFLOW
    );
    let (begin, end) = (
        (&raw const lkl_text_begin).addr(),
        (&raw const lkl_text_end).addr(),
    );
    let in_linux = (begin..end).contains(&record.address);
    // A jump to where no code is: the instruction is what could not be read.
    let [_, touched, ..] = record.information;
    let wild = record.code == ACCESS_VIOLATION && record.count >= 2 && touched == record.address;
    if !known || !(in_linux || wild) {
        return CONTINUE_SEARCH;
    }
    FAULT_CODE.store(record.code, Ordering::Relaxed);
    FAULT_AT.store(record.address.wrapping_sub(begin), Ordering::Relaxed);
    EXECUTE_HANDLER
}

unsafe extern "C" {
    /// Calls `function(argument)`: 0, or 1 if an exception has ended the call.
    fn lkl_seh_call(function: unsafe extern "C" fn(*mut c_void), argument: *mut c_void) -> u32;
    /// The limits of Linux's code, which `lkl-build` puts into the object.
    safe static lkl_text_begin: u8;
    safe static lkl_text_end: u8;
}

global_asm!(
    r#"
    .text
    .globl lkl_seh_call
    .def lkl_seh_call; .scl 2; .type 32; .endef
    .p2align 4
    .seh_proc lkl_seh_call
lkl_seh_call:
    sub rsp, 40
    .seh_stackalloc 40
    .seh_handler __C_specific_handler, @except
    .seh_endprologue
    mov rax, rcx
    mov rcx, rdx
.Llkl_seh_begin:
    call rax
    nop
.Llkl_seh_end:
    xor eax, eax
    jmp .Llkl_seh_out
.Llkl_seh_caught:
    mov eax, 1
.Llkl_seh_out:
    add rsp, 40
    ret
    .seh_handlerdata
    .long 1
    .long .Llkl_seh_begin@IMGREL
    .long .Llkl_seh_end@IMGREL
    .long lkl_seh_filter@IMGREL
    .long .Llkl_seh_caught@IMGREL
    .text
    .seh_endproc
"#
);
